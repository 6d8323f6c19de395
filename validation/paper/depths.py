"""The lattice parameter of the two particles by whole micrometres of depth, recovered and true.

Recovered depths are distances in the plane to the surface that the maps show. True means are over
voxels that the particle fills most of, by their true depth below its surface, in three dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.depth_blur import blur_sigma_um
from inverse.depth_profiles import DepthAverages, DepthProfile, depth_profiles
from validation.paper.particles import half_filled, label_of
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrueProfile:
    """Means over whole micrometres of true depth."""

    shell: Ints
    """Number of each shell, from 0 at the surface, shape (shell,)."""
    ratio: Floats
    """LPdepth/LPmean, same shape."""
    mean_A: float
    core_minus_surface_A: float
    """Slope of the straight line through the shells, weighted by voxels, times the depth."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """One particle in one slice."""

    recovered: DepthProfile | None
    """None where the particle was not found, or not as a whole."""
    true: TrueProfile


def profiles(each: Slice, number: int, *, sharp: bool = False) -> Profiles:
    """Return the profiles of particle ``number`` of the sample.

    As the study has them, or ``sharp``: freed of the blur of beam and back projection.
    """
    maps = each.maps
    chosen = DepthAverages(
        correlation=maps.recipe.reconstruction.filter, correct_blur=sharp,
        blur_um=blur_sigma_um(each.experiment.beam.width_um, step_um=maps.scan.step_um),
    )  # fmt: skip
    particles = each.particles
    label = label_of(each, number)
    found = depth_profiles(
        maps.a_A, particles=particles, step_um=maps.scan.step_um, esd=maps.a_esd_total_A,
        settings=chosen, only=() if label is None else (label,),
    )  # fmt: skip
    return Profiles(
        recovered=next((profile for profile in found if profile.particle == label), None),
        true=_true_profile(each, number),
    )


def _true_profile(each: Slice, number: int) -> TrueProfile:
    truth = each.truth
    where = (truth.particle == number) & half_filled(each) & (truth.depth_um > 0.0)
    a_A, depth_um = truth.a_A[where], truth.depth_um[where]
    shell = np.floor(depth_um).astype(np.int64)
    n_voxels = np.bincount(shell)
    there = np.flatnonzero(n_voxels)
    value_A = np.bincount(shell, a_A)[there] / n_voxels[there]
    weight = n_voxels[there] / n_voxels.sum()
    middle_um = np.bincount(shell, depth_um)[there] / n_voxels[there]
    away_um = middle_um - weight @ middle_um
    slope = (weight * away_um) @ value_A / ((weight * away_um) @ away_um)
    return TrueProfile(
        shell=there, ratio=value_A / a_A.mean(), mean_A=float(a_A.mean()),
        core_minus_surface_A=float(slope * depth_um.max()),
    )  # fmt: skip


def common_shells(found: Profiles) -> tuple[Floats, Floats, Floats, Floats]:
    """Return depth, recovered ratio, its esd_total and the true ratio of shells that both have."""
    recovered, true = found.recovered, found.true
    if recovered is None:
        return np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0)
    shell = np.floor(recovered.edges_um[:, 0]).astype(np.int64)
    _, ours, theirs = np.intersect1d(shell, true.shell, return_indices=True)
    return (
        recovered.edges_um[ours].mean(axis=1), recovered.ratio[ours],
        recovered.ratio_esd_total[ours], true.ratio[theirs],
    )  # fmt: skip
