"""Score part of a slice: the voxels within a disc about the rotation axis.

Scans of different width see different voxels of one sample. To tell what the width does to the
recovered values, and not where they were recovered, all are scored over the same disc.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.region_table import RegionTable
from validation.truth import Truth

Bools = NDArray[np.bool_]


def within_disc(maps: Maps, truth: Truth, *, diameter_um: float) -> tuple[Maps, Truth]:
    """Return maps and truth of which only voxels with their middle in the disc are scored.

    Of particles and depth shells those are kept that lie in it with all their voxels.
    """
    n = truth.scan.n_offsets
    place_um = (np.arange(n) - 0.5 * (n - 1)) * truth.scan.step_um
    inside = np.hypot(*np.meshgrid(place_um, place_um)) <= 0.5 * diameter_um
    truth = replace(truth, interior=truth.interior & inside, eroded=truth.eroded & inside)
    if maps.regions is not None:
        maps = replace(maps, regions=_within(maps.regions, inside))
    return maps, truth


def _within(table: RegionTable, inside: Bools) -> RegionTable:
    """Return the table of the regions that lie inside altogether."""
    n_regions = table.shell.size
    reaches_out = table.label[(table.label >= 0) & ~inside]
    kept = np.ones(n_regions, bool)
    kept[reaches_out] = False
    number = np.full(n_regions + 1, -1, np.int64)  # the last for voxels without a region
    number[:-1][kept] = np.arange(int(kept.sum()))
    columns = {
        f.name: getattr(table, f.name)[kept]
        for f in fields(table)
        if f.name not in ("phases", "label")
    }
    return replace(table, label=number[table.label], **columns)
