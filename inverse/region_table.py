"""Results of regions of voxels: what they are, what they hold, and how well it is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError
from xrdct.hdf5 import (
    nexus_group,
    own_array,
    own_dataset,
    own_group,
    own_json,
    write_image,
    write_text,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WHOLE = ("particle", "shell", "n_voxels", "n_lattices")
_PLAIN = ("a_A", "a_esd_noise_A", "chi2_reduced")
_BY_PHASE = ("amount", "weight_fraction", "weight_fraction_esd_noise", "weight_fraction_esd_total")
_UNITS = {"depth_um": "um", "a_A": "angstrom", "a_esd_noise_A": "angstrom"}


@dataclass(frozen=True, eq=False)
class RegionTable:
    """One row for each particle and depth shell; NaN where its pattern could not be refined."""

    phases: tuple[str, ...]
    """Crystals, the refined phase first; lattices of the same crystal count as one phase."""
    label: Ints
    """The row that a voxel belongs to, or −1, shape (y, x)."""
    particle: Ints
    """Number of the particle, shape (region,), as all that follow unless said."""
    shell: Ints
    """Number of the depth shell, 0 at the surface."""
    depth_um: Floats
    """Depths between which the shell lies, shape (region, 2)."""
    n_voxels: Ints
    n_lattices: Ints
    """Lattices of the refined phase, 1 or 2."""
    amount: Floats
    """Volume fraction of each phase, shape (region, phase)."""
    weight_fraction: Floats
    """Share of each phase in the mass of all of them, shape (region, phase). It is not bounded:
    where a phase is absent, it scatters about zero."""
    weight_fraction_esd_noise: Floats
    """Standard uncertainty from counting statistics, propagated, same shape."""
    weight_fraction_esd_total: Floats
    """With errors of the reconstruction, of the fit and of resolution, same shape."""
    a_A: Floats
    """Lattice parameter of the refined phase, of two the mean by amount."""
    a_esd_noise_A: Floats
    chi2_reduced: Floats

    def image(self, values: Floats) -> Floats:
        """Return a map, (y, x), of one value for each region; NaN outside of them."""
        painted = np.full(self.label.shape, np.nan)
        inside = self.label >= 0
        painted[inside] = values[self.label[inside]]
        return painted


def write_regions(entry: h5py.Group, table: RegionTable, *, position_um: Floats) -> None:
    """Write the table, and a map of each phase's weight fraction, as the group ``regions``."""
    group = nexus_group(entry, "regions", "NXcollection")
    write_text(group, "phases", json.dumps({"phases": list(table.phases)}))
    for name in (*_WHOLE, *_PLAIN, *_BY_PHASE, "depth_um"):
        group[name] = getattr(table, name)
        group[name].attrs["units"] = _UNITS.get(name, "")
    write_image(group, "label", table.label, position_um=position_um)
    for number in range(len(table.phases)):
        write_image(
            group, f"weight_fraction_map_{number}", table.image(table.weight_fraction[:, number]),
            position_um=position_um,
        )  # fmt: skip


def read_regions(entry: h5py.Group, shape: tuple[int, int], path: Path) -> RegionTable | None:
    """Read the table of maps of a shape, or None where there is none.

    Raises InputError where it is damaged.
    """
    if "regions" not in entry:
        return None
    group = own_group(entry, "regions", path)
    phases = own_json(group, "phases", path).get("phases")
    if not (isinstance(phases, list) and phases and all(isinstance(p, str) for p in phases)):
        raise InputError(f"{path}: {group.name}/phases must be a list of names, not {phases!r}")
    n_regions = own_dataset(group, "particle", path).size or 0
    label = own_array(own_group(group, "label", path), "values", shape, path).astype(np.int64)
    if label.min(initial=-1) < -1 or label.max(initial=-1) >= n_regions:
        raise InputError(f"{path}: {group.name}/label must lie within −1 and {n_regions - 1}")

    def column(name: str, *more: int) -> Floats:
        return own_array(group, name, (n_regions, *more), path).astype(float)

    columns: dict[str, Any] = {name: column(name).astype(np.int64) for name in _WHOLE}
    columns |= {name: column(name) for name in _PLAIN}
    columns |= {name: column(name, len(phases)) for name in _BY_PHASE}
    return RegionTable(phases=tuple(phases), label=label, depth_um=column("depth_um", 2), **columns)
