"""Parts of docs/validation.md that set predictions beside simulations, and what each effect costs.

Each function returns Markdown and keeps what it has simulated in the folder given, where that takes
long, so that it goes on there when it was interrupted.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from benchmarks import bounds
from phantoms.library import Electrode
from validation.batch.processes import Processes
from validation.batch.store import Store, outcomes_folder
from validation.batch.vary import all_varied
from validation.batch.work import code_fingerprint
from validation.budget.budget import budget, question
from validation.budget.figures import waterfall_figure
from validation.budget.words import rows, sentences
from validation.experiment import Experiment, load_experiment
from validation.figures_style import png
from validation.outputs import write_safely
from validation.plan.plan import plan, with_verification
from validation.plan.verify import Verified
from validation.plan.wish import Wish
from validation.report_words import MISSING, duration, milli, plain
from xrdct.errors import InputError
from xrdct.scan import Scan

Made = TypeVar("Made")

BUDGET_HEADER = """| factor | adds to RMS, mÅ | to MSE, mÅ² | alone, to MSE, mÅ² | \
interaction, mÅ² | remedy |
|---|---|---|---|---|---|"""
PLAN_HEADER = """| sample, seed | scan | predicted | simulated | ratio |
|---|---|---|---|---|"""
PLAN_SEEDS, WINDOW_SEEDS = (601, 602, 603), (605, 606, 607)
PICTURE = "budget_roi.png"
_ROI_RANGES = ("scan.step_um=0.5:4", "scan.n_angles=50:700", "scan.exposure_s=0.001:0.1")
_SIMULATED = 3
"""Scans of each plan that are simulated: the pick and two neighbours."""


def bounds_table(_folder: Path, _document: Path, _workers: int | None) -> str:
    """Return predicted and simulated errors of all scans of :mod:`benchmarks.bounds`."""
    lines, refused = [bounds.HEADER], []
    for number, (name, experiment) in enumerate(bounds.cases(), start=1):
        try:
            lines.append(bounds.row(number, name, experiment, bounds.SEEDS))
        except InputError as error:
            refused.append(f"Row {number}, {name}, is refused: {error}.")
    return "\n".join([*lines, "", *refused])


def budget_table(folder: Path, document: Path, workers: int | None) -> str:
    """Return the budget of `examples/roi.toml`, most harmful first, and draw its waterfall."""
    asked = question(load_experiment(bounds.EXAMPLES / "roi.toml"))
    own = folder / "budget"
    store, workforce = Store(outcomes_folder(own)), Processes(workers)
    made, clock_s, cpu_s = summed(
        own / "times.json", lambda: budget(asked, store=store, workforce=workforce)
    )
    write_safely(document.parent / PICTURE, png(waterfall_figure(made)))
    told = [
        f"`examples/roi.toml`, seeds {', '.join(map(str, asked.seeds))}.",
        asked.answered.told(),
        *sentences(made),
        f"{asked.n_outcomes} recoveries at most took {duration(clock_s)} by the clock and "
        f"{duration(cpu_s)} of processor time. Factors that are not told from chance are in "
        "italics.",
    ]
    lines = [
        " ".join(sentence for sentence in told if sentence),
        "",
        f"![RMS error as effects are switched off, most harmful first]({PICTURE})",
        "",
        BUDGET_HEADER,
    ]
    for row in rows(made):
        name = cell(row.name) if row.clear else f"*{cell(row.name)}*"
        values = [cell(row.values[i]) for i in (0, 3, 4, 5)]
        lines.append(f"| {name} | {' | '.join(values)} | {cell(row.remedy)} |")
    return "\n".join(lines)


def plan_table(folder: Path, _document: Path, workers: int | None) -> str:
    """Return plans' predictions beside simulations, and how long a plan of `roi.toml` takes."""
    store = Store(outcomes_folder(folder / "plan"))
    lines = [PLAN_HEADER]
    for name, experiment, keys, wish in plan_cases():
        found = plan(experiment, all_varied(list(keys)), wish)
        found = with_verification(
            found, n_scans=_SIMULATED, store=store, workforce=Processes(workers)
        )
        first = f"{name}, {experiment.seed}"
        for each in found.verified:
            lines.append(f"| {first} {_verified(each)}")
            first = ""
    clock_s, cpu_s = _planning(folder / "plan_roi")
    ranges = ", ".join(f"`{key}`" for key in _ROI_RANGES)
    return "\n".join(
        [
            *lines,
            "",
            f"A plan of `examples/roi.toml` over {ranges}, without verification, takes "
            f"{duration(clock_s)} by the clock and {duration(cpu_s)} of processor time, pages, "
            "pictures and the start of Python included.",
        ]
    )


def plan_cases() -> Iterator[tuple[str, Experiment, tuple[str, ...], Wish]]:
    """Yield samples by name, what is varied, and targets, at 1e11 photons/s and 1 ms.

    Last a window of 61 µm in an electrode of 200 µm at 10 ms, with and without a coarse scan.
    """
    particle = bounds.changed(
        load_experiment(bounds.EXAMPLES / "particle.toml"), flux=1e11, exposure_s=1e-3
    )
    electrode = particle.model_copy(
        update={"sample": Electrode(diameter_um=60.0, volume_fraction=0.45)}
    )
    for name, experiment, target_A in (
        ("particle", particle, 3e-4), ("electrode", electrode, 7e-4),
    ):  # fmt: skip
        for seed in PLAN_SEEDS:
            seeded = experiment.model_copy(update={"seed": seed})
            yield name, seeded, _ROI_RANGES[:2], Wish({"lattice_A": target_A})
    coarse = Scan(n_offsets=53, step_um=4.0, n_angles=90, exposure_s=1e-2)
    wide = bounds.changed(
        particle, flux=1e11, exposure_s=1e-2, n_offsets=61, n_angles=120,
        sample=Electrode(diameter_um=200.0, volume_fraction=0.45), scans={"coarse": coarse},
    )  # fmt: skip
    keys = ("scans.coarse=with,without", "scan.n_angles=120,180")
    for seed in WINDOW_SEEDS:
        yield "window", wide.model_copy(update={"seed": seed}), keys, Wish({"lattice_A": 1e-4})


def _verified(each: Verified) -> str:
    scan, predicted = each.row.point.scan, each.row.errors
    words = f"{scan.step_um:.3g} µm, {scan.n_angles} angles"
    words += ", with a coarse scan" if each.row.point.others else ""
    if predicted is None or each.rms_A is None:
        return f"| {words} | {MISSING} | {cell(each.error or MISSING)} | {MISSING} |"
    return (
        f"| {words} | {milli(predicted.total_A)} ({milli(predicted.bias_A)}) | "
        f"{milli(each.rms_A)} ({milli(each.bias_A)}) | {plain(predicted.total_A / each.rms_A)} |"
    )


def _planning(folder: Path) -> tuple[float, float]:
    """Return what the command takes, by clock and processor, in s."""
    ranges = [part for key in _ROI_RANGES for part in ("--vary", key)]
    command = [
        sys.executable, "-m", "validation.cli", "plan", str(bounds.EXAMPLES / "roi.toml"), *ranges,
        "--target", "lattice_A=0.0015", "-o", str(folder), "--force", "--quiet",
    ]  # fmt: skip
    _, clock_s, cpu_s = timed(lambda: subprocess.run(command, check=True))
    return clock_s, cpu_s


def cell(text: str) -> str:
    """Return text for one cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def timed(task: Callable[[], Made]) -> tuple[Made, float, float]:
    """Return what a task returns, and its time by clock and processor, children's included."""
    start_s, before_s = perf_counter(), _processor_s()
    made = task()
    return made, perf_counter() - start_s, _processor_s() - before_s


def summed(path: Path, task: Callable[[], Made]) -> tuple[Made, float, float]:
    """Return what a task returns, and its times added to those of attempts that were interrupted.

    Times are kept for as long as the code stays the same. A process that is killed outright leaves
    nothing of its last attempt.
    """
    key = code_fingerprint()
    earlier = json.loads(path.read_text()) if path.is_file() else {}
    total = list(earlier.get(key, (0.0, 0.0)))
    start_s, before_s = perf_counter(), _processor_s()
    try:
        made = task()
    finally:
        total[0] += perf_counter() - start_s
        total[1] += _processor_s() - before_s
        write_safely(path, json.dumps({key: total}).encode())
    return made, total[0], total[1]


def _processor_s() -> float:
    """Return the processor time of this process and of its children that have ended, in s."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
