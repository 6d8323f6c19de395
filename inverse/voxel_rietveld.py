"""The Rietveld refinement of every reconstructed voxel, with all phases of a recipe.

What all voxels share is refined first (:mod:`inverse.rietveld_shared`), then blocks of voxels one
after the other, each with the covariance of all parameters, from which weight fractions follow
(:mod:`inverse.voxel_table`); voxels of two lattices are refined again (:mod:`inverse.voxel_pairs`).
Last, all refined patterns are drawn for the residuals. Only patterns, variances and tables are held
whole: with n parameters, v voxels and c channels

    8 v·c bytes of patterns and variances, 16 v·n of results, and where asked 4 v·n² of covariance
    and 4 v·c of residuals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.model import Instrument
from inverse.refine import Status
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import RietveldModel, rietveld_model
from inverse.rietveld_shared import shared_parameters
from inverse.voxel_pairs import Decisions, decisions, refine_pairs, with_second
from inverse.voxel_residuals import ResidualSums, calculated_patterns
from inverse.voxel_settings import VoxelRietveld
from inverse.voxel_table import VoxelTable
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Patterns = NDArray[np.floating[Any]]

BLOCK = 4096
"""Voxels at a time."""
_SAMPLED = 16384
"""Voxels among which those are chosen that tell of shared parameters."""


@dataclass(frozen=True, eq=False)
class RefinedVoxels:
    """The results of all voxels, and what they leave."""

    table: VoxelTable
    decisions: Decisions | None
    """Of a second lattice; None where none was looked for."""
    residual_rms: Floats
    """(voxel,), in the unit of patterns; NaN where not refined."""
    sums: ResidualSums
    residuals: NDArray[np.float32] | None
    """Observed less calculated, (voxel, channel), where they are kept."""


def refine_voxels(
    patterns: Patterns,
    *,
    variance: Patterns,
    settings: VoxelRietveld,
    crystal: str,
    instrument: Instrument,
    min_scale: float = 0.0,
    workers: int | None = None,
) -> RefinedVoxels:
    """Refine the patterns of voxels, (voxel, channel), of which ``crystal`` is the refined phase.

    Raises InputError as :func:`inverse.rietveld.refine_patterns` and
    :func:`inverse.rietveld_model.rietveld_model` do, where nothing tells shared parameters, and
    where the settings have no phase of ``crystal``.
    """

    def model_of(chosen: VoxelRietveld) -> RietveldModel:
        return rietveld_model(
            chosen, beam=instrument.beam, geometry=instrument.geometry,
            calibration=instrument.calibration,
        )  # fmt: skip

    single, shared = _with_shared(patterns, variance, model_of(settings), workers)
    main = settings.refined(crystal)
    if main is None:
        raise InputError(f"rietveld.phases must hold the refined phase {crystal}")
    wide = single
    labels: tuple[str, ...] = (main.label,)
    if settings.second_lattice is not None:
        both = with_second(settings, crystal=crystal)
        wide, labels = model_of(both), tuple(p.label for p in both.phases if p.crystal == crystal)
        numbers = np.array([single.slots[p.slots[0]] for p in model_of(settings).shared])
        wide = replace(wide.with_shared(numbers), shared=())
    table = VoxelTable.empty(
        len(patterns), model=wide, main=labels, shared=shared, covariance=settings.covariance
    )
    for rows in _blocks(len(patterns)):
        refined = refine_patterns(
            patterns[rows], variance=variance[rows], model=single, covariance=True,
            min_scale=min_scale, workers=workers,
        )  # fmt: skip
        table.store(np.arange(rows.start, rows.stop), refined)
    found = None
    if settings.second_lattice is not None:
        found = decisions(
            patterns, variance=variance, table=table, model=single,
            settings=settings.second_lattice, min_scale=min_scale, block=BLOCK, workers=workers,
        )  # fmt: skip
        refine_pairs(
            patterns, variance=variance, table=table, found=found, min_scale=min_scale,
            block=BLOCK, workers=workers,
        )  # fmt: skip
    return _with_residuals(patterns, variance, table, found, settings.residuals == "full", workers)


def _blocks(n: int) -> Iterator[slice]:
    for first in range(0, n, BLOCK):
        yield slice(first, min(first + BLOCK, n))


def _with_shared(
    patterns: Patterns, variance: Patterns, model: RietveldModel, workers: int | None
) -> tuple[RietveldModel, dict[str, tuple[float, float]]]:
    """Return the model with shared parameters refined and held, and what they are."""
    if not model.shared:
        return model, {}
    every = slice(None, None, max(1, -(-len(patterns) // _SAMPLED)))
    found = shared_parameters(patterns[every], variance[every], model=model, workers=workers)
    return replace(found.model, shared=()), found.results


def _with_residuals(
    patterns: Patterns,
    variance: Patterns,
    table: VoxelTable,
    found: Decisions | None,
    full: bool,
    workers: int | None,
) -> RefinedVoxels:
    """Draw all refined patterns, and see what they leave."""
    sums, rms = ResidualSums(patterns.shape[1]), np.full(len(patterns), np.nan)
    kept = np.full(patterns.shape, np.nan, np.float32) if full else None
    for part in _blocks(len(patterns)):
        rows = part.start + np.flatnonzero(table.status[part] == Status.CONVERGED)
        residuals = patterns[rows] - calculated_patterns(
            table.model, table.values[rows], workers=workers
        )
        rms[rows] = sums.add(residuals, variance[rows])
        if kept is not None:
            kept[rows] = residuals
    return RefinedVoxels(table, found, rms, sums, kept)
