"""The known experiments of the self-test, small, and each made to tell some mistakes.

    trio     three unequal particles without any symmetry, seen over a half turn while the beam
             decays to two fifths: sense of rotation, turned and mirrored maps, axis, monitor
    ball     one uniform particle with few photons: lattice parameters and their uncertainties
    beside   a uniform particle, the detector beside the beam, where polarisation dims rings
    above    the same, the detector turned by 90° about the beam, where it does not
    faint    as beside, with a thirtieth of the photons and a recipe that leaves out the tenth of
             pixels that are brightest: swapped, it leaves out the faintest

The last three (:mod:`validation.properties.placed_detector`) are frames of a small detector, or
patterns where a pipeline takes no frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from forward.flux import BeamDecay
from phantoms.particle import Particle, RadialLaw
from validation.experiment import Experiment, ParticleList
from validation.properties import subjects
from validation.properties.placed_detector import at_detector, faint_and_trimmed
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

Mode = Literal["both", "patterns"]

X_OF_BALL = 0.9
_GEOMETRY = Geometry(n_channels=256, two_theta_min_deg=2.5, two_theta_max_deg=9.0)


@dataclass(frozen=True)
class Case:
    """One known experiment."""

    name: str
    make: Callable[[int], Experiment]
    """From a seed to the experiment, as frames where it is about frames."""
    quick: bool = True
    """Whether the quick self-test has it."""

    def experiment(self, seed: int, *, mode: Mode) -> Experiment:
        """Return the experiment, as patterns where a pipeline takes no frames."""
        made = self.make(seed)
        return subjects.changed(made, mode="patterns") if mode == "patterns" else made


def trio(seed: int) -> Experiment:
    """Return three unequal particles with gradients in 26 × 44 points, in a decaying beam."""
    rising, falling = RadialLaw(core=0.86, surface=0.96), RadialLaw(core=0.96, surface=0.86)
    particles = (
        Particle(centre_um=(-4.0, 3.0, 0.0), diameter_um=11.0, x=rising),
        Particle(centre_um=(6.0, 4.0, 0.0), diameter_um=6.0, x=falling),
        Particle(centre_um=(2.0, -7.0, 0.0), diameter_um=5.0, x=0.93),
    )
    scan = Scan(n_offsets=26, step_um=1.0, n_angles=44, exposure_s=0.05, dead_time_s=0.0)
    return Experiment(
        name="selftest trio", seed=seed, sample=ParticleList(particles=particles), scan=scan,
        beam=Beam(flux_per_s=2e10), geometry=_GEOMETRY, flux=BeamDecay(decay_per_h=60.0),
    )  # fmt: skip


def ball(seed: int) -> Experiment:
    """Return one large uniform particle, wholly in view over a full turn, in 84 × 132 points."""
    particle = Particle(centre_um=(0.5, -0.5, 0.0), diameter_um=78.0, x=X_OF_BALL)
    scan = Scan(n_offsets=84, step_um=1.0, n_angles=132, angle_range_deg=360.0)
    return Experiment(
        name="selftest ball", seed=seed, sample=ParticleList(particles=(particle,)), scan=scan,
        beam=Beam(flux_per_s=2e10), geometry=_GEOMETRY,
    )  # fmt: skip


def beside(seed: int) -> Experiment:
    """Return a uniform particle seen by a small detector beside the beam."""
    return at_detector("selftest beside", seed, mode="frames")


def above(seed: int) -> Experiment:
    """Return the same particle seen by the same detector, turned above the beam."""
    return at_detector("selftest above", seed, mode="frames", turn_rad=0.5 * math.pi)


def faint(seed: int) -> Experiment:
    """Return the same particle with few photons, to be integrated without the brightest pixels."""
    return faint_and_trimmed("selftest faint", seed, mode="frames")


CASES = (
    Case("trio", trio), Case("ball", ball), Case("beside", beside), Case("above", above),
    Case("faint", faint, quick=False),
)  # fmt: skip
