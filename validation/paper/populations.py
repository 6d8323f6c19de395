"""The mean lattice parameter of every particle of a slice, as the maps show it and as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.depth_voxels import inner_voxels
from inverse.particle_spread import ParticleMeans, particle_averages
from validation.paper.particles import half_filled
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Population:
    """Particles of the maps, each with the true particle that it is; fields (particle,)."""

    found: ParticleMeans
    true_particle: Ints
    """Number in the sample of the one that covers most of it."""
    true_mean_A: Floats
    """Over those voxels that the recovered mean is over and that are the true particle's."""


def population(each: Slice) -> Population:
    """Return the particles of a slice that lie in view as a whole; inner voxels count."""
    maps, truth = each.maps, each.truth
    label = np.where(whole_voxels(each), each.particles.label, -1)
    found = particle_averages(
        maps.a_A, label=label, esd=maps.a_esd_total_A, step_um=maps.scan.step_um,
        correlation=maps.recipe.reconstruction.filter,
    )  # fmt: skip
    own = matching_truth(label, found.number, truth.particle)
    true_A = true_means(each, label=label, numbers=found.number, own=own)
    known = np.isfinite(true_A)
    kept = ParticleMeans(
        found.number[known], found.n_voxels[known], found.mean[known], found.esd[known]
    )
    return Population(kept, own[known], true_A[known])


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


def true_means(each: Slice, *, label: Ints, numbers: Ints, own: Ints) -> Floats:
    """Return the mean true lattice parameter where that of each found particle was taken, Å.

    ``numbers`` are of particles in the map of labels (y, x), ``own`` the true ones that they are,
    −1 for none, both (particle,). Like is compared with like: the voxels are the inner ones that
    have a value in the maps, as :func:`inverse.particle_spread.particle_averages` takes them, as
    far as the true particle fills half of them; NaN where there is none.
    """
    maps, truth = each.maps, each.truth
    used = inner_voxels(label) & np.isfinite(maps.a_A) & np.isfinite(maps.a_esd_total_A)
    used &= half_filled(each) & np.isfinite(truth.a_A) & (truth.particle >= 0)
    means_A = np.full(numbers.size, np.nan)
    for row, (number, true) in enumerate(zip(numbers.tolist(), own.tolist(), strict=True)):
        inside = used & (label == number) & (truth.particle == true)
        if inside.any():
            means_A[row] = truth.a_A[inside].mean()
    return means_A
