"""How much of a beam a material takes away."""

from __future__ import annotations

import xraylib

from xrdct.composition import Material, number_density_per_A3
from xrdct.crystal import atomic_number
from xrdct.formfactor import check_energy

_UM_PER_BARN_PER_A3 = 1e-4
"""1 barn/Å³ = 1e-28 m² / 1e-30 m³ = 100 /m = 1e-4 /µm."""


def linear_attenuation_per_um(
    material: Material, *, energy_keV: float, density_g_per_cm3: float | None = None
) -> float:
    """Return µ in 1/µm, so that a path of L µm transmits exp(−µL).

    µ = Σ n_e σ_e over the elements, σ the total cross section (photoelectric absorption, Compton
    and Rayleigh scattering). ``density_g_per_cm3`` as for `number_density_per_A3`, whose
    `InputError` it shares; and the energy must lie within 1–500 keV.

    Source: xraylib (`CSb_Total`).
    """
    check_energy(energy_keV)
    densities = number_density_per_A3(material, density_g_per_cm3=density_g_per_cm3)
    return _UM_PER_BARN_PER_A3 * sum(
        per_A3 * float(xraylib.CSb_Total(atomic_number(element), energy_keV))
        for element, per_A3 in densities.items()
    )
