"""What was recovered: maps with standard uncertainties, and their file.

The file is HDF5 with one NXdata group per map; opened in a NeXus viewer it shows the lattice
parameter. Maps are indexed [y, x]; NaN means not measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from inverse.recipe import Recipe
from inverse.region_table import RegionTable, read_regions, write_regions
from inverse.voxel_file import read_rietveld, write_rietveld
from inverse.voxel_maps import RietveldMaps
from xrdct.errors import InputError
from xrdct.hdf5 import (
    check_format,
    nexus_group,
    opened_hdf5,
    own_array,
    own_dataset,
    own_group,
    own_json,
    own_spec,
    own_text,
    safely_written,
    write_format,
    write_image,
    write_text,
)
from xrdct.scan import Scan

FORMAT = "xrdct-twin maps 1"
Floats = NDArray[np.float64]

_UNITS = {
    "a_A": "angstrom",
    "a_esd_noise_A": "angstrom",
    "a_esd_total_A": "angstrom",
    "volume_fraction": "",
    "volume_fraction_esd_noise": "",
    "volume_fraction_esd_total": "",
    "chi2_reduced": "",
    "status": "",
}
_EXAMPLE = ("two_theta_deg", "observed", "esd", "fitted", "background")


@dataclass(frozen=True, eq=False)
class ExampleFit:
    """One voxel's pattern with its fit, each of shape (channel,)."""

    pixel: tuple[int, int]
    """(iy, ix)."""
    two_theta_deg: Floats
    observed: Floats
    esd: Floats
    fitted: Floats
    background: Floats


@dataclass(frozen=True, eq=False)
class Maps:
    """Recovered maps, each of shape (y, x), of the refined phase."""

    phase: str
    scan: Scan
    a_A: Floats
    a_esd_noise_A: Floats
    """Standard uncertainty from counting statistics, propagated."""
    a_esd_total_A: Floats
    """With the reconstruction's error, as far as misfit and roughness of the map show it."""
    volume_fraction: Floats
    volume_fraction_esd_noise: Floats
    volume_fraction_esd_total: Floats
    chi2_reduced: Floats
    status: Floats
    """See `inverse.refine.Status`."""
    example: ExampleFit | None
    recipe: Recipe
    regions: RegionTable | None = None
    """Weight fractions by particle and depth shell; None where there is none to tell of."""
    rietveld: RietveldMaps | None = None
    """Maps of every phase; None unless the recipe asks for them."""
    shared: Mapping[str, float] = field(default_factory=dict)
    """Refined parameters that hold for every voxel (size, strain, change of B_iso)."""
    axis_offset_um: float | None = None
    """Where the rotation axis was taken to be seen, on the scale of the offsets; None where offsets
    were taken as they were asked for."""
    experiment_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    timing_s: Mapping[str, float] = field(default_factory=dict)


def write_maps(maps: Maps, path: Path) -> None:
    """Write the maps; the file gets its name only when complete."""
    with safely_written(path) as file:
        write_format(file, FORMAT)
        entry = nexus_group(file, "entry", "NXentry")
        entry.attrs["default"] = "a_A"
        write_text(entry, "phase", maps.phase)
        write_text(entry, "scan", maps.scan.model_dump_json())
        write_text(entry, "recipe", maps.recipe.model_dump_json())
        write_text(entry, "shared", json.dumps(dict(maps.shared)))
        write_text(entry, "experiment_hash", maps.experiment_hash)
        write_text(entry, "versions", json.dumps(dict(maps.versions)))
        write_text(entry, "timing_s", json.dumps(dict(maps.timing_s)))
        if maps.axis_offset_um is not None:
            write_text(entry, "rotation_axis", json.dumps({"offset_um": maps.axis_offset_um}))
        for name, units in _UNITS.items():
            write_image(
                entry, name, getattr(maps, name), position_um=maps.scan.offsets_um, units=units
            )
        if maps.regions is not None:
            write_regions(entry, maps.regions, position_um=maps.scan.offsets_um)
        if maps.rietveld is not None:
            write_rietveld(entry, maps.rietveld, position_um=maps.scan.offsets_um)
        if maps.example is not None:
            group = nexus_group(entry, "example", "NXcollection")
            group["pixel"] = np.array(maps.example.pixel)
            for name in _EXAMPLE:
                group[name] = getattr(maps.example, name)


def read_maps(path: Path) -> Maps:
    """Read maps; InputError where the file is missing, damaged or of another kind."""
    with opened_hdf5(path) as file:
        check_format(file, FORMAT, "maps", path)
        entry = own_group(file, "entry", path)
        scan = own_spec(entry, "scan", Scan, path)
        shape = (scan.n_offsets, scan.n_offsets)
        arrays = {
            name: own_array(own_group(entry, name, path), "values", shape, path).astype(float)
            for name in _UNITS
        }
        return Maps(
            phase=own_text(entry, "phase", path),
            scan=scan,
            **arrays,
            example=_read_example(entry, shape, path),
            recipe=own_spec(entry, "recipe", Recipe, path),
            regions=read_regions(entry, shape, path),
            rietveld=read_rietveld(entry, shape, path),
            shared=_own_numbers(entry, "shared", path),
            experiment_hash=own_text(entry, "experiment_hash", path),
            versions={k: str(v) for k, v in own_json(entry, "versions", path).items()},
            timing_s=_own_numbers(entry, "timing_s", path),
            axis_offset_um=(
                _own_numbers(entry, "rotation_axis", path).get("offset_um")
                if "rotation_axis" in entry else None
            ),
        )  # fmt: skip


def _own_numbers(entry: h5py.Group, name: str, path: Path) -> dict[str, float]:
    values = own_json(entry, name, path)
    for key, value in values.items():
        if not isinstance(value, int | float):
            raise InputError(f"{path}: {key} in {entry.name}/{name} is not a number but {value!r}")
    return {key: float(value) for key, value in values.items()}


def _read_example(entry: h5py.Group, shape: tuple[int, int], path: Path) -> ExampleFit | None:
    if "example" not in entry:
        return None
    group = own_group(entry, "example", path)
    iy, ix = (int(number) for number in own_array(group, "pixel", (2,), path))
    if not (0 <= iy < shape[0] and 0 <= ix < shape[1]):
        raise InputError(f"{path}: the example is of pixel ({iy}, {ix}), outside the map {shape}")
    channels = (own_dataset(group, "observed", path).size or 0,)
    arrays = {name: own_array(group, name, channels, path).astype(float) for name in _EXAMPLE}
    return ExampleFit(pixel=(iy, ix), **arrays)
