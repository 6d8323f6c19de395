"""Lithium over the radius of particles of LiMn2O4 whose mean content is given.

The mean over a sphere weighs r/R = ρ with 3ρ². A law linear in ρ has the mean of its ends with
weights 1/4 (core) and 3/4 (surface); a table, that of its nodes with the weights 3 ∫ hat ρ² dρ.
Where a deviation would lead below empty or above full, all of it is reduced, and the mean kept.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.particle import Law, RadialLaw, RadialTable

Array: TypeAlias = NDArray[np.float64]

TABLE_RADII = np.linspace(0.0, 1.0, 33)
"""Relative radii of tables."""

_NEGLIGIBLE = 1e-9
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)  # exact to degree 3; the integrands have 3


def gradient_laws(mean: Array, *, gradient: Array) -> list[Law]:
    """Return laws linear in r, core minus surface ``gradient``; shapes (particle,)."""
    ends = within_limits(mean, gradient[:, None] * np.array([0.75, -0.25]))
    laws: list[Law] = []
    for core, surface in ends.tolist():
        laws.append(core if core == surface else RadialLaw(core=core, surface=surface))
    return laws


def tabulated_laws(mean: Array, *, deviation: Array) -> list[Law]:
    """Return tables with the mean (particle,) and the ``deviation`` (particle, `TABLE_RADII`).

    What mean the deviation itself has, as a table, is taken off it.
    """
    off = deviation - (deviation @ table_weights())[:, None]
    radii = tuple(TABLE_RADII.tolist())
    laws: list[Law] = []
    for values in within_limits(mean, off).tolist():
        uniform = max(values) - min(values) < _NEGLIGIBLE
        laws.append(values[0] if uniform else RadialTable(r_over_R=radii, value=tuple(values)))
    return laws


def table_weights() -> Array:
    """Return the share of each of `TABLE_RADII` in the mean of a table over a sphere."""
    weights = np.zeros(TABLE_RADII.size)
    width = np.diff(TABLE_RADII)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        part = 0.5 * (1.0 + node)
        rho = TABLE_RADII[:-1] + part * width
        measure = 0.5 * width * weight * 3.0 * rho**2
        weights[:-1] += (1.0 - part) * measure
        weights[1:] += part * measure
    return weights


def within_limits(mean: Array, deviation: Array) -> Array:
    """Return mean + deviation, the deviations of a particle reduced until all lie in 0 to 1.

    Shapes (particle,) and (particle, radius).
    """
    tiny = np.finfo(np.float64).tiny
    above = (1.0 - mean) / np.maximum(deviation.max(axis=1), tiny)
    below = mean / np.maximum(-deviation.min(axis=1), tiny)
    factor = np.minimum(1.0, np.minimum(above, below))
    return np.asarray(np.clip(mean[:, None] + factor[:, None] * deviation, 0.0, 1.0))
