"""Pictures of a budget: the way down from the full case to the bare one, and each factor's cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from validation.figures_style import (
    FONT_PT,
    RECOVERED_COLOUR,
    TRUE_COLOUR,
    axes_at,
    new_figure,
    note,
    titled,
)

Entry = Mapping[str, Any]
_MILLI = 1e3
_HARM_COLOUR, _HELP_COLOUR = "#b2182b", "#2166ac"
_ROW_IN, _LEFT_IN, _WIDTH_IN = 0.3, 3.4, 5.4
_BOTTOM_IN, _TOP_IN, _RIGHT_IN = 0.65, 0.45, 0.3


def waterfall_figure(budget: Entry) -> Figure:
    """Draw the RMS error as factors are switched off one after the other, most harmful first.

    Bars reach from the RMS before to that after; whiskers are standard errors over seeds. Where
    nothing is recovered there is no bar, and the next one begins at the last that is known.
    """
    steps = list(budget["waterfall"])
    names = ["everything", *(f"− {step['name']}" for step in steps), "bare"]
    figure, axes = _rows_figure(len(names))
    level = _rms(budget["full"])
    _total(axes, 0, level, RECOVERED_COLOUR)
    before = level[0]
    for row, step in enumerate(steps, start=1):
        after, error = _rms(step)
        if np.isfinite(after) and np.isfinite(before):
            colour = _HARM_COLOUR if after <= before else _HELP_COLOUR
            axes.barh(row, before - after, left=after, height=0.62, color=colour)
            axes.errorbar(after, row, xerr=error, color="0.2", capsize=2.0, linewidth=1.0)
            axes.plot([after, after], [row, row + 1.0], color="0.6", linewidth=0.7)
        elif step["refused"]:
            axes.text(0.01, row, step["refused"], va="center", fontsize=FONT_PT - 1.0, color="0.3",
                      transform=axes.get_yaxis_transform())  # fmt: skip
        before = after if np.isfinite(after) else before
    _total(axes, len(names) - 1, _rms(budget["bare"]), TRUE_COLOUR)
    if not np.isfinite(level[0]):
        note(axes, "no voxel is recovered")
    _name_rows(axes, names)
    axes.set_xlim(left=0.0)
    titled(axes, "Switched off one after the other", x="RMS error of interior voxels (mÅ)", y="")
    return figure


def costs_figure(budget: Entry) -> Figure:
    """Draw what each factor adds to the mean square error, in the full case and alone."""
    factors = list(budget["factors"])
    figure, axes = _rows_figure(len(factors))
    for row, factor in enumerate(factors):
        alone = None if factor["alone"] is None else factor["alone"]["interior"]["mse_A2"]
        own = _square(factor["off"]["interior"]["mse_A2"])
        other = _square(alone)
        axes.plot([own[0], other[0]], [row, row], color="0.75", linewidth=1.2, zorder=1)
        _point(axes, row, own, colour=RECOVERED_COLOUR, filled=True)
        _point(axes, row, other, colour=_HARM_COLOUR, filled=False)
    axes.axvline(0.0, color="0.4", linewidth=0.8, zorder=0)
    _name_rows(axes, [factor["name"] for factor in factors])
    _legend(axes)
    titled(axes, "What each adds", x="mean square error of interior voxels (mÅ²)", y="")
    return figure


def _rows_figure(n_rows: int) -> tuple[Figure, Axes]:
    height_in = _ROW_IN * (n_rows + 0.5)
    figure = new_figure(
        _LEFT_IN + _WIDTH_IN + _RIGHT_IN, _BOTTOM_IN + height_in + _TOP_IN, left_in=_LEFT_IN
    )
    axes = axes_at(
        figure, left_in=_LEFT_IN, bottom_in=_BOTTOM_IN, width_in=_WIDTH_IN, height_in=height_in
    )
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    return figure, axes


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), labels=list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0.0)


def _total(axes: Axes, row: int, level: tuple[float, float], colour: str) -> None:
    value, error = level
    if np.isfinite(value):
        axes.barh(row, value, height=0.62, color=colour)
        axes.errorbar(value, row, xerr=error, color="0.2", capsize=2.0, linewidth=1.0)


def _point(axes: Axes, row: int, value: tuple[float, float], *, colour: str, filled: bool) -> None:
    if np.isfinite(value[0]):
        axes.errorbar(
            value[0], row, xerr=value[1], fmt="o" if filled else "D", color=colour, markersize=5.5,
            markerfacecolor=colour if filled else "white", capsize=2.0, linewidth=1.0,
        )  # fmt: skip


def _legend(axes: Axes) -> None:
    """Name both kinds of points; empty ones stand for them, whatever is drawn."""
    empty: list[float] = []
    axes.plot(empty, empty, "o", color=RECOVERED_COLOUR, label="in the full case")
    axes.plot(empty, empty, "D", color=_HARM_COLOUR, markerfacecolor="white", label="alone")
    axes.legend(loc="lower right", fontsize=FONT_PT - 1.0, framealpha=0.9)


def _rms(case: Entry) -> tuple[float, float]:
    return _scaled(case["interior"]["rms_A"], _MILLI)


def _square(estimate: Mapping[str, float | None] | None) -> tuple[float, float]:
    return _scaled(estimate, _MILLI**2)


def _scaled(estimate: Mapping[str, float | None] | None, unit: float) -> tuple[float, float]:
    """Return value and standard error, NaN and 0 where they are not known."""
    if estimate is None or estimate["mean"] is None:
        return np.nan, 0.0
    return unit * estimate["mean"], unit * (estimate["se"] or 0.0)
