"""The recommendation: the least beam time that meets all targets within all limits.

How far a scan is from a target or a limit is their ratio, above one where it is missed. A scan's
*worst* ratio to the targets orders those that miss some. A scan is on the Pareto front where none
takes less beam time and has a smaller error as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from validation.plan.rows import Row
from validation.plan.wish import Wish

_SLACK = 1.0 + 1e-9


@dataclass(frozen=True)
class Choice:
    """What is recommended."""

    pick: Row | None
    """The cheapest that meets all; else the best within the limits; else the least demanding."""
    met: bool
    """Whether it meets all targets and limits."""
    within: bool
    """Whether it keeps the limits."""
    cheapest_on_target: Row | None
    """The scan that meets the targets and oversteps the limits least; None where none does."""
    best: Row | None
    """The scan nearest to the targets, whatever it costs."""


def over_targets(row: Row, wish: Wish) -> dict[str, float]:
    """Return ratios to the targets; infinite where nothing can be said."""
    reached = row.reached
    found = {}
    for name, target in wish.targets.items():
        value = reached.get(name)
        found[name] = float("inf") if value is None else value / target
    return found


def over_limits(row: Row, wish: Wish) -> dict[str, float]:
    """Return ratios to the limits."""
    costs = row.costs
    return {name: costs[name] / limit for name, limit in wish.limits.items()}


def worst(ratios: Mapping[str, float]) -> float:
    """Return the largest ratio; zero of none."""
    return max(ratios.values(), default=0.0)


def on_target(row: Row, wish: Wish) -> bool:
    """Return whether a scan meets all targets."""
    return worst(over_targets(row, wish)) <= _SLACK


def within_limits(row: Row, wish: Wish) -> bool:
    """Return whether a scan keeps all limits."""
    return worst(over_limits(row, wish)) <= _SLACK


def cheapest(rows: Sequence[Row], wish: Wish) -> Row | None:
    """Return the scan of least beam time that meets everything; of equal ones the more accurate."""
    fitting = [row for row in rows if on_target(row, wish) and within_limits(row, wish)]
    return min(
        fitting, key=lambda row: (row.beam_time_s, worst(over_targets(row, wish))), default=None
    )


def nearest(rows: Sequence[Row], wish: Wish) -> Row | None:
    """Return the scan nearest to the targets; of equal ones the cheaper."""
    told = [row for row in rows if row.errors is not None]
    return min(
        told, key=lambda row: (worst(over_targets(row, wish)), row.beam_time_s), default=None
    )


def chosen(rows: Sequence[Row], wish: Wish) -> Choice:
    """Return the recommendation."""
    pick = cheapest(rows, wish)
    keeping = [row for row in rows if within_limits(row, wish)]
    reaching = [row for row in rows if on_target(row, wish)]
    told = [row for row in rows if row.errors is not None]
    found = pick or nearest(keeping, wish)
    if found is None:
        found = min(told, key=lambda row: worst(over_limits(row, wish)), default=None)
    return Choice(
        pick=found,
        met=pick is not None,
        within=found is not None and within_limits(found, wish),
        cheapest_on_target=min(
            reaching, key=lambda row: (worst(over_limits(row, wish)), row.beam_time_s), default=None
        ),
        best=nearest(rows, wish),
    )


def front(rows: Sequence[Row]) -> list[Row]:
    """Return the Pareto front of error and beam time, cheapest first."""
    told = [row for row in rows if row.errors is not None]
    told.sort(key=lambda row: (row.beam_time_s, _total_A(row)))
    kept: list[Row] = []
    least_A = np.inf
    for row in told:
        if _total_A(row) < least_A:
            least_A = _total_A(row)
            kept.append(row)
    return kept


def _total_A(row: Row) -> float:
    return np.inf if row.errors is None else row.errors.total_A
