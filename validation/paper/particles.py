"""The study's two particles in a slice: where they are, in truth and as the maps show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NAMES = ("Particle 1", "Particle 2")
_HALF_FIELD_UM = 12.0
"""Of the square in which a particle is shown: both are drawn to one scale."""


@dataclass(frozen=True, eq=False)
class Found:
    """One of the two particles."""

    number: int
    """0 or 1, as in the sample."""
    recovered: Bools
    """Voxels of the particle that covers most of it in the maps, shape (y, x)."""
    true: Bools
    """Voxels most of which it fills."""
    depth_um: Floats
    """Distance in the plane to the recovered surface, (y, x)."""
    box: tuple[slice, slice]
    """The square about it, the same size for both, as far as the maps reach."""


def label_of(each: Slice, number: int) -> int | None:
    """Return the particle of the maps that covers most of particle ``number``; None for none."""
    own = each.particles.label[each.truth.particle == number]
    own = own[own >= 0]
    return int(np.bincount(own).argmax()) if own.size else None


def true_outline(each: Slice, number: int) -> Bools:
    """Return the voxels, (y, x), whose middle lies in particle ``number`` or on its surface."""
    return np.asarray((each.truth.particle == number) & (each.truth.depth_um >= 0.0))


def half_filled(each: Slice) -> Bools:
    """Return the voxels, (y, x), at least half of which holds solid."""
    truth = each.truth
    return np.asarray(truth.volume_fraction + sum(truth.extra_fraction.values()) >= 0.5)


def found_particle(each: Slice, number: int) -> Found:
    """Return particle ``number``, 0 or 1, of a slice of the operando electrode."""
    particles = each.particles
    true, label = each.truth.particle == number, label_of(each, number)
    recovered = np.zeros(true.shape, bool) if label is None else particles.label == label
    return Found(
        number=number,
        recovered=recovered,
        true=true,
        depth_um=np.where(recovered, particles.depth_um, np.nan),
        box=_box(true, half=round(_HALF_FIELD_UM / each.maps.scan.step_um)),
    )


def _box(voxels: Bools, *, half: int) -> tuple[slice, slice]:
    """Return the part of a map that reaches so far from the middle of some voxels."""
    y, x = np.nonzero(voxels)
    middle_y, middle_x = int(y.min() + y.max()) // 2, int(x.min() + x.max()) // 2

    def part(middle: int, size: int) -> slice:
        return slice(max(0, middle - half), min(size, middle + half + 1))

    return part(middle_y, voxels.shape[0]), part(middle_x, voxels.shape[1])
