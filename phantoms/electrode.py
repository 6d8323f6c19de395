"""A random slice of an electrode: log-normal sizes, composition differing between particles.

Lithium content and its gradient are drawn for each particle; a share of them is Li-rich, a share
has Li2MnO3 shells. All figures are assumptions, each an option with its default.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from phantoms.packing import Packing, pack_slice, told_as_options
from phantoms.particle import Coordinate, Particle, RadialLaw, Shell
from phantoms.particle_states import lithium_content
from phantoms.sample import Sample
from xrdct.spec import Spec

_COMPOSITION_KEY = (0xC0,)
_RICH = RadialLaw(core=0.05, surface=0.10)
"""Lithium excess y of the Li-rich particles."""


class Electrode(Spec):
    """Options of ``electrode``; spreads are standard deviations between particles."""

    library: Literal["electrode"] = "electrode"
    diameter_um: float = Field(1000.0, gt=10.0, le=5000.0)
    volume_fraction: float = Field(0.5, gt=0.0, lt=0.7)
    median_particle_um: float = Field(5.0, gt=0.1)
    sigma_log: float = Field(0.45, ge=0.01, le=1.5)
    smallest_particle_um: float = Field(1.5, gt=0.1)
    largest_particle_um: float = Field(20.0, gt=0.1, le=1000.0)
    filled_fraction: float = Field(0.9, ge=0.0, le=1.0)
    filled_spread: float = Field(0.04, ge=0.0, le=0.5)
    filled_gradient: float = Field(0.11, ge=-0.5, le=0.5)
    """Core minus surface; 0.11 is 20 mÅ in the stoichiometric spinel between x = 0.78 and 1."""
    gradient_spread: float = Field(0.03, ge=0.0, le=0.5)
    li_rich_share: float = Field(0.2, ge=0.0, le=1.0)
    """Share of particles of Li1.05 to Li1.10, the rest being stoichiometric."""
    shell_share: float = Field(0.2, ge=0.0, le=1.0)
    """Share of particles with 4 wt % Li2MnO3 in their outer micrometre."""
    porosity: float = Field(0.05, ge=0.0, lt=0.9)
    crystallite_size_nm: float = Field(200.0, gt=1.0, le=1e5)
    strain: float = Field(5e-4, ge=0.0, le=0.02)
    grain_um: float | None = Field(None, gt=0.001, le=100.0)
    z_um: Coordinate = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Electrode:
        if self.smallest_particle_um >= self.largest_particle_um:
            raise ValueError(
                f"smallest_particle_um ({self.smallest_particle_um:g}) must lie below "
                f"largest_particle_um ({self.largest_particle_um:g})"
            )
        if self.largest_particle_um > self.diameter_um:
            raise ValueError(
                f"largest_particle_um ({self.largest_particle_um:g}) must not exceed the "
                f"electrode's diameter_um ({self.diameter_um:g})"
            )
        return self

    @property
    def in_plane(self) -> bool:
        """Whether any of it reaches the measured plane."""
        return True


def build_electrode(spec: Electrode, *, seed: int) -> Sample:
    """Return the electrode; ``seed`` draws packing and composition."""
    packing = _packed(spec, seed)
    sequence = np.random.SeedSequence(seed, spawn_key=_COMPOSITION_KEY)
    rng = np.random.Generator(np.random.Philox(sequence))
    n = len(packing.diameters_um)
    mean = np.clip(rng.normal(spec.filled_fraction, spec.filled_spread, n), 0.0, 1.0)
    gradient = rng.normal(spec.filled_gradient, spec.gradient_spread, n)
    core = np.clip(mean + 0.5 * gradient, 0.0, 1.0)
    surface = np.clip(mean - 0.5 * gradient, 0.0, 1.0)
    rich = rng.random(n) < spec.li_rich_share
    coated = rng.random(n) < spec.shell_share
    centres = (packing.centres_um + np.array([0.0, 0.0, spec.z_um])).tolist()
    shells = _coating()
    given = zip(
        centres, packing.diameters_um.tolist(), core.tolist(), surface.tolist(), rich.tolist(),
        coated.tolist(), strict=True,
    )  # fmt: skip
    particles = tuple(
        Particle(
            centre_um=centre,
            diameter_um=diameter_um,
            x=RadialLaw(
                core=lithium_content(inner, _RICH.core if is_rich else 0.0),
                surface=lithium_content(outer, _RICH.surface if is_rich else 0.0),
            ),
            y=_RICH if is_rich else 0.0,
            shells=shells if is_coated else (),
            porosity=spec.porosity,
            crystallite_size_nm=spec.crystallite_size_nm,
            strain=spec.strain,
            grain_um=spec.grain_um,
        )
        for centre, diameter_um, inner, outer, is_rich, is_coated in given
    )
    return Sample(particles, z_um=spec.z_um)


def _packed(spec: Electrode, seed: int) -> Packing:
    with told_as_options():
        return pack_slice(
            electrode_diameter_um=spec.diameter_um,
            volume_fraction=spec.volume_fraction,
            median_diameter_um=spec.median_particle_um,
            sigma_log=spec.sigma_log,
            min_diameter_um=spec.smallest_particle_um,
            max_diameter_um=spec.largest_particle_um,
            seed=seed,
        )


def _coating() -> tuple[Shell, ...]:
    return (Shell(phase="Li2MnO3", thickness_um=1.0, weight_fraction=0.04),)
