"""Maps of the lattice parameter: true, recovered, and the error between them.

Maps are indexed [y, x] and drawn with y upwards, each voxel a square of one step about its raster
position. True and recovered values share their colour limits.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray

from inverse.maps import Maps
from validation.figures_style import (
    ERROR_COLOURS,
    FONT_PT,
    TWO_LATTICES_COLOUR,
    VALUE_COLOURS,
    axes_at,
    new_figure,
    titled,
)
from validation.metrics import scored_voxels
from validation.truth import Truth
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ERROR_PERCENTILE = 98.0
"""Share of the scored voxels' |error| inside the limits of the error map, in percent."""

_VALUE_PERCENTILES = (0.5, 99.5)
_LEAST_SPAN_A = 1e-3
_LEAST_ERROR_MA = 1e-3
_MOST_CROSSES = 200
_EDGE_IN = 4.1
_NOTE_IN = 0.55


def truth_map_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return the map of the true lattice parameter, where there is material enough to refine."""
    figure, axes, bar = _map_figure()
    lattice_colour_bar(figure, draw_truth(axes, maps, truth), bar)
    return figure


def recovered_map_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return the map of the recovered lattice parameter, with the colour limits of the true one."""
    figure, axes, bar = _map_figure()
    lattice_colour_bar(figure, draw_recovered(axes, maps, truth), bar)
    return figure


def error_map_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return the map of recovered minus true lattice parameter, in mÅ, with its limits stated."""
    figure, axes, bar = _map_figure(note_in=_NOTE_IN)
    error_colour_bar(figure, draw_error(axes, maps, truth), bar)
    figure.text(0.5, 0.02, error_note(maps, truth), ha="center", va="bottom", fontsize=FONT_PT)
    return figure


def _map_figure(*, note_in: float = 0.0) -> tuple[Figure, Axes, Axes]:
    """Return a figure with axes for a map and for its colour bar, and room for a note below."""
    bottom_in = 0.6 + note_in
    figure = new_figure(6.4, bottom_in + _EDGE_IN + 0.4)
    axes = axes_at(figure, left_in=0.85, bottom_in=bottom_in, width_in=_EDGE_IN, height_in=_EDGE_IN)
    bar = axes_at(figure, left_in=5.15, bottom_in=bottom_in, width_in=0.2, height_in=_EDGE_IN)
    return figure, axes, bar


def draw_truth(axes: Axes, maps: Maps, truth: Truth) -> AxesImage:
    """Draw the true map."""
    enough = truth.volume_fraction >= maps.recipe.min_volume_fraction
    values = np.where(enough, truth.a_A, np.nan)
    titled(axes, "True lattice parameter", x="x (µm)", y="y (µm)")
    return _image(axes, values, maps.scan, VALUE_COLOURS, lattice_limits_A(maps, truth))


def draw_recovered(axes: Axes, maps: Maps, truth: Truth) -> AxesImage:
    """Draw the recovered map."""
    titled(axes, "Refined lattice parameter", x="x (µm)", y="y (µm)")
    return _image(axes, maps.a_A, maps.scan, VALUE_COLOURS, lattice_limits_A(maps, truth))


def draw_error(axes: Axes, maps: Maps, truth: Truth) -> AxesImage:
    """Draw the error map, with the voxels that have no error to show marked."""
    limit_mA = error_limit_mA(maps, truth)
    titled(axes, "Error (refined − true)", x="x (µm)", y="y (µm)")
    image = _image(axes, error_mA(maps, truth), maps.scan, ERROR_COLOURS, (-limit_mA, limit_mA))
    apart = _compared_apart(maps, truth)
    _image(
        axes, np.where(apart, 1.0, np.nan), maps.scan, ListedColormap([TWO_LATTICES_COLOUR]),
        (0.0, 1.0),
    )  # fmt: skip
    y, x = np.nonzero(_missed(maps, truth))
    marker = "x" if x.size <= _MOST_CROSSES else ","
    offsets_um = maps.scan.offsets_um
    axes.plot(offsets_um[x], offsets_um[y], marker, color="black", markersize=4.0)
    return image


def lattice_limits_A(maps: Maps, truth: Truth) -> tuple[float, float]:
    """Return the colour limits of true and recovered maps alike, in Å.

    They hold 99 % of the true values and 99 % of the recovered ones of interior voxels. Without
    either they are the limits of the refinement.
    """
    interior = scored_voxels(truth, truth.interior)
    enough = truth.volume_fraction >= maps.recipe.min_volume_fraction
    samples = [_finite(truth.a_A[enough]), _finite(maps.a_A[interior])]
    ends = [np.percentile(sample, _VALUE_PERCENTILES) for sample in samples if sample.size]
    if not ends:
        return maps.recipe.phase.a_min_A, maps.recipe.phase.a_max_A
    low, high = float(np.min(ends)), float(np.max(ends))
    short = max(0.0, _LEAST_SPAN_A - (high - low))
    return low - short / 2, high + short / 2


def error_mA(maps: Maps, truth: Truth) -> Floats:
    """Return recovered minus true lattice parameter in mÅ, NaN where two lattices share a voxel."""
    return np.where(truth.two_lattices, np.nan, 1000.0 * (maps.a_A - truth.a_A))


def error_limit_mA(maps: Maps, truth: Truth) -> float:
    """Return the 98th percentile of |error| over the scored interior voxels, in mÅ.

    Without one of these, over all voxels that have an error; without any, a thousandth of a mÅ.
    """
    return _error_limit_mA(maps, truth)[0]


def _error_limit_mA(maps: Maps, truth: Truth) -> tuple[float, str]:
    errors = error_mA(maps, truth)
    for where, name in ((truth.interior, "interior voxels"), (..., "all voxels")):
        sample = np.abs(_finite(errors[where]))
        if sample.size:
            return max(float(np.percentile(sample, ERROR_PERCENTILE)), _LEAST_ERROR_MA), name
    return _LEAST_ERROR_MA, "no voxel"


def error_note(maps: Maps, truth: Truth) -> str:
    """Say what the error map's colours end at, and what its other marks mean."""
    limit_mA, where = _error_limit_mA(maps, truth)
    marks = []
    if _missed(maps, truth).any():
        marks.append("black: interior, not recovered")
    if _compared_apart(maps, truth).any():
        marks.append("dark grey: two lattices, scored apart")
    return (
        f"colours end at ±{limit_mA:.3g} mÅ, the {ERROR_PERCENTILE:.0f}th percentile of |error| "
        f"({where})\n{'; '.join(marks)}"
    )


def _missed(maps: Maps, truth: Truth) -> Bools:
    return scored_voxels(truth, truth.interior) & ~np.isfinite(maps.a_A)


def _compared_apart(maps: Maps, truth: Truth) -> Bools:
    return truth.two_lattices & np.isfinite(truth.a_A) & np.isfinite(maps.a_A)


def lattice_colour_bar(figure: Figure, image: AxesImage, bar: Axes) -> None:
    """Make the colour bar of true and recovered maps in the axes ``bar``."""
    _colour_bar(figure, image, bar, "lattice parameter a (Å)")


def error_colour_bar(figure: Figure, image: AxesImage, bar: Axes) -> None:
    """Make the colour bar of the error map in the axes ``bar``."""
    _colour_bar(figure, image, bar, "error of a (mÅ)")


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _image(
    axes: Axes, values: Floats, scan: Scan, colours: Colormap, limits: tuple[float, float]
) -> AxesImage:
    half_um = 0.5 * scan.width_um
    return axes.imshow(
        np.ma.masked_invalid(values),
        origin="lower",
        extent=(-half_um, half_um, -half_um, half_um),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )


def _colour_bar(figure: Figure, image: AxesImage, bar: Axes, label: str) -> None:
    colour_bar = figure.colorbar(image, cax=bar, extend="both", extendfrac=0.04)
    colour_bar.set_label(label, fontsize=FONT_PT)
    bar.tick_params(labelsize=FONT_PT)
    bar.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
