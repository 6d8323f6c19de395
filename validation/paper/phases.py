"""How phases other than the spinel are named and drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from numpy.typing import NDArray

from validation.paper.style import FONT_PT

Floats = NDArray[np.float64]

ROCK_SALT = "LiMnO2-rocksalt"
SEGREGATED = ("Li2MnO3", ROCK_SALT)
"""Phases of which degraded particles hold more."""
PHASE_COLOURS = {"Li2MnO3": "#d95f0e", ROCK_SALT: "#4d4d4d", "Li0.5Mn2O4": "#a6dba0"}
PHASE_HATCHES = {"Li2MnO3": "", ROCK_SALT: "///", "Li0.5Mn2O4": "..."}
PHASE_WORDS = {
    "LiMn2O4": "LiₓMn₂O₄", "Li2MnO3": "Li₂MnO₃", ROCK_SALT: "LiMnO₂ rock salt",
    "Li0.5Mn2O4": "Li₀.₅Mn₂O₄ P2₁3",
}  # fmt: skip
LEAST_NEEDED = 0.5
"""Percent by weight: what the study states as its error."""
_NEEDED_SHARE = 0.1
_MISSED = 2.0
"""Standard uncertainties from which on an amount is called wrong."""
_BAR_WIDTH, _BAR_STEP = 0.26, 0.29
_ROOM = 0.04


def needed_percent(amount: float) -> float:
    """Return the error with which a statement of an amount still stands: a tenth, at least 0.5."""
    return max(LEAST_NEEDED, _NEEDED_SHARE * amount)


def offsets(n_bars: int) -> Floats:
    """Return where bars of one group stand beside its middle."""
    return np.asarray(_BAR_STEP * (np.arange(n_bars) - 0.5 * (n_bars - 1)))


def phase_handles(axes: Axes, phases: Sequence[str]) -> list[BarContainer]:
    """Return what a legend shows of those of the phases that are drawn."""
    return [
        axes.bar(
            1, 0.0, color=colour, hatch=PHASE_HATCHES[phase], edgecolor="black", linewidth=0.3,
            label=PHASE_WORDS[phase],
        )
        for phase, colour in PHASE_COLOURS.items() if phase in phases
    ]  # fmt: skip


def leave_room(axes: Axes) -> None:
    """Leave room above bars for their stars."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + _ROOM * (high - low))


def stacked_bar(
    axes: Axes,
    x: float,
    phases: Sequence[str],
    percent: Floats,
    *,
    esd: Floats | None = None,
    true: Floats | None = None,
) -> None:
    """Draw all phases but the first, the spinel, as one bar; parts below zero hang down.

    ``percent`` and ``esd``, shape (phase,); the esd of the spinel is that of their sum. A bar
    without esds is the truth. A star marks a bar of which a phase differs from the ``true`` amount
    by more than two esds.
    """
    above = below = 0.0
    for phase, value in zip(phases[1:], percent[1:].tolist(), strict=True):
        if not np.isfinite(value):
            continue
        start = above if value > 0.0 else below
        axes.bar(
            x, value, bottom=start, width=_BAR_WIDTH, color=PHASE_COLOURS[phase],
            hatch=PHASE_HATCHES[phase], edgecolor="white" if esd is None else "black",
            linewidth=0.3, alpha=0.55 if esd is None else 1.0,
        )  # fmt: skip
        above, below = (above + value, below) if value > 0.0 else (above, below + value)
    if esd is not None and np.isfinite(percent[0]):
        axes.errorbar(x, above, esd[0], color="black", linewidth=0.6, capsize=1.2)
        if true is not None and np.any(np.abs(percent - true)[1:] > _MISSED * esd[1:]):
            axes.text(
                x, above + esd[0], "*", fontsize=FONT_PT, ha="center", va="bottom", color="#a50f15"
            )
