"""HDF5 written safely and read with suspicion.

Writing goes to a `.partial` file that is flushed, synced and then renamed, so a file of the final
name is always complete. Reading takes nothing on trust: types, shapes, sizes and chunks are checked
before memory is taken, and soft, external and virtual links are not followed. Compressed data carry
a checksum (Fletcher), and what the decompressor would believe is checked before it runs
(:mod:`xrdct.chunks`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from pydantic import ValidationError

from xrdct.chunks import check_chunks, stated_length
from xrdct.errors import InputError
from xrdct.spec import Spec

LARGEST_ARRAY_BYTES = 64 * 2**30
LARGEST_TEXT_BYTES = 16 * 2**20
SPECS = "xrdct_twin"
"""Group of a raw file in which the twin's own specifications stand."""
SpecT = TypeVar("SpecT", bound=Spec)
_H5PY_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)
"""What h5py raises, by turns, for a damaged file: TypeError for a text of unknown encoding."""


@contextmanager
def safely_written(path: Path) -> Iterator[h5py.File]:
    """Open a file to write that gets its name only when complete and on disk.

    If writing fails, nothing is left of it, and a file that had the name before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with h5py.File(partial, "w") as file:
            yield file
            file.flush()
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def nexus_group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    """Create a group of a NeXus class."""
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def write_image(
    parent: h5py.Group,
    name: str,
    values: NDArray[np.generic],
    *,
    position_um: NDArray[np.float64],
    units: str = "",
) -> None:
    """Write a square map, indexed [y, x], as an NXdata group; flags are stored as 0 and 1."""
    group = nexus_group(parent, name, "NXdata")
    group.attrs["signal"] = "values"
    group.attrs["axes"] = ["y", "x"]
    group["values"] = values.astype(np.int8) if values.dtype == bool else values
    group["values"].attrs["units"] = units
    for axis in ("y", "x"):
        group[axis] = position_um
        group[axis].attrs["units"] = "um"


@contextmanager
def opened_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file to read, with InputError where it is missing, damaged or another type."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is not an HDF5 file, or is truncated") from error
    with file:
        try:
            yield file
        except InputError:
            raise
        except _H5PY_ERRORS as error:
            raise InputError(f"{path} is damaged: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class VirtualPart(NamedTuple):
    """A block of another dataset that is shown as a block of a virtual one."""

    file: str
    """Where it lies; "." is the file itself."""
    dataset: str
    shape: tuple[int, ...]
    """That of the other dataset."""
    start: tuple[int, ...]
    """Where the block begins there, and"""
    extent: tuple[int, ...]
    """how far it reaches."""
    shown_start: tuple[int, ...]
    shown_extent: tuple[int, ...]
    """The same in the virtual dataset; elements follow each other in the same order."""


def write_virtual(
    group: h5py.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    parts: Iterable[VirtualPart],
    fill: int | None = None,
) -> h5py.Dataset:
    """Write a dataset whose data lie elsewhere; without a time stamp, which h5py's own has."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    if fill is not None:
        properties.set_fill_value(np.array([fill], dtype))
    for part in parts:
        shown = h5py.h5s.create_simple(shape)
        shown.select_hyperslab(part.shown_start, part.shown_extent)
        source = h5py.h5s.create_simple(part.shape)
        if part.extent != part.shape:
            source.select_hyperslab(part.start, part.extent)
        properties.set_virtual(shown, part.file.encode(), part.dataset.encode(), source)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=1)
    space = h5py.h5s.create_simple(shape)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=properties))


def write_format(file: h5py.File, name: str) -> None:
    """Say what kind of file this is, in a text of fixed length, and where a viewer begins."""
    file.attrs["format"] = np.bytes_(name)
    file.attrs["default"] = "entry"


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """Write a text of fixed length: those of variable length lie in a heap, easily damaged."""
    encoded = text.encode()
    group.create_dataset(
        name, data=encoded, dtype=h5py.string_dtype("utf-8", length=max(1, len(encoded)))
    )


def write_quantity(group: h5py.Group, name: str, values: ArrayLike, units: str) -> None:
    """Write numbers with their units."""
    group[name] = np.asarray(values, dtype=float)
    group[name].attrs["units"] = units


def check_format(file: h5py.File, name: str, kind: str, path: Path) -> None:
    """Raise InputError unless a file says that it is of the format ``name``."""
    found = None
    if "format" in file.attrs:
        attribute = file.attrs.get_id("format")
        if attribute.shape == () and attribute.dtype == np.dtype(f"S{len(name)}"):
            found = file.attrs["format"].decode()
    if found != name:
        raise InputError(f"{path} is not a {kind} file (its format is not {name!r})")


def own_group(parent: h5py.Group, name: str, path: Path) -> h5py.Group:
    """Return a group that lies in the file itself."""
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path} has no group {name!r} of its own")
    child = parent[name]
    if not isinstance(child, h5py.Group):
        raise InputError(f"{path}: {name!r} is not a group")
    return child


def own_dataset(group: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    """Return a dataset whose data lie in the file itself."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path} has no dataset {group.name}/{name} of its own")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise InputError(f"{path}: {group.name}/{name} is not a plain dataset")
    return dataset


def own_text(group: h5py.Group, name: str, path: Path) -> str:
    """Read a text of bounded length."""
    dataset = own_dataset(group, name, path)
    if dataset.shape != () or h5py.check_string_dtype(dataset.dtype) is None:
        raise InputError(f"{path}: {group.name}/{name} is not a text")
    if stated_length(dataset, path) > LARGEST_TEXT_BYTES:
        raise InputError(f"{path}: {group.name}/{name} is longer than 16 MB")
    text = dataset[()]
    return text.decode() if isinstance(text, bytes) else str(text)


def own_spec(group: h5py.Group, name: str, spec: type[SpecT], path: Path) -> SpecT:
    """Read a specification stored as JSON."""
    try:
        return spec.model_validate_json(own_text(group, name, path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {group.name}/{name} {where}: {first['msg']}") from error


def own_json(group: h5py.Group, name: str, path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(own_text(group, name, path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: {group.name}/{name} is not valid JSON") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: {group.name}/{name} is not a JSON object")
    return value


def own_array(
    group: h5py.Group, name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.generic]:
    """Read numbers of a known shape."""
    dataset = own_dataset(group, name, path)
    if dataset.shape != shape:
        raise InputError(
            f"{path}: {group.name}/{name} has shape {dataset.shape}, but the scan needs {shape}"
        )
    if dataset.dtype.kind not in "iuf":
        raise InputError(f"{path}: {group.name}/{name} holds {dataset.dtype}, not numbers")
    size = int(np.prod(shape, dtype=object)) * dataset.dtype.itemsize
    if size > LARGEST_ARRAY_BYTES:
        raise InputError(f"{path}: {group.name}/{name} would take {size / 2**30:.0f} GB")
    check_chunks(dataset, size, path)
    return np.asarray(dataset[()])
