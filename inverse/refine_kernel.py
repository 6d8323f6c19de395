"""The compiled inner loop of :mod:`inverse.refine`: one voxel after the other, no allocation.

Lattice parameters are in units of the template spacing, counted from the first template. The
inner product is weighted with the inverse variance and projected off the linear patterns by
:mod:`inverse.refine_linear`.

What the phase explains, E(a) = ⟨f, y⟩²/⟨f, f⟩, is maximised by finding where its slope vanishes:
a first step by Gauss–Newton, then secants, and halving where these leave the interval that is known
to hold the maximum. So every search ends at a maximum or at a limit, however noisy the voxel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.refine_linear import (
    dot,
    factorise,
    linear_amounts,
    multiply,
    normal_matrix,
    onto_linear,
)
from xrdct.compiled import compiled, compiled_fast

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]

CONVERGED, NOT_MEASURED, NO_MATERIAL, NOT_CONVERGED, AT_LIMIT = 0, 1, 2, 3, 4
N_VALUES = 5
"""Position, its esd, scale, its esd and χ²/dof; the linear amounts follow."""

_MAX_EVALUATIONS = 60
_TOLERANCE_A = 1e-7
_LARGEST_STEP = 8.0
_SMALLEST_CURVATURE = 1e-10
"""Share of ⟨f′, f′⟩ and ⟨f, f⟩ left once the scale is free, below which nothing tells the two."""
_SIGNIFICANT = 5.0
"""Of its esd. Pure noise offers some twenty independent lattice parameters to choose from: one in
1e5 of its voxels passes at five, one in forty at three."""


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


@compiled
def _nearest(position: float, n_templates: int) -> int:
    """Return the second of the four templates between which ``position`` is interpolated."""
    return min(max(int(position), 1), n_templates - 3)


@compiled
def _cubic(t: float) -> tuple[float, float, float, float]:
    """Return the weights of values at −1, 0, 1 and 2 in the cubic through them, at ``t``."""
    return (
        -t * (t - 1.0) * (t - 2.0) / 6.0,
        (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
        -(t + 1.0) * t * (t - 2.0) / 2.0,
        (t + 1.0) * t * (t - 1.0) / 6.0,
    )


@compiled
def _cubic_slope(t: float) -> tuple[float, float, float, float]:
    """Return the derivatives of these weights."""
    return (
        -(3.0 * t * t - 6.0 * t + 2.0) / 6.0,
        (3.0 * t * t - 4.0 * t - 1.0) / 2.0,
        -(3.0 * t * t - 2.0 * t - 2.0) / 2.0,
        (3.0 * t * t - 1.0) / 6.0,
    )


@compiled
def interpolated(templates: Floats, positions: Floats) -> Floats:
    """Return the template at each position, shape (position, channel); NaN for NaN."""
    patterns = np.full((positions.size, templates.shape[1]), np.nan)
    for p in range(positions.size):
        if np.isfinite(positions[p]):
            i = _nearest(positions[p], templates.shape[0])
            w0, w1, w2, w3 = _cubic(positions[p] - i)
            for c in range(templates.shape[1]):
                patterns[p, c] = (
                    w0 * templates[i - 1, c] + w1 * templates[i, c]
                    + w2 * templates[i + 1, c] + w3 * templates[i + 2, c]
                )  # fmt: skip
    return patterns


@compiled_fast
def _interpolate(
    templates: Floats, position: float, y: Floats, weight: Floats, f: Floats, g: Floats
) -> tuple[float, float, float, float, float]:
    """Set f, g to template and derivative at ``position``; return weighted ff, fg, gg, fy, gy."""
    i = _nearest(position, templates.shape[0])
    w0, w1, w2, w3 = _cubic(position - i)
    d0, d1, d2, d3 = _cubic_slope(position - i)
    m0, m1, m2, m3 = templates[i - 1], templates[i], templates[i + 1], templates[i + 2]
    ff, fg, gg, fy, gy = 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(f.size):
        value = w0 * m0[c] + w1 * m1[c] + w2 * m2[c] + w3 * m3[c]
        slope = d0 * m0[c] + d1 * m1[c] + d2 * m2[c] + d3 * m3[c]
        f[c], g[c] = value, slope
        weighted_value, weighted_slope = weight[c] * value, weight[c] * slope
        ff += value * weighted_value
        fg += value * weighted_slope
        gg += slope * weighted_slope
        fy += y[c] * weighted_value
        gy += y[c] * weighted_slope
    return ff, fg, gg, fy, gy


@compiled
def _step(position: float, slope: float, newton: float, tolerance: float, past: Floats) -> float:
    """Return the next step of a search; ``past`` is (last position, its slope, low, high).

    Between low and high lies a maximum, once both have been met: slopes there point inwards. Steps
    below ``tolerance`` end the search, and are not held to that interval.
    """
    step = newton
    change = (slope - past[1]) * (position - past[0])
    if change < 0.0:
        step = -slope * (position - past[0]) ** 2 / change
    step = min(max(step, -_LARGEST_STEP), _LARGEST_STEP)
    past[0], past[1] = position, slope
    past[2 if slope > 0.0 else 3] = position
    if abs(step) >= tolerance and not past[2] < position + step < past[3]:
        step = 0.5 * (past[2] + past[3]) - position
    return step


@compiled
def _search(
    start: float, tolerance: float, templates: Floats, y: Floats, weight: Floats,
    weighted: Floats, factor: Floats, f: Floats, g: Floats,
    ly: Floats, lf: Floats, lg: Floats, past: Floats, found: Floats,
) -> int:  # fmt: skip
    """Find the best position; ``found`` gets position, its esd, scale, its esd, explained χ²."""
    last = templates.shape[0] - 1.0
    past[0], past[1], past[2], past[3] = np.nan, np.nan, -1.0, last + 1.0
    position = min(max(start, 0.0), last)
    for _evaluation in range(_MAX_EVALUATIONS):
        ff, fg, gg, fy, gy = _interpolate(templates, position, y, weight, f, g)
        onto_linear(weighted, factor, f, g, lf, lg)
        for k in range(ly.size):
            ff -= lf[k] * lf[k]
            fg -= lf[k] * lg[k]
            gg -= lg[k] * lg[k]
            fy -= lf[k] * ly[k]
            gy -= lg[k] * ly[k]
        curvature = gg - fg * fg / ff
        if not (ff > 0.0 and curvature > _SMALLEST_CURVATURE * max(ff, gg)):
            return NOT_CONVERGED
        scale = fy / ff
        if scale <= 0.0:
            return NO_MATERIAL
        slope = scale * (gy - scale * fg)
        step = _step(position, slope, slope / (scale * scale * curvature), tolerance, past)
        found[0], found[1] = position + step, 1.0 / (scale * np.sqrt(curvature))
        found[2], found[3] = scale, np.sqrt(gg / (ff * curvature))
        found[4] = scale * fy
        if abs(step) < tolerance:
            return CONVERGED
        moved = min(max(position + step, 0.0), last)
        if moved == position:
            return AT_LIMIT
        position = moved
    return NOT_CONVERGED


@compiled
def refine_voxels(
    patterns: Float32s,
    variances: Float32s,
    templates: Floats,
    linear: Floats,
    start: Floats,
    spacing_A: float,
    min_scale: float,
    values: Floats,
    status: NDArray[np.int8],
) -> None:
    """Refine each voxel; ``values`` gets position, its esd, scale, its esd, χ²/dof, linear."""
    n_channels, n_linear = patterns.shape[1], linear.shape[0]
    y, weight = np.empty(n_channels), np.empty(n_channels)
    f, g = np.empty(n_channels), np.empty(n_channels)
    weighted, factor = np.empty((n_linear, n_channels)), np.empty((n_linear, n_linear))
    ly, lf, lg = np.empty(n_linear), np.empty(n_linear), np.empty(n_linear)
    past = np.empty(4)
    for voxel in range(patterns.shape[0]):
        found = values[voxel, :N_VALUES]
        used = _load(patterns[voxel], variances[voxel], y, weight)
        if used < n_linear + 8:
            continue
        normal_matrix(linear, weight, weighted, factor)
        if not factorise(factor):
            continue
        onto_linear(weighted, factor, y, y, ly, lf)
        outcome = _search(
            start[voxel], _TOLERANCE_A / spacing_A, templates, y, weight, weighted, factor, f, g,
            ly, lf, lg, past, found,
        )  # fmt: skip
        scale, scale_esd = found[2], found[3]
        if scale < min_scale or scale < _SIGNIFICANT * scale_esd:
            outcome = NO_MATERIAL
        if outcome == CONVERGED:
            multiply(y, weight, g)
            unexplained = dot(y, g) - dot(ly, ly) - found[4]
            found[4] = max(unexplained, 0.0) / (used - n_linear - 2)
            linear_amounts(factor, ly, lf, scale, values[voxel, N_VALUES:])
        status[voxel] = outcome
