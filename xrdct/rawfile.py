"""The raw scan file: all that the inverse side may see.

One HDF5 file per scan, laid out as :mod:`xrdct.rawlayout` says: `/entry` holds `data` (counts over
rotation, offset and 2θ), the nominal instrument, `monitor`, `transmitted` and the recipe. A file
may link to the other scans of its experiment (`coarse`, `broad`), which lie beside it.

Written and read as :mod:`xrdct.hdf5` says; of links, only those to files in the same folder are
followed. What the file says for other programs is not read: specifications and counts decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError
from xrdct.hdf5 import (
    SPECS,
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
)
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.rawlayout import OTHER_SCANS, READINGS, write_entry
from xrdct.scan import Scan

FORMAT = "xrdct-twin raw scan 2"
CLOCK_START = datetime(2020, 1, 1, tzinfo=UTC)
"""When the clock of a simulated experiment begins: a wall clock would make every run another."""
MAIN = "main"
"""Name of the scan that a file holds itself; the others are linked."""


@dataclass(frozen=True, eq=False)
class Readings:
    """Where and when each point was measured, as far as the beamline knows."""

    encoder_offset_um: NDArray[np.float64]
    """Shape (angle, offset)."""
    encoder_rotation_rad: NDArray[np.float64]
    """Shape (angle,)."""
    time_s: NDArray[np.float64]
    """Begin of each exposure since the experiment began, shape (angle, offset)."""


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
    variance: NDArray[np.float32] | None = None
    """Variance of ``counts`` where it is not that of photons, same shape: integrated frames."""
    readings: Readings | None = None
    """What encoders and clock said; None: the set-points hold."""
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
        write_entry(
            nexus_group(file, "entry", "NXentry"),
            raw,
            clock_start=CLOCK_START,
            linked={name: other.name for name, other in (linked or {}).items()},
        )


def read_raw_scan(path: Path, *, name: str = MAIN) -> RawScan:
    """Read the main scan of a file, or one that it links to.

    Raises InputError where the file is missing, damaged, not a raw scan, inconsistent, larger than
    64 GB, links out of its folder, or to a scan of another experiment.
    """
    with _opened(path) as file:
        if name == MAIN:
            return _read_entry(own_group(file, "entry", path), path)
        links = _links(file, path)
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
        return list(_links(file, path))


def _links(file: h5py.File, path: Path) -> dict[str, str]:
    """Return the file names that a raw file links to, by the name of the scan."""
    others = own_group(own_group(file, "entry", path), OTHER_SCANS, path)
    links = {name: others.get(name, getlink=True) for name in others}
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
    specs = own_group(entry, SPECS, path)
    scan = own_spec(specs, "scan", Scan, path)
    geometry = own_spec(specs, "geometry", Geometry, path)
    if scan.n_planes != 1:
        raise InputError(f"{path} holds {scan.n_planes} planes, but a raw scan is one plane")
    points = (scan.n_angles, scan.n_offsets)
    data, stack = own_group(entry, "data", path), (*points, geometry.n_channels)
    counts = own_array(data, "intensity", stack, path)
    variance = None
    if "variance" in data:
        variance = own_array(data, "variance", stack, path).astype(np.float32, copy=False)
        _check_missing(counts, variance, path)
    monitor = own_array(entry, "monitor", points, path).astype(float)
    transmitted = own_array(entry, "transmitted", points, path).astype(float)
    for name, photons in (("monitor", monitor), ("transmitted", transmitted)):
        _check_photons(photons, name, path)
    for name, values in (("counts", counts), ("variance", variance)):
        if values is not None:
            measured = values if variance is None else values[:, :, np.isfinite(values[0, 0])]
            _check_photons(measured, name, path)
    return RawScan(
        scan=scan,
        beam=own_spec(specs, "beam", Beam, path),
        detector=own_spec(specs, "detector", Detector, path),
        geometry=geometry,
        counts=counts,
        monitor=monitor,
        transmitted=transmitted,
        variance=variance,
        readings=_read_readings(entry, points, path),
        recipe=own_json(entry, "recipe", path),
        title=own_text(entry, "title", path),
        experiment_hash=own_text(entry, "experiment_hash", path),
        versions={k: str(v) for k, v in own_json(entry, "versions", path).items()},
    )


def _read_readings(entry: h5py.Group, points: tuple[int, int], path: Path) -> Readings | None:
    if "readings" not in entry:
        return None
    group = own_group(entry, "readings", path)
    shapes = {name: points[:1] if "rotation" in name else points for name in READINGS}
    found = {n: own_array(group, n, shape, path).astype(float) for n, shape in shapes.items()}
    if not all(np.isfinite(values).all() for values in found.values()):
        raise InputError(f"{path}: readings of encoders and clock must be finite numbers")
    return Readings(**found)


def _check_missing(counts: NDArray[np.generic], variance: NDArray[np.float32], path: Path) -> None:
    """Refuse integrated patterns in which a channel is there at some points only."""
    if counts.dtype.kind != "f":
        raise InputError(f"{path}: counts with a variance of their own must be fractions")
    missing = np.isnan(np.asarray(counts[0, 0], dtype=float))
    same = np.array_equal(missing, np.isnan(variance[0, 0]))
    if not same or not np.isnan(variance[:, :, missing]).all() or missing.all():
        raise InputError(f"{path}: a channel must be measured at all points or at none")


def _check_photons(photons: NDArray[np.generic], name: str, path: Path) -> None:
    """Refuse numbers that no count of photons can be."""
    least, most = (float(f(photons)) for f in (np.min, np.max)) if photons.size else (0.0, 0.0)
    if not (least >= 0.0 and np.isfinite(most)):
        raise InputError(
            f"{path}: {name} must be photons, finite and not negative, but range from {least:g} "
            f"to {most:g}"
        )
