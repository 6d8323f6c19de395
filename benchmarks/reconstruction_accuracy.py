"""Measure the lattice error of every way from raw scans to maps, on the study's own scan.

The scan is that of `examples/roi.toml`, a 351 µm window inside a 1 mm electrode, with its coarse
and broad scans. The first case has all effects and five seeds; the others change one thing of it,
or of the case without noise and imperfections (bare), for the first seed; the last is an
electrode of a third of the diameter, with a third of the offsets and angles, for three. Every case
is simulated once for all methods. Rows of a Markdown table are printed as they come; --document
puts all of them into docs/reconstruction.md in the end, whose prose is written by hand. Run from
the checkout, for all of it or for a part:

    make reconstruction
    python -m benchmarks.reconstruction_accuracy --cases "all effects" --methods "FBP;paper"

`--methods all` adds those that differ from the paper's way by one step. A simulation takes a minute
or more, a method from ten seconds to ten minutes; 1400 angles take 13 GB of memory.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.accuracy import EXAMPLES, FEWER, SEEDS, averaged, switched
from benchmarks.document_markers import add_document_option, print_or_write
from benchmarks.methods import FURTHER, METHODS, TOLD_NO_PARALLAX, WITHOUT_AIR, Method, told_width
from benchmarks.reconstruction_limit import DIAMETER_UM, reduced
from inverse.maps import Maps
from validation.experiment import Experiment, load_experiment
from validation.metrics import lattice_metrics
from validation.steps import Simulated, simulate
from xrdct.errors import InputError

REGIONS = ("interior", "eroded")
DOCUMENT = Path(__file__).parent.parent / "docs" / "reconstruction.md"
PART = "reconstruction"
"""Of the document."""
HEADER = """\
| case | method | seeds | voxels | n | lost | bias | RMS (range) | robust σ | 95 % within | std z \
| std z noise | s |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Case:
    """An experiment, its seed still to be set, and how many seeds it is measured with."""

    experiment: Experiment
    n_seeds: int = 1
    told: Mapping[str, Method] = field(default_factory=dict)
    """Methods that know what is special about it, in place of those of the same names."""


@dataclass(frozen=True)
class Score:
    """What one method made of one simulated experiment."""

    figures: Mapping[str, Mapping[str, Any]]
    """Of :func:`validation.metrics.lattice_metrics`, by region."""
    seconds: float


def cases(n_seeds: int = len(SEEDS)) -> dict[str, Case]:
    """Return the cases by name; the headline is measured with ``n_seeds``."""
    roi = load_experiment(EXAMPLES / "roi.toml")
    bare = switched(
        averaged(roi), noise=False, grains=False, cell=False, motion=False, flux=False,
        beam_tails=False,
    )  # fmt: skip
    found = {"all effects": Case(roi, n_seeds)}
    for prefix, start in (("", roi), ("bare", bare)):
        if prefix:
            found[prefix] = Case(start)
        joined = f"{prefix}, " if prefix else ""
        found |= {
            f"{joined}360°": Case(turned(start)),
            f"{joined}700 angles": Case(more_angles(start, 2)),
            f"{joined}1400 angles": Case(more_angles(start, 4)),
            f"{joined}no parallax": Case(switched(start, parallax=False), told=TOLD_NO_PARALLAX),
        }
    found["noise-free"] = Case(switched(roi, noise=False))
    # Here iterations of the whole electrode end within minutes.
    smaller = told_width(DIAMETER_UM, air=False) | WITHOUT_AIR
    found["smaller electrode"] = Case(reduced(roi, roi.seed), len(FEWER), told=smaller)
    return found


def turned(experiment: Experiment) -> Experiment:
    """Return the experiment over 360°, at the same angular step."""
    scan = experiment.scan
    update = {"angle_range_deg": 360.0, "n_angles": 2 * scan.n_angles}
    return experiment.model_copy(update={"scan": scan.model_copy(update=update)})


def more_angles(experiment: Experiment, times: int) -> Experiment:
    """Return the experiment with so many times the angles."""
    scan = experiment.scan
    update = {"n_angles": times * scan.n_angles}
    return experiment.model_copy(update={"scan": scan.model_copy(update=update)})


def scored(simulated: Simulated, method: Method) -> Score:
    """Return how well a method does."""
    start = perf_counter()
    maps: Maps = method(simulated.raw, simulated.others)
    return Score(lattice_metrics(maps, simulated.truth), perf_counter() - start)


def rows(case: str, method: str, scores: Sequence[Score]) -> list[str]:
    """Return the table rows of a method in one case."""
    told = []
    for region in REGIONS:
        figures = [score.figures[region] for score in scores]
        n_voxels = float(np.mean([f["n_voxels"] for f in figures]))
        lost = float(np.mean([f["n_not_recovered"] for f in figures]))
        start = f"| {case} | {method} | {len(scores)} | {region} | {n_voxels:.0f} "
        if any("rms_A" not in f for f in figures):
            told.append(f"{start}| all |" + " |" * 7)
            continue
        mean = {
            name: float(np.mean([f[name] for f in figures]))
            for name in ("bias_A", "robust_sigma_A", "p95_abs_A", "std_z", "std_z_noise")
        }
        rms = [1e3 * f["rms_A"] for f in figures]
        told.append(
            f"{start}| {lost / (n_voxels + lost):.2%} | {1e3 * mean['bias_A']:+.3f} "
            f"| {np.mean(rms):.3f} ({min(rms):.3f}–{max(rms):.3f}) "
            f"| {1e3 * mean['robust_sigma_A']:.3f} | {1e3 * mean['p95_abs_A']:.3f} "
            f"| {mean['std_z']:.2f} | {mean['std_z_noise']:.2f} "
            f"| {np.mean([score.seconds for score in scores]):.0f} |"
        )
    return told


def measure(
    name: str, case: Case, methods: Mapping[str, Method], seeds: Sequence[int]
) -> Iterator[str]:
    """Yield the rows of one case: each seed simulated once, and recovered by all methods.

    A method that refuses the case is told on the error stream and left out.
    """
    scores: dict[str, list[Score]] = {method: [] for method in methods}
    for seed in seeds[: case.n_seeds]:
        simulated = simulate(case.experiment.model_copy(update={"seed": seed}))
        for label, method in methods.items():
            try:
                scores[label].append(scored(simulated, case.told.get(label, method)))
            except InputError as error:
                print(f"{name}, seed {seed}, {label}: {error}", file=sys.stderr, flush=True)
        del simulated
    for label, of_method in scores.items():
        if of_method:
            yield from rows(name, label, of_method)


def table(
    wanted: Mapping[str, Case], methods: Mapping[str, Method], seeds: Sequence[int]
) -> Iterator[str]:
    """Yield the lines of the table, as they are measured."""
    yield HEADER
    for name, case in wanted.items():
        yield from measure(name, case, methods, seeds)


def chosen(names: str, among: Mapping[str, Any], *, what: str) -> list[str]:
    """Return the names of a list separated by semicolons, or all of them.

    Raises SystemExit for one that is not there.
    """
    if names == "all":
        return list(among)
    wanted = [name.strip() for name in names.split(";")]
    for name in wanted:
        if name not in among:
            raise SystemExit(f"no {what} {name!r}: there are {'; '.join(among)}")
    return wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and write it into the document if asked to; return the exit code."""
    parser = argparse.ArgumentParser(description="Lattice errors by method of reconstruction.")
    parser.add_argument("--seeds", default=len(SEEDS), type=int, help="of the first case")
    parser.add_argument("--methods", default=";".join(METHODS), help="names separated by ; or all")
    parser.add_argument("--cases", default="all", help="names separated by ; or all")
    add_document_option(parser, DOCUMENT)
    given = parser.parse_args(arguments)
    methods, known = METHODS | FURTHER, cases(given.seeds)
    asked = {name: methods[name] for name in chosen(given.methods, methods, what="method")}
    wanted = {name: known[name] for name in chosen(given.cases, known, what="case")}
    whole = wanted.keys() == known.keys() and asked.keys() >= METHODS.keys()
    if given.document and not (whole and given.seeds >= len(SEEDS)):
        parser.error("--document takes all cases, seeds and methods: its other rows would be lost")
    return print_or_write(table(wanted, asked, SEEDS), PART, given.document)


if __name__ == "__main__":
    sys.exit(main())
