"""What all figures share: size, colours, and the way to PNG.

Figures are built from `matplotlib.figure.Figure` and drawn by Agg, without the plotting library's
global state, so they may be made in any thread and no window system is asked for.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

FONT_PT = 10.0
TITLE_PT = 11.0
DOTS_PER_INCH = 110

TRUE_COLOUR = "0.55"
RECOVERED_COLOUR = "#08306b"
WINDOW_COLOUR = "#f4b6c2"
TWO_LATTICES_COLOUR = "0.55"

VALUE_COLOURS: Colormap = ListedColormap(
    colormaps["viridis"](np.linspace(0.0, 0.93, 256)), name="viridis_without_its_lightest"
).with_extremes(bad="0.94")
"""Perceptually uniform; its lightest end is left out, or it would print like the NaN grey."""

ERROR_COLOURS: Colormap = colormaps["RdBu_r"].with_extremes(bad="0.84")
"""Diverging, white at zero; NaN is a darker grey than elsewhere, to be told from that white."""


# Layout engines that measure every label take as long again as the drawing, so room is given here.
_LEFT_IN, _RIGHT_IN, _BOTTOM_IN, _TOP_IN = 0.9, 0.2, 0.65, 0.4


def new_figure(width_in: float, height_in: float, *, left_in: float = _LEFT_IN) -> Figure:
    """Return an empty figure with Agg behind it and room for labels round its subplots."""
    figure = Figure(figsize=(width_in, height_in), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=left_in / width_in,
        right=1.0 - _RIGHT_IN / width_in,
        bottom=_BOTTOM_IN / height_in,
        top=1.0 - _TOP_IN / height_in,
    )
    return figure


def axes_at(
    figure: Figure, *, left_in: float, bottom_in: float, width_in: float, height_in: float
) -> Axes:
    """Return new axes at a place given in inches."""
    across, up = figure.get_size_inches()
    place = (left_in / across, bottom_in / up, width_in / across, height_in / up)
    return figure.add_axes(place)


def titled(axes: Axes, title: str, *, x: str, y: str) -> None:
    """Set title and axis labels, and write tick values in full instead of as offsets."""
    axes.set_title(title, fontsize=TITLE_PT)
    axes.set_xlabel(x, fontsize=FONT_PT)
    axes.set_ylabel(y, fontsize=FONT_PT)
    axes.tick_params(labelsize=FONT_PT)
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), ScalarFormatter):
            axis.set_major_formatter(ScalarFormatter(useOffset=False))


def note(axes: Axes, text: str) -> None:
    """Say inside empty axes why they are empty."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=FONT_PT,
        wrap=True,
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])


def png(figure: Figure, *, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Return the figure as PNG, without a program name or date: equal figures, equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()
