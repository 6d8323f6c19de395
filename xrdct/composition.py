"""What a material is made of, counted in atoms per volume.

A material is a `Crystal`, or for what has no lattice (polymer, glass, liquid) its formula, such as
``{"C": 19, "H": 12, "O": 3}``, together with its density.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import xraylib

from xrdct.crystal import ATOMIC_MASS_UNIT_G, Crystal, atomic_number
from xrdct.errors import InputError

Material = Crystal | Mapping[str, float]


def number_density_per_A3(
    material: Material, *, density_g_per_cm3: float | None = None
) -> dict[str, float]:
    """Return the atoms of each element per Å³.

    A formula needs ``density_g_per_cm3``; a crystal has its own, and any other stands for a powder
    that fills only part of the volume.

    `InputError` for a formula without density, with unknown elements or with no atoms, and for a
    density that is not positive.
    """
    if isinstance(material, Crystal):
        atoms, mass_u = material.composition, material.cell_mass_u
    else:
        atoms, mass_u = dict(material), formula_mass_u(material)
    if density_g_per_cm3 is None:
        if not isinstance(material, Crystal):
            raise InputError(f"a formula needs a density (g/cm³): none was given for {atoms}")
        density_g_per_cm3 = material.density_g_per_cm3
    if not 0.0 < density_g_per_cm3 < math.inf:
        raise InputError(f"a density (g/cm³) must be positive: got {density_g_per_cm3:g}")
    formulas_per_A3 = density_g_per_cm3 * 1e-24 / (mass_u * ATOMIC_MASS_UNIT_G)
    return {element: count * formulas_per_A3 for element, count in atoms.items()}


def formula_mass_u(formula: Mapping[str, float]) -> float:
    """Return the mass of a formula unit in u; `InputError` if an amount is negative, or all 0."""
    for element, count in formula.items():
        if not 0.0 <= count < math.inf:
            raise InputError(f"a formula must count atoms from 0: got {count:g} of {element}")
    mass_u = sum(
        count * float(xraylib.AtomicWeight(atomic_number(element)))
        for element, count in formula.items()
    )
    if mass_u == 0.0:
        raise InputError("a formula must hold at least one atom")
    return mass_u
