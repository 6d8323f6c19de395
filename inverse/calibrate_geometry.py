"""Where the detector stands, from one frame of a calibrant: distance, beam centre and tilt.

First as at a beamline: pyFAI picks points on the rings and refines its geometry against the d of
the calibrant (Kieffer et al., J. Synchrotron Rad. 27 (2020) 558). What it picks are maxima, which
scatter, and a ring's maximum lies inside its mean where the depth of the sensor makes it skew.

Then it is measured from all pixels by how much 2θ of each sector of each ring is too large
(:mod:`inverse.ring_positions`), and

    −δ2θ = Σ_p (∂2θ/∂p) Δp,    p = distance, poni1, poni2, rot1, rot2,

is solved by weighted least squares, again and again until nothing moves. What is measured are
centroids, and 2θ that allows for the *mean* depth of absorption is meant to be right for these.

On simulated frames of LaB6 (50 keV, 0.7 m, tallest pixel 4e4 counts) the points leave 2θ wrong by
up to 6e-6 rad and the distance by 8 ppm, all pixels by 2e-7 rad and 0.5 ppm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.pixel_bins import pyfai_integrator
from inverse.ring_positions import RingPixels, sector_positions
from xrdct.compiled import single_threaded_algebra
from xrdct.crystal import Crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, detector_plane
from xrdct.normal import SIGMA_PER_MAD
from xrdct.plane import place_m, sight
from xrdct.reflections import powder_reflections

if TYPE_CHECKING:
    from pyFAI.goniometer import SingleGeometry
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

Floats = NDArray[np.float64]

_PARAMETERS = ("distance_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad")
_PYFAI_NAMES = ("dist", "poni1", "poni2", "rot1", "rot2")

_FEWEST_RINGS = 3
_FEWEST_POINTS = 100
_FIRST_RINGS = 5
"""The innermost rings lie furthest apart: pyFAI looks for them first."""
_FAINTEST = 0.02
"""Power of a ring, of the strongest one's, below which it is not looked for, and"""
_UNNOTICED = 1e-3
"""below which it does not count as a neighbour."""
_REACH_PX, _LEAST_REACH_PX = 12.0, 5.0
"""Half the width of a ring's window: as a rule, and at least if neighbours are near."""
_OWN_SHARE = 0.45
"""How much of the way to its neighbour a ring's window takes at most."""
_PICKED_RMS_PX = 1.0
"""Largest residual of points picked; in noise, or beside rings, they scatter by several pixels."""
_RING_RMS_PX = 0.1
"""Largest residual of whole rings in the end: a wrong cell moves them against each other."""
_DISTANCE_CHANGE = 2e-3
"""Largest change of distance that is believed: 3.6e-3 lie between the cells of Si and CeO2."""
_CENTRE_CHANGE_PX = 30.0
_TILT_CHANGE_RAD = 0.03
_FLOOR_PX = 2e-3
"""Error of a sector's position below which no number of photons brings it: pixels are unequal."""
_OUTLIER = 8.0
"""Robust standard deviations beyond which a sector is left out."""
_PASSES = 8
_STILL_PX = 2e-4


@dataclass(frozen=True, eq=False)
class _Task:
    """A frame, and what is known of it."""

    counts: NDArray[np.int64]
    usable: NDArray[np.bool_]
    """Pixels that counted, (row, column)."""
    calibrant: Crystal
    detector: Detector
    beam: Beam
    sensor_parallax: bool
    pixel_rad: float
    """A pixel over the nominal distance: the unit of angles that are told in pixels."""
    ring_d_A: Floats
    ring_rad: Floats
    """2θ of rings that are strong and stand apart, in rising order, (ring,)."""
    reach_rad: Floats
    """Half the width of the window that is theirs alone, (ring,)."""

    def integrator(self, geometry: Geometry, *, sensor_parallax: bool) -> AzimuthalIntegrator:
        """Return pyFAI's integrator of a geometry."""
        return pyfai_integrator(
            geometry, detector=self.detector, beam=self.beam, sensor_parallax=sensor_parallax
        )


@dataclass(frozen=True, eq=False)
class _Points:
    """By how much 2θ of sectors of rings is too large, (point,)."""

    ring: NDArray[np.int64]
    azimuth_rad: Floats
    excess_rad: Floats
    sigma_rad: Floats


def calibrate_geometry(
    frame: ArrayLike,
    *,
    calibrant: Crystal,
    geometry: Geometry,
    detector: Detector,
    beam: Beam,
    sensor_parallax: bool = True,
) -> Geometry:
    """Return ``geometry`` with the distance, poni, rot1 and rot2 that a calibrant's frame shows.

    ``frame`` (row, column) holds counts; negative pixels are left out. ``geometry`` is the nominal
    one: its five innermost rings must lie within a quarter of their spacing of the true ones. Its
    rot3, which rings do not show, and its 2θ channels are kept. ``sensor_parallax`` says whether
    2θ allows for the depth of absorption, as it must in the integration that uses the result.

    Raises InputError for a frame of another shape; for fewer than three separate rings of the
    calibrant on the detector, or showing in the frame; for rings that do not fit (points by
    1 pixel or whole rings by 0.1 pixel, rms) or do not settle; and for changes beyond
    0.2 % of the distance, 30 pixels of the centre or 30 mrad of tilt.
    """
    task = _task(np.asarray(frame), calibrant, geometry, detector, beam, sensor_parallax)
    found = _picked(task, geometry)
    _check_change(task, found, nominal=geometry)
    with single_threaded_algebra():
        for _ in range(_PASSES):
            points = _points(task, found)
            found, moved_px = _moved(task, found, points)
            _check_change(task, found, nominal=geometry)
            if moved_px < _STILL_PX:
                break
    if moved_px > _RING_RMS_PX:
        raise InputError(
            f"the rings in the calibrant's frame must settle, but those of {calibrant.name} still "
            f"move by {moved_px:.2g} pixel after {_PASSES} passes"
        )
    _check_rings(task, points)
    return found


def _task(
    counts: NDArray[np.int64],
    calibrant: Crystal,
    geometry: Geometry,
    detector: Detector,
    beam: Beam,
    sensor_parallax: bool,
) -> _Task:
    """Return what is to be done: check the frame and choose the rings."""
    if counts.shape != detector.shape:
        raise InputError(
            f"a calibrant's frame must have the detector's shape {detector.shape}, "
            f"not {counts.shape}"
        )
    (rows, columns), pixel_m = detector.shape, detector.pixel_um * 1e-6
    plane = detector_plane(geometry, detector)
    corners = sight(plane, [[0.0], [rows * pixel_m]], [[0.0, columns * pixel_m]])
    last_rad, pixel_rad = float(corners.two_theta_rad.max()), pixel_m / plane.distance_m
    lines = powder_reflections(
        calibrant, energy_keV=beam.energy_keV, two_theta_max_rad=1.1 * last_rad
    )
    sin_theta = 0.5 * beam.wavelength_A / lines.d_A
    power = lines.multiplicity * lines.f_squared_e2 / sin_theta
    noticed = power > _UNNOTICED * power.max(initial=0.0)
    d_A, ring_rad, power = lines.d_A[noticed], 2.0 * np.arcsin(sin_theta[noticed]), power[noticed]
    apart = np.diff(ring_rad, prepend=-np.inf, append=np.inf)
    reach_rad = np.minimum(_REACH_PX * pixel_rad, _OWN_SHARE * np.minimum(apart[:-1], apart[1:]))
    good = (power > _FAINTEST * power.max(initial=0.0)) & (ring_rad + reach_rad < last_rad)
    good &= reach_rad >= _LEAST_REACH_PX * pixel_rad
    if good.sum() < _FEWEST_RINGS:
        raise InputError(
            f"a calibrant needs at least {_FEWEST_RINGS} separate rings on the detector, but "
            f"{calibrant.name} has {good.sum()} within 2θ = {np.rad2deg(last_rad):.3g}°"
        )
    return _Task(
        counts, detector.live & (counts >= 0), calibrant, detector, beam, sensor_parallax,
        pixel_rad, d_A[good], ring_rad[good], reach_rad[good],
    )  # fmt: skip


def _picked(task: _Task, geometry: Geometry) -> Geometry:
    """Return the geometry that pyFAI refines against points it picks on the rings."""
    single = _single_geometry(task, geometry)
    refinement = single.geometry_refinement
    for n_rings in (_FIRST_RINGS, task.ring_rad.size):
        with _same_shuffle():
            single.extract_cp(max_rings=n_rings, pts_per_deg=1.0)
        n_points = len(refinement.data)
        if n_points < _FEWEST_POINTS:
            raise InputError(
                f"at least {_FEWEST_POINTS} points on rings of {task.calibrant.name} must show in "
                f"the calibrant's frame, but pyFAI finds {n_points}"
            )
        mean_square = refinement.refine3(fix=["rot3", "wavelength"])
    rms_px = float(np.sqrt(mean_square)) / task.pixel_rad
    if not rms_px <= _PICKED_RMS_PX:
        raise InputError(
            f"points on rings of {task.calibrant.name} must fit one geometry within "
            f"{_PICKED_RMS_PX:g} pixel, but those in the calibrant's frame scatter by {rms_px:.2g}"
        )
    return _with(geometry, np.array([getattr(refinement, name) for name in _PYFAI_NAMES]))


def _single_geometry(task: _Task, geometry: Geometry) -> SingleGeometry:
    """Return pyFAI's picker of points and refinement, with parallax where asked for."""
    from pyFAI.calibrant import Calibrant
    from pyFAI.goniometer import SingleGeometry

    start = task.integrator(geometry, sensor_parallax=False)
    start.detector.mask = ~task.usable
    calibrant = Calibrant(dspacing=task.ring_d_A.tolist(), wavelength=start.wavelength)
    single = SingleGeometry(
        "calibrant", image=task.counts, calibrant=calibrant, detector=start.detector, geometry=start
    )
    if task.sensor_parallax:
        corrected = task.integrator(geometry, sensor_parallax=True)
        single.geometry_refinement.parallax = corrected.parallax
    return single


@contextmanager
def _same_shuffle() -> Iterator[None]:
    """Let pyFAI, which shuffles with NumPy's global generator, do so the same way every time."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _with(geometry: Geometry, values: Floats) -> Geometry:
    return geometry.model_copy(update=dict(zip(_PARAMETERS, values.tolist(), strict=True)))


def _points(task: _Task, geometry: Geometry) -> _Points:
    """Measure where the sectors of all rings stand in ``geometry``."""
    integrator = task.integrator(geometry, sensor_parallax=task.sensor_parallax)
    two_theta = integrator.center_array(unit="2th_rad", scale=False).ravel()
    pixel = np.flatnonzero(task.usable)
    pixel = pixel[np.argsort(two_theta[pixel], kind="stable")]
    two_theta, counts = two_theta[pixel].astype(np.float64), task.counts.ravel()[pixel]
    first = np.searchsorted(two_theta, task.ring_rad - task.reach_rad)
    stop = np.searchsorted(two_theta, task.ring_rad + task.reach_rad)
    plane, pixel_m = detector_plane(geometry, task.detector), task.detector.pixel_um * 1e-6
    columns = []
    for k, (ring_rad, reach_rad) in enumerate(zip(task.ring_rad, task.reach_rad, strict=True)):
        own = slice(first[k], stop[k])
        row, column = np.divmod(pixel[own], task.detector.shape[1])
        # A pixel sees cos³2θ/sin2θ of a radian: its solid angle over the ring's.
        per_count = np.sin(two_theta[own]) / np.cos(two_theta[own]) ** 3
        positions = sector_positions(
            RingPixels(
                x=(two_theta[own] - ring_rad) / reach_rad,
                y=counts[own] * per_count,
                per_count=per_count,
                azimuth_rad=sight(
                    plane, (row + 0.5) * pixel_m, (column + 0.5) * pixel_m
                ).azimuth_rad,
            ),
            reach_px=reach_rad / task.pixel_rad,
        )
        if positions is not None:
            ring = np.full(positions.x.size, k)
            # What sectors share is spread over them, so that their mean has the right error.
            spread = np.hypot(positions.sigma, np.sqrt(ring.size) * positions.common_sigma)
            sigma_rad = np.hypot(spread * reach_rad, _FLOOR_PX * task.pixel_rad)
            columns.append((ring, positions.azimuth_rad, positions.x * reach_rad, sigma_rad))
    if len(columns) < _FEWEST_RINGS:
        raise InputError(
            f"at least {_FEWEST_RINGS} rings of {task.calibrant.name} must stand out in the "
            f"calibrant's frame, but {len(columns)} do"
        )
    return _Points(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


def _moved(task: _Task, geometry: Geometry, points: _Points) -> tuple[Geometry, float]:
    """Return the geometry in which the points stand best, and by how much 2θ moves, pixels."""
    plane = detector_plane(geometry, task.detector)
    where = place_m(plane, task.ring_rad[points.ring], points.azimuth_rad)
    values = np.array([getattr(plane, name) for name in _PARAMETERS])
    # Steps that move rings by a tenth of a pixel or less, where 2θ is linear in them.
    steps = np.array([1e-4 * plane.distance_m, 1e-5, 1e-5, 1e-4, 1e-4])
    here = sight(plane, *where).two_theta_rad
    slope = np.empty((here.size, steps.size))
    for k, stepped in enumerate(values + np.diag(steps)):
        other = detector_plane(_with(geometry, stepped), task.detector)
        slope[:, k] = sight(other, *where).two_theta_rad - here
    kept = np.ones(here.size, bool)
    for _ in range(3):
        weight = kept / points.sigma_rad
        change, *_ = np.linalg.lstsq(slope * weight[:, None], -points.excess_rad * weight, None)
        left = np.abs(points.excess_rad + slope @ change) / points.sigma_rad
        kept = left <= _OUTLIER * max(SIGMA_PER_MAD * float(np.median(left)), 1.0)
    moved_px = float(np.abs(slope @ change).max()) / task.pixel_rad
    return _with(geometry, values + steps * change), moved_px


def _check_rings(task: _Task, points: _Points) -> None:
    """Raise InputError where rings stand apart from where the calibrant's should."""
    weight = points.sigma_rad**-2.0
    of_ring = np.bincount(points.ring, weight)
    excess_rad = np.bincount(points.ring, weight * points.excess_rad) / np.maximum(of_ring, 1.0)
    rms_px = float(np.sqrt(np.average(excess_rad**2, weights=of_ring))) / task.pixel_rad
    if not rms_px <= _RING_RMS_PX:
        raise InputError(
            f"rings of {task.calibrant.name} must fit one geometry within {_RING_RMS_PX:g} pixel, "
            f"but those in the calibrant's frame deviate by {rms_px:.2g}"
        )


def _check_change(task: _Task, found: Geometry, *, nominal: Geometry) -> None:
    """Raise InputError where the geometry ran away."""
    now, before = (detector_plane(g, task.detector) for g in (found, nominal))
    centres_px = [
        np.array(place_m(plane, 0.0, 0.0)) * 1e6 / task.detector.pixel_um for plane in (now, before)
    ]
    tilts = [np.array([plane.rot1_rad, plane.rot2_rad]) for plane in (now, before)]
    for name, change, limit, unit in (
        ("distance", abs(now.distance_m / before.distance_m - 1.0), _DISTANCE_CHANGE, ""),
        ("beam centre", np.hypot(*(centres_px[0] - centres_px[1])), _CENTRE_CHANGE_PX, " pixels"),
        ("tilt", np.hypot(*(tilts[0] - tilts[1])), _TILT_CHANGE_RAD, " rad"),
    ):
        if not change <= limit:
            raise InputError(
                f"the calibrant's frame must show {task.calibrant.name} near the nominal geometry, "
                f"but the {name} would change by {change:.2g}{unit}, more than {limit:g}"
            )
