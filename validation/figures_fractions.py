"""Weight fractions of particles and depth shells: recovered against true, and by depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.region_table import RegionTable
from validation.crystals import phase_name
from validation.figures_style import (
    FONT_PT,
    RECOVERED_COLOUR,
    TRUE_COLOUR,
    new_figure,
    note,
    titled,
)
from validation.metrics import true_weight_fractions
from validation.truth import Truth

Floats = NDArray[np.float64]

_HEIGHT_IN = 3.6
_SHOWN_PERCENTILES = (1.0, 99.0)
_LEAST_SPAN_PERCENT = 0.2
_MOST_PHASES = 4
"""Of which there is room for a row each."""


@dataclass(frozen=True, eq=False)
class ShellProfile:
    """Means over the regions of one depth shell, each of shape (shell,), in percent by weight."""

    depth_um: Floats
    """Depths between which each shell lies, shape (shell, 2)."""
    n_regions: NDArray[np.int64]
    true: Floats
    recovered: Floats
    error_sem: Floats
    """Standard error of the mean error, from the scatter of errors; NaN for a single region."""


def shell_profile(fraction: Floats, true: Floats, *, depth_um: Floats) -> ShellProfile:
    """Return the profile of a phase's weight fractions, (region,), over the known regions.

    ``depth_um`` (region, 2) are the depths between which the regions lie.
    """
    known = np.isfinite(fraction) & np.isfinite(true)
    shells, group = np.unique(depth_um[known], axis=0, return_inverse=True)
    n = np.bincount(group.ravel(), minlength=len(shells))
    error = 100.0 * (fraction - true)[known]

    def mean(values: Floats) -> Floats:
        return np.asarray(np.bincount(group.ravel(), values, len(shells)) / n)

    squares = mean((error - mean(error)[group.ravel()]) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        sem = np.sqrt(squares / (n - 1))
    return ShellProfile(
        depth_um=shells,
        n_regions=n,
        true=mean(100.0 * true[known]),
        recovered=mean(100.0 * fraction[known]),
        error_sem=sem,
    )


def fractions_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return, for each phase but the refined one, recovered against true, and both by depth."""
    table = maps.regions
    shown = [] if table is None else list(enumerate(table.phases))[1 : 1 + _MOST_PHASES]
    figure = new_figure(9.6, _HEIGHT_IN * max(1, len(shown)))
    if table is None or not shown:
        axes = figure.subplots()
        note(axes, "there are no regions with more than one phase")
        titled(axes, "Weight fractions", x="", y="")
        return figure
    true = true_weight_fractions(table, truth)
    panels = figure.subplots(len(shown), 2, squeeze=False)
    figure.subplots_adjust(hspace=0.45, wspace=0.25)
    for (scatter, profile), (column, phase) in zip(panels, shown, strict=True):
        _draw_scatter(scatter, table, true[:, column], column, phase_name(phase))
        _draw_profile(profile, table, true[:, column], column, phase_name(phase))
    return figure


def _draw_scatter(axes: Axes, table: RegionTable, true: Floats, column: int, phase: str) -> None:
    """Draw each region's recovered fraction over its true one, with its stated uncertainty."""
    titled(
        axes, f"{phase}, {table.shell.size} regions", x="true weight fraction (%)",
        y="recovered (%)",
    )  # fmt: skip
    known = np.isfinite(table.weight_fraction[:, column]) & np.isfinite(true)
    if not known.any():
        note(axes, "no region could be refined")
        return
    x, y = 100.0 * true[known], 100.0 * table.weight_fraction[known, column]
    axes.errorbar(
        x, y, yerr=100.0 * table.weight_fraction_esd_total[known, column], fmt="o",
        color=RECOVERED_COLOUR, ecolor="0.8", markersize=3.0, elinewidth=0.8, zorder=2,
    )  # fmt: skip
    low, high = _limits(x, y)
    axes.plot([low, high], [low, high], color=TRUE_COLOUR, linewidth=1.5, zorder=1)
    axes.set_ylim(low, high)
    margin = 0.05 * (np.max(x) - np.min(x)) + 0.02 * (high - low)
    axes.set_xlim(np.min(x) - margin, np.max(x) + margin)
    outside = int(np.sum((y < low) | (y > high)))
    if outside:
        axes.text(
            0.98, 0.03, f"{outside} outside", transform=axes.transAxes, ha="right", va="bottom",
            fontsize=FONT_PT, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )  # fmt: skip


def _limits(true: Floats, recovered: Floats) -> tuple[float, float]:
    """Return limits that hold all true and, but for stragglers, all recovered fractions."""
    ends = [true.min(), true.max(), *np.percentile(recovered, _SHOWN_PERCENTILES)]
    low, high = float(min(ends)), float(max(ends))
    margin = 0.08 * (high - low) + 0.5 * _LEAST_SPAN_PERCENT
    return low - margin, high + margin


def _draw_profile(axes: Axes, table: RegionTable, true: Floats, column: int, phase: str) -> None:
    """Draw true and recovered means by depth shell."""
    profile = shell_profile(table.weight_fraction[:, column], true, depth_um=table.depth_um)
    titled(
        axes, f"{phase} by depth shell", x="depth below surface (µm)", y="mean weight fraction (%)"
    )
    if profile.n_regions.size == 0:
        note(axes, "no region could be refined")
        return
    middle_um = profile.depth_um.mean(axis=1)
    axes.plot(
        middle_um, profile.true, "s-", color=TRUE_COLOUR, linewidth=3.0, markersize=7.0,
        label="true",
    )  # fmt: skip
    axes.errorbar(
        middle_um, profile.recovered, yerr=profile.error_sem, fmt="o--", color=RECOVERED_COLOUR,
        linewidth=1.2, markersize=4.0, capsize=3.0, label="recovered",
    )  # fmt: skip
    axes.axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
    axes.legend(fontsize=FONT_PT)
