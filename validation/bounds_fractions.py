"""The bound of weight fractions, from that of the amounts of the refined and the fixed phases.

With masses m = φ ρ per volume and W = m/Σ m the delta method gives δW_p = (δm_p − W_p Σ δm)/Σ m.
True shares stand in the slopes. Source: Hill & Howard, J. Appl. Cryst. 20 (1987) 467; as
:mod:`inverse.quantify` has it. Where this fails: fractions near a bound that the fit enforces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from validation.bounds_optics import Optics
from xrdct.crystal_source import find_crystal

Floats = NDArray[np.float64]


def fraction_bound(
    optics: Optics, covariance: Floats, amount: Floats, extra: Floats, a_A: Floats
) -> Floats:
    """Return standard deviations of weight fractions, shape (pattern, phase), by the delta method.

    With masses m = φ ρ, δW_p = (δm_p − W_p Σ δm)/Σ m; ``extra`` (phase of the sample, pattern).
    """
    recipe, names = optics.recipe, optics.lab.sample.extra_phases
    crystal = find_crystal(recipe.phase.crystal)
    own = crystal.density_g_per_cm3 * (crystal.cell_A_deg[0] / a_A) ** 3
    others = [p.crystal for p in recipe.fixed_phases]
    amounts = [amount] + [
        extra[names.index(name)] if name in names else np.zeros(amount.size) for name in others
    ]
    density = [own] + [
        np.full(amount.size, find_crystal(name).density_g_per_cm3) for name in others
    ]
    rho = np.stack(density, axis=1)
    mass = np.stack(amounts, axis=1) * rho
    total = mass.sum(axis=1)
    share = mass / total[:, None]
    n_phases = rho.shape[1]
    slope = (np.eye(n_phases) - share[:, :, None]) * (rho / total[:, None])[:, None, :]
    block = covariance[:, 1 : 1 + n_phases, 1 : 1 + n_phases]
    spread = np.einsum("vpq,vqr,vpr->vp", slope, block, slope)
    return np.asarray(np.sqrt(np.maximum(spread, 0.0)))
