"""How a pattern looks when its origin is displaced along the beam, and on other channels.

What lies at s along the beam, towards the detector, makes rings of radius (D − s)·tan2θ, so that
what belongs to 2θ appears at

    2θ′ = arctan(tan2θ · (D − s)/D).

Photons keep their ring: a pattern v in 1/rad becomes v′(2θ′) = v(2θ)·d2θ/d2θ′. Its integral up to
the edges of channels is interpolated (natural cubic spline, through the sums of the channels), so
nothing is gained or lost whatever the displacement or the new channels. All of this is linear: a
matrix for every displacement.

Source: PHYSICS 4, sample parallax.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from xrdct.errors import InputError

NODE_CHANNELS = 0.5
"""How far a ring moves, in channels, from one node of the displacement to the next, at most.

Linear interpolation between nodes keeps amount and position of a line, and adds up to a quarter of
this squared, 0.06 channels², to its variance: 4 % for a line 3 channels wide, and half of that on
average.
"""

_NEGLIGIBLE = 1e-7
"""Elements of a matrix below this are left out: a spline's influence falls off by 4 a channel."""

Floats = NDArray[np.float64]


def displaced_two_theta_rad(
    two_theta_rad: ArrayLike, *, displacement_um: float, distance_m: float
) -> Floats:
    """Return the true 2θ of what appears at ``two_theta_rad``, an array of any shape.

    Raises InputError where the displacement reaches the detector.
    """
    closer = 1.0 - 1e-6 * displacement_um / distance_m
    if not closer > 0.0:
        raise InputError(
            f"A displacement of {displacement_um:g} µm must be smaller than the distance of "
            f"{distance_m:g} m to the detector."
        )
    return np.asarray(np.arctan(np.tan(np.asarray(two_theta_rad, dtype=float)) / closer))


def displacement_nodes_um(two_theta_rad: Floats, *, reach_um: float, distance_m: float) -> Floats:
    """Return displacements, evenly over ± ``reach_um``, between which patterns change little.

    Neighbours shift no ring by more than ``NODE_CHANNELS`` channels against each other. There are
    at least two.
    """
    width_rad = float(np.min(np.diff(two_theta_rad)))
    shift_rad = float(np.max(np.sin(two_theta_rad) * np.cos(two_theta_rad))) / (1e6 * distance_m)
    gaps = int(np.ceil(2.0 * reach_um * shift_rad / (NODE_CHANNELS * width_rad)))
    return np.linspace(-reach_um, reach_um, max(gaps, 1) + 1)


def displacement_matrix(
    two_theta_rad: Floats,
    *,
    onto_rad: Floats,
    measured: NDArray[np.bool_],
    displacement_um: float,
    distance_m: float,
) -> NDArray[np.float32]:
    """Return what turns a pattern of s = 0 into that of a displacement, (onto, channel).

    Centres of channels rise. Of the pattern, channels not ``measured`` (channel,) are not read;
    near their border, and near the ends, the pattern is continued by the density there. Rows of
    channels that :func:`covered_channels` does not list are zero.
    """
    if displacement_um == 0.0 and np.array_equal(two_theta_rad, onto_rad):
        return np.diag(measured).astype(np.float32)
    matrix = np.zeros((onto_rad.size, two_theta_rad.size))
    edges, wanted = channel_edges(two_theta_rad), channel_edges(onto_rad)
    seen = displaced_two_theta_rad(wanted, displacement_um=displacement_um, distance_m=distance_m)
    for run in _runs(measured):
        rows = np.flatnonzero((onto_rad >= edges[run.start]) & (onto_rad < edges[run.stop]))
        if rows.size == 0:
            continue
        needed = np.append(rows, rows[-1] + 1)
        sums = _sums_up_to(seen[needed], edges[run.start : run.stop + 1])
        matrix[rows, run] = np.diff(sums, axis=0) / np.diff(wanted)[rows, None]
    matrix[np.abs(matrix) < _NEGLIGIBLE] = 0.0
    return matrix.astype(np.float32)


def covered_channels(
    two_theta_rad: Floats, *, onto_rad: Floats, measured: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which channels of ``onto_rad`` have their centre in a measured channel, (onto,)."""
    if np.array_equal(two_theta_rad, onto_rad):
        return measured
    edges = channel_edges(two_theta_rad)
    place = np.searchsorted(edges, onto_rad, side="right") - 1
    inside = (place >= 0) & (place < two_theta_rad.size)
    return np.asarray(inside & measured[np.clip(place, 0, two_theta_rad.size - 1)])


def channel_edges(two_theta_rad: Floats) -> Floats:
    """Return the edges of channels, (channel + 1,), halfway between their centres.

    Raises InputError where there are no two centres, or they do not rise.
    """
    steps = np.diff(two_theta_rad)
    if two_theta_rad.size < 2 or not np.all(steps > 0.0):
        raise InputError(
            "two_theta_rad must be at least two rising centres of channels, "
            f"not {two_theta_rad.size} with a smallest step of {steps.min(initial=np.nan):g}."
        )
    middle = two_theta_rad[:-1] + 0.5 * steps
    first, last = two_theta_rad[0] - 0.5 * steps[0], two_theta_rad[-1] + 0.5 * steps[-1]
    return np.concatenate([[first], middle, [last]])


def _runs(measured: NDArray[np.bool_]) -> list[slice]:
    """Return the runs of neighbouring measured channels."""
    change = np.diff(np.concatenate([[0], measured.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    return [slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]


def _sums_up_to(places: Floats, edges: Floats) -> Floats:
    """Return the integral of each channel's unit density up to ``places``, (place, channel)."""
    spline = _spline_of_sums(tuple(edges.tolist()))
    within = np.clip(places, edges[0], edges[-1])
    sums = np.asarray(spline(within))
    for beyond, edge in ((places < edges[0], edges[0]), (places > edges[-1], edges[-1])):
        sums[beyond] += spline(edge, 1) * (places[beyond] - edge)[:, None]
    return sums


@lru_cache(maxsize=2)
def _spline_of_sums(edges: tuple[float, ...]) -> CubicSpline:
    """Return the spline through the integrals of every channel's unit density; 30 MB for 1000."""
    widths = np.diff(edges)
    up_to = np.tril(np.ones((widths.size, widths.size))) * widths
    return CubicSpline(edges, np.vstack([np.zeros(widths.size), up_to]), bc_type="natural")
