"""One shard: an HDF5 file of frames, written through to a disk that may refuse.

`/entry/data/data` is int32 (frame, row, column), one chunk per frame, compressed with bitshuffle
and LZ4; the experiment's hash and the number of the first frame are beside it. The file holds no
times and no chance: the same frames give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import h5py
import hdf5plugin

from xrdct.hdf5 import nexus_group, write_format, write_text
from xrdct.manifest import Layout

SHARD_FORMAT = "xrdct-twin frames 1"


def write_shard_file(path: Path, layout: Layout, index: int, chunks: Iterable[bytes]) -> None:
    """Write a shard's file, not yet synced; raise OSError where the disk refuses."""
    frames = layout.frames_of(index)
    with path.open("wb+", buffering=0) as raw:
        disk = _Disk(raw.fileno())
        with h5py.File(disk, "w") as file:
            write_format(file, SHARD_FORMAT)
            entry = nexus_group(file, "entry", "NXentry")
            entry.attrs["default"] = "data"
            write_text(entry, "experiment_hash", layout.identity)
            entry["first_frame"] = frames.start
            data = nexus_group(entry, "data", "NXdata")
            data.attrs["signal"] = "data"
            shape = (len(frames), *layout.frame_shape)
            dataset = data.create_dataset(
                "data", shape, "<i4", chunks=(1, *shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4")
            )
            dataset.attrs["interpretation"] = "image"
            for number, chunk in enumerate(chunks):
                dataset.id.write_direct_chunk((number, 0, 0), chunk)
                disk.check()
        disk.check()


class _Disk:
    """A file for HDF5 that remembers why the disk refused to write.

    HDF5 cannot close a file that it cannot write, so from then on it is left to believe that all is
    well; :meth:`check` tells.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0
        self._size = 0
        self._refusal: OSError | None = None

    def check(self) -> None:
        """Raise the OSError with which the disk refused to write, if it did."""
        if self._refusal is not None:
            raise self._refusal

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the place, from the start, or from the end as HDF5 does to learn the size."""
        self._place = offset + (self._size if whence == os.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def read(self, size: int) -> bytes:
        """Return bytes that were written."""
        return os.pread(self._descriptor, size, self._place)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer with bytes that were written."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def write(self, data: memoryview) -> int:
        """Write all of ``data``, unless the disk has refused before."""
        done = 0
        try:
            while self._refusal is None and done < len(data):
                done += os.pwrite(self._descriptor, data[done:], self._place + done)
        except OSError as error:
            self._refusal = error
        self._place += len(data)
        self._size = max(self._size, self._place)
        return len(data)

    def truncate(self, size: int) -> int:
        """Set the size of the file."""
        self._size = size
        if self._refusal is None:
            try:
                os.ftruncate(self._descriptor, size)
            except OSError as error:
                self._refusal = error
        return size

    def flush(self) -> None:
        """Do nothing: nothing is held back."""
