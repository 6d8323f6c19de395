"""What somebody knows of lattice parameters who knows how far they spread and how much they bend.

A normal prior for the pixels of an electrode, of precision

    Q = Σ_g w_g·B_gᵀB_g + μ,

with B_g the second differences along rows and columns inside full material, of one group g of equal
thickness ρ (:mod:`inverse.thickness`) or of all. w and μ are found by fixed-point steps, so that
the prior itself has the mean square bends of every group, and the mean square deviation from the
mean, that this very sample has. That bends of one particle are mostly of one sign is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array, eye_array
from scipy.sparse.csgraph import connected_components

from inverse.thickness import disc_radius

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_FULL = 0.7
_BEND = np.array([1.0, -2.0, 1.0])
_FEWEST = 50
"""Bends of a group; thicker material with fewer counts with the next thinner."""
_LEAST_MA = 0.02
_STEPS, _TOLERANCE = 60, 0.01


@dataclass(frozen=True, eq=False)
class Bends:
    """The bends inside full material."""

    matrix: csr_array
    """Second differences, (bend, pixel)."""
    radius: Floats
    """ρ of the middle pixel, (bend,)."""


def bends_inside(row: Places, column: Places, amount: Floats) -> Bends:
    """Return the bends of pixels at ``row`` and ``column`` that hold ``amount``, each (pixel,)."""
    side = int(max(row.max(), column.max())) + 2
    image = np.full((side, side), -1)
    image[row, column] = np.arange(amount.size)
    full = np.append(amount > _FULL, False)
    radius = disc_radius(full[image])
    runs, radii = [], []
    for turned, thick in ((image, radius), (image.T, radius.T)):
        runs.append(np.stack([turned[:, :-2], turned[:, 1:-1], turned[:, 2:]], -1).reshape(-1, 3))
        radii.append(thick[:, 1:-1].reshape(-1))
    inside = np.concatenate(runs)
    kept = full[inside].all(axis=1)
    n = int(kept.sum())
    matrix = coo_array(
        (np.tile(_BEND, n), (np.repeat(np.arange(n), 3), inside[kept].reshape(-1))),
        shape=(n, amount.size),
    ).tocsr()
    return Bends(matrix, np.concatenate(radii)[kept])


def precision(bends: Bends, a_mA: Floats, *, by_size: bool) -> csr_array:
    """Return Q of the module's formula in 1/mÅ² for a sample's lattice parameters, (pixel,).

    Raises ArithmeticError where the fixed-point steps do not settle.
    """
    group = _groups(bends.radius) if by_size else np.zeros(bends.radius.size, int)
    count = np.bincount(group)
    true = np.maximum(np.bincount(group, (bends.matrix @ a_mA) ** 2) / count, _LEAST_MA**2)
    spread = max(float(np.var(a_mA)), _LEAST_MA**2)
    weight, level = 1.0 / true, 1.0 / spread
    for _ in range(_STEPS):
        prior = _prior(bends.matrix, weight[group], level)
        bent, deviating = _mean_squares(prior, bends.matrix)
        implied = np.bincount(group, bent) / count
        change = np.append(implied / true, deviating / spread)
        if np.all(np.abs(change - 1.0) < _TOLERANCE):
            return prior
        weight, level = weight * change[:-1], level * float(change[-1])
    raise ArithmeticError(f"the prior is off by {np.abs(change - 1.0).max():.1%}")


def _groups(radius: Floats) -> Places:
    levels, group, count = np.unique(radius, return_inverse=True, return_counts=True)
    merged = np.zeros(levels.size, np.int64)
    for k in range(1, levels.size):
        enough = count[k] >= _FEWEST and count[:k][merged[:k] == merged[k - 1]].sum() >= _FEWEST
        merged[k] = merged[k - 1] + int(enough)
    return np.asarray(merged[group])


def _prior(matrix: csr_array, weight: Floats, level: float) -> csr_array:
    prior = matrix.T @ diags_array(weight) @ matrix + level * eye_array(matrix.shape[1])
    return prior.tocsr()


def _mean_squares(prior: csr_array, matrix: csr_array) -> tuple[Floats, float]:
    """Return the expected squares of the bends, (bend,), and the mean variance of pixels."""
    _, label = connected_components(prior, directed=False)
    order = np.argsort(label, kind="stable")
    ends = np.cumsum(np.bincount(label))
    owner = label[matrix.indices[matrix.indptr[:-1]]]
    bent, variance = np.zeros(matrix.shape[0]), 0.0
    for number, pixels in enumerate(np.split(order, ends[:-1])):
        covariance = np.linalg.inv(prior[pixels][:, pixels].toarray())
        variance += float(np.trace(covariance))
        own = np.flatnonzero(owner == number)
        if own.size:
            few = matrix[own][:, pixels].toarray()
            bent[own] = np.sum((few @ covariance) * few, axis=1)
    return bent, variance / prior.shape[0]
