"""What a trimmed mean over the pixels of a spotty ring keeps, and how much that varies.

A ring of m̄ spots per pixel, each of the same total, has in a pixel the intensity Σ a(t_j)/m̄ in
units of its mean: spots lie at random distances t_j and a(t) is their profile along the ring
averaged over the pixel (:func:`forward.grains.spot_profile_per_px`). This is shot noise (Campbell,
1909); its characteristic function is

    exp( m̄ ∫ (e^{i u a(t)} − 1) dt ),

and one Fourier transform of it gives the distribution of pixels. The trimmed mean leaves out the
fractions ``lower`` and ``upper`` of the pixels with the fewest and the most photons; a value at
which a limit falls is left out in part. In a long ring it is an average over ranks between the
quantiles Q(lower) and Q(1 − upper), and varies as the mean of x clipped to these quantiles does:
with ψ(x) = clip(x) / (1 − lower − upper) over n pixels,

    n · variance = Σ_k cov(ψ(x₀), ψ(x_k)) .

Neighbours share spots; their joint distribution is the same transform in two dimensions. With
photons counted, λ to a pixel on average and b of background, the number N in a pixel has

    E[z^N] = exp( m̄ ∫ (e^{−(λ/m̄) a(t) (1 − z)} − 1) dt − b (1 − z) ) .

Sources: Rice, Bell Syst. Tech. J. 23 (1944) 282, sec. 1.5; Stigler, Ann. Stat. 1 (1973) 472.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, irfft2, rfft, rfft2
from scipy.interpolate import PchipInterpolator

from forward.grains import spot_profile_per_px, spot_reach_px
from xrdct.errors import InputError

Floats = NDArray[np.float64]

_N_LEVELS = 1 << 14
_N_JOINT_LEVELS = 256
_N_DISTANCES = 4000
_N_COUNTED_DISTANCES = 400
_MAX_COUNTS = 1 << 14
_KEPT_RANGE = (-3.0, 4.0)
"""log₁₀ of the spots per pixel that the table covers."""
_SPREAD_RANGE = (-3.0, 2.5)
"""Above, the intensities of neighbours are Gaussian and the ratio of variances is constant."""
_NODES_PER_DECADE = 12


def kept_fraction(
    spots_per_pixel: ArrayLike, *, lower: float, upper: float, fwhm_px: float
) -> Floats:
    """Return the trimmed mean of rings over their mean, for any shape of ``spots_per_pixel``.

    Without counting noise; ``fwhm_px`` is a spot's FWHM along the ring before the pixel blurs it.
    Interpolated to 10⁻³ between 10⁻³ and 10⁴ spots to a pixel and constant outside; the table of
    one set of ``lower``, ``upper`` and ``fwhm_px`` takes a tenth of a second, once.
    """
    return _look_up(_kept_table(lower, upper, fwhm_px), spots_per_pixel, _KEPT_RANGE)


def trimmed_variance(
    spots_per_pixel: ArrayLike, *, lower: float, upper: float, fwhm_px: float
) -> Floats:
    """Return n times the variance of the trimmed mean of n pixels, over the ring's mean squared.

    The number of spots on the ring is Poisson, as everywhere here; the plain mean has
    1/``spots_per_pixel``. n counts pixels along the ring. For n times the number of spots to a
    pixel well above one. The table, good to 1 %, takes half a second, once; less where few decades
    are asked for.
    """
    density = np.asarray(spots_per_pixel, dtype=float)
    ratio = _look_up(_spread_table(lower, upper, fwhm_px), density, _SPREAD_RANGE)
    return np.asarray(ratio / density)


def trimmed_counts(
    spots_per_pixel: float,
    *,
    lower: float,
    upper: float,
    fwhm_px: float,
    ring_counts: float,
    background_counts: float = 0.0,
) -> float:
    """Return the trimmed mean, in counts to a pixel, of a long ring whose photons are counted.

    ``ring_counts`` and ``background_counts`` are means to a pixel, the latter of a smooth ring.
    Where single spots are of more than about 10⁴ counts, counting noise is left out.
    """
    _check(lower, upper, fwhm_px)
    reach, per_spot = spot_reach_px(fwhm_px), ring_counts / spots_per_pixel
    t = (np.arange(_N_COUNTED_DISTANCES) + 0.5) * reach / _N_COUNTED_DISTANCES
    profile = spot_profile_per_px(t, fwhm_px=fwhm_px)
    profile *= 0.5 * _N_COUNTED_DISTANCES / reach / profile.sum()
    variance = ring_counts + background_counts + per_spot * ring_counts * _sharpness(fwhm_px)
    most = ring_counts + background_counts + 10.0 * np.sqrt(variance) + 8.0 * per_spot + 30.0
    size = 1 << int(np.ceil(np.log2(most)))
    if size > _MAX_COUNTS:
        kept = _exactly_kept(spots_per_pixel, lower=lower, upper=upper, fwhm_px=fwhm_px)
        return background_counts + ring_counts * kept
    less = 1.0 - np.exp(-2j * np.pi / size * np.arange(size // 2 + 1))
    exponent = -background_counts * less
    for value in profile:
        exponent += 2.0 * reach / t.size * spots_per_pixel * np.expm1(-per_spot * value * less)
    return _trimmed_mean(np.arange(size, dtype=float), irfft(np.exp(exponent), size), lower, upper)


def _check(lower: float, upper: float, fwhm_px: float) -> None:
    if not (lower >= 0.0 and upper >= 0.0 and lower + upper < 1.0):
        raise InputError(
            f"trimmed fractions must not be negative nor reach one together, got {lower}, {upper}"
        )
    if not 0.3 <= fwhm_px <= 20.0:
        raise InputError(f"fwhm_px must lie between 0.3 and 20, got {fwhm_px}")


def _look_up(table: _Table, spots_per_pixel: ArrayLike, limits: tuple[float, float]) -> Floats:
    density = np.maximum(np.asarray(spots_per_pixel, dtype=float), 1e-300)
    return table.at(np.clip(np.log10(density), *limits))


class _Table:
    """A function of log₁₀ of the spots per pixel, worked out at the nodes that are needed.

    Monotone cubic interpolation needs the two nodes on either side of a place, no others: the
    values do not depend on what was asked before.
    """

    def __init__(self, function: Callable[[float], float], limits: tuple[float, float]) -> None:
        first, last = limits
        self._function = function
        self._nodes = np.linspace(first, last, int(_NODES_PER_DECADE * (last - first)) + 1)
        self._values = np.full(self._nodes.size, np.nan)

    def at(self, place: Floats) -> Floats:
        """Return values at places within the limits, of any shape."""
        if place.size == 0:
            return np.zeros(place.shape)
        least, most = np.fmin.reduce(place, axis=None), np.fmax.reduce(place, axis=None)
        above = np.searchsorted(self._nodes, [least, most])
        low, high = max(int(above[0]) - 2, 0), min(int(above[1]) + 2, self._nodes.size)
        for node in range(low, high):
            if np.isnan(self._values[node]):
                self._values[node] = self._function(10.0 ** self._nodes[node])
        return np.asarray(PchipInterpolator(self._nodes[low:high], self._values[low:high])(place))


@lru_cache(maxsize=32)
def _kept_table(lower: float, upper: float, fwhm_px: float) -> _Table:
    _check(lower, upper, fwhm_px)
    return _Table(partial(_exactly_kept, lower=lower, upper=upper, fwhm_px=fwhm_px), _KEPT_RANGE)


@lru_cache(maxsize=32)
def _spread_table(lower: float, upper: float, fwhm_px: float) -> _Table:
    """Variance over that of the plain mean, against log₁₀ of the spots per pixel."""
    _check(lower, upper, fwhm_px)
    return _Table(partial(_exact_spread, lower=lower, upper=upper, fwhm_px=fwhm_px), _SPREAD_RANGE)


def _exactly_kept(density: float, *, lower: float, upper: float, fwhm_px: float) -> float:
    level, probability = _pixel_distribution(density, fwhm_px)
    return _trimmed_mean(level, probability, lower, upper) / density


@lru_cache(maxsize=32)
def _sharpness(fwhm_px: float) -> float:
    """Return ∫ a² dt, the variance of a ring of one spot to a pixel."""
    reach = spot_reach_px(fwhm_px)
    t = (np.arange(_N_DISTANCES) + 0.5) * (2.0 * reach / _N_DISTANCES) - reach
    return float(np.sum(spot_profile_per_px(t, fwhm_px=fwhm_px) ** 2) * 2.0 * reach / t.size)


@lru_cache(maxsize=64)
def _profiles(fwhm_px: float, lag_px: int) -> tuple[float, Floats, Floats]:
    """Return the step in t, a(t) and a(t + lag) where either is not zero, of unit integral.

    The arrays are shared between calls and read-only.
    """
    reach = spot_reach_px(fwhm_px)
    length = 2.0 * reach + lag_px
    t = (np.arange(_N_DISTANCES) + 0.5) * length / _N_DISTANCES - reach - lag_px
    here, there = (
        np.where(np.abs(place) < reach, spot_profile_per_px(place, fwhm_px=fwhm_px), 0.0)
        for place in (t, t + lag_px)
    )
    step = length / t.size
    here, there = here / (here.sum() * step), there / (there.sum() * step)
    here.flags.writeable = there.flags.writeable = False
    return step, here, there


def _levels(density: float, fwhm_px: float, n: int) -> tuple[float, int]:
    """Return the width of ``n`` levels for Σ a(t_j), and the number (of widths) of the lowest.

    Fourier transforms are periodic: level i stands for i, i + n, … whichever lies in the range.
    """
    spread = float(np.sqrt(density * _sharpness(fwhm_px)))
    peak = float(spot_profile_per_px(0.0, fwhm_px=fwhm_px))
    least, most = max(0.0, density - 9.0 * spread), density + 9.0 * spread + 6.0 * peak
    width = (most - least) / (n - 3)
    return width, int(least / width) - 1


def _shared(value: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Share values, in widths, between three levels (3, …): mean and variance stay the same."""
    nearest = np.rint(value)
    off = value - nearest
    weight = np.stack([0.5 * off * (off - 1.0), 1.0 - off**2, 0.5 * off * (off + 1.0)])
    level = np.stack([nearest - 1.0, nearest, nearest + 1.0]).astype(np.int64)
    return level, np.asarray(weight)


def _pixel_distribution(density: float, fwhm_px: float) -> tuple[Floats, Floats]:
    """Return levels of Σ a(t_j), rising, and their probabilities, each of shape (level,)."""
    step, profile, _ = _profiles(fwhm_px, 0)
    width, lowest = _levels(density, fwhm_px, _N_LEVELS)
    place, weight = _shared(profile / width)
    share = np.bincount((place % _N_LEVELS).ravel(), weight.ravel(), _N_LEVELS)
    probability = irfft(np.exp(density * step * (rfft(share) - profile.size)), _N_LEVELS)
    level = width * (lowest + np.arange(float(_N_LEVELS)))
    return level, np.asarray(np.roll(probability, -lowest))


def _trimmed_mean(level: Floats, probability: Floats, lower: float, upper: float) -> float:
    cumulative = np.clip(np.cumsum(probability), lower, 1.0 - upper)
    weight = np.diff(cumulative, prepend=lower)
    return float(np.sum(weight * level) / (1.0 - lower - upper))


def _exact_spread(density: float, *, lower: float, upper: float, fwhm_px: float) -> float:
    """Return the variance of the trimmed mean over that of the plain mean, 1/m̄ in n pixels."""
    level, probability = _pixel_distribution(density, fwhm_px)
    cumulative = np.cumsum(probability)
    lowest, highest = (
        level[min(int(np.searchsorted(cumulative, rank)), level.size - 1)]
        for rank in (max(lower, 1e-12), 1.0 - max(upper, 1e-12))
    )
    clipped = np.clip(level, lowest, highest)
    mean = np.sum(probability * clipped)
    total = float(np.sum(probability * (clipped - mean) ** 2))
    for lag in range(1, int(2.0 * spot_reach_px(fwhm_px)) + 1):
        total += 2.0 * _covariance(density, fwhm_px, lag, lowest, highest)
    return total / (1.0 - lower - upper) ** 2 / density


def _covariance(
    density: float, fwhm_px: float, lag_px: int, lowest: float, highest: float
) -> float:
    """Return the covariance of two pixels' clipped Σ a(t_j), ``lag_px`` apart."""
    step, here, there = _profiles(fwhm_px, lag_px)
    n = _N_JOINT_LEVELS
    width, first = _levels(density, fwhm_px, n)
    (rows, row_weight), (columns, column_weight) = _shared(here / width), _shared(there / width)
    places = (rows[:, None] % n) * n + columns[None, :] % n
    weights = row_weight[:, None] * column_weight[None, :]
    share = np.bincount(places.ravel(), weights.ravel(), n * n).reshape(n, n)
    joint = irfft2(np.exp(density * step * (rfft2(share) - here.size)), (n, n))
    clipped = np.roll(np.clip(width * (first + np.arange(n)), lowest, highest), first)
    mean = joint.sum(1) @ clipped, joint.sum(0) @ clipped
    return float(clipped @ joint @ clipped - mean[0] * mean[1])
