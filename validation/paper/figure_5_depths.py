"""Panels a and c of figure 5: the depths of a particle, found and true, and their patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from validation.paper.experiments import DEPTH_EDGES_UM
from validation.paper.fractions import N_DEPTHS, DepthFractions
from validation.paper.particles import NAMES, found_particle
from validation.paper.phases import PHASE_WORDS
from validation.paper.prepared import Slice
from validation.paper.segmented import (
    FOUND_ONLY,
    OTHER,
    TRUE_ONLY,
    confusion,
    confusion_handles,
    draw_confusion,
    say_confusion,
)
from validation.paper.style import DEPTH_COLOURS, FONT_PT, map_panel, panel
from validation.paper.ticks import Row, draw_rows, label_heights

Floats = NDArray[np.float64]
End = tuple[Slice, DepthFractions, Mapping[int, Floats]]
"""A slice, what was found of a particle in it, and the patterns of its depths."""

_SHOWN_DEG = (5.4, 8.2)
_ABOVE = 1.05
"""Between patterns, of which each is 1 high."""
_KINDS = (TRUE_ONLY, FOUND_ONLY, OTHER)
_DEPTH_MAP = ListedColormap(DEPTH_COLOURS).with_extremes(bad="white")


def draw_depths(figure: FigureBase, number: int, ends: Sequence[End]) -> None:
    """Draw the depths in the last of some slices, and their patterns in all of them."""
    maps = figure.add_gridspec(1, 3, left=0.08, right=0.98, top=0.94, bottom=0.72, wspace=0.08)
    _maps([figure.add_subplot(maps[k]) for k in range(3)], number, ends[-1])
    below = figure.add_gridspec(1, 1, left=0.26, right=0.97, top=0.53, bottom=0.1)
    _patterns(figure.add_subplot(below[0]), ends)


def _maps(axes: Sequence[Axes], number: int, end: End) -> None:
    last, found, _ = end
    box, step_um = found_particle(last, number).box, last.maps.scan.step_um
    for place, label in zip(axes, (found.label, found.true_label), strict=False):
        map_panel(
            place, np.where(label >= 0, label, np.nan)[box], step_um=step_um,
            limits=(-0.5, N_DEPTHS - 0.5), colours=_DEPTH_MAP, bar=place is axes[0],
        )  # fmt: skip
    kind = confusion(found.label, found.true_label)
    draw_confusion(axes[2], kind[box], step_um=step_um)
    panel(axes[0], "ac"[number], "found", y=NAMES[number])
    panel(axes[1], "", "true")
    panel(axes[2], "", "wrong")
    say_confusion(axes[2], kind, _KINDS)
    axes[0].legend(
        handles=confusion_handles(_KINDS), fontsize=FONT_PT - 1.0, frameon=False, ncols=1,
        loc="upper left", bbox_to_anchor=(1.1, -0.02), handlelength=1.0, labelspacing=0.2,
    )  # fmt: skip


def _patterns(axes: Axes, ends: Sequence[End]) -> None:
    measured = ends[-1][0].experiment
    two_theta_deg = np.degrees(measured.geometry.two_theta_rad)
    kept = (two_theta_deg > _SHOWN_DEG[0]) & (two_theta_deg < _SHOWN_DEG[1])
    for (_, _, patterns), (width, dash) in zip(ends, ((0.6, ":"), (1.0, "-")), strict=True):
        for depth, pattern in patterns.items():
            height = float(np.nanmax(pattern[kept]))
            axes.plot(
                two_theta_deg[kept], pattern[kept] / height + _base(depth),
                color=DEPTH_COLOURS[depth], linewidth=width, linestyle=dash,
            )  # fmt: skip
    rows = _rows(ends)
    middles = draw_rows(
        axes, rows, measured=measured, shown_deg=_SHOWN_DEG, below=-0.35, row_height=0.58
    )
    words = [f"{low:g}–{high:g} µm" for low, high in pairwise(DEPTH_EDGES_UM)]
    heights = [_base(depth) for depth in range(N_DEPTHS)]
    axes.set_xlim(*_SHOWN_DEG)
    panel(axes, "", "intensity; thick: slice 5, dotted: slice 1", x="2θ (°)")
    label_heights(axes, heights + middles, words + [row.label for row in rows])


def _base(depth: int) -> float:
    return _ABOVE * (N_DEPTHS - 1 - depth)


def _rows(ends: Sequence[End]) -> list[Row]:
    """Return the phases to mark: the spinel of the last slice and of the first, then the others."""
    phases = ends[-1][1].phases
    spinel = [
        Row(phases[0], f"{PHASE_WORDS[phases[0]]}, {words}", _mean_A(each, found))
        for words, (each, found, _) in zip(("slice 1", "slice 5"), ends, strict=True)
    ]
    return [*reversed(spinel), *(Row(phase, PHASE_WORDS[phase]) for phase in phases[1:])]


def _mean_A(each: Slice, found: DepthFractions) -> float | None:
    values = each.maps.a_A[(found.label >= 0) & np.isfinite(each.maps.a_A)]
    return float(values.mean()) if values.size else None
