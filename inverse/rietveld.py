"""Rietveld refinement of many patterns at once: any number of phases, all patterns in parallel.

A pattern is the sum of the phases' patterns (:mod:`inverse.rietveld_shapes`), each times a scale,
which is the phase's volume fraction, and of a Chebyshev background. What is refined is chosen by
:class:`inverse.rietveld_recipe.Rietveld`; :mod:`inverse.rietveld_kernel` is the search. Parameters
that all patterns share are refined first, over the patterns that tell most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.refine import Status
from inverse.rietveld_kernel import refine_patterns_compiled
from inverse.rietveld_model import RietveldModel
from inverse.rietveld_search import searched_start
from inverse.rietveld_shared import shared_parameters
from xrdct.compiled import single_threaded_algebra, threaded
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Patterns = NDArray[np.floating[Any]]


class PhaseStatus(IntEnum):
    """What became of a phase in a pattern; only REFINED ones have parameters beside their scale."""

    REFINED = 0
    WEAK = 1
    """Below five standard uncertainties of its scale."""
    AT_LIMIT = 2
    """Its cell ran to a limit: its lines are not where the recipe looks for them."""
    NOT_REFINED = 3
    """The pattern did not converge."""


@dataclass(frozen=True, eq=False)
class Refined:
    """The results of all patterns; NaN where a pattern's status is not CONVERGED.

    A phase whose scale lies below five standard uncertainties, times √χ² where that is above one,
    or whose cell ran to a limit beside a more significant phase, has no other parameters: NaN. They
    were held at their start, for which its scale holds.
    """

    names: tuple[str, ...]
    values: Floats
    """(pattern, name)."""
    esd: Floats
    """Standard uncertainties, those of least squares with the stated variances, (pattern, name)."""
    covariance: Floats | None
    """(pattern, name, name), where it was asked for."""
    chi2_reduced: Floats
    """(pattern,)."""
    r_wp: Floats
    """√(Σ residual²/σ² / Σ pattern²/σ²), background included, (pattern,)."""
    status: NDArray[np.int8]
    """See `inverse.refine.Status`, (pattern,)."""
    model: RietveldModel
    """With the shared parameters as they were refined."""
    shared: dict[str, tuple[float, float]]
    """Value and standard uncertainty of parameters that all patterns share."""
    phase_status: NDArray[np.int8]
    """See :class:`PhaseStatus`, (pattern, phase)."""

    def of(self, name: str) -> Floats:
        """Return a parameter's values, (pattern,); InputError if there is none of the name."""
        return self.values[:, self._place(name)]

    def esd_of(self, name: str) -> Floats:
        """Return a parameter's standard uncertainties, (pattern,); InputError as for `of`."""
        return self.esd[:, self._place(name)]

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise InputError(f"no refined parameter is called {name!r}: {', '.join(self.names)}")
        return self.names.index(name)


def refine_patterns(
    patterns: Patterns,
    *,
    variance: Patterns,
    model: RietveldModel,
    covariance: bool = False,
    min_scale: float = 0.0,
    workers: int | None = None,
) -> Refined:
    """Refine patterns, (pattern, channel); channels with NaN or no variance are ignored.

    A pattern without a phase of five standard uncertainties, or whose scales add up to less than
    ``min_scale``, holds no material; one whose most significant phase ends with its cell at its
    limit is at a limit; one with fewer than eight usable channels more than parameters is not
    measured.

    Raises InputError where shapes do not agree, or two phases start with the same pattern.
    """
    patterns, variance = _checked(patterns, variance, model)
    model.refuse_copies()
    shared: dict[str, tuple[float, float]] = {}
    if model.shared:
        found = shared_parameters(patterns, variance, model=model, workers=workers)
        model, shared = found.model, found.results
    start = searched_start(patterns, variance, model=model)
    setup = model.setup(min_scale=min_scale)
    n_patterns, n = len(patterns), len(model.names)
    values = np.full((n_patterns, n), np.nan)
    spread = np.full((n_patterns, n, n if covariance else 1), np.nan)
    quality = np.full((n_patterns, 2), np.nan)
    status = np.full(n_patterns, Status.NOT_MEASURED, np.int8)
    phases = np.full((n_patterns, len(model.settings.phases)), PhaseStatus.NOT_REFINED, np.int8)

    def task(first: int, last: int) -> None:
        part = slice(first, last)
        refine_patterns_compiled(
            patterns[part], variance[part], start[part], setup, values[part], spread[part],
            quality[part], status[part], phases[part],
        )  # fmt: skip

    with single_threaded_algebra():
        threaded(task, n_patterns, workers=workers)
    return _results(values, spread, quality, status, phases, model, shared)


def calculated(refined: Refined) -> Floats:
    """Return the refined patterns, (pattern, channel); NaN where not converged."""
    model = refined.model
    n_phases, n_free = len(model.settings.phases), len(model.parameters)
    result = np.full((len(refined.values), model.background.shape[1]), np.nan)
    for row in np.flatnonzero(refined.status == Status.CONVERGED):
        values = refined.values[row]
        shapes = model.patterns(_slots(model, values))
        scales, amounts = values[:n_phases], values[n_phases + n_free :]
        result[row] = scales @ shapes + amounts @ model.background
    return result


def design(model: RietveldModel, values: Floats) -> Floats:
    """Return the change of the pattern per change of each parameter, (name, channel).

    ``values`` (name,) are results in the order of ``model.names``. Slopes by non-linear parameters
    are central differences.
    """
    n_phases, n_free = len(model.settings.phases), len(model.parameters)
    shapes = model.patterns(_slots(model, values))
    rows = np.zeros((len(model.names), model.background.shape[1]))
    rows[:n_phases], rows[n_phases + n_free :] = shapes, model.background
    for j, parameter in enumerate(model.parameters):
        place = n_phases + j
        if not np.isfinite(values[place]):
            continue
        step = 1e-5 * max(abs(float(values[place])), parameter.unit)
        sides = []
        for sign in (-1.0, 1.0):
            moved = values.copy()
            moved[place] += sign * step
            sides.append(values[:n_phases] @ model.patterns(_slots(model, moved)))
        rows[place] = (sides[1] - sides[0]) / (2.0 * step)
    return rows


def _slots(model: RietveldModel, values: Floats) -> Floats:
    """Return the slots for results (name,); what is not known stays at its start."""
    slots, n_phases = model.slots.copy(), len(model.settings.phases)
    for j, parameter in enumerate(model.parameters):
        value = values[n_phases + j]
        if np.isfinite(value):
            slots[list(parameter.slots)] = parameter.number(value)
    return slots


def _checked(
    patterns: Patterns, variance: Patterns, model: RietveldModel
) -> tuple[Patterns, Patterns]:
    patterns = np.ascontiguousarray(patterns)
    n_channels = model.background.shape[1]
    if patterns.ndim != 2 or patterns.shape != variance.shape or patterns.shape[1] != n_channels:
        raise InputError(
            f"patterns and variance must both have the shape (pattern, {n_channels}), but have "
            f"{patterns.shape} and {variance.shape}"
        )
    if patterns.dtype != np.float32:
        patterns = np.ascontiguousarray(patterns, dtype=np.float64)
    return patterns, np.ascontiguousarray(variance, dtype=patterns.dtype)


def _results(
    values: Floats,
    spread: Floats,
    quality: Floats,
    status: NDArray[np.int8],
    phases: NDArray[np.int8],
    model: RietveldModel,
    shared: dict[str, tuple[float, float]],
) -> Refined:
    """Turn numbers of the refinement into results with their units."""
    n_phases = len(model.settings.phases)
    is_full = spread.shape[2] > 1 or spread.shape[1] == 1
    squares = np.einsum("vii->vi", spread) if is_full else spread[:, :, 0]
    esd = np.sqrt(squares)
    slopes = np.ones_like(values)
    for j, parameter in enumerate(model.parameters):
        column, own = values[:, n_phases + j], esd[:, n_phases + j]
        slopes[:, n_phases + j] = parameter.slope(column, own)
        values[:, n_phases + j] = parameter.result(column)
    esd = esd * np.abs(slopes)
    covariance = None
    if is_full:
        with np.errstate(invalid="ignore"):
            covariance = spread * slopes[:, :, None] * slopes[:, None, :]
    return Refined(
        model.names, values, esd, covariance, quality[:, 0], quality[:, 1], status, model, shared,
        phases,
    )  # fmt: skip
