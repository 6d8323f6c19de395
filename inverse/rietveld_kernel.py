"""The compiled refinement: one pattern after the other, by variable projection.

With everything divided by the standard deviations of the channels, a pattern y is explained by
background terms B, phases F(θ) with scales S ≥ 0 and the non-linear parameters θ. For given θ the
best background and scales follow from the normal matrix of B and F, the scales by non-negative
least squares. The slopes D of the explained pattern by θ, freed of B and of the phases present,
have the normal matrix H, and

    (H + λ·diag H) δθ = Dᵀ·r,        r = y − S·F − b·B

is Marquardt's step, held to the limits of θ. A step that makes χ² larger is taken back and λ
raised. The search ends where a step changes θ by less than 1e-3 standard uncertainties, which are
inflated here by √χ² per degree of freedom where that is above one. Slopes are not exact to the last
(:mod:`inverse.rietveld_profile`), so that close to the end, below a tenth of a standard
uncertainty, what makes the right side vanish is sought, and χ² may rise by 0.01. Steps that turn
back, from either side of a valley or of the edge of a line's window, are shortened, those that
creep along a valley are lengthened.

A phase that is not there would fit its cell and widths to noise. Parameters of phases below two
standard uncertainties of scale are held at their start, but for the most significant one; those
that come out above are freed then. Of phases that come out below five although they are free, the
least significant is held for good. Then the search is repeated.

Source: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413; Kaufman, BIT 15 (1975) 49; Marquardt,
J. Soc. Indust. Appl. Math. 11 (1963) 431.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.refine_kernel import AT_LIMIT, CONVERGED, NO_MATERIAL, NOT_CONVERGED, NOT_MEASURED
from inverse.refine_linear import dot
from inverse.rietveld_linear import factored, forward, inverse, solved
from inverse.rietveld_work import (
    Setup,
    Work,
    differentiate,
    draw,
    explain,
    load,
    misfit,
    new_work,
    reduce,
)
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_MOST_EVALUATIONS = 60
_SETTLED, _LATE, _SETTLED_LATE = 1e-6, 30, 1e-4
"""Square of a step in standard uncertainties that ends the search, and after so many evaluations:
where phases of many parameters are barely there, the bottom of the valley is flat."""
_NEAR = 100.0
"""Square of a step below which rows of steps are looked at."""
_ALIGNED, _LONGEST_STRIDE = 0.9, 10.0
_GROWTH = 2.0
"""Of the square of the longest step, unless one turned back."""
_MEANINGLESS = 0.01
"""Rise of χ², and square of a step, that say nothing."""
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-7, 1e8
_FAILED_DAMPING = 1e-2
"""At least, after a step that was taken back."""
_SIGNIFICANT = 5.0
"""Standard uncertainties of its scale from which on a phase tells its own parameters."""
_HOPEFUL = 2.0
"""Likewise while they are held at their start, where its lines may lie beside the pattern's."""
_FEWEST_FREE = 8
"""Channels more than parameters without which a pattern is not refined."""


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
    return _product_of(step, reduced, step)


@compiled
def _product_of(one: Floats, matrix: Floats, other: Floats) -> float:
    total = 0.0
    for j in range(one.size):
        for i in range(one.size):
            total += one[j] * matrix[j, i] * other[i]
    return total


@compiled
def _stride(step: Floats, last: Floats, square: float, unit: float, reduced: Floats) -> float:
    """Return how much of a step, or how many of it, lead to where a row of steps would.

    Where steps go to and fro, each ρ ≥ ½ times as long as the last, that is 1/(1 + ρ); where short
    ones creep in one direction 1/(1 − ρ) (Aitken), and ten where they grow, as on leaving a saddle.
    """
    before = _product_of(last, reduced, last)
    if not (before > 0.0 and 0.25 * before < square < _NEAR * unit):
        return 1.0
    ratio = np.sqrt(square / before)
    cosine = _product_of(step, reduced, last) / (ratio * before)
    if cosine < 0.0:
        return float(1.0 / (1.0 + ratio))
    if cosine > _ALIGNED and square < unit:
        return float(min(1.0 / max(1.0 - ratio, 1e-9), _LONGEST_STRIDE))
    return 1.0


@compiled
def _search(
    theta: Floats, slots: Floats, setup: Setup, work: Work, reduced: Floats, slope: Floats
) -> int:
    """Refine ``theta``, where all has been drawn; ``work`` then holds what belongs to it."""
    n_free, chi2 = theta.size, explain(work)
    if not work.free.any():
        differentiate(setup, work)
        return CONVERGED if np.isfinite(chi2) else NOT_CONVERGED
    step, tried, damping = np.empty(n_free), np.empty(n_free), _FIRST_DAMPING
    unit = misfit(work)
    differentiate(setup, work)
    reduce(work, reduced, slope)
    outcome, elsewhere, longest, last = NOT_CONVERGED, False, np.inf, np.zeros(n_free)
    for evaluation in range(_MOST_EVALUATIONS):
        square = _step(theta, damping, reduced, slope, setup, step)
        if not square >= 0.0 or damping > _MOST_DAMPING:
            break
        stride = _stride(step, last, square, unit, reduced)
        longest = min(longest, stride * stride * square) if stride < 1.0 else _GROWTH * longest
        stride = min(stride, np.sqrt(longest / square)) if square > 0.0 else 1.0
        square *= stride * stride
        settled = _SETTLED if evaluation < _LATE else _SETTLED_LATE
        if damping <= 1.0 and square < settled * unit:
            outcome = CONVERGED
            break
        for j in range(n_free):
            step[j] = min(max(theta[j] + stride * step[j], setup.low[j]), setup.high[j]) - theta[j]
        tried[:] = theta + step
        elsewhere = True
        if draw(tried, slots, setup, work, False):
            new = explain(work)
            meaningless = _MEANINGLESS * unit
            if new <= chi2 + (meaningless if square < meaningless else 0.0):
                elsewhere = False
                theta[:], last[:] = tried, step
                chi2, unit = new, misfit(work)
                damping = max(0.1 * damping, _LEAST_DAMPING)
                differentiate(setup, work)
                reduce(work, reduced, slope)
                continue
        last[:] = 0.0
        damping = max(10.0 * damping, _FAILED_DAMPING)
    if elsewhere:
        draw(theta, slots, setup, work, False)
        explain(work)
        differentiate(setup, work)
    return outcome


@compiled
def _significance(p: int, covariance: Floats, work: Work) -> float:
    """Return the scale of a phase in its standard uncertainties, 0 where nothing tells it.

    These are inflated by what the fit leaves, so that no phase is made of a bad background.
    """
    variance = covariance[p, p] * misfit(work)
    return float(work.scale[p] / np.sqrt(variance)) if variance > 0.0 else 0.0


@compiled
def _release(setup: Setup, work: Work) -> None:
    """Free the parameters of the phases that are present, and those that all share."""
    n_phases, active = work.present.size, setup.active
    work.free[:] = False
    for k in range(active.column.size):
        if work.present[active.phase[k]]:
            work.free[active.column[k]] = True
    for p in range(n_phases):
        work.moving[p] = False
        for k in range(active.first[p], active.first[p + 1]):
            work.moving[p] |= work.free[active.column[k]]


@compiled
def _expect(work: Work, covariance: Floats) -> None:
    """Find which phases may be present, from their scales with parameters as they start."""
    n_phases = work.present.size
    work.present[:] = False
    explain(work)
    chosen = np.ones(n_phases, np.bool_)
    inverse(work.schur[:n_phases, :n_phases], chosen, covariance)
    best, most = -1, 0.0
    for p in range(n_phases):
        significance = _significance(p, covariance, work)
        work.present[p] = significance > _HOPEFUL
        if significance > most:
            best, most = p, significance
    if best >= 0:
        work.present[best] = True


@compiled
def _revise(covariance: Floats, setup: Setup, work: Work, dropped: Bools) -> bool:
    """Take in phases that may be there, or drop one that is not, for good; whether any changed.

    One at a time, the least significant first: two lattices that fell together are neither.
    """
    least, worst, changed = _SIGNIFICANT, -1, False
    for p in range(work.present.size):
        if setup.active.first[p] == setup.active.first[p + 1]:
            continue
        significance = _significance(p, covariance, work)
        if work.present[p] and not significance >= least:
            least, worst = significance, p
        elif significance > _HOPEFUL and not (work.present[p] or dropped[p]):
            work.present[p], changed = True, True
    if worst >= 0:
        work.present[worst], dropped[worst], changed = False, True, True
    return changed


@compiled
def _refine(
    theta: Floats, start: Floats, slots: Floats, setup: Setup, work: Work, reduced: Floats,
    slope: Floats, covariance: Floats,
) -> int:  # fmt: skip
    """Refine ``theta`` and find its ``covariance`` with all else.

    Parameters of phases that are not present stay at their start.
    """
    n_phases = work.present.size
    dropped, known = np.zeros(n_phases, np.bool_), np.empty(covariance.shape[0], np.bool_)
    theta[:] = start
    if not draw(theta, slots, setup, work, True):
        return NOT_CONVERGED
    _expect(work, covariance[:n_phases, :n_phases])
    _release(setup, work)
    while True:
        outcome = _search(theta, slots, setup, work, reduced, slope)
        known[:] = True
        inverse(work.normal, known, covariance)
        if not _revise(covariance, setup, work, dropped):
            return outcome
        _release(setup, work)
        for j in range(theta.size):
            if not work.free[j]:
                theta[j] = start[j]
        draw(theta, slots, setup, work, True)


@compiled
def _outcome(theta: Floats, covariance: Floats, setup: Setup, work: Work) -> int:
    """Judge a converged search: whether there is material, or a cell at a limit."""
    n_phases = work.shapes.shape[0]
    there = np.zeros(n_phases, np.bool_)
    for p in range(n_phases):
        own = setup.active.first[p] < setup.active.first[p + 1]
        there[p] = (work.present[p] or not own) and (
            _significance(p, covariance, work) >= _SIGNIFICANT
        )
    if not there.any() or work.scale.sum() < setup.min_scale:
        return NO_MATERIAL
    for k in range(setup.active.column.size):
        j = setup.active.column[k]
        inside = setup.low[j] < theta[j] < setup.high[j]
        if setup.of_cell[j] and work.free[j] and there[setup.active.phase[k]] and not inside:
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
    work = new_work(n_phases, n_free, setup.active.column.size, n_terms, n_channels)
    slots, theta = np.empty(setup.base.size), np.empty(n_free)
    reduced, slope = np.empty((n_free, n_free)), np.empty(n_free)
    whole = np.empty((n, n))
    for v in range(patterns.shape[0]):
        used = load(patterns[v], variances[v], setup, work)
        status[v] = NOT_MEASURED
        if used < n + _FEWEST_FREE:
            continue
        outcome = _refine(theta, start[v], slots, setup, work, reduced, slope, whole)
        if outcome == CONVERGED:
            outcome = _outcome(theta, whole, setup, work)
        status[v] = outcome
        if outcome != CONVERGED:
            continue
        values[v, :n_phases] = work.scale
        for j in range(n_free):
            values[v, n_phases + j] = theta[j] if work.free[j] else np.nan
        values[v, n_phases + n_free :] = work.amount
        if covariance.shape[2] == n:
            covariance[v] = whole
        else:
            for i in range(n):
                covariance[v, i, 0] = whole[i, i]
        chi2 = dot(work.residual, work.residual)
        quality[v, 0] = chi2 / (used - n_phases - work.free.sum() - n_terms)
        quality[v, 1] = np.sqrt(chi2 / dot(work.y, work.y))


@compiled
def shared_normal(
    patterns: NDArray[np.floating], variances: NDArray[np.floating], theta: Floats,
    is_free: Bools, setup: Setup, normal: Floats, right: Floats,
) -> float:  # fmt: skip
    """Add up what patterns tell of shared parameters, everything of their own refined along.

    ``theta`` (pattern, free) holds the ``n_own`` parameters of each pattern first, then the shared
    ones; ``is_free`` (pattern, own) says which of its own a pattern tells. ``normal`` and ``right``
    get the normal matrix of the shared ones and its right side.
    Returns χ² over all patterns.
    """
    n_free, n_own = setup.low.size, is_free.shape[1]
    n_terms, n_channels = setup.background.shape
    work = new_work(setup.n_cell.size, n_free, setup.active.column.size, n_terms, n_channels)
    slots, reduced = np.empty(setup.base.size), np.empty((n_free, n_free))
    slope, factor = np.empty(n_free), np.empty((n_own, n_own))
    chosen, freed = np.empty(n_own, np.bool_), np.empty((n_free - n_own + 1, n_own))
    chi2 = 0.0
    for v in range(patterns.shape[0]):
        load(patterns[v], variances[v], setup, work)
        work.free[:n_own] = is_free[v]
        if not draw(theta[v], slots, setup, work, True):
            continue
        chi2 += explain(work)
        differentiate(setup, work)
        reduce(work, reduced, slope)
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
