"""Signals that belong to no electrode: the housing, what soaks the electrode, and the air.

Air scatters the same share of the transmitted photons into every ray, so that its pattern is a
constant of the normalised sinogram; rays that miss the sample show it alone.

Housing and electrolyte have broad halos and no sharp lines. Their pattern is the mean over the
pixels of a coarse scan where nothing else lies: little in sharp lines, much in what is broad. A
pattern's broad part is its running median over more than twice the width of a line, its sharp part
the rest.

The container is what such pixels hold, and those next to them. How much each holds of its pattern
is fitted beside the pattern of the electrode, which takes what the coarse pixels mix at the border
and the streaks that few angles leave of it. Amounts times pattern, projected along the rays of any
scan, is what the container adds to these: taken off all scans, it is in none when what lies outside
the view is taken off next. Electrolyte around the electrode counts by the container's pattern.

Source: the masked coarse volume of Finegan et al., Nat. Commun. 11 (2020) 631, Methods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation, binary_erosion, median_filter

from inverse.ray_sums import add_ray_sums
from inverse.rings import Ring, rays_of, ring_of
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

_NOTHING = float(np.finfo(np.float32).tiny)
_LEAST_LINES = 0.3
"""Sharp part of the strongest broad one below which there are no lines to speak of."""

_MOST_SHARP, _LEAST_BROAD = 0.1, 0.25
"""Parts, of the strongest of their kind, that a pixel without electrode may and must have."""

_FULL_OF_LINES = 0.5
"""Sharp part, of the strongest, of pixels that hold the electrode and little else."""

_BORDER_PIXELS = 2
"""How far beyond the pixels of the mask the container reaches: the one by which the mask was drawn
in, and one that it fills in part."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """A mean pattern and the variance of that mean, each of shape (channel,)."""

    values: Floats
    variance: Floats


@dataclass(frozen=True, eq=False)
class Container:
    """What holds the sample: one pattern, and how much of it every pixel of a wide scan holds."""

    pattern: Pattern
    amounts: Singles
    """Shape (pixel,); zero where there is none."""
    ring: Ring
    """Of which the pixels are."""


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
    ring: Ring, *, between_um: tuple[float, float] = (0.0, np.inf), most_sharp: float = _MOST_SHARP
) -> NDArray[np.bool_]:
    """Return the pixels (pixel,) with the broad signal of a housing and hardly a sharp line.

    The sharp part must be within ± ``most_sharp``, the broad part above a quarter of the strongest
    of its kind in view (the 99.5th percentile), in the pixel and its four neighbours; the pixel
    within the radii ``between_um``, which tell apart several materials without lines.

    Raises InputError where fewer than 5 pixels are left.
    """
    radius = _radii_um(ring)
    chosen = _alone(*_relative_parts(ring), most_sharp=most_sharp)
    chosen &= (radius >= between_um[0]) & (radius <= between_um[1])
    if chosen.sum() < _FEWEST_PIXELS:
        raise InputError(
            f"At least {_FEWEST_PIXELS} pixels must hold the housing alone, not {chosen.sum()}."
        )
    return chosen


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


def container_of(wide: Sinogram, *, workers: int | None = None) -> Container | None:
    """Return the container that a scan shows, or None where nothing is without sharp lines.

    The scan must see all of it, without air.
    """
    ring = ring_of(wide, inner_um=0.0, workers=workers)
    sharp, broad = _relative_parts(ring)
    alone = _alone(sharp, broad)
    if alone.sum() < _FEWEST_PIXELS:
        return None
    pattern = mean_pattern(ring, alone)
    with_lines = sharp >= _FULL_OF_LINES
    electrode = [mean_pattern(ring, with_lines)] if with_lines.any() else []
    square = alone.reshape(ring.grid.size, ring.grid.size)
    near = binary_dilation(square, iterations=_BORDER_PIXELS).ravel()
    amounts = amounts_of(ring, [pattern, *electrode])[0]
    return Container(pattern, np.where(near, amounts, np.float32(0.0)), ring)


def without_container(
    sinogram: Sinogram, container: Container, *, workers: int | None = None
) -> Sinogram:
    """Return the sinogram less what the container adds to its rays, by :func:`without_pattern`.

    Channels that the container's scan has not measured become NaN.
    """
    return without_pattern(
        sinogram, container.pattern, amounts=container.amounts, ring=container.ring,
        workers=workers,
    )  # fmt: skip


def _relative_parts(ring: Ring) -> tuple[Floats, Floats]:
    """Return the sharp and the broad part of each pixel, (pixel,), relative to the strongest.

    Zero beyond the view. What is sharp in a halo is not strong, if there is nothing but halos.
    """
    seen = _radii_um(ring) <= ring.grid.outer_um
    sharp, broad = (
        np.where(seen, part, 0.0) for part in sharp_and_broad(ring.values[:, ring.measured])
    )
    strong_broad = max(float(np.percentile(broad[seen], _STRONGEST)), _NOTHING)
    strong_sharp = max(float(np.percentile(sharp[seen], _STRONGEST)), _LEAST_LINES * strong_broad)
    return sharp / strong_sharp, broad / strong_broad


def _alone(sharp: Floats, broad: Floats, *, most_sharp: float = _MOST_SHARP) -> NDArray[np.bool_]:
    """Return the pixels (pixel,) that :func:`housing_mask` describes, at any radius."""
    size = math.isqrt(sharp.size)
    alone = (np.abs(sharp) < most_sharp) & (broad > _LEAST_BROAD)
    return np.asarray(binary_erosion(alone.reshape(size, size)).ravel())


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
