"""Do one unit of work: simulate the experiment once, recover it by every recipe, score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from inverse.maps import Maps
from inverse.recipe import Recipe
from inverse.recover import recover
from validation.batch.disc import within_disc
from validation.batch.work import Outcome
from validation.crystals import phase_name
from validation.experiment import Experiment
from validation.integrated_files import chosen_recipe
from validation.metrics import lattice_metrics, weight_fraction_metrics
from validation.steps import Simulated, simulate
from validation.truth import with_masses
from xrdct.errors import InputError


def outcomes_of(
    experiment: Experiment,
    *,
    recipes: Mapping[str, Recipe | None],
    view_um: float | None = None,
    threads: int | None = None,
) -> list[Outcome]:
    """Return the outcome of every recipe, which are given by the keys of their outcomes.

    Scored are the voxels within the disc of diameter ``view_um`` about the axis; None: all.

    What a user can mend, in experiment or recipe, becomes an outcome that says so.
    """
    try:
        simulated = simulate(experiment, workers=threads)
    except InputError as error:
        return [Outcome(key, {}, error=str(error)) for key in recipes]
    return [
        _outcome(key, simulated, recipe, experiment.folder, view_um, threads)
        for key, recipe in recipes.items()
    ]


def _outcome(
    key: str,
    simulated: Simulated,
    recipe: Recipe | None,
    folder: Path,
    view_um: float | None,
    threads: int | None,
) -> Outcome:
    start = perf_counter()
    try:
        chosen = chosen_recipe(simulated.raw, recipe)
        maps = recover(simulated.raw, others=simulated.others, recipe=chosen, workers=threads)
        seconds = perf_counter() - start
        metrics = _metrics(simulated, maps, folder, view_um)
        return Outcome(key, metrics, seconds=seconds)
    except InputError as error:
        return Outcome(key, {}, error=str(error), seconds=perf_counter() - start)


def _metrics(
    simulated: Simulated, maps: Maps, folder: Path, view_um: float | None
) -> dict[str, Any]:
    truth = with_masses(simulated.truth, folder=folder)
    if view_um is not None:
        maps, truth = within_disc(maps, truth, diameter_um=view_um)
    return {
        "lattice": {phase_name(maps.phase): lattice_metrics(maps, truth)},
        "weight_fraction": weight_fraction_metrics(maps, truth),
    }
