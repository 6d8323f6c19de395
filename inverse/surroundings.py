"""Signals that belong to no electrode: the housing, what soaks the electrode, and the air.

Air scatters the same share of the transmitted photons into every ray, so that its pattern is a
constant of the normalised sinogram; rays that miss the sample show it alone.

Housing and electrolyte have broad halos and no sharp lines. Their pattern is the mean over the
pixels of a coarse scan where nothing else lies: little in sharp lines, much in what is broad. A
pattern's broad part is its running median over more than twice the width of a line, its sharp part
the rest.

Source: the masked coarse volume of Finegan et al., Nat. Commun. 11 (2020) 631, Methods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, median_filter

from inverse.ray_sums import add_ray_sums
from inverse.rings import Ring, rays_of
from inverse.sinogram import Sinogram
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_BROAD_CHANNELS = 15
"""Width of the running median: lines of up to a third of it leave no trace."""

_STRONGEST = 99.5
"""Percentile that counts as the strongest: an electrode may fill little of a broad view."""

_CLEAR_DEPTH = 2e-3
"""Largest mean optical depth of rays that count as missing the sample."""

_FEWEST_RAYS, _FEWEST_PIXELS = 10, 5


@dataclass(frozen=True, eq=False)
class Pattern:
    """A mean pattern and the variance of that mean, each of shape (channel,)."""

    values: Floats
    variance: Floats


def air_pattern(sinogram: Sinogram, *, largest_depth: float = _CLEAR_DEPTH) -> Pattern:
    """Return the mean pattern of the rays that miss the sample, in the sinogram's unit.

    They are the offsets, from the window's ends inwards, whose mean optical depth over the angles
    stays below ``largest_depth``.

    Raises InputError where there are fewer than 10 such rays: the scan is not wide enough.
    """
    clear = -np.log(sinogram.transmission).mean(axis=0) < largest_depth
    before, after = np.logical_and.accumulate(clear), np.logical_and.accumulate(clear[::-1])[::-1]
    chosen = before | after
    n_rays = int(chosen.sum()) * sinogram.angles_rad.size
    if n_rays < _FEWEST_RAYS:
        raise InputError(
            f"At least {_FEWEST_RAYS} rays must miss the sample to see the air alone, not {n_rays}."
        )
    return Pattern(
        values=sinogram.values[:, chosen].mean(axis=(0, 1), dtype=np.float64),
        variance=sinogram.variance[:, chosen].mean(axis=(0, 1), dtype=np.float64) / n_rays,
    )


def without_constant(sinogram: Sinogram, pattern: Pattern) -> Sinogram:
    """Return the sinogram less a pattern that every ray shows alike, such as the air's.

    Raises InputError where the pattern has other channels.
    """
    _check_channels(sinogram, pattern)
    return replace(
        sinogram,
        values=sinogram.values - pattern.values.astype(np.float32),
        variance=sinogram.variance + pattern.variance.astype(np.float32),
    )


def sharp_and_broad(patterns: ArrayLike) -> tuple[Floats, Floats]:
    """Return the sums of the sharp and of the broad part of patterns (row, channel), each (row,).

    Channels that hold no number are left out.
    """
    rows = np.asarray(patterns, dtype=np.float64)
    rows = rows[:, np.isfinite(rows).all(axis=0)]
    broad = median_filter(rows, size=(1, _BROAD_CHANNELS), mode="nearest")
    return (rows - broad).sum(axis=1), broad.sum(axis=1)


def housing_mask(
    ring: Ring, *, between_um: tuple[float, float] = (0.0, np.inf), most_sharp: float = 0.1
) -> NDArray[np.bool_]:
    """Return the pixels (pixel,) with the broad signal of a housing and hardly a sharp line.

    The sharp part must be within ± ``most_sharp``, the broad part above a quarter of the strongest
    of its kind in view (the 99.5th percentile), in the pixel and its four neighbours; the pixel
    within the radii ``between_um``, which tell apart several materials without lines.

    Raises InputError where fewer than 5 pixels are left.
    """
    size = ring.grid.size
    radius = _radii_um(ring)
    seen = radius <= ring.grid.outer_um
    sharp, broad = sharp_and_broad(ring.values[:, ring.measured])
    alone = seen & (np.abs(sharp) < most_sharp * np.percentile(sharp[seen], _STRONGEST))
    alone &= broad > 0.25 * np.percentile(broad[seen], _STRONGEST)
    inner = binary_erosion(alone.reshape(size, size)).ravel()
    chosen = inner & (radius >= between_um[0]) & (radius <= between_um[1])
    if chosen.sum() < _FEWEST_PIXELS:
        raise InputError(
            f"At least {_FEWEST_PIXELS} pixels must hold the housing alone, not {chosen.sum()}."
        )
    return np.asarray(chosen)


def mean_pattern(ring: Ring, mask: NDArray[np.bool_]) -> Pattern:
    """Return the mean pattern of the pixels in ``mask`` (pixel,), per µm; NaN where not measured.

    The variance takes pixels to be independent.
    """
    values = ring.values[mask].mean(axis=0, dtype=np.float64)
    variance = ring.variance[mask].mean(axis=0, dtype=np.float64) / int(mask.sum())
    hidden = ~ring.measured
    values[hidden] = np.nan
    variance[hidden] = np.nan
    return Pattern(values, variance)


def amounts_of(ring: Ring, patterns: list[Pattern]) -> Singles:
    """Return how much of each pattern every pixel holds, (pattern, pixel), by least squares."""
    known = ring.measured & np.all([np.isfinite(p.values) for p in patterns], axis=0)
    columns = np.stack([p.values[known] for p in patterns], axis=1)
    found = np.linalg.lstsq(columns, ring.values[:, known].T.astype(np.float64), rcond=None)[0]
    return np.asarray(found, dtype=np.float32)


def without_pattern(
    sinogram: Sinogram,
    pattern: Pattern,
    *,
    amounts: Singles,
    ring: Ring,
    workers: int | None = None,
) -> Sinogram:
    """Return the sinogram less a pattern spread over the sample as ``amounts`` (pixel,) says.

    The amounts lie on the pixels of ``ring`` and count between its circles; parallax is left out,
    since it moves a halo by less than it is wide. The variance of the pattern is common to all rays
    and left out.

    Raises InputError where the pattern has other channels.
    """
    _check_channels(sinogram, pattern)
    path = np.zeros((*sinogram.values.shape[:2], 1), np.float32)
    add_ray_sums(
        path, amounts[None, :, None], grid=ring.grid, rays=rays_of(sinogram), factor=1.0,
        workers=workers,
    )  # fmt: skip
    values = sinogram.values - path * pattern.values.astype(np.float32)
    return replace(sinogram, values=values)


def _radii_um(ring: Ring) -> Floats:
    """Return how far each pixel lies from the axis, (pixel,)."""
    place = (np.arange(ring.grid.size) - 0.5 * (ring.grid.size - 1)) * ring.grid.step_um
    return np.asarray(np.hypot(place[:, None], place).ravel())


def _check_channels(sinogram: Sinogram, pattern: Pattern) -> None:
    if pattern.values.shape != sinogram.two_theta_rad.shape:
        raise InputError(
            f"A pattern must have the {sinogram.two_theta_rad.size} channels of the sinogram, "
            f"not {pattern.values.size}."
        )
