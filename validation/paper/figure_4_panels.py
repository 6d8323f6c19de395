"""The panels of figure 4: a particle, its distance map, and the lattice parameter by depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from inverse.depth_profiles import DepthProfile
from validation.paper.depths import Profiles
from validation.paper.particles import NAMES, Found, true_outline
from validation.paper.prepared import Slice
from validation.paper.style import (
    DISCHARGED_A,
    FONT_PT,
    SCAN_COLOURS,
    SCAN_MARKERS,
    colour_bar,
    map_panel,
    panel,
)

_DEEPEST_UM = 10.0
_APART_UM = 0.06
"""Between the symbols of two slices."""


def draw_particle(
    figure: FigureBase,
    last: Slice,
    particle: Found,
    found: Sequence[Profiles],
    best: Sequence[DepthProfile | None],
) -> None:
    """Draw a particle's maps in the last slice, and its profiles in all."""
    above = figure.add_gridspec(
        2, 2, left=0.17, right=0.8, top=0.96, bottom=0.49, wspace=0.06, hspace=0.08
    )
    axes = [[figure.add_subplot(above[row, column]) for column in range(2)] for row in range(2)]
    _maps(axes, last, particle)
    below = figure.add_gridspec(1, 1, left=0.17, right=0.97, top=0.445, bottom=0.075)
    _curves(figure.add_subplot(below[0]), found, best)


def _maps(axes: Sequence[Sequence[Axes]], last: Slice, particle: Found) -> None:
    masks = (particle.recovered, true_outline(last, particle.number))
    step_um = last.maps.scan.step_um
    rows = (
        ((last.maps.a_A, last.true_a_A), DISCHARGED_A, "a (Å)"),
        ((particle.depth_um, last.truth.depth_um), (0.0, _DEEPEST_UM), "depth (µm)"),
    )
    for places, (of_map, limits, label) in zip(axes, rows, strict=True):
        for place, values, mask in zip(places, of_map, masks, strict=True):
            image = map_panel(
                place, np.where(mask, values, np.nan)[particle.box], step_um=step_um,
                limits=limits, bar=place is axes[0][0],
            )  # fmt: skip
        colour_bar(image, label, beside=places[1])
    panel(axes[0][0], "ab"[particle.number], "recovered")
    panel(axes[0][1], "", "true")
    axes[0][0].set_ylabel(NAMES[particle.number], fontsize=FONT_PT)
    axes[1][0].set_ylabel("depth", fontsize=FONT_PT)


def _curves(axes: Axes, found: Sequence[Profiles], best: Sequence[DepthProfile | None]) -> None:
    for scan, (each, of_best) in enumerate(zip(found, best, strict=True)):
        colour, marker, moved_um = SCAN_COLOURS[scan], SCAN_MARKERS[scan], _APART_UM * (scan - 2)
        true = each.true
        axes.plot(true.shell + 0.5, 1e4 * (true.ratio - 1.0), "-", color=colour, linewidth=1.0)
        if of_best is not None:
            axes.plot(
                of_best.edges_um.mean(axis=1) + moved_um, 1e4 * (of_best.ratio - 1.0), "--",
                marker=marker, markersize=3.0, markerfacecolor="white", markeredgewidth=0.6,
                color=colour, linewidth=0.7,
            )  # fmt: skip
        if each.recovered is not None:
            profile = each.recovered
            axes.errorbar(
                profile.edges_um.mean(axis=1) + moved_um, 1e4 * (profile.ratio - 1.0),
                1e4 * profile.ratio_esd_total, fmt=marker, color=colour, markersize=3.5,
                linewidth=0.8, capsize=1.5,
            )  # fmt: skip
    axes.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
    panel(axes, "", x="depth (µm)", y="(LPdepth / LPmean − 1) · 10⁴")
    _legends(axes)


def _legends(axes: Axes) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.45 * (high - low))
    slices = [
        Line2D([], [], color=colour, marker=marker, markersize=3.5, linewidth=0.0, label=f"{k + 1}")
        for k, (colour, marker) in enumerate(zip(SCAN_COLOURS, SCAN_MARKERS, strict=True))
    ]
    kinds = [
        Line2D([], [], color="black", marker="o", markersize=3.5, linewidth=0.0, label="recovered"),
        Line2D(
            [], [], color="black", linestyle="--", linewidth=0.7, marker="o", markersize=3.0,
            markerfacecolor="white", markeredgewidth=0.6, label="true, in the recovered voxels",
        ),
        Line2D([], [], color="black", linewidth=1.0, label="true, by true depth"),
    ]  # fmt: skip
    given = {"fontsize": FONT_PT - 1.0, "frameon": False, "title_fontsize": FONT_PT - 1.0}
    axes.add_artist(
        axes.legend(
            handles=slices, loc="upper right", ncols=2, title="slice", columnspacing=0.8,
            handletextpad=0.1, **given,
        )
    )  # fmt: skip
    axes.legend(handles=kinds, loc="upper left", **given)
