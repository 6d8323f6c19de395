"""One exposure in pattern mode and in frame mode, for benchmarks.equivalence and its tests.

Everything is switched off but what is asked for; the analysis knows where the detector stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from forward.frames import FrameModel, expected_photons, line_tables
from forward.grains import Grains, acceptance_rad, beam_area_um2, grains_per_um3
from forward.philox import stream_key
from forward.settings import Effects
from forward.simulate import simulate_scan
from inverse.integrate import integrate_frame, integrator
from inverse.integration import Integration
from inverse.pixel_bins import PixelBins, pyfai_integrator
from inverse.recipe import Calibration, Recipe
from phantoms.cell import Cell
from phantoms.particle import Particle, RadialLaw
from validation.experiment import Experiment, ParticleList
from validation.laboratory import laboratory
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.rawfile import RawScan
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Frame = NDArray[np.int32]

BEAM = Beam(flux_per_s=1e12)
CUTS = {"trimmed_5_5": 0.05, "trimmed_10_10": 0.1}
"""What trimmed means leave out at either end."""
METHODS = ("mean", *CUTS)
NAMES = {"mean": "mean", "trimmed_5_5": "5/5", "trimmed_10_10": "10/10"}
SWITCHES = tuple(name for name in Effects.model_fields if name != "beam_size")
SMOOTH = ("parallax", "sensor_parallax", "attenuation", "exit_path", "diffuse", "cell")
"""Effects that both modes have and that leave rings smooth."""
_PARTICLE = Particle(
    centre_um=(0.0, 300.0, 0.0), diameter_um=24.0, x=RadialLaw(core=0.98, surface=0.85),
    crystallite_size_nm=100.0, strain=5e-4, grain_um=0.1,
)  # fmt: skip
_A = 8.2
"""Lattice parameter of a spinel, Å."""
FULL_A = 8.245
"""That of LiMn2O4 itself."""
_SPOTTY_UM = 60.0
_FINE = 4
"""Fine channels to a channel."""


def experiment(
    on: Collection[str] = (), *, particle: Particle = _PARTICLE, method: str = "mean", **more: Any
) -> Experiment:
    """Return an experiment with the effects ``on``; ``more`` replaces its parts.

    The recipe corrects for the sensor's depth only where there is one.
    """
    parts: dict[str, Any] = {
        "sample": ParticleList(particles=(particle,)),
        "scan": Scan(n_offsets=2, step_um=0.01, n_angles=1),
        "cell": Cell(),
        "effects": Effects(**{name: name in on for name in SWITCHES}),
    }
    made = Experiment(**(parts | more))
    recipe = Recipe(
        integration=Integration(method=method, sensor_parallax="sensor_parallax" in on),
        calibration=Calibration(distance_m=made.geometry.distance_m, geometry=made.geometry),
    )
    return made.model_copy(update={"recipe": recipe})


def changed(experiment: Experiment, **integration: Any) -> Experiment:
    """Return the experiment with some entries of its recipe's integration replaced."""
    recipe = experiment.recipe
    own = recipe.integration.model_copy(update=integration)
    return experiment.model_copy(update={"recipe": recipe.model_copy(update={"integration": own})})


def pattern_scan(experiment: Experiment) -> RawScan:
    """Measure the scan in pattern mode."""
    lab = laboratory(experiment)
    return simulate_scan(
        lab.prepared("patterns"), scan=experiment.scan, seed=experiment.seed,
        conditions=lab.conditions[0], grains=experiment.grains,
        statistics=lab.statistics(experiment.recipe),
    )  # fmt: skip


def pattern(experiment: Experiment) -> Floats:
    """Return its first exposure, in counts of each channel."""
    return np.asarray(pattern_scan(experiment).counts[0, 0], float)


def integrated(experiment: Experiment, geometry: Geometry | None = None) -> Floats:
    """Return the same of the first exposure in frame mode, integrated as ``geometry`` believes."""
    lab = laboratory(experiment)
    model = lab.detector(lab.prepared("frames"))
    scanner = lab.scanner(model, 0)
    bins = bins_of(experiment, geometry, flat=model.known_flat)
    value, _ = integrate_frame(scanner.frame(0), bins, experiment.recipe.integration)
    return np.asarray(value * per_channel(experiment) / scanner.counts_per_photon)


def bins_of(
    experiment: Experiment, geometry: Geometry | None = None, *, flat: Singles | None = None
) -> PixelBins:
    """Return the pixels of each channel."""
    place, own = geometry or experiment.geometry, experiment.recipe.integration
    if flat is None or (flat == 1.0).all():
        return _even_bins(place, experiment.detector, experiment.beam, own)
    return integrator(
        place, detector=experiment.detector, beam=experiment.beam, integration=own, flat=flat
    )


@lru_cache(maxsize=8)
def _even_bins(
    geometry: Geometry, detector: Detector, beam: Beam, integration: Integration
) -> PixelBins:
    return integrator(geometry, detector=detector, beam=beam, integration=integration)


@lru_cache(maxsize=4)
def _pixel_angles(
    geometry: Geometry, detector: Detector, beam: Beam, integration: Integration
) -> Floats:
    """Return what 2θ pyFAI gives each entry of the pixels of all channels."""
    pyfai = pyfai_integrator(
        geometry, detector=detector, beam=beam, sensor_parallax=integration.sensor_parallax
    )
    angle = pyfai.center_array(unit="2th_rad", scale=False).ravel()
    return np.asarray(angle[_even_bins(geometry, detector, beam, integration).pixel])


def per_channel(experiment: Experiment) -> Floats:
    """Return what turns photons per radian of whole rings into counts of each channel."""
    acceptance = ring_acceptance(
        experiment.geometry, detector=experiment.detector, polarisation=experiment.beam.polarisation
    )
    return acceptance * experiment.geometry.channel_width_rad


def seen_share(experiment: Experiment) -> Floats:
    """Return how much of each channel's ring lies on live pixels, (channel,)."""
    geometry = experiment.geometry
    seen = ring_acceptance(geometry, detector=experiment.detector, polarisation=0.0)
    return np.asarray(seen / (0.5 * (1.0 + np.cos(geometry.two_theta_rad) ** 2)))


def pattern_on_pixels(experiment: Experiment) -> Floats:
    """Return pattern mode's exposure as a detector of whole pixels would bin it, (channel,).

    Pattern mode with channels a quarter as wide, freed of their width and interpolated at the angle
    that pyFAI gives each pixel's centre, is averaged over the pixels of each channel.
    """
    coarse = experiment.geometry
    fine = coarse.model_copy(update={"n_channels": _FINE * coarse.n_channels})
    finely = experiment.model_copy(update={"geometry": fine})
    curve = pattern(finely) / per_channel(finely)
    curve[1:-1] -= np.diff(curve, 2) / 24.0  # a channel's mean less its middle: h² f″/24
    bins = bins_of(experiment)
    angle = _pixel_angles(
        coarse, experiment.detector, experiment.beam, experiment.recipe.integration
    )
    channel = np.repeat(np.arange(bins.n_channels), np.diff(bins.start))
    ring = np.sin(bins.two_theta_rad[channel]) / np.sin(angle)
    share = bins.weight * ring * CubicSpline(fine.two_theta_rad, curve)(angle)
    totals = [np.bincount(channel, w, bins.n_channels) for w in (share, bins.weight)]
    return np.asarray(totals[0] / totals[1] * per_channel(experiment))


def lattice_shift_A(found: Floats, reference: Floats, geometry: Geometry) -> float:
    """Return the change of lattice parameter from ``reference`` to ``found``, by least squares.

    Besides a scale; dI/da = −(2 tanθ/a) dI/d2θ comes from the reference.
    """
    slope = np.gradient(reference, geometry.channel_width_rad)
    slope *= -2.0 * np.tan(0.5 * geometry.two_theta_rad) / _A
    slope -= reference * (slope @ reference) / (reference @ reference)
    scale = (found @ reference) / (reference @ reference)
    return float((found / scale - reference) @ slope / (slope @ slope))


def expected_frames(experiment: Experiment) -> Iterator[Singles]:
    """Yield the photons that each exposure of the first line sends to the pixels on average.

    Spots are those drawn for it.
    """
    model, lab = frame_model_of(experiment), laboratory(experiment)
    tables = line_tables(
        model, scan=experiment.scan, conditions=lab.conditions[0], line=0, seed=experiment.seed,
        scan_number=0,
    )  # fmt: skip
    key = stream_key(experiment.seed, 0)
    for offset in range(experiment.scan.n_offsets):
        yield expected_photons(model, tables, offset, key=key, frame=offset)


def in_whole_numbers(frames: Iterable[Singles], counts_per_photon: int) -> Iterator[Frame]:
    """Yield means as an integration takes them."""
    for frame in frames:
        yield np.rint(frame * np.float32(counts_per_photon)).astype(np.int32)


def frame_model_of(experiment: Experiment) -> FrameModel:
    """Return the experiment in front of its detector."""
    lab = laboratory(experiment)
    return lab.detector(lab.prepared("frames"))


def integrate_by(
    frames: Iterable[Frame], experiment: Experiment, methods: Collection[str]
) -> dict[str, Floats]:
    """Return counts of each channel by each method, (frame, channel)."""
    bins, scale = bins_of(experiment), per_channel(experiment)
    found: dict[str, list[Floats]] = {method: [] for method in methods}
    for frame in frames:
        for method in methods:
            integration = experiment.recipe.integration.model_copy(update={"method": method})
            found[method].append(integrate_frame(frame, bins, integration, workers=1)[0] * scale)
    return {method: np.array(patterns) for method, patterns in found.items()}


def spotty(
    spots_per_pixel: float,
    *,
    geometry: Geometry,
    exposures: int,
    on: Collection[str] = (),
    **more: Any,
) -> Experiment:
    """Return an experiment whose (400) ring has so many spots to a pixel, ``exposures`` times."""
    beam = more.pop("beam", Beam(flux_per_s=1e13))
    theta = float(np.arcsin(2.0 * beam.wavelength_A / FULL_A))
    radius_px = geometry.distance_m * np.tan(2.0 * theta) / 172e-6

    def excess(grain_um: float) -> float:
        acceptance = acceptance_rad(theta, grain_um=grain_um, beam=beam, grains=Grains())
        density = grains_per_um3(
            grain_um, multiplicity=6, theta_rad=theta, acceptance_rad=acceptance
        )
        spots = float(density) * beam_area_um2(beam) * _SPOTTY_UM / (2.0 * np.pi * radius_px)
        return float(spots - spots_per_pixel)

    particle = Particle(
        centre_um=(0.0, 0.0, 0.0), diameter_um=_SPOTTY_UM, x=1.0, crystallite_size_nm=100.0,
        strain=5e-4, grain_um=float(brentq(excess, 0.01, 10.0)),
    )  # fmt: skip
    return experiment(
        ("noise", "grains", *on), particle=particle, geometry=geometry, beam=beam,
        scan=Scan(n_offsets=exposures, step_um=1e-6, n_angles=1), **more,
    )  # fmt: skip


def ratios(found: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """Return their ratios in strong channels, and the latter as weights."""
    strong = (expected > 1e-2 * expected.max()) & np.isfinite(found)
    return found[strong] / expected[strong], expected[strong]


def row(*cells: str) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
