"""Single rays far above their neighbours: zingers of the detector, and lone large crystallites.

A value y (angle, offset, channel) is compared with its eight neighbours in angle and offset, of
median m, with standard deviation

    σ² = median of the neighbours' stated variances + (1.4826 · median |neighbour − m|)²,

so that what scatters more than stated, or lies beside the edge of a particle, is given room. It is
an outlier where

    y − m > k·σ    and    y − m > 2·(t − m),

t being the brightest value where the matter in the ray would show again: in the rays beside it, and
in both neighbouring projections as far as matter moves between them, |Δt| ≤ R·Δω. What is bright
for one exposure only is no matter of the sample. From an outlier on, adjacent channels that stand
out by half as much belong to it (a crystallite lights a whole line).

An outlier is replaced by m. That repeats its neighbours and is no more certain than they are: its
variance becomes the larger of the two terms of σ². All is judged on the data as given: the result
depends neither on an order nor on the number of threads. Of two outliers that lie where matter of
the one would show again, only one of more than twice the other's excess is found.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inverse.sinogram import Sinogram
from xrdct.compiled import compiled, threaded
from xrdct.errors import InputError

Singles = NDArray[np.float32]

_WIDEST_SAMPLE = 3.0
"""Diameter, in fields of view, out to which matter must be allowed to cross the window."""
_SIGMA_PER_MAD = np.float32(1.4826)
_LEAD = np.float32(2.0)
_FEWEST = 3


def without_zingers(
    sinogram: Sinogram, *, threshold_sigma: float = 6.0, workers: int | None = None
) -> tuple[Sinogram, int]:
    """Return the sinogram without outliers of single rays, and how many values were replaced.

    ``threshold_sigma`` is k of the module's formula.

    Raises InputError for a threshold that is not a positive number, and for sinograms of fewer
    than three projections or offsets, where a ray has no neighbours on both sides.
    """
    if not (np.isfinite(threshold_sigma) and threshold_sigma > 0.0):
        raise InputError(f"threshold_sigma must be positive and finite, not {threshold_sigma}.")
    n_angles, n_offsets, _ = sinogram.values.shape
    if min(n_angles, n_offsets) < _FEWEST:
        raise InputError(
            "outliers are judged by neighbours, of which a sinogram of "
            f"{n_angles} angles × {n_offsets} offsets has too few: {_FEWEST} × {_FEWEST} at least."
        )
    values, variance = sinogram.values.copy(), sinogram.variance.copy()
    replaced = np.zeros(n_angles, np.int64)
    reach = _reach(sinogram)

    def task(start: int, stop: int) -> None:
        for angle in range(start, stop):
            replaced[angle] = _clean_projection(
                sinogram.values, sinogram.variance, angle, reach, np.float32(threshold_sigma),
                values[angle], variance[angle],
            )  # fmt: skip

    threaded(task, n_angles, workers=workers)
    return replace(sinogram, values=values, variance=variance), int(replaced.sum())


def _reach(sinogram: Sinogram) -> int:
    """Return how many offsets the outermost matter moves from one projection to the next."""
    n_offsets = sinogram.values.shape[1]
    turn = float(np.median(np.abs(np.diff(sinogram.angles_rad))))
    moved = int(np.ceil(0.5 * _WIDEST_SAMPLE * n_offsets * turn))
    return int(min(max(1, moved), n_offsets - 1))


@compiled
def _clean_projection(
    values: Singles, variances: Singles, angle: int, reach: int, threshold: np.float32,
    new_values: Singles, new_variances: Singles,
) -> int:  # fmt: skip
    """Replace the outliers of one projection in ``new_values``; return their number."""
    n_offsets, n_channels = new_values.shape
    near = np.empty((8, n_channels), np.float32)
    stated, middle = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    spread, top = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    count = 0
    for j in range(n_offsets):
        _neighbours(variances, angle, j, near)
        _median_of_eight(near, stated)
        _neighbours(values, angle, j, near)
        _median_of_eight(near, middle)
        _distances(near, middle)
        _median_of_eight(near, spread)
        _brightest(values, angle, j, reach, top)
        count += _replace(threshold, stated, middle, spread, top, new_values[j], new_variances[j])
    return count


@compiled
def _beside(index: int, n: int) -> tuple[int, int]:
    """Return the places before and after, the one inside twice at an end."""
    return abs(index - 1), n - 1 - abs(n - 2 - index)


@compiled
def _neighbours(stack: Singles, angle: int, offset: int, near: Singles) -> None:
    """Copy the eight rays around a ray to the rows of ``near``."""
    before, after = _beside(angle, stack.shape[0])
    left, right = _beside(offset, stack.shape[1])
    row = 0
    for i in (before, angle, after):
        for j in (left, offset, right):
            if i != angle or j != offset:
                near[row] = stack[i, j]
                row += 1


@compiled
def _brightest(values: Singles, angle: int, offset: int, reach: int, top: Singles) -> None:
    """Set ``top`` to the brightest value where the matter in a ray would show again."""
    left, right = _beside(offset, values.shape[1])
    top[:] = values[angle, left]
    _raise_to(top, values[angle, right])
    for i in _beside(angle, values.shape[0]):
        for j in range(max(offset - reach, 0), min(offset + reach + 1, values.shape[1])):
            _raise_to(top, values[i, j])


@compiled
def _raise_to(top: Singles, other: Singles) -> None:
    for c in range(top.size):
        top[c] = other[c] if other[c] > top[c] else top[c]


@compiled
def _distances(near: Singles, middle: Singles) -> None:
    for row in range(near.shape[0]):
        for c in range(middle.size):
            near[row, c] = abs(near[row, c] - middle[c])


@compiled
def _sorted_pair(a: np.float32, b: np.float32) -> tuple[np.float32, np.float32]:
    return (b, a) if b < a else (a, b)


@compiled
def _median_of_eight(near: Singles, median: Singles) -> None:
    """Set ``median`` to that of the rows: two sorted fours, merged as far as the middle.

    Source: the sorting networks of Batcher, AFIPS Proc. 32 (1968) 307.
    """
    for c in range(median.size):
        a, b = _sorted_pair(near[0, c], near[1, c])
        d, e = _sorted_pair(near[2, c], near[3, c])
        a, d = _sorted_pair(a, d)
        b, e = _sorted_pair(b, e)
        b, d = _sorted_pair(b, d)
        f, g = _sorted_pair(near[4, c], near[5, c])
        h, k = _sorted_pair(near[6, c], near[7, c])
        f, h = _sorted_pair(f, h)
        g, k = _sorted_pair(g, k)
        g, h = _sorted_pair(g, h)
        # Of two rising lists of four, the smaller of x_i and y_(3−i) are the four smallest of all:
        # the middle two are the largest of these and the smallest of the others.
        low0, high0 = _sorted_pair(a, k)
        low1, high1 = _sorted_pair(b, h)
        low2, high2 = _sorted_pair(d, g)
        low3, high3 = _sorted_pair(e, f)
        _, low0 = _sorted_pair(low0, low1)
        _, low2 = _sorted_pair(low2, low3)
        _, low0 = _sorted_pair(low0, low2)
        high0, _ = _sorted_pair(high0, high1)
        high2, _ = _sorted_pair(high2, high3)
        high0, _ = _sorted_pair(high0, high2)
        median[c] = np.float32(0.5) * (low0 + high0)


@compiled
def _replace(
    threshold: np.float32, stated: Singles, middle: Singles, spread: Singles, top: Singles,
    values: Singles, variances: Singles,
) -> int:  # fmt: skip
    """Replace the outliers of a ray; return their number. NaN fails every comparison."""
    n = values.size
    half = np.float32(0.5) * threshold
    excess, scatter = np.empty(n, np.float32), np.empty(n, np.float32)
    found = np.zeros(n, np.bool_)
    for c in range(n):
        scatter[c] = _SIGMA_PER_MAD * spread[c]
        spread[c] = np.sqrt(stated[c] + scatter[c] ** 2)
        excess[c] = values[c] - middle[c]
        seen_again = top[c] - middle[c]
        found[c] = excess[c] > threshold * spread[c] and excess[c] > _LEAD * seen_again
    for c in range(1, n):
        found[c] |= found[c - 1] and excess[c] > half * spread[c] and values[c] > top[c]
    for c in range(n - 2, -1, -1):
        found[c] |= found[c + 1] and excess[c] > half * spread[c] and values[c] > top[c]
    count = 0
    for c in range(n):
        if found[c]:
            values[c], variances[c] = middle[c], max(stated[c], scatter[c] ** 2)
            count += 1
    return count
