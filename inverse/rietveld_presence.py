"""Which phases of a pattern are refined: compiled decisions between searches.

A phase that is not there would fit its cell and widths to noise. Parameters of phases below two
standard uncertainties of scale are held at their start, but for the most significant one; those
that come out above are freed then. Of phases that come out below five although they are free, the
least significant is held for good. A phase whose cell ends at a limit beside a more significant one
is held as well, and tried once more when the others have been refined without it. After each change
the search of :mod:`inverse.rietveld_kernel` is repeated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.refine_kernel import AT_LIMIT, CONVERGED, NO_MATERIAL
from inverse.rietveld_linear import inverse
from inverse.rietveld_work import Setup, Work, explain, misfit
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Shorts = NDArray[np.int8]

REFINED, WEAK, CELL_AT_LIMIT, NOT_REFINED = 0, 1, 2, 3
"""What became of a phase (:class:`inverse.rietveld.PhaseStatus`)."""
_SIGNIFICANT = 5.0
"""Standard uncertainties of its scale from which on a phase tells its own parameters."""
_HOPEFUL = 2.0
"""Likewise while they are held at their start, where its lines may lie beside the pattern's."""
_ONCE, _TRIED = 1, 2
"""How often a phase had its cell at a limit, and whether it was freed since."""


@compiled
def significance_of(p: int, covariance: Floats, work: Work) -> float:
    """Return the scale of a phase in its standard uncertainties, 0 where nothing tells it.

    These are inflated by what the fit leaves, so that no phase is made of a bad background.
    """
    variance = covariance[p, p] * misfit(work)
    return float(work.scale[p] / np.sqrt(variance)) if variance > 0.0 else 0.0


@compiled
def release(setup: Setup, work: Work) -> None:
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
def expect(work: Work, covariance: Floats) -> None:
    """Find which phases may be present, from their scales with parameters as they start."""
    n_phases = work.present.size
    work.present[:] = False
    explain(work)
    chosen = np.ones(n_phases, np.bool_)
    inverse(work.schur[:n_phases, :n_phases], chosen, covariance)
    best, most = -1, 0.0
    for p in range(n_phases):
        significance = significance_of(p, covariance, work)
        work.present[p] = significance > _HOPEFUL
        if significance > most:
            best, most = p, significance
    if best >= 0:
        work.present[best] = True


@compiled
def revise(covariance: Floats, setup: Setup, work: Work, dropped: Bools) -> bool:
    """Take in phases that may be there, or drop one that is not, for good; whether any changed.

    One at a time, the least significant first: two lattices that fell together are neither.
    """
    least, worst, changed = _SIGNIFICANT, -1, False
    for p in range(work.present.size):
        if setup.active.first[p] == setup.active.first[p + 1]:
            continue
        significance = significance_of(p, covariance, work)
        if work.present[p] and not significance >= least:
            least, worst = significance, p
        elif significance > _HOPEFUL and not (work.present[p] or dropped[p]):
            work.present[p], changed = True, True
    if worst >= 0:
        work.present[worst], dropped[worst], changed = False, True, True
    return changed


@compiled
def is_at_limit(p: int, theta: Floats, setup: Setup, work: Work) -> bool:
    """Return whether a cell parameter of a phase ended at its limit."""
    for k in range(setup.active.first[p], setup.active.first[p + 1]):
        j = setup.active.column[k]
        inside = setup.low[j] < theta[j] < setup.high[j]
        if setup.of_cell[j] and work.free[j] and not inside:
            return True
    return False


@compiled
def withdraw(
    theta: Floats, covariance: Floats, setup: Setup, work: Work, dropped: Bools, limited: Ints
) -> bool:
    """Hold the least significant phase whose cell is at its limit; whether there is one.

    Not the most significant of all: without it there is no telling what the pattern is.
    """
    least, worst, most = np.inf, -1, 0.0
    for p in range(work.present.size):
        own = setup.active.first[p] < setup.active.first[p + 1]
        if own and not work.present[p]:
            continue
        significance = significance_of(p, covariance, work)
        most = max(most, significance)
        if own and significance < least and is_at_limit(p, theta, setup, work):
            least, worst = significance, p
    if worst < 0 or not most > max(least, _SIGNIFICANT):
        return False
    _hold(worst, work, dropped, limited)
    return True


@compiled
def _hold(p: int, work: Work, dropped: Bools, limited: Ints) -> None:
    work.present[p], dropped[p] = False, True
    limited[p] += 1


@compiled
def try_again(work: Work, dropped: Bools, limited: Ints) -> bool:
    """Free phases that were at a limit, once, now that the others are refined; whether any."""
    changed = False
    for p in range(limited.size):
        if limited[p] == _ONCE:
            limited[p], work.present[p], dropped[p], changed = _TRIED, True, False, True
    return changed


@compiled
def give_up(work: Work, dropped: Bools, limited: Ints) -> bool:
    """Hold phases again that were freed once more, to no end; whether any."""
    changed = False
    for p in range(limited.size):
        if limited[p] == _TRIED and work.present[p]:
            _hold(p, work, dropped, limited)
            changed = True
    return changed


@compiled
def judge(theta: Floats, covariance: Floats, setup: Setup, work: Work) -> int:
    """Judge a converged search: whether there is material, or a cell at a limit."""
    n_phases = work.shapes.shape[0]
    there = np.zeros(n_phases, np.bool_)
    for p in range(n_phases):
        own = setup.active.first[p] < setup.active.first[p + 1]
        there[p] = (work.present[p] or not own) and (
            significance_of(p, covariance, work) >= _SIGNIFICANT
        )
    if not there.any() or work.scale.sum() < setup.min_scale:
        return NO_MATERIAL
    for p in range(n_phases):
        if there[p] and is_at_limit(p, theta, setup, work):
            return AT_LIMIT
    return CONVERGED


@compiled
def judge_phases(
    covariance: Floats, setup: Setup, work: Work, limited: Ints, phase_status: Shorts
) -> None:
    """Set what became of each phase of a pattern that converged."""
    for p in range(limited.size):
        own = setup.active.first[p] < setup.active.first[p + 1]
        refined = work.present[p] or not own
        if refined and significance_of(p, covariance, work) >= _SIGNIFICANT:
            phase_status[p] = REFINED
        else:
            phase_status[p] = CELL_AT_LIMIT if limited[p] and not work.present[p] else WEAK
