"""A calibrant, measured with the true instrument: a sphere of known powder on the axis.

What measures is imported by the functions that do: an experiment that names a calibrant loads fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from forward.faults import DetectorFaults
from forward.grains import Grains
from forward.instrument import TrueInstrument
from forward.settings import Accuracy, Effects
from phantoms.particle import Particle, Shell
from phantoms.sample import Sample
from xrdct.compiled import single_threaded_algebra
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan
from xrdct.spec import Spec

_SPAWN_KEY = (0xCA1,)
_SCAN_NUMBER = 0xCA1
_N_OFFSETS, _MIDDLE = 3, 1


class Calibrant(Spec):
    """What is put in the beam before the experiment, and for how long."""

    crystal: str = "LaB6"
    diameter_um: float = Field(50.0, gt=0.0, le=1000.0)
    crystallite_size_nm: float = Field(1000.0, gt=1.0)
    exposure_s: float = Field(10.0, gt=0.0)


@dataclass(frozen=True, eq=False)
class CalibrantPattern:
    """Photons of each channel, and those behind the calibrant."""

    counts: NDArray[np.float64]
    """Shape (channel,)."""
    transmitted: float


@dataclass(frozen=True, eq=False)
class CalibrantFrame:
    """One exposure of the calibrant."""

    frame: NDArray[np.int32]
    """Recorded counts, (row, column)."""
    known_flat: NDArray[np.float32]
    """Response of the pixels as far as it is known, (row, column)."""


def measure_calibrant(
    calibrant: Calibrant,
    *,
    beam: Beam,
    detector: Detector,
    geometry: Geometry,
    truth: TrueInstrument,
    effects: Effects,
    accuracy: Accuracy,
    seed: int,
    sensor_corrected: bool = True,
) -> CalibrantPattern:
    """Return one pattern of the calibrant through its middle, noisy if the experiment is."""
    from forward.projection import expected_projection
    from forward.virtual import prepare

    virtual = prepare(
        _sample(calibrant), beam=beam, detector=detector, geometry=geometry, truth=truth,
        effects=effects, accuracy=accuracy, sensor_corrected=sensor_corrected,
    )  # fmt: skip
    expected = expected_projection(virtual, scan=_scan(calibrant, beam), angle_rad=0.0)
    counts = expected.counts[_MIDDLE].astype(float)
    if effects.noise:
        sequence = np.random.SeedSequence(seed, spawn_key=_SPAWN_KEY)
        counts = np.random.Generator(np.random.Philox(sequence)).poisson(counts).astype(float)
    return CalibrantPattern(counts, float(expected.transmitted[_MIDDLE]))


def calibrant_frame(
    calibrant: Calibrant,
    *,
    beam: Beam,
    detector: Detector,
    geometry: Geometry,
    truth: TrueInstrument,
    effects: Effects,
    accuracy: Accuracy,
    faults: DetectorFaults,
    seed: int,
) -> CalibrantFrame:
    """Return one frame of the calibrant, on the detector that the experiment will use."""
    from forward.conditions import ideal_conditions
    from forward.frame_scan import FrameScanner
    from forward.frames import frame_model
    from forward.virtual import prepare

    virtual = prepare(
        _sample(calibrant), beam=beam, detector=detector, geometry=geometry, truth=truth,
        effects=effects, accuracy=accuracy, frames=True,
    )  # fmt: skip
    model = frame_model(virtual, grains=Grains(), faults=faults, seed=seed)
    scan = _scan(calibrant, beam)
    scanner = FrameScanner(
        model, scan=scan, conditions=ideal_conditions(scan, beam=beam), seed=seed,
        scan_number=_SCAN_NUMBER,
    )  # fmt: skip
    with single_threaded_algebra():
        return CalibrantFrame(scanner.frame(_MIDDLE), model.known_flat)


def _sample(calibrant: Calibrant) -> Sample:
    filling = Shell(
        phase=calibrant.crystal, thickness_um=calibrant.diameter_um, weight_fraction=1.0
    )
    particle = Particle(
        centre_um=(0.0, 0.0, 0.0),
        diameter_um=calibrant.diameter_um,
        shells=(filling,),
        crystallite_size_nm=calibrant.crystallite_size_nm,
    )
    return Sample((particle,))


def _scan(calibrant: Calibrant, beam: Beam) -> Scan:
    """Return a line of points across the calibrant, whose middle is the one that is used."""
    return Scan(
        n_offsets=_N_OFFSETS, step_um=beam.width_um, n_angles=1, exposure_s=calibrant.exposure_s
    )
