"""The null hypothesis of a Rietveld refinement: any phases, refined in any way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.phase_decision_null import UNDECIDED, Null, checked_patterns
from inverse.refine import Status
from inverse.rietveld import Refined, calculated, design

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_SAME_CELL = 1e-4
"""Relative difference of cells whose columns are taken as one: 0.8 mÅ in 8 Å. The shift is within
what the derivatives take up."""
_SAME_WIDTH = 0.05


def refined_null(patterns: Singles, *, variance: Singles, refined: Refined) -> Null:
    """Return patterns explained by the phases of a refinement, (pattern, channel).

    Undecided are those that did not converge. Columns are derivatives by all of the refinement's
    parameters but those that all patterns share, which are known too well to matter. They are
    computed anew for each set of nearly equal parameters: milliseconds for each.

    Raises InputError where shapes do not agree.
    """
    patterns, variance = checked_patterns(patterns, variance, refined.model.background.shape[1])
    residuals = patterns - calculated(refined).astype(np.float32)
    converged = np.flatnonzero(refined.status == Status.CONVERGED)
    group = np.full(len(patterns), UNDECIDED, np.int64)
    _, first, number = np.unique(
        _rounded(refined)[converged], axis=0, return_index=True, return_inverse=True
    )
    group[converged] = number
    typical = converged[first]

    def columns(group: int) -> Floats:
        rows = design(refined.model, refined.values[typical[group]])
        return rows[np.any(rows != 0.0, axis=1)]

    return Null(residuals, variance, group, columns)


def _rounded(refined: Refined) -> Floats:
    """Return the non-linear parameters, in steps within which columns are the same."""
    n_phases, n_free = len(refined.model.settings.phases), len(refined.model.parameters)
    values = np.nan_to_num(refined.values[:, n_phases : n_phases + n_free])
    steps = [
        _SAME_CELL * abs(float(parameter.result(np.asarray(parameter.start))))
        if parameter.is_of_cell
        else _SAME_WIDTH * parameter.unit
        for parameter in refined.model.parameters
    ]
    present = refined.values[:, :n_phases] > 0.0
    return np.concatenate([np.rint(values / np.array(steps)), present], axis=1)
