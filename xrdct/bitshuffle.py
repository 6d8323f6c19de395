"""Compress single chunks of an HDF5 dataset with bitshuffle and LZ4, outside of HDF5's lock.

HDF5 lets one thread work at a time, filters included; here each thread calls the filter's own
functions, in the library that hdf5plugin brings, and HDF5 only stores the result. A chunk is

    8 bytes  size of the data      4 bytes  size of a block      (both big-endian)
    per block of 8 kB: 4 bytes  compressed size (big-endian), then so many bytes
    the last elements, fewer than eight, as they are

Where the library does not show these functions, HDF5 does the work, one thread at a time.

Source: bitshuffle, `src/bitshuffle.c` and `src/bshuf_h5filter.c` (Masui et al., Astron. Comput. 12
(2015) 181).
"""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

FILTER_CODE = 32008
LZ4 = 2
"""The filter's number for LZ4, its fifth value."""
_BLOCK_BYTES = 8192
_HEAD_BYTES = 12
_FUNCTIONS = ("bshuf_compress_lz4_bound", "bshuf_compress_lz4", "bshuf_decompress_lz4")


_scratch = threading.local()


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """Return the filter's library, or None where it cannot be called."""
    path = hdf5plugin.get_config().registered_filters.get("bshuf")
    try:
        library = ctypes.CDLL(path) if path else None
        bound, *codecs = (getattr(library, name) for name in _FUNCTIONS)
    except (OSError, AttributeError):
        return None
    bound.restype, bound.argtypes = ctypes.c_size_t, [ctypes.c_size_t] * 3
    for codec in codecs:
        codec.restype = ctypes.c_int64
        codec.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_size_t] * 3
    return library


def compressed_bound(size: int) -> int:
    """Return what the chunk of ``size`` int32 values may take at most, in bytes.

    A block of n bytes takes at most n + n/255 + 16 in LZ4 (its `LZ4_COMPRESSBOUND`).
    """
    n_blocks = -(-size * 4 // _BLOCK_BYTES)
    return _HEAD_BYTES + size * 4 + n_blocks * (4 + _BLOCK_BYTES // 255 + 16)


def compressed(values: NDArray[np.int32]) -> bytes:
    """Return the chunk that HDF5 would store for ``values``, byte for byte."""
    library = _library()
    if library is None:
        return _compressed_by_hdf5(values)
    values = np.ascontiguousarray(values)
    size, item = values.size, values.itemsize
    block = _BLOCK_BYTES // item
    chunk = _own_buffer(_HEAD_BYTES + library.bshuf_compress_lz4_bound(size, item, block))
    head = values.nbytes.to_bytes(8, "big") + _BLOCK_BYTES.to_bytes(4, "big")
    chunk[:_HEAD_BYTES] = np.frombuffer(head, np.uint8)
    body = chunk.ctypes.data + _HEAD_BYTES
    written = library.bshuf_compress_lz4(values.ctypes.data, body, size, item, block)
    if written < 0:
        raise MemoryError(f"bitshuffle could not compress {size} values (its code: {written})")
    return chunk[: _HEAD_BYTES + written].tobytes()


def _own_buffer(size: int) -> NDArray[np.uint8]:
    """Return memory of this thread, used again, as getting it anew takes as long as filling it."""
    if getattr(_scratch, "buffer", None) is None or _scratch.buffer.size < size:
        _scratch.buffer = np.empty(size, np.uint8)
    return np.asarray(_scratch.buffer)


def stated_size(chunk: bytes) -> int:
    """Return the size of the data, in bytes, that a chunk claims to hold."""
    return int.from_bytes(chunk[:8], "big")


def decompress(chunk: bytes, out: NDArray[np.int32]) -> bool:
    """Fill ``out`` (contiguous) from a chunk; return whether the chunk was sound.

    Where a chunk claims another size, or blocks that do not fill it exactly, nothing is written.
    """
    item = out.itemsize
    data = np.frombuffer(chunk, np.uint8)
    block_bytes = int.from_bytes(chunk[8:_HEAD_BYTES], "big")
    fits = len(chunk) >= _HEAD_BYTES and stated_size(chunk) == out.nbytes
    if not fits or block_bytes != _BLOCK_BYTES or not _blocks_fill(data, out.size, item):
        return False
    library = _library()
    if library is None:
        return _decompress_by_hdf5(chunk, out)
    body = data.ctypes.data + _HEAD_BYTES
    block = _BLOCK_BYTES // item
    used = library.bshuf_decompress_lz4(body, out.ctypes.data, out.size, item, block)
    return bool(used == len(chunk) - _HEAD_BYTES)


@compiled
def _blocks_fill(chunk: NDArray[np.uint8], size: int, item: int) -> bool:
    """Return whether the blocks that a chunk lists end where it ends, for ``size`` values."""
    leftover = (size % 8) * item
    n_blocks = -(-(size * item - leftover) // _BLOCK_BYTES)
    place = _HEAD_BYTES
    for _ in range(n_blocks):
        if place + 4 > chunk.size:
            return False
        length = 0
        for i in range(4):
            length = 256 * length + int(chunk[place + i])
        place += 4 + length
    return place + leftover == chunk.size


def _memory_file() -> h5py.File:
    """Return a file in memory, under a name that no other thread has open."""
    name = f"chunk of {threading.get_ident()}"
    return h5py.File(name, "w", driver="core", backing_store=False)


def _memory_dataset(file: h5py.File, shape: tuple[int, ...]) -> h5py.Dataset:
    return file.create_dataset(
        "values", shape, np.int32, chunks=shape, **hdf5plugin.Bitshuffle(cname="lz4")
    )


def _compressed_by_hdf5(values: NDArray[np.int32]) -> bytes:
    with _memory_file() as file:
        dataset = _memory_dataset(file, values.shape)
        dataset[...] = values
        return bytes(dataset.id.read_direct_chunk((0,) * values.ndim)[1])


def _decompress_by_hdf5(chunk: bytes, out: NDArray[np.int32]) -> bool:
    with _memory_file() as file:
        dataset = _memory_dataset(file, out.shape)
        dataset.id.write_direct_chunk((0,) * out.ndim, chunk)
        try:
            dataset.read_direct(out)
        except OSError:
            return False
    return True
