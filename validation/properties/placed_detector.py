"""A uniform particle seen by a small detector on one side of the beam, where polarisation matters.

The beam is soft, so that rings are wide and cos²2θ falls to 0.8. Left out are attenuation, parallax
and what the depth of the sensor does, which would ask more of a pipeline than what it is about.
"""

from __future__ import annotations

from typing import Literal

from forward.settings import Effects
from inverse.integration import Integration
from inverse.recipe import Recipe
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

BRIGHT_PER_S = 3e11
FAINTER = 30.0
"""Photons of a bright scan over those of a faint one."""
_OFF = ("attenuation", "exit_path", "parallax", "sensor_parallax", "charge_sharing")


def at_detector(
    name: str,
    seed: int,
    *,
    mode: Literal["patterns", "frames"],
    turn_rad: float = 0.0,
    integration: Integration | None = None,
    flux_per_s: float = BRIGHT_PER_S,
) -> Experiment:
    """Return 12 × 20 points; ``turn_rad`` turns the detector about the beam, from beside it."""
    particle = Particle(centre_um=(0.3, -0.4, 0.0), diameter_um=9.0, x=0.9)
    return Experiment(
        name=name, seed=seed, mode=mode, sample=ParticleList(particles=(particle,)),
        scan=Scan(n_offsets=12, step_um=1.0, n_angles=20),
        beam=Beam(energy_keV=20.0, flux_per_s=flux_per_s),
        detector=Detector(name="Pilatus100k", threshold_keV=10.0),
        geometry=Geometry(
            distance_m=0.12, poni2_m=0.0, rot3_rad=turn_rad, two_theta_min_deg=6.0,
            two_theta_max_deg=26.0, n_channels=200,
        ),
        effects=Effects(**dict.fromkeys(_OFF, False)),
        recipe=Recipe(
            integration=integration or Integration(sensor_parallax=False), refine_shared=False
        ),
    )  # fmt: skip


def faint_and_trimmed(name: str, seed: int, *, mode: Literal["patterns", "frames"]) -> Experiment:
    """Return it with few photons, to be integrated without the brightest tenth of pixels."""
    trimmed = Integration(
        method="trimmed", lower_percent=0.0, upper_percent=10.0, sensor_parallax=False
    )
    return at_detector(
        name, seed, mode=mode, integration=trimmed, flux_per_s=BRIGHT_PER_S / FAINTER
    )
