"""Errors of the lattice parameter by voxel, also in units of their stated standard uncertainty.

    error = a_recovered − a_true,   z = error/σ,   σ the total standard uncertainty of the map

Where uncertainties are honest and errors independent of them, z has a standard normal distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import norm

from validation.metrics import scored_voxels
from validation.paper.prepared import Slice
from validation.paper.style import SCAN_COLOURS, SCAN_DASHES, panel

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ERROR_MA = 5.0
"""Where colours of errors end."""
Z = 4.0
"""Where colours of standardised errors end."""
_SHOWN = 6.0
"""Where histograms of both end, in mÅ and in uncertainties."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """Maps of errors, (y, x), NaN where nothing is compared."""

    error_mA: Floats
    z: Floats

    def within(self, where: Bools) -> Residuals:
        """Return those of some voxels only."""
        return Residuals(*(np.where(where, each, np.nan) for each in (self.error_mA, self.z)))


def interior_residuals(each: Slice) -> Residuals:
    """Return the errors of measured interior voxels of one lattice, which the scorecard counts."""
    return residuals(each, scored_voxels(each.truth, each.truth.interior) & each.measured)


def residuals(each: Slice, where: Bools) -> Residuals:
    """Return the errors of some voxels, as far as they have a value in maps and truth."""
    error_A = np.where(where, each.maps.a_A - each.truth.a_A, np.nan)
    return Residuals(1e3 * error_A, error_A / each.maps.a_esd_total_A)


def shares_percent(values: Floats, edges: Floats) -> Floats:
    """Return shares of the known values between edges.

    The outermost bins hold what lies beyond them, so that all add up to a hundred.
    """
    known = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    return np.asarray(100.0 * np.histogram(known, edges)[0] / max(1, known.size))


def normal_percent(edges: Floats) -> Floats:
    """Return the shares that a standard normal distribution would have in the same bins."""
    return np.asarray(100.0 * np.diff(norm.cdf([-np.inf, *edges[1:-1], np.inf])))


def draw_error_histogram(
    axes: Axes, found: Sequence[Residuals], letter: str, title: str, *, step: float = 0.25
) -> None:
    """Draw the errors of several slices in mÅ, a line each, in bins of ``step``."""
    _lines(axes, [each.error_mA for each in found], _edges(step))
    panel(axes, letter, title, x="error (mÅ)", y=f"voxels\n(% per {step:g} mÅ)")


def draw_z_histogram(
    axes: Axes, found: Sequence[Residuals], title: str, *, step: float = 0.25
) -> None:
    """Draw the errors of several slices over their uncertainties, beside a normal distribution."""
    edges = _edges(step)
    axes.stairs(normal_percent(edges), edges, fill=True, color="0.8", label="normal", zorder=0)
    _lines(axes, [each.z for each in found], edges)
    panel(axes, "", title, x="error/σ", y=f"voxels\n(% per {step:g})")


def _edges(step: float) -> Floats:
    return np.linspace(-_SHOWN, _SHOWN, round(2.0 * _SHOWN / step) + 1)


def _lines(axes: Axes, values: Sequence[Floats], edges: Floats) -> None:
    for scan, of_scan in enumerate(values):
        axes.stairs(
            shares_percent(of_scan, edges), edges, color=SCAN_COLOURS[scan],
            linestyle=SCAN_DASHES[scan], linewidth=0.9, label=f"slice {scan + 1}", baseline=None,
        )  # fmt: skip
    axes.set_xlim(edges[0], edges[-1])
    axes.axvline(0.0, color="0.5", linewidth=0.5, zorder=0)
