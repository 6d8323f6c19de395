"""Weight fractions of the two particles by depth, recovered and true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.metrics import true_weight_fractions
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
    label: Ints
    """The depth, 0 to 3, of a voxel, or −1, shape (y, x)."""


def depth_fractions(each: Slice, number: int) -> DepthFractions:
    """Return the fractions of particle ``number`` of the sample, over the depths the maps show."""
    table = each.maps.regions
    label = np.full(each.maps.a_A.shape, -1, np.int64)
    phases = table.phases if table else ()
    recovered, esd, true = (np.full((N_DEPTHS, len(phases)), np.nan) for _ in range(3))
    if table is not None:
        fractions = true_weight_fractions(table, each.truth)
        for row in _rows(table.label, table.n_voxels, each.truth.particle == number):
            depth = int(table.shell[row])
            recovered[depth] = 100.0 * table.weight_fraction[row]
            esd[depth] = 100.0 * table.weight_fraction_esd_total[row]
            true[depth] = 100.0 * fractions[row]
            label[table.label == row] = depth
    return DepthFractions(phases, recovered, esd, true, label)


def _rows(label: Ints, n_voxels: Ints, inside: NDArray[np.bool_]) -> Ints:
    """Return the regions most of which lies inside."""
    rows, count = np.unique(label[inside & (label >= 0)], return_counts=True)
    return np.asarray(rows[2 * count > n_voxels[rows]])
