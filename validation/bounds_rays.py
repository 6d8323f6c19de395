"""Which rays the mean of a region of voxels is made of, and with what weights.

Filtered back projection is linear, so the mean over a region of n voxels is Σ W y over the rays,

    W_ω = (w_ω/n)·mᵀ B_ω F,        variance = Σ_rays W² var y

with F the filter, B_ω the linear interpolation at the voxels m, and w_ω the projection's share of
the half turn (:mod:`inverse.reconstruct`). For rays of one variance σ² a step h apart, N angles and
a voxel at the fraction f between two rays, the ramp filter gives by Parseval's theorem

    variance = (π²/N)·(σ²/h²)·[ (1 − 2 f (1 − f))/12 − f (1 − f)/π² ],

on average over f (π²/N)·(σ²/h²)·(1/18 − 1/(6 π²)). Source: Kak & Slaney, *Principles of
Computerized Tomographic Imaging*, ch. 3 and 5.

W² falls off with the fourth power of the distance from the voxel, so that the rays through it
count. Some angles, evenly spread, stand for all of them: variances change slowly with rotation, but
f does not. Where rays run along the rows of voxels, at 0 and 90°, all voxels lie on rays, and their
variance is 2.2 times the mean. So what some angles say of a voxel is put in proportion by

    P = A_0 − 2 f (1 − f) (A_0 − A_1),     A_k = Σ_j r_j r_{j+k}

with r the filter's taps (for the ramp the brackets above), whose mean over all the scan's angles is
known for every voxel (:func:`mean_power`).

Where this fails: regions of several voxels, to which P does not apply (0 and 90° count too much, up
to a few per cent in variance); interlaced scans, and steps of the recipe that mix rays (encoders,
stripes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inverse.filters import KERNELS, filter_matrix
from inverse.geometry import angle_weights
from xrdct.errors import InputError
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOOKED_AT = 48
"""Angles that stand for all."""
_TAPS = 4096


@dataclass(frozen=True, eq=False)
class Places:
    """Voxels of one region or more, in µm from the rotation axis; each field (voxel,)."""

    x_um: Floats
    y_um: Floats
    region: Ints
    """Number of the region that the voxel belongs to, from 0 on."""

    @property
    def n_regions(self) -> int:
        """How many regions there are."""
        return int(self.region.max(initial=-1)) + 1

    @classmethod
    def single(cls, x_um: Floats, y_um: Floats) -> Places:
        """Return voxels each of which is a region of its own."""
        return cls(x_um, y_um, np.arange(x_um.size))

    @classmethod
    def of_labels(cls, label: Ints, *, step_um: float) -> Places:
        """Return the voxels of a map of regions, (y, x), where −1 is none of them."""
        iy, ix = np.nonzero(label >= 0)
        half_y, half_x = ((size - 1) / 2 for size in label.shape)
        region = label[iy, ix].astype(np.int64)
        return cls((ix - half_x) * step_um, (iy - half_y) * step_um, region)


def angles_looked_at(scan: Scan) -> Ints:
    """Return the numbers of the projections that stand for all, evenly spread."""
    count = min(scan.n_angles, _LOOKED_AT)
    return (np.arange(count) * scan.n_angles) // count


def projection_weights(
    places: Places, *, scan: Scan, filter_name: str, padding: str
) -> Iterator[tuple[int, Floats]]:
    """Yield projections looked at, and the weights of their rays, shape (region, offset), in 1/µm.

    Squares are scaled so that their sum over the projections yielded stands for that over all.

    Raises InputError for an interlaced scan.
    """
    refuse_interlaced(scan)
    matrix = filter_matrix(
        scan.n_offsets, step_um=scan.step_um, filter_name=filter_name, padding=padding
    )
    chosen = angles_looked_at(scan)
    shares = angle_weights(scan.angles_rad) * np.sqrt(scan.n_angles / chosen.size)
    for line in chosen:
        hit = hits(places, scan=scan, angle_rad=float(scan.angles_rad[line]))
        yield int(line), shares[line] * (hit @ matrix)


def refuse_interlaced(scan: Scan) -> None:
    """Raise InputError for an interlaced scan."""
    if scan.interlaced:
        raise InputError("bounds are for scans that are not interlaced: scan.interlaced is true")


def hits(places: Places, *, scan: Scan, angle_rad: float) -> Floats:
    """Return the mean linear interpolation of the voxels of each region, (region, offset)."""
    row = _rows(places.x_um, places.y_um, scan=scan, angle_rad=angle_rad)
    before = np.clip(np.floor(row), 0, scan.n_offsets - 2).astype(np.int64)
    part = np.clip(row - before, 0.0, 1.0)
    size = np.bincount(places.region, minlength=places.n_regions)[places.region]
    table = np.zeros((places.n_regions, scan.n_offsets))
    np.add.at(table, (places.region, before), (1.0 - part) / size)
    np.add.at(table, (places.region, before + 1), part / size)
    return table


def mean_power(
    x_um: Floats, y_um: Floats, *, scan: Scan, angles_rad: Floats, filter_name: str
) -> Floats:
    """Return the mean of P over angles for voxels at places of shape (voxel,), same shape.

    Each angle counts with the square of its share of the half turn. ``angles_rad`` need not be the
    scan's own.
    """
    alone, beside = _neighbours(filter_name)
    row = _rows(x_um[:, None], y_um[:, None], scan=scan, angle_rad=angles_rad)
    part = row - np.floor(row)
    power = alone - 2.0 * part * (1.0 - part) * (alone - beside)
    return np.average(power, axis=1, weights=angle_weights(angles_rad) ** 2)


def _rows(x_um: Floats, y_um: Floats, *, scan: Scan, angle_rad: float | Floats) -> Floats:
    """Return between which rays places lie, counted from the first one."""
    across_um = x_um * np.cos(angle_rad) + y_um * np.sin(angle_rad)
    return np.asarray(across_um / scan.step_um + 0.5 * (scan.n_offsets - 1))


@lru_cache(maxsize=8)
def _neighbours(filter_name: str) -> tuple[float, float]:
    """Return A_0 and A_1 of a filter, per step squared."""
    taps = KERNELS[filter_name](np.arange(_TAPS, dtype=np.float64))
    every = np.concatenate([taps[:0:-1], taps])
    return float(every @ every), float(every[1:] @ every[:-1])


def uniform_variance(*, scan: Scan, ray_variance: float, fraction: float | None = None) -> float:
    """Return the variance of a voxel whose rays all have the same, by the closed form above.

    ``fraction`` is the place between two rays; None: the mean over all of them.
    """
    mixed = 1.0 / 6.0 if fraction is None else fraction * (1.0 - fraction)
    power = (1.0 - 2.0 * mixed) / 12.0 - mixed / np.pi**2
    return float(np.pi**2 / scan.n_angles * ray_variance / scan.step_um**2 * power)
