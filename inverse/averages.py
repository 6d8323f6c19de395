"""Mean, sigma-clipped mean and median of the pixels of each channel, with their variances.

As in :mod:`inverse.trimmed`, v_i = n_i/w_i and N is the number of usable pixels.

mean     T = Σ n_i / Σ w_i, with the variances "spread" Σ (n_i − w_i T)²/(Σ w_i)² · N/(N − 1) and
         "photons" Σ n_i/(Σ w_i)², which holds for Poisson counts whatever their expectations.
clipped  the mean of the pixels within k standard deviations of T, repeated; what is dropped stays
         dropped. The deviation is that of a pixel of mean weight, s² = Σ(n_i − w_i T)²/Σ w_i², or
         Σ n_i/Σ w_i² for photons; the first time always the former, for outliers may raise T
         so far that photons alone would explain no pixel. The same variances, over the kept, still
         lack :func:`clipping_factors`.
median   the middle value, or the mean of the middle two. Its variance is 1/(4N f²), f the density
         there, which two order statistics K ranks apart about the middle give: D = v₊ − v₋ has
         E D² = K(K + 1)/(N f)², so N D²/(4K(K + 1)).

Counts have no density: their median jumps by a step Δ where the fraction below passes ½ and is
certain elsewhere. K = √(πN)/2 makes the variance right on average over where within a step the
intensity lies: with z = K/√N, D = Δ over a reach of 2z standard deviations of that fraction gives
2z·Δ²/(4z²), the truth is Δ² ∫ Φ(1 − Φ) = Δ²/√π. At a single low intensity it may be far off, zero
among others: the median is for tens of counts and more. On a slope it takes the slope for noise.

Source: Huber & Ronchetti, *Robust Statistics*, ch. 3; the clipping as in pyFAI's sigma_clip_ng.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inverse.order_statistics import BUCKETS, order_statistics
from inverse.trimmed import FEWEST_PIXELS, gather_values
from xrdct.compiled import compiled, compiled_fast

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int32]
Places = NDArray[np.int64]

_RANKS_APART = math.sqrt(math.pi) / 2.0
"""z = K/√N of the median's variance."""


def clipping_factors(threshold: float, *, iterations: int, poisson: bool) -> tuple[float, float]:
    """Return what the variances by spread and by photons of the kept pixels are multiplied with.

    A clipped mean moves its own window: a shift of the last mean by δ exchanges pixels at the edges
    worth cδ, c = 2kφ(k), against the P = Φ(k) − Φ(−k) that are kept. So for normal noise x, in
    units of its deviation, each iteration makes of the influence I(x) = x of the mean

        I ← [x·1(|x| < k) + c I]/P,    whose variance is that of a sum of truncated x,

    while the kept pixels alone tell a variance of (P − c)/P² by their spread and 1/P by their
    photons. By the spread, k is the threshold times the deviation of the pixels last kept. Below
    some 20 counts this holds for thresholds of 4 and more, for discrete counts cross lesser ones
    one by one.
    """
    windows: list[float] = []
    shares = np.ones(1)
    k = threshold
    for _ in range(iterations):
        kept, exchanged = _kept_and_exchanged(k)
        shares = np.append(shares * exchanged, 1.0) / kept
        windows.append(k)
        if not poisson:
            k = threshold * math.sqrt((kept - exchanged) / kept)
    moments = np.array([1.0] + [np.subtract(*_kept_and_exchanged(k)) for k in windows])
    variance = float(shares @ np.minimum.outer(moments, moments) @ shares)
    return variance * kept**2 / (kept - exchanged), variance * kept


def _kept_and_exchanged(k: float) -> tuple[float, float]:
    """Return P and c of :func:`clipping_factors`; the variance of x·1(|x| < k) is P − c."""
    return math.erf(k / math.sqrt(2.0)), 2.0 * k * math.exp(-0.5 * k * k) / math.sqrt(2.0 * math.pi)


@compiled_fast
def _mean(frame: Ints, pixel: Ints, weight: Singles) -> tuple[float, float, float]:
    """Return T and its variances by the spread and by photons."""
    n, sum_n, sum_w, sum_nn, sum_nw, sum_ww = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(pixel.size):
        found = frame[pixel[i]]
        usable = 1.0 if found >= 0 else 0.0
        count, w = usable * found, usable * np.float64(weight[i])
        n += 1 if found >= 0 else 0
        sum_n += count
        sum_w += w
        sum_nn += count * count
        sum_nw += count * w
        sum_ww += w * w
    if n < FEWEST_PIXELS:
        return np.nan, np.nan, np.nan
    t = sum_n / sum_w
    squares = max(sum_nn - 2.0 * t * sum_nw + t * t * sum_ww, 0.0)
    return t, squares / sum_w**2 * (n / (n - 1.0)), sum_n / sum_w**2


@compiled
def means(
    frame: Ints,
    start: Places,
    pixel: Ints,
    weight: Singles,
    first: int,
    last: int,
    value: Floats,
    spread: Floats,
    photons: Floats,
) -> None:
    """Write the mean and its two variances for the channels first ≤ c < last."""
    for c in range(first, last):
        own = slice(start[c], start[c + 1])
        value[c], spread[c], photons[c] = _mean(frame, pixel[own], weight[own])


@compiled_fast
def _sums(counts: Ints, weights: Singles, n: int) -> tuple[float, float, float, float]:
    """Return Σ n, Σ w, Σ (n − wT)² and Σ w²."""
    sum_n, sum_w, sum_nn, sum_nw, sum_ww = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        count, w = np.float64(counts[i]), np.float64(weights[i])
        sum_n += count
        sum_w += w
        sum_nn += count * count
        sum_nw += count * w
        sum_ww += w * w
    t = sum_n / sum_w
    return sum_n, sum_w, max(sum_nn - 2.0 * t * sum_nw + t * t * sum_ww, 0.0), sum_ww


@compiled
def clipped_means(
    frame: Ints,
    start: Places,
    pixel: Ints,
    weight: Singles,
    first: int,
    last: int,
    threshold: float,
    iterations: int,
    poisson: bool,
    value: Floats,
    spread: Floats,
    photons: Floats,
) -> None:
    """Write the clipped mean and its two variances for the channels first ≤ c < last."""
    longest = np.max(np.diff(start[first : last + 1]))
    counts = np.empty(longest, np.int32)
    weights, values = np.empty(longest, np.float32), np.empty(longest, np.float32)
    for c in range(first, last):
        own = slice(start[c], start[c + 1])
        n = gather_values(frame, pixel[own], weight[own], counts, weights, values)
        if n < FEWEST_PIXELS:
            value[c] = spread[c] = photons[c] = np.nan
            continue
        sum_n, sum_w, squares, sum_ww = _sums(counts, weights, n)
        for iteration in range(iterations):
            by_photons = poisson and iteration > 0
            reach = threshold * np.sqrt((sum_n if by_photons else squares) / sum_ww)
            t, kept = sum_n / sum_w, 0
            for i in range(n):
                v = values[i]
                counts[kept], weights[kept], values[kept] = counts[i], weights[i], v
                kept += abs(v - t) <= reach
            if kept == n or kept == 0:
                break
            n = kept
            sum_n, sum_w, squares, sum_ww = _sums(counts, weights, n)
        value[c] = sum_n / sum_w
        spread[c] = squares / sum_w**2 * (n / max(n - 1.0, 1.0))
        photons[c] = sum_n / sum_w**2


@compiled
def medians(
    frame: Ints,
    start: Places,
    pixel: Ints,
    weight: Singles,
    first: int,
    last: int,
    value: Floats,
    variance: Floats,
) -> None:
    """Write the median and its variance for the channels first ≤ c < last."""
    longest = np.max(np.diff(start[first : last + 1]))
    counts, bucket = np.empty(longest, np.int32), np.empty(longest, np.int32)
    weights, values = np.empty(longest, np.float32), np.empty(longest, np.float32)
    part = np.empty(longest, np.float32)
    table = np.empty((2, BUCKETS), np.int32)
    ranks, found = np.empty(4, np.int64), np.empty(4, np.float32)
    for c in range(first, last):
        own = slice(start[c], start[c + 1])
        n = gather_values(frame, pixel[own], weight[own], counts, weights, values)
        if n < FEWEST_PIXELS:
            value[c] = variance[c] = np.nan
            continue
        apart = round(_RANKS_APART * math.sqrt(n))
        ranks[0], ranks[1], ranks[2] = (n - 1 - apart) // 2, (n - 1) // 2, n // 2
        ranks[3] = ranks[0] + apart
        order_statistics(values, n, ranks, bucket, table, part, found)
        value[c] = 0.5 * (np.float64(found[1]) + np.float64(found[2]))
        width = np.float64(found[3]) - np.float64(found[0])
        variance[c] = n * width**2 / (4.0 * apart * (apart + 1.0))
