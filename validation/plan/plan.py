"""A plan: every scan of a range predicted, one recommended, and perhaps simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from validation.batch.vary import Varied
from validation.experiment import Experiment
from validation.plan.choice import Choice, chosen
from validation.plan.grid import Grid, grid_of
from validation.plan.rows import Progress, Row, rows_of
from validation.plan.verify import Verified, verified
from validation.plan.wish import Wish

if TYPE_CHECKING:
    from validation.batch.runner import Workforce
    from validation.batch.store import Store


@dataclass(frozen=True)
class Plan:
    """What was asked, what was found, and what is recommended."""

    wish: Wish
    grid: Grid
    rows: tuple[Row, ...]
    choice: Choice
    verified: tuple[Verified, ...] = ()


def plan(
    experiment: Experiment,
    varied: Sequence[Varied],
    wish: Wish,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Return the plan of an experiment over the values of the varied keys.

    Raises InputError, one sentence, for keys, values and targets that cannot be, interlaced scans,
    methods that are not predicted, and samples that cannot be built.
    """
    grid = grid_of(experiment, varied)
    rows = rows_of(grid, wish, workers=workers, progress=progress)
    return Plan(wish, grid, tuple(rows), chosen(rows, wish))


def with_verification(
    found: Plan,
    *,
    n_scans: int,
    store: Store,
    workforce: Workforce | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Return the plan with its pick and neighbours simulated, ``n_scans`` in all.

    Raises InputError where the workforce cannot be had or dies.
    """
    pick = found.choice.pick
    if pick is None:
        return found
    made = verified(
        pick, found.grid, found.rows, n_scans=n_scans, region=found.wish.region, store=store,
        workforce=workforce, progress=progress,
    )  # fmt: skip
    return Plan(found.wish, found.grid, found.rows, found.choice, tuple(made))
