"""Weight fractions of a Rietveld refinement, with its ties, occupancies and shared cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import cell_law
from inverse.quantify import Fractions, weight_fractions
from inverse.rietveld import Refined
from inverse.rietveld_recipe import RietveldPhase
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError

Floats = NDArray[np.float64]


def refined_weight_fractions(refined: Refined, *, phases: Sequence[str] | None = None) -> Fractions:
    """Return the weight fractions of refined phases, by their labels; by default of all.

    The error of a parameter that all patterns share counts as independent of a pattern's own.

    Raises InputError for a phase that was not refined.
    """
    by_label = {phase.label: phase for phase in refined.model.settings.phases}
    chosen = tuple(by_label) if phases is None else tuple(phases)
    for label in chosen:
        if label not in by_label:
            raise InputError(f"no refined phase is called {label!r}, only {', '.join(by_label)}")
    crystals = {
        label: find_crystal(by_label[label].crystal).scaled(by_label[label].cell_start)
        for label in chosen
    }
    names, values, covariance = _with_shared(refined)
    tied: dict[str, str] = {}
    for label in chosen:
        tied |= _ties(by_label[label])
    return weight_fractions(
        values, names=names, crystals=crystals, covariance=covariance, tied=tied,
        sites={
            label: by_label[label].occupancy_site or ""
            for label in chosen
            if by_label[label].occupancy != "fixed"
        },
    )  # fmt: skip


def _ties(phase: RietveldPhase) -> dict[str, str]:
    """Return which parameters of a phase follow which others."""
    tied: dict[str, str] = {}
    if phase.cell.startswith("="):
        for name in cell_law(find_crystal(phase.crystal)).names:
            tied[f"{phase.label}.{name}"] = f"{phase.cell[1:]}.{name}"
    if phase.occupancy.startswith("="):
        tied[f"{phase.label}.occupancy"] = f"{phase.occupancy[1:]}.occupancy"
    return tied


def _with_shared(refined: Refined) -> tuple[tuple[str, ...], Floats, Floats | None]:
    """Return names, values and covariance with those of shared parameters appended."""
    n_patterns, n_own = refined.values.shape
    names = (*refined.names, *refined.shared)
    values = np.empty((n_patterns, len(names)))
    values[:, :n_own] = refined.values
    values[:, n_own:] = [value for value, _ in refined.shared.values()]
    if refined.covariance is None:
        return names, values, None
    covariance = np.zeros((n_patterns, len(names), len(names)))
    covariance[:, :n_own, :n_own] = refined.covariance
    for k, (_, esd) in enumerate(refined.shared.values(), start=n_own):
        covariance[:, k, k] = esd**2
    return names, values, covariance
