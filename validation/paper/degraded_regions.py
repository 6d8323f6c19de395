"""The degraded electrode divided by its lattice parameter, and what its parts hold.

Beside the low, medium and high regions, single voxels drawn from the low one are refined, each a
region of its own. The scan is prepared once for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from inverse.chain import prepared_sinogram
from inverse.lattice_regions import LatticeRegions, lattice_regions
from inverse.model import Instrument
from inverse.recover import instrument_of
from inverse.region_analysis import RegionAnalysis, analyse_regions
from validation.metrics import true_fractions_by_label
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES = ("low a", "medium a", "high a")
_N_VOXELS = 100


@dataclass(frozen=True, eq=False)
class DegradedRegions:
    """The slice analysed after one way of integration."""

    each: Slice
    instrument: Instrument
    regions: LatticeRegions
    contents: RegionAnalysis
    true: Floats
    """Weight fractions of the true regions, shape (region, phase)."""
    true_label: Ints
    """The region of a voxel by its true lattice parameter, or −1, shape (y, x)."""
    voxels: RegionAnalysis
    """Single voxels of the low region."""


@lru_cache(maxsize=2)  # ways of integration, of which figure and claims ask in turn
def degraded_regions(each: Slice) -> DegradedRegions:
    """Return the regions of a slice and what they hold; the same object for the same slice."""
    raw, maps = each.raw(), each.maps
    regions = lattice_regions(maps.a_A, amount=maps.volume_fraction)
    sinogram = prepared_sinogram(
        raw, others=each.others(), recipe=maps.recipe, workers=each.workers
    )
    analysed = partial(
        analyse_regions, raw, recipe=maps.recipe, shared=maps.shared, sinogram=sinogram,
        workers=each.workers,
    )  # fmt: skip
    contents = analysed(label=regions.label, a_A=maps.a_A, a_esd_A=maps.a_esd_total_A)
    label = _true_label(each, regions)
    alone = single_voxels(regions.label, of=0, n=_N_VOXELS, seed=each.experiment.seed)
    return DegradedRegions(
        each=each, instrument=instrument_of(raw, maps.recipe), regions=regions, contents=contents,
        true=true_fractions_by_label(
            label, n_regions=len(NAMES), phases=contents.phases, truth=each.truth
        ),
        true_label=label, voxels=analysed(label=alone, refine_shared=False),
    )  # fmt: skip


def single_voxels(label: Ints, *, of: int, n: int, seed: int) -> Ints:
    """Return a map of labels in which voxels drawn from a region are each one of its own."""
    places = np.flatnonzero(label == of)
    drawn = np.random.default_rng(seed).permutation(places)[:n]
    alone = np.full(label.size, -1, np.int64)
    alone[drawn] = np.arange(drawn.size)
    return alone.reshape(label.shape)


def _true_label(each: Slice, regions: LatticeRegions) -> Ints:
    """Return the regions of the true map by the same thresholds; wrong voxels then count."""
    true_A = each.true_a_A
    label = np.searchsorted(regions.edges_A[1:, 0], np.nan_to_num(true_A), side="right")
    return np.where(np.isfinite(true_A), label, -1)
