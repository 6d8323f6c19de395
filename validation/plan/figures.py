"""Pictures of a plan: what accuracy costs, and what rules it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from validation.figures_style import FONT_PT, VALUE_COLOURS, axes_at, new_figure, note, titled
from validation.plan.choice import front, within_limits
from validation.plan.rows import Row
from validation.plan.wish import LATTICE, TIME, Wish
from validation.plan.words import TERMS

_MILLI = 1e3
_LIMIT_COLOUR = "#b2182b"
_TERM_COLOURS = ("#2166ac", "#8c6bb1", "#f4a582", "#1b7837", "#a6761d", "#b2182b")
_MINUTE_S, _HOUR_S = 60.0, 3600.0
_TICKS_S = (
    0.01, 0.1, 1.0, 3.0, 10.0, 30.0, *(_MINUTE_S * m for m in (1, 3, 10, 30)),
    *(_HOUR_S * h for h in (1, 3, 10, 30, 100, 300, 1000)),
)  # fmt: skip


def front_figure(rows: Sequence[Row], pick: Row | None, wish: Wish) -> Figure:
    """Draw error against beam time, coloured by dose, with the Pareto front, limits and pick.

    Scans that overstep a limit are drawn as crosses.
    """
    figure = new_figure(8.4, 5.2)
    axes = axes_at(figure, left_in=0.9, bottom_in=0.7, width_in=5.9, height_in=4.0)
    told = [row for row in rows if row.errors is not None]
    titled(axes, "What accuracy costs", x="beam time", y="error of the lattice parameter (mÅ)")
    if not told:
        note(axes, "no scan can be predicted")
        return figure
    axes.set_xscale("log")
    axes.set_yscale("log")
    doses = np.array([row.dose_MGy for row in told])
    norm = LogNorm(doses.min(), max(doses.max(), 1.001 * doses.min()))
    kept = np.array([within_limits(row, wish) for row in told])
    time_s, error = _time_and_error(told)
    for which, marker, size in ((~kept, "x", 11.0), (kept, "o", 20.0)):
        if which.any():
            axes.scatter(
                time_s[which], error[which], c=doses[which], cmap=VALUE_COLOURS, norm=norm,
                marker=marker, s=size, linewidths=0.8, alpha=0.85,
            )  # fmt: skip
    bar = figure.colorbar(
        axes.collections[-1], cax=figure.add_axes((0.83, 0.135, 0.022, 0.77)), label="dose (MGy)"
    )
    bar.ax.yaxis.label.set_fontsize(FONT_PT)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    best = front(told)
    axes.step(*_time_and_error(best), where="post", color="0.25", linewidth=1.2, label="front")
    _lines(axes, wish)
    if pick is not None and pick.errors is not None:
        axes.plot(
            pick.beam_time_s, _MILLI * pick.errors.total_A, "*", color="white", markersize=19.0,
            markeredgecolor=_LIMIT_COLOUR, markeredgewidth=1.6, label="pick", linestyle="none",
        )  # fmt: skip
    low_s, high_s = axes.get_xlim()
    ticks = [t for t in _TICKS_S if low_s <= t <= high_s] or [float(time_s[0])]
    axes.set_xticks(ticks, labels=[_duration(t) for t in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    for side in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        side(FuncFormatter(_error_tick))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.legend(loc="upper right", fontsize=FONT_PT - 1.0, framealpha=0.9)
    return figure


def terms_figure(named: Sequence[tuple[str, Row]]) -> Figure:
    """Draw the terms of the squared error of some scans, as bars on end, the first the pick."""
    told = [(name, row.errors) for name, row in named if row.errors is not None]
    height_in = 0.34 * len(told) + 0.3
    figure = new_figure(8.4, height_in + 1.5)
    axes = axes_at(figure, left_in=2.6, bottom_in=0.7, width_in=5.5, height_in=height_in)
    left = np.zeros(len(told))
    for (term, words), colour in zip(TERMS.items(), _TERM_COLOURS, strict=True):
        squares = np.array([(_MILLI * getattr(e, f"{term}_A")) ** 2 for _, e in told])
        axes.barh(range(len(told)), squares, left=left, height=0.66, color=colour, label=words)
        left += squares
    totals = [(_MILLI * errors.total_A) ** 2 for _, errors in told]
    axes.plot(totals, range(len(told)), "|", color="black", markersize=13.0, label="together")
    axes.set_yticks(range(len(told)), labels=[name for name, _ in told])
    axes.set_ylim(len(told) - 0.4, -0.6)
    axes.set_xlim(0.0, 1.05 * max([*left, *totals, 1e-9]))
    titled(axes, "", x="squared error (mÅ²)", y="")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.45, 1.02), ncols=3, fontsize=FONT_PT - 1.5,
        frameon=False,
    )  # fmt: skip
    return figure


def _time_and_error(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    told = [(row.beam_time_s, row.errors.total_A) for row in rows if row.errors is not None]
    time_s, error_A = np.array(told).reshape(-1, 2).T
    return time_s, _MILLI * error_A


def _lines(axes: Axes, wish: Wish) -> None:
    """Draw target and limit."""
    if LATTICE in wish.targets:
        axes.axhline(
            _MILLI * wish.targets[LATTICE], color=_LIMIT_COLOUR, linewidth=1.0, label="target"
        )
    if TIME in wish.limits:
        axes.axvline(
            wish.limits[TIME], color=_LIMIT_COLOUR, linewidth=1.0, linestyle="--", label="limit"
        )


def _duration(seconds: float) -> str:
    """Write a round time."""
    for unit, length_s in (("h", _HOUR_S), ("min", _MINUTE_S)):
        if seconds >= length_s:
            return f"{seconds / length_s:.3g} {unit}"
    return f"{seconds:.3g} s"


def _error_tick(value: float, _place: int | None = None) -> str:
    """Write ones, twos and fives of every decade."""
    leading = f"{value:.0e}"[0]
    return f"{value:g}" if leading in "125" and value > 0.0 else ""
