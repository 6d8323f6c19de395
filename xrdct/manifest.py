"""The list of shards of a scan: which frames each holds, its size and checksum.

The frames of `<stem>.h5` lie in the folder `<stem>_frames`, in shards of a fixed number of frames,
with `manifest.json` beside them. It is replaced as a whole each time a shard is complete, so what
it lists is on the disk. Nothing in it depends on when or how often a run was interrupted.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import Field, ValidationError, field_validator, model_validator

from xrdct.errors import InputError
from xrdct.spec import Spec

MANIFEST_NAME = "manifest.json"
_LARGEST_MANIFEST_BYTES = 16 * 2**20
_MOST_PIXELS = 100_000_000
_LARGEST_SHARD_BYTES = 2**40


class Layout(Spec):
    """How the frames of a scan are spread over shards.

    ``identity`` is an opaque hash of the experiment that the frames belong to; ``stem`` the name of
    the scan's file without its ending; ``frame_shape`` rows and columns.
    """

    stem: str = Field(min_length=1, max_length=200)
    identity: str = Field(max_length=200)
    frame_shape: tuple[int, int]
    n_frames: int = Field(ge=1, le=2_000_000_000)
    frames_per_shard: int = Field(250, ge=1, le=100_000)

    @field_validator("stem")
    @classmethod
    def _plain_name(cls, stem: str) -> str:
        if Path(stem).name != stem or "\0" in stem or "%" in stem:
            raise ValueError(f"stem must be a plain name of a file, without %, but is {stem!r}")
        return stem

    @field_validator("frame_shape")
    @classmethod
    def _possible_frame(cls, shape: tuple[int, int]) -> tuple[int, int]:
        if min(shape) < 1 or shape[0] * shape[1] > _MOST_PIXELS:
            raise ValueError(f"a frame has 1 to {_MOST_PIXELS:.0e} pixels, but is {shape}")
        return shape

    @property
    def n_shards(self) -> int:
        """How many shards the frames fill."""
        return -(-self.n_frames // self.frames_per_shard)

    @property
    def folder_name(self) -> str:
        """Name of the folder of the shards, beside the scan's file."""
        return f"{self.stem}_frames"

    def shard_name(self, index: int) -> str:
        """Return the name of a shard's file."""
        return f"{self.stem}_{index:06d}.h5"

    def frames_of(self, index: int) -> range:
        """Return which frames a shard holds."""
        start = index * self.frames_per_shard
        return range(start, min(start + self.frames_per_shard, self.n_frames))


class ShardRecord(Spec):
    """A complete shard."""

    name: str
    first_frame: int = Field(ge=0)
    n_frames: int = Field(ge=1)
    size_bytes: int = Field(ge=1, le=_LARGEST_SHARD_BYTES)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(Spec):
    """The layout, and the shards that are complete, by their index."""

    layout: Layout
    shards: dict[int, ShardRecord] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _as_laid_out(self) -> Manifest:
        for index, record in self.shards.items():
            if not 0 <= index < self.layout.n_shards:
                raise ValueError(f"there are {self.layout.n_shards} shards, but one is {index}")
            frames = self.layout.frames_of(index)
            found = (record.name, record.first_frame, record.n_frames)
            if found != (self.layout.shard_name(index), frames.start, len(frames)):
                raise ValueError(f"shard {index} is not as laid out, but {found}")
        return self

    @property
    def is_complete(self) -> bool:
        """Whether every shard is there."""
        return len(self.shards) == self.layout.n_shards

    def with_shard(self, index: int, record: ShardRecord) -> Manifest:
        """Return the manifest with one more shard, in the order of the frames."""
        shards = dict(sorted((self.shards | {index: record}).items()))
        return Manifest(layout=self.layout, shards=shards)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; raise InputError where it is damaged, too large or not a file of its own."""
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{path} does not exist or is not a file of its own")
    with path.open("rb") as file:
        text = file.read(_LARGEST_MANIFEST_BYTES + 1)
    if len(text) > _LARGEST_MANIFEST_BYTES:
        raise InputError(f"{path} is longer than 16 MB")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is not a list of shards: {where} {first['msg']}") from error


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Replace a manifest at once: after an interruption the old or the new one is there, whole."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(manifest.model_dump_json(indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Put a file on the disk, or the names in a folder, so that a renamed file keeps its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, record: ShardRecord) -> bool:
    """Return whether a shard's file is there with the recorded size and checksum."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != record.size_bytes:
        return False
    return sha256_of(path) == record.sha256
