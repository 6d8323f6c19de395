"""Where the lines of crystals are in a pattern: rows of ticks under it, labelled.

2θ = 2 asin(λ/2d), shown where m|F|²/(sin²θ cosθ) is a hundredth of the strongest one's at least
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from validation.experiment import Experiment
from validation.paper.style import FONT_PT
from xrdct.conversion import two_theta_rad
from xrdct.crystal_source import find_crystal
from xrdct.reflections import powder_reflections

Floats = NDArray[np.float64]

_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Row:
    """The lines of a crystal, by default of the cell that its file has."""

    crystal: str
    label: str
    a_A: float | None = None
    """Edge of a cubic cell in the place of the file's."""


def line_positions_deg(
    crystal: str, *, measured: Experiment, shown_deg: tuple[float, float], a_A: float | None = None
) -> Floats:
    """Return 2θ of the lines of a crystal that are seen in a range of angles, rising."""
    structure = find_crystal(crystal)
    if a_A is not None:
        structure = structure.scaled(a_A / structure.cell_A_deg[0])
    lines = powder_reflections(
        structure, energy_keV=measured.beam.energy_keV,
        two_theta_max_rad=float(np.radians(shown_deg[1])),
    )  # fmt: skip
    angle_rad = two_theta_rad(lines.d_A, wavelength_A=measured.beam.wavelength_A)
    strength = lines.multiplicity * lines.f_squared_e2
    strength /= np.sin(0.5 * angle_rad) ** 2 * np.cos(0.5 * angle_rad)
    shown = np.degrees(angle_rad) > shown_deg[0]
    kept = shown & (strength > _LEAST_SHARE * strength[shown].max(initial=0.0))
    return np.asarray(np.degrees(angle_rad[kept]))


def draw_rows(
    axes: Axes,
    rows: Sequence[Row],
    *,
    measured: Experiment,
    shown_deg: tuple[float, float],
    below: float,
    row_height: float,
) -> list[float]:
    """Draw rows of ticks under one another, and return the heights at their middles."""
    middles = []
    for number, row in enumerate(rows):
        high = below - number * row_height
        positions = line_positions_deg(
            row.crystal, measured=measured, shown_deg=shown_deg, a_A=row.a_A
        )
        axes.vlines(positions, high - 0.7 * row_height, high, color="0.2", linewidth=0.8)
        middles.append(high - 0.35 * row_height)
    return middles


def label_heights(axes: Axes, heights: Sequence[float], words: Sequence[str]) -> None:
    """Say on the vertical axis what lies at some heights, in the place of numbers."""
    axes.set_yticks(list(heights), list(words))
    axes.tick_params(axis="y", length=0.0, labelsize=FONT_PT - 1.0)
