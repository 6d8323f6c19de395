"""Two lattices of the refined phase in one voxel: the test, and the refinement where it says so.

After every voxel was refined with a single lattice, :mod:`inverse.phase_decision_pair` decides
whether a second is warranted. Its templates are those of the refinement: other phases and widths
are where the voxels' median puts them. Voxels that hold two are then refined with both by the
Rietveld engine, started at the pair that the test found, and keep the better of both results.
Size, strain and all else but cell and amount are one for both lattices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.phase_decision_pair import pattern_width_A, second_lattice
from inverse.refine import LatticeModel, Status
from inverse.rietveld import Refined, refine_patterns
from inverse.rietveld_model import RietveldModel
from inverse.rietveld_parameters import Parameter
from inverse.rietveld_recipe import OF_PHASE, RietveldPhase
from inverse.starting_values import typical_weight
from inverse.voxel_settings import SECOND, TwoLattices, VoxelRietveld
from inverse.voxel_table import VoxelTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Patterns = NDArray[np.floating[Any]]

ONE, TWO, UNSETTLED = 0.0, 1.0, 2.0
"""Decisions: one lattice; two, refined; a second is warranted, but the two were not found."""
_TEMPLATE_SPACING_A = 1e-3
_START_GRID_A = 8e-3
"""Pairs that start together: a fifth of a narrow line's width."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """What was decided of every voxel, (voxel,)."""

    p_value: Floats
    """Chance of such a second lattice where there is none; NaN where undecided."""
    decision: Floats
    """0 one lattice, 1 two, 2 a second that could not be refined; NaN where undecided."""
    pair_A: Floats
    """Where the two are, by the test, (voxel, 2); NaN where there are not two."""


def with_second(settings: VoxelRietveld, *, crystal: str) -> VoxelRietveld:
    """Return the refinement with a second lattice of the refined phase, after its first."""
    phases: list[RietveldPhase] = []
    for phase in settings.phases:
        if phase is not settings.refined(crystal):
            phases.append(phase)
            continue
        ties = {
            name: f"={phase.label}"
            for name in OF_PHASE
            if name != "cell" and getattr(phase, name) in ("voxel", "shared")
        }
        first = phase.model_copy(update={"search": False})  # it starts at a pair
        phases += [first, first.model_copy(update=ties | {"name": phase.label + SECOND})]
    return settings.model_copy(update={"phases": tuple(phases)})


def decisions(
    patterns: Patterns,
    *,
    variance: Patterns,
    table: VoxelTable,
    model: RietveldModel,
    settings: TwoLattices,
    min_scale: float,
    block: int,
    workers: int | None,
) -> Decisions:
    """Decide in every voxel, (voxel, channel), from the results of a single lattice.

    Voxels without material stay undecided.

    ``model`` is the one of these, in which phases have one lattice each.
    """
    n = len(patterns)
    found = Decisions(np.full(n, np.nan), np.full(n, np.nan), np.full((n, 2), np.nan))
    asked = np.flatnonzero(~np.isin(table.status, (Status.NOT_MEASURED, Status.NO_MATERIAL)))
    if asked.size == 0:
        return found
    lattices = _lattice_model(model, table)
    sampled = asked[:: -(-asked.size // block)]
    apart_A = settings.min_separation_A or pattern_width_A(
        lattices, weight=typical_weight(variance[sampled].astype(np.float32, copy=False))
    )
    for first in range(0, asked.size, block):
        rows = asked[first : first + block]
        decided = second_lattice(
            patterns[rows].astype(np.float32, copy=False),
            variance=variance[rows].astype(np.float32, copy=False), model=lattices,
            false_alarm=settings.false_alarm, min_separation_A=apart_A,
            least_share=settings.least_share, min_scale=min_scale, by_misfit=settings.by_misfit,
            workers=workers,
        )  # fmt: skip
        present, p_value = decided.decision.present, decided.decision.p_value
        found.p_value[rows] = p_value
        found.decision[rows] = np.where(
            np.isnan(p_value), np.nan, np.where(present, UNSETTLED, ONE)
        )
        found.pair_A[rows[present]] = decided.pair.a_A[present]
    return found


def _lattice_model(model: RietveldModel, table: VoxelTable) -> LatticeModel:
    """Return templates of the refined phase over its cell's range, everything else linear."""
    labels = [phase.label for phase in model.settings.phases]
    own, cell = labels.index(table.main[0]), f"{table.main[0]}.a_A"
    slots = model.slots.copy()
    for parameter in model.parameters:
        column = table.values[:, table.model.names.index(parameter.name)]
        known = column[np.isfinite(column)]
        if known.size and parameter.name != cell:
            slots[list(parameter.slots)] = parameter.number(np.array(np.median(known)))
    lattice = _parameter(model, cell)
    n = round((lattice.high - lattice.low) / _TEMPLATE_SPACING_A) + 1
    a_A = np.linspace(lattice.low, lattice.high, n)
    templates = np.empty((n, model.background.shape[1]))
    for k in range(n):
        slots[list(lattice.slots)] = a_A[k]
        drawn = model.patterns(slots)
        templates[k] = drawn[own]
    linear = np.concatenate([np.delete(drawn, own, axis=0), model.background])
    return LatticeModel(a_A=a_A, templates=templates, linear=linear)


def _parameter(model: RietveldModel, name: str) -> Parameter:
    return next(parameter for parameter in model.parameters if parameter.name == name)


def refine_pairs(
    patterns: Patterns,
    *,
    variance: Patterns,
    table: VoxelTable,
    found: Decisions,
    min_scale: float,
    block: int,
    workers: int | None,
) -> None:
    """Refine voxels with two lattices where they were found; put what is better into the table."""
    first, second = table.main
    for pair_A, rows in _alike(found.pair_A, block):
        slots = table.model.slots.copy()
        for label, a_A in zip((first, second), pair_A, strict=True):
            lattice = _parameter(table.model, f"{label}.a_A")
            slots[list(lattice.slots)] = np.clip(a_A, lattice.low, lattice.high)
        refined = refine_patterns(
            patterns[rows], variance=variance[rows], model=replace(table.model, slots=slots),
            covariance=True, min_scale=min_scale, workers=workers,
        )  # fmt: skip
        refined = _larger_first(refined, first, second)
        single = np.where(table.status[rows] == Status.CONVERGED, table.chi2_reduced[rows], np.inf)
        both = np.isfinite(refined.of(f"{first}.a_A") + refined.of(f"{second}.a_A"))
        with np.errstate(invalid="ignore"):
            better = np.flatnonzero(both & (refined.chi2_reduced < single))
        table.store(rows[better], refined, chosen=better)
        found.decision[rows[better]] = TWO


def _alike(pair_A: Floats, block: int) -> Iterator[tuple[Floats, Ints]]:
    """Yield the middle of pairs that are nearly the same, and the voxels they are found in."""
    rows = np.flatnonzero(np.isfinite(pair_A).all(axis=1))
    steps = np.rint(pair_A[rows] / _START_GRID_A).astype(np.int64)
    starts, group = np.unique(steps, axis=0, return_inverse=True)
    for number in range(len(starts)):
        members = rows[group.ravel() == number]
        for begin in range(0, members.size, block):
            some = members[begin : begin + block]
            yield pair_A[some].mean(axis=0), some


def _larger_first(refined: Refined, first: str, second: str) -> Refined:
    """Exchange the two lattices where the second is the larger."""
    names = list(refined.names)
    swapped = np.flatnonzero(refined.of(f"{second}.scale") > refined.of(f"{first}.scale"))
    order = np.arange(len(names))
    for name in names:
        label, _, what = name.rpartition(".")
        if label == second:
            one, other = names.index(f"{first}.{what}"), names.index(name)
            order[one], order[other] = other, one
    values, esd = refined.values.copy(), refined.esd.copy()
    covariance = np.asarray(refined.covariance).copy()
    values[swapped] = values[swapped][:, order]
    esd[swapped] = esd[swapped][:, order]
    covariance[swapped] = covariance[swapped][:, order][:, :, order]
    return replace(refined, values=values, esd=esd, covariance=covariance)
