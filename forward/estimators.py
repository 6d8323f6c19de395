"""Patterns as an integration's estimator would give them, without frames (pattern mode).

The trimmed mean or median of a channel's pixels is not the mean of their expectations, and has its
own variance (:mod:`forward.poisson_trimming`). Both depend on the mean λ of a pixel, the spread ρ
of means inside the channel and the number n of pixels, and are tabulated once as

    b = (T − λ)/σ,   σ² = λ + λ²ρ²/3          s = n Var T / λ

b and s are linear between nodes in three coordinates: log n; a stretched λ, whose steps are a
fixed share of λ below one count, of √λ above (the width of a step of the Poisson distribution), and
of λ again where steps no longer show; and q = 1 − √(3(1 − ρ²)/(3 + λρ²)), which runs from 0 to 1
as ρ does, and for large λ as 1 − √λ/σ: with the share of the spread in a pixel's variance.

A value is drawn as u·Poisson(M/u) with M the estimator's mean and u = variance/M. It has the right
mean and variance, is not negative, is zero with a likelihood that counting explains, is near normal
for many counts, and is the plain mean's Poisson distribution exactly where nothing is trimmed. (A
gamma distribution, with the same two moments, is twice as skewed: for the plain mean already.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from forward.philox import Words
from forward.poisson import LARGEST_MEAN as LARGEST_DRAW
from forward.poisson import RowScratch, poisson_row, row_scratch
from forward.poisson_tables import PoissonTables, poisson_tables
from forward.poisson_trimming import check_fractions, trimmed_moments
from xrdct.compiled import compiled, threaded
from xrdct.errors import InputError

Singles = NDArray[np.float32]

STAGE = 8
"""Patterns' place in the counters of :mod:`forward.philox`."""

_LOWEST_MEAN = 1e-3
_STAIR_MEAN = 400.0
_HIGHEST_MEAN = 2000.0
_AT_ONE = -math.log(_LOWEST_MEAN)
_AT_STAIR = _AT_ONE + 2.0 * (math.sqrt(_STAIR_MEAN) - 1.0)
_AT_HIGHEST = _AT_STAIR + math.log(_HIGHEST_MEAN / _STAIR_MEAN)
"""The stretched λ at 1, `_STAIR_MEAN` and `_HIGHEST_MEAN`; it is 0 at `_LOWEST_MEAN`."""
_FEW_KEPT = 0.1
"""If no more is kept, steps show as they do in a median, in all directions of the table."""
_LOG2_FEWEST = 5
_N_PIXEL_NODES = 10  # 32 to 16384 pixels


@dataclass(frozen=True, eq=False)
class EstimatorTable:
    """An estimator's bias b and variance ratio s (see the module's text)."""

    lower: float
    upper: float
    step: float
    """Between nodes of the stretched λ."""
    values: Singles
    """(b, s), shape (mean, pixels, spread, 2)."""

    @property
    def plain(self) -> bool:
        """Whether nothing is trimmed: the mean of all pixels."""
        return self.lower == 0.0 and self.upper == 0.0


@lru_cache(maxsize=8)
def estimator_table(lower: float, upper: float, *, workers: int | None = None) -> EstimatorTable:
    """Tabulate the mean without the fractions ``lower`` and ``upper``; both ½ mean the median.

    Takes a few seconds, once. Raises InputError unless the fractions are ≥ 0 and at most 1 in sum.
    """
    check_fractions(lower, upper)
    step, n_spreads = (0.03, 13) if 1.0 - lower - upper > _FEW_KEPT else (0.01, 33)
    means = [_mean_at(step * i) for i in range(math.ceil(_AT_HIGHEST / step) + 1)]
    values = np.zeros((len(means), _N_PIXEL_NODES, n_spreads, 2), np.float32)
    n_pixels = 2.0 ** (_LOG2_FEWEST + np.arange(_N_PIXEL_NODES))

    def fill(first: int, last: int) -> None:
        for i in range(first, last):
            for j in range(n_spreads):
                mean, rest = means[i], (1.0 - j / (n_spreads - 1)) ** 2
                spread = math.sqrt(3.0 * (1.0 - rest) / (3.0 + mean * rest))
                value, variance = trimmed_moments(
                    mean, spread=spread, n_pixels=n_pixels, lower=lower, upper=upper
                )
                sigma = math.sqrt(mean + (mean * spread) ** 2 / 3.0)
                values[i, :, j, 0] = (value - mean) / sigma
                values[i, :, j, 1] = n_pixels * variance / mean

    if lower > 0.0 or upper > 0.0:
        threaded(fill, len(means), workers=workers)
    return EstimatorTable(lower, upper, step, values)


def estimate(
    expected: Singles,
    *,
    n_pixels: NDArray[np.float64],
    table: EstimatorTable,
    slope: Singles | None = None,
    workers: int | None = None,
) -> tuple[Singles, Singles]:
    """Return mean and variance of what the estimator makes of every channel, in counts of it.

    ``expected`` holds the expected counts of all pixels of a channel together, (ray, channel), and
    so does the result: the estimator's value times the number of pixels ``n_pixels`` (channel,).
    ``slope`` is ρ, shape (ray, channel): from the channel's middle to its ends, the mean of a pixel
    changes by a share ρ. By default it is taken from the neighbouring channels. ρ above 1 counts as
    1. Channels without pixels give 0.

    Raises InputError where shapes do not fit.
    """
    expected = np.ascontiguousarray(expected, np.float32)
    shape = expected.shape
    if expected.ndim != 2 or n_pixels.shape != shape[1:]:
        raise InputError(
            "expected counts must be (ray, channel) and n_pixels (channel,), "
            f"got {shape} and {n_pixels.shape}"
        )
    if slope is not None and slope.shape != shape:
        raise InputError(f"slope must have the shape of the expected counts, got {slope.shape}")
    if table.plain:
        plain = np.where(n_pixels > 0.0, expected, np.float32(0.0))
        return plain, plain.copy()
    value, variance = np.empty_like(expected), np.empty_like(expected)
    given = np.empty((0, 0), np.float32) if slope is None else slope.astype(np.float32, copy=False)
    pixels = np.asarray(n_pixels, np.float64)

    def task(first: int, last: int) -> None:
        rays = slice(first, last)
        _look_up(
            expected[rays],
            given[rays],
            pixels,
            table.values,
            table.step,
            value[rays],
            variance[rays],
        )

    threaded(task, shape[0], workers=workers)
    return value, variance


def draw_estimate(
    mean: Singles, variance: Singles, *, key: Words, first_ray: int = 0, workers: int | None = None
) -> Singles:
    """Draw values of the given means and variances (ray, channel) ≥ 0; see the module's text.

    ``key`` is :func:`forward.philox.stream_key`'s. Ray i draws from counter ``first_ray`` + i, so
    the result depends neither on the number of threads nor on how a scan is cut into calls. A
    relative standard deviation below 3e-5 is drawn as 3e-5.

    Raises InputError where shapes differ.
    """
    if mean.ndim != 2 or mean.shape != variance.shape:
        raise InputError(
            f"mean and variance must both be (ray, channel), got {mean.shape} and {variance.shape}"
        )
    drawn = np.empty(mean.shape, np.float32)
    tables = poisson_tables()

    def task(first: int, last: int) -> None:
        rays = slice(first, last)
        scratch = row_scratch(mean.shape[1])
        ray = first_ray + first
        _draw(mean[rays], variance[rays], ray, key[0], key[1], tables, scratch, drawn[rays])

    threaded(task, mean.shape[0], workers=workers)
    return drawn


def _mean_at(place: float) -> float:
    """Return λ at a place on the stretched axis."""
    if place < _AT_ONE:
        return _LOWEST_MEAN * math.exp(place)
    if place < _AT_STAIR:
        return (1.0 + 0.5 * (place - _AT_ONE)) ** 2
    return _STAIR_MEAN * math.exp(place - _AT_STAIR)


@compiled
def _place_of(mean: float) -> float:
    """Return the place of λ on the stretched axis, whose slope is 1/λ, 1/√λ and 1/λ by turns."""
    if mean < 1.0:
        return float(_AT_ONE + math.log(mean))
    if mean < _STAIR_MEAN:
        return float(_AT_ONE + 2.0 * (math.sqrt(mean) - 1.0))
    return float(_AT_STAIR + math.log(min(mean, _HIGHEST_MEAN) / _STAIR_MEAN))


@compiled
def _spread(expected: Singles, n_pixels: NDArray[np.float64], channel: int, mean: float) -> float:
    """Return ρ from the neighbours: half the change of a pixel's mean across the channel."""
    before, after = max(0, channel - 1), min(expected.size - 1, channel + 1)
    if after == before or n_pixels[before] <= 0.0 or n_pixels[after] <= 0.0:
        return 0.0
    rise = expected[after] / n_pixels[after] - expected[before] / n_pixels[before]
    return float(abs(rise) / (2.0 * (after - before) * mean))


@compiled
def _look_up(
    expected: Singles,
    slope: Singles,
    n_pixels: NDArray[np.float64],
    table: Singles,
    step: float,
    value: Singles,
    variance: Singles,
) -> None:
    n_rays, n_channels = expected.shape
    place = np.log2(np.maximum(n_pixels, 1.0)) - _LOG2_FEWEST
    place = np.minimum(np.maximum(place, 0.0), _N_PIXEL_NODES - 1.0)
    for ray in range(n_rays):
        for c in range(n_channels):
            n = n_pixels[c]
            if n <= 0.0 or expected[ray, c] <= 0.0:
                value[ray, c] = variance[ray, c] = 0.0
                continue
            mean = expected[ray, c] / n
            rho = slope[ray, c] if slope.size else _spread(expected[ray], n_pixels, c, mean)
            rho2 = min(1.0, rho * rho)
            at = max(mean, _LOWEST_MEAN)  # T/λ is constant below
            q = (1.0 - math.sqrt(3.0 * (1.0 - rho2) / (3.0 + at * rho2))) * (table.shape[2] - 1)
            x = max(0.0, _place_of(at)) / step
            i = min(int(x), table.shape[0] - 2)
            j = min(int(place[c]), _N_PIXEL_NODES - 2)
            k = min(int(q), table.shape[2] - 2)
            fx, fn, fq = x - i, place[c] - j, q - k
            bias, ratio = 0.0, 0.0
            for di in range(2):
                for dj in range(2):
                    w = (fx if di else 1.0 - fx) * (fn if dj else 1.0 - fn)
                    low, high = table[i + di, j + dj, k], table[i + di, j + dj, k + 1]
                    bias += w * (low[0] + fq * (high[0] - low[0]))
                    ratio += w * (low[1] + fq * (high[1] - low[1]))
            estimate = at + bias * math.sqrt(at + at * at * rho2 / 3.0)
            value[ray, c] = max(0.0, estimate * n * (mean / at))
            variance[ray, c] = max(0.0, ratio * expected[ray, c])


@compiled
def _draw(
    mean: Singles,
    variance: Singles,
    first_ray: int,
    k0: np.uint32,
    k1: np.uint32,
    tables: PoissonTables,
    scratch: RowScratch,
    drawn: Singles,
) -> None:
    n_channels = mean.shape[1]
    counts, expected = np.empty(n_channels, np.int32), np.empty(n_channels, np.float32)
    for ray in range(mean.shape[0]):
        for c in range(n_channels):
            m, v = float(mean[ray, c]), float(variance[ray, c])
            if m <= 0.0:
                expected[c] = 0.0
            else:
                expected[c] = m * m / v if m * m < LARGEST_DRAW * v else LARGEST_DRAW
        poisson_row(expected, counts, 0, first_ray + ray, STAGE, k0, k1, tables, scratch)
        for c in range(n_channels):
            drawn[ray, c] = counts[c] * mean[ray, c] / expected[c] if counts[c] else 0.0
