"""How the study's figures are drawn: a journal's double column, lightness that rises with value.

Maps are indexed [y, x] and drawn with y upwards; colours are of monotonic lightness, so that they
read in grey, and curves differ in marker and dash as well as in colour. Lattice parameters have two
scales: one of all states, and one of the discharged state, in which the first would hide all there
is to see.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BAR_TICKS = 5
_GROUND_ALPHA = 0.85
_LONGEST_SHARE = 0.35
"""Of a map's width that a scale bar may take."""

ALL_STATES_A = (8.04, 8.25)
"""Scale of lattice parameters in maps of several states."""
DISCHARGED_A = (8.20, 8.25)
"""Scale in maps of the discharged state (slice 5), of the same colours."""
WIDTH_IN = 7.1
"""180 mm, two columns of a journal."""
FONT_PT = 7.5
LETTER_PT = 10.0
DOTS_PER_INCH = 200

TRUE_COLOUR = "0.45"
RECOVERED_COLOUR = "#0b3c6f"
WINDOW_COLOUR = "#f6c9d0"
SCAN_COLOURS = tuple(colormaps["viridis"](np.linspace(0.0, 0.8, 5)))
SCAN_MARKERS = ("o", "s", "^", "D", "v")
SCAN_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-", (0, (4.0, 1.2)), (0, (1.0, 0.8)), (0, (4.0, 1.0, 1.0, 1.0)), (0, (7.0, 2.0)),
)  # fmt: skip
DEPTH_COLOURS = tuple(colormaps["copper"](np.linspace(0.0, 0.9, 4)))


def _part(name: str, low: float, high: float) -> Colormap:
    """Return part of a map of rising lightness, without what prints like the white of no value."""
    shown = colormaps[name](np.linspace(low, high, 256))
    return ListedColormap(shown, name=f"part_of_{name}").with_extremes(bad="white")


VALUE_COLOURS = _part("viridis", 0.0, 0.93)
ERROR_COLOURS = _part("cividis", 0.07, 0.93)
"""Dark blue below zero, grey at zero, yellow above: signs differ in lightness too."""


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
    bar: bool = False,
) -> AxesImage:
    """Draw a map without ticks, on request with a scale bar instead."""
    n_y, n_x = values.shape
    extent = (0.0, n_x * step_um, 0.0, n_y * step_um)
    image = axes.imshow(
        values, origin="lower", extent=extent, cmap=colours, vmin=limits[0], vmax=limits[1],
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    if bar:
        scale_bar(axes, bar_length_um(extent[1]), extent[1])
    return image


def bar_length_um(width_um: float) -> float:
    """Return the longest of 1, 2, 5, 10, ... µm that takes a third of a map's width at most."""
    most_um = _LONGEST_SHARE * width_um
    decade = 10.0 ** np.floor(np.log10(most_um))
    return float(decade * max(step for step in (1.0, 2.0, 5.0) if step * decade <= most_um))


def scale_bar(axes: Axes, length_um: float, width_um: float) -> None:
    """Draw a bar of a length, and say it, on white so that it reads on any map."""
    margin_um, thick_um = 0.04 * width_um, 0.018 * width_um
    for corner_um, size_um, colour, alpha in (
        (0.0, (length_um + 2.0 * margin_um, thick_um + 1.5 * margin_um), "white", _GROUND_ALPHA),
        (margin_um, (length_um, thick_um), "black", 1.0),
    ):
        axes.add_patch(
            Rectangle((corner_um, corner_um), *size_um, color=colour, alpha=alpha, linewidth=0.0)
        )
    axes.text(
        margin_um, 2.2 * margin_um + thick_um, f"{length_um:g} µm", fontsize=FONT_PT - 1.0,
        ha="left", va="bottom",
        bbox={"facecolor": "white", "alpha": _GROUND_ALPHA, "edgecolor": "none", "pad": 1.0},
    )  # fmt: skip


def colour_bar(image: AxesImage, label: str, *, beside: Axes, beyond: bool = False) -> None:
    """Draw a colour bar as high as the map ``beside`` it; arrows where values lie ``beyond``."""
    place = beside.inset_axes((1.04, 0.0, 0.06, 1.0))
    _filled(place, image, label, beyond=beyond, orientation="vertical")
    place.yaxis.set_major_locator(MaxNLocator(_BAR_TICKS))


def colour_bar_below(image: AxesImage, label: str, *, place: Axes, beyond: bool = False) -> None:
    """Draw a lying colour bar in axes made for it."""
    _filled(place, image, label, beyond=beyond, orientation="horizontal")
    place.xaxis.set_major_locator(MaxNLocator(_BAR_TICKS - 1))


def _filled(place: Axes, image: AxesImage, label: str, *, beyond: bool, orientation: str) -> None:
    whole = place.get_figure(root=True)
    if whole is None:
        raise ValueError("a colour bar needs axes in a figure")
    whole.colorbar(
        image, cax=place, extend="both" if beyond else "neither", orientation=orientation
    ).set_label(label, fontsize=FONT_PT, labelpad=2.0)
    place.tick_params(labelsize=FONT_PT - 0.5, length=2.0, pad=1.5)
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
