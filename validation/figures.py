"""Every figure of the report by name, and the one picture that stands for the whole."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inverse.maps import Maps
from validation.figures_fit import fit_figure
from validation.figures_maps import (
    draw_error,
    draw_recovered,
    draw_truth,
    error_colour_bar,
    error_map_figure,
    lattice_colour_bar,
    recovered_map_figure,
    truth_map_figure,
)
from validation.figures_profiles import (
    draw_radial,
    histogram_figure,
    radial_figure,
    radial_profile,
)
from validation.figures_style import RECOVERED_COLOUR, axes_at, new_figure, titled
from validation.truth import Truth

__all__ = [
    "error_map_figure",
    "fit_figure",
    "histogram_figure",
    "picture_figure",
    "radial_figure",
    "recovered_map_figure",
    "timing_figure",
    "truth_map_figure",
]

_PANEL_IN = 2.5


def timing_figure(timing_s: Mapping[str, float]) -> Figure:
    """Return bars of the time each step took, first step on top; ``total`` goes in the title."""
    steps = [name for name in timing_s if name != "total"]
    figure = new_figure(6.4, 1.1 + 0.32 * max(len(steps), 1), left_in=1.2)
    axes = figure.subplots()
    bars = axes.barh(steps, [timing_s[name] for name in steps], color=RECOVERED_COLOUR)
    axes.bar_label(bars, fmt="%.2f s", padding=4.0)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    total = f", {timing_s['total']:.2f} s in all" if "total" in timing_s else ""
    titled(axes, f"Computing time{total}", x="time (s)", y="")
    return figure


def picture_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return true map, recovered map, error map and radial profile side by side."""
    figure = new_figure(14.25, 3.45)

    def place(left_in: float, width_in: float) -> Axes:
        return axes_at(
            figure, left_in=left_in, bottom_in=0.55, width_in=width_in, height_in=_PANEL_IN
        )

    true, recovered, error, radial = (
        place(left_in, _PANEL_IN) for left_in in (0.75, 3.65, 7.25, 11.55)
    )
    draw_truth(true, maps, truth)
    lattice_colour_bar(figure, draw_recovered(recovered, maps, truth), place(6.25, 0.15))
    error_colour_bar(figure, draw_error(error, maps, truth), place(9.85, 0.15))
    for axes in (recovered, error):
        axes.set_ylabel("")
        axes.set_yticklabels([])
    draw_radial(radial, radial_profile(maps, truth=truth))
    return figure
