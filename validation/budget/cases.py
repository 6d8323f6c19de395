"""The experiments that a budget compares, by name, and the work that they are.

    full            everything in force
    off:KEY         without one factor
    bare            without all harms, by the same recipe
    alone:KEY       bare, but for one harm (and what it needs)
    plain           everything in force, by the default recipe
    alone:recipe.…  plain, but for one step of the recipe
    left:n          without the n most harmful: the steps of the waterfall

All have the same seeds, so that sample, instrument, stages and photons are drawn alike, and
differences between two cases of one seed are what the factor does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from inverse.recipe import Recipe
from validation.batch.work import OWN, Work
from validation.budget.factors import Factor, Factors, with_only, without
from validation.crystals import placed_recipe
from validation.experiment import Experiment

FULL, BARE, PLAIN = "full", "bare", "plain"


@dataclass(frozen=True)
class Case:
    """One experiment, and how its recovery is scored."""

    experiment: Experiment
    """Its recipe is the one to judge; its seed is replaced."""
    view_um: float | None = None
    """Diameter of the disc that all cases are scored in; None where all see the same."""


def off(factor: Factor) -> str:
    """Return the name of the case without a factor."""
    return f"off:{factor.key}"


def alone(factor: Factor) -> str:
    """Return the name of the case with a factor alone."""
    return f"alone:{factor.key}"


def left(n_off: int) -> str:
    """Return the name of the case without the most harmful factors."""
    return f"left:{n_off}"


def without_it(factor: Factor) -> str:
    """Return the name of the case that lacks only the factor of its case alone."""
    if factor.kind == "recipe":
        return PLAIN
    return f"needs:{'+'.join(factor.needs)}" if factor.needs else BARE


def one_by_one(experiment: Experiment, factors: Factors) -> dict[str, Case]:
    """Return the cases of every factor, by name. What cannot be combined is left out."""
    view_um = _view_um(experiment, factors.harms)
    harms, keys = factors.harms, {factor.key for factor in factors.harms}
    found = {FULL: experiment, BARE: without(experiment, harms)}
    for factor in harms:
        needed = keys.intersection(factor.needs)
        found[off(factor)] = factor.off(experiment)
        found[alone(factor)] = with_only(experiment, harms, {factor.key, *needed})
        found[without_it(factor)] = with_only(experiment, harms, needed)
    found |= _of_steps(experiment, factors.steps)
    return {name: Case(each, view_um) for name, each in found.items()}


def _of_steps(experiment: Experiment, steps: Sequence[Factor]) -> dict[str, Experiment]:
    if not steps:
        return {}
    found = {PLAIN: without(experiment, steps)}
    for step in steps:
        found[off(step)] = step.off(experiment)
        try:
            only = with_only(experiment, steps, {step.key})
        except ValidationError:  # it is refused without others
            continue
        if only != found[PLAIN]:  # or goes back with another
            found[alone(step)] = only
    return found


def cumulative(
    experiment: Experiment, factors: Factors, ordered: Sequence[Factor]
) -> dict[str, Case]:
    """Return the cases without the first, the first two, … of the harms in this order."""
    view_um = _view_um(experiment, factors.harms)
    keys = {factor.key for factor in ordered}
    return {
        left(n): Case(
            with_only(experiment, factors.harms, keys - {f.key for f in ordered[:n]}), view_um
        )
        for n in range(1, len(ordered) + 1)
    }


def works(cases: Mapping[str, Case], seeds: Sequence[int]) -> list[Work]:
    """Return the work of all cases and seeds, cases varying slowest."""
    return [work(case, seed) for case in cases.values() for seed in seeds]


def work(case: Case, seed: int) -> Work:
    """Return one case with one seed as a unit of work.

    Of the recipe only what enters the simulation stays in the experiment, so that recipes which
    differ later share a simulation. Scans that the recipe makes no use of are not simulated.
    """
    experiment, recipe = case.experiment, case.experiment.recipe
    simulated = Recipe(integration=recipe.integration, calibration=recipe.calibration)
    changed = experiment.model_copy(update={"seed": seed, "recipe": simulated})
    placed = placed_recipe(recipe, folder=experiment.folder)
    return Work(changed, {OWN: placed}, view_um=case.view_um)


def with_recipe(experiment: Experiment, recipe: Recipe) -> Experiment:
    """Return the experiment with a recipe to analyse it by.

    What it says of integration applies to frames; patterns have been integrated.
    """
    if experiment.mode == "patterns":
        recipe = recipe.model_copy(update={"integration": experiment.recipe.integration})
    return experiment.model_copy(update={"recipe": recipe})


def without_idle_scans(experiment: Experiment) -> Experiment:
    """Return the experiment without further scans, where its recipe makes no use of any."""
    recipe = experiment.recipe
    useful = {*recipe.needed_scans, *recipe.helpful_scans}
    if useful.intersection(experiment.scans):
        return experiment
    return experiment.model_copy(update={"scans": {}})


def _view_um(experiment: Experiment, harms: Sequence[Factor]) -> float | None:
    """Return the field of view, where other cases see more than it."""
    wider = any(factor.key == "scan.n_offsets" for factor in harms)
    return (experiment.scan.n_offsets - 1) * experiment.scan.step_um if wider else None
