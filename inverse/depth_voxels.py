"""Which voxels of a map count in the means of particles, and where each particle lies in it."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from inverse.boxes import Box, widened
from inverse.segment import Particles

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def boxes_of(particles: Particles) -> tuple[Box | None, ...]:
    """Return the smallest part of the map that holds each particle; None where no voxel does."""
    boxes = find_objects(particles.label + 1, max_label=particles.whole.size)
    return cast(tuple[Box | None, ...], tuple(boxes))


def inner_voxels(label: Ints) -> Bools:
    """Return the voxels of which all eight neighbours are the same particle, (y, x)."""
    padded = np.pad(label, 1, constant_values=-2)
    n_y, n_x = label.shape
    inner = label >= 0
    for dy in range(3):
        for dx in range(3):
            inner &= padded[dy : dy + n_y, dx : dx + n_x] == label
    return np.asarray(inner)


def voxels_clear_of_others(particles: Particles, *, step_um: float, distance_um: float) -> Bools:
    """Return the voxels of particles that lie ``distance_um`` or more from any other, (y, x)."""
    label = particles.label
    clear = label >= 0
    # Others beyond the margin are farther away than the distance that is asked for.
    margin = int(np.ceil(distance_um / step_um)) + 1
    for number, box in enumerate(boxes_of(particles)):
        if box is None:
            continue
        wide = widened(box, by=margin, shape=label.shape)
        own = label[wide] == number
        others = (label[wide] >= 0) & ~own
        if others.any():
            away_um = step_um * (distance_transform_edt(~others) - 0.5)
            clear[wide] &= ~own | (away_um >= distance_um)
    return np.asarray(clear)


def particle_means(values: Floats, *, particles: Particles, weight: Floats) -> Floats:
    """Return the weighted mean of a map in every particle, NaN where none is known, (particle,)."""
    inside = (particles.label >= 0) & (weight > 0.0)
    n = particles.whole.size
    total = np.bincount(particles.label[inside], weight[inside], n)
    summed = np.bincount(particles.label[inside], (weight * np.nan_to_num(values))[inside], n)
    with np.errstate(invalid="ignore"):
        return np.asarray(summed / np.where(total > 0.0, total, np.nan))
