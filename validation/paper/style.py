"""How the study's figures are drawn: a journal's double column, lightness that rises with value.

Maps are indexed [y, x] and drawn with y upwards; colours are of monotonic lightness, so that they
read in grey, and curves differ in marker and dash as well as in colour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BAR_TICKS = 5
_TEXT_SHARE = 0.25
"""Of a small map's width that the words of a scale bar take."""

WIDTH_IN = 7.1
"""180 mm, two columns of a journal."""
FONT_PT = 7.5
LETTER_PT = 10.0
DOTS_PER_INCH = 200

TRUE_COLOUR = "0.45"
RECOVERED_COLOUR = "#0b3c6f"
WINDOW_COLOUR = "#f6c9d0"
SCAN_COLOURS = tuple(colormaps["viridis"](np.linspace(0.0, 0.85, 5)))
DEPTH_COLOURS = tuple(colormaps["copper"](np.linspace(0.0, 0.9, 4)))
SCAN_MARKERS = ("o", "s", "^", "D", "v")
VALUE_COLOURS: Colormap = colormaps["viridis"].with_extremes(bad="white")
ERROR_COLOURS: Colormap = colormaps["RdBu_r"].with_extremes(bad="0.85")


def journal_figure(height_in: float) -> Figure:
    """Return an empty figure two columns wide, without the plotting library's global state."""
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    return figure


def parts(figure: FigureBase, n_rows: int, n_columns: int, **given: Any) -> list[SubFigure]:
    """Divide a figure into parts, row by row; ``given`` are options of matplotlib's subfigures."""
    return list(np.ravel(np.asarray(figure.subfigures(n_rows, n_columns, **given))))


def panel(axes: Axes, letter: str, title: str = "", *, x: str = "", y: str = "") -> None:
    """Letter a panel as journals do, and label it."""
    axes.set_title(title, fontsize=FONT_PT, loc="center")
    if letter:
        axes.text(
            -0.02, 1.03, letter, transform=axes.transAxes, fontsize=LETTER_PT, weight="bold",
            ha="right", va="bottom",
        )  # fmt: skip
    axes.set_xlabel(x, fontsize=FONT_PT, labelpad=1.5)
    axes.set_ylabel(y, fontsize=FONT_PT, labelpad=1.5)
    axes.tick_params(labelsize=FONT_PT, length=2.0, pad=1.5)


def map_panel(
    axes: Axes,
    values: Floats,
    *,
    step_um: float,
    limits: tuple[float, float],
    colours: Colormap = VALUE_COLOURS,
    bar_um: float | None = None,
) -> AxesImage:
    """Draw a map without ticks, with a scale bar instead."""
    n_y, n_x = values.shape
    extent = (0.0, n_x * step_um, 0.0, n_y * step_um)
    image = axes.imshow(
        values, origin="lower", extent=extent, cmap=colours, vmin=limits[0], vmax=limits[1],
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    if bar_um is not None:
        scale_bar(axes, bar_um, extent[1])
    return image


def scale_bar(axes: Axes, length_um: float, width_um: float) -> None:
    """Draw a bar of a length, and say it, on white so that it reads on any map."""
    left_um, low_um = 0.04 * width_um, 0.045 * width_um
    ground_um = max(length_um, _TEXT_SHARE * width_um) + 2.0 * left_um
    axes.add_patch(
        Rectangle((0.0, 0.0), ground_um, 0.17 * width_um, color="white", alpha=0.85, linewidth=0.0)
    )
    axes.add_patch(
        Rectangle((left_um, low_um), length_um, 0.018 * width_um, color="black", linewidth=0.0)
    )
    axes.text(
        left_um, low_um + 0.03 * width_um, f"{length_um:g} µm", fontsize=FONT_PT - 1.0,
        ha="left", va="bottom",
    )  # fmt: skip


def colour_bar(
    figure: FigureBase, image: AxesImage, label: str, *, place: Axes, beyond: bool = False
) -> None:
    """Draw a colour bar in axes made for it, with arrows where values lie ``beyond`` it."""
    extend = "both" if beyond else "neither"
    figure.colorbar(image, cax=place, extend=extend).set_label(label, fontsize=FONT_PT)
    place.tick_params(labelsize=FONT_PT, length=2.0)
    place.yaxis.set_major_locator(MaxNLocator(_BAR_TICKS))
    place.ticklabel_format(useOffset=False)


def shade_windows(axes: Axes, windows: Sequence[tuple[float, float]]) -> None:
    """Shade ranges of the horizontal axis in which no single phase exists."""
    for low, high in windows:
        axes.axvspan(
            low, high, color=WINDOW_COLOUR, linewidth=0.0, zorder=0, label="no single phase"
        )


def pdf(figure: Figure) -> bytes:
    """Return the figure as PDF, without a date: equal figures, equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None})
    return buffer.getvalue()
