"""Histograms of the lattice parameter over voxels, and what the voxels in forbidden windows are.

A voxel whose recovered lattice parameter lies in a two-phase window of the stoichiometric spinel
may be of a spinel that is a single phase there (rich in lithium), a mixture of the two lattices on
both sides, or neither: its truth lies outside the window, and noise, streaks or a particle's edge
brought it in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from validation.figures_profiles import TWO_PHASE_WINDOWS_A
from validation.truth import Truth

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FORBIDDEN_A = TWO_PHASE_WINDOWS_A[0]
"""The window that the study shades, Å."""
EDGES_A = np.arange(8.02, 8.2701, 0.0025)


@dataclass(frozen=True)
class Occupants:
    """Shares of all voxels with a lattice parameter."""

    recovered: float
    """Whose recovered value lies in the first window."""
    true: float
    """Whose true value, of two lattices the mean, lies there."""
    true_single: float
    """Whose truth is one lattice within the window."""
    mixed: float
    """Recovered within, of two lattices in truth."""
    single: float
    """Recovered within, and one lattice within the window in truth."""
    neither: float
    """Recovered within, and in truth one lattice outside the window."""


def known(maps: Maps, truth: Truth) -> Bools:
    """Return the voxels that have both a recovered and a true lattice parameter."""
    return np.isfinite(maps.a_A) & np.isfinite(truth.a_A)


def occupants(maps: Maps, truth: Truth, *, where: Bools | None = None) -> Occupants:
    """Return what the voxels in the first window are, over those of ``where``."""
    voxels = known(maps, truth) if where is None else known(maps, truth) & where
    low, high = FORBIDDEN_A
    found = (maps.a_A > low) & (maps.a_A < high) & voxels
    true = (truth.a_A > low) & (truth.a_A < high) & voxels
    total = max(1, int(voxels.sum()))
    mixed = found & truth.two_lattices
    single = found & true & ~truth.two_lattices
    return Occupants(
        recovered=found.sum() / total,
        true=true.sum() / total,
        true_single=(true & ~truth.two_lattices).sum() / total,
        mixed=mixed.sum() / total,
        single=single.sum() / total,
        neither=(found & ~mixed & ~single).sum() / total,
    )


def counts(values_A: Floats, where: Bools) -> Floats:
    """Return the share of voxels in every bin of `EDGES_A`."""
    chosen = values_A[where]
    return np.histogram(chosen, EDGES_A)[0] / max(1, chosen.size)
