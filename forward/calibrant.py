"""A calibrant, measured with the true instrument: a sphere of known powder on the axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from forward.instrument import TrueInstrument
from forward.settings import Accuracy, Effects
from forward.simulate import expected_projection, prepare
from phantoms.particle import Particle, Shell
from phantoms.sample import Sample
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan
from xrdct.spec import Spec

_SPAWN_KEY = (0xCA1,)


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
) -> CalibrantPattern:
    """Return one pattern of the calibrant through its middle, noisy if the experiment is."""
    filling = Shell(
        phase=calibrant.crystal, thickness_um=calibrant.diameter_um, weight_fraction=1.0
    )
    particle = Particle(
        centre_um=(0.0, 0.0, 0.0),
        diameter_um=calibrant.diameter_um,
        shells=(filling,),
        crystallite_size_nm=calibrant.crystallite_size_nm,
    )
    virtual = prepare(
        Sample((particle,)), beam=beam, detector=detector, geometry=geometry, truth=truth,
        effects=effects, accuracy=accuracy,
    )  # fmt: skip
    scan = Scan(n_offsets=3, step_um=beam.width_um, n_angles=1, exposure_s=calibrant.exposure_s)
    expected = expected_projection(virtual, scan=scan, angle_rad=0.0)
    counts = expected.counts[1].astype(float)
    if effects.noise:
        sequence = np.random.SeedSequence(seed, spawn_key=_SPAWN_KEY)
        counts = np.random.Generator(np.random.Philox(sequence)).poisson(counts).astype(float)
    return CalibrantPattern(counts, float(expected.transmitted[1]))
