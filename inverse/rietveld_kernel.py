"""The compiled refinement: one pattern after the other, by variable projection.

With everything divided by the standard deviations of the channels, a pattern y is explained by
background terms B, phases F(θ) with scales S ≥ 0 and the non-linear parameters θ. For given θ the
best background and scales follow from the normal matrix of B and F, the scales by non-negative
least squares. The slopes D of the explained pattern by θ, freed of B and of the phases present,
have the normal matrix H, and

    (H + λ·diag H) δθ = Dᵀ·r,        r = y − S·F − b·B

is Marquardt's step, held to the limits of θ. A step that makes χ² larger is taken back and λ
raised. The search ends where a step changes θ by less than 1e-3 standard uncertainties, which are
inflated here by √χ² per degree of freedom where that is above one, or where the one after it would
by less than 3e-4: then scales, background and residual follow it to first order, and nothing is
drawn any more. Slopes are not exact to the last (:mod:`inverse.rietveld_profile`), so that close to
the end, below a tenth of a standard uncertainty, what makes the right side vanish is sought, and χ²
may rise by 0.01. Steps that turn back, from either side of a valley or of the edge of a line's
window, are shortened, those that creep along a valley are lengthened.

Which phases are refined is decided between searches (:mod:`inverse.rietveld_presence`).

Source: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413; Kaufman, BIT 15 (1975) 49; Marquardt,
J. Soc. Indust. Appl. Math. 11 (1963) 431.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.refine_kernel import CONVERGED, NOT_CONVERGED, NOT_MEASURED
from inverse.refine_linear import dot
from inverse.rietveld_linear import factored, forward, inverse, solved
from inverse.rietveld_presence import (
    NOT_REFINED,
    expect,
    give_up,
    judge,
    judge_phases,
    release,
    revise,
    try_again,
    withdraw,
)
from inverse.rietveld_work import (
    Setup,
    Work,
    advance,
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
Ints = NDArray[np.int64]
Shorts = NDArray[np.int8]

_MOST_EVALUATIONS = 60
_SETTLED, _LATE, _SETTLED_LATE = 1e-6, 30, 1e-4
"""Square of a step in standard uncertainties that ends the search, and after so many evaluations:
where phases of many parameters are barely there, the bottom of the valley is flat."""
_NEAR = 100.0
"""Square of a step below which rows of steps are looked at."""
_ALIGNED, _LONGEST_STRIDE = 0.9, 10.0
_NEARLY = 0.01
"""Square of a step below which it may be the last, unseen."""
_UNSEEN = 1e-7
"""Square of the step after it that it may leave to be made."""
_FREE = 1e-4
"""Damping that holds nothing back."""
_GROWTH = 2.0
"""Of the square of the longest step, unless one turned back."""
_MEANINGLESS = 0.01
"""Rise of χ², and square of a step, that say nothing."""
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-7, 1e8
_FAILED_DAMPING = 1e-2
"""At least, after a step that was taken back."""
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
def _is_last(last: Floats, square: float, unit: float, damping: float, reduced: Floats) -> bool:
    """Return whether the step after this one would be too small to be made.

    Steps shrink, each by more than the one before: by the same factor is on the safe side.
    """
    before = _product_of(last, reduced, last)
    if not (before > 0.0 and square < _NEARLY * unit and damping <= _FREE):
        return False
    return square * square / before < _UNSEEN * unit


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
        is_last = stride == 1.0 and _is_last(last, square, unit, damping, reduced)
        if is_last and advance(step, work):
            theta += step
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
def _refine(
    theta: Floats, start: Floats, slots: Floats, setup: Setup, work: Work, reduced: Floats,
    slope: Floats, covariance: Floats, limited: Ints,
) -> int:  # fmt: skip
    """Refine ``theta`` and find its ``covariance`` with all else.

    Parameters of phases that are not present stay at their start. ``limited`` says which of these
    had a cell at its limit.
    """
    n_phases = work.present.size
    limited[:] = 0
    dropped, known = np.zeros(n_phases, np.bool_), np.empty(covariance.shape[0], np.bool_)
    theta[:] = start
    if not draw(theta, slots, setup, work, True):
        return NOT_CONVERGED
    expect(work, covariance[:n_phases, :n_phases])
    release(setup, work)
    while True:
        outcome = _search(theta, slots, setup, work, reduced, slope)
        known[:] = True
        inverse(work.normal, known, covariance)
        changed = revise(covariance, setup, work, dropped)
        if not changed and outcome != CONVERGED:
            changed = give_up(work, dropped, limited)
        elif not changed:
            changed = withdraw(theta, covariance, setup, work, dropped, limited) or try_again(
                work, dropped, limited
            )
        if not changed:
            return outcome
        release(setup, work)
        for j in range(theta.size):
            if not work.free[j]:
                theta[j] = start[j]
        draw(theta, slots, setup, work, True)


@compiled
def refine_patterns_compiled(
    patterns: NDArray[np.floating], variances: NDArray[np.floating], start: Floats, setup: Setup,
    values: Floats, covariance: Floats, quality: Floats, status: Shorts, phase_status: Shorts,
) -> None:  # fmt: skip
    """Refine each pattern from its ``start`` (pattern, free).

    ``values`` gets scales, free parameters and background amounts, (pattern, parameter);
    ``covariance`` their covariance, or its diagonal where it is (pattern, parameter, 1); NaN for
    what nothing tells. ``quality`` gets χ² per degree of freedom and R_wp, ``phase_status`` what
    became of phases, (pattern, phase).
    """
    n_phases, n_free = setup.n_cell.size, setup.low.size
    n_terms, n_channels = setup.background.shape
    n = n_phases + n_free + n_terms
    work = new_work(n_phases, n_free, setup.active.column.size, n_terms, n_channels)
    slots, theta = np.empty(setup.base.size), np.empty(n_free)
    reduced, slope = np.empty((n_free, n_free)), np.empty(n_free)
    whole, limited = np.empty((n, n)), np.empty(n_phases, np.int64)
    for v in range(patterns.shape[0]):
        used = load(patterns[v], variances[v], setup, work)
        status[v], phase_status[v] = NOT_MEASURED, NOT_REFINED
        if used < n + _FEWEST_FREE:
            continue
        outcome = _refine(theta, start[v], slots, setup, work, reduced, slope, whole, limited)
        if outcome == CONVERGED:
            outcome = judge(theta, whole, setup, work)
        status[v] = outcome
        if outcome != CONVERGED:
            continue
        judge_phases(whole, setup, work, limited, phase_status[v])
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
