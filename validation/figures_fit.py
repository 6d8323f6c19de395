"""One voxel's diffraction pattern with its fit, in the manner of a Rietveld plot."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inverse.maps import ExampleFit, Maps
from validation.figures_style import FONT_PT, RECOVERED_COLOUR, new_figure, note, titled

_ZOOM_DEG = 0.3


def fit_figure(maps: Maps) -> Figure:
    """Return the example voxel's pattern, fit, background, and residuals in units of their esd.

    The panels on the right show the surroundings of the strongest reflection.
    """
    figure = new_figure(9.6, 5.2)
    example = maps.example
    if example is None:
        axes = figure.subplots()
        fitted = np.isfinite(maps.a_A).any()
        note(
            axes,
            "rays were fitted, not single voxels' patterns: there is none to show"
            if fitted
            else "no voxel was refined, so there is no fit to show",
        )
        titled(axes, "Rietveld fit", x="", y="")
        return figure
    panels = figure.subplots(2, 2, sharex="col", width_ratios=(2.6, 1.0), height_ratios=(2.4, 1.0))
    for column, upper_title in ((0, _title(maps, example)), (1, "Strongest reflection")):
        upper, lower = panels[0, column], panels[1, column]
        _draw_patterns(upper, example)
        _draw_residuals(lower, example)
        titled(upper, upper_title, x="", y="")
        titled(lower, "", x="scattering angle 2θ (°)", y="")
    panels[0, 0].set_ylabel("normalised intensity", fontsize=FONT_PT)
    panels[1, 0].set_ylabel("residual / esd", fontsize=FONT_PT)
    panels[0, 0].legend(fontsize=FONT_PT)
    panels[0, 0].set_xlim(example.two_theta_deg[0], example.two_theta_deg[-1])
    peak_deg = example.two_theta_deg[_strongest(example)]
    panels[0, 1].set_xlim(peak_deg - _ZOOM_DEG, peak_deg + _ZOOM_DEG)
    return figure


def _title(maps: Maps, example: ExampleFit) -> str:
    iy, ix = example.pixel
    x_um, y_um = maps.scan.offsets_um[[ix, iy]]
    chi2 = maps.chi2_reduced[iy, ix]
    return f"Rietveld fit, voxel at x = {x_um:g} µm, y = {y_um:g} µm (χ²ᵣ = {chi2:.2f})"


def _strongest(example: ExampleFit) -> int:
    above = example.fitted - example.background
    return int(np.argmax(np.where(np.isfinite(above), above, -np.inf)))


def _draw_patterns(axes: Axes, example: ExampleFit) -> None:
    two_theta_deg = example.two_theta_deg
    axes.plot(
        two_theta_deg, example.observed, ".", color="0.45", markersize=4.0, zorder=3.0,
        label="observed",
    )  # fmt: skip
    axes.plot(two_theta_deg, example.fitted, color=RECOVERED_COLOUR, linewidth=1.2, label="fit")
    axes.plot(
        two_theta_deg, example.background, "--", color="black", linewidth=1.0, label="background"
    )


def _draw_residuals(axes: Axes, example: ExampleFit) -> None:
    esd = np.where(example.esd > 0.0, example.esd, np.nan)
    residual = (example.observed - example.fitted) / esd
    axes.plot(example.two_theta_deg, residual, ".", color="0.45", markersize=3.0)
    for level in (-3.0, 0.0, 3.0):
        axes.axhline(level, color="black", linewidth=0.8, linestyle="-" if level == 0 else ":")
