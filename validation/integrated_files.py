"""Frames on disk to patterns on disk: a scan, and those of its experiment that lie beside it.

Masters of frames do not link to each other: a further scan lies beside the one to reconstruct and
is called after it (:func:`validation.outputs.other_scan_path`). Patterns are linked, so that
`recover` finds what a recipe needs.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from inverse.frame_patterns import patterns_of_frames
from inverse.recipe import Recipe
from validation.complaints import sentence
from validation.outputs import other_scan_path
from xrdct.errors import InputError
from xrdct.framefile import FrameScan, is_frame_scan, read_frame_scan
from xrdct.rawfile import RawScan, read_raw_scan, write_raw_scan

Progress = Callable[[str, float], None]


def write_integrated(
    frames: Path,
    path: Path,
    recipe: Recipe | None = None,
    *,
    force: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[RawScan, dict[str, Path]]:
    """Integrate a scan of frames to ``path``, and those beside it to files that it links to.

    Patterns of these that are there, of the same frames and by the same recipe, are linked as they
    are. Returns the patterns of the scan, and where those of the others are, by name.

    Raises InputError, before anything is integrated, where a file of another kind would be written
    over, unless ``force``; and where frames cannot be read.
    """
    scans = frames_beside(frames)
    linked = {name: other_scan_path(path, name) for name in scans}
    missing = [
        name for name, master in scans.items() if not _is_of(linked[name], master, recipe=recipe)
    ]
    for name in missing:
        if linked[name].exists() and not force:
            raise InputError(f"{linked[name]} already exists: choose another name, or use --force")
    for name in missing:
        other = integrated_frames(scans[name], recipe, workers=workers, progress=progress)
        write_raw_scan(other, linked[name])
    raw = integrated_frames(frames, recipe, workers=workers, progress=progress)
    write_raw_scan(raw, path, linked=linked)
    return raw, linked


def frames_beside(path: Path) -> dict[str, Path]:
    """Return the masters of frames beside one that are of its experiment, by the scans' names."""
    own, start = read_frame_scan(path).experiment_hash, f"{path.stem}_"
    others = sorted(path.parent.glob(f"{glob.escape(start)}*.h5"))
    return {
        other.stem.removeprefix(start): other
        for other in others
        if is_frame_scan(other) and read_frame_scan(other).experiment_hash == own
    }


def integrated_frames(
    path: Path,
    recipe: Recipe | None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RawScan:
    """Return the patterns of a raw scan of frames, by ``recipe`` or by its own."""
    frames = read_frame_scan(path)
    return patterns_of_frames(
        frames, recipe=chosen_recipe(frames, recipe), workers=workers,
        progress=lambda fraction: progress("integrate", fraction) if progress else None,
    )  # fmt: skip


def chosen_recipe(raw: RawScan | FrameScan, recipe: Recipe | None) -> Recipe:
    """Return ``recipe`` with the scan's calibration where it brings none, or the scan's own.

    Raises InputError where the recipe stored with the scan is not valid.
    """
    try:
        stored = Recipe.model_validate(raw.recipe)
    except ValidationError as error:
        raise InputError(
            f"the recipe stored with the scan is not valid: {sentence(error, raw.recipe, Recipe)}"
        ) from error
    if recipe is None:
        return stored
    if recipe.calibration is None:
        return recipe.model_copy(update={"calibration": stored.calibration})
    return recipe


def _is_of(path: Path, master: Path, *, recipe: Recipe | None) -> bool:
    """Return whether a file holds the patterns of some frames by a recipe."""
    if not path.exists():
        return False
    try:
        raw = read_raw_scan(path)
    except InputError:
        return False
    frames = read_frame_scan(master)
    same = (raw.scan, raw.experiment_hash) == (frames.scan, frames.experiment_hash)
    return same and Recipe.model_validate(raw.recipe) == chosen_recipe(frames, recipe)
