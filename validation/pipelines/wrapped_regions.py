"""Weight fractions that a pipeline gives voxel by voxel, as those of particles and depth shells.

Our own chain tells weight fractions of regions, so maps of voxels are averaged over regions too:
those found in the pipeline's own maps (:mod:`inverse.segment`), each voxel weighted by its amount,

    W = Σ m w / Σ m,     esd(W) = √(Σ m² esd(w)²) / Σ m,

voxels taken as independent. A phase that is not given holds no mass; the refined one has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.refine import Status
from inverse.region_table import RegionTable
from inverse.segment import DepthRegions, depth_regions, particles_of
from phantoms.sample import SPINEL
from validation.crystals import phase_name

Floats = NDArray[np.float64]

_PREFIX, _SUFFIX = "weight_fraction_", "_esd"


def wrapped_regions(maps: Maps, arrays: Mapping[str, Floats]) -> RegionTable | None:
    """Return the table of regions, or None where there are no fractions or no regions.

    ``arrays`` are maps named weight_fraction_PHASE, and …_esd where the pipeline knows them.
    """
    refined = phase_name(maps.phase)
    names = [n.removeprefix(_PREFIX) for n in arrays if not n.endswith(_SUFFIX)]
    others = [name for name in names if name not in (refined, SPINEL)]
    if not others:
        return None
    found = np.isfinite(maps.a_A)
    amount = maps.volume_fraction if np.isfinite(maps.volume_fraction).any() else found * 1.0
    particles = particles_of(
        amount, measured=maps.status != Status.NOT_MEASURED, step_um=maps.scan.step_um,
        settings=maps.recipe.regions,
    )  # fmt: skip
    regions = depth_regions(particles, settings=maps.recipe.regions)
    if regions.n_voxels.size == 0:
        return None
    means = [_mean(arrays, name, amount, regions) for name in others]
    fraction = np.stack([value for value, _ in means], axis=1)
    esd = np.stack([spread for _, spread in means], axis=1)
    lattice_A, lattice_esd_A = _weighted(maps.a_A, maps.a_esd_noise_A, amount, regions)
    unknown = np.full(regions.n_voxels.shape, np.nan)
    rest_esd = np.sqrt(np.sum(esd**2, axis=1))
    all_esd = np.column_stack([rest_esd, esd])
    return RegionTable(
        phases=(maps.phase, *others),
        label=regions.label,
        particle=regions.particle,
        shell=regions.shell,
        depth_um=regions.depth_um,
        n_voxels=regions.n_voxels,
        n_lattices=np.ones_like(regions.n_voxels),
        amount=np.full((unknown.size, len(others) + 1), np.nan),
        weight_fraction=np.column_stack([1.0 - fraction.sum(axis=1), fraction]),
        weight_fraction_esd_noise=all_esd,
        weight_fraction_esd_total=all_esd,
        a_A=lattice_A,
        a_esd_noise_A=lattice_esd_A,
        chi2_reduced=unknown,
    )


def _mean(
    arrays: Mapping[str, Floats], name: str, amount: Floats, regions: DepthRegions
) -> tuple[Floats, Floats]:
    values = arrays[f"{_PREFIX}{name}"]
    esd = arrays.get(f"{_PREFIX}{name}{_SUFFIX}", np.full(values.shape, np.nan))
    return _weighted(values, esd, amount, regions)


def _weighted(
    values: Floats, esd: Floats, amount: Floats, regions: DepthRegions
) -> tuple[Floats, Floats]:
    """Return the mean of each region, weighted by amount, and its uncertainty; NaN without any."""
    used = (regions.label >= 0) & np.isfinite(values) & (amount > 0.0)
    region, weight = regions.label[used], amount[used]
    n = regions.n_voxels.size
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.bincount(region, weight, n)
        mean = np.bincount(region, weight * values[used], n) / total
        spread = np.sqrt(np.bincount(region, (weight * esd[used]) ** 2, n)) / total
    return mean, np.where(spread > 0.0, spread, np.nan)
