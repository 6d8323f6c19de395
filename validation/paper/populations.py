"""The mean lattice parameter of every particle of a slice, as the maps show it and as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.particle_spread import ParticleMeans, particle_averages
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LEAST_FILLED = 0.5
"""Share of a voxel that must hold solid, of voxels that count in the truth."""


@dataclass(frozen=True, eq=False)
class Population:
    """Particles of the maps, each with the true particle that it is; fields (particle,)."""

    found: ParticleMeans
    true_particle: Ints
    """Number in the sample of the one that covers most of it."""
    true_mean_A: Floats
    """Over the true particle's voxels in view."""
    diameter_um: Floats
    """Of the found section."""


def population(each: Slice) -> Population:
    """Return the particles of a slice that lie in view as a whole; inner voxels count."""
    maps, particles, truth = each.maps, each.particles, each.truth
    label = np.where(whole_voxels(each), particles.label, -1)
    found = particle_averages(
        maps.a_A, label=label, esd=maps.a_esd_total_A, step_um=maps.scan.step_um,
        correlation=maps.recipe.reconstruction.filter,
    )  # fmt: skip
    own = matching_truth(label, found.number, truth.particle)
    means_A = true_means(each)
    matched = own >= 0
    true_A = np.where(matched, means_A[np.where(matched, own, 0)], np.nan)
    known = np.isfinite(true_A)
    kept = ParticleMeans(
        found.number[known], found.n_voxels[known], found.mean[known], found.esd[known]
    )
    return Population(kept, own[known], true_A[known], particles.diameter_um[kept.number])


def whole_voxels(each: Slice) -> Bools:
    """Return the voxels of particles that lie in view as a whole, (y, x)."""
    particles = each.particles
    inside = particles.label >= 0
    return np.asarray(inside & particles.whole[np.where(inside, particles.label, 0)])


def matching_truth(label: Ints, numbers: Ints, true: Ints) -> Ints:
    """Return the true particle that covers most of each of some found ones; −1 for none."""
    matched = np.full(numbers.size, -1, np.int64)
    for row, number in enumerate(numbers.tolist()):
        own = true[label == number]
        own = own[own >= 0]
        if own.size:
            matched[row] = int(np.bincount(own).argmax())
    return matched


def true_means(each: Slice) -> Floats:
    """Return the mean true lattice parameter of the sample's particles, Å; NaN where not in view.

    Over voxels in view of which the particle fills half.
    """
    truth = each.truth
    filled = truth.volume_fraction + sum(truth.extra_fraction.values()) >= _LEAST_FILLED
    used = (truth.particle >= 0) & filled & each.measured & np.isfinite(truth.a_A)
    count = np.bincount(truth.particle[used], minlength=1)
    total = np.bincount(truth.particle[used], truth.a_A[used], minlength=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / count)
