"""Refine what all patterns share, over those that tell most of it.

The parameters of each pattern are refined with the shared ones held; what is left of the slopes by
the shared ones, freed of everything that is a pattern's own, adds up over the patterns to normal
equations of the shared ones alone. Marquardt's steps on these, each followed by the patterns' own
refinement, end where a step is a hundredth of the standard uncertainties, or nothing is gained.
Uncertainties are inflated by the patterns' own χ², so that streaks do not count as knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.refine import Status
from inverse.rietveld_kernel import refine_patterns_compiled, shared_normal
from inverse.rietveld_model import RietveldModel
from inverse.rietveld_search import searched_start
from xrdct.compiled import single_threaded_algebra, threaded
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Patterns = NDArray[np.floating[Any]]

_PATTERNS = 400
_MOST_STEPS = 25
_SETTLED = 1e-4
"""Square of the last step in standard uncertainties."""


@dataclass(frozen=True, eq=False)
class SharedResult:
    """The model with shared parameters as refined, and what they are."""

    model: RietveldModel
    results: dict[str, tuple[float, float]]
    """Value and standard uncertainty by name."""


@dataclass(frozen=True, eq=False)
class _State:
    """What the chosen patterns tell at some values of the shared parameters."""

    own: Floats
    """(pattern, free)."""
    converged: NDArray[np.bool_]
    chi2: Floats
    """Per degree of freedom, (pattern,); infinite where not converged."""
    normal: Floats
    right: Floats

    def compared(self, other: _State) -> float:
        """Return the mean change of χ² from ``other``, over patterns that converge in both."""
        both = self.converged & other.converged
        return float(np.mean(self.chi2[both] - other.chi2[both])) if both.any() else np.inf


def shared_parameters(
    patterns: Patterns, variance: Patterns, *, model: RietveldModel, workers: int | None = None
) -> SharedResult:
    """Return the model with its shared parameters refined.

    Raises InputError where no pattern can be refined.
    """
    chosen = _telling(patterns, variance)
    few, few_variance = patterns[chosen], variance[chosen]
    start = searched_start(few, few_variance, model=model)
    low = np.array([p.low for p in model.shared])
    high = np.array([p.high for p in model.shared])

    def at(numbers: Floats, own: Floats) -> _State:
        return _state(few, few_variance, model.with_shared(numbers), numbers, own, workers)

    numbers = np.array([model.slots[p.slots[0]] for p in model.shared])
    here, damping = at(numbers, start), 1e-3
    if not here.converged.any():
        raise InputError(
            f"shared parameters cannot be refined: none of the {len(few)} patterns of the "
            "strongest signal could be refined with their start values"
        )
    for _ in range(_MOST_STEPS):
        step = _step(numbers, here, damping, low, high)
        square = float(step @ here.normal @ step)
        if square < _SETTLED or damping > 1e6:
            break
        there = at(numbers + step, here.own)
        if there.compared(here) < 0.0:
            numbers, here, damping = numbers + step, there, 0.1 * damping
        else:
            damping *= 10.0
    spread = _spread(here)
    results = {
        p.name: (float(p.result(x)[0]), float(abs(p.slope(x, s) * s)[0]))
        for p, x, s in zip(model.shared, *np.stack([numbers, spread])[..., None], strict=True)
    }
    return SharedResult(model.with_shared(numbers), results)


def _telling(patterns: Patterns, variance: Patterns) -> NDArray[np.int64]:
    """Return patterns of the strongest signal over noise, spread evenly, or all where few."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(variance > 0.0, patterns**2 / variance, 0.0)
    strength = np.nansum(ratio, axis=1)
    present = strength > 0.0
    if present.sum() <= _PATTERNS:
        return np.flatnonzero(present)
    strong = np.flatnonzero(strength >= np.median(strength[present]))
    picked = np.linspace(0, strong.size - 1, min(strong.size, _PATTERNS))
    return strong[np.round(picked).astype(np.int64)]


def _state(
    patterns: Patterns,
    variance: Patterns,
    model: RietveldModel,
    numbers: Floats,
    own: Floats,
    workers: int | None,
) -> _State:
    """Refine the patterns' own parameters, and sum up what they tell of the shared ones."""
    own_setup, setup = model.setup(), model.setup(with_shared=True)
    n_patterns, n_own, n_shared = len(patterns), len(model.parameters), len(model.shared)
    n_phases, n = len(model.settings.phases), len(model.names)
    of_phases = np.empty((n_patterns, n_phases), np.int8)
    values = np.full((n_patterns, n), np.nan)
    quality = np.full((n_patterns, 2), np.nan)
    status = np.full(n_patterns, Status.NOT_MEASURED, np.int8)
    blocks = max(1, n_patterns // 8)
    normal, right = np.zeros((blocks, n_shared, n_shared)), np.zeros((blocks, n_shared))

    def task(first: int, last: int) -> None:
        for block in range(first, last):
            part = slice(block * n_patterns // blocks, (block + 1) * n_patterns // blocks)
            refine_patterns_compiled(
                patterns[part], variance[part], own[part], own_setup, values[part],
                np.empty((part.stop - part.start, n, 1)), quality[part], status[part],
                of_phases[part],
            )  # fmt: skip
            good = np.flatnonzero(status[part] == Status.CONVERGED)
            theta = np.empty((good.size, n_own + n_shared))
            found = values[part][good, n_phases : n_phases + n_own]
            is_free = np.isfinite(found)
            theta[:, :n_own] = np.where(is_free, found, own[part][good])
            theta[:, n_own:] = numbers
            shared_normal(
                patterns[part][good], variance[part][good], theta, is_free, setup, normal[block],
                right[block],
            )  # fmt: skip

    with single_threaded_algebra():
        threaded(task, blocks, workers=workers)
    converged = status == Status.CONVERGED
    found = values[:, n_phases : n_phases + n_own]
    kept = np.where(np.isfinite(found), found, own)
    chi2 = np.where(converged, quality[:, 0], np.inf)
    return _State(kept, converged, chi2, normal.sum(axis=0), right.sum(axis=0))


def _step(numbers: Floats, state: _State, damping: float, low: Floats, high: Floats) -> Floats:
    """Return Marquardt's step within the limits."""
    held = ((numbers <= low) & (state.right < 0.0)) | ((numbers >= high) & (state.right > 0.0))
    free = ~held & (np.diag(state.normal) > 0.0)
    step = np.zeros_like(numbers)
    if free.any():
        matrix = state.normal[np.ix_(free, free)] + damping * np.diag(np.diag(state.normal)[free])
        step[free] = np.linalg.lstsq(matrix, state.right[free])[0]
    return np.clip(numbers + step, low, high) - numbers


def _spread(state: _State) -> Floats:
    """Return standard uncertainties of the numbers."""
    inflation = max(1.0, float(np.mean(state.chi2[state.converged])))
    return np.sqrt(np.maximum(np.diag(np.linalg.pinv(state.normal)), 0.0) * inflation)
