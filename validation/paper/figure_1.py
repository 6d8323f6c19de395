"""Figure 1 f and g: the discharge with its pauses, and a point pattern at each of them.

Micrographs and the drawing of the cell (a to e) are not simulated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from phantoms.discharge import Discharge, protocol
from phantoms.stoichiometry import x_from_lattice
from validation.experiment import Experiment
from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.phases import ROCK_SALT
from validation.paper.prepared import Slice
from validation.paper.style import FONT_PT, SCAN_COLOURS, SCAN_MARKERS, journal_figure, panel
from validation.paper.ticks import Row, draw_rows, label_heights

Floats = NDArray[np.float64]

_S_PER_H = 3600.0
_SHOWN_DEG = (2.5, 12.6)
_ABOVE = 1.05
"""Between patterns, of which the highest is 1 high."""
_CAPTION = (
    "f: open-circuit voltage and current of the simulated discharge, by charge counting; numbered, "
    "the scans. g: the pattern of the first point of each scan, as it was counted (one exposure of "
    "10 ms), with the lines of full LiMn2O4 and of Al, whose foil lies out of the beam; "
    "right, the (400) line, beside it that of rock salt. 50 keV. Panels a to e of the study are "
    "micrographs and a drawing."
)


def drawn(study: Study) -> Drawn:
    """Return figure 1 f and g."""
    discharge = Discharge()
    slices = study.all_operando()
    figure = journal_figure(3.1)
    grid = figure.add_gridspec(
        1, 5, width_ratios=(1.0, 0.14, 1.35, 0.01, 0.55), left=0.065, right=0.985, top=0.9,
        bottom=0.14, wspace=0.22,
    )  # fmt: skip
    _protocol(figure.add_subplot(grid[0]), discharge)
    # Of half a gigabyte each, one at a time.
    counts = [np.asarray(each.raw().counts[0], dtype=float) for each in slices]
    _patterns(figure.add_subplot(grid[2]), counts, slices[0].experiment)
    _enlarged(figure.add_subplot(grid[4]), counts, slices[0].experiment)
    return Drawn(figure, _CAPTION, tuple(_claims(discharge, slices)))


def _protocol(axes: Axes, discharge: Discharge) -> None:
    run = protocol(discharge)
    hours = run.time_s / _S_PER_H
    axes.plot(hours, run.voltage_V, color="black", linewidth=1.0)
    for number in range(1, int(run.scan.max()) + 1):
        during = hours[run.scan == number]
        axes.axvspan(during.min(), during.max(), color="#9ecae1", linewidth=0.0, zorder=0)
        axes.text(
            during.mean(), 0.97, str(number), transform=axes.get_xaxis_transform(), ha="center",
            va="top", fontsize=FONT_PT,
        )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.25 * (high - low), high + 0.1 * (high - low))
    panel(axes, "f", x="time (h)", y="open-circuit voltage (V)")
    current = axes.twinx()
    current.plot(hours, -run.current_uA, color="0.5", linewidth=0.8, linestyle="--")
    current.set_ylim(-1.15 * discharge.current_uA, 5.0 * discharge.current_uA)
    current.set_yticks([-discharge.current_uA, 0.0])
    current.tick_params(labelsize=FONT_PT, length=2.0, pad=1.5)
    current.set_ylabel("current (µA, dashed)", fontsize=FONT_PT, labelpad=-7.0)


def _patterns(axes: Axes, counts: Sequence[Floats], measured: Experiment) -> None:
    """Draw the first point of every scan, of whose first projection ``counts`` are."""
    two_theta_deg = np.degrees(measured.geometry.two_theta_rad)
    shown = (two_theta_deg > _SHOWN_DEG[0]) & (two_theta_deg < _SHOWN_DEG[1])
    height = max(float(projection[0, shown].max()) for projection in counts)
    for number, projection in enumerate(counts):
        axes.plot(
            two_theta_deg[shown], projection[0, shown] / height + _ABOVE * number,
            color=SCAN_COLOURS[number], linewidth=0.7,
        )  # fmt: skip
    rows = (Row("LiMn2O4", "LiMn₂O₄"), Row("Al", "Al"))
    middles = draw_rows(
        axes, rows, measured=measured, shown_deg=_SHOWN_DEG, below=-0.22, row_height=0.32
    )
    heights = [_ABOVE * number for number in range(len(counts))]
    words = [f"slice {number + 1}" for number in range(len(counts))]
    axes.set_xlim(*_SHOWN_DEG)
    panel(axes, "g", "counts, offset", x="2θ (°)")
    label_heights(axes, heights + middles, words + [row.label for row in rows])


def _enlarged(axes: Axes, counts: Sequence[Floats], measured: Experiment) -> None:
    """Draw the (400) line, averaged over one projection, which moves with lithiation."""
    two_theta_deg = np.degrees(measured.geometry.two_theta_rad)
    wavelength_A = measured.beam.wavelength_A
    ends_deg = [np.degrees(2.0 * np.arcsin(2.0 * wavelength_A / a_A)) for a_A in (8.42, 8.01)]
    shown = (two_theta_deg > ends_deg[0]) & (two_theta_deg < ends_deg[1])
    for number, projection in enumerate(counts):
        pattern = projection.mean(axis=0)[shown]
        pattern -= pattern.min()
        axes.plot(
            two_theta_deg[shown], pattern / pattern.max() + _ABOVE * number,
            color=SCAN_COLOURS[number], linewidth=0.9, marker=SCAN_MARKERS[number], markersize=2.0,
        )  # fmt: skip
    middle = draw_rows(
        axes, [Row(ROCK_SALT, "rock\nsalt")], measured=measured,
        shown_deg=(ends_deg[0], ends_deg[1]), below=-0.12, row_height=0.3,
    )  # fmt: skip
    panel(axes, "", "(400), one projection", x="2θ (°)")
    label_heights(axes, middle, ["rock\nsalt"])


def _claims(discharge: Discharge, slices: Sequence[Slice]) -> list[Claim]:
    first, last = slices[0], slices[-1]
    found = float(np.nanmean(last.maps.a_A) - np.nanmean(first.maps.a_A))
    true = float(np.nanmean(last.true_a_A) - np.nanmean(first.true_a_A))
    lithium = float(_mean_x(last.maps.a_A) - _mean_x(first.maps.a_A))
    counted = discharge.scan_x(len(slices)) - discharge.scan_x(1)
    return [
        Claim(
            "1g", "Growth of the mean lattice parameter, scan 1 to 5", "peaks shift",
            recovered=1e3 * found, truth=1e3 * true, needed=1.5, unit="mÅ",
        ),
        Claim(
            "1f", "Lithium taken up per formula, scan 1 to 5, from lattice parameters as if all "
            "were stoichiometric spinel", "0.74", recovered=lithium, truth=counted, needed=0.05,
            note="truth is what the current delivers",
        ),
    ]  # fmt: skip


def _mean_x(a_A: Floats) -> float:
    """Return the mean lithium content of stoichiometric spinel of these lattice parameters."""
    known = a_A[np.isfinite(a_A)]
    return float(np.mean(x_from_lattice(known, y=0.0)))
