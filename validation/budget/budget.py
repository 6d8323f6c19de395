"""Make a budget: simulate all cases that are not in the store yet, and compare them.

First each factor off in turn and on alone; then, as the order of harm is known, the steps of the
waterfall. Killed at any moment, the same call goes on with what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inverse.recipe import Recipe
from validation.batch.runner import Workforce, run_all
from validation.batch.store import Store
from validation.batch.work import OWN
from validation.budget.cases import (
    Case,
    cumulative,
    one_by_one,
    with_recipe,
    without_idle_scans,
    works,
)
from validation.budget.collect import factors_of
from validation.budget.evaluate import by_harm, evaluated
from validation.budget.factors import Factors
from validation.budget.paired import Scores
from validation.budget.reduced import Reduced, reduced
from validation.experiment import Experiment

SCHEMA = "xrdct-twin budget 1"
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Question:
    """What is asked: an experiment with the recipe to judge, made smaller or not."""

    asked: Experiment
    """As it was given."""
    answered: Reduced
    """What is simulated."""
    factors: Factors
    seeds: tuple[int, ...]

    @property
    def n_outcomes(self) -> int:
        """Recoveries that the answer takes, at most; recipes of the same case share a scan."""
        alone = one_by_one(self.answered.experiment, self.factors)
        return (len(alone) + max(0, len(self.factors.harms) - 3)) * len(self.seeds)


def question(
    experiment: Experiment, *, recipe: Recipe | None = None, n_seeds: int = 3, full: bool = False
) -> Question:
    """Return the question of an experiment; seeds count on from its own.

    A ``recipe`` takes the place of its own but for the integration of patterns, which have been
    integrated when a recipe sees them. ``full`` forbids a smaller experiment in its place.
    """
    asked = experiment if recipe is None else with_recipe(experiment, recipe)
    answered = Reduced(asked, 1.0) if full else reduced(asked)
    answered = replace(answered, experiment=without_idle_scans(answered.experiment))
    seeds = tuple(experiment.seed + n for n in range(n_seeds))
    return Question(asked, answered, factors_of(answered.experiment), seeds)


def budget(
    asked: Question,
    *,
    store: Store,
    workforce: Workforce | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the budget, as budget.json holds it.

    Raises InputError where the workforce cannot be had or dies. A case that cannot be simulated or
    recovered is told of in its place.
    """
    experiment, factors, seeds = asked.answered.experiment, asked.factors, asked.seeds
    tell = progress or (lambda _step, _fraction: None)

    def scored(cases: Mapping[str, Case], step: str) -> dict[str, Scores]:
        return _scores(
            cases, seeds, store=store, workforce=workforce,
            progress=lambda _step, fraction: tell(step, fraction),
        )  # fmt: skip

    scores = scored(one_by_one(experiment, factors), "one by one")
    ordered = by_harm(factors.harms, scores)
    scores |= scored(cumulative(experiment, factors, ordered), "all together")
    return _origin(asked) | evaluated(factors, scores, ordered)


def _scores(
    cases: Mapping[str, Case],
    seeds: Sequence[int],
    *,
    store: Store,
    workforce: Workforce | None,
    progress: Progress,
) -> dict[str, Scores]:
    found = run_all(works(cases, seeds), store=store, workforce=workforce, progress=progress)
    outcomes = [each[OWN] for each in found]
    n = len(seeds)
    return {name: Scores(tuple(outcomes[i * n : (i + 1) * n])) for i, name in enumerate(cases)}


def _origin(asked: Question) -> dict[str, Any]:
    smaller = asked.answered
    return {
        "schema": SCHEMA,
        "experiment": asked.asked.name,
        "config_sha256": asked.asked.config_sha256(),
        "mode": asked.asked.mode,
        "seeds": list(asked.seeds),
        "reduced": {"factor": smaller.factor, "told": smaller.told()},
        "scan": smaller.experiment.scan.model_dump(mode="json"),
    }
