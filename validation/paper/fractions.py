"""Weight fractions of the two particles by depth, recovered and true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.region_table import RegionTable
from validation.metrics import true_fractions_by_label
from validation.paper.experiments import DEPTH_EDGES_UM
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_DEPTHS = len(DEPTH_EDGES_UM) - 1


@dataclass(frozen=True, eq=False)
class DepthFractions:
    """One particle in one slice; NaN where a depth was not found or not refined."""

    phases: tuple[str, ...]
    recovered: Floats
    """In percent by weight, shape (depth, phase), outermost depth first."""
    esd: Floats
    true: Floats
    """At that depth of the true particle, so that an outline in the wrong place counts too."""
    label: Ints
    """The depth, 0 to 3, of a voxel, or −1, shape (y, x)."""
    true_label: Ints
    """The same for the true particle, by true depth."""


def depth_fractions(each: Slice, number: int) -> DepthFractions:
    """Return the fractions of particle ``number`` of the sample, over the depths the maps show.

    Of a depth that the maps show in two parts, the larger one counts.
    """
    table = each.maps.regions
    label = np.full(each.maps.a_A.shape, -1, np.int64)
    phases = _phases(each)
    recovered, esd = (np.full((N_DEPTHS, len(phases)), np.nan) for _ in range(2))
    if table is not None:
        rows = region_rows(table, each.truth.particle == number)
        for row in rows[np.argsort(table.n_voxels[rows], kind="stable")]:
            depth = int(table.shell[row])
            recovered[depth] = 100.0 * table.weight_fraction[row]
            esd[depth] = 100.0 * table.weight_fraction_esd_total[row]
            label[label == depth] = -1
            label[table.label == row] = depth
    true_label = _true_label(each, number)
    true = 100.0 * true_fractions_by_label(
        true_label, n_regions=N_DEPTHS, phases=phases, truth=each.truth
    )
    return DepthFractions(phases, recovered, esd, true, label, true_label)


def _phases(each: Slice) -> tuple[str, ...]:
    """Return the crystals that the recipe looks for, the refined phase first."""
    recipe = each.maps.recipe
    fixed = [phase.crystal for phase in recipe.fixed_phases]
    return (recipe.phase.crystal, *fixed, *(phase.crystal for phase in recipe.regions.phases))


def _true_label(each: Slice, number: int) -> Ints:
    """Return the true depth, from 0, of the particle's voxels; −1 elsewhere."""
    truth = each.truth
    depth = np.searchsorted(DEPTH_EDGES_UM, np.nan_to_num(truth.depth_um, nan=-1.0), side="right")
    inside = (truth.particle == number) & (depth > 0) & (depth <= N_DEPTHS)
    return np.where(inside, depth - 1, -1).astype(np.int64)


def region_rows(table: RegionTable, inside: NDArray[np.bool_]) -> Ints:
    """Return the regions most of which lies inside."""
    label = table.label
    rows, count = np.unique(label[inside & (label >= 0)], return_counts=True)
    return np.asarray(rows[2 * count > table.n_voxels[rows]])


def particle_means(
    table: RegionTable, known: NDArray[np.bool_], *, values: Sequence[Floats], esd: Floats
) -> tuple[list[Floats], Floats]:
    """Return means over the known regions of each particle, by voxels, and the esd of the first.

    All arguments are rows (region,), results (particle,) in the order of their numbers. Particles
    without a known region are left out; esds of regions are added as if they were independent.
    """
    _, particle = np.unique(table.particle[known], return_inverse=True)
    size = table.n_voxels[known].astype(float)
    total = np.bincount(particle, size)
    means = [np.asarray(np.bincount(particle, size * rows[known]) / total) for rows in values]
    return means, np.asarray(np.sqrt(np.bincount(particle, (size * esd[known]) ** 2)) / total)
