"""The scans that are looked at: every combination of the values of the varied keys.

A range without a count is filled by equal factors (evenly where it does not lie above zero), with
few values of keys that decide where rays lie and more of those that only scale errors. Where the
step is varied and ``scan.n_offsets`` is not, offsets follow, so that the outermost ones stay where
they are. ``scans.coarse=with,without`` (or ``scans.broad``) is a scan that the experiment describes
and the recipe subtracts with, or neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from pydantic import ValidationError

from inverse.recipe import Recipe
from validation.batch.vary import Varied, check_keys, value_at, with_values
from validation.experiment import Experiment
from validation.feasible import check_half_turn, check_photons
from xrdct.errors import InputError
from xrdct.scan import Scan

STEP, OFFSETS, ANGLES, EXPOSURE = (
    "scan.step_um", "scan.n_offsets", "scan.n_angles", "scan.exposure_s",
)  # fmt: skip
RANGE, DISTANCE, COARSE = "scan.angle_range_deg", "geometry.distance_m", "scans.coarse"
WITH, WITHOUT = "with", "without"

_FREE = frozenset({ANGLES, EXPOSURE, "scan.dead_time_s", "scan.line_gap_s"})
"""Keys whose values cost next to nothing to look at."""
_MANY, _FEW, _COSTLY = 15, 7, 4
_FEWEST_POINTS = 200
_MOST_POINTS = 50_000
_WHOLE = frozenset({ANGLES, OFFSETS})
_OPTIONAL_SCANS = ("coarse", "broad")


@dataclass(frozen=True)
class Axis:
    """A varied key and its values, in order."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Group:
    """Scans of one sample and instrument."""

    experiment: Experiment


@dataclass(frozen=True)
class Point:
    """One scan that could be made."""

    place: tuple[int, ...]
    """Number of its value on every axis."""
    values: dict[str, Any]
    """By varied key."""
    group: int
    scan: Scan
    recipe: Recipe
    others: tuple[str, ...]
    """Names of the further scans that are made and used."""


@dataclass(frozen=True)
class Grid:
    """All of them."""

    experiment: Experiment
    axes: tuple[Axis, ...]
    groups: tuple[Group, ...]
    points: tuple[Point, ...]
    follows: bool
    """Whether the number of offsets follows the step."""

    def experiment_of(self, point: Point) -> Experiment:
        """Return the experiment of one point, without scans that it makes no use of."""
        experiment = self.groups[point.group].experiment
        scans = {name: scan for name, scan in experiment.scans.items() if name in point.others}
        return experiment.model_copy(
            update={"scan": point.scan, "recipe": point.recipe, "scans": scans}
        )


def grid_of(experiment: Experiment, varied: Sequence[Varied]) -> Grid:
    """Return the combinations of all values.

    Raises InputError, one sentence, for keys there are not, values that cannot be, and interlaced
    scans, which are not predicted.
    """
    if not varied:
        raise InputError("nothing is varied: give --vary, such as scan.n_angles=50:700")
    check_keys([each.key for each in varied])
    axes = _axes(experiment, varied)
    scan_axes = [axis for axis in axes if axis.key.startswith("scan.")]
    optional = [axis for axis in axes if _optional(axis.key)]
    outer = [axis for axis in axes if axis not in scan_axes and axis not in optional]
    groups = tuple(
        Group(_grouped(experiment, dict(zip([a.key for a in outer], values, strict=True))))
        for values in product(*(axis.values for axis in outer))
    )
    keys = {axis.key for axis in axes}
    follows = STEP in keys and OFFSETS not in keys
    scans = _Scans(experiment, follows)
    points = []
    for place in product(*(range(len(axis.values)) for axis in axes)):
        values = {axis.key: axis.values[i] for axis, i in zip(axes, place, strict=True)}
        number = _number(outer, values)
        own = {axis.key: values[axis.key] for axis in scan_axes}
        scan = scans.of(number, groups[number].experiment, own)
        recipe = _recipe(groups[number].experiment, {a.key: values[a.key] for a in optional})
        others = tuple(_used(groups[number].experiment, recipe))
        points.append(Point(place, values, number, scan, recipe, others))
    return Grid(experiment, axes, groups, tuple(points), follows)


def _axes(experiment: Experiment, varied: Sequence[Varied]) -> tuple[Axis, ...]:
    listed = 1
    for each in varied:
        listed *= len(each.values) if each.values is not None else 1
    ranges = [each.key for each in varied if each.values is None]
    axes = tuple(_axis(experiment, each, _count(each.key, ranges, listed)) for each in varied)
    total = int(np.prod([len(axis.values) for axis in axes]))
    if total > _MOST_POINTS:
        raise InputError(f"{total} combinations are too many to look at (at most {_MOST_POINTS})")
    return axes


def _count(key: str, ranges: Sequence[str], listed: int) -> int:
    """Return how many values of a range are looked at."""
    if key not in _FREE and not key.startswith("scan."):
        return _COSTLY
    wanted = (_FEWEST_POINTS / listed) ** (1.0 / max(len(ranges), 1))
    least = _MANY if key in _FREE else _FEW
    return int(np.clip(np.ceil(wanted), least, 40))


def _axis(experiment: Experiment, varied: Varied, count: int) -> Axis:
    key = varied.key
    if _optional(key):
        return Axis(key, _with_or_without(experiment, varied))
    present = value_at(experiment, key) if key != "scan.angles_deg" else None
    if key == "seed" or key.startswith(("effects", "accuracy", "mode")):
        raise InputError(f"{key} is no setting of a scan that could be planned")
    if varied.values is not None:
        values: tuple[Any, ...] = varied.values
        if key in _WHOLE:
            values = tuple(round(v) if isinstance(v, float) else v for v in values)
        return Axis(key, tuple(dict.fromkeys(values)))
    return Axis(key, _spaced(varied, count, whole=key in _WHOLE or type(present) is int))


def _spaced(varied: Varied, count: int, *, whole: bool) -> tuple[Any, ...]:
    low, high = varied.low or 0.0, varied.high or 0.0
    raw = np.geomspace(low, high, count) if low > 0.0 else np.linspace(low, high, count)
    inner = [float(f"{value:.3g}") for value in raw[1:-1]]
    values = [low, *(v for v in inner if low < v < high), high]
    return tuple(dict.fromkeys(round(v) if whole else v for v in values))


def _optional(key: str) -> bool:
    return key in {f"scans.{name}" for name in _OPTIONAL_SCANS}


def _with_or_without(experiment: Experiment, varied: Varied) -> tuple[Any, ...]:
    values = varied.values or ()
    if not values or set(values) - {WITH, WITHOUT}:
        raise InputError(f"{varied.key} is varied as {varied.key}={WITH},{WITHOUT}")
    name = varied.key.removeprefix("scans.")
    if name not in experiment.scans and WITH in values:
        raise InputError(f"unknown key {varied.key}: the experiment has no such scan")
    return tuple(dict.fromkeys(values))


def _grouped(experiment: Experiment, values: dict[str, Any]) -> Experiment:
    found = with_values(experiment, values) if values else experiment
    method = found.recipe.reconstruction.method
    if method != "fbp":
        raise InputError(
            f"errors are predicted for filtered back projection only, not for the method {method!r}"
        )
    return found


def _number(outer: Sequence[Axis], values: dict[str, Any]) -> int:
    """Return the number of the group with these values."""
    number = 0
    for axis in outer:
        number = number * len(axis.values) + axis.values.index(values[axis.key])
    return number


def _recipe(experiment: Experiment, chosen: dict[str, Any]) -> Recipe:
    """Return the recipe, which subtracts what scans that are made show outside the view."""
    cut = experiment.recipe.truncation
    for key, value in chosen.items():
        if key == COARSE:
            method = "coarse" if value == WITH else "none"
            broad = cut.use_broad and method != "none"
            cut = cut.model_copy(update={"method": method, "use_broad": broad})
    for key, value in chosen.items():
        if key != COARSE:
            if value == WITH and cut.method == "none":
                raise InputError(
                    f"{key}={WITH} needs a recipe that corrects truncation: the broad scan is of "
                    "use beside a coarse one alone"
                )
            cut = cut.model_copy(update={"use_broad": value == WITH})
    return experiment.recipe.model_copy(update={"truncation": cut})


def _used(experiment: Experiment, recipe: Recipe) -> list[str]:
    for name in recipe.needed_scans:
        if name not in experiment.scans:
            raise InputError(
                f"the recipe needs a scan named {name!r}, which the experiment does not have"
            )
    useful = {*recipe.needed_scans, *recipe.helpful_scans}
    return [name for name in experiment.scans if name in useful]


class _Scans:
    """Makes scans from values, each once."""

    def __init__(self, experiment: Experiment, follows: bool) -> None:
        self._experiment = experiment
        self._follows = follows
        self._made: dict[tuple[Any, ...], Scan] = {}

    def of(self, group: int, experiment: Experiment, values: dict[str, Any]) -> Scan:
        """Return the scan of a group's experiment with these values of its keys."""
        key = (group, *((k, repr(v)) for k, v in values.items()))
        if key not in self._made:
            self._made[key] = self._make(experiment, values)
        return self._made[key]

    def _make(self, experiment: Experiment, values: dict[str, Any]) -> Scan:
        given = dict(values)
        if self._follows:
            given[OFFSETS] = _following(experiment.scan, values[STEP])
        table = experiment.scan.model_dump()
        table |= {key.removeprefix("scan."): value for key, value in given.items()}
        try:
            scan = Scan.model_validate(table)
        except ValidationError as error:
            with_values(experiment, given)  # says what is wrong with which key
            raise InputError(f"--vary: {error.errors()[0]['msg']}") from error
        if scan.interlaced:
            raise InputError("interlaced scans are not predicted: scan.interlaced is true")
        check_half_turn(scan, key="scan")
        check_photons(experiment.beam, {"scan": scan.exposure_s})
        return scan


def _following(scan: Scan, step_um: Any) -> int:
    """Return how many offsets of another step reach as far."""
    if isinstance(step_um, int | float) and step_um > 0.0:
        return max(2, round((scan.n_offsets - 1) * scan.step_um / step_um) + 1)
    return scan.n_offsets


def widest(grid: Grid, group: int) -> tuple[float, Experiment]:
    """Return the widest extent of a group's scans, µm, and its experiment with the finest scan."""
    scans = [point.scan for point in grid.points if point.group == group]
    extent_um = max(2.0 * float(scan.offsets_um[-1]) for scan in scans)
    finest = min(scans, key=lambda scan: scan.step_um)
    experiment = grid.groups[group].experiment
    return extent_um, experiment.model_copy(update={"scan": finest, "scans": {}})


def at(grid: Grid, place: tuple[int, ...]) -> Point | None:
    """Return the point at a place of the grid; None outside it."""
    number = 0
    for axis, i in zip(grid.axes, place, strict=True):
        if not 0 <= i < len(axis.values):
            return None
        number = number * len(axis.values) + i
    return grid.points[number]


def moved(point: Point, axis: int, by: int) -> tuple[int, ...]:
    """Return the place some values further on an axis."""
    place = list(point.place)
    place[axis] += by
    return tuple(place)
