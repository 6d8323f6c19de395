"""The experiment, simulated: sample in, raw scan out (pattern mode).

Pattern mode records the photons of every 2θ channel, summed over its pixels. Expected counts are

    n = N0 · T · ( state sinogram @ pattern library + air )

and the recorded ones are Poisson draws of them, from one counter-based stream per projection, so
that the same seed gives the same scan on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from forward.air import air_pattern
from forward.chords import ChordProfiles, chord_profiles
from forward.instrument import TrueInstrument
from forward.parallax import mean_scaling
from forward.patterns import PatternLibrary, pattern_library
from forward.settings import Accuracy, Effects
from forward.sinogram import project_angle
from forward.states import StateGrid, state_grid
from phantoms.sample import Sample, radial_layers
from xrdct.compiled import threaded
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.rawfile import RawScan
from xrdct.scan import Scan

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Virtual:
    """A sample made ready to be scanned: everything that does not depend on the scan."""

    sample: Sample
    beam: Beam
    detector: Detector
    geometry: Geometry
    effects: Effects
    truth: TrueInstrument
    grid: StateGrid
    profiles: ChordProfiles
    library: PatternLibrary
    air: NDArray[np.float64]
    """Photons per channel and photon of beam, shape (channel,)."""


def prepare(
    sample: Sample,
    *,
    beam: Beam,
    detector: Detector,
    geometry: Geometry,
    truth: TrueInstrument,
    effects: Effects | None = None,
    accuracy: Accuracy | None = None,
    workers: int | None = None,
) -> Virtual:
    """Compute chord profiles and pattern library of ``sample``; any number of scans can follow."""
    effects, accuracy = effects or Effects(), accuracy or Accuracy()
    layers = radial_layers(sample, layer_um=accuracy.layer_um)
    margin = 0.5 * sample.diameter_um * 1e-6 / geometry.distance_m if effects.parallax else 0.0
    grid = state_grid(sample, layers=layers, spacing=accuracy.state_spacing, margin=margin)
    profiles = chord_profiles(
        sample, layers=layers, grid=grid, beam=beam, effects=effects, accuracy=accuracy,
        workers=workers,
    )  # fmt: skip
    library = pattern_library(
        grid, sample=sample, detector=detector, geometry=geometry, effects=effects,
        accuracy=accuracy, truth=truth,
    )  # fmt: skip
    air = air_pattern(geometry, efficiency=detector.efficiency, acceptance=library.acceptance)
    return Virtual(
        sample=sample,
        beam=beam,
        detector=detector,
        geometry=geometry,
        effects=effects,
        truth=truth,
        grid=grid,
        profiles=profiles,
        library=library,
        air=air * truth.air_factor if effects.diffuse else np.zeros(geometry.n_channels),
    )


@dataclass(frozen=True, eq=False)
class Expectation:
    """What one projection would give on average."""

    counts: NDArray[np.float32]
    """Photons, shape (offset, channel)."""
    transmitted: NDArray[np.float64]
    """Photons behind the sample, shape (offset,)."""


def expected_projection(virtual: Virtual, *, scan: Scan, angle_rad: float) -> Expectation:
    """Return the expected photons of one projection of a scan."""
    geometry, library = virtual.geometry, virtual.library
    shift_per_um = 0.0
    if virtual.effects.parallax:
        scaling = mean_scaling(geometry.two_theta_rad)
        shift_per_um = scaling * 1e-6 / geometry.distance_m / virtual.grid.spacing
    rays = project_angle(
        virtual.profiles, centres_um=virtual.sample.centres_um, angle_rad=angle_rad,
        offsets_um=scan.offsets_um, n_states=virtual.grid.n_states, states_per_um=shift_per_um,
    )  # fmt: skip
    photons = virtual.beam.flux_per_s * scan.exposure_s
    transmission = np.ones(scan.n_offsets)
    if virtual.effects.attenuation:
        transmission = np.exp(-(rays.path_um @ library.attenuation_per_um))
    counts = rays.path_um @ library.pattern_per_um
    if virtual.effects.parallax:
        counts += rays.moment_um2 @ library.derivative_per_um2
    counts += virtual.air.astype(np.float32)
    counts *= (photons * transmission[:, None]).astype(np.float32)
    return Expectation(np.maximum(counts, 0.0, out=counts), photons * transmission)


def simulate_scan(
    virtual: Virtual,
    *,
    scan: Scan,
    seed: int,
    scan_number: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RawScan:
    """Measure a prepared sample with one scan.

    The result is int32 counts with noise, or float32 expectations where ``Effects.noise`` is off.
    Raises InputError for a scan of more than one plane: each plane is a scan of its own.
    """
    if scan.n_planes != 1:
        raise InputError(
            f"scan.n_planes is {scan.n_planes}, but pattern mode simulates one plane at a time"
        )
    noise = virtual.effects.noise
    shape = (scan.n_angles, scan.n_offsets)
    counts = np.empty((*shape, virtual.geometry.n_channels), np.int32 if noise else np.float32)
    transmitted = np.empty(shape)
    angles_rad = scan.angles_rad
    done = 0

    def measure(first: int, last: int) -> None:
        nonlocal done
        for k in range(first, last):
            expected = expected_projection(virtual, scan=scan, angle_rad=float(angles_rad[k]))
            if noise:
                rng = _stream(seed, scan_number, k)
                counts[k] = rng.poisson(expected.counts)
                transmitted[k] = rng.poisson(expected.transmitted)
            else:
                counts[k], transmitted[k] = expected.counts, expected.transmitted
        done += last - first
        if progress is not None:
            progress(done / scan.n_angles)

    with threadpool_limits(1):
        threaded(measure, scan.n_angles, workers=workers)
    return RawScan(
        scan=scan,
        beam=virtual.beam,
        detector=virtual.detector,
        geometry=virtual.geometry,
        counts=counts,
        monitor=np.full(shape, virtual.beam.flux_per_s * scan.exposure_s),
        transmitted=transmitted,
    )


def _stream(seed: int, scan_number: int, projection: int) -> np.random.Generator:
    """Return the random stream of one projection (counter-based, independent of all others)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(scan_number, projection))
    return np.random.Generator(np.random.Philox(sequence))
