"""Compare the budget of a smaller experiment with that of the real one.

For the study's window in a 1 mm electrode in three cases (as it is, with crystallites too many to
count, and bare but for window and angles), what switching off each of the factors named below takes
off the mean square error, on the smaller electrode and at the real size, in mÅ² with standard
errors over seeds; and the difference over its standard error. Parallax is there to show what does
not carry over. Scans are small enough to be whole in view in the smaller experiment alone, so that
the window is left out here.

Prints a Markdown table. What is done is kept in the folder given, so that it can be interrupted:

    python -m benchmarks.budget_reduced out/budget_reduced
    python -m benchmarks.budget_reduced out/budget_reduced --seeds 2 --cases grains
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.accuracy import EXAMPLES, averaged, switched
from validation.batch.processes import Processes
from validation.batch.runner import run_all
from validation.batch.store import Store
from validation.batch.work import OWN
from validation.budget.cases import Case, without_idle_scans, works
from validation.budget.collect import factors_of
from validation.budget.factors import Factor
from validation.budget.paired import Estimate, Scores, added, estimate, mse
from validation.budget.reduced import reduced
from validation.experiment import Experiment, load_experiment

FIRST_SEED = 311
SEEDS = 3
FACTORS = (
    "effects.grains",
    "recipe.integration.method",
    "unknowns",
    "effects.beam_size",
    "effects.cell",
    "effects.noise",
    "beam.flux_per_s",
    "effects.parallax",
)
"""Those that a scan of the real size can be simulated without."""


@dataclass(frozen=True)
class Side:
    """One size of one case."""

    full: Estimate | None
    """Mean square error, Å²."""
    costs: dict[str, Estimate | None]


def cases() -> dict[str, Experiment]:
    """Return the cases by name."""
    roi = load_experiment(EXAMPLES / "roi.toml")
    smooth = switched(roi, grains=False)
    bare = switched(averaged(smooth), cell=False, motion=False, flux=False, beam_tails=False)
    return {"all": roi, "grains": smooth, "bare": bare}


def side(experiment: Experiment, seeds: tuple[int, ...], store: Store) -> Side:
    """Return mean square error and costs of an experiment."""
    experiment = without_idle_scans(experiment)
    factors = [factor for factor in factors_of(experiment).harms if factor.key in FACTORS]
    changed = {"full": experiment} | {f.key: f.off(experiment) for f in factors}
    units = works({name: Case(each) for name, each in changed.items()}, seeds)
    found = [each[OWN] for each in run_all(units, store=store, workforce=Processes())]
    n = len(seeds)
    scores = {name: Scores(tuple(found[i * n : (i + 1) * n])) for i, name in enumerate(changed)}
    costs = {f.key: _cost(f, scores) for f in factors}
    return Side(estimate(scores["full"].values(mse)), costs)


def _cost(factor: Factor, scores: dict[str, Scores]) -> Estimate | None:
    return estimate(added(mse, having=scores["full"], lacking=scores[factor.key]))


def lines(name: str, small: Side, large: Side) -> Iterator[str]:
    """Yield the table's rows of one case."""
    yield _line(name, "total", small.full, large.full)
    for key in FACTORS:
        if key in small.costs:
            yield _line(name, key, small.costs[key], large.costs[key])


def _line(name: str, what: str, small: Estimate | None, large: Estimate | None) -> str:
    apart = "—"
    if small and large and small.se is not None and large.se is not None:
        error = np.hypot(small.se, large.se)
        apart = f"{(small.mean - large.mean) / error:+.1f}" if error > 0.0 else "—"
    return f"| {name} | {what} | {_told(small)} | {_told(large)} | {apart} |"


def _told(found: Estimate | None) -> str:
    if found is None:
        return "—"
    error = "" if found.se is None else f" ± {1e6 * found.se:.3f}"
    return f"{1e6 * found.mean:+.3f}{error}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where outcomes are kept")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--cases", nargs="+", choices=list(cases()), default=list(cases()))
    asked = parser.parse_args()
    seeds = tuple(FIRST_SEED + n for n in range(asked.seeds))
    store = Store(asked.folder)
    print("| case | factor | smaller, mÅ² | real size, mÅ² | apart, σ |\n|---|---|---|---|---|")
    for name in asked.cases:
        experiment = cases()[name]
        small = side(reduced(experiment).experiment, seeds, store)
        large = side(experiment, seeds, store)
        for line in lines(name, small, large):
            print(line, flush=True)


if __name__ == "__main__":
    main()
