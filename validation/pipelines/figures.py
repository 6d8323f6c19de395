"""Pictures of several pipelines: their error maps on one scale, their radial profiles together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from inverse.maps import Maps
from validation.figures_maps import (
    ERROR_PERCENTILE,
    error_colour_bar,
    error_limit_mA,
    error_mA,
)
from validation.figures_profiles import radial_profile
from validation.figures_style import (
    ERROR_COLOURS,
    FONT_PT,
    TRUE_COLOUR,
    TWO_LATTICES_COLOUR,
    axes_at,
    new_figure,
    note,
    titled,
)
from validation.metrics import scored_voxels
from validation.truth import Truth
from xrdct.scan import Scan

_PANEL_IN, _GAP_IN, _LEFT_IN, _BOTTOM_IN, _TOP_IN, _BAR_IN = 3.3, 0.4, 0.85, 0.6, 0.4, 1.25
_MOST_IN_A_ROW = 3
_LONGEST_TITLE = 34
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, told apart by the colour-blind."""
_MARKERS = "os^Dvx*P"
_MOST_CROSSES = 200


def common_limit_mA(maps: Mapping[str, Maps], truths: Mapping[str, Truth]) -> float:
    """Return where the colours of all error maps end: the geometric mean of the pipelines' limits.

    That of each is the 98th percentile of its |error|; the mean of their logarithms neither drowns
    a good map nor saturates all of a bad one.
    """
    limits = [error_limit_mA(its, truths[label]) for label, its in maps.items()]
    return float(np.exp(np.mean(np.log(limits))))


def error_maps_figure(maps: Mapping[str, Maps], truths: Mapping[str, Truth]) -> Figure:
    """Return the error maps of all pipelines side by side, with the same colours."""
    n = len(maps)
    columns = min(n, _MOST_IN_A_ROW)
    rows = -(-n // columns)
    row_in = _PANEL_IN + _BOTTOM_IN + _TOP_IN
    width_in = _LEFT_IN + columns * (_PANEL_IN + _GAP_IN) + _BAR_IN
    figure = new_figure(width_in, rows * row_in)
    limit_mA = common_limit_mA(maps, truths)
    for number, (label, its) in enumerate(maps.items()):
        row, column = divmod(number, columns)
        bottom_in = (rows - 1 - row) * row_in + _BOTTOM_IN
        axes = axes_at(
            figure, left_in=_LEFT_IN + column * (_PANEL_IN + _GAP_IN), bottom_in=bottom_in,
            width_in=_PANEL_IN, height_in=_PANEL_IN,
        )  # fmt: skip
        image = _draw_error(axes, its, truths[label], limit_mA)
        titled(axes, _shown(label), x="x (µm)", y="y (µm)" if column == 0 else "")
        if column:
            axes.set_yticklabels([])
    bar = axes_at(
        figure, left_in=width_in - _BAR_IN + 0.05, bottom_in=(rows - 1) * row_in + _BOTTOM_IN,
        width_in=0.18, height_in=_PANEL_IN,
    )  # fmt: skip
    error_colour_bar(figure, image, bar)
    return figure


def _shown(label: str) -> str:
    return label if len(label) <= _LONGEST_TITLE else f"{label[: _LONGEST_TITLE - 1]}…"


def _draw_error(axes: Axes, maps: Maps, truth: Truth, limit_mA: float) -> AxesImage:
    """Draw an error map; dark grey where two lattices share a voxel, crosses where one was lost."""
    image = _image(axes, error_mA(maps, truth), maps.scan, ERROR_COLOURS, limit_mA)
    apart = truth.two_lattices & np.isfinite(truth.a_A) & np.isfinite(maps.a_A)
    grey = ListedColormap([TWO_LATTICES_COLOUR])
    _image(axes, np.where(apart, 0.0, np.nan), maps.scan, grey, 1.0)
    y, x = np.nonzero(scored_voxels(truth, truth.interior) & ~np.isfinite(maps.a_A))
    marker = "x" if x.size <= _MOST_CROSSES else ","
    offsets_um = maps.scan.offsets_um
    axes.plot(offsets_um[x], offsets_um[y], marker, color="black", markersize=4.0)
    return image


def _image(
    axes: Axes, values: NDArray[np.float64], scan: Scan, colours: Colormap, limit: float
) -> AxesImage:
    half_um = 0.5 * scan.width_um
    return axes.imshow(
        np.ma.masked_invalid(values), origin="lower", interpolation="nearest", cmap=colours,
        extent=(-half_um, half_um, -half_um, half_um), vmin=-limit, vmax=limit,
    )  # fmt: skip


def scale_note(maps: Mapping[str, Maps], truths: Mapping[str, Truth]) -> str:
    """Say where the colours of the error maps end."""
    return (
        f"Colours end at ±{common_limit_mA(maps, truths):.3g} mÅ, the geometric mean of the "
        f"pipelines' {ERROR_PERCENTILE:.0f}th percentiles of |error|."
    )


def profiles_figure(maps: Mapping[str, Maps], truths: Mapping[str, Truth]) -> Figure:
    """Return the radial profiles of all pipelines in one particle, above their errors."""
    figure = new_figure(8.2, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1.0))
    profiles = {label: radial_profile(its, truth=truths[label]) for label, its in maps.items()}
    found = {label: profile for label, profile in profiles.items() if profile is not None}
    if not found:
        note(upper, "no particle with a recovered interior voxel")
        lower.set_axis_off()
        return figure
    fullest = max(found.values(), key=lambda profile: int(profile.n_voxels.sum()))
    upper.plot(
        fullest.depth_um, fullest.true_A, "-", color=TRUE_COLOUR, linewidth=5.0, label="true"
    )
    lower.axhline(0.0, color=TRUE_COLOUR, linewidth=1.5)
    aside = np.linspace(-0.18, 0.18, len(found)) if len(found) > 1 else np.zeros(1)
    for number, (label, profile) in enumerate(found.items()):
        style = {
            "color": _COLOURS[number % len(_COLOURS)],
            "marker": _MARKERS[number % len(_MARKERS)],
            "markersize": 4.5,
            "linewidth": 1.0,
            "capsize": 2.0,
        }
        depth_um = profile.depth_um + aside[number]  # beside each other, or bars would cover bars
        upper.errorbar(
            depth_um, profile.recovered_A, yerr=profile.recovered_sem_A, label=_shown(label),
            **style,
        )  # fmt: skip
        lower.errorbar(depth_um, profile.error_mA, yerr=profile.error_sem_mA, **style)
    upper.legend(fontsize=FONT_PT)
    titled(upper, "Radial profile of the largest section", x="", y="lattice parameter a (Å)")
    titled(lower, "", x="depth below surface (µm)", y="refined − true\n(mÅ)")
    return figure
