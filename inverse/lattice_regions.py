"""Regions of a slice by lattice parameter, and of particles by depth, as maps of labels.

The study that is reproduced divides its degraded electrode into regions of low, medium and high
lattice parameter, and two particles into four depths each, and refines the summed pattern of every
region (Finegan et al., Nat. Commun. 11 (2020) 631, figures 5 and 6). Labels are numbered from 0, −1
standing for no region, as :func:`inverse.regions.region_patterns` takes them.

Where no thresholds are given they follow from the map by one of two rules: ``otsu``, which makes
the spread within regions least (Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62; for several
thresholds Liao, Chen and Chung, J. Inf. Sci. Eng. 17 (2001) 713), or ``volume``, by which every
region has the same amount of material.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu

from inverse.segment import DepthRegions, Particles
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rule = Literal["otsu", "volume"]

_BINS = 256


@dataclass(frozen=True, eq=False)
class LatticeRegions:
    """Regions of rising lattice parameter."""

    label: Ints
    """The region of a voxel, from 0, or −1, shape (y, x)."""
    edges_A: Floats
    """Between which a region's lattice parameters lie, shape (region, 2); the outermost are those
    of the map."""
    mean_A: Floats
    """Mean over the region by material, shape (region,)."""
    n_voxels: Ints


def lattice_regions(
    a_A: Floats,
    *,
    amount: Floats,
    thresholds_A: Sequence[float] | None = None,
    n_regions: int = 3,
    rule: Rule = "otsu",
    used: Bools | None = None,
) -> LatticeRegions:
    """Return the regions into which rising thresholds divide a map of lattice parameters, (y, x).

    Without thresholds the rule finds those of ``n_regions``. Voxels count where the lattice
    parameter is known, the amount is above zero and ``used``, if given, is true.

    Raises InputError for maps of different shape, thresholds that do not rise, or a region without
    a voxel.
    """
    for name, given in (("amount", amount), ("used", used)):
        if given is not None and given.shape != a_A.shape:
            raise InputError(f"{name} must have the shape {a_A.shape} of a_A, not {given.shape}.")
    counts = np.isfinite(a_A) & (np.nan_to_num(amount) > 0.0)
    if used is not None:
        counts &= used
    if not counts.any():
        raise InputError("no voxel has both a lattice parameter and an amount above zero.")
    values, weight = a_A[counts], amount[counts]
    if thresholds_A is None:
        limits = _found(values, weight, n_regions, rule)
    else:
        limits = np.asarray(thresholds_A, dtype=np.float64)
    if any(b <= a for a, b in pairwise(limits)):
        raise InputError(f"thresholds must rise from one to the next, not {list(limits)}.")
    region = np.searchsorted(limits, values, side="right")
    n_voxels = np.bincount(region, minlength=limits.size + 1)
    if n_voxels.min() == 0:
        raise InputError(
            f"no voxel lies in region {int(np.argmin(n_voxels))} of the thresholds {list(limits)}."
        )
    label = np.full(a_A.shape, -1, np.int64)
    label[counts] = region
    ends = np.concatenate([[values.min()], limits, [values.max()]])
    return LatticeRegions(
        label=label,
        edges_A=np.stack([ends[:-1], ends[1:]], axis=1),
        mean_A=np.bincount(region, weight * values) / np.bincount(region, weight),
        n_voxels=n_voxels.astype(np.int64),
    )


def _found(values: Floats, weight: Floats, n_regions: int, rule: Rule) -> Floats:
    """Return the thresholds of a rule."""
    if n_regions < 2 or np.unique(values).size < n_regions:
        raise InputError(
            f"{n_regions} regions need at least two, and as many different lattice parameters."
        )
    if rule == "volume":
        order = np.argsort(values, kind="stable")
        filled = np.cumsum(weight[order]) / weight.sum()
        wanted = np.arange(1, n_regions) / n_regions
        return np.asarray(values[order][np.searchsorted(filled, wanted)])
    if rule != "otsu":
        raise InputError(f"rule must be otsu or volume, not {rule!r}.")
    counts, edges = np.histogram(values, _BINS, weights=weight)
    middles = 0.5 * (edges[1:] + edges[:-1])
    # Whole numbers of counts are asked for; a millionth of the material is none to speak of.
    whole = np.round(1e6 * counts / counts.sum()).astype(np.int64)
    found = threshold_multiotsu(classes=n_regions, hist=(whole, middles))  # type: ignore[no-untyped-call]
    return np.asarray(found + 0.5 * (edges[1] - edges[0]), dtype=np.float64)


def depth_parts(
    particles: Particles,
    *,
    n_parts: int = 4,
    by: Literal["depth", "area"] = "depth",
    chosen: Sequence[int] | None = None,
    fewest_voxels: int = 4,
) -> DepthRegions:
    """Return every particle in ``n_parts`` shells of its own: equally thick, or of equal area.

    ``chosen`` are numbers of particles; by default all that lie in view as a whole. Shells of too
    few voxels are left out. Shells of a given thickness: :func:`inverse.segment.depth_regions`.

    Raises InputError for a particle that does not exist, or fewer parts than one.
    """
    if n_parts < 1:
        raise InputError(f"a particle has at least one part, not {n_parts}.")
    numbers = np.flatnonzero(particles.whole) if chosen is None else np.asarray(chosen, int)
    label = np.full(particles.label.shape, -1, np.int64)
    rows: list[tuple[int, int, float, float, int]] = []
    for number in numbers:
        own = particles.label == number
        if not own.any():
            raise InputError(f"there is no particle {number} with a voxel of its own.")
        edges_um = _part_edges(particles.depth_um[own], n_parts, by)
        part = np.full(label.shape, -1)
        part[own] = np.clip(
            np.searchsorted(edges_um, particles.depth_um[own], side="right") - 1, 0, n_parts - 1
        )
        for k in range(n_parts):
            voxels = part == k
            if voxels.sum() >= max(1, fewest_voxels):
                label[voxels] = len(rows)
                rows.append(
                    (int(number), k, float(edges_um[k]), float(edges_um[k + 1]), int(voxels.sum()))
                )
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return DepthRegions(
        label=label,
        particle=table[:, 0].astype(np.int64),
        shell=table[:, 1].astype(np.int64),
        depth_um=table[:, 2:4],
        n_voxels=table[:, 4].astype(np.int64),
    )


def _part_edges(depth_um: Floats, n_parts: int, by: str) -> Floats:
    shares = np.arange(n_parts + 1) / n_parts
    if by == "area":
        edges = np.quantile(depth_um, shares)
        edges[0] = 0.0
        return np.asarray(edges)
    return np.asarray(shares * depth_um.max())
