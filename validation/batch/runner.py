"""Do all units of work that are not done yet, and return the outcomes of all.

What is done lies in a store, so that an interrupted program goes on where it was, and what two
questions have in common is simulated once. Outcomes do not depend on where or how many at a time
they are made: a unit's random numbers are its experiment's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from inverse.recipe import Recipe
from validation.batch.processes import Processes, Task
from validation.batch.scan import outcomes_of
from validation.batch.store import Store
from validation.batch.work import Outcome, Work
from validation.experiment import Experiment

Progress = Callable[[str, float], None]


class Workforce(Protocol):
    """What does tasks somewhere."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, list[Outcome]]]:
        """Yield the number of each task and its outcomes, as they come."""
        ...


@dataclass(frozen=True)
class _Scan:
    """A task as it is sent out: an experiment, and the recipes whose outcomes are missing."""

    experiment: Experiment
    recipes: dict[str, Recipe | None]
    """By the keys of their outcomes."""
    view_um: float | None = None

    def __call__(self, threads: int | None) -> list[Outcome]:
        return outcomes_of(
            self.experiment, recipes=self.recipes, view_um=self.view_um, threads=threads
        )


def run_all(
    works: Sequence[Work],
    *,
    store: Store,
    workforce: Workforce | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Outcome]]:
    """Return the outcomes of each unit of work by the labels of its recipes.

    Raises InputError where the workforce cannot be had or dies.
    """
    tell = partial(progress or (lambda _step, _fraction: None), "simulate")
    keys = [work.keys() for work in works]
    found: dict[str, Outcome | None] = {
        key: store.get(key) for of_work in keys for key in of_work.values()
    }
    tasks = _tasks(works, keys, {key for key, outcome in found.items() if outcome is None})
    tell(0.0)
    done = (workforce or Processes()).run(tasks) if tasks else iter(())
    for number, (_, outcomes) in enumerate(done, start=1):
        for made in outcomes:
            store.put(made)
            found[made.key] = made
        tell(number / len(tasks))
    return [
        {label: outcome for label, key in of_work.items() if (outcome := found[key]) is not None}
        for of_work in keys
    ]


def _tasks(
    works: Sequence[Work], keys: Sequence[Mapping[str, str]], missing: set[str]
) -> list[_Scan]:
    """Return what is to be done, each experiment once, whoever asks for it."""
    scans: dict[tuple[str, Path, float | None], _Scan] = {}
    for work, of_work in zip(works, keys, strict=True):
        place = (work.experiment.config_json(), work.experiment.folder, work.view_um)
        for label, key in of_work.items():
            if key in missing:
                scan = scans.setdefault(place, _Scan(work.experiment, {}, work.view_um))
                scan.recipes[key] = work.recipes[label]
    return list(scans.values())
