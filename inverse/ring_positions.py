"""Where a calibrant's ring stands, sector by sector, from all the pixels about it.

With x the 2θ of a pixel less that of the ring, and y its counts per radian of 2θ, the profile T(x)
is the mean of y over azimuth, in fine bins. A sector's shift δ follows by linear least squares from

    y_i = a + b x_i + A [T(x_i) − δ T′(x_i)],

and the centroid x̄ of T above its background says where the ring stands as a whole: a sector stands
at x̄ + δ. Both are without bias where the background is a line and the shift is small, whatever the
shape of the ring; the centroid is where a skew ring stands on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.normal import SIGMA_PER_MAD

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BINS_PER_PX = 4
_SECTORS = 72
_OUTLIER = 8.0
"""Robust standard deviations from others of its bin beyond which a pixel is left out."""
_SIGNIFICANT = 10.0
"""Standard deviations by which a ring's area must exceed zero, and"""
_SECTOR_SIGNIFICANT = 5.0
"""by which a sector's height must."""


@dataclass(frozen=True, eq=False)
class RingPixels:
    """The usable pixels about a ring, (pixel,)."""

    x: Floats
    """2θ less that of the ring, over half the width of the window: −1 to 1."""
    y: Floats
    """Counts, divided by what a pixel sees of a uniform radian of 2θ."""
    per_count: Floats
    """y of one count."""
    azimuth_rad: Floats

    def kept(self, which: NDArray[np.bool_]) -> RingPixels:
        """Return some of the pixels."""
        return RingPixels(
            self.x[which], self.y[which], self.per_count[which], self.azimuth_rad[which]
        )


@dataclass(frozen=True, eq=False)
class SectorPositions:
    """Where the sectors of a ring stand, (sector,); those that show."""

    azimuth_rad: Floats
    x: Floats
    sigma: Floats
    """Standard deviation of x, without"""
    common_sigma: float
    """that which all sectors share, of the centroid."""


def sector_positions(pixels: RingPixels, *, reach_px: float) -> SectorPositions | None:
    """Return where the sectors of a ring stand; None where there is no ring, or part of one only.

    ``reach_px`` is half the width of the window in pixels.
    """
    n_bins = 2 * int(np.ceil(reach_px * _BINS_PER_PX))
    bins = _bins(pixels, n_bins)
    if np.bincount(bins, minlength=n_bins).min() < _BINS_PER_PX:
        return None
    pixels = pixels.kept(_ordinary(pixels, bins, n_bins))
    bins = _bins(pixels, n_bins)
    n_pixels = np.bincount(bins, minlength=n_bins)
    at, profile = (np.bincount(bins, v, n_bins) / n_pixels for v in (pixels.x, pixels.y))
    # Where nothing was counted the next photon could still have come.
    expected = np.maximum(profile, 0.02 * profile.mean())
    variance = pixels.per_count * np.interp(pixels.x, at, expected)
    of_bins = np.bincount(bins, variance, n_bins) / n_pixels**2
    whole = _centroid(at, profile, of_bins)
    if whole is None:
        return None
    basis = np.stack(
        [
            np.ones_like(pixels.x),
            pixels.x,
            np.interp(pixels.x, at, profile),
            -np.interp(pixels.x, at, np.gradient(profile, at)),
        ]
    )
    azimuth_rad, shift, sigma = _sector_shifts(basis, pixels, variance)
    centroid, centroid_sigma = whole
    return SectorPositions(azimuth_rad, centroid + shift, sigma, centroid_sigma)


def _bins(pixels: RingPixels, n_bins: int) -> Ints:
    return np.minimum((0.5 * (pixels.x + 1.0) * n_bins).astype(np.int64), n_bins - 1)


def _ordinary(pixels: RingPixels, bins: Ints, n_bins: int) -> NDArray[np.bool_]:
    """Return which pixels are about as bright as others of the same 2θ: not hot, nor dead."""
    n_pixels = np.bincount(bins, minlength=n_bins)
    middle = np.cumsum(n_pixels) - n_pixels + n_pixels // 2
    median = pixels.y[np.lexsort((pixels.y, bins))][middle][bins]
    away = np.abs(pixels.y - median)
    spread = SIGMA_PER_MAD * away[np.lexsort((away, bins))][middle][bins]
    counting = np.sqrt(pixels.per_count * np.maximum(median, pixels.per_count))
    return np.asarray(away <= _OUTLIER * np.maximum(spread, counting))


def _centroid(x: Floats, profile: Floats, variance: Floats) -> tuple[float, float] | None:
    """Return the centroid of a profile and its error; None where its area is not significant.

    The background is a line through the outer thirds. Area and moment are linear in the profile,
    so their errors follow from its ``variance``; arrays of shape (bin,).
    """
    line = np.stack([np.ones_like(x), x])
    outside = np.abs(x) > 2.0 / 3.0
    area = np.gradient(x)
    moment = area * x
    for weight in (area, moment):
        weight[outside] -= line @ weight @ np.linalg.pinv(line[:, outside].T)
    total = float(area @ profile)
    if not total > _SIGNIFICANT * float(np.sqrt(area**2 @ variance)):
        return None
    centroid = float(moment @ profile) / total
    return centroid, float(np.sqrt((moment - centroid * area) ** 2 @ variance)) / total


def _sector_shifts(
    basis: Floats, pixels: RingPixels, variance: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return mean azimuth, shift and its error of the sectors that show, (sector,).

    ``basis``, (4, pixel), has the constant, x, the profile and its shift.
    """
    sector = ((pixels.azimuth_rad / (2.0 * np.pi) + 0.5) * _SECTORS).astype(np.int64) % _SECTORS

    def totals(values: Floats) -> Floats:
        return np.asarray(np.bincount(sector, values, _SECTORS), dtype=np.float64)

    n_pixels = totals(np.ones_like(variance))
    scale = np.sqrt(np.mean(basis**2, axis=1))
    basis = basis / scale[:, None]
    normal = np.stack([[totals(a * b / variance) for a in basis] for b in basis], axis=-1)
    right = np.stack([totals(a * pixels.y / variance) for a in basis], axis=-1)
    normal = normal.transpose(1, 0, 2)
    full = (n_pixels > _SECTORS) & (np.linalg.cond(normal) < 1e9)
    inverse = np.linalg.inv(np.where(full[:, None, None], normal, np.eye(len(basis))))
    solution = np.einsum("sij,sj->si", inverse, right)
    left = pixels.y - np.einsum("ip,pi->p", basis, solution[sector])
    chi2 = np.maximum(totals(left**2 / variance) / np.maximum(n_pixels, 1.0), 1.0)
    height, shifted = solution[:, 2] / scale[2], solution[:, 3] / scale[3]
    errors = np.sqrt(chi2[:, None] * np.diagonal(inverse, axis1=1, axis2=2)) / scale
    clear = full & (height > _SECTOR_SIGNIFICANT * errors[:, 2])
    height, n_pixels = height[clear], n_pixels[clear]
    azimuth_rad = totals(pixels.azimuth_rad)[clear] / n_pixels
    return azimuth_rad, shifted[clear] / height, errors[clear, 3] / height
