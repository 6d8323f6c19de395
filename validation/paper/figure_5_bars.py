"""Panels b and d of figure 5: weight fractions by depth and slice."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from validation.paper.experiments import DEPTH_EDGES_UM
from validation.paper.fractions import N_DEPTHS, DepthFractions
from validation.paper.phases import PHASE_COLOURS, leave_room, offsets, phase_handles, stacked_bar
from validation.paper.style import FONT_PT, panel


def draw_bars(
    figure: FigureBase,
    number: int,
    ways: Sequence[Sequence[DepthFractions]],
    words: Sequence[str],
) -> None:
    """Draw the fractions of a particle by every way of integration, and the true ones."""
    axes = figure.subplots(
        1, N_DEPTHS, sharey=True,
        gridspec_kw={"left": 0.11, "right": 0.985, "top": 0.86, "bottom": 0.13, "wspace": 0.06},
    )  # fmt: skip
    for depth, place in enumerate(axes):
        for scan in range(len(ways[0])):
            columns = [(way[scan].recovered[depth], way[scan].esd[depth]) for way in ways]
            columns.append((ways[0][scan].true[depth], None))
            for offset, (values, esd) in zip(offsets(len(columns)), columns, strict=True):
                stacked_bar(
                    place, scan + 1 + offset, ways[0][scan].phases, values, esd=esd,
                    true=ways[0][scan].true[depth],
                )  # fmt: skip
        low, high = DEPTH_EDGES_UM[depth : depth + 2]
        panel(
            place, "bd"[number] if depth == 0 else "", f"{low:g}–{high:g} µm", x="slice",
            y="weight fraction (%)" if depth == 0 else "",
        )  # fmt: skip
        place.axhline(0.0, color="black", linewidth=0.5)
        place.set_xticks(range(1, len(ways[0]) + 1))
    leave_room(axes[0])  # of all, as they share the axis
    if number == 0:
        _legend(figure, axes[0], words)


def _legend(figure: FigureBase, axes: Axes, ways: Sequence[str]) -> None:
    handles = phase_handles(axes, tuple(PHASE_COLOURS))
    figure.legend(
        handles=handles, fontsize=FONT_PT - 0.5, frameon=False, ncols=3, loc="upper center",
        bbox_to_anchor=(0.54, 1.0), columnspacing=1.0,
    )  # fmt: skip
    figure.text(
        0.54, 0.005, f"bars: {', '.join([*ways, 'true (pale)'])}; the rest is spinel",
        fontsize=FONT_PT - 0.5, ha="center",
    )  # fmt: skip
