"""The plan in words: what is recommended and why, and what the varied keys do.

Every sentence is read off the table of scans that were looked at; none knows of other rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from validation.plan.choice import (
    Choice,
    cheapest,
    nearest,
    over_limits,
    over_targets,
    within_limits,
    worst,
)
from validation.plan.grid import (
    ANGLES,
    COARSE,
    DISTANCE,
    RANGE,
    STEP,
    Axis,
    Grid,
    Point,
    at,
    moved,
)
from validation.plan.rows import Row
from validation.plan.wish import DATA, DOSE, FRACTION, LATTICE, RESOLUTION, TIME, Wish
from validation.predicted_scans import Errors
from validation.report_words import count, duration, milli

TERMS: Mapping[str, str] = {
    "noise": "counting noise",
    "grains": "too few crystallites",
    "streaks": "undersampling (too few angles)",
    "blur": "blur by beam and step",
    "parallax": "parallax",
    "truncation": "truncation (what lies outside the view)",
}
_UNITS = {"um": "µm", "s": "s", "deg": "°", "m": "m", "mm": "mm", "keV": "keV"}
_QUESTIONS = {
    RANGE: "180° or 360°?",
    DISTANCE: "How close may the detector be?",
    COARSE: "Is a coarse scan worth its time?",
}
_HALF_TURN_DEG = 180.0
_MIXED = 0.5
"""Share of the squared error from which on one term rules alone."""


def ratio(value: float) -> str:
    """Write how many times too much something is."""
    if value >= 10.0:
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 1.095 else f"{value:.1f}"


def amount(name: str, value: float | None) -> str:
    """Write a target or a limit with its unit."""
    if value is None:
        return "unknown"
    written: dict[str, Callable[[float], str]] = {
        LATTICE: lambda v: f"{milli(v)} mÅ",
        FRACTION: lambda v: f"{100.0 * v:.3g} wt %",
        RESOLUTION: lambda v: f"{v:.3g} µm",
        TIME: duration,
        DOSE: lambda v: f"{count(round(v)) if v >= 1e3 else f'{v:.3g}'} MGy",
        DATA: _data,
    }
    return written[name](value)


def _data(value_MB: float) -> str:
    for unit, size_MB in (("TB", 1e6), ("GB", 1e3)):
        if value_MB >= size_MB:
            return f"{value_MB / size_MB:.3g} {unit}"
    return f"{value_MB:.3g} MB"


def setting(key: str, value: Any) -> str:
    """Write one value of a key: 'step 1.41 µm'."""
    name = key.rpartition(".")[2]
    if key.startswith("scans."):
        return f"{value} a {name} scan"
    words, _, unit = name.rpartition("_")
    if unit in _UNITS and words:
        space = "" if _UNITS[unit] == "°" else " "
        return f"{words.replace('_', ' ')} {value:.4g}{space}{_UNITS[unit]}"
    plain = name.removeprefix("n_").replace("_", " ")
    if name.startswith("n_"):
        return f"{value} {plain}"
    return f"{plain} {value:.4g}" if isinstance(value, float) else f"{plain} {value}"


def scan_words(point: Point, grid: Grid) -> str:
    """Write the settings of a scan."""
    told = [setting(key, value) for key, value in point.values.items()]
    if grid.follows:
        told.append(f"{point.scan.n_offsets} offsets")
    return ", ".join(told)


def sentences(choice: Choice, grid: Grid, rows: Sequence[Row], wish: Wish) -> list[str]:
    """Return the recommendation, its reason and the answers, a sentence or two each."""
    if choice.pick is None or choice.pick.errors is None:
        reasons = {row.refused for row in rows if row.refused}
        return ["No scan of the range can be predicted: " + "; ".join(sorted(reasons)) + "."]
    told = [_recommended(choice, choice.pick, grid, wish), _ruled(choice.pick.errors)]
    if not choice.met:
        told += _shortfall(choice, grid, wish)
    told += answers(choice.pick, grid, rows, wish)
    return [sentence for sentence in told if sentence]


def _recommended(choice: Choice, pick: Row, grid: Grid, wish: Wish) -> str:
    reached = _reached(pick, wish)
    cost = (
        f"{duration(pick.beam_time_s)} of beam time, {amount(DOSE, pick.dose_MGy)} and "
        f"{amount(DATA, pick.data_MB)}"
    )
    words = scan_words(pick.point, grid)
    if choice.met:
        limits = " and keeps all limits" if wish.limits else ""
        return (
            f"Recommended: {words}. Of the scans looked at it takes the least beam time of those "
            f"that meet the target{limits}: {reached}, in {cost}."
        )
    if choice.within and wish.limits:
        return (
            f"The target is not met within the limits. The scan nearest to it within them: {words}:"
            f" {reached}, in {cost}."
        )
    if choice.within:
        return (
            f"The target is not met by any scan of the range. The nearest: {words}: {reached}, "
            f"in {cost}."
        )
    return (
        f"No scan of the range keeps within the limits. The one that oversteps them least: {words}:"
        f" {reached}, in {cost}."
    )


def _reached(row: Row, wish: Wish) -> str:
    names = dict.fromkeys([LATTICE, *wish.targets])
    reached = row.reached
    besides = "".join(f" besides that of {each}" for each in row.unpredicted)
    parts = [f"an error of {amount(LATTICE, reached[LATTICE])}{besides}"]
    for name in list(names)[1:]:
        word = {FRACTION: "noise of weight fractions of", RESOLUTION: "a resolution of"}[name]
        parts.append(f"{word} {amount(name, reached[name])}")
    return " and ".join(parts)


def _shortfall(choice: Choice, grid: Grid, wish: Wish) -> list[str]:
    """Return what fails, and by how much."""
    told = []
    pick = choice.pick
    if pick is not None and choice.within:
        told.append(
            "That misses "
            + " and ".join(
                f"{_target_word(name)} {amount(name, wish.targets[name])}, by a factor of "
                f"{ratio(r)}"
                for name, r in over_targets(pick, wish).items()
                if r > 1.0
            )
            + "."
        )
    elif pick is not None:
        told.append(_failing(pick, wish, "It oversteps"))
    over = choice.cheapest_on_target
    if over is None:
        told.append(_out_of_reach(choice.best, pick, grid, wish))
    elif choice.within:
        words = scan_words(over.point, grid)
        told.append(_failing(over, wish, f"The target is met with {words}, but that oversteps"))
    return told


def _failing(row: Row, wish: Wish, start: str) -> str:
    failed = [
        f"the limit of {name}, {amount(name, wish.limits[name])}, with "
        f"{amount(name, row.costs[name])} ({ratio(r)} times as much)"
        for name, r in over_limits(row, wish).items()
        if r > 1.0
    ]
    return f"{start} " + " and ".join(failed) + "." if failed else ""


def _out_of_reach(best: Row | None, pick: Row | None, grid: Grid, wish: Wish) -> str:
    if best is None or best.errors is None or not wish.limits:
        return ""
    start = "No scan of the range meets the target, whatever it costs"
    if best is pick:
        return f"{start}."
    far = ratio(worst(over_targets(best, wish)))
    return (
        f"{start}: the nearest has {_reached(best, wish)} ({far} times the target), with "
        f"{scan_words(best.point, grid)}; its error is ruled by "
        f"{ruling(best.errors)}."
    )


def _target_word(name: str) -> str:
    return {
        LATTICE: "the error aimed at,", FRACTION: "the noise of weight fractions aimed at,",
        RESOLUTION: "the resolution aimed at,",
    }[name]  # fmt: skip


def shares(errors: Errors) -> dict[str, float]:
    """Return the share of each term in the sum of squares, largest first."""
    squares = {name: getattr(errors, f"{name}_A") ** 2 for name in TERMS}
    total = sum(squares.values()) or 1.0
    return dict(sorted(((n, s / total) for n, s in squares.items()), key=lambda e: -e[1]))


def ruling(errors: Errors) -> str:
    """Return the term that rules the error, or the two largest where none does alone."""
    names = list(shares(errors).items())
    if names[0][1] >= _MIXED:
        return TERMS[names[0][0]]
    return f"{TERMS[names[0][0]]} and {TERMS[names[1][0]]}"


def _ruled(errors: Errors) -> str:
    parts = [
        f"{TERMS[name]} {milli(getattr(errors, f'{name}_A'))} mÅ"
        for name, share in shares(errors).items()
        if share >= 0.01
    ]
    return f"Its error is ruled by {ruling(errors)}: {', '.join(parts)}."


def neighbour_rows(pick: Row, grid: Grid, rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """Return the scans one value further on every axis, both ways, with what is changed."""
    found = []
    for number, axis in enumerate(grid.axes):
        for by in (-1, 1):
            point = at(grid, moved(pick.point, number, by))
            if point is not None:
                row = row_at(grid, rows, point)
                found.append((setting(axis.key, point.values[axis.key]), row))
    return found


def row_at(grid: Grid, rows: Sequence[Row], point: Point) -> Row:
    """Return the row of a point."""
    number = 0
    for axis, i in zip(grid.axes, point.place, strict=True):
        number = number * len(axis.values) + i
    return rows[number]


def answers(pick: Row, grid: Grid, rows: Sequence[Row], wish: Wish) -> list[str]:
    """Return what a step in each varied key would change, and answers to the usual questions."""
    told = [_step(pick, number, axis, grid, rows) for number, axis in enumerate(grid.axes)]
    keys = [axis.key for axis in grid.axes]
    if STEP in keys and ANGLES in keys:
        told.append(_finer_or_more(pick, grid, rows, keys))
    for number, axis in enumerate(grid.axes):
        if axis.key in _QUESTIONS and len(axis.values) > 1:
            told.append(_by_value(number, axis, rows, wish))
    return [sentence for sentence in told if sentence]


def _step(pick: Row, number: int, axis: Axis, grid: Grid, rows: Sequence[Row]) -> str:
    parts = []
    for by in (-1, 1):
        point = at(grid, moved(pick.point, number, by))
        if point is not None:
            row = row_at(grid, rows, point)
            parts.append(f"{setting(axis.key, point.values[axis.key])}: {_told(row)}")
    return f"Changed alone: {'; '.join(parts)}." if parts else ""


def _told(row: Row) -> str:
    if row.errors is None:
        return f"cannot be predicted ({row.refused})"
    return f"{milli(row.errors.total_A)} mÅ in {duration(row.beam_time_s)}"


def _finer_or_more(pick: Row, grid: Grid, rows: Sequence[Row], keys: Sequence[str]) -> str:
    """Compare a finer step with more angles, by error and by what they cost."""
    found = []
    for key, by in ((STEP, -1), (ANGLES, 1)):
        number = keys.index(key)
        values = grid.axes[number].values
        by = by if values == tuple(sorted(values)) else -by
        point = at(grid, moved(pick.point, number, by))
        row = None if point is None else row_at(grid, rows, point)
        found.append(row if row is not None and row.errors is not None else None)
    finer, more = found
    if finer is None or more is None or pick.errors is None:
        return ""
    now_A = pick.errors.total_A
    gains = [now_A - r.errors.total_A for r in (finer, more) if r.errors is not None]
    per_s = [
        gain / max(row.beam_time_s - pick.beam_time_s, 1e-9)
        for gain, row in zip(gains, (finer, more), strict=True)
    ]
    question = "Finer steps or more angles?"
    if max(gains) <= 0.0:
        return f"{question} Neither: both raise the error here."
    if per_s[0] > per_s[1]:
        return f"{question} Finer steps, {_against(gains[1], 'more angles')}."
    return f"{question} More angles, {_against(gains[0], 'finer steps')}."


def _against(gain_A: float, other: str) -> str:
    """Say why not the other."""
    if gain_A <= 0.0:
        return f"for {other} raise the error here"
    return f"which lower the error more for the time they take than {other} do"


def _by_value(number: int, axis: Axis, rows: Sequence[Row], wish: Wish) -> str:
    """Say for each value of a key what it takes to meet the target, or how near it comes."""
    parts, times = [], {}
    for i, value in enumerate(axis.values):
        own = [row for row in rows if row.point.place[number] == i]
        best = cheapest(own, wish)
        name = setting(axis.key, value)
        if best is not None:
            times[name] = best.beam_time_s
            parts.append(f"{name} meets the target in {duration(best.beam_time_s)}")
            continue
        near = nearest([row for row in own if within_limits(row, wish)], wish)
        if near is None or near.errors is None:
            parts.append(f"{name} keeps no limit or cannot be predicted")
        else:
            parts.append(f"{name} comes to {milli(near.errors.total_A)} mÅ at best")
    verdict = ""
    if axis.key == DISTANCE and times:
        met = [v for v in axis.values if setting(axis.key, v) in times]
        verdict = f" The nearest that meets the target: {setting(axis.key, min(met))}."
    elif times:
        verdict = f" Cheapest: {min(times, key=lambda name: times[name])}."
    return f"{_QUESTIONS[axis.key]} {'; '.join(parts)}.{verdict}"
