"""Several pipelines on one scan: simulate once, run each apart, score all alike.

    DIR/raw/          the raw scan and its linked scans; nothing but what a beamline would write
    DIR/truth.h5      the truth, which lies in no folder that a pipeline is given
    DIR/pipelines/LABEL/   a cell for each (:mod:`validation.pipelines.sandbox`) and its outcome
    DIR/scores.json, DIR/score.html

What is complete is not done again: neither the simulation nor a pipeline that ran and was
understood, unless it, or a file that it names, changed. Failed ones are tried again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inverse.maps import Maps, read_maps, write_maps
from inverse.recipe import Recipe
from validation.experiment import Experiment
from validation.integrated_files import chosen_recipe
from validation.outputs import other_scan_path, prepare_folder, write_safely
from validation.pipelines.sandbox import (
    Cell,
    Limits,
    Usage,
    environment_of,
    failure,
    run_apart,
)
from validation.pipelines.sources import Pipeline, filled
from validation.pipelines.wrapping import Measurement, maps_in, wrapped_file
from validation.run import measure_to
from validation.steps import experiment_hash
from validation.truthfile import KnownTruth, read_truth
from xrdct.errors import InputError
from xrdct.framefile import is_frame_scan, read_frame_scan
from xrdct.rawfile import read_raw_scan
from xrdct.versions import versions

Progress = Callable[[str, float], None]

_PACKAGES = Path(__file__).parent.parent.parent
"""Where our own packages lie, for the Python of a pipeline's process."""


@dataclass(frozen=True)
class ScoreFiles:
    """Where the results of a scoring lie."""

    folder: Path

    @property
    def raw(self) -> Path:
        """The folder of raw scans."""
        return self.folder / "raw"

    @property
    def scan(self) -> Path:
        """The scan to reconstruct."""
        return self.raw / "scan.h5"

    @property
    def truth(self) -> Path:
        """The truth."""
        return self.folder / "truth.h5"

    @property
    def scores(self) -> Path:
        """All figures."""
        return self.folder / "scores.json"

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.folder / "score.html"

    def cell(self, label: str) -> Cell:
        """Return the folder of a pipeline."""
        return Cell(self.folder / "pipelines" / label)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a pipeline: maps to be scored, or the reason why there are none."""

    label: str
    text: str
    kind: str
    usage: Usage
    maps: Maps | None = None
    reason: str = ""
    """Why there are no maps, in one sentence; empty where there are."""
    log: str = ""
    """The log to look into, from the folder of the scoring."""
    remarks: tuple[str, ...] = ()


def measured(
    experiment: Experiment,
    files: ScoreFiles,
    *,
    force: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> KnownTruth:
    """Return the truth of an experiment that lies measured in the folder, or measure it there.

    Raises InputError for a folder that holds another experiment, unless ``force``.
    """
    prepare_folder(files.folder)
    prepare_folder(files.raw)
    own = experiment_hash(experiment)
    scans = [files.scan, *(other_scan_path(files.scan, name) for name in experiment.scans)]
    there = files.truth.exists() and all(path.exists() for path in scans)
    same = not files.truth.exists() or experiment_hash(read_truth(files.truth).experiment) == own
    if not same and not force:
        raise InputError(
            f"{files.folder} holds the scores of another experiment: choose another folder, or "
            "use --force"
        )
    if not (there and same):
        measure_to(
            experiment, files.scan, truth=files.truth, force=not same, workers=workers,
            progress=progress,
        )  # fmt: skip
    return read_truth(files.truth)


def measurement_of(scan: Path, recipe: Recipe | None) -> Measurement:
    """Return what maps of a raw scan are compared as."""
    raw = read_frame_scan(scan) if is_frame_scan(scan) else read_raw_scan(scan)
    return Measurement(raw.scan, chosen_recipe(raw, recipe), raw.experiment_hash, versions())


def outcome_of(
    pipeline: Pipeline,
    files: ScoreFiles,
    *,
    measurement: Measurement,
    recipe: Recipe | None,
    limits: Limits,
    force: bool = False,
    workers: int | None = None,
) -> Outcome:
    """Return what a pipeline makes of the scan; run it unless it has been."""
    cell = files.cell(pipeline.label)
    key = _key(pipeline, measurement, recipe)
    if not force:
        known = _finished(pipeline, cell, key)
        if known is not None:
            return known
    cell.prepare(files.raw)
    try:
        outcome = _run(
            pipeline, cell, files, measurement=measurement, recipe=recipe, limits=limits,
            workers=workers,
        )  # fmt: skip
    finally:
        cell.clear(files.raw)
    if outcome.maps is not None:
        write_maps(outcome.maps, cell.maps)
        _write_outcome(outcome, cell, key)
    return outcome


def _key(pipeline: Pipeline, measurement: Measurement, recipe: Recipe | None) -> str:
    """Return what a result depends on."""
    parts = [pipeline.kind, pipeline.fingerprint(), measurement.experiment_hash]
    if recipe is not None:
        parts.append(recipe.model_dump_json())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _record(cell: Cell) -> Path:
    return cell.folder / "outcome.json"


def _write_outcome(outcome: Outcome, cell: Cell, key: str) -> None:
    """Write what became of a pipeline; last, so that it marks a complete one."""
    record = {"key": key, "usage": asdict(outcome.usage), "remarks": list(outcome.remarks)}
    write_safely(_record(cell), json.dumps(record, indent=1).encode())


def _finished(pipeline: Pipeline, cell: Cell, key: str) -> Outcome | None:
    try:
        record = json.loads(_record(cell).read_text(encoding="utf-8"))
        if record["key"] != key:
            return None
        usage, remarks = Usage(**record["usage"]), tuple(map(str, record["remarks"]))
        maps = read_maps(cell.maps)
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
    return Outcome(pipeline.label, pipeline.text, pipeline.kind, usage, maps, remarks=remarks)


def _run(
    pipeline: Pipeline,
    cell: Cell,
    files: ScoreFiles,
    *,
    measurement: Measurement,
    recipe: Recipe | None,
    limits: Limits,
    workers: int | None,
) -> Outcome:
    """Run a pipeline in its cell and read what it left."""
    log = str(cell.stderr.relative_to(files.folder))

    def failed(reason: str, usage: Usage) -> Outcome:
        told = f"{reason.rstrip('.')}."
        if told.startswith("it"):  # and not the name of an array or a file
            told = told[0].upper() + told[1:]
        return Outcome(
            pipeline.label, pipeline.text, pipeline.kind, usage, reason=told,
            log=log,
        )  # fmt: skip

    scan = cell.work / files.scan.name
    text = json.dumps(measurement.recipe.model_dump(mode="json"), indent=1)
    (cell.work / "recipe.json").write_text(text, encoding="utf-8")
    try:
        argv = _argv(pipeline, cell, scan, recipe=recipe, workers=workers)
    except InputError as error:
        cell.stderr.write_text(f"{error}\n", encoding="utf-8")
        return failed(str(error), Usage("start"))
    environment = environment_of(
        cell, python_path=[str(Path.cwd()), str(_PACKAGES)], threads=workers
    )
    usage = run_apart(argv, cell, limits=limits, environment=environment)
    reason = failure(usage, cell, limits=limits)
    if reason is not None:
        return failed(reason, usage)
    try:
        found = wrapped_file(maps_in(cell.work), measurement)
    except InputError as error:
        return failed(str(error), usage)
    except MemoryError:
        return failed("its maps do not fit into memory", usage)
    return Outcome(
        pipeline.label, pipeline.text, pipeline.kind, usage, found.maps, log=log,
        remarks=found.remarks,
    )  # fmt: skip


def _argv(
    pipeline: Pipeline, cell: Cell, scan: Path, *, recipe: Recipe | None, workers: int | None
) -> Sequence[str]:
    """Return the command that runs a pipeline."""
    output = cell.work / "maps.h5"
    if pipeline.kind == "command":
        places = {"scan": scan, "output": output, "recipe": cell.work / "recipe.json"}
        others = {name: other_scan_path(scan, name) for name in ("coarse", "broad")}
        places |= {name: path for name, path in others.items() if path.exists()}
        return _from_here(filled(pipeline.words, {n: str(p) for n, p in places.items()}))
    chosen = pipeline.recipe or recipe
    job: Mapping[str, Any] = {
        "kind": pipeline.kind,
        "scan": str(scan),
        "output": str(output),
        "recipe": None if chosen is None else chosen.model_dump(mode="json"),
        "workers": workers,
        "function": asdict(pipeline.function) if pipeline.function else None,
        "stages": {name: asdict(function) for name, function in pipeline.stages.items()},
    }
    path = cell.folder / "job.json"
    path.write_text(json.dumps(job, indent=1), encoding="utf-8")
    return [sys.executable, "-m", "validation.pipelines.worker", str(path)]


def _from_here(words: Sequence[str]) -> list[str]:
    """Return a command whose files, named from the user's folder, are found from any other."""

    def found(word: str) -> str:
        path = Path(word)
        is_name = path.suffix or os.sep in word
        return str(path.absolute()) if is_name and path.is_file() else word

    return [found(word) for word in words]
