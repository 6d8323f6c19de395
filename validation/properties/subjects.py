"""The experiments on which laws are asked, and the changes that make any experiment fit a law.

A law takes any experiment, and says in its docstring which of these changes it makes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward.settings import Effects
from phantoms.particle import Particle, RadialLaw
from phantoms.stoichiometry import mean_lattice_A
from validation.experiment import Experiment, ParticleList
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

SYSTEMATIC = 0.01
"""What laws allow beside noise: a hundredth of a channel in the place of lines, a hundredth of an
amount. Lines sampled by at least two channels over their width are placed better than that."""

_GEOMETRY = Geometry(n_channels=256, two_theta_min_deg=2.5, two_theta_max_deg=9.0)
_PLANTED_X = 0.9
_UNLAWFUL = ("grains", "motion", "flux", "operando", "cell")


def pair(seed: int = 0) -> Experiment:
    """Return two unequal particles with gradients, without any symmetry, in 24 × 40 points."""
    rising, falling = RadialLaw(core=0.82, surface=0.98), RadialLaw(core=0.98, surface=0.82)
    particles = (
        Particle(centre_um=(-3.5, 1.5, 0.0), diameter_um=12.0, x=rising, porosity=0.05),
        Particle(centre_um=(6.0, -1.0, 0.4), diameter_um=7.0, x=falling),
    )
    scan = Scan(n_offsets=24, step_um=1.0, n_angles=40)
    return _experiment("pair", particles, scan, seed)


def ball(seed: int = 0) -> Experiment:
    """Return one large uniform particle, wholly in view, in 36 × 56 points."""
    particle = Particle(centre_um=(0.5, -0.5, 0.0), diameter_um=30.0, x=_PLANTED_X)
    return _experiment("ball", (particle,), Scan(n_offsets=36, step_um=1.0, n_angles=56), seed)


def empty(seed: int = 0) -> Experiment:
    """Return a scan of nothing but air."""
    return _experiment("empty", (), Scan(n_offsets=24, step_um=1.0, n_angles=40), seed)


NAMED = {"pair": pair, "ball": ball, "empty": empty}
"""Experiments by name, each a function of a seed."""


def _experiment(name: str, particles: tuple[Particle, ...], scan: Scan, seed: int) -> Experiment:
    return Experiment(
        name=name, seed=seed, sample=ParticleList(particles=particles), scan=scan,
        beam=Beam(flux_per_s=1e11), geometry=_GEOMETRY,
    )  # fmt: skip


def changed(experiment: Experiment, **update: Any) -> Experiment:
    """Return the experiment with other values for some of its fields."""
    return experiment.model_copy(update=update)


def subject(experiment: Experiment | None, default: Experiment, seed: int | None) -> Experiment:
    """Return the experiment that was asked for, with the seed that was."""
    chosen = default if experiment is None else experiment
    return chosen if seed is None else changed(chosen, seed=seed)


def switched_off(experiment: Experiment, *names: str) -> Experiment:
    """Return the experiment without some of its effects."""
    off: dict[str, Any] = dict.fromkeys(names, False)
    return changed(experiment, effects=Effects(**(dict(experiment.effects) | off)))


def lawful(experiment: Experiment) -> Experiment:
    """Return the experiment with a sample that stands still and is countable in photons only.

    Off are grains, motion, changes of the beam and of the sample, and the cell: of their chance
    and their shape the stated uncertainties need not know.
    """
    return switched_off(experiment, *_UNLAWFUL)


def particles_of(experiment: Experiment) -> tuple[Particle, ...]:
    """Return the particles of the sample, also of a random one."""
    return experiment.build_sample().particles


def with_particles(experiment: Experiment, particles: tuple[Particle, ...]) -> Experiment:
    """Return the experiment with a sample of other particles."""
    sample = ParticleList(particles=particles, z_um=experiment.build_sample().z_um)
    return changed(experiment, sample=sample)


def uniform(experiment: Experiment, *, x: float = _PLANTED_X) -> Experiment:
    """Return the experiment with all particles of Li(x)Mn2O4 throughout, at their places."""
    update = {"x": x, "y": 0.0, "shells": (), "grain_um": None}
    particles = (p.model_copy(update=update) for p in particles_of(experiment))
    return with_particles(experiment, tuple(particles))


def uniform_lattice_A(x: float = _PLANTED_X) -> float:
    """Return the lattice parameter of Li(x)Mn2O4, Å."""
    return float(mean_lattice_A(x, y=0.0))


def in_view(experiment: Experiment, *, beyond_um: float = 0.0) -> Experiment:
    """Return the experiment with as many offsets and angles as show the whole sample.

    That is its diameter, ``beyond_um`` on both sides and two steps, without streaks: π/2 angles on
    a half turn for every offset. The number of offsets keeps its parity.
    """
    scan = experiment.scan
    width_um = experiment.build_sample().diameter_um + 2.0 * beyond_um
    missing = max(0, math.ceil(width_um / scan.step_um) + 2 - scan.n_offsets)
    n_offsets = scan.n_offsets + missing + missing % 2
    turns = scan.angle_range_deg / 180.0 if scan.angles_deg is None else 1.0
    n_angles = max(scan.n_angles, math.ceil(np.pi / 2.0 * n_offsets * turns))
    if scan.angles_deg is not None and n_angles == scan.n_angles:
        return changed(experiment, scan=scan.model_copy(update={"n_offsets": n_offsets}))
    update = {"n_offsets": n_offsets, "n_angles": n_angles, "angles_deg": None}
    return changed(experiment, scan=scan.model_copy(update=update))


def half_turn(scan: Scan) -> Scan:
    """Return the scan over 180°, not interlaced, of an even number of equally spaced angles."""
    return _even_turn(scan, 180.0)


def full_turn(scan: Scan) -> Scan:
    """Return the scan over 360°, not interlaced, of an even number of equally spaced angles."""
    return _even_turn(scan, 360.0)


def _even_turn(scan: Scan, range_deg: float) -> Scan:
    update = {
        "angle_range_deg": range_deg, "angles_deg": None, "interlaced": False,
        "n_angles": scan.n_angles + scan.n_angles % 2,
    }  # fmt: skip
    return scan.model_copy(update=update)


def with_flux(experiment: Experiment, flux_per_s: float) -> Experiment:
    """Return the experiment with another beam current."""
    return changed(experiment, beam=experiment.beam.model_copy(update={"flux_per_s": flux_per_s}))


def place_allowance_A(experiment: Experiment, a_A: float) -> float:
    """Return how much of a lattice parameter ``SYSTEMATIC`` of a channel is, Å.

    From Bragg's law δa = a δ(2θ) / (2 tan θ), at the pattern's largest angle.
    """
    geometry = experiment.geometry
    theta_rad = math.radians(0.5 * geometry.two_theta_max_deg)
    return SYSTEMATIC * a_A * geometry.channel_width_rad / (2.0 * math.tan(theta_rad))
