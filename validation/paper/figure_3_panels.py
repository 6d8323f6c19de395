"""The panels of figure 3: the two particles in slice 5, and their histograms in all slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from validation.paper.histograms import draw_histograms
from validation.paper.particles import NAMES, Found, true_outline
from validation.paper.prepared import Slice
from validation.paper.residuals import Residuals, Z, draw_error_histogram, draw_z_histogram
from validation.paper.segmented import (
    FOUND_ONLY,
    RIGHT,
    TRUE_ONLY,
    confusion_handles,
    draw_confusion,
    mask_confusion,
    say_confusion,
)
from validation.paper.style import (
    DISCHARGED_A,
    ERROR_COLOURS,
    FONT_PT,
    colour_bar_below,
    map_panel,
    panel,
)

Floats = NDArray[np.float64]

_HALF_SHOWN_A = 0.03
_BIN_A = 0.001
_TICK_BINS = 20
_COARSE = 0.5
"""Bin of errors, in mÅ and in uncertainties: a particle has few voxels."""
_TITLES = ("recovered", "true", "error/σ", "outline")


def draw_particles(
    figure: FigureBase, last: Slice, errors: Residuals, particles: Sequence[Found]
) -> None:
    """Draw the last slice, and the particles in it with their truth and errors."""
    grid = figure.add_gridspec(
        3, 6, width_ratios=(2.25, 0.02, 1.0, 1.0, 1.0, 1.0), height_ratios=(1.0, 1.0, 0.07),
        left=0.035, right=0.99, top=0.93, bottom=0.13, wspace=0.08, hspace=0.44,
    )  # fmt: skip
    _whole(figure.add_subplot(grid[:2, 0]), last, particles)
    axes = np.array([[figure.add_subplot(grid[row, 2 + k]) for k in range(4)] for row in range(2)])
    for place, title in zip(axes[0], _TITLES, strict=True):
        panel(place, "", title)
    for row, found in enumerate(particles):
        _particle(axes[row], last, errors, found)
        axes[row, 0].set_ylabel(NAMES[found.number], fontsize=FONT_PT)
    _keys(figure, grid, axes[0])


def _whole(axes: Axes, last: Slice, particles: Sequence[Found]) -> None:
    step_um = last.maps.scan.step_um
    map_panel(axes, last.maps.a_A, step_um=step_um, limits=DISCHARGED_A, bar=True)
    panel(axes, "a", "slice 5, recovered")
    for found in particles:
        y, x = found.box
        axes.add_patch(
            Rectangle(
                (x.start * step_um, y.start * step_um), (x.stop - x.start) * step_um,
                (y.stop - y.start) * step_um, fill=False, color="black", linewidth=1.0,
            )
        )  # fmt: skip
        axes.text(
            x.stop * step_um, y.stop * step_um, str(found.number + 1), fontsize=FONT_PT,
            weight="bold", ha="right", va="bottom",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


def _particle(axes: Sequence[Axes], last: Slice, errors: Residuals, found: Found) -> None:
    box, step_um = found.box, last.maps.scan.step_um
    map_panel(axes[0], last.maps.a_A[box], step_um=step_um, limits=DISCHARGED_A, bar=True)
    map_panel(axes[1], last.true_a_A[box], step_um=step_um, limits=DISCHARGED_A)
    map_panel(
        axes[2], errors.z[box], step_um=step_um, limits=(-Z, Z), colours=ERROR_COLOURS,
    )  # fmt: skip
    kind = mask_confusion(found.recovered, true_outline(last, found.number))
    draw_confusion(axes[3], kind[box], step_um=step_um)
    say_confusion(axes[3], kind)


def _keys(figure: FigureBase, grid: GridSpec, axes: Sequence[Axes]) -> None:
    """Draw what the colours of the columns of maps mean, below them."""
    for columns, image, label in (
        (slice(2, 4), axes[0].images[0], "a (Å), scale of figures 3 and 4"),
        (slice(4, 5), axes[2].images[0], "error/σ"),
    ):
        place = figure.add_subplot(grid[2, columns])
        colour_bar_below(image, label, place=place, beyond=True)
    place = figure.add_subplot(grid[2, 5])
    place.set_axis_off()
    place.legend(
        handles=confusion_handles((RIGHT, TRUE_ONLY, FOUND_ONLY)), fontsize=FONT_PT - 1.0,
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.6), handlelength=1.0,
        labelspacing=0.2,
    )  # fmt: skip


def draw_histogram_rows(
    figure: FigureBase, slices: Sequence[Slice], found: Sequence[Sequence[Found]]
) -> None:
    """Draw the histograms of each particle, a row, in each slice, a column."""
    axes = figure.subplots(
        2, len(slices), sharex="col", sharey="row",
        gridspec_kw={
            "left": 0.085, "right": 0.985, "top": 0.85, "bottom": 0.15, "wspace": 0.07,
            "hspace": 0.24,
        },
    )  # fmt: skip
    for column, each in enumerate(slices):
        edges_A = _edges_A(each, [of_particle[column] for of_particle in found])
        for row, of_particle in enumerate(found):
            particle, place = of_particle[column], axes[row, column]
            draw_histograms(
                place, each.maps.a_A[particle.recovered], each.true_a_A[particle.true], edges_A
            )
            place.set_xticks(edges_A[_TICK_BINS // 2 :: _TICK_BINS])
            panel(
                place, ("b", "c")[row] if column == 0 else "",
                f"slice {column + 1}" if row == 0 else "", x="a (Å)" if row == 1 else "",
                y=f"{NAMES[row]}\nvoxels (% per mÅ)" if column == 0 else "",
            )  # fmt: skip
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), fontsize=FONT_PT - 0.5, frameon=False, ncols=3,
        loc="upper center", bbox_to_anchor=(0.53, 1.01),
    )  # fmt: skip


def _edges_A(each: Slice, particles: Sequence[Found]) -> Floats:
    """Return bins about the middle between the particles' true means."""
    means = [float(np.nanmean(each.true_a_A[particle.true])) for particle in particles]
    middle_A = round(float(np.mean(means)), 2)
    n_bins = round(_HALF_SHOWN_A / _BIN_A)
    return np.asarray(middle_A + _BIN_A * np.arange(-n_bins, n_bins + 1))


def draw_errors(
    figure: FigureBase, errors: Sequence[Residuals], found: Sequence[Sequence[Found]]
) -> None:
    """Draw the histograms of both particles' errors."""
    axes = figure.subplots(
        1, 4,
        gridspec_kw={"left": 0.085, "right": 0.985, "top": 0.76, "bottom": 0.26, "wspace": 0.45},
    )  # fmt: skip
    for number, of_particle in enumerate(found):
        own = [
            each.within(particle.recovered & particle.true)
            for each, particle in zip(errors, of_particle, strict=True)
        ]
        left, right = axes[2 * number : 2 * number + 2]
        draw_error_histogram(left, own, "d" if number == 0 else "", NAMES[number], step=_COARSE)
        draw_z_histogram(right, own, NAMES[number], step=_COARSE)
    figure.legend(
        *axes[1].get_legend_handles_labels(), fontsize=FONT_PT - 0.5, frameon=False, ncols=6,
        loc="upper center", handlelength=2.6, columnspacing=1.2, bbox_to_anchor=(0.53, 1.03),
    )  # fmt: skip
