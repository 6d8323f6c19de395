"""An electrode coated on a foil: options, and what its areal density says of it.

A coating of thickness h that holds the areal density w of active material of density ρ is filled
with it to w/(h ρ). For LiMn2O4 as coated, fully lithiated, ρ = 8 M/(N_A a³) = 4.29 g/cm³ at
a = 8.245 Å: the study's 166 g/m² in 80 µm (Finegan et al., Nat. Commun. 11 (2020) 631) fill 0.484.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from phantoms.sample import spinel_density_g_per_cm3
from phantoms.stoichiometry import mean_lattice_A
from xrdct.spec import Spec

_FULL, _NO_EXCESS = np.ones(1), np.zeros(1)


class Coating(Spec):
    """Options that the samples of a coated electrode share: how much of it, of what sizes."""

    diameter_um: float = Field(1000.0, gt=10.0, le=5000.0)
    coating_um: float = Field(80.0, gt=0.0, le=10_000.0)
    areal_g_per_m2: float = Field(166.0, gt=0.0, le=1e5)
    """Active material per area."""
    median_particle_um: float = Field(5.0, gt=0.1)
    sigma_log: float = Field(0.6, ge=0.01, le=1.5)
    smallest_particle_um: float = Field(1.5, gt=0.1)
    largest_particle_um: float = Field(20.0, gt=0.1, le=1000.0)
    porosity: float = Field(0.05, ge=0.0, lt=0.9)
    """Pores below a micrometre, as a share of a particle's volume."""

    @model_validator(mode="after")
    def _sizes_increase(self) -> Self:
        if not self.smallest_particle_um < self.largest_particle_um <= self.diameter_um:
            raise ValueError(
                "smallest_particle_um, largest_particle_um and diameter_um must increase, got "
                f"{self.smallest_particle_um:g}, {self.largest_particle_um:g} and "
                f"{self.diameter_um:g}"
            )
        return self

    @property
    def volume_fraction(self) -> float:
        """Share of the coating inside the outlines of particles."""
        solid = coating_volume_fraction(
            areal_g_per_m2=self.areal_g_per_m2, coating_um=self.coating_um
        )
        return solid / (1.0 - self.porosity)

    @property
    def in_plane(self) -> bool:
        """Whether any of it reaches the measured plane."""
        return True


def coating_volume_fraction(*, areal_g_per_m2: float, coating_um: float) -> float:
    """Return the volume fraction of solid LiMn2O4 in a coating; pores are not in it."""
    a_A = mean_lattice_A(_FULL, y=_NO_EXCESS)
    density = spinel_density_g_per_cm3(
        _FULL, y=_NO_EXCESS, a_low_A=a_A, a_high_A=a_A, high=_NO_EXCESS
    )
    return areal_g_per_m2 / coating_um / float(density[0])  # g/m² over µm is g/cm³


def disc_capacity_mAh(
    *, areal_g_per_m2: float, diameter_um: float, specific_mAh_per_g: float
) -> float:
    """Return the capacity of a disc of electrode: areal density × area × specific capacity."""
    return areal_g_per_m2 * math.pi / 4.0 * (diameter_um * 1e-6) ** 2 * specific_mAh_per_g
