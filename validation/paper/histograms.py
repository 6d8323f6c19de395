"""Histograms of the lattice parameter over voxels, and what the voxels in forbidden windows are.

A voxel whose recovered lattice parameter lies in a two-phase window of the stoichiometric spinel
may be of a spinel that is a single phase there (rich in lithium), a mixture of the two lattices on
both sides, or neither: its truth lies outside the window, and noise, streaks or a particle's edge
brought it in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from phantoms.stoichiometry import FILLED_LATTICE_A
from validation.figures_profiles import TWO_PHASE_WINDOWS_A
from validation.paper.style import RECOVERED_COLOUR, TRUE_COLOUR, shade_windows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FORBIDDEN_A = TWO_PHASE_WINDOWS_A[0]
"""The window that the study shades, Å."""
LI_RICH_END_A = float(FILLED_LATTICE_A[-1])
"""Of Li1.10Mn1.90O4 when it is full."""
EDGES_A = np.arange(8.02, 8.2701, 0.0025)


@dataclass(frozen=True)
class Occupants:
    """What lies in the first window.

    Recovered shares are of all voxels with a recovered lattice parameter, true ones of all that
    hold material.
    """

    recovered: float
    """Whose recovered value lies in the window."""
    true: float
    """Whose true value, of two lattices the mean, lies there."""
    true_single: float
    """Whose truth is one lattice within the window."""
    mixed: float
    """Recovered within, of two lattices in truth."""
    single: float
    """Recovered within, and one lattice within the window in truth."""
    neither: float
    """Recovered within; in truth one lattice outside the window, or no material to speak of."""


def occupants(recovered_A: Floats, true_A: Floats, *, two_lattices: Bools) -> Occupants:
    """Return what the voxels in the first window are; maps are NaN where there is nothing."""
    low, high = FORBIDDEN_A
    found = (recovered_A > low) & (recovered_A < high)
    true = (true_A > low) & (true_A < high)
    n_recovered = max(1, int(np.isfinite(recovered_A).sum()))
    n_true = max(1, int(np.isfinite(true_A).sum()))
    mixed = found & two_lattices & np.isfinite(true_A)
    single = found & true & ~two_lattices
    return Occupants(
        recovered=found.sum() / n_recovered,
        true=true.sum() / n_true,
        true_single=(true & ~two_lattices).sum() / n_true,
        mixed=mixed.sum() / n_recovered,
        single=single.sum() / n_recovered,
        neither=(found & ~mixed & ~single).sum() / n_recovered,
    )


def counts(values_A: Floats, edges_A: Floats = EDGES_A) -> Floats:
    """Return the share in every bin, of all voxels that have a value."""
    chosen = values_A[np.isfinite(values_A)]
    return np.asarray(np.histogram(chosen, edges_A)[0] / max(1, chosen.size))


def draw_histograms(
    axes: Axes, recovered_A: Floats, true_A: Floats, edges_A: Floats = EDGES_A
) -> None:
    """Draw both histograms in percent of voxels, with the window shaded."""
    shade_windows(axes, [FORBIDDEN_A])
    axes.stairs(
        1e2 * counts(true_A, edges_A), edges_A, fill=True, color=TRUE_COLOUR, alpha=0.55,
        label="true",
    )  # fmt: skip
    axes.stairs(
        1e2 * counts(recovered_A, edges_A), edges_A, color=RECOVERED_COLOUR, linewidth=1.0,
        label="recovered",
    )  # fmt: skip
    axes.set_xlim(edges_A[0], edges_A[-1])
