"""The measured slice as an image finer than the scan: amounts, lattice parameters, particles.

Pixels are an odd fraction of a step, so that a voxel's middle is a pixel's; each is the mean over
the beam's height and over 2 × 2 points. The image reaches a margin beyond the field of view.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.settings import Effects
from phantoms.particle_rules import named
from phantoms.sample import Sample, radial_layers
from validation.truth import INTERIOR_SHARE, N_BRANCHES, ONE_LATTICE_SHARE, eroded
from validation.truth_kernel import rasterise
from xrdct.compiled import threaded
from xrdct.errors import InputError
from xrdct.instrument import Beam
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_PIXEL = 0.4
"""Widest pixel over the beam's width: narrower than its standard deviation."""
_MARGIN_UM = 12.0
_LAYER_UM = 0.1
_POINTS = 2
_HEIGHTS = 3
_MOST_PIXELS = 1500
"""Along an edge; larger views have coarser pixels."""


@dataclass(frozen=True, eq=False)
class Slice:
    """The slice in and around the field of view; images are (y, x)."""

    pixel_um: float
    per_voxel: int
    """Pixels along a voxel's edge, an odd number."""
    margin: int
    """Voxels beyond the view on every side."""
    amount: Floats
    """Volume fraction of the spinel."""
    a_A: Floats
    """Its mean lattice parameter; 0 where there is none."""
    extra: Floats
    """Volume fractions of further phases, (phase, y, x)."""
    view_amount: Floats
    """Means over the voxels of the view, (y, x) as all that follow."""
    view_a_A: Floats
    view_extra: Floats
    """Shape (phase, y, x)."""
    interior: Bools
    """Voxels inside one particle, of one lattice, that every projection sees."""
    eroded: Bools
    """Those of them whose neighbours are too."""

    def at_voxels(self, image: Floats) -> Floats:
        """Return an image at the middles of the view's voxels."""
        k, first = self.per_voxel, self.per_voxel * self.margin + self.per_voxel // 2
        n = self.view_amount.shape[0]
        return image[first : first + n * k : k, first : first + n * k : k]


def sample_slice(
    sample: Sample, *, scan: Scan, beam: Beam, effects: Effects, workers: int | None = None
) -> Slice:
    """Return the slice of a sample around the field of view of a scan."""
    per_voxel, margin = _pixels(scan, beam)
    n_voxels = scan.n_offsets + 2 * margin
    size, pixel_um = n_voxels * per_voxel, scan.step_um / per_voxel
    volume, moment, extra, best = raster(
        sample, size=size, pixel_um=pixel_um,
        height_um=beam.height_um if effects.beam_size else 0.0, workers=workers,
    )  # fmt: skip
    total = volume.sum(axis=2)
    a_A = np.divide(moment.sum(axis=2), total, out=np.zeros_like(total), where=total > 0.0)

    def blocks(image: Floats) -> Floats:
        parts = image.reshape(n_voxels, per_voxel, n_voxels, per_voxel, *image.shape[2:])
        inner = slice(margin, margin + scan.n_offsets)
        return np.moveaxis(parts[inner, :, inner], 2, 1)

    mean = blocks(total).mean(axis=(2, 3))
    view_a_A = np.divide(
        blocks(moment).sum(axis=(2, 3, 4)), blocks(total).sum(axis=(2, 3)),
        out=np.zeros_like(mean), where=mean > 0.0,
    )  # fmt: skip
    by_branch = blocks(volume).sum(axis=(2, 3))
    one = by_branch.max(axis=2) >= ONE_LATTICE_SHARE * np.maximum(by_branch.sum(axis=2), 1e-12)
    owner = blocks(best[0].astype(float))
    first = owner[:, :, 0, 0]
    whole = np.all(owner == first[:, :, None, None], axis=(2, 3)) & (first >= 0)
    filled = blocks(best[1]).min(axis=(2, 3)) >= INTERIOR_SHARE
    spinel = mean >= 0.5 * (mean + blocks(extra).mean(axis=(2, 3)).sum(axis=2))
    solid = whole & filled & (mean > 0.0) & spinel
    place = scan.offsets_um
    seen = np.hypot(*np.meshgrid(place, place)) <= place[-1] * (1.0 + 1e-12)
    return Slice(
        pixel_um=pixel_um,
        per_voxel=per_voxel,
        margin=margin,
        amount=total,
        a_A=a_A,
        extra=np.moveaxis(extra, 2, 0),
        view_amount=mean,
        view_a_A=view_a_A,
        view_extra=np.moveaxis(blocks(extra).mean(axis=(2, 3)), 2, 0),
        interior=solid & one & seen,
        eroded=eroded(solid, first.astype(np.int64)) & one & seen,
    )


def _pixels(scan: Scan, beam: Beam) -> tuple[int, int]:
    """Return pixels per voxel (odd) and the margin in voxels."""
    margin = int(np.ceil(_MARGIN_UM / scan.step_um))
    wanted = int(np.ceil(scan.step_um / (_PIXEL * beam.width_um)))
    most = max(1, _MOST_PIXELS // (scan.n_offsets + 2 * margin))
    per_voxel = max(1, min(wanted, most))
    return per_voxel + (per_voxel % 2 == 0), margin


def heights_um(z_um: float, height_um: float) -> tuple[Floats, Floats]:
    """Return the heights that stand for a beam about the plane ``z_um``, and their weights."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_HEIGHTS)
    return z_um + nodes * height_um / FWHM_PER_SIGMA, weights / weights.sum()


def drawn(sample: Sample, *, half_um: float, levels_um: Floats) -> Ints:
    """Return the numbers of the particles that reach into an image at one of these heights."""
    centres_um, radii_um = sample.centres_um, sample.radii_um
    inside = (np.abs(centres_um[:, :2]) - radii_um[:, None] < half_um).all(axis=1)
    away_um = np.abs(centres_um[:, 2:] - levels_um).min(axis=1)
    return np.flatnonzero(inside & (away_um < radii_um))


def raster(
    sample: Sample,
    *,
    size: int,
    pixel_um: float,
    height_um: float,
    workers: int | None,
    layer_um: float = _LAYER_UM,
) -> tuple[Floats, Floats, Floats, tuple[Ints, Floats]]:
    """Return volume and moment by branch, further phases, and the particle with its share.

    Particles are numbered among those that are :func:`drawn`. Raises InputError for particles that
    are no layered spheres.
    """
    if sample.bodies.size:
        raise InputError(
            "errors are predicted for particles that are layered spheres only, but "
            f"{named(sample.particles[sample.bodies[0]], int(sample.bodies[0]))} is none"
        )
    levels_um, weights = heights_um(sample.z_um, height_um)
    seen = drawn(sample, half_um=0.5 * size * pixel_um, levels_um=levels_um)
    part = _part(sample, seen)
    centres_um, radii_um = part.centres_um, part.radii_um
    layers = radial_layers(part, layer_um=layer_um)
    layer_start = np.searchsorted(layers.particle, np.arange(len(seen) + 1)).astype(np.int64)
    volume = np.zeros((size, size, N_BRANCHES))
    moment = np.zeros_like(volume)
    names = part.extra_phases
    found = np.zeros((size, size, len(names)))
    share, best = np.zeros((size, size)), np.full((size, size), -1, np.int64)
    wanted = np.ones((size, size), bool)

    def rows(first: int, last: int) -> None:
        rasterise(
            first, last, wanted, centres_um, radii_um, layer_start, layers.r_outer_um,
            layers.a_low_A, layers.a_high_A, layers.fraction_low, layers.fraction_high,
            layers.branch, np.ascontiguousarray(layers.extra_fraction), levels_um,
            weights, pixel_um, _POINTS, volume, moment, found, share, best,
        )  # fmt: skip

    threaded(rows, size, workers=workers)
    extra = np.zeros((size, size, len(sample.extra_phases)))
    extra[..., [sample.extra_phases.index(name) for name in names]] = found
    return volume, moment, extra, (best, share)


def _part(sample: Sample, numbers: Ints) -> Sample:
    """Return a sample of some particles, which need no second look at whether they overlap."""
    part = copy(sample)
    object.__setattr__(part, "particles", tuple(sample.particles[i] for i in numbers))
    return part
