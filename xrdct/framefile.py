"""A scan as detector frames: what a beamline's master file says, and its frames.

`<stem>.h5` holds everything but the frames, which lie in shards beside it (:mod:`xrdct.shards`).
Frames, and all that is told of each, are in the order of acquisition, as a beamline stores them;
``raster`` gives the place of each in the raster (angle · n_offsets + offset). Set-points follow
from it; what the encoders said is kept apart.

The layout of the file is in :mod:`xrdct.framemaster`. Reading trusts nothing, as
:mod:`xrdct.hdf5` and :mod:`xrdct.shardreader` say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError
from xrdct.framemaster import FRAMES_FORMAT, shard_file_name, write_master
from xrdct.hdf5 import (
    SPECS,
    check_format,
    opened_hdf5,
    own_array,
    own_group,
    own_json,
    own_spec,
    own_text,
)
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.manifest import Layout, Manifest
from xrdct.scan import Scan
from xrdct.shardreader import Shards

Floats = NDArray[np.float64]
_SETPOINT_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class FrameScan:
    """One scan of frames with the nominal instrument. Arrays of shape (frame,) unless stated."""

    scan: Scan
    beam: Beam
    detector: Detector
    geometry: Geometry
    shards: Shards
    """The frames, int32: gaps and masked pixels −1, dead ones −2."""
    raster: NDArray[np.int64]
    """Raster index of each frame: angle · n_offsets + offset."""
    encoder_offset_um: Floats
    encoder_rotation_rad: Floats
    elapsed_s: Floats
    """Begin of each exposure since ``clock_start``."""
    monitor: Floats
    """Incident photons."""
    transmitted: Floats
    """Photons behind the sample."""
    pixel_mask: NDArray[np.uint32]
    """Zero where a pixel is good, else bits as in NXdetector: 1 gap, 2 dead; (row, column)."""
    clock_start: datetime
    """When the clock of the experiment began, with its time zone."""
    flat_field: NDArray[np.float32] | None = None
    """By what counts are to be divided, shape (row, column)."""
    saturation: int | None = None
    """Counts from which a pixel is saturated."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How the experiment suggests to analyse it."""
    title: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def experiment_hash(self) -> str:
        """Opaque; equal for scans of one simulated experiment."""
        return self.shards.layout.identity

    @property
    def offset_um(self) -> Floats:
        """Offset that each frame was asked for."""
        return np.asarray(self.scan.projection_offsets_um.ravel()[self.raster])

    @property
    def rotation_rad(self) -> Floats:
        """Rotation that each frame was asked for."""
        return np.asarray(self.scan.angles_rad[self.raster // self.scan.n_offsets])

    def frames(self, start: int, stop: int) -> NDArray[np.int32]:
        """Return frames ``start`` to ``stop``, exclusive, shape (frame, row, column)."""
        return self.shards.frames(start, stop)

    def in_raster_order(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return values of frames, shape (frame, ...), as (angle, offset, ...)."""
        sorted_values = np.empty_like(values)
        sorted_values[self.raster] = values
        return sorted_values.reshape(self.scan.n_angles, self.scan.n_offsets, *values.shape[1:])


def write_frame_scan(scan: FrameScan, path: Path) -> None:
    """Write the master of a scan whose shards are complete, and its PONI file beside it.

    The PONI file comes first, so that what has the master's name is all there. Raises InputError
    where the shards are incomplete or not beside ``path``, where arrays do not fit the scan, and
    where the disk is full.
    """
    layout = scan.shards.layout
    if not scan.shards.manifest.is_complete:
        raise InputError(f"{path} cannot be written before all of its shards are")
    if scan.shards.folder.resolve() != path.resolve().parent:
        raise InputError(f"the shards of {path} must lie beside it, not in {scan.shards.folder}")
    if path.name != f"{layout.stem}.h5":
        raise InputError(f"the shards are those of {layout.stem}.h5, not of {path.name}")
    if scan.clock_start.tzinfo is None:
        raise InputError(f"clock_start needs a time zone, but is {scan.clock_start}")
    _check_scan(scan, path)
    write_master(scan, path)


def is_frame_scan(path: Path) -> bool:
    """Return whether a file says that it is the master of a scan of frames.

    Raises InputError where it is missing or no HDF5 file.
    """
    with opened_hdf5(path) as file:
        try:
            check_format(file, FRAMES_FORMAT, "frame scan", path)
        except InputError:
            return False
    return True


def read_frame_scan(path: Path, *, verify: bool = False) -> FrameScan:
    """Read the master of a scan of frames; the frames are read when asked for.

    With ``verify``, the checksums of all shards are compared first. Raises InputError where the
    file is missing, damaged, inconsistent, or points to frames elsewhere than beside it.
    """
    with opened_hdf5(path) as file:
        check_format(file, FRAMES_FORMAT, "frame scan", path)
        entry = own_group(file, "entry", path)
        scan = _read_entry(entry, path)
        _check_scan(scan, path)
        instrument = own_group(entry, "instrument", path)
        _check_setpoints(scan, own_group(instrument, "positioners", path), path)
    if verify:
        scan.shards.verify()
    return scan


def _read_entry(entry: h5py.Group, path: Path) -> FrameScan:
    specs = own_group(entry, SPECS, path)
    instrument = own_group(entry, "instrument", path)
    encoders = own_group(instrument, "encoders", path)
    detector = own_group(instrument, "detector", path)
    scan = own_spec(specs, "scan", Scan, path)
    shards = Shards(path.parent, own_spec(specs, "shards", Manifest, path))
    if shards.layout.identity != own_text(entry, "experiment_hash", path):
        raise InputError(f"{path} lists shards of another experiment than its own")
    if not shards.manifest.is_complete:
        raise InputError(f"{path} lists fewer shards than its frames fill")
    n, shape = shards.layout.n_frames, shards.layout.frame_shape
    if n != scan.n_points or scan.n_planes != 1:
        raise InputError(f"{path} holds {n} frames, but its scan has {scan.n_points} points")
    _check_virtual(own_group(entry, "data", path), shards.layout, path)
    return FrameScan(
        scan=scan,
        beam=own_spec(specs, "beam", Beam, path),
        detector=own_spec(specs, "detector", Detector, path),
        geometry=own_spec(specs, "geometry", Geometry, path),
        shards=shards,
        raster=_integers(specs, "raster", (n,), path),
        encoder_offset_um=_floats(encoders, "offset", n, path),
        encoder_rotation_rad=np.deg2rad(_floats(encoders, "rotation", n, path)),
        elapsed_s=_floats(own_group(entry, "measurement", path), "elapsed_time", n, path),
        monitor=_floats(own_group(entry, "monitor", path), "data", n, path),
        transmitted=_floats(own_group(entry, "transmitted", path), "data", n, path),
        pixel_mask=_integers(detector, "pixel_mask", shape, path).astype(np.uint32),
        clock_start=_time(own_text(specs, "clock_start", path), path),
        flat_field=_optional(detector, "flatfield", shape, path),
        saturation=_saturation(detector, path),
        recipe=own_json(specs, "recipe", path),
        title=own_text(entry, "title", path),
        versions={k: str(v) for k, v in own_json(specs, "versions", path).items()},
    )


def _floats(group: h5py.Group, name: str, n_frames: int, path: Path) -> Floats:
    values = own_array(group, name, (n_frames,), path).astype(float)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {group.name}/{name} must be finite numbers")
    return values


def _integers(
    group: h5py.Group, name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.int64]:
    values = own_array(group, name, shape, path)
    if values.dtype.kind not in "iu":
        raise InputError(f"{path}: {group.name}/{name} holds {values.dtype}, not whole numbers")
    return values.astype(np.int64)


def _optional(
    group: h5py.Group, name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.float32] | None:
    return own_array(group, name, shape, path).astype(np.float32) if name in group else None


def _saturation(group: h5py.Group, path: Path) -> int | None:
    if "saturation_value" not in group:
        return None
    return int(_integers(group, "saturation_value", (), path))


def _time(text: str, path: Path) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{path}: clock_start is no ISO 8601 time, but {text!r}") from error


def _check_virtual(data: h5py.Group, layout: Layout, path: Path) -> None:
    """Refuse a virtual dataset that shows others anything but the shards beside the file."""
    if not isinstance(data.get("data", getlink=True), h5py.HardLink):
        raise InputError(f"{path} has no dataset /entry/data/data of its own")
    dataset = data["data"]
    shape = (layout.n_frames, *layout.frame_shape)
    if not isinstance(dataset, h5py.Dataset) or not dataset.is_virtual or dataset.shape != shape:
        raise InputError(f"{path}: /entry/data/data is not the virtual dataset of its {shape}")
    sources = dataset.virtual_sources()
    wanted = range(layout.n_shards)
    if len(sources) != len(wanted) or not all(
        _is_shard(source, layout, index) for source, index in zip(sources, wanted, strict=True)
    ):
        raise InputError(f"{path}: /entry/data/data shows other files than the shards beside it")


def _is_shard(source: Any, layout: Layout, index: int) -> bool:
    frames = layout.frames_of(index)
    rows, columns = (n - 1 for n in layout.frame_shape)
    here = ((frames.start, 0, 0), (frames.stop - 1, rows, columns))
    n_values = len(frames) * layout.frame_shape[0] * layout.frame_shape[1]
    return bool(
        source.file_name == shard_file_name(layout, index)
        and source.dset_name.strip("/") == "entry/data/data"
        and source.vspace.get_select_bounds() == here
        and source.vspace.get_select_npoints() == n_values
        and source.src_space.get_select_type() == h5py.h5s.SEL_ALL
    )


def _check_scan(scan: FrameScan, path: Path) -> None:
    """Refuse arrays that do not fit the scan, frames that do not fit the detector."""
    n, shape = scan.scan.n_points, scan.shards.layout.frame_shape
    if shape != scan.detector.shape:
        raise InputError(f"{path}: frames are {shape}, but the detector is {scan.detector.shape}")
    images = {"pixel_mask": scan.pixel_mask, "flat_field": scan.flat_field}
    points = ("raster", "encoder_offset_um", "encoder_rotation_rad", "elapsed_s")
    per_frame = {name: getattr(scan, name) for name in (*points, "monitor", "transmitted")}
    for values, wanted in ((per_frame, (n,)), (images, shape)):
        for name, array in values.items():
            if array is not None and array.shape != wanted:
                raise InputError(f"{path}: {name} must have shape {wanted}, not {array.shape}")
    if not np.array_equal(np.sort(scan.raster), np.arange(n)):
        raise InputError(f"{path}: raster must name each of {n} places once")
    for name in ("monitor", "transmitted"):
        least = float(per_frame[name].min())
        if least < 0.0:
            raise InputError(f"{path}: {name} must be photons, not negative, but has {least:g}")


def _check_setpoints(scan: FrameScan, positioners: h5py.Group, path: Path) -> None:
    """Refuse set-points that are not those of the scan in the order that the file states."""
    stated = {"offset": scan.offset_um, "rotation": np.rad2deg(scan.rotation_rad)}
    for name, wanted in stated.items():
        found = _floats(positioners, name, len(wanted), path)
        if not np.allclose(found, wanted, rtol=_SETPOINT_TOLERANCE, atol=_SETPOINT_TOLERANCE):
            raise InputError(f"{path}: the set-points of {name} are not those of its scan")
