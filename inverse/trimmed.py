"""Trimmed mean of the pixels of each channel, with the variance of that estimator.

A pixel of n_i counts and weight w_i has the value v_i = n_i/w_i. Of the N pixels of a channel the
⌊αN⌋ of lowest and the ⌊βN⌋ of highest value are left out, and

    T = Σ n_i / Σ w_i    over those kept.

Pixels of equal value that a cut divides all count, each by the fraction of them that is kept: the
mean over every order they could be sorted in, so that it does not matter which of many zeros go.

Its variance is (1/N²) Σ Var I(v_i), I being the influence function. With the cuts a ≤ b, the mean
weight w̄ of the kept and sums over the kept where not said otherwise:

    spread   [Σ (n_i − w_i T)² + ⌊αN⌋ d_a² + ⌊βN⌋ d_b² − (⌊αN⌋ d_a + ⌊βN⌋ d_b)²/N] / (Σ w_i)²
             times N/(N − 1), with d_a = w̄ (a − T), d_b = w̄ (b − T)
    photons  Σ_all n_i [c_i(n_i) − c_i(n_i − 1)]² / (Σ w_i)²,    c_i(x) = min(max(x, a w_i), b w_i)

"spread" is the Winsorised variance over (1 − α − β)²N, here for a ratio of sums. It is exact for
pixels that differ by noise alone; where the intensity slopes across a channel it takes the slope
for noise. "photons" bounds the variance of Poisson counts whatever their expectations: for a count
X of mean λ, Var c(X) ≤ λ E[c(X + 1) − c(X)]² = E X [c(X) − c(X − 1)]². For high counts it is Σ n_i
over (Σ w_i)², exact where few pixels are near a cut, as on a steep slope; on the flat it is
1/(1 − α − β) of the plain mean's variance, where the truth is about 1.03 (5 %/5 %) or 1.06 of it.
Both are upper bounds, so the smaller is the better one.

Source: PHYSICS 7; Stigler, Ann. Statist. 1 (1973) 472; Klaassen, Ann. Probab. 13 (1985) 966 for the
bound, by Chen's identity λ E f(X + 1) = E X f(X).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.order_statistics import BUCKETS, order_statistics
from xrdct.compiled import compiled, compiled_fast

FEWEST_PIXELS = 8
"""Channels with fewer usable pixels are not measured: a spread of so few says nothing."""

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int32]
Places = NDArray[np.int64]


@compiled
def gather_values(
    frame: Ints, pixel: Ints, weight: Singles, counts: Ints, weights: Singles, values: Singles
) -> int:
    """Read a channel's pixels into the last three and return how many are usable: not negative."""
    lowest = np.int32(0)
    for i in range(pixel.size):
        counts[i] = frame[pixel[i]]
        lowest = min(lowest, counts[i])
    if lowest < 0:
        n = 0
        for i in range(pixel.size):
            counts[n] = counts[i]
            weights[n] = weight[i]
            n += counts[i] >= 0
    else:
        n = pixel.size
        weights[:n] = weight
    for i in range(n):
        values[i] = np.float32(counts[i]) / weights[i]
    return n


@compiled
def _whole(number: float) -> int:
    """Return ⌊number⌋, taking 28.999999999999996 (29 % of 100) for 29."""
    return int(number + 1e-9)


@compiled
def trimmed_means(
    frame: Ints,
    start: Places,
    pixel: Ints,
    weight: Singles,
    first: int,
    last: int,
    fraction_below: float,
    fraction_above: float,
    value: Floats,
    spread: Floats,
    photons: Floats,
) -> None:
    """Write T and its two variances for the channels first ≤ c < last.

    frame flat (row·column,); value, spread, photons (channel,), NaN where fewer than
    ``FEWEST_PIXELS`` are usable.
    """
    longest = np.max(np.diff(start[first : last + 1]))
    counts, bucket = np.empty(longest, np.int32), np.empty(longest, np.int32)
    weights, values = np.empty(longest, np.float32), np.empty(longest, np.float32)
    part = np.empty(longest, np.float32)
    table = np.empty((2, BUCKETS), np.int32)
    ranks, cuts = np.empty(2, np.int64), np.empty(2, np.float32)
    for c in range(first, last):
        own = slice(start[c], start[c + 1])
        n = gather_values(frame, pixel[own], weight[own], counts, weights, values)
        if n < FEWEST_PIXELS:
            value[c] = spread[c] = photons[c] = np.nan
            continue
        below, above = _whole(fraction_below * n), _whole(fraction_above * n)
        ranks[0], ranks[1] = below, n - 1 - above
        order_statistics(values, n, ranks, bucket, table, part, cuts)
        low, high = _shares(values, n, below, above, cuts[0], cuts[1])
        value[c], spread[c], photons[c] = _kept_sums(
            counts, weights, values, n, below, above, cuts[0], cuts[1], low, high
        )


@compiled_fast
def _shares(
    values: Singles, n: int, below: int, above: int, lowest: np.float32, highest: np.float32
) -> tuple[float, float]:
    """Return which part of the pixels exactly at either cut remains."""
    less, at_lowest, at_highest = 0, 0, 0
    for i in range(n):
        less += 1 if values[i] < lowest else 0
        at_lowest += 1 if values[i] == lowest else 0
        at_highest += 1 if values[i] == highest else 0
    if lowest == highest:
        share = (n - below - above) / at_lowest
        return share, share
    more = 0
    for i in range(n):
        more += 1 if values[i] > highest else 0
    return (less + at_lowest - below) / at_lowest, (more + at_highest - above) / at_highest


@compiled_fast
def _kept_sums(
    counts: Ints,
    weights: Singles,
    values: Singles,
    n: int,
    below: int,
    above: int,
    lowest: np.float32,
    highest: np.float32,
    low_share: float,
    high_share: float,
) -> tuple[float, float, float]:
    """Return T, its variance by the spread and its bound by photons."""
    sum_n, sum_w, sum_nn, sum_nw, sum_ww, steps = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    a, b = np.float64(lowest), np.float64(highest)
    for i in range(n):
        v = values[i]
        inside = 1.0 if (v > lowest) & (v < highest) else 0.0
        share = low_share if v == lowest else (high_share if v == highest else inside)
        count, w = np.float64(counts[i]), np.float64(weights[i])
        sum_n += share * count
        sum_w += share * w
        sum_nn += share * (count * count)
        sum_nw += share * (count * w)
        sum_ww += share * (w * w)
        step = min(max(count, a * w), b * w) - min(max(count - 1.0, a * w), b * w)
        steps += count * (step * step)
    t = sum_n / sum_w
    mean_w = sum_w / (n - below - above)
    under, over = mean_w * (a - t), mean_w * (b - t)
    squares = sum_nn - 2.0 * t * sum_nw + t * t * sum_ww
    squares += below * under**2 + above * over**2 - (below * under + above * over) ** 2 / n
    return t, max(squares, 0.0) / sum_w**2 * (n / (n - 1.0)), steps / sum_w**2
