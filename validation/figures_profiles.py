"""The lattice parameter's distribution over voxels, and its profile with depth in a particle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from inverse.maps import Maps
from phantoms.stoichiometry import LATTICE_NODES_A
from validation.figures_style import (
    FONT_PT,
    RECOVERED_COLOUR,
    TRUE_COLOUR,
    WINDOW_COLOUR,
    new_figure,
    note,
    titled,
)
from validation.metrics import scored_voxels
from validation.truth import Truth

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TWO_PHASE_WINDOWS_A = (
    (float(LATTICE_NODES_A[1]), float(LATTICE_NODES_A[2])),
    (float(LATTICE_NODES_A[3]), float(LATTICE_NODES_A[4])),
)
"""Lattice parameters that stoichiometric LixMn2O4 passes over by splitting into two phases."""

_N_BINS = 90
_SHOWN_PERCENTILES = (0.5, 99.5)
_LEAST_SPAN_A = 1e-3
_ROOM_FOR_TWO_LINES_IN = 1.15
"""Beside an axis whose label takes two lines."""


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """Averages over the voxels of one particle by integer depth, each of shape (depth,)."""

    particle: int
    depth_um: Ints
    """Depth in three dimensions below the particle's surface, rounded to a whole µm."""
    n_voxels: Ints
    true_A: Floats
    recovered_A: Floats
    recovered_sem_A: Floats
    """Standard error of the recovered mean, from the scatter; NaN for a single voxel."""
    error_mA: Floats
    """Mean of recovered minus true."""
    error_sem_mA: Floats
    """Its standard error, free of the true gradient inside a bin; NaN for a single voxel."""


def radial_profile(maps: Maps, *, truth: Truth) -> RadialProfile | None:
    """Return the profile of the particle with most interior voxels of a single lattice.

    Its averages run over those of them that were recovered, the same voxels for true and recovered
    values. None where there is no interior voxel, or none of the particle's was recovered.
    """
    scored = scored_voxels(truth, truth.interior) & (truth.particle >= 0)
    if not scored.any():
        return None
    particle = int(np.argmax(np.bincount(truth.particle[scored])))
    voxels = scored & (truth.particle == particle) & np.isfinite(maps.a_A)
    if not voxels.any():
        return None
    depth_um, group = np.unique(np.rint(truth.depth_um[voxels]).astype(int), return_inverse=True)
    true_A, recovered_A = truth.a_A[voxels], maps.a_A[voxels]
    error_mean, error_sem = _mean_and_standard_error(1000.0 * (recovered_A - true_A), group)
    recovered_mean, recovered_sem = _mean_and_standard_error(recovered_A, group)
    return RadialProfile(
        particle=particle,
        depth_um=depth_um,
        n_voxels=np.bincount(group),
        true_A=_mean_and_standard_error(true_A, group)[0],
        recovered_A=recovered_mean,
        recovered_sem_A=recovered_sem,
        error_mA=error_mean,
        error_sem_mA=error_sem,
    )


def _mean_and_standard_error(values: Floats, group: Ints) -> tuple[Floats, Floats]:
    n = np.bincount(group)
    mean = np.bincount(group, values) / n
    squares = np.bincount(group, (values - mean[group]) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return mean, np.sqrt(squares / (n - 1) / n)


def radial_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return true and recovered lattice parameter against depth, above the error between them."""
    figure = new_figure(6.4, 5.2, left_in=_ROOM_FOR_TWO_LINES_IN)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1.0))
    profile = radial_profile(maps, truth=truth)
    draw_radial(upper, profile)
    if profile is None:
        lower.set_axis_off()
        return figure
    upper.set_xlabel("")
    lower.axhline(0.0, color=TRUE_COLOUR, linewidth=1.5)
    lower.errorbar(
        profile.depth_um, profile.error_mA, yerr=profile.error_sem_mA, fmt="o",
        color=RECOVERED_COLOUR, markersize=4.0, capsize=3.0,
    )  # fmt: skip
    titled(lower, "", x="depth below surface (µm)", y="refined − true\n(mÅ)")
    return figure


def draw_radial(axes: Axes, profile: RadialProfile | None) -> None:
    """Draw the averaged lattice parameters against depth."""
    if profile is None:
        note(axes, "no particle with a recovered interior voxel")
        titled(axes, "Radial profile", x="", y="")
        return
    axes.plot(
        profile.depth_um, profile.true_A, "s-", color=TRUE_COLOUR, linewidth=3.0, markersize=7.0,
        label="true",
    )  # fmt: skip
    axes.errorbar(
        profile.depth_um, profile.recovered_A, yerr=profile.recovered_sem_A, fmt="o--",
        color=RECOVERED_COLOUR, linewidth=1.2, markersize=4.0, capsize=3.0, label="refined",
    )  # fmt: skip
    axes.legend(fontsize=FONT_PT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    titled(
        axes, f"Radial profile ({profile.n_voxels.sum()} voxels)",
        x="depth below surface (µm)", y="lattice parameter a (Å)",
    )  # fmt: skip


def histogram_figure(maps: Maps, *, truth: Truth) -> Figure:
    """Return histograms of true and recovered lattice parameters of the scored interior voxels."""
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    scored = scored_voxels(truth, truth.interior)
    true_A = truth.a_A[scored]
    recovered_A = maps.a_A[scored & np.isfinite(maps.a_A)]
    titled(
        axes, "Lattice-parameter histogram, interior voxels",
        x="lattice parameter a (Å)", y="voxels per bin",
    )  # fmt: skip
    if true_A.size == 0:
        note(axes, "no interior voxel with a single lattice")
        return figure
    edges_A = _edges(true_A, recovered_A)
    counts, _ = np.histogram(true_A, edges_A)
    label = _legend("true", true_A, int(counts.sum()))
    axes.stairs(counts, edges_A, color=TRUE_COLOUR, fill=True, label=label)
    counts, _ = np.histogram(recovered_A, edges_A)
    label = _legend("refined", recovered_A, int(counts.sum()))
    axes.stairs(counts, edges_A, color=RECOVERED_COLOUR, linewidth=1.4, label=label)
    _shade_windows(axes, edges_A)
    axes.legend(fontsize=FONT_PT)
    return figure


def _edges(true_A: Floats, recovered_A: Floats) -> Floats:
    """Return bin edges over all true values and, but for stragglers, all recovered ones."""
    ends = [np.min(true_A), np.max(true_A)]
    if recovered_A.size:
        ends += list(np.percentile(recovered_A, _SHOWN_PERCENTILES))
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) + _LEAST_SPAN_A / 2
    return np.linspace(low - margin, high + margin, _N_BINS + 1)


def _legend(name: str, values: Floats, n_shown: int) -> str:
    outside = values.size - n_shown
    return f"{name}, {values.size} voxels" + (f" ({outside} outside the axis)" if outside else "")


def _shade_windows(axes: Axes, edges_A: Floats) -> None:
    label = "two-phase window"
    for low, high in TWO_PHASE_WINDOWS_A:
        left, right = max(low, edges_A[0]), min(high, edges_A[-1])
        if left < right:
            axes.axvspan(left, right, color=WINDOW_COLOUR, zorder=0, linewidth=0.0, label=label)
            label = "_nolegend_"
    axes.set_xlim(edges_A[0], edges_A[-1])
