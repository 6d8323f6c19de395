"""Two lattices of one phase in a pattern: whether there is a second, and what the two are.

The decision is that of :mod:`inverse.phase_decision` with the phase's own templates, those nearer
than ``min_separation_A`` to the first lattice left out: closer by, two lattices look like one with
broader peaks, and an error of the peak's width looks like a second lattice.

Where there is one, both lattice parameters are refined together, from two starts, of which the
better end counts: the single lattice with the one found beside it, right where that is weak; and
the best pair on a coarse grid under one weight for all patterns, that with both amounts positive
and the largest

    cᵀ G⁻¹ c,      c = (⟨f_j, y⟩, ⟨f_k, y⟩),  G their inner products.

Steps by Levenberg and Marquardt follow, with the pattern's own weights and all amounts eliminated
(variable projection).

Source: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.phase_decision import FreeCell, decided
from inverse.phase_decision_null import (
    Floats,
    Ints,
    Null,
    Singles,
    checked_patterns,
    lattice_null,
    orthonormal,
)
from inverse.phase_decision_pair_fit import PairFit, better, fit_pairs
from inverse.refine import LatticeModel, Refinement
from inverse.starting_values import typical_weight
from xrdct.compiled import compiled
from xrdct.errors import InputError

Bools = NDArray[np.bool_]

_COARSENESS = 4
"""Templates between those of the coarse grid, as in :mod:`inverse.starting_values`."""


@dataclass(frozen=True, eq=False)
class SecondLattice:
    """Whether patterns hold a second lattice, and both where they do."""

    single: Refinement
    """The null hypothesis: one lattice."""
    decision: FreeCell
    """Whether there is another; ``decision.place`` counts templates of the model."""
    pair: PairFit
    """The two refined, the larger amount first; NaN where no second was found or they did not
    settle at two separate lattice parameters with positive amounts."""
    min_separation_A: float


def second_lattice(
    patterns: Singles,
    *,
    variance: Singles,
    model: LatticeModel,
    false_alarm: float = 1e-3,
    min_separation_A: float | None = None,
    least_share: float = 0.0,
    min_scale: float = 0.0,
    by_misfit: bool = False,
    workers: int | None = None,
) -> SecondLattice:
    """Decide in every pattern, (pattern, channel), whether a second lattice of the phase is there.

    The templates of ``model`` must reach over all lattice parameters that may occur. Without a
    ``min_separation_A`` it is the shift that changes a pattern by as much as there is of it,
    √(⟨f, f⟩/⟨f′, f′⟩), some 0.6 of a peak's FWHM. A lattice of up to ``least_share`` of the single
    one's amount does not count (``least`` of :mod:`inverse.phase_decision`): streaks and blur bring
    that much from elsewhere into reconstructed voxels, 0.05 of it with angles enough and 0.2 with a
    quarter of them. ``by_misfit`` multiplies errors with √χ² of the single lattice where above 1.
    Undecided are patterns in which one lattice does not converge.

    Raises InputError as :func:`inverse.refine.refine`, and for an impossible false-alarm
    probability or separation.
    """
    patterns, variance = checked_patterns(patterns, variance, model.templates.shape[-1])
    null, single = lattice_null(
        patterns, variance=variance, model=model, min_scale=min_scale, workers=workers
    )
    weight = typical_weight(variance)
    if min_separation_A is None:
        min_separation_A = pattern_width_A(model, weight=weight)
    if not 0.0 < min_separation_A < np.ptp(model.a_A):
        raise InputError(
            f"min_separation_A must lie between 0 and the range of lattice parameters, "
            f"{np.ptp(model.a_A):g} Å, not {min_separation_A:g}"
        )
    misfit = np.sqrt(np.maximum(np.nan_to_num(single.chi2_reduced), 1.0)) if by_misfit else None
    decision = decided(
        null, templates=model.templates, allowed=_apart(model, null, min_separation_A),
        false_alarm=false_alarm, least=least_share * np.nan_to_num(single.scale),
        inflation=misfit, workers=workers,
    )  # fmt: skip
    rows = np.flatnonzero(decision.present)
    grid = _best_pairs(patterns[rows], weight, model, min_separation_A)
    single_position = (single.a_A[rows] - model.a_A[0]) / (model.a_A[1] - model.a_A[0])
    added = np.stack([single_position, decision.place[rows]], axis=1)
    from_grid, from_single = (
        fit_pairs(patterns, variance, rows, starts, model=model, workers=workers)
        for starts in (grid, added)
    )
    return SecondLattice(single, decision, better(from_grid, from_single), min_separation_A)


def pattern_width_A(model: LatticeModel, *, weight: Floats) -> float:
    """Return √(⟨f, f⟩/⟨f′, f′⟩) of the middle template, Å: its width on the scale of a."""
    middle = len(model.a_A) // 2
    slope = np.gradient(
        model.templates[middle - 1 : middle + 2], model.a_A[1] - model.a_A[0], axis=0
    )
    both = np.stack([model.templates[middle], slope[1]])
    part = orthonormal(weight[None], np.zeros((1, weight.size)), model.linear)
    left = both**2 @ weight - (part.along(both)[0] ** 2).sum(axis=0)
    return float(np.sqrt(left[0] / left[1]))


def _apart(model: LatticeModel, null: Null, min_separation_A: float) -> Bools:
    """Return which templates are far enough from the lattice of each group, (group, template)."""
    groups = np.arange(int(null.group.max(initial=0)) + 1)
    spacing_A = model.a_A[1] - model.a_A[0]
    apart_A = np.abs(spacing_A * groups[:, None] + model.a_A[0] - model.a_A)
    return np.asarray(apart_A >= min_separation_A)


def _best_pairs(
    patterns: Singles, weight: Floats, model: LatticeModel, min_separation_A: float
) -> Floats:
    """Return the two positions, in templates, that explain each pattern best, (pattern, 2)."""
    coarse = model.templates[::_COARSENESS]
    part = orthonormal(weight[None], np.zeros((1, weight.size)), model.linear)
    beyond = coarse - (part.along(coarse)[0].T @ part.mixing[0]) @ part.columns
    matched = beyond * weight
    usable = np.where(np.isfinite(patterns), patterns, np.float32(0.0))
    apart = max(1, round(min_separation_A / (model.a_A[1] - model.a_A[0]) / _COARSENESS))
    best = _largest_pairs(usable @ matched.T, matched @ coarse.T, apart)
    return _COARSENESS * best.astype(np.float64)


@compiled
def _largest_pairs(overlap: Floats, inner: Floats, apart: int) -> Ints:
    """Return the pair of templates, at least ``apart``, that explains most, (pattern, 2)."""
    n = inner.shape[0]
    best = np.zeros((overlap.shape[0], 2), np.int64)
    for row in range(overlap.shape[0]):
        most = -1.0
        for j in range(n - apart):
            for k in range(j + apart, n):
                determinant = inner[j, j] * inner[k, k] - inner[j, k] ** 2
                first = overlap[row, j] * inner[k, k] - overlap[row, k] * inner[j, k]
                second = overlap[row, k] * inner[j, j] - overlap[row, j] * inner[j, k]
                if first <= 0.0 or second <= 0.0 or determinant <= 0.0:
                    continue
                explained = (first * overlap[row, j] + second * overlap[row, k]) / determinant
                if explained > most:
                    most = explained
                    best[row, 0], best[row, 1] = j, k
    return best
