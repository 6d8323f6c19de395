"""Where results are to be written: looked at before any work is done, so that none is lost."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from xrdct.errors import InputError


def other_scan_path(scan: Path, name: str) -> Path:
    """Return where a further scan lies: beside the one to reconstruct, which links to it."""
    return scan.with_name(f"{scan.stem}_{name}.h5")


def prepare_folder(folder: Path) -> None:
    """Make sure that ``folder`` exists and can be written to; InputError where it cannot."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"the folder {folder} is not writable")


def check_outputs(paths: Collection[Path], *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse files that would be written over, unless ``force``, and make their folders.

    Raises InputError too where a file is to be written that is read, or is to be written twice.
    """
    read = {path.resolve() for path in inputs}
    taken: set[Path] = set()
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a folder, but a file is to be written there")
        if path.resolve() in read:
            raise InputError(f"{path} is read, so it cannot be written over")
        if path.resolve() in taken:
            raise InputError(f"{path} is named twice: every file needs a name of its own")
        if path.exists() and not force:
            raise InputError(f"{path} already exists: choose another name, or use --force")
        taken.add(path.resolve())
    for folder in {path.parent for path in paths}:
        prepare_folder(folder)


def write_safely(path: Path, content: bytes) -> None:
    """Write a file, and its folder where there is none; it gets its name only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
