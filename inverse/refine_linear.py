"""Eliminate the linear parameters of a voxel: the compiled algebra of :mod:`inverse.refine_kernel`.

With the weights W of a voxel the linear patterns B have the normal matrix B W Bᵀ = L Lᵀ. Whitened
components L⁻¹ B W f turn the projection of a pattern off the B into a plain subtraction,
⟨f, g⟩ = fᵀ W g − (L⁻¹ B W f)·(L⁻¹ B W g).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled, compiled_fast

Floats = NDArray[np.float64]


@compiled_fast
def dot(p: Floats, q: Floats) -> float:
    """Return p·q."""
    total = 0.0
    for c in range(p.size):
        total += p[c] * q[c]
    return total


@compiled_fast
def _four_dots(a: Floats, b: Floats, p: Floats, q: Floats) -> tuple[float, float, float, float]:
    """Return a·p, a·q, b·p and b·q, reading each array once."""
    ap, aq, bp, bq = 0.0, 0.0, 0.0, 0.0
    for c in range(a.size):
        ap += a[c] * p[c]
        aq += a[c] * q[c]
        bp += b[c] * p[c]
        bq += b[c] * q[c]
    return ap, aq, bp, bq


@compiled_fast
def multiply(p: Floats, q: Floats, out: Floats) -> None:
    """Set ``out`` to the product of two arrays, element by element."""
    for c in range(out.size):
        out[c] = p[c] * q[c]


@compiled
def normal_matrix(linear: Floats, weight: Floats, weighted: Floats, matrix: Floats) -> None:
    """Fill ``weighted`` with the linear patterns times the weights, and the lower normal matrix."""
    n = linear.shape[0]
    for i in range(n):
        multiply(linear[i], weight, weighted[i])
    for i in range(0, n - 1, 2):
        for j in range(0, i + 1, 2):
            matrix[i, j], matrix[i, j + 1], matrix[i + 1, j], matrix[i + 1, j + 1] = _four_dots(
                weighted[i], weighted[i + 1], linear[j], linear[j + 1]
            )
    if n % 2 == 1:
        for j in range(n):
            matrix[n - 1, j] = dot(weighted[n - 1], linear[j])


@compiled
def factorise(matrix: Floats) -> bool:
    """Replace a symmetric matrix by its Cholesky factor; False where it is not positive."""
    n = matrix.shape[0]
    for i in range(n):
        largest = matrix[i, i]
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if total <= 1e-12 * largest or largest <= 0.0:
                    return False
                matrix[i, i] = np.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    return True


@compiled
def _whiten(factor: Floats, vector: Floats) -> None:
    """Solve L x = vector in place, so that projections become plain dot products."""
    for i in range(factor.shape[0]):
        total = vector[i]
        for k in range(i):
            total -= factor[i, k] * vector[k]
        vector[i] = total / factor[i, i]


@compiled
def onto_linear(
    weighted: Floats, factor: Floats, f: Floats, g: Floats, lf: Floats, lg: Floats
) -> None:
    """Whitened components of two patterns along the linear patterns."""
    n = factor.shape[0]
    for k in range(0, n - 1, 2):
        lf[k], lg[k], lf[k + 1], lg[k + 1] = _four_dots(weighted[k], weighted[k + 1], f, g)
    if n % 2 == 1:
        lf[n - 1], lg[n - 1] = dot(weighted[n - 1], f), dot(weighted[n - 1], g)
    _whiten(factor, lf)
    _whiten(factor, lg)


@compiled
def linear_amounts(factor: Floats, ly: Floats, lf: Floats, scale: float, out: Floats) -> None:
    """Solve Lᵀ b = ly − scale·lf for the amounts of the linear patterns."""
    for k in range(out.size - 1, -1, -1):
        total = ly[k] - scale * lf[k]
        for m in range(k + 1, out.size):
            total -= factor[m, k] * out[m]
        out[k] = total / factor[k, k]
