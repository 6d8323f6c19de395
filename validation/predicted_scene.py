"""One image of the sample for scans of any step: what lies where, and which voxels are inside.

:mod:`validation.predicted_slice` makes an image for one scan. Here the pixel is a fixed share of
the beam, whatever the step, so that many scans are asked about one image. A voxel lies *inside* a
particle where its corners do, at the heights that stand for the beam's: the same rule, in closed
form. Its content is the mean over its area, pixels cut by its edges counting in part.

Where this fails: views of more than a thousand pixels have coarser ones, which widens what is
blurred by (pixel)²/12 in variance; that is divided out as far as the pixel's transfer allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.settings import Effects
from phantoms.sample import Sample
from validation.predicted_slice import drawn, heights_um, raster
from validation.truth import ONE_LATTICE_SHARE
from xrdct.instrument import Beam
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

MARGIN_UM = 12.0
"""Around the widest view: as far as the beam's tails are followed."""
_PIXEL = 0.25
"""Widest pixel over the beam's width, where a view is not too wide for it."""
_MOST_PIXELS = 1300
_LAYER_UM = 0.25


@dataclass(frozen=True, eq=False)
class Scene:
    """The slice in and around the widest view, images (y, x) about the axis."""

    centres_um: Floats
    """Of the sample's particles, (particle, 3)."""
    radii_um: Floats
    diameter_um: float
    """Of the sample."""
    pixel_um: float
    amount: Floats
    """Volume fraction of the spinel."""
    a_A: Floats
    """Its mean lattice parameter; 0 where there is none."""
    extra: Floats
    """Volume fractions of further phases, (phase, y, x)."""
    purity: Floats
    """Share of the spinel that its most common lattice has."""
    owner: Ints
    """Particle that covers most of a pixel; −1 where none does."""
    low_um: float
    """Lowest of the heights that stand for the beam's, and"""
    high_um: float
    """the highest."""

    @property
    def size(self) -> int:
        """Pixels along an edge."""
        return int(self.amount.shape[0])

    def at(self, place_um: Floats) -> Floats:
        """Return where places along x or y lie, in pixels from the first one's middle."""
        return np.asarray(place_um / self.pixel_um + 0.5 * (self.size - 1))


@dataclass(frozen=True, eq=False)
class Voxels:
    """Voxels of a scan that lie inside one particle; each field (voxel,) unless said."""

    x_um: Floats
    y_um: Floats
    amount: Floats
    """Mean volume fraction of the spinel."""
    a_A: Floats
    """Mean lattice parameter."""
    extra: Floats
    """Mean volume fractions of further phases, (phase, voxel)."""
    n_all: int
    """How many there are, of which these are some."""


def scene_of(
    sample: Sample, *, view_um: float, beam: Beam, effects: Effects, workers: int | None = None
) -> Scene:
    """Return the image of a sample that reaches beyond a view of so many µm from end to end."""
    wide_um = view_um + 2.0 * MARGIN_UM
    pixel_um = max(_PIXEL * beam.width_um, wide_um / _MOST_PIXELS)
    size = int(np.ceil(wide_um / pixel_um))
    height_um = beam.height_um if effects.beam_size else 0.0
    volume, moment, extra, (best, _) = raster(
        sample, size=size, pixel_um=pixel_um, height_um=height_um, layer_um=_LAYER_UM,
        workers=workers,
    )  # fmt: skip
    total = volume.sum(axis=2)
    levels_um, _ = heights_um(sample.z_um, height_um)
    numbers = drawn(sample, half_um=0.5 * size * pixel_um, levels_um=levels_um)
    return Scene(
        centres_um=sample.centres_um,
        radii_um=sample.radii_um,
        diameter_um=sample.diameter_um,
        pixel_um=pixel_um,
        amount=total,
        a_A=np.divide(moment.sum(axis=2), total, out=np.zeros_like(total), where=total > 0.0),
        extra=np.moveaxis(extra, 2, 0),
        purity=np.divide(volume.max(axis=2), total, out=np.ones_like(total), where=total > 0.0),
        owner=np.append(numbers, -1)[best],
        low_um=float(levels_um.min()),
        high_um=float(levels_um.max()),
    )


def voxels_of(scene: Scene, scan: Scan, *, region: str, most: int) -> Voxels:
    """Return at most so many interior or eroded voxels of one lattice, evenly spread over all."""
    offsets_um = scan.offsets_um
    x_um, y_um = (a.ravel() for a in np.meshgrid(offsets_um, offsets_um))
    seen = np.hypot(x_um, y_um) <= offsets_um[-1] * (1.0 + 1e-12)
    x_um, y_um = x_um[seen], y_um[seen]
    half_um = scan.step_um * (1.5 if region == "eroded" else 0.5)
    inside = _inside(scene, x_um, y_um, half_um=half_um)
    x_um, y_um = x_um[inside], y_um[inside]
    # A few more than wanted, of which those with two lattices fall out.
    chosen = np.unique(np.linspace(0, max(x_um.size - 1, 0), min(x_um.size, 2 * most)).astype(int))
    x_um, y_um = x_um[chosen], y_um[chosen]
    n_inside = int(inside.sum())
    amount, a_A, extra, pure = _means(scene, x_um, y_um, half_um=0.5 * scan.step_um)
    right = pure & (amount > 0.0) & (amount >= 0.5 * (amount + extra.sum(axis=0)))
    kept = np.flatnonzero(right)
    kept = kept[np.unique(np.linspace(0, max(kept.size - 1, 0), min(kept.size, most)).astype(int))]
    share = float(right.mean()) if right.size else 0.0
    return Voxels(
        x_um[kept], y_um[kept], amount[kept], a_A[kept], extra[:, kept], round(share * n_inside)
    )


def _inside(scene: Scene, x_um: Floats, y_um: Floats, *, half_um: float) -> Bools:
    """Return whether squares lie in the particle at their middle, at all heights."""
    column, row = (np.round(scene.at(place)).astype(np.int64) for place in (x_um, y_um))
    owner = scene.owner[row, column]
    found = owner >= 0
    if not scene.radii_um.size:
        return found
    centre, radius = scene.centres_um[owner], scene.radii_um[owner]
    depth = np.maximum(np.abs(centre[:, 2] - scene.low_um), np.abs(centre[:, 2] - scene.high_um))
    reach = np.hypot(
        np.abs(x_um - centre[:, 0]) + half_um, np.abs(y_um - centre[:, 1]) + half_um
    )  # of the corner farthest from the middle
    return np.asarray(found & (reach**2 + depth**2 <= radius**2))


def _means(
    scene: Scene, x_um: Floats, y_um: Floats, *, half_um: float
) -> tuple[Floats, Floats, Floats, Bools]:
    """Return mean amounts, lattice parameters and further phases of squares, and if of one lattice.

    Pixels count by the part of them that is covered.
    """
    half = half_um / scene.pixel_um
    reach = int(np.ceil(half + 0.5))
    near = np.arange(-reach, reach + 1)

    def covered(place_um: Floats) -> tuple[Ints, Floats]:
        middle = scene.at(place_um)
        pixel = np.round(middle).astype(np.int64)[:, None] + near
        low = np.maximum(pixel - 0.5, middle[:, None] - half)
        high = np.minimum(pixel + 0.5, middle[:, None] + half)
        return np.clip(pixel, 0, scene.size - 1), np.maximum(high - low, 0.0)

    (column, across), (row, down) = covered(x_um), covered(y_um)
    weight = down[:, :, None] * across[:, None, :] / (2.0 * half) ** 2
    where = (row[:, :, None], column[:, None, :])
    part = weight * scene.amount[where]
    amount = part.sum(axis=(1, 2))
    safe = np.where(amount > 0.0, amount, 1.0)
    a_A = np.sum(part * scene.a_A[where], axis=(1, 2)) / safe
    pure = np.sum(part * scene.purity[where], axis=(1, 2)) >= ONE_LATTICE_SHARE * amount
    extra = np.array([np.sum(weight * phase[where], axis=(1, 2)) for phase in scene.extra])
    return amount, a_A, extra.reshape(len(scene.extra), x_um.size), pure
