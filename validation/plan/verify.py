"""The pick and its neighbours simulated in full, beside what was predicted of them.

What simulates is imported by the function that does, so that plans without it are quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from validation.batch.work import OWN, Work
from validation.plan.grid import Grid, Point, at
from validation.plan.rows import Row
from validation.plan.words import row_at

if TYPE_CHECKING:
    from validation.batch.runner import Progress, Workforce
    from validation.batch.store import Store


@dataclass(frozen=True)
class Verified:
    """One scan, predicted and simulated."""

    row: Row
    rms_A: float | None
    """RMS error of the simulation's voxels; None where there is none."""
    bias_A: float | None
    n_voxels: int
    error: str | None
    """Why there is none."""


def verified(
    pick: Row,
    grid: Grid,
    rows: Sequence[Row],
    *,
    n_scans: int,
    region: str,
    store: Store,
    workforce: Workforce | None = None,
    progress: Progress | None = None,
) -> list[Verified]:
    """Return the pick and its nearest neighbours, ``n_scans`` in all, simulated with their seed.

    Raises InputError where the workforce cannot be had or dies.
    """
    from validation.batch.runner import run_all

    asked = [pick, *(row_at(grid, rows, point) for point in neighbours(pick.point, grid))]
    asked = [row for row in asked if row.errors is not None][:n_scans]
    works = [Work(grid.experiment_of(row.point)) for row in asked]
    found = run_all(works, store=store, workforce=workforce, progress=progress)
    made = []
    for row, outcomes in zip(asked, found, strict=True):
        figures = outcomes[OWN].lattice(region)
        made.append(
            Verified(
                row=row,
                rms_A=figures.get("rms_A"),
                bias_A=figures.get("bias_A"),
                n_voxels=figures.get("n_voxels", 0),
                error=outcomes[OWN].error,
            )
        )
    return made


def neighbours(point: Point, grid: Grid) -> list[Point]:
    """Return the other points of a grid, nearest first: fewest values away, all axes by turns."""

    def order(other: Point) -> tuple[int, int, tuple[int, ...]]:
        away = [b - a for a, b in zip(point.place, other.place, strict=True)]
        return sum(abs(d) for d in away), sum(d < 0 for d in away), tuple(-abs(d) for d in away)

    near = [other for other in _around(point, grid) if other is not point]
    return sorted(near, key=order)


def _around(point: Point, grid: Grid) -> list[Point]:
    """Return the points at most two values away on every axis, by single axes and pairs."""
    found: dict[tuple[int, ...], Point] = {}
    count = len(grid.axes)
    for first in range(count):
        for second in range(first, count):
            for a in range(-2, 3):
                for b in range(-2, 3):
                    place = list(point.place)
                    place[first] += a
                    place[second] += b if second != first else 0
                    other = at(grid, tuple(place))
                    if other is not None:
                        found[other.place] = other
    return list(found.values())
