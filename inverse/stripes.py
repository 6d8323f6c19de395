"""Stripes of a sinogram: offsets or projections that are wrong as a whole, and make rings.

``gains``: a ray's whole pattern is too high by the gain of its projection (flux, monitor) times
that of its offset, for all channels alike. A gain is looked for in the one combination of channels,

    T = Σ_c w_c y_c,    w ∝ C⁻¹ȳ,    Σ_c w_c ȳ_c = 1,

that feels a gain fully and all else least: ȳ is the mean pattern, C the covariance of what changes
from ray to ray, taken from second differences (best linear unbiased estimate; that gains add
ȳȳᵀ to C changes no direction). Material of the sample comes and goes with patterns of its own, and
drops out where something smooth, such as scattering from air, is left to compare with; where not,
w gives about the total. T is averaged along a stripe: the sum over a projection is the mass in the
beam, that over angles the average of all rings of the sample; both are smooth, as single rays are
not. Relative to a local quadratic through their neighbours, what stands out by more than four
standard errors is divided out: a sinogram without stripes stays what it is. The variance grows by
the gain's own. Errors that are smooth over a window are not seen.

``sorting``: values of each offset and channel are sorted by size, smoothed among offsets by a
running median, rank by rank, and put back (Vo, Atwood and Drakopoulos, Opt. Express 26 (2018)
28396, algorithm 3). It removes what is the same at all angles, added or multiplied, channel by
channel; and whatever else differs between the distributions of neighbouring offsets, particles
included: of few particles little is left. Variances are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inverse.sinogram import Sinogram
from xrdct.compiled import compiled, threaded
from xrdct.errors import InputError
from xrdct.normal import SIGMA_PER_MAD

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
StripeMethod = Literal["gains", "sorting"]

WINDOW = 21
_MOST_GROUPS = 200
"""Sums of adjacent channels that enter the combination, and"""
_RAYS_PER_GROUP = 10
"""rays that each needs at least, for a covariance that is known well enough."""
_RIDGE = 1e-6
_FAINTEST = 0.2
"""Mean of T, of its largest along the other axis, below which no gain is looked for."""
_BLOCKS = 8
_SIGNIFICANT = 4.0
_CLIPPED = 4.0
"""Standard deviations from the smooth curve within which rays draw it."""
_FURTHEST = 0.7
"""Of the largest distance from the curve: what is left out of it next."""
_LEAST_CALM = 0.5
"""Share of rays that must be left to draw the curve."""
_CHANNEL_BLOCK = 16


@dataclass(frozen=True, eq=False)
class StripeGains:
    """By how much rays are too high as a whole; 1 where nothing stands out."""

    projection: Floats
    """Shape (angle,)."""
    offset: Floats
    """Shape (offset,)."""
    projection_esd: float
    """Standard error of a projection's gain,"""
    offset_esd: float
    """and of an offset's."""


def without_stripes(
    sinogram: Sinogram,
    *,
    method: StripeMethod = "gains",
    window: int = WINDOW,
    workers: int | None = None,
) -> Sinogram:
    """Return the sinogram without stripes (see the module's text for the methods).

    ``window`` is the width, in rays, over which a stripe must stand out: odd, 5 at least, and wider
    than twice the widest group of adjacent stripes.

    Raises InputError for another window, one wider than the sinogram, or an unknown method.
    """
    _check_window(sinogram, window, method)
    if method == "sorting":
        return _smoothed_by_rank(sinogram, window, workers)
    if method != "gains":
        raise InputError(f"stripes are removed by 'gains' or 'sorting', not by {method!r}.")
    found = stripe_gains(sinogram, window=window)
    gain = found.projection[:, None] * found.offset
    known = np.add.outer(
        np.where(found.projection != 1.0, found.projection_esd**2, 0.0),
        np.where(found.offset != 1.0, found.offset_esd**2, 0.0),
    )
    divisor = gain[:, :, None].astype(np.float32)
    values: Singles = np.divide(sinogram.values, divisor)
    variance: Singles = np.divide(sinogram.variance, divisor**2)
    if known.any():
        variance += values**2 * known[:, :, None].astype(np.float32)
    return replace(sinogram, values=values, variance=variance)


def stripe_gains(sinogram: Sinogram, *, window: int = WINDOW) -> StripeGains:
    """Return the gains of projections and of offsets that stand out from their neighbours.

    Raises InputError as :func:`without_stripes` does.
    """
    _check_window(sinogram, window, "gains")
    signal = _gain_signal(sinogram)
    projection, projection_esd = _outstanding(signal, window)
    offset, offset_esd = _outstanding((signal / projection[:, None]).T, window)
    return StripeGains(projection, offset, projection_esd, offset_esd)


def _check_window(sinogram: Sinogram, window: int, method: str) -> None:
    n_angles, n_offsets, _ = sinogram.values.shape
    widest = n_offsets if method == "sorting" else min(n_angles, n_offsets)
    if window < 5 or window % 2 == 0 or window > widest:
        raise InputError(
            f"the window of stripes must be odd, at least 5 and at most the {widest} rays of the "
            f"sinogram, not {window}."
        )


def _gain_signal(sinogram: Sinogram) -> Floats:
    """Return the combination T of the module's text, (angle, offset); its mean is 1."""
    n_angles, n_offsets, _ = sinogram.values.shape
    used = np.flatnonzero(sinogram.measured_channels)
    n_groups = max(1, min(_MOST_GROUPS, used.size, n_angles * n_offsets // _RAYS_PER_GROUP))
    edges = np.linspace(0, used.size, n_groups + 1).astype(np.int64)[:-1]
    grouped = np.empty((n_angles, n_offsets, n_groups))
    for angle in range(n_angles):
        measured = sinogram.values[angle][:, used].astype(np.float64)
        grouped[angle] = np.add.reduceat(measured, edges, axis=1)
    mean = grouped.mean(axis=(0, 1))
    changes = [np.diff(grouped, 2, axis=axis).reshape(-1, n_groups) for axis in (0, 1)]
    covariance = np.sum([change.T @ change / len(change) for change in changes], axis=0)
    covariance += (
        _RIDGE * max(np.trace(covariance) / n_groups, np.finfo(float).tiny) * np.eye(n_groups)
    )
    weights = np.linalg.solve(covariance, mean)
    return np.asarray(grouped @ (weights / (weights @ mean)))


def _outstanding(signal: Floats, window: int) -> tuple[Floats, float]:
    """Return the gain of each row of T, 1 where it does not stand out, and its standard error."""
    level = signal.mean(axis=1)
    bright = level > _FAINTEST * level.max()
    logarithm = np.log(np.where(bright, level, 1.0))
    excess, smooth = _above_neighbours(logarithm, bright, window // 2)
    parts = np.array_split(signal, min(_BLOCKS, signal.shape[1]), axis=1)
    means = np.stack([part.mean(axis=1) for part in parts])
    single = np.log(np.where(bright & (means > 0.0), means, 1.0))
    scatter = (single - single @ smooth.T).std(axis=0, ddof=1)
    error = float(np.median(scatter[bright])) / np.sqrt(len(parts))
    excess[~(np.abs(excess) > _SIGNIFICANT * error)] = 0.0
    return np.exp(excess), error


def _above_neighbours(
    logarithm: Floats, bright: NDArray[np.bool_], reach: int
) -> tuple[Floats, Floats]:
    """Return what stands out of a smooth curve, and the matrix that draws the curve.

    The curve is drawn without what stands out, the furthest first: it falsifies its neighbours.
    """
    calm = bright.copy()
    while True:
        smooth = _local_quadratic(calm, reach)
        excess = np.where(bright, logarithm - smooth @ logarithm, 0.0)
        distance = np.where(calm, np.abs(excess), 0.0)
        usual = SIGMA_PER_MAD * np.median(distance[calm])
        limit = max(_CLIPPED * usual, _FURTHEST * distance.max())
        if not (distance > limit).any() or calm.sum() <= _LEAST_CALM * bright.sum():
            return excess, smooth
        calm &= distance <= limit


def _local_quadratic(present: NDArray[np.bool_], reach: int) -> Floats:
    """Return the matrix that puts a quadratic through the present ones within ``reach``."""
    n = present.size
    matrix = np.zeros((n, n))
    for row in range(n):
        first, last = max(row - reach, 0), min(row + reach + 1, n)
        near = first + np.flatnonzero(present[first:last])
        if near.size > 0:
            powers = np.vander((near - row) / reach, min(3, near.size), increasing=True)
            matrix[row, near] = np.linalg.pinv(powers)[0]
    return matrix


def _smoothed_by_rank(sinogram: Sinogram, window: int, workers: int | None) -> Sinogram:
    values = sinogram.values.copy()
    used = np.flatnonzero(sinogram.measured_channels)

    def task(first_block: int, last_block: int) -> None:
        for block in range(first_block, last_block):
            channels = used[block * _CHANNEL_BLOCK : (block + 1) * _CHANNEL_BLOCK]
            part = np.ascontiguousarray(sinogram.values[:, :, channels].transpose(2, 1, 0))
            for image in part:
                _smooth_ranks(image, window // 2)
            values[:, :, channels] = part.transpose(2, 1, 0)

    threaded(task, -(-used.size // _CHANNEL_BLOCK), workers=workers)
    return replace(sinogram, values=values)


@compiled
def _smooth_ranks(image: Singles, reach: int) -> None:
    """Replace each value of (offset, angle) by the running median of its rank among offsets."""
    n_offsets, n_angles = image.shape
    order = np.empty((n_offsets, n_angles), np.int64)
    ranked = np.empty((n_angles, n_offsets), np.float32)
    for j in range(n_offsets):
        order[j] = np.argsort(image[j])
        for rank in range(n_angles):
            ranked[rank, j] = image[j, order[j, rank]]
    smooth, sorted_part = np.empty(n_offsets, np.float32), np.empty(2 * reach + 1, np.float32)
    for rank in range(n_angles):
        _running_median(ranked[rank], reach, sorted_part, smooth)
        for j in range(n_offsets):
            image[j, order[j, rank]] = smooth[j]


@compiled
def _running_median(values: Singles, reach: int, part: Singles, median: Singles) -> None:
    """Write the medians of windows, mirrored at the ends, keeping ``part`` sorted throughout."""
    n, width = values.size, 2 * reach + 1
    for k in range(width):
        part[k] = values[abs(k - reach)]
    part.sort()
    median[0] = part[reach]
    for j in range(1, n):
        leaving, entering = values[abs(j - 1 - reach)], values[n - 1 - abs(n - 1 - j - reach)]
        k = np.searchsorted(part, leaving)
        while k > 0 and part[k - 1] > entering:
            part[k] = part[k - 1]
            k -= 1
        while k < width - 1 and part[k + 1] < entering:
            part[k] = part[k + 1]
            k += 1
        part[k] = entering
        median[j] = part[reach]
