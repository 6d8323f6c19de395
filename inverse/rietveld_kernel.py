"""The compiled refinement: one pattern after the other, by variable projection.

With everything divided by the standard deviations of the channels, a pattern y is explained by
background terms B, phases F(θ) with scales S ≥ 0 and the non-linear parameters θ. For given θ the
best background and scales follow from the normal matrix of B and F, the scales by non-negative
least squares. The slopes D of the explained pattern by θ, freed of B and of the phases present,
have the normal matrix H, and

    (H + λ·diag H) δθ = Dᵀ·r,        r = y − S·F − b·B

is Marquardt's step, held to the limits of θ. A step that makes χ² larger is taken back and λ
raised. The search ends where a step changes θ by less than 1e-3 standard uncertainties. Slopes are
not exact to the last (:mod:`inverse.rietveld_profile`), so that close to the end, below a tenth of
a standard uncertainty, what makes the right side vanish is sought, and χ² may rise by 0.01.

Source: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413; Kaufman, BIT 15 (1975) 49; Marquardt,
J. Soc. Indust. Appl. Math. 11 (1963) 431.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inverse.refine_kernel import AT_LIMIT, CONVERGED, NO_MATERIAL, NOT_CONVERGED, NOT_MEASURED
from inverse.refine_linear import dot
from inverse.rietveld_linear import backward, factored, forward, inverse, nonnegative, solved
from inverse.rietveld_shapes import Active, Tables, draw_phase
from xrdct.compiled import compiled, compiled_fast

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_MOST_EVALUATIONS = 60
_SETTLED = 1e-6
"""Square of a step in standard uncertainties that ends the search."""
_CIRCLING = 1e-4
"""Square of a step that ends it where steps shrink no more: between two sets of channels."""
_MEANINGLESS = 0.01
"""Rise of χ², and square of a step, that say nothing."""
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-9, 1e8
_SIGNIFICANT = 5.0
"""Standard uncertainties of its scale from which on a phase tells its own parameters."""
_FEWEST_FREE = 8
"""Channels more than parameters without which a pattern is not refined."""


class Setup(NamedTuple):
    """What a refinement of many patterns has in common."""

    tables: Tables
    active: Active
    n_cell: Ints
    """Free parameters of each phase's cell, (phase,)."""
    base: Floats
    """Values of the slots that are not free, (slot,)."""
    column: Ints
    """Free parameter in each slot, −1 where it is not free, (slot,)."""
    low: Floats
    high: Floats
    """Limits of the free parameters, (free,)."""
    of_cell: Bools
    """Which free parameters belong to a cell, (free,)."""
    background: Floats
    """(term, channel)."""
    drawn: Floats
    """Patterns of the phases that no free parameter changes, (phase, channel)."""
    is_drawn: Bools
    """(phase,)."""
    min_scale: float
    """Of all phases together."""


class Work(NamedTuple):
    """Memory for one pattern."""

    y: Floats
    root_weight: Floats
    background: Floats
    shapes: Floats
    """(phase, channel)."""
    slopes: Floats
    """By active slot, (active, channel)."""
    columns: Floats
    """By free parameter, (free, channel)."""
    residual: Floats
    buffer: Floats
    normal: Floats
    """Of phases, free parameters and background terms, in this order."""
    factor_b: Floats
    freed: Floats
    """Products with the background, whitened, (phase + free + 1, term); the pattern's own last."""
    schur: Floats
    """Of phases and free parameters, freed of the background."""
    right: Floats
    scale: Floats
    amount: Floats
    positive: Bools


@compiled
def _work(n_phases: int, n_free: int, n_active: int, n_terms: int, n_channels: int) -> Work:
    n = n_phases + n_free + n_terms
    return Work(
        np.empty(n_channels), np.empty(n_channels), np.empty((n_terms, n_channels)),
        np.empty((n_phases, n_channels)), np.empty((n_active, n_channels)),
        np.empty((n_free, n_channels)), np.empty(n_channels), np.empty((4, n_channels)),
        np.zeros((n, n)), np.empty((n_terms, n_terms)), np.empty((n_phases + n_free + 1, n_terms)),
        np.empty((n_phases + n_free, n_phases + n_free)), np.empty(n_phases), np.zeros(n_phases),
        np.zeros(n_terms), np.zeros(n_phases, np.bool_),
    )  # fmt: skip


@compiled_fast
def _times(target: Floats, factor: Floats) -> None:
    for c in range(target.size):
        target[c] *= factor[c]


@compiled_fast
def _take(target: Floats, scale: float, source: Floats) -> None:
    for c in range(target.size):
        target[c] += scale * source[c]


@compiled
def _load(pattern: Floats, variance: Floats, setup: Setup, work: Work) -> int:
    """Divide a pattern and the background by the standard deviations; return usable channels."""
    used = 0
    for c in range(work.y.size):
        v, value = float(variance[c]), float(pattern[c])
        if v > 0.0 and np.isfinite(v) and np.isfinite(value):
            work.root_weight[c] = 1.0 / np.sqrt(v)
            work.y[c] = value * work.root_weight[c]
            used += 1
        else:
            work.root_weight[c], work.y[c] = 0.0, 0.0
    n_terms = setup.background.shape[0]
    first = work.normal.shape[0] - n_terms
    for i in range(n_terms):
        work.background[i] = setup.background[i]
        _times(work.background[i], work.root_weight)
        for j in range(i + 1):
            product = dot(work.background[i], work.background[j])
            work.normal[first + i, first + j] = product
            work.normal[first + j, first + i] = product
    if factored(work.normal[first:, first:], np.ones(n_terms, np.bool_), work.factor_b) >= 0:
        return 0
    own = work.freed[work.freed.shape[0] - 1]
    for i in range(n_terms):
        own[i] = dot(work.background[i], work.y)
    forward(work.factor_b, own)
    return used


@compiled
def _free(row: int, column: Floats, work: Work) -> None:
    """Keep the products of a column with the background, as they are and whitened."""
    n_terms = work.background.shape[0]
    first = work.normal.shape[0] - n_terms
    for i in range(n_terms):
        product = dot(work.background[i], column)
        work.normal[row, first + i] = product
        work.normal[first + i, row] = product
        work.freed[row, i] = product
    forward(work.factor_b, work.freed[row])


@compiled
def _product(row: int, other: int, product: float, work: Work) -> None:
    """Keep the product of two columns, as it is and freed of the background."""
    work.normal[row, other] = product
    work.normal[other, row] = product
    left = product - dot(work.freed[row], work.freed[other])
    work.schur[row, other] = left
    work.schur[other, row] = left


@compiled
def _draw(theta: Floats, slots: Floats, setup: Setup, work: Work) -> bool:
    """Compute the patterns of all phases at ``theta`` and their slopes by slot, whitened."""
    slots[:] = setup.base
    for s in range(slots.size):
        if setup.column[s] >= 0:
            slots[s] = theta[setup.column[s]]
    possible = True
    for p in range(work.shapes.shape[0]):
        if setup.is_drawn[p]:
            work.shapes[p] = setup.drawn[p]
        else:
            possible &= draw_phase(
                p, slots, setup.tables, setup.active, setup.n_cell[p], work.shapes[p],
                work.slopes, work.buffer,
            )  # fmt: skip
        _times(work.shapes[p], work.root_weight)
    for k in range(work.slopes.shape[0]):
        _times(work.slopes[k], work.root_weight)
    return possible


@compiled
def _explain(work: Work) -> float:
    """Find scales and background for the drawn phases; return χ²."""
    n_phases, n_terms = work.shapes.shape[0], work.background.shape[0]
    own = work.freed[work.freed.shape[0] - 1]
    for p in range(n_phases):
        _free(p, work.shapes[p], work)
        work.right[p] = dot(work.shapes[p], work.y) - dot(work.freed[p], own)
        for q in range(p + 1):
            _product(p, q, dot(work.shapes[p], work.shapes[q]), work)
    matrix = work.schur[:n_phases, :n_phases]
    nonnegative(matrix, work.right, work.scale, work.positive, np.empty((n_phases, n_phases)))
    for i in range(n_terms):
        work.amount[i] = own[i]
        for p in range(n_phases):
            work.amount[i] -= work.scale[p] * work.freed[p, i]
    backward(work.factor_b, work.amount)
    work.residual[:] = work.y
    for p in range(n_phases):
        _take(work.residual, -work.scale[p], work.shapes[p])
    for i in range(n_terms):
        _take(work.residual, -work.amount[i], work.background[i])
    return float(dot(work.residual, work.residual))


@compiled
def _differentiate(setup: Setup, work: Work) -> None:
    """Make the slopes of the explained pattern by the free parameters, and all their products."""
    n_phases, n_free = work.shapes.shape[0], work.columns.shape[0]
    work.columns[:] = 0.0
    for k in range(work.slopes.shape[0]):
        scale = work.scale[setup.active.phase[k]]
        if scale > 0.0:
            _take(work.columns[setup.active.column[k]], scale, work.slopes[k])
    for j in range(n_free):
        row = n_phases + j
        _free(row, work.columns[j], work)
        for p in range(n_phases):
            _product(row, p, dot(work.columns[j], work.shapes[p]), work)
        for i in range(j + 1):
            _product(row, n_phases + i, dot(work.columns[j], work.columns[i]), work)


@compiled
def _reduced(work: Work, reduced: Floats, slope: Floats) -> None:
    """Set H and Dᵀ·r of the module's formula: freed of background and of the phases present."""
    n_phases, n_free = work.shapes.shape[0], work.columns.shape[0]
    factor = np.empty((n_phases, n_phases))
    factored(work.schur[:n_phases, :n_phases], work.positive, factor)
    freed = np.empty((n_free, n_phases))
    for j in range(n_free):
        for p in range(n_phases):
            freed[j, p] = work.schur[n_phases + j, p] if work.positive[p] else 0.0
        forward(factor, freed[j])
        slope[j] = dot(work.columns[j], work.residual)
        for i in range(j + 1):
            reduced[j, i] = work.schur[n_phases + j, n_phases + i] - dot(freed[j], freed[i])
            reduced[i, j] = reduced[j, i]


@compiled
def _step(
    theta: Floats, damping: float, reduced: Floats, slope: Floats, setup: Setup, step: Floats
) -> float:
    """Set Marquardt's step within the limits; return its square in standard uncertainties."""
    n = theta.size
    movable, damped, factor = np.empty(n, np.bool_), reduced.copy(), np.empty((n, n))
    for j in range(n):
        outward = (theta[j] <= setup.low[j] and slope[j] < 0.0) or (
            theta[j] >= setup.high[j] and slope[j] > 0.0
        )
        movable[j] = reduced[j, j] > 0.0 and not outward
        damped[j, j] *= 1.0 + damping
    while True:
        step[:] = slope
        row = factored(damped, movable, factor)
        if row < 0:
            break
        movable[row] = False
    solved(damped, movable, factor, step)
    for j in range(n):
        step[j] = min(max(theta[j] + step[j], setup.low[j]), setup.high[j]) - theta[j]
    square = 0.0
    for j in range(n):
        for i in range(n):
            square += step[j] * reduced[j, i] * step[i]
    return square


@compiled
def _search(
    theta: Floats, slots: Floats, setup: Setup, work: Work, reduced: Floats, slope: Floats
) -> int:
    """Refine ``theta`` in place; ``work`` then holds what belongs to it."""
    n_free = theta.size
    if not _draw(theta, slots, setup, work):
        return NOT_CONVERGED
    chi2 = _explain(work)
    if n_free == 0:
        return CONVERGED
    step, tried, damping = np.empty(n_free), np.empty(n_free), _FIRST_DAMPING
    _differentiate(setup, work)
    _reduced(work, reduced, slope)
    outcome, elsewhere, last = NOT_CONVERGED, False, np.inf
    for _evaluation in range(_MOST_EVALUATIONS):
        square = _step(theta, damping, reduced, slope, setup, step)
        if not square >= 0.0 or damping > _MOST_DAMPING:
            break
        circling = square < _CIRCLING and square > 0.5 * last
        if damping <= 1.0 and (square < _SETTLED or circling):
            outcome = CONVERGED
            break
        last = square
        tried[:] = theta + step
        elsewhere = True
        if _draw(tried, slots, setup, work):
            new = _explain(work)
            if new <= chi2 + (_MEANINGLESS if square < _MEANINGLESS else 0.0):
                elsewhere = False
                theta[:] = tried
                chi2 = new
                damping = max(0.1 * damping, _LEAST_DAMPING)
                _differentiate(setup, work)
                _reduced(work, reduced, slope)
                continue
        damping *= 10.0
    if outcome == CONVERGED and elsewhere:
        _draw(theta, slots, setup, work)
        _explain(work)
        _differentiate(setup, work)
    return outcome


@compiled
def _outcome(theta: Floats, covariance: Floats, setup: Setup, work: Work) -> int:
    """Judge a converged search: whether there is material, or a cell at a limit."""
    n_phases = work.shapes.shape[0]
    there = np.zeros(n_phases, np.bool_)
    total = 0.0
    for p in range(n_phases):
        total += work.scale[p]
        there[p] = work.scale[p] > 0.0 and (
            work.scale[p] >= _SIGNIFICANT * np.sqrt(covariance[p, p])
        )
    if not there.any() or total < setup.min_scale:
        return NO_MATERIAL
    for k in range(setup.active.column.size):
        j = setup.active.column[k]
        inside = setup.low[j] < theta[j] < setup.high[j]
        if setup.of_cell[j] and there[setup.active.phase[k]] and not inside:
            return AT_LIMIT
    return CONVERGED


@compiled
def refine_patterns_compiled(
    patterns: NDArray[np.floating], variances: NDArray[np.floating], start: Floats, setup: Setup,
    values: Floats, covariance: Floats, quality: Floats, status: NDArray[np.int8],
) -> None:  # fmt: skip
    """Refine each pattern from its ``start`` (pattern, free).

    ``values`` gets scales, free parameters and background amounts, (pattern, parameter);
    ``covariance`` their covariance, or its diagonal where it is (pattern, parameter, 1); NaN for
    what nothing tells. ``quality`` gets χ² per degree of freedom and R_wp.
    """
    n_phases, n_free = setup.n_cell.size, setup.low.size
    n_terms, n_channels = setup.background.shape
    n = n_phases + n_free + n_terms
    work = _work(n_phases, n_free, setup.active.column.size, n_terms, n_channels)
    slots, theta = np.empty(setup.base.size), np.empty(n_free)
    reduced, slope = np.empty((n_free, n_free)), np.empty(n_free)
    whole, known = np.empty((n, n)), np.empty(n, np.bool_)
    for v in range(patterns.shape[0]):
        used = _load(patterns[v], variances[v], setup, work)
        status[v] = NOT_MEASURED
        if used < n + _FEWEST_FREE:
            continue
        theta[:] = start[v]
        outcome = _search(theta, slots, setup, work, reduced, slope)
        if outcome == CONVERGED:
            known[:] = True
            inverse(work.normal, known, whole)
            outcome = _outcome(theta, whole, setup, work)
        status[v] = outcome
        if outcome != CONVERGED:
            continue
        values[v, :n_phases] = work.scale
        values[v, n_phases : n_phases + n_free] = theta
        values[v, n_phases + n_free :] = work.amount
        if covariance.shape[2] == n:
            covariance[v] = whole
        else:
            for i in range(n):
                covariance[v, i, 0] = whole[i, i]
        chi2 = dot(work.residual, work.residual)
        quality[v, 0] = chi2 / (used - n)
        quality[v, 1] = np.sqrt(chi2 / dot(work.y, work.y))


@compiled
def shared_normal(
    patterns: NDArray[np.floating], variances: NDArray[np.floating], theta: Floats, n_own: int,
    setup: Setup, normal: Floats, right: Floats,
) -> float:  # fmt: skip
    """Add up what patterns tell of shared parameters, everything of their own refined along.

    ``theta`` (pattern, free) holds the ``n_own`` parameters of each pattern first, then the shared
    ones. ``normal`` and ``right`` get the normal matrix of the shared ones and its right side.
    Returns χ² over all patterns.
    """
    n_free = setup.low.size
    n_terms, n_channels = setup.background.shape
    work = _work(setup.n_cell.size, n_free, setup.active.column.size, n_terms, n_channels)
    slots, reduced = np.empty(setup.base.size), np.empty((n_free, n_free))
    slope, factor = np.empty(n_free), np.empty((n_own, n_own))
    chosen, freed = np.empty(n_own, np.bool_), np.empty((n_free - n_own + 1, n_own))
    chi2 = 0.0
    for v in range(patterns.shape[0]):
        _load(patterns[v], variances[v], setup, work)
        if not _draw(theta[v], slots, setup, work):
            continue
        chi2 += _explain(work)
        _differentiate(setup, work)
        _reduced(work, reduced, slope)
        for i in range(n_own):
            chosen[i] = reduced[i, i] > 0.0
        while True:
            mixture = factored(reduced[:n_own, :n_own], chosen, factor)
            if mixture < 0:
                break
            chosen[mixture] = False
        for s in range(n_free - n_own + 1):
            for i in range(n_own):
                freed[s, i] = 0.0
                if chosen[i]:
                    freed[s, i] = reduced[n_own + s, i] if s < n_free - n_own else slope[i]
            forward(factor, freed[s])
        for s in range(n_free - n_own):
            right[s] += slope[n_own + s] - dot(freed[s], freed[n_free - n_own])
            for t in range(n_free - n_own):
                normal[s, t] += reduced[n_own + s, n_own + t] - dot(freed[s], freed[t])
    return chi2
