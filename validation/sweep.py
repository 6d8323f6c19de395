"""Run a table of experiments: every combination of the values of some keys, with several seeds.

A table is a TOML file beside its experiment:

    experiment = "particle.toml"
    recipe = "best.toml"               # optional, as for `recover`
    seeds = 3                          # so many from the experiment's on, or a list

    [vary]                             # every combination of these
    "scan.step_um" = [0.5, 1.0, 2.0]
    "scan.n_angles" = "60:240:3"       # as on the command line

    [[cases]]                          # with each of these, where any are given
    "beam.flux_per_s" = 1e11
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from validation.batch.runner import Progress, Workforce, run_all
from validation.batch.store import Store
from validation.batch.vary import Varied, check_keys, combinations, value_at, varied, with_values
from validation.batch.work import OWN, Outcome
from validation.budget.cases import Case, with_recipe, without_idle_scans, work
from validation.experiment import Experiment, load_experiment, load_recipe, read_toml, validated
from xrdct.errors import InputError
from xrdct.spec import Spec

_SEED = "seed"
_MOST_SEEDS = 1000


class _Table(Spec):
    """A table of experiments, as a file holds it."""

    experiment: str
    recipe: str | None = None
    seeds: int | tuple[int, ...] = 1
    vary: dict[str, Any] = Field(default_factory=dict)
    cases: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Sweep:
    """What is to be run."""

    experiment: Experiment
    keys: tuple[str, ...]
    """Keys that vary, in the order of the columns."""
    rows: tuple[tuple[dict[str, Any], Experiment], ...]
    """Values of the keys, and the experiment with them, seeds included."""


@dataclass(frozen=True)
class Row:
    """One experiment of a sweep and what came of it."""

    values: Mapping[str, Any]
    seed: int
    outcome: Outcome


def read_sweep(
    path: Path,
    more: Sequence[Varied] = (),
    *,
    recipe: Path | None = None,
    n_seeds: int | None = None,
    mode: str | None = None,
) -> Sweep:
    """Return the sweep of a table, or of an experiment, with ``more`` keys varied.

    Raises InputError, one sentence, for files, keys or values that cannot be.
    """
    raw = read_toml(path)
    if "experiment" not in raw:
        table, source = _Table(experiment=path.name), path
    else:
        table = validated(_Table, raw, source=path)
        source = path.parent / table.experiment
    if recipe is None and table.recipe is not None:
        recipe = path.parent / table.recipe
    experiment = load_experiment(source, mode=mode)
    if recipe is not None:
        experiment = with_recipe(experiment, load_recipe(recipe))
    keys = [*(varied(key, values) for key, values in table.vary.items()), *more]
    seeds = _seeds(experiment, table.seeds if n_seeds is None else n_seeds)
    return _sweep(experiment, keys, table.cases or ({},), seeds)


def run_sweep(
    sweep: Sweep,
    *,
    store: Store,
    workforce: Workforce | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Return what comes of every experiment of a sweep, in order.

    Raises InputError where the workforce cannot be had or dies.
    """
    works = [
        work(Case(without_idle_scans(experiment)), experiment.seed) for _, experiment in sweep.rows
    ]
    found = run_all(works, store=store, workforce=workforce, progress=progress)
    return [
        Row(values, experiment.seed, each[OWN])
        for (values, experiment), each in zip(sweep.rows, found, strict=True)
    ]


def _sweep(
    experiment: Experiment,
    keys: Sequence[Varied],
    cases: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
) -> Sweep:
    names = list(dict.fromkeys(key for case in cases for key in case))
    check_keys([*names, *(each.key for each in keys)])
    columns = [*names, *(each.key for each in keys)]
    if not columns:
        raise InputError("nothing is varied: give --vary key=v1,v2,… or a table with [vary]")
    rows: dict[str, tuple[dict[str, Any], Experiment]] = {}
    for case in cases:
        for combined in combinations(keys):
            changed = with_values(experiment, {**case, **combined})
            # Rounded to whole numbers, two values may be one.
            told = {key: value_at(changed, key) for key in columns}
            for seed in [changed.seed] if _SEED in columns else seeds:
                its = changed.model_copy(update={"seed": seed})
                rows.setdefault(its.config_json(), (told, its))
    return Sweep(experiment, tuple(columns), tuple(rows.values()))


def _seeds(experiment: Experiment, asked: int | Sequence[int]) -> list[int]:
    if not isinstance(asked, int):
        return list(asked)
    if not 1 <= asked <= _MOST_SEEDS:
        raise InputError(f"seeds must be 1 to {_MOST_SEEDS} in number, or a list, not {asked}")
    return [experiment.seed + n for n in range(asked)]
