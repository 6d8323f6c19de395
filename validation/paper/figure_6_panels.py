"""The panels of figure 6: regions of the degraded electrode, their patterns, their contents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from inverse.lattice_regions import LatticeRegions
from inverse.region_analysis import RegionAnalysis
from validation.paper.degraded_regions import NAMES
from validation.paper.histograms import draw_histograms
from validation.paper.phases import PHASE_WORDS, leave_room, offsets, phase_handles, stacked_bar
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
from validation.paper.style import (
    ALL_STATES_A,
    FONT_PT,
    SCAN_COLOURS,
    colour_bar,
    map_panel,
    panel,
)
from validation.paper.ticks import Row, draw_rows, label_heights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHOWN_DEG = (2.6, 11.0)
_ABOVE = 1.4
"""Between patterns, of which each is 1 high."""
_ROW = 0.3
_KINDS = (TRUE_ONLY, FOUND_ONLY, OTHER)


def draw_maps(figure: FigureBase, each: Slice, regions: LatticeRegions, true_label: Ints) -> None:
    """Draw the maps of a, recovered and true, voxels in wrong regions, and histograms."""
    left = figure.add_gridspec(1, 2, left=0.035, right=0.42, top=0.88, bottom=0.24, wspace=0.06)
    maps, step_um = each.maps, each.maps.scan.step_um
    for column, (words, values_A) in enumerate((("recovered", maps.a_A), ("true", each.true_a_A))):
        axes = figure.add_subplot(left[column])
        image = map_panel(
            axes, values_A, step_um=step_um, limits=ALL_STATES_A, bar=words == "recovered"
        )
        panel(axes, "b" if words == "recovered" else "", words)
    colour_bar(image, "a (Å)", beside=axes, beyond=True)
    middle = figure.add_gridspec(1, 1, left=0.51, right=0.7, top=0.88, bottom=0.24)
    _wrong(figure.add_subplot(middle[0]), confusion(regions.label, true_label), step_um)
    right = figure.add_gridspec(1, 1, left=0.765, right=0.985, top=0.74, bottom=0.24)
    _histogram(figure.add_subplot(right[0]), each, regions)


def _wrong(axes: Axes, kind: Floats, step_um: float) -> None:
    draw_confusion(axes, kind, step_um=step_um)
    panel(axes, "", "region wrong")
    say_confusion(axes, kind, _KINDS)
    axes.legend(
        handles=confusion_handles(_KINDS), fontsize=FONT_PT - 1.0, frameon=False,
        loc="upper right", bbox_to_anchor=(-0.03, -0.02), handlelength=1.0, labelspacing=0.2,
    )  # fmt: skip


def _histogram(axes: Axes, each: Slice, regions: LatticeRegions) -> None:
    draw_histograms(axes, each.maps.a_A, each.true_a_A)
    for edge_A in regions.edges_A[1:, 0]:
        threshold = axes.axvline(edge_A, color="black", linewidth=0.8, linestyle="--")
    threshold.set_label("threshold")
    axes.legend(
        fontsize=FONT_PT - 1.0, frameon=False, loc="lower center", ncols=2,
        bbox_to_anchor=(0.45, 1.0), columnspacing=0.8, handlelength=1.4,
    )  # fmt: skip
    panel(axes, "", x="a (Å)", y="voxels (% per 2.5 mÅ)")


def draw_patterns(figure: FigureBase, each: Slice, contents: RegionAnalysis) -> None:
    """Draw the regions' patterns with the lines of every phase."""
    axes = figure.subplots(gridspec_kw={"left": 0.225, "right": 0.985, "top": 0.93, "bottom": 0.13})
    measured = each.experiment
    two_theta_deg = np.degrees(measured.geometry.two_theta_rad)
    kept = (two_theta_deg > _SHOWN_DEG[0]) & (two_theta_deg < _SHOWN_DEG[1])
    heights, words = [], []
    for region, pattern in enumerate(contents.patterns.values[:, kept]):
        base, a_A = _ABOVE * region, float(contents.a_A[region])
        axes.plot(
            two_theta_deg[kept], pattern / float(np.nanmax(pattern)) + base,
            color=SCAN_COLOURS[2 * region], linewidth=0.8,
        )  # fmt: skip
        spinel = Row(contents.phases[0], f"{PHASE_WORDS[contents.phases[0]]} {a_A:.3f} Å", a_A)
        middle = draw_rows(
            axes, [spinel], measured=measured, shown_deg=_SHOWN_DEG, below=base - 0.08,
            row_height=_ROW,
        )  # fmt: skip
        heights += [base + 0.12, *middle]
        words += [NAMES[region], spinel.label]
    rows = [Row(phase, PHASE_WORDS[phase]) for phase in contents.phases[1:]]
    heights += draw_rows(
        axes, rows, measured=measured, shown_deg=_SHOWN_DEG, below=-0.08 - _ROW, row_height=_ROW
    )
    axes.set_xlim(*_SHOWN_DEG)
    panel(axes, "c", "intensity (arb. units, offset)", x="2θ (°)")
    label_heights(axes, heights, words + [row.label for row in rows])


def draw_bars(figure: FigureBase, ways: Sequence[RegionAnalysis], truths: Sequence[Floats]) -> None:
    """Draw the weight fractions of each region by every way of integration, and the true ones."""
    axes = figure.subplots(gridspec_kw={"left": 0.2, "right": 0.96, "top": 0.93, "bottom": 0.13})
    for region in range(len(NAMES)):
        *of_ways, of_truth = region + offsets(len(ways) + 1)
        for place, found, true in zip(of_ways, ways, truths, strict=True):
            stacked_bar(
                axes, place, found.phases, 1e2 * found.weight_fraction[region],
                esd=1e2 * found.esd_total[region], true=1e2 * true[region],
            )  # fmt: skip
        stacked_bar(axes, of_truth, ways[0].phases, 1e2 * truths[0][region])
    axes.axhline(0.0, color="black", linewidth=0.5)
    axes.set_xticks(range(len(NAMES)), NAMES)
    leave_room(axes)
    handles = phase_handles(axes, ways[0].phases)
    axes.legend(handles=handles, fontsize=FONT_PT - 0.5, frameon=False, loc="upper right")
    panel(axes, "d", "bars: recovered, true (pale)", y="weight fraction (%)")
