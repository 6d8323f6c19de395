"""Compiled algebra of small normal matrices for :mod:`inverse.rietveld_kernel`.

Matrices are symmetric, a dozen or two wide, and scaled to a unit diagonal before they are factored,
so that what cannot be told apart shows as a small pivot whatever the units are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SMALLEST_PIVOT = 1e-11
"""Share of its own square that a column must keep once the others are taken off."""


@compiled
def factored(matrix: Floats, chosen: Bools, factor: Floats) -> int:
    """Set ``factor`` to the Cholesky factor of the chosen rows; unchosen ones become unit rows.

    Returns −1, or the first row that is a mixture of those before it.
    """
    n = matrix.shape[0]
    for i in range(n):
        for j in range(i):
            total = 0.0
            if chosen[i] and chosen[j]:
                total = matrix[i, j]
                for k in range(j):
                    total -= factor[i, k] * factor[j, k]
                total /= factor[j, j]
            factor[i, j] = total
        factor[i, i] = 1.0
        if chosen[i]:
            pivot = matrix[i, i]
            for k in range(i):
                pivot -= factor[i, k] * factor[i, k]
            if not (matrix[i, i] > 0.0 and pivot > SMALLEST_PIVOT * matrix[i, i]):
                return i
            factor[i, i] = np.sqrt(pivot)
    return -1


@compiled
def forward(factor: Floats, vector: Floats) -> None:
    """Solve L x = vector in place."""
    for i in range(vector.size):
        total = vector[i]
        for k in range(i):
            total -= factor[i, k] * vector[k]
        vector[i] = total / factor[i, i]


@compiled
def backward(factor: Floats, vector: Floats) -> None:
    """Solve Lᵀ x = vector in place."""
    for i in range(vector.size - 1, -1, -1):
        total = vector[i]
        for k in range(i + 1, vector.size):
            total -= factor[k, i] * vector[k]
        vector[i] = total / factor[i, i]


@compiled
def solved(matrix: Floats, chosen: Bools, factor: Floats, vector: Floats) -> bool:
    """Solve for the chosen unknowns in place, the others become zero; False where singular."""
    if factored(matrix, chosen, factor) >= 0:
        return False
    for i in range(vector.size):
        if not chosen[i]:
            vector[i] = 0.0
    forward(factor, vector)
    backward(factor, vector)
    return True


@compiled
def nonnegative(
    matrix: Floats, right: Floats, result: Floats, positive: Bools, factor: Floats
) -> None:
    """Set ``result`` ≥ 0 to the minimum of ½xᵀAx − bᵀx, and which of it are ``positive``.

    Phases that are a mixture of others stay at zero.
    Source: Lawson & Hanson, *Solving Least Squares Problems* (1974), ch. 23.
    """
    n = right.size
    barred, trial = np.zeros(n, np.bool_), np.empty(n)
    result[:] = 0.0
    positive[:] = False
    for _ in range(3 * n):
        best, entering = 1e-12, -1
        for i in range(n):
            if not positive[i] and not barred[i] and matrix[i, i] > 0.0:
                slope = right[i]
                for j in range(n):
                    slope -= matrix[i, j] * result[j]
                slope /= np.sqrt(matrix[i, i])
                if slope > best:
                    best, entering = slope, i
        if entering < 0:
            return
        positive[entering] = True
        while True:
            trial[:] = right
            if not solved(matrix, positive, factor, trial):
                positive[entering], barred[entering] = False, True
                break
            share = 1.0
            leaving = -1
            for i in range(n):
                if positive[i] and trial[i] <= 0.0:
                    gap = result[i] / (result[i] - trial[i]) if result[i] > 0.0 else 0.0
                    if gap < share:
                        share, leaving = gap, i
            for i in range(n):
                if positive[i]:
                    result[i] += share * (trial[i] - result[i])
            if leaving < 0:
                break
            result[leaving] = 0.0
            positive[leaving] = False
            if leaving == entering:
                barred[entering] = True
                break


@compiled
def inverse(matrix: Floats, chosen: Bools, result: Floats) -> None:
    """Set ``result`` to the inverse for the chosen rows; those that are mixtures are unchosen."""
    n = matrix.shape[0]
    factor, scaled, size = np.empty((n, n)), np.empty((n, n)), np.empty(n)
    for i in range(n):
        size[i] = np.sqrt(matrix[i, i]) if chosen[i] and matrix[i, i] > 0.0 else 0.0
        chosen[i] = size[i] > 0.0
    for i in range(n):
        for j in range(n):
            scaled[i, j] = matrix[i, j] / (size[i] * size[j]) if chosen[i] and chosen[j] else 0.0
    while True:
        mixture = factored(scaled, chosen, factor)
        if mixture < 0:
            break
        chosen[mixture] = False
    column = np.empty(n)
    for j in range(n):
        column[:] = 0.0
        column[j] = 1.0
        forward(factor, column)
        backward(factor, column)
        for i in range(n):
            known = chosen[i] and chosen[j]
            result[i, j] = column[i] / (size[i] * size[j]) if known else np.nan
