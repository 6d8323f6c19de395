"""Powder rings made of spots, on a frame of expected photons.

A ring of M grains on average has, in one exposure, Poisson(M) of them at azimuths χ_j, each of the
share 1/M of the ring's photons. In pixel i, at (2θ_i, χ_i) and of weight w_i, they add

    w_i · J(2θ_i) / M · Σ_j A(χ_i − χ_j),        A(Δχ) = 2π R a(R Δχ),

with J the smooth ring's photons per radian, R the ring's radius in pixels and a(t) the profile of
a spot along the ring, of unit integral (:func:`forward.grains.spot_profile_per_px`). A has the mean
one over all azimuths, so that the mean over grains is the smooth ring, exactly, in every pixel.

Spots are stamped into the quadrilateral that surely holds them: in the plane of slopes (tan2θ sinχ,
tan2θ cosχ) a piece of ring lies between the chord of its inner arc and the tangent of its outer
one, and a tilted detector maps straight lines to straight lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from forward.angles import AngleGrid
from forward.grains import (
    STAGE,
    Grains,
    acceptance_rad,
    beam_area_um2,
    grains_per_um3,
    spot_profile_per_px,
    spot_reach_px,
)
from forward.patterns import LineCore
from forward.philox import Words, philox4x32, uniform
from xrdct.compiled import compiled, compiled_fast
from xrdct.instrument import Beam
from xrdct.plane import Plane

Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_AZIMUTH_ROW = 1
"""Row of the random stream from which the azimuths of the first ring come."""
_SMALLEST_RADIUS = 4.0
"""Smallest ring that is made of spots, in their reaches along it."""
_SLACK_PX = 0.05
"""By how much a pixel's 2θ on the map may differ from that of its middle."""
_TABLE_STEPS = 256
_BAND_ROWS = 32


class Rings(NamedTuple):
    """Every line of every material state: a *ring*. All fields but the last are (ring,)."""

    line: Ints
    """Which of the line cores."""
    state: Ints
    """Which of the material states."""
    grains_per_um: Doubles
    """Mean number of diffracting grains for 1 µm of path."""
    radius_px: Doubles
    """Radius on an upright detector."""
    low_slope: Doubles
    """tan2θ where the ring's profile starts, and"""
    high_slope: Doubles
    """where it ends."""
    first_node: Ints
    width: Ints
    """Nodes of the ring's profile, a zero at either end."""
    start: Ints
    """Where in ``values`` the profile starts."""
    values_per_um: Singles
    """Profiles, one after the other: photons per radian, µm of path and photon of beam."""
    derivative_per_um2: Singles
    """Change of these by displacement along the beam."""


def rings_of(
    cores: Sequence[LineCore],
    *,
    angles: AngleGrid,
    pixel_um: float,
    beam: Beam,
    grains: Grains,
) -> Rings:
    """Return the rings of ``cores``: for each core all states whose profile is not zero."""
    area_um2, distance_px = beam_area_um2(beam), angles.distance_m / pixel_um * 1e6
    line, state, number, radius, first, profiles = [], [], [], [], [], []
    changes = []
    for index, core in enumerate(cores):
        per_um3 = grains_per_um3(
            core.grain_um, multiplicity=core.multiplicity, theta_rad=core.theta_rad,
            acceptance_rad=acceptance_rad(
                core.theta_rad, grain_um=core.grain_um, beam=beam, grains=grains
            ),
        )  # fmt: skip
        for row, values in enumerate(core.values_per_um):
            inside = np.flatnonzero(values)
            if not inside.size:
                continue
            line.append(index)
            state.append(core.first_state + row)
            number.append(per_um3[row] * area_um2)
            radius.append(distance_px * np.tan(2.0 * core.theta_rad[row]))
            first.append(core.first_node + inside[0] - 1)
            part = slice(inside[0], inside[-1] + 1)
            profiles.append(np.pad(values[part], 1))
            changes.append(np.pad(core.derivative_per_um2[row, part], 1))
    width = np.array([profile.size for profile in profiles], np.int64)
    first_node = np.array(first, np.int64)
    low_rad = angles.first_rad + angles.step_rad * first_node
    slack_rad = _SLACK_PX / distance_px
    return Rings(
        line=np.array(line, np.int64),
        state=np.array(state, np.int64),
        grains_per_um=np.array(number, float),
        radius_px=np.array(radius, float),
        low_slope=np.tan(np.maximum(low_rad - slack_rad, 0.0)),
        high_slope=np.tan(low_rad + angles.step_rad * (width - 1) + slack_rad),
        first_node=first_node,
        width=width,
        start=np.cumsum(width) - width,
        values_per_um=np.concatenate([np.zeros(0, np.float32), *profiles]).astype(np.float32),
        derivative_per_um2=np.concatenate([np.zeros(0, np.float32), *changes]).astype(np.float32),
    )


def mean_ring_grains(rings: Rings, path_um: Singles) -> Singles:
    """Return the mean number of grains on every ring, (ray, ring), of paths (ray, state)."""
    paths = np.maximum(path_um[:, rings.state], np.float32(0.0))
    return np.asarray(paths * rings.grains_per_um.astype(np.float32))


def ring_displacements(rings: Rings, path_um: Singles, moment_um2: Singles) -> Singles:
    """Return the mean displacement of every ring's material along the beam, (ray, ring), µm.

    ``path_um`` and ``moment_um2`` (ray, state) as in :class:`forward.sinogram.Rays`.
    """
    mean = np.divide(moment_um2, path_um, out=np.zeros_like(path_um), where=path_um > 0.0)
    return np.asarray(mean[:, rings.state])


@compiled_fast
def add_smooth_rings(
    photons: Singles,
    counts: Singles,
    transmitted: float,
    drawn: NDArray[np.bool_],
    rings: Rings,
    displacement_um: Singles,
) -> None:
    """Add rings of ``counts`` grains, smooth in azimuth, to one exposure's ``photons`` (node,).

    ``transmitted`` photons of the beam make each grain shine; rings not ``drawn`` are left out.
    ``displacement_um`` (ring,) is where along the beam their material is on average.
    """
    for ring in range(counts.size):
        if not drawn[ring] or counts[ring] <= 0.0:
            continue
        amount = np.float32(counts[ring] * transmitted / rings.grains_per_um[ring])
        low, start, moved = rings.first_node[ring], rings.start[ring], displacement_um[ring]
        for i in range(max(0, -low), min(rings.width[ring], photons.size - low)):
            value = rings.values_per_um[start + i] + moved * rings.derivative_per_um2[start + i]
            photons[low + i] += amount * value


class SpotStamp(NamedTuple):
    """How spots of a given width lie on a given detector."""

    reach_px: float
    """Distance along the ring beyond which a spot ends."""
    profile: Singles
    """a(t) at ``_TABLE_STEPS`` equal steps from 0 to the reach, then zero."""
    to_slopes: Doubles
    """(3, 3): (row, column, 1) of a place on the detector to its direction."""
    to_place: Doubles
    """Its inverse up to a factor; pixel centres have whole numbers."""


def spot_stamp(plane: Plane, *, pixel_um: float, grains: Grains) -> SpotStamp:
    """Return the stamp for a detector that stands at ``plane``."""
    reach_px = spot_reach_px(grains.spot_fwhm_px)
    t = np.linspace(0.0, reach_px, _TABLE_STEPS + 1)
    profile = spot_profile_per_px(t, fwhm_px=grains.spot_fwhm_px)
    profile[-1] = 0.0
    profile /= 2.0 * np.trapezoid(profile, t)
    pixel_m = pixel_um * 1e-6
    own = np.array(
        [
            [pixel_m, 0.0, 0.5 * pixel_m - plane.poni1_m],
            [0.0, pixel_m, 0.5 * pixel_m - plane.poni2_m],
            [0.0, 0.0, plane.distance_m],
        ]
    )
    to_slopes = plane.rotation @ own / plane.distance_m
    return SpotStamp(
        reach_px=reach_px,
        profile=np.append(profile, 0.0).astype(np.float32),
        to_slopes=to_slopes,
        to_place=np.linalg.inv(to_slopes),
    )


@dataclass(frozen=True, eq=False)
class Spots:
    """The spots of one exposure, each field of shape (spot,), in order of the rows they lie in."""

    ring: Ints
    azimuth_rad: Doubles


def smooth_rings(
    mean: Singles, *, rings: Rings, stamp: SpotStamp, grains: Grains
) -> NDArray[np.bool_]:
    """Return which rings are drawn without spots, of ``mean`` grains (ring,), shape (ring,).

    Those of a line whose states together have more than ``dense_per_pixel`` spots to a pixel, and
    rings hardly larger than a spot.
    """
    n_lines = int(rings.line.max(initial=-1)) + 1
    density = np.bincount(rings.line, mean / (2.0 * np.pi * rings.radius_px), n_lines)
    small = rings.radius_px < _SMALLEST_RADIUS * stamp.reach_px
    return np.asarray(small | (density > grains.dense_per_pixel)[rings.line])


def draw_spots(counts: Singles, key: Words, *, frame: int, rings: Rings, stamp: SpotStamp) -> Spots:
    """Return spots at random azimuths, ``counts`` (ring,) of each ring."""
    total = int(counts.sum(dtype=np.float64))
    ring, azimuth, band = np.empty(total, np.int64), np.empty(total), np.empty(total, np.int16)
    _scatter(counts, frame, key[0], key[1], rings, stamp, ring, azimuth, band)
    order = np.argsort(band, kind="stable")  # rows at hand stay in the cache
    return Spots(ring[order], azimuth[order])


@compiled
def _scatter(
    counts: Singles,
    frame: int,
    k0: np.uint32,
    k1: np.uint32,
    rings: Rings,
    stamp: SpotStamp,
    ring_of_spot: Ints,
    azimuth_rad: Doubles,
    band: NDArray[np.int16],
) -> None:
    """Draw azimuths, and find the band of rows that each spot lies in."""
    spot = 0
    for ring in range(counts.size):
        slope = 0.5 * (rings.low_slope[ring] + rings.high_slope[ring])
        for number in range(int(counts[ring])):
            if number % 4 == 0:
                words = philox4x32(number // 4, _AZIMUTH_ROW + ring, STAGE, frame, k0, k1)
            chi = 2.0 * np.pi * uniform(words[number % 4])
            row, _ = _place(stamp.to_place, slope, np.sin(chi), np.cos(chi))
            ring_of_spot[spot], azimuth_rad[spot] = ring, chi
            band[spot] = min(max(row, -_BAND_ROWS), 30_000.0 * _BAND_ROWS) / _BAND_ROWS
            spot += 1


@compiled
def _place(to_place: Doubles, slope: float, sine: float, cosine: float) -> tuple[float, float]:
    """Return row and column where photons of tan2θ = ``slope`` meet the detector."""
    x1, x2 = slope * sine, slope * cosine
    scale = 1.0 / (to_place[2, 0] * x1 + to_place[2, 1] * x2 + to_place[2, 2])
    return (
        scale * (to_place[0, 0] * x1 + to_place[0, 1] * x2 + to_place[0, 2]),
        scale * (to_place[1, 0] * x1 + to_place[1, 1] * x2 + to_place[1, 2]),
    )


@compiled
def _outline(
    chi: float, half: float, low_slope: float, high_slope: float, to_place: Doubles, sides: Doubles
) -> tuple[float, float]:
    """Find the quadrilateral around a spot; return its first and last row.

    Side k bounds columns from below by sides[k, 0] + row · sides[k, 1] and from above by
    sides[k, 2] + row · sides[k, 3].
    """
    sine, cosine, turn_sine, turn_cosine = np.sin(chi), np.cos(chi), np.sin(half), np.cos(half)
    sine_a, cosine_a = (
        sine * turn_cosine - cosine * turn_sine,
        cosine * turn_cosine + sine * turn_sine,
    )
    sine_b, cosine_b = (
        sine * turn_cosine + cosine * turn_sine,
        cosine * turn_cosine - sine * turn_sine,
    )
    outer = high_slope / turn_cosine
    corners = (
        _place(to_place, low_slope, sine_a, cosine_a),
        _place(to_place, low_slope, sine_b, cosine_b),
        _place(to_place, outer, sine_b, cosine_b),
        _place(to_place, outer, sine_a, cosine_a),
    )
    middle_row = 0.25 * (corners[0][0] + corners[1][0] + corners[2][0] + corners[3][0])
    middle_column = 0.25 * (corners[0][1] + corners[1][1] + corners[2][1] + corners[3][1])
    top, bottom = corners[3][0], corners[3][0]
    for k in range(4):
        row, column = corners[k]
        next_row, next_column = corners[(k + 1) % 4]
        top, bottom = min(top, row), max(bottom, row)
        sides[k, 0], sides[k, 1], sides[k, 2], sides[k, 3] = -np.inf, 0.0, np.inf, 0.0
        if next_row != row:
            slope = (next_column - column) / (next_row - row)
            offset = column - slope * row
            side = 0 if middle_column > offset + slope * middle_row else 2
            sides[k, side], sides[k, side + 1] = offset, slope
    return top, bottom


@compiled_fast
def stamp_spots(
    expected: Singles,
    node: Singles,
    weight: Singles,
    factor_row: Singles,
    factor_column: Singles,
    transmitted: float,
    ring_of_spot: Ints,
    azimuth_rad: Doubles,
    rings: Rings,
    stamp: SpotStamp,
    displacement_um: Singles,
) -> None:
    """Add spots to a frame of ``expected`` photons (row, column), in place.

    ``node`` and ``weight`` as in :class:`forward.pixels.PixelMap`, ``factor_row`` and
    ``factor_column`` as in :func:`forward.pixels.expected_frame`; ``transmitted`` photons of the
    beam make each grain shine; ``displacement_um`` as in `add_smooth_rings`. Spots as in
    :class:`Spots`.
    """
    n_rows, n_columns = expected.shape
    sides = np.empty((4, 4))
    curve = np.empty(max(1, rings.width.max()), np.float32)
    profile, to = stamp.profile, stamp.to_slopes
    steps = np.float32(profile.size - 2)
    zero, one, nxt = np.float32(0.0), np.float32(1.0), np.uintp(1)
    third, fifth = np.float32(1.0 / 3.0), np.float32(0.2)  # of the arc tangent's series
    for spot in range(ring_of_spot.size):
        ring, chi = ring_of_spot[spot], azimuth_rad[spot]
        radius = rings.radius_px[ring]
        top, bottom = _outline(
            chi, stamp.reach_px / radius, rings.low_slope[ring], rings.high_slope[ring],
            stamp.to_place, sides,
        )  # fmt: skip
        sine, cosine = np.sin(chi), np.cos(chi)
        across_row = to[0, 0] * cosine - to[1, 0] * sine
        across_column = to[0, 1] * cosine - to[1, 1] * sine
        across = to[0, 2] * cosine - to[1, 2] * sine
        along_row = to[0, 0] * sine + to[1, 0] * cosine
        along_column = to[0, 1] * sine + to[1, 1] * cosine
        along = to[0, 2] * sine + to[1, 2] * cosine
        amount = 2.0 * np.pi * radius * transmitted / rings.grains_per_um[ring]
        per_rad = np.float32(radius / stamp.reach_px) * steps
        start, width = rings.start[ring], rings.width[ring]
        moved = displacement_um[ring]
        for i in range(width):
            change = moved * rings.derivative_per_um2[start + i]
            curve[i] = rings.values_per_um[start + i] + change
        first_node, last = np.float32(rings.first_node[ring]), np.float32(width - 1)
        for row in range(max(0, int(np.ceil(top))), min(n_rows - 1, int(np.floor(bottom))) + 1):
            left, right = 0.0, n_columns - 1.0
            for k in range(4):
                left = max(left, sides[k, 0] + row * sides[k, 1])
                right = min(right, sides[k, 2] + row * sides[k, 3])
            first, stop = int(np.ceil(left)), int(np.floor(right)) + 1
            if stop <= first:
                continue
            height = np.float32(amount * factor_row[row])
            across_first = np.float32(across_row * row + across_column * first + across)
            along_first = np.float32(along_row * row + along_column * first + along)
            across_step, along_step = np.float32(across_column), np.float32(along_column)
            frame, places = expected[row, first:stop], node[row, first:stop]
            weights, factors = weight[row, first:stop], factor_column[first:stop]
            for k in range(stop - first):
                depth = places[k] - first_node
                if depth < zero or depth >= last:
                    continue
                # Unsigned places spare the test for negative ones, which count from the end.
                whole = np.int32(depth)
                j = np.uintp(whole)
                value = curve[j] + (depth - np.float32(whole)) * (curve[j + nxt] - curve[j])
                step = np.float32(k)
                tangent = (across_first + across_step * step) / (along_first + along_step * step)
                square = tangent * tangent
                distance = abs(tangent) * (one - square * (third - fifth * square))
                place = min(distance * per_rad, steps)
                whole = np.int32(place)
                at = np.uintp(whole)
                slope = profile[at + nxt] - profile[at]
                spread = profile[at] + (place - np.float32(whole)) * slope
                frame[k] += height * spread * value * weights[k] * factors[k]
