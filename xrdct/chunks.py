"""Is a dataset what it claims to be? Looked at before memory is taken and filters run on it.

A text of variable length states that length where its dataset lies: 4 bytes, little-endian (HDF5
file format, "Variable-length data"); HDF5 takes as much memory before it looks for the text.

The bitshuffle filter believes the sizes at the head of every chunk, and a wrong one makes it write
beyond its memory. So these are read first: 8 bytes with the size of the chunk, 4 with that of its
blocks, both big-endian (bitshuffle, `src/bshuf_h5filter.c`).
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import h5py
import numpy as np

from xrdct.errors import InputError

_UNQUESTIONED_BYTES = 64 * 2**20
_LARGEST_COMPRESSION = 2000
"""No filter shrinks data more than this: lz4 stops at 255, deflate at 1032."""
_BITSHUFFLE = 32008
_KNOWN_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_KNOWN_FILTERS |= {h5py.h5z.FILTER_LZF, _BITSHUFFLE}
_LARGEST_BLOCK = 2**20
_HEAD_BYTES = 12


def stated_length(dataset: h5py.Dataset, path: Path) -> int:
    """Return how many bytes a scalar text says it has, without reading it."""
    if h5py.check_string_dtype(dataset.dtype).length is not None:
        return int(dataset.dtype.itemsize)
    place = dataset.id.get_offset()
    if place is None:
        raise InputError(f"{path}: {dataset.name} is empty")
    with path.open("rb") as file:
        file.seek(place)
        return int.from_bytes(file.read(4), "little")


def check_chunks(dataset: h5py.Dataset, size: int, path: Path) -> None:
    """Raise InputError unless a dataset of ``size`` bytes can be read safely.

    Refused are a small file that claims to hold much, chunks larger than the dataset, filters
    other than bitshuffle, deflate, lzf, shuffle and checksum, and heads of chunks that lie.
    """
    stored = dataset.id.get_storage_size()
    if size > max(_UNQUESTIONED_BYTES, _LARGEST_COMPRESSION * stored):
        raise InputError(
            f"{path}: {dataset.name} claims {size / 1e6:.0f} MB but stores {stored} bytes"
        )
    if dataset.chunks is None:
        return
    chunk_bytes = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize
    if chunk_bytes > max(_UNQUESTIONED_BYTES, size):
        raise InputError(f"{path}: {dataset.name} has chunks larger than itself")
    places = _chunk_places(dataset, path)
    if _is_bitshuffled(dataset, path):
        _check_heads(dataset, places, chunk_bytes, path)


def _is_bitshuffled(dataset: h5py.Dataset, path: Path) -> bool:
    """Return whether bitshuffle is among the filters, all of which must be known."""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    for code, _flags, values, _name in filters:
        if code not in _KNOWN_FILTERS:
            raise InputError(f"{path}: {dataset.name} is stored with an unknown filter, {code}")
        if code == _BITSHUFFLE and (len(values) < 3 or values[2] != dataset.dtype.itemsize):
            raise InputError(f"{path} is damaged: {dataset.name} has a filter of another type")
    return any(code == _BITSHUFFLE for code, *_ in filters)


def _chunk_places(dataset: h5py.Dataset, path: Path) -> list[int]:
    """Return where in the file each chunk lies; all must be there, with every filter applied.

    HDF5 reads a chunk that is missing from its index as zeros.
    """
    chunks: list[h5py.h5d.StoreInfo] = []
    dataset.id.chunk_iter(chunks.append)
    grids = [range(0, n, step) for n, step in zip(dataset.shape, dataset.chunks, strict=True)]
    whole = len(chunks) == math.prod(map(len, grids))
    whole = whole and {chunk.chunk_offset for chunk in chunks} == set(product(*grids))
    if not whole or any(chunk.filter_mask for chunk in chunks):
        raise InputError(f"{path} is damaged: chunks of {dataset.name} are missing or changed")
    return [chunk.byte_offset for chunk in chunks]


def _check_heads(dataset: h5py.Dataset, places: list[int], chunk_bytes: int, path: Path) -> None:
    block_unit = 8 * dataset.dtype.itemsize
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            head = file.read(_HEAD_BYTES)
            block = int.from_bytes(head[8:], "big")
            fits = 0 < block <= _LARGEST_BLOCK and block % block_unit == 0
            if not fits or int.from_bytes(head[:8], "big") != chunk_bytes:
                raise InputError(f"{path} is damaged: a chunk of {dataset.name} has a wrong head")
