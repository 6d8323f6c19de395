"""What the areal density of an electrode says of its volume fraction and its capacity.

A coating of thickness h that holds the areal density w of active material of density ρ is filled
with it to w/(h ρ). For LiMn2O4 as coated, fully lithiated, ρ = 8 M/(N_A a³) = 4.29 g/cm³ at
a = 8.245 Å: the study's 166 g/m² in 80 µm (Finegan et al., Nat. Commun. 11 (2020) 631) fill 0.484.
"""

from __future__ import annotations

import math

import numpy as np

from phantoms.sample import spinel_density_g_per_cm3
from phantoms.stoichiometry import mean_lattice_A

_FULL, _NO_EXCESS = np.ones(1), np.zeros(1)


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
