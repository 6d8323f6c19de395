"""From a pipeline to verdicts: simulate the cases, run it on each apart, ask all checks.

A pipeline is what `score` takes, and runs as there: in a process and a folder of its own, with a
copy of the raw scan, without the truth, and with limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from validation.pipelines.sandbox import Limits
from validation.pipelines.session import ScoreFiles, measured, measurement_of, outcome_of
from validation.pipelines.sources import Pipeline
from validation.selftest.amounts import polarisation_verdict, trim_verdict
from validation.selftest.cases import CASES, Case, Mode
from validation.selftest.evidence import Evidence
from validation.selftest.lattices import lattice_verdicts
from validation.selftest.places import place_verdicts
from validation.selftest.verdict import Verdict, not_asked
from validation.truthfile import KnownTruth
from xrdct.errors import InputError
from xrdct.framefile import is_frame_scan, read_frame_scan
from xrdct.rawfile import read_raw_scan

Tell = Callable[[str], None]

OWN = Pipeline("own", "own", "recipe")
"""Our own chain, by the recipe that comes with each scan."""
_FRAMES = "; with --mode patterns it is given patterns instead of frames"


@dataclass
class Bench:
    """The cases in a folder, simulated when they are first asked for."""

    folder: Path
    seed: int = 0
    mode: Mode = "both"
    limits: Limits = field(default_factory=Limits)
    workers: int | None = None
    tell: Tell = lambda _text: None
    _known: dict[str, KnownTruth] = field(default_factory=dict)

    def evidence(self, case: Case, pipeline: Pipeline) -> Evidence:
        """Return what a pipeline makes of a case."""
        files = ScoreFiles((self.folder / case.name).absolute())
        if case.name not in self._known:
            self.tell(f"simulating {case.name} …")
            experiment = case.experiment(self.seed, mode=self.mode)
            self._known[case.name] = measured(experiment, files, workers=self.workers)
        known = self._known[case.name]
        self.tell(f"{pipeline.label} on {case.name} …")
        outcome = outcome_of(
            pipeline, files, measurement=measurement_of(files.scan, None), recipe=None,
            limits=self.limits, workers=self.workers,
        )  # fmt: skip
        maps = outcome.maps
        return Evidence(
            experiment=known.experiment,
            truth=known.truth if maps is None else known.on_grid_of(maps.scan),
            monitor=_monitor(files.scan),
            maps=maps,
            reason=outcome.reason,
        )


def _monitor(scan: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    if is_frame_scan(scan):
        frames = read_frame_scan(scan)
        return np.asarray(frames.in_raster_order(frames.monitor), dtype=float)
    return np.asarray(read_raw_scan(scan).monitor, dtype=float)


def self_test(
    pipeline: Pipeline, bench: Bench, *, quick: bool = False, only: Sequence[str] | None = None
) -> list[Verdict]:
    """Return the verdicts on a pipeline, in the order in which they are printed.

    ``quick`` leaves out what takes longest; ``only`` asks the checks of these cases alone. A step
    of integration is given the cases in frames.

    Raises InputError for a step of integration that is given patterns.
    """
    if "integrate" in pipeline.stages:
        if bench.mode == "patterns":
            raise InputError(f"{pipeline.label} integrates frames: leave out --mode patterns")
        only = only or [case.name for case in CASES if case.make(0).mode == "frames"]
    chosen = [
        case for case in CASES if (case.quick or not quick) and (only is None or case.name in only)
    ]
    found = {case.name: bench.evidence(case, pipeline) for case in chosen}
    return [_all_ran(found), *verdicts(found)]


def _all_ran(found: Mapping[str, Evidence]) -> Verdict:
    check = "maps of each case"
    gone = {name: its for name, its in found.items() if its.maps is None}
    if not gone:
        return Verdict(check, "passed", f"{', '.join(found)}")
    first = next(iter(gone))
    hint = _FRAMES if all(its.experiment.mode == "frames" for its in gone.values()) else ""
    sentence = f"none of {', '.join(gone)}: {gone[first].reason.rstrip('.')}{hint}"
    return Verdict(check, "failed", sentence)


def verdicts(found: Mapping[str, Evidence]) -> list[Verdict]:
    """Return the verdicts on what a pipeline made of the cases that it was given."""
    told: list[Verdict] = []
    if "trio" in found:
        told += place_verdicts(found["trio"])
    if {"ball", "trio"} <= set(found):
        told += lattice_verdicts(found["ball"], found["trio"])
    if {"beside", "above"} <= set(found):
        told.append(polarisation_verdict(found["beside"], found["above"]))
    if {"beside", "faint"} <= set(found):
        told.append(trim_verdict(found["faint"], found["beside"]))
    elif "beside" in found:
        told.append(not_asked("trimming", "the quick self-test has no frames of few photons"))
    return told
