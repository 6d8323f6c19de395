"""The raw scan file: all that the inverse side may see.

One HDF5 file per scan. `/entry` (NXentry) holds `data` (NXdata: counts over rotation, offset and
2θ), `instrument` (the nominal one), `monitor`, `transmitted`, `scan` and the recipe. A file may
link to the other scans of its experiment (`/coarse`, `/broad`), which lie beside it.

Written and read as :mod:`xrdct.hdf5` says; of links, only those to files in the same folder are
followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError
from xrdct.hdf5 import (
    check_format,
    nexus_group,
    opened_hdf5,
    own_array,
    own_group,
    own_json,
    own_spec,
    own_text,
    safely_written,
    write_format,
    write_text,
)
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

FORMAT = "xrdct-twin raw scan 1"
MAIN = "main"
"""Name of the scan that a file holds itself; the others are linked."""


@dataclass(frozen=True, eq=False)
class RawScan:
    """One measured scan with the nominal instrument."""

    scan: Scan
    beam: Beam
    detector: Detector
    geometry: Geometry
    counts: NDArray[np.generic]
    """Photons in each channel, summed over its pixels, shape (angle, offset, channel).

    int32 as a detector counts, or float32 where the simulation left out the noise.
    """
    monitor: NDArray[np.float64]
    """Incident photons of each point, shape (angle, offset)."""
    transmitted: NDArray[np.float64]
    """Photons behind the sample, same shape."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How the experiment suggests to analyse it (see `inverse.recipe`)."""
    title: str = ""
    experiment_hash: str = ""
    """Opaque; equal for scans of one simulated experiment."""
    versions: Mapping[str, str] = field(default_factory=dict)


def write_raw_scan(raw: RawScan, path: Path, *, linked: Mapping[str, Path] | None = None) -> None:
    """Write one scan, with links to other scans of the experiment.

    Raises InputError where a linked scan does not lie in the same folder: only there is it found.
    """
    for name, other in (linked or {}).items():
        if other.resolve().parent != path.resolve().parent:
            raise InputError(f"scan {name!r} must lie in the folder of {path}, but it is {other}")
    with safely_written(path) as file:
        write_format(file, FORMAT)
        entry = nexus_group(file, "entry", "NXentry")
        entry.attrs["default"] = "data"
        write_text(entry, "title", raw.title)
        write_text(entry, "experiment_hash", raw.experiment_hash)
        write_text(entry, "scan", raw.scan.model_dump_json())
        write_text(entry, "recipe", json.dumps(raw.recipe))
        write_text(entry, "versions", json.dumps(dict(raw.versions)))
        instrument = nexus_group(entry, "instrument", "NXinstrument")
        write_text(instrument, "beam", raw.beam.model_dump_json())
        write_text(instrument, "detector", raw.detector.model_dump_json())
        write_text(instrument, "geometry", raw.geometry.model_dump_json())
        entry["monitor"] = raw.monitor
        entry["transmitted"] = raw.transmitted
        _write_data(nexus_group(entry, "data", "NXdata"), raw)
        for name, other in (linked or {}).items():
            file[name] = h5py.ExternalLink(other.name, "/entry")


def _write_data(data: h5py.Group, raw: RawScan) -> None:
    data.attrs["signal"] = "intensity"
    data.attrs["axes"] = ["rotation", "offset", "two_theta"]
    data.create_dataset(
        "intensity",
        data=raw.counts,
        chunks=(1, *raw.counts.shape[1:]),
        fletcher32=True,
        **hdf5plugin.Bitshuffle(cname="lz4"),
    ).attrs["units"] = "counts"
    axes = {
        "rotation": (np.rad2deg(raw.scan.angles_rad), "deg"),
        "offset": (raw.scan.offsets_um, "um"),
        "two_theta": (np.rad2deg(raw.geometry.two_theta_rad), "deg"),
    }
    for name, (values, units) in axes.items():
        data[name] = values
        data[name].attrs["units"] = units


def read_raw_scan(path: Path, *, name: str = MAIN) -> RawScan:
    """Read the main scan of a file, or one that it links to.

    Raises InputError where the file is missing, damaged, not a raw scan, inconsistent, larger than
    64 GB, links out of its folder, or to a scan of another experiment.
    """
    with _opened(path) as file:
        if name == MAIN:
            return _read_entry(own_group(file, "entry", path), path)
        links = _links(file)
        if name not in links:
            named = ", ".join([MAIN, *links])
            raise InputError(f"{path} holds no scan named {name!r}, but {named}")
        target = path.parent / links[name]
        if Path(links[name]).name != links[name] or target.is_symlink():
            raise InputError(f"{path} links to {links[name]!r}, which is not in its own folder")
    if experiment_hash_of(target) != experiment_hash_of(path):
        raise InputError(f"{target} belongs to another experiment than {path}, which links to it")
    return read_raw_scan(target)


def linked_scans(path: Path) -> list[str]:
    """Return the names of the scans that a raw file links to."""
    with _opened(path) as file:
        return list(_links(file))


def _links(file: h5py.File) -> dict[str, str]:
    """Return the file names that a raw file links to, by the name of the scan."""
    links = {name: file.get(name, getlink=True) for name in file}
    return {n: link.filename for n, link in links.items() if isinstance(link, h5py.ExternalLink)}


def experiment_hash_of(path: Path) -> str:
    """Return the hash of the experiment that a complete raw file belongs to."""
    with _opened(path) as file:
        return own_text(own_group(file, "entry", path), "experiment_hash", path)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    with opened_hdf5(path) as file:
        check_format(file, FORMAT, "raw scan", path)
        yield file


def _read_entry(entry: h5py.Group, path: Path) -> RawScan:
    instrument = own_group(entry, "instrument", path)
    scan = own_spec(entry, "scan", Scan, path)
    geometry = own_spec(instrument, "geometry", Geometry, path)
    if scan.n_planes != 1:
        raise InputError(f"{path} holds {scan.n_planes} planes, but a raw scan is one plane")
    points = (scan.n_angles, scan.n_offsets)
    counts = own_array(
        own_group(entry, "data", path), "intensity", (*points, geometry.n_channels), path
    )
    monitor = own_array(entry, "monitor", points, path).astype(float)
    transmitted = own_array(entry, "transmitted", points, path).astype(float)
    for name, photons in (("counts", counts), ("monitor", monitor), ("transmitted", transmitted)):
        _check_photons(photons, name, path)
    return RawScan(
        scan=scan,
        beam=own_spec(instrument, "beam", Beam, path),
        detector=own_spec(instrument, "detector", Detector, path),
        geometry=geometry,
        counts=counts,
        monitor=monitor,
        transmitted=transmitted,
        recipe=own_json(entry, "recipe", path),
        title=own_text(entry, "title", path),
        experiment_hash=own_text(entry, "experiment_hash", path),
        versions={k: str(v) for k, v in own_json(entry, "versions", path).items()},
    )


def _check_photons(photons: NDArray[np.generic], name: str, path: Path) -> None:
    """Refuse numbers that no count of photons can be."""
    least, most = float(np.min(photons)), float(np.max(photons))
    if not (least >= 0.0 and np.isfinite(most)):
        raise InputError(
            f"{path}: {name} must be photons, finite and not negative, but range from {least:g} "
            f"to {most:g}"
        )
