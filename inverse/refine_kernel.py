"""The compiled inner loop of :mod:`inverse.refine`: one voxel after the other, no allocation.

Lattice parameters are in units of the template spacing, counted from the first template. The
inner product is weighted with the inverse variance and projected off the linear patterns, through
the Cholesky factor of their normal matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled, compiled_fast

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]

_CONVERGED, _NOT_MEASURED, _NO_MATERIAL, _NOT_CONVERGED, _AT_LIMIT = 0, 1, 2, 3, 4
_MAX_ITERATIONS = 40
_TOLERANCE_A = 1e-7
_LARGEST_STEP = 8.0
_SIGNIFICANT = 3.0


@compiled_fast
def _dot(p: Floats, q: Floats) -> float:
    total = 0.0
    for c in range(p.size):
        total += p[c] * q[c]
    return total


@compiled_fast
def _load(pattern: Float32s, variance: Float32s, y: Floats, weight: Floats) -> int:
    """Copy a voxel to double precision with its weights; return the number of usable channels."""
    used = 0
    for c in range(y.size):
        v, value = float(variance[c]), float(pattern[c])
        if v > 0.0 and np.isfinite(v) and np.isfinite(value):
            y[c], weight[c] = value, 1.0 / v
            used += 1
        else:
            y[c], weight[c] = 0.0, 0.0
    return used


@compiled_fast
def _interpolate(templates: Floats, position: float, f: Floats, g: Floats) -> None:
    """Template and its derivative at ``position`` (template spacings), by cubic interpolation."""
    i = min(max(int(position), 1), templates.shape[0] - 3)
    t = position - i
    w0 = -t * (t - 1.0) * (t - 2.0) / 6.0
    w1 = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0
    w2 = -(t + 1.0) * t * (t - 2.0) / 2.0
    w3 = (t + 1.0) * t * (t - 1.0) / 6.0
    d0 = -(3.0 * t * t - 6.0 * t + 2.0) / 6.0
    d1 = (3.0 * t * t - 4.0 * t - 1.0) / 2.0
    d2 = -(3.0 * t * t - 2.0 * t - 2.0) / 2.0
    d3 = (3.0 * t * t - 1.0) / 6.0
    for c in range(f.size):
        m0, m1 = templates[i - 1, c], templates[i, c]
        m2, m3 = templates[i + 1, c], templates[i + 2, c]
        f[c] = w0 * m0 + w1 * m1 + w2 * m2 + w3 * m3
        g[c] = d0 * m0 + d1 * m1 + d2 * m2 + d3 * m3


@compiled
def _factorise(matrix: Floats) -> bool:
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
def _onto_linear(linear: Floats, weighted: Floats, factor: Floats, out: Floats) -> None:
    """Whitened components of a weighted pattern along the linear patterns."""
    for k in range(linear.shape[0]):
        out[k] = _dot(linear[k], weighted)
    _whiten(factor, out)


@compiled
def refine_voxels(
    patterns: Float32s,
    variances: Float32s,
    templates: Floats,
    linear: Floats,
    start: NDArray[np.int64],
    spacing_A: float,
    min_scale: float,
    values: Floats,
    status: NDArray[np.int8],
) -> None:
    """Refine each voxel; ``values`` gets position, its esd, scale, its esd, χ²/dof, linear."""
    n_channels, n_linear = patterns.shape[1], linear.shape[0]
    y, weight = np.empty(n_channels), np.empty(n_channels)
    f, g = np.empty(n_channels), np.empty(n_channels)
    wf, wg, wy, scratch = (
        np.empty(n_channels), np.empty(n_channels), np.empty(n_channels), np.empty(n_channels)
    )  # fmt: skip
    factor = np.empty((n_linear, n_linear))
    ly, lf, lg = np.empty(n_linear), np.empty(n_linear), np.empty(n_linear)
    tolerance = _TOLERANCE_A / spacing_A
    for voxel in range(patterns.shape[0]):
        used = _load(patterns[voxel], variances[voxel], y, weight)
        if used < n_linear + 8:
            status[voxel] = _NOT_MEASURED
            continue
        for i in range(n_linear):
            scratch[:] = linear[i] * weight
            for j in range(i + 1):
                factor[i, j] = _dot(scratch, linear[j])
        if not _factorise(factor):
            status[voxel] = _NOT_MEASURED
            continue
        wy[:] = y * weight
        _onto_linear(linear, wy, factor, ly)
        yy = _dot(y, wy) - _dot(ly, ly)
        position = float(start[voxel])
        outcome = _NOT_CONVERGED
        scale, ff, gg, fg, gy = 0.0, 1.0, 1.0, 0.0, 0.0
        for _iteration in range(_MAX_ITERATIONS):
            _interpolate(templates, position, f, g)
            wf[:] = f * weight
            wg[:] = g * weight
            _onto_linear(linear, wf, factor, lf)
            _onto_linear(linear, wg, factor, lg)
            ff = _dot(f, wf) - _dot(lf, lf)
            fg = _dot(f, wg) - _dot(lf, lg)
            gg = _dot(g, wg) - _dot(lg, lg)
            fy = _dot(f, wy) - _dot(lf, ly)
            gy = _dot(g, wy) - _dot(lg, ly)
            if not (ff > 0.0 and gg > 0.0):
                break
            scale = fy / ff
            if scale <= 0.0:
                outcome = _NO_MATERIAL
                break
            curvature = gg - fg * fg / ff
            step = (gy - fg * fy / ff) / (scale * curvature)
            step = min(max(step, -_LARGEST_STEP), _LARGEST_STEP)
            moved = min(max(position + step, 1.0), templates.shape[0] - 2.0)
            if moved == position and abs(step) > tolerance:
                outcome = _AT_LIMIT
                break
            position = moved
            if abs(step) < tolerance:
                outcome = _CONVERGED
                break
        if outcome == _CONVERGED:
            curvature = gg - fg * fg / ff
            scale_esd = np.sqrt(gg / (ff * curvature))
            if scale < min_scale or scale < _SIGNIFICANT * scale_esd:
                outcome = _NO_MATERIAL
            values[voxel, 0] = position
            values[voxel, 1] = 1.0 / (scale * np.sqrt(curvature))
            values[voxel, 2] = scale
            values[voxel, 3] = scale_esd
            values[voxel, 4] = (yy - scale * scale * ff) / (used - n_linear - 2)
            for k in range(n_linear - 1, -1, -1):
                total = ly[k] - scale * lf[k]
                for m in range(k + 1, n_linear):
                    total -= factor[m, k] * values[voxel, 5 + m]
                values[voxel, 5 + k] = total / factor[k, k]
        status[voxel] = outcome
