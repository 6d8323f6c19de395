"""All steps in one folder, each file written once; an interrupted run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inverse.maps import Maps, read_maps, write_maps
from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.suited import check_suited
from validation.batch.cluster import Cluster
from validation.experiment import Experiment
from validation.frame_files import write_frames
from validation.integrated_files import chosen_recipe, integrated_frames, write_integrated
from validation.linked_files import check_used
from validation.outputs import other_scan_path, prepare_folder
from validation.report import write_report
from validation.scorecard import scorecard, write_metrics
from validation.steps import Simulated, experiment_hash, simulate
from validation.truthfile import read_truth, write_truth
from xrdct.errors import InputError
from xrdct.framefile import is_frame_scan, read_frame_scan
from xrdct.rawfile import (
    RawScan,
    experiment_hash_of,
    linked_scans,
    read_raw_scan,
    write_raw_scan,
)

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class RunFiles:
    """Where a run's results lie."""

    folder: Path

    @property
    def scan(self) -> Path:
        """The raw scan."""
        return self.folder / "scan.h5"

    @property
    def frames(self) -> Path:
        """The raw scan as frames, where these are kept."""
        return self.folder / "frames.h5"

    @property
    def maps(self) -> Path:
        """The recovered maps."""
        return self.folder / "maps.h5"

    @property
    def truth(self) -> Path:
        """The truth on the same grid."""
        return self.folder / "truth.h5"

    def other_scan(self, name: str) -> Path:
        """Return where a further raw scan lies."""
        return other_scan_path(self.scan, name)

    @property
    def metrics(self) -> Path:
        """The scorecard; written last, so it marks a complete run."""
        return self.folder / "metrics.json"

    @property
    def report(self) -> Path:
        """The report to read."""
        return self.folder / "report.html"


def run(
    experiment: Experiment,
    folder: Path,
    *,
    recipe: Recipe | None = None,
    force: bool = False,
    keep_frames: bool = False,
    workers: int | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Simulate, recover and validate into ``folder``; return the metrics.

    In frame mode, frames are written first and then integrated if ``keep_frames`` says so; else
    each is integrated as it is made. Frames that are kept are made on the ``cluster``, if any.

    Complete results are refused unless ``force``; so are partial ones of another experiment.
    Partial ones of the same experiment are taken up: a scan or maps that lie there complete are
    not computed again.
    """
    if keep_frames and experiment.mode != "frames":
        raise InputError("only frame mode has frames to keep: use --mode frames as well")
    if cluster is not None and not keep_frames:
        raise InputError("a cluster makes frames that are kept: use --keep-frames as well")
    check_suited(experiment.scan, recipe=recipe or experiment.recipe)
    files = RunFiles(folder)
    check_folder(files, experiment, force=force)
    prepare_folder(folder)
    raw = _measured(
        experiment, files, keep_frames=keep_frames, force=force, workers=workers,
        cluster=cluster, progress=progress,
    )  # fmt: skip
    maps = _recovered(raw, recipe, files, workers=workers, progress=progress)
    return validate_files(files.maps, files.truth, folder, maps=maps)


def check_folder(files: RunFiles, experiment: Experiment, *, force: bool) -> None:
    """Refuse a folder whose results would be lost: complete ones, or those of another experiment.

    Raises InputError, also for results that cannot be read.
    """
    if force:
        return
    if files.metrics.exists():
        raise InputError(
            f"{files.folder} already holds complete results: choose another folder, or use --force"
        )
    expected = experiment_hash(experiment)
    for path, hash_of in _hash_readers(files, experiment):
        if path.exists() and hash_of(path) != expected:
            raise InputError(
                f"{path} is of another experiment: choose another folder, or use --force"
            )


def _hash_readers(
    files: RunFiles, experiment: Experiment
) -> Iterator[tuple[Path, Callable[[Path], str]]]:
    """Yield the files that a run takes up, each with how to read whose they are."""
    for name in experiment.scans:
        yield files.other_scan(name), experiment_hash_of
    yield files.scan, experiment_hash_of
    yield files.frames, lambda path: read_frame_scan(path).experiment_hash
    yield files.truth, lambda path: experiment_hash(read_truth(path).experiment)
    yield files.maps, lambda path: read_maps(path).experiment_hash


def _measured(
    experiment: Experiment,
    files: RunFiles,
    *,
    keep_frames: bool,
    force: bool,
    workers: int | None,
    cluster: Cluster | None,
    progress: Progress | None,
) -> RawScan:
    """Take up a complete measurement, or make one; what lies there stays until then."""
    needed = [files.scan, files.truth, *map(files.other_scan, experiment.scans)]
    if all(path.exists() for path in needed) and not force:
        return read_raw_scan(files.scan)
    if keep_frames:
        return _measured_in_frames(
            experiment, files, force=force, workers=workers, cluster=cluster, progress=progress
        )
    simulated = simulate(experiment, workers=workers, progress=progress)
    for stale in (files.metrics, files.report, files.maps, *needed):
        stale.unlink(missing_ok=True)
    write_simulated(simulated, files.scan, truth=files.truth, experiment=experiment)
    return simulated.raw


def measure_to(
    experiment: Experiment,
    path: Path,
    *,
    truth: Path | None,
    force: bool = False,
    workers: int | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> None:
    """Measure an experiment into the raw scan ``path``: patterns, or frames, as it says.

    Frames are made on the ``cluster``, if there is one.
    """
    if experiment.mode == "frames":
        write_frames(
            experiment, path, truth=truth, force=force, workers=workers, cluster=cluster,
            progress=progress,
        )  # fmt: skip
        return
    simulated = simulate(experiment, workers=workers, progress=progress)
    write_simulated(simulated, path, truth=truth, experiment=experiment)


def read_patterns(
    path: Path,
    recipe: Recipe | None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RawScan:
    """Return the patterns of a raw scan; frames are integrated first."""
    if is_frame_scan(path):
        return integrated_frames(path, recipe, workers=workers, progress=progress)
    return read_raw_scan(path)


def read_others(
    path: Path,
    recipe: Recipe,
    *,
    named: Mapping[str, Path] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, RawScan]:
    """Return those scans linked to a raw scan that the recipe makes use of, by name.

    Scans of frames are not linked but lie beside it; they are integrated. Files that are ``named``,
    of the sample as the user says, take the place of what is linked, whatever their experiment.

    Raises InputError where one cannot be read, or belongs to another experiment, and for a named
    one that the recipe does not use.
    """
    check_used(named or {}, recipe)
    others = {
        name: read_patterns(file, recipe, workers=workers, progress=progress)
        for name, file in (named or {}).items()
    }
    wanted = [name for name in recipe.helpful_scans if name not in others]
    if not is_frame_scan(path):
        names = [name for name in linked_scans(path) if name in wanted]
        return others | {name: read_raw_scan(path, name=name) for name in names}
    own_hash = read_frame_scan(path).experiment_hash
    for name in wanted:
        other = other_scan_path(path, name)
        if not other.exists():
            continue
        if read_frame_scan(other).experiment_hash != own_hash:
            raise InputError(f"{other} belongs to another experiment than {path}, beside it")
        others[name] = integrated_frames(other, recipe, workers=workers, progress=progress)
    return others


def _measured_in_frames(
    experiment: Experiment,
    files: RunFiles,
    *,
    force: bool,
    workers: int | None,
    cluster: Cluster | None,
    progress: Progress | None,
) -> RawScan:
    """Write the frames of all scans, and the truth; then integrate them."""
    others = map(files.other_scan, experiment.scans)
    for stale in (files.metrics, files.report, files.maps, files.scan, *others):
        if force:
            stale.unlink(missing_ok=True)
    if force or not (files.frames.exists() and files.truth.exists()):
        write_frames(
            experiment, files.frames, truth=files.truth, force=force, workers=workers,
            cluster=cluster, progress=progress,
        )  # fmt: skip
    raw, _ = write_integrated(
        files.frames, files.scan, force=force, workers=workers, progress=progress
    )
    return raw


def write_simulated(
    simulated: Simulated, scan: Path, *, truth: Path | None, experiment: Experiment
) -> None:
    """Write the scans, the one to reconstruct last, and the truth if a place for it is given."""
    others = {name: other_scan_path(scan, name) for name in simulated.others}
    for name, raw in simulated.others.items():
        write_raw_scan(raw, others[name])
    if truth is not None:
        write_truth(
            simulated.truth, truth, experiment=experiment, instrument=simulated.instrument,
            timing_s=simulated.timing_s,
        )  # fmt: skip
    write_raw_scan(simulated.raw, scan, linked=others)


def _recovered(
    raw: RawScan,
    recipe: Recipe | None,
    files: RunFiles,
    *,
    workers: int | None,
    progress: Progress | None,
) -> Maps:
    wanted = chosen_recipe(raw, recipe)
    if files.maps.exists():
        maps = read_maps(files.maps)
        if maps.recipe == wanted and maps.experiment_hash == raw.experiment_hash:
            return maps
    others = read_others(files.scan, wanted)
    maps = recover(raw, others=others, recipe=wanted, workers=workers, progress=progress)
    write_maps(maps, files.maps)
    return maps


def validate_files(
    maps_path: Path, truth_path: Path, folder: Path, *, maps: Maps | None = None
) -> dict[str, Any]:
    """Score maps against the truth; write metrics.json and report.html to ``folder``."""
    maps = maps or read_maps(maps_path)
    metrics, truth = scorecard(maps, read_truth(truth_path))
    files = RunFiles(folder)
    prepare_folder(folder)
    write_report(maps, truth=truth, metrics=metrics, path=files.report)
    write_metrics(metrics, files.metrics)
    return metrics
