"""Write detector frames in shards that survive whatever interrupts the writing.

A shard is an HDF5 file with `/entry/data/data`, int32 (frame, row, column), one chunk per frame,
compressed with bitshuffle and LZ4. It is written to `.partial`, synced, renamed, and then listed in
the manifest (:mod:`xrdct.manifest`) with its checksum. After an interruption, a full disk or a
damaged file, :meth:`ShardWriter.missing` tells what is still to be made; files hold no times and
no chance, so in the end every byte is as if nothing had happened.

Frames are compressed in threads, outside of HDF5's lock (:mod:`xrdct.bitshuffle`), while earlier
ones are written: memory holds a few frames, not a shard.
"""

from __future__ import annotations

import errno
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from xrdct.bitshuffle import compressed, stated_size
from xrdct.compiled import worker_count
from xrdct.errors import InputError
from xrdct.manifest import (
    MANIFEST_NAME,
    Layout,
    Manifest,
    ShardRecord,
    is_intact,
    read_manifest,
    sha256_of,
    sync,
    write_manifest,
)
from xrdct.shardfile import write_shard_file

if sys.platform != "win32":
    import fcntl

Frame = NDArray[np.int32]


class ShardWriter:
    """Writes the shards of one scan, or those still missing; to be used in a ``with`` statement.

    The folder ``<stem>_frames`` is made in ``folder``. Raises InputError where it belongs to
    another experiment or layout, where its manifest is damaged, or where another run writes to it.
    """

    def __init__(self, folder: Path, layout: Layout, *, workers: int | None = None) -> None:
        self.layout = layout
        self.folder = folder / layout.folder_name
        self._verified: set[int] = set()
        self._workers = worker_count(workers)
        with told_if_unwritable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.folder)
        try:
            self._manifest = self._resumed()
        except BaseException:
            os.close(self._lock)
            raise
        self._pool = ThreadPoolExecutor(self._workers)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        os.close(self._lock)

    def missing(self) -> list[int]:
        """Return the shards that are not complete, or whose bytes are not those recorded.

        Every listed shard is read once, to compare its checksum.
        """
        unseen = {i: r for i, r in self._manifest.shards.items() if i not in self._verified}
        paths = [self.folder / record.name for record in unseen.values()]
        intact = self._pool.map(is_intact, paths, unseen.values())
        self._verified |= {index for index, fine in zip(unseen, intact, strict=True) if fine}
        return [index for index in range(self.layout.n_shards) if index not in self._verified]

    def write_shard(self, index: int, frames: Iterable[Frame]) -> None:
        """Write one shard from its frames, in order: an array (frame, row, column) or an iterator.

        Of an iterator, each frame must be an array of its own, since it takes several at a time.
        Raises InputError where the disk is full; what was complete stays.
        """
        self._write_made(index, (partial(np.asarray, frame) for frame in frames))

    def make_shard(self, index: int, make: Callable[[int], Frame]) -> None:
        """Write one shard of frames that ``make`` returns for their number in the scan.

        ``make`` is called in several threads at once, for a few frames ahead of the writing.
        """
        numbers = self.layout.frames_of(index)
        self._write_made(index, (partial(make, number) for number in numbers))

    def write_chunks(self, index: int, chunks: Iterable[bytes]) -> None:
        """Write one shard of frames compressed elsewhere by :func:`xrdct.bitshuffle.compressed`.

        Raises InputError where they are not as many as the shard has frames, or of another size.
        """
        self._write(index, self._checked(chunks, len(self.layout.frames_of(index))))

    def finished(self) -> Manifest:
        """Return the complete manifest; raise InputError where shards are missing or damaged."""
        missing = self.missing()
        if missing:
            raise InputError(f"{self.folder} still lacks {len(missing)} of its shards")
        return self._manifest

    def _resumed(self) -> Manifest:
        path = self.folder / MANIFEST_NAME
        if not path.exists():
            if any(self.folder.glob("*.h5")):
                raise InputError(
                    f"{self.folder} holds frames but no {MANIFEST_NAME}; remove it to start anew"
                )
            manifest = Manifest(layout=self.layout)
            with told_if_unwritable(path):
                write_manifest(manifest, path)
            return manifest
        manifest = read_manifest(path)
        if manifest.layout.identity != self.layout.identity:
            raise InputError(f"{self.folder} holds frames of another experiment")
        if manifest.layout != self.layout:
            raise InputError(f"{self.folder} holds frames laid out otherwise than this scan's")
        return manifest

    def _write_made(self, index: int, makers: Iterator[Callable[[], Frame]]) -> None:
        self._write(index, self._chunks(makers, len(self.layout.frames_of(index))))

    def _write(self, index: int, chunks: Iterator[bytes]) -> None:
        if not 0 <= index < self.layout.n_shards:
            raise InputError(f"there are {self.layout.n_shards} shards, but none is number {index}")
        self._verified.discard(index)
        path = self.folder / self.layout.shard_name(index)
        unfinished = path.with_name(path.name + ".partial")
        with told_if_unwritable(path):
            try:
                write_shard_file(unfinished, self.layout, index, chunks)
                record = self._record(index, unfinished)
                unfinished.replace(path)
                sync(self.folder)
                manifest = self._manifest.with_shard(index, record)
                write_manifest(manifest, self.folder / MANIFEST_NAME)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        self._manifest = manifest
        self._verified.add(index)

    def _record(self, index: int, file: Path) -> ShardRecord:
        """Return what the manifest says of a shard's file, once that is on the disk."""
        checksum = self._pool.submit(sha256_of, file)
        sync(file)
        frames = self.layout.frames_of(index)
        return ShardRecord(
            name=self.layout.shard_name(index),
            first_frame=frames.start,
            n_frames=len(frames),
            size_bytes=file.stat().st_size,
            sha256=checksum.result(),
        )

    def _chunks(self, makers: Iterator[Callable[[], Frame]], n_frames: int) -> Iterator[bytes]:
        """Yield the compressed frames in order, some of the next being made meanwhile."""
        ahead: deque[Future[bytes]] = deque()
        given = 0
        try:
            for make in makers:
                given += 1
                ahead.append(self._pool.submit(self._chunk, make))
                if len(ahead) > 2 * self._workers:
                    yield _result(ahead.popleft())
            if given != n_frames:
                raise InputError(f"a shard of {n_frames} frames was given {given}")
            while ahead:
                yield _result(ahead.popleft())
        finally:
            for future in ahead:
                future.cancel()

    def _checked(self, chunks: Iterable[bytes], n_frames: int) -> Iterator[bytes]:
        """Yield chunks that came from elsewhere, if they can be what they should."""
        n_bytes = 4 * math.prod(self.layout.frame_shape)
        given = 0
        for chunk in chunks:
            given += 1
            if stated_size(chunk) != n_bytes:
                raise InputError(
                    f"a frame of {n_bytes} bytes came as a chunk of {stated_size(chunk)}"
                )
            if given <= n_frames:
                yield chunk
        if given != n_frames:
            raise InputError(f"a shard of {n_frames} frames was given {given}")

    def _chunk(self, make: Callable[[], Frame]) -> bytes:
        frame = make()
        if frame.shape != self.layout.frame_shape or frame.dtype != np.int32:
            raise InputError(
                f"a frame must be int32 of shape {self.layout.frame_shape}, but is {frame.dtype} "
                f"of shape {frame.shape}"
            )
        return compressed(frame)


def _result(made: Future[bytes]) -> bytes:
    """Return a chunk; what its maker could not read or write is not the fault of the shard."""
    try:
        return made.result()
    except OSError as error:
        raise RuntimeError("a frame could not be made") from error


def _locked(folder: Path) -> int:
    """Return an open descriptor of a folder that no other writer holds while this lives."""
    descriptor = os.open(folder, os.O_RDONLY)
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise InputError(f"another run is writing to {folder}") from error
        except OSError:  # a file system without locks
            pass
    return descriptor


@contextmanager
def told_if_unwritable(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into an InputError of one sentence."""
    try:
        yield
    except OSError as error:
        resumable = "what is complete stays, and the same command resumes"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"the disk is full at {path}; {resumable}") from error
        if error.errno == errno.EFBIG:
            raise InputError(f"{path} grew beyond what this system allows; {resumable}") from error
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; {resumable}"
        ) from error
