"""Maps of a Rietveld refinement of every voxel: weight fractions, and second lattices.

Each row shows truth, what was found, and the error; true and found values share their colours.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.voxel_maps import RietveldMaps, SecondLatticeMaps
from validation.crystals import phase_name
from validation.figures_style import (
    ERROR_COLOURS,
    FONT_PT,
    VALUE_COLOURS,
    new_figure,
    note,
    titled,
)
from validation.metrics_voxels import (
    refined_lattices,
    true_pair,
    true_voxel_fractions,
)
from validation.truth import Truth

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ROW_IN = 3.7
_MOST_PHASES = 4
"""Of which there is room for a row each."""
_PERCENTILES = (0.5, 99.5)
_ERROR_PERCENTILE = 98.0
_LEAST_SPAN = {"%": 0.2, "Å": 1e-3, "mÅ": 0.1, "": 0.1}
_DECISIONS = ("one, rightly", "two, rightly", "two taken for one", "one taken for two")
_DECISION_COLOURS = ("#d9d9d9", "#1b7837", "#d95f02", "#7570b3")


def phases_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return true and found weight fractions and their error, for all phases but the refined one.

    With a single phase, or none, it says so.
    """
    found = maps.rietveld
    substances = () if found is None else found.substances
    shown = [k for k, own in enumerate(substances) if own.crystal != maps.phase][:_MOST_PHASES]
    figure = _rows(len(shown))
    if found is None or not shown:
        note(figure.subplots(), "no phase was refined beside the one of the lattice parameter")
        return figure
    true = 100.0 * true_voxel_fractions(found, truth, refined=maps.phase)
    # Where there is no more than a trace of anything, a share means nothing.
    solid = _enough(maps, truth)
    panels = figure.subplots(len(shown), 3, squeeze=False)
    for row, k in zip(panels, shown, strict=True):
        name = phase_name(found.substances[k].crystal)
        recovered = 100.0 * found.substances[k].weight_fraction
        _draw_row(
            row, maps, truth, np.where(solid, true[..., k], np.nan), recovered,
            what=f"weight fraction of {name}", unit="%",
        )  # fmt: skip
    return figure


def second_lattice_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return the decisions on a second lattice, and its lattice parameter and share, beside truth.

    Without any it says so.
    """
    found = maps.rietveld
    second = None if found is None else found.second_lattice
    figure = _rows(3 if second is not None else 1)
    if found is None or second is None:
        note(figure.subplots(), "no second lattice was looked for")
        return figure
    panels = figure.subplots(3, 3)
    true_A, true_share = true_pair(truth)
    two = truth.two_lattices & _enough(maps, truth)
    smaller = refined_lattices(maps)[1].quantities["a_A"].value
    _draw_decisions(panels[0], maps, truth, found, second)
    _draw_row(
        panels[1], maps, truth, np.where(two, true_A[1], np.nan), smaller,
        what="a of the smaller lattice", unit="Å",
    )  # fmt: skip
    _draw_row(
        panels[2], maps, truth, np.where(two, 100.0 * true_share, np.nan),
        100.0 * second.share.value, what="share of the smaller lattice", unit="%",
    )  # fmt: skip
    return figure


def _rows(n: int) -> Figure:
    figure = new_figure(13.2, _ROW_IN * max(n, 1), left_in=0.75)
    figure.subplots_adjust(wspace=0.42, hspace=0.42, right=0.94)
    return figure


def _enough(maps: Maps, truth: Truth) -> Bools:
    return np.asarray(truth.volume_fraction >= maps.recipe.min_volume_fraction)


def _draw_row(
    panels: NDArray[np.object_], maps: Maps, truth: Truth, true: Floats, recovered: Floats, *,
    what: str, unit: str,
) -> None:  # fmt: skip
    """Draw truth, what was found, and the error, with a bar of colours beside each."""
    compared = truth.interior & np.isfinite(recovered)
    limits = _limits([true[np.isfinite(true)], recovered[compared]], unit)
    for axes, title, values in ((panels[0], "true", true), (panels[1], "found", recovered)):
        _draw(axes, maps, values, limits, f"{title} {what}", unit)
    factor, of_error = (1e3, "mÅ") if unit == "Å" else (1.0, unit)
    error = factor * (recovered - true)
    sample = np.abs(error[truth.interior & np.isfinite(error)])
    most = float(np.percentile(sample, _ERROR_PERCENTILE)) if sample.size else 0.0
    most = max(most, 0.5 * _LEAST_SPAN[of_error])
    _draw(panels[2], maps, error, (-most, most), "found − true", of_error, is_error=True)


def _limits(samples: list[Floats], unit: str) -> tuple[float, float]:
    ends = [np.percentile(sample, _PERCENTILES) for sample in samples if sample.size]
    low, high = (float(np.min(ends)), float(np.max(ends))) if ends else (0.0, 0.0)
    return low, max(high, low + _LEAST_SPAN[unit])


def _draw(
    axes: Axes, maps: Maps, values: Floats, limits: tuple[float, float], title: str, unit: str, *,
    is_error: bool = False,
) -> None:  # fmt: skip
    titled(axes, title, x="x (µm)", y="y (µm)")
    image = _image(axes, values, maps, ERROR_COLOURS if is_error else VALUE_COLOURS, limits)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, extend="both")
    bar.set_label(unit, fontsize=FONT_PT)
    bar.ax.tick_params(labelsize=FONT_PT)
    bar.ax.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))


def _image(
    axes: Axes, values: Floats, maps: Maps, colours: Colormap, limits: tuple[float, float]
) -> AxesImage:
    half_um = 0.5 * maps.scan.width_um
    return axes.imshow(
        np.ma.masked_invalid(values), origin="lower", cmap=colours, vmin=limits[0], vmax=limits[1],
        extent=(-half_um, half_um, -half_um, half_um), interpolation="nearest",
    )  # fmt: skip


def _draw_decisions(
    panels: NDArray[np.object_], maps: Maps, truth: Truth, found: RietveldMaps,
    second: SecondLatticeMaps,
) -> None:  # fmt: skip
    """Draw what was decided beside the truth, how sure it was, and what fits leave."""
    decided = np.isfinite(second.decision) & _enough(maps, truth)
    yes = second.decision != 0.0
    kinds = np.where(truth.two_lattices, np.where(yes, 1.0, 2.0), np.where(yes, 3.0, 0.0))
    titled(panels[0], "one lattice or two?", x="x (µm)", y="y (µm)")
    _image(
        panels[0], np.where(decided, kinds, np.nan), maps,
        ListedColormap(_DECISION_COLOURS).with_extremes(bad="white"), (-0.5, 3.5),
    )  # fmt: skip
    patches = [Patch(color=c, label=w) for c, w in zip(_DECISION_COLOURS, _DECISIONS, strict=True)]
    panels[0].legend(
        handles=patches, fontsize=FONT_PT - 2.0, loc="upper left", bbox_to_anchor=(1.0, 1.0),
        frameon=False, borderaxespad=0.2,
    )  # fmt: skip
    chi2 = found.chi2_reduced
    _draw(panels[1], maps, chi2, _limits([chi2[np.isfinite(chi2)]], ""), "χ² of the fit", "")
    _draw_channels(panels[2], maps, found)


def _draw_channels(axes: Axes, maps: Maps, found: RietveldMaps) -> None:
    """Draw what refinements leave in each channel, over the angle where it is known."""
    example = maps.example
    place = np.arange(found.mean_square.size) if example is None else example.two_theta_deg
    axes.plot(place, np.sqrt(found.mean_square), color="0.2", linewidth=1.0)
    axes.axhline(1.0, color="0.6", linewidth=0.8)
    x = "channel" if example is None else "scattering angle 2θ (°)"
    titled(axes, "residual / σ, RMS over voxels", x=x, y="")
