"""What the compiled refinement works with: patterns, slopes and normal matrices of one pattern.

Everything is divided by the standard deviations of the channels. With background terms B, patterns
F of the phases and slopes D of the explained pattern by the non-linear parameters, products freed
of the background are those of what is left of columns once B is projected off.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inverse.refine_linear import dot, multiply
from inverse.rietveld_linear import backward, factored, forward, nonnegative, solved
from inverse.rietveld_shapes import PER_PHASE, Active, Tables, draw_phase
from xrdct.compiled import compiled, compiled_fast

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


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
    freedom: Floats
    """Usable channels more than parameters, (1,)."""
    positive: Bools
    present: Bools
    """Phases whose own parameters are refined, (phase,)."""
    free: Bools
    """Parameters that are refined: those of any phase that is present, (free,)."""
    moving: Bools
    """Phases that a free parameter changes, (phase,)."""
    kept_slots: Floats
    """Slots that phases had when ``kept_shapes`` and ``kept_slopes`` were drawn, as patterns start
    alike, (phase, slot)."""
    kept_shapes: Floats
    kept_slopes: Floats


@compiled
def new_work(n_phases: int, n_free: int, n_active: int, n_terms: int, n_channels: int) -> Work:
    """Return memory for patterns of so many phases, parameters, slots, terms and channels."""
    n = n_phases + n_free + n_terms
    return Work(
        np.empty(n_channels), np.empty(n_channels), np.empty((n_terms, n_channels)),
        np.empty((n_phases, n_channels)), np.empty((n_active, n_channels)),
        np.empty((n_free, n_channels)), np.empty(n_channels), np.empty((4, n_channels)),
        np.zeros((n, n)), np.empty((n_terms, n_terms)), np.empty((n_phases + n_free + 1, n_terms)),
        np.empty((n_phases + n_free, n_phases + n_free)), np.empty(n_phases), np.zeros(n_phases),
        np.zeros(n_terms), np.ones(1), np.zeros(n_phases, np.bool_), np.ones(n_phases, np.bool_),
        np.ones(n_free, np.bool_), np.ones(n_phases, np.bool_),
        np.full((n_phases, PER_PHASE + 2), np.nan), np.empty((n_phases, n_channels)),
        np.empty((n_active, n_channels)),
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
def load(pattern: Floats, variance: Floats, setup: Setup, work: Work) -> int:
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
    work.freedom[0] = max(used - work.normal.shape[0], 1)
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
def draw(theta: Floats, slots: Floats, setup: Setup, work: Work, whole: bool) -> bool:
    """Compute patterns of phases at ``theta`` and their slopes by slot, whitened.

    Of the ``whole`` model, or of those phases that free parameters change.
    """
    slots[:] = setup.base
    for s in range(slots.size):
        if setup.column[s] >= 0:
            slots[s] = theta[setup.column[s]]
    possible = True
    for p in range(work.shapes.shape[0]):
        if setup.is_drawn[p] and whole:
            multiply(setup.drawn[p], work.root_weight, work.shapes[p])
        elif whole:
            possible &= _draw_kept(p, slots, setup, work)
        elif work.moving[p]:
            possible &= _draw_one(p, slots, setup, work)
            _times(work.shapes[p], work.root_weight)
            for k in range(setup.active.first[p], setup.active.first[p + 1]):
                _times(work.slopes[k], work.root_weight)
    return possible


@compiled
def _draw_one(p: int, slots: Floats, setup: Setup, work: Work) -> bool:
    return draw_phase(
        p, slots, setup.tables, setup.active, setup.n_cell[p], work.shapes[p], work.slopes,
        work.buffer,
    )  # fmt: skip


@compiled
def _draw_kept(p: int, slots: Floats, setup: Setup, work: Work) -> bool:
    """Draw a phase where a search starts, unless that is where the last one started."""
    own, common = slots[PER_PHASE * p : PER_PHASE * (p + 1)], slots[slots.size - 2 :]
    kept, possible = work.kept_slots[p], True
    first, last = setup.active.first[p], setup.active.first[p + 1]
    if not ((kept[:PER_PHASE] == own).all() and (kept[PER_PHASE:] == common).all()):
        possible = _draw_one(p, slots, setup, work)
        kept[:PER_PHASE], kept[PER_PHASE:] = own, common
        if not possible:
            kept[0] = np.nan
        work.kept_shapes[p] = work.shapes[p]
        work.kept_slopes[first:last] = work.slopes[first:last]
    multiply(work.kept_shapes[p], work.root_weight, work.shapes[p])
    for k in range(first, last):
        multiply(work.kept_slopes[k], work.root_weight, work.slopes[k])
    return possible


@compiled
def explain(work: Work) -> float:
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
def misfit(work: Work) -> float:
    """Return χ² per degree of freedom as it is, or one where it is less.

    What noise does not explain is taken for noise of that size.
    """
    return max(float(dot(work.residual, work.residual) / work.freedom[0]), 1.0)


@compiled
def differentiate(setup: Setup, work: Work) -> None:
    """Make the slopes of the explained pattern by the free parameters, and all their products."""
    n_phases, n_free = work.shapes.shape[0], work.columns.shape[0]
    work.columns[:] = 0.0
    for k in range(work.slopes.shape[0]):
        scale, column = work.scale[setup.active.phase[k]], setup.active.column[k]
        if scale > 0.0 and work.free[column]:
            _take(work.columns[column], scale, work.slopes[k])
    for j in range(n_free):
        row = n_phases + j
        if not work.free[j]:
            work.normal[row], work.normal[:, row] = 0.0, 0.0
            work.schur[row], work.schur[:, row] = 0.0, 0.0
            work.freed[row] = 0.0
            continue
        _free(row, work.columns[j], work)
        for p in range(n_phases):
            _product(row, p, dot(work.columns[j], work.shapes[p]), work)
        for i in range(j + 1):
            _product(row, n_phases + i, dot(work.columns[j], work.columns[i]), work)


@compiled
def reduce(work: Work, reduced: Floats, slope: Floats) -> None:
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
def advance(step: Floats, work: Work) -> bool:
    """Follow a small step of the free parameters as if everything were linear; work then holds it.

    False, and nothing is done, where a scale would become negative.
    """
    n_phases, n_terms = work.shapes.shape[0], work.background.shape[0]
    factor, change = np.empty((n_phases, n_phases)), np.zeros(n_phases)
    for p in range(n_phases):
        for j in range(step.size):
            change[p] -= work.schur[n_phases + j, p] * step[j]
    solved(work.schur[:n_phases, :n_phases], work.positive, factor, change)
    if (work.scale + change < 0.0).any():
        return False
    moved = np.zeros(n_terms)
    for i in range(n_terms):
        for p in range(n_phases):
            moved[i] -= change[p] * work.freed[p, i]
        for j in range(step.size):
            moved[i] -= step[j] * work.freed[n_phases + j, i]
    backward(work.factor_b, moved)
    work.scale[:] += change
    work.amount[:] += moved
    for p in range(n_phases):
        _take(work.residual, -change[p], work.shapes[p])
    for j in range(step.size):
        _take(work.residual, -step[j], work.columns[j])
    for i in range(n_terms):
        _take(work.residual, -moved[i], work.background[i])
    return True
