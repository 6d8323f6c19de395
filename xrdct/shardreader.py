"""Read detector frames from shards, trusting nothing that the files say.

HDF5 is only asked where the chunks of a shard lie, after its file has been found to be a plain one
in its own folder, of the recorded size, with one plain dataset of the recorded shape in chunks of
one frame. Frames are then read and decompressed apart from HDF5, so in as many threads as wanted.
Soft, external and virtual links and external storage are refused, not followed.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from xrdct.bitshuffle import FILTER_CODE, LZ4, compressed_bound, decompress
from xrdct.chunks import check_chunks
from xrdct.compiled import worker_count
from xrdct.errors import InputError
from xrdct.hdf5 import (
    LARGEST_ARRAY_BYTES,
    check_format,
    opened_hdf5,
    own_array,
    own_dataset,
    own_group,
    own_text,
)
from xrdct.manifest import Layout, Manifest, ShardRecord, is_intact
from xrdct.shardfile import SHARD_FORMAT


@dataclass(frozen=True, eq=False)
class Shards:
    """The frames of a scan, in the order of acquisition; may be used from several threads."""

    folder: Path
    """Where the folder of the shards lies: beside the scan's file."""
    manifest: Manifest
    _places: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    """By shard: where in its file each chunk starts and how long it is, shape (frame, 2)."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def layout(self) -> Layout:
        """How the frames are spread over shards."""
        return self.manifest.layout

    def read_frame(self, number: int, out: NDArray[np.int32]) -> None:
        """Read a frame by its number into ``out``, contiguous int32 of shape (row, column).

        Raises InputError as :meth:`frames` does.
        """
        if not 0 <= number < self.layout.n_frames:
            raise InputError(
                f"there are {self.layout.n_frames} frames, but none is number {number}"
            )
        fits = out.shape == self.layout.frame_shape and out.dtype == np.int32
        if not fits or not out.flags.c_contiguous:
            raise InputError(
                f"frames are int32 of shape {self.layout.frame_shape}, but there is room for "
                f"{out.dtype} of shape {out.shape}"
            )
        self._read_into(number, out)

    def frames(self, start: int, stop: int) -> NDArray[np.int32]:
        """Return frames ``start`` to ``stop``, exclusive, shape (frame, row, column).

        Raises InputError where there are no such frames, where they are larger than 64 GB, and
        where a shard is missing, truncated, damaged, of another experiment or not as recorded.
        """
        if not 0 <= start <= stop <= self.layout.n_frames:
            raise InputError(f"there are {self.layout.n_frames} frames, not {start} to {stop}")
        shape = (stop - start, *self.layout.frame_shape)
        size = int(np.prod(shape, dtype=object)) * 4
        if size > LARGEST_ARRAY_BYTES:
            raise InputError(f"frames {start} to {stop} would take {size / 2**30:.0f} GB")
        for index in range(start // self._per_shard, -(-stop // self._per_shard)):
            self._opened(index)  # before memory is taken
        frames = np.empty(shape, np.int32)
        for number in range(start, stop):
            self._read_into(number, frames[number - start])
        return frames

    def verify(self, *, workers: int | None = None) -> None:
        """Read all shards once and compare their bytes with the recorded checksums.

        Raises InputError for the first that differs.
        """
        records = self.manifest.shards.values()
        paths = [self._path(record) for record in records]
        with ThreadPoolExecutor(worker_count(workers)) as pool:
            for path, intact in zip(paths, pool.map(is_intact, paths, records), strict=True):
                if not intact:
                    raise InputError(f"{path} is damaged: its checksum is not the recorded one")

    def _path(self, record: ShardRecord) -> Path:
        folder = self.folder / self.layout.folder_name
        path = folder / record.name
        if folder.is_symlink() or path.is_symlink():
            raise InputError(f"{path} is a link, but frames must lie beside their scan")
        if not path.is_file():
            raise InputError(f"{path} does not exist, but the scan needs its frames")
        if path.stat().st_size != record.size_bytes:
            raise InputError(
                f"{path} has {path.stat().st_size} bytes, but {record.size_bytes} are recorded"
            )
        return path

    @property
    def _per_shard(self) -> int:
        return self.layout.frames_per_shard

    def _opened(self, index: int) -> tuple[Path, NDArray[np.int64]]:
        """Return the file of a shard and where its frames are, looked at when first needed."""
        if index not in self.manifest.shards:
            raise InputError(f"shard {index} of {self.folder} is not complete")
        path = self._path(self.manifest.shards[index])
        with self._lock:  # HDF5 works for one thread at a time
            if index not in self._places:
                self._places[index] = _frame_places(path, self.layout, index)
        return path, self._places[index]

    def _read_into(self, number: int, out: NDArray[np.int32]) -> None:
        index, place = divmod(number, self._per_shard)
        path, places = self._opened(index)
        start, size = places[place]
        with path.open("rb", buffering=0) as file:
            chunk = os.pread(file.fileno(), size, start)
        if not decompress(chunk, out):
            raise InputError(f"{path} is damaged: its frame {place} cannot be decompressed")


def _frame_places(path: Path, layout: Layout, index: int) -> NDArray[np.int64]:
    """Return where in a shard's file each frame starts and its size, once all is as it should."""
    with opened_hdf5(path) as file:
        check_format(file, SHARD_FORMAT, "shard of frames", path)
        entry = own_group(file, "entry", path)
        frames = layout.frames_of(index)
        if own_text(entry, "experiment_hash", path) != layout.identity:
            raise InputError(f"{path} belongs to another experiment than its scan")
        if int(own_array(entry, "first_frame", (), path)) != frames.start:
            raise InputError(f"{path} holds other frames than those from {frames.start}")
        dataset = own_dataset(own_group(entry, "data", path), "data", path)
        _check_frames(dataset, (len(frames), *layout.frame_shape), path)
        chunks: list[h5py.h5d.StoreInfo] = []
        dataset.id.chunk_iter(chunks.append)
    places = np.zeros((len(frames), 2), np.int64)
    most = compressed_bound(layout.frame_shape[0] * layout.frame_shape[1])
    for chunk in chunks:
        if chunk.size > most:
            raise InputError(f"{path} is damaged: a frame is larger than it can be")
        places[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size
    return places


def _check_frames(dataset: h5py.Dataset, shape: tuple[int, ...], path: Path) -> None:
    """Refuse a dataset that is not int32 frames, one to a chunk, in bitshuffle and LZ4 alone."""
    if dataset.shape != shape or dataset.dtype != np.dtype("<i4"):
        raise InputError(
            f"{path} holds {dataset.dtype} of shape {dataset.shape}, but the scan needs int32 of "
            f"shape {shape}"
        )
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    codes = [(code, tuple(values[4:5])) for code, _flags, values, _name in filters]
    if dataset.chunks != (1, *shape[1:]) or codes != [(FILTER_CODE, (LZ4,))]:
        raise InputError(f"{path} does not store one frame to a chunk in bitshuffle-LZ4")
    check_chunks(dataset, int(np.prod(shape, dtype=object)) * 4, path)
