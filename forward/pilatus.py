"""The counting detector: from photons that arrive on pixels to the counts it records.

Stages of one frame, in order (each but the Poisson draw can be switched off):

1. gain: expected photons are multiplied by the response of the sensor above their pixel;
2. charge sharing: part of the photons count in a neighbour. Every photon of pixel i goes to pixel
   i + o with probability s_o, independently of the others, and a Poisson number of things sorted
   that way makes independent Poisson numbers, so it is enough to convolve the *expectation* with s;
3. the Poisson draw of the single counts, hot pixels' own counts included;
4. double counts: photons that count in i and i + o are Poisson events of mean λ_i d_o, which add
   one count to both, so cov(N_i, N_k) = λ_i d_(k−i) + λ_k d_(i−k). Their number in each pixel
   is a Poisson draw, and one more random word each chooses the neighbour;
5. dead time, non-paralysable: of N photons in the exposure t a pixel misses L, with y = Nτ/t,

       E[L | N] = N y/(1 + y),     Var[L | N] = N y/(1 + y)⁴  (normal, where E[L] ≥ 8),
                                   Var[L | N] = E[L | N]      (Poisson, below);

   N − L then has the law's mean N/(1 + x), x = λτ/t, up to relative terms of τ/t (1.5e-5 in 10 ms),
   and its variance λ/(1 + x)³: exactly in x in the first case; in the second the sum of
   λx/(1 + x) and λ/(1 + x)⁴ is too large by 3x² of itself to leading order, at most 24 τ/t;
6. the firmware's correction m/(1 − mτ_f/t), rounded to an integer. Below m ≈ √(t/2τ_f), 183
   counts in 10 ms, rounding leaves nothing of it. What is left otherwise is 1/(1 + x − λτ_f/t);
7. zingers: the tracks of stray particles (`forward.faults`);
8. the counter's end, 2²⁰ − 1; gaps read −1, known dead pixels −2, unknown dead ones 0.

Source: PHYSICS 6; Feller, "On probability problems in the theory of counters" (1948), for 5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from forward.charge import PhotonResponse
from forward.faults import (
    COUNTS_PER_TRACK,
    UNKNOWN_DEAD_CODE,
    DetectorFaults,
    DetectorState,
    add_zingers,
    waiting_time,
)
from forward.philox import WORDS_PER_RUN, Words, fill_words, fine_uniform, philox4x32, uniform
from forward.poisson import draw_poisson
from xrdct.compiled import compiled, compiled_fast
from xrdct.errors import InputError

Frame = NDArray[np.float32]
Counts = NDArray[np.int32]

LARGEST_COUNT = 2**20 - 1
_STAGE_DOUBLES, _STAGE_DEAD_TIME = 1, 2
_CHUNK = 32
"""Pixels that are passed over at once where nothing happens in them."""
_MANY_LOST = 8.0
_WORDS_AT_ONCE = 8 * WORDS_PER_RUN
_NEIGHBOUR_ROW = (-1, -1, -1, 0, 0, 1, 1, 1)
_NEIGHBOUR_COLUMN = (-1, 0, 1, -1, 1, -1, 0, 1)
_SHARING_BLOCK = 2**31
"""Where in a row's counter the choice of neighbours begins, past all that the Poisson draw uses."""


def count_photons(
    expected: Frame,
    *,
    state: DetectorState,
    faults: DetectorFaults,
    response: PhotonResponse,
    exposure_s: float,
    key: Words,
    frame: int,
    flat: bool = True,
    charge_sharing: bool = True,
    dead_time: bool = True,
    zingers: bool = True,
    bad_pixels: bool = True,
) -> Counts:
    """Return one recorded frame, int32 (row, column).

    ``expected`` float32 (row, column): photons that arrive on each pixel in the exposure, times
    the detector's efficiency; finite, what it says in gaps is ignored. ``key`` and ``frame`` name
    the noise: the same for both gives the same frame. Single-threaded and without the interpreter
    lock, so threads may each make a frame.

    `InputError` if shapes differ, if the exposure is not positive, or for means that `draw_poisson`
    refuses.
    """
    _check(expected, state=state, exposure_s=exposure_s)
    gain = state.gain if flat else state.even_gain
    code = state.code if bad_pixels else state.even_code
    shared = charge_sharing and bool(np.any(response.double))
    means = _spread(expected, gain, response.single) if charge_sharing else gain * expected
    if bad_pixels:
        _add_hot(means, state, exposure_s)
    counts = draw_poisson(means, key=key, frame=frame)
    if shared:
        _add_doubles(counts, gain * expected, response.double, frame=frame, key=key)
    if dead_time:
        _lose_and_correct(
            counts,
            faults.dead_time_ns * 1e-9 / exposure_s,
            _corrected_dead_time_s(faults) / exposure_s,
            frame,
            key,
        )
    if zingers and faults.zinger_per_s > 0.0:
        add_zingers(counts, faults.zinger_per_s * exposure_s, frame, key)
    _record(counts, code)
    return counts


def mean_counts(
    expected: Frame,
    *,
    state: DetectorState,
    faults: DetectorFaults,
    response: PhotonResponse,
    exposure_s: float,
    flat: bool = True,
    charge_sharing: bool = True,
    dead_time: bool = True,
    zingers: bool = True,
    bad_pixels: bool = True,
) -> Frame:
    """Return the expectation of `count_photons`, float32 (row, column), with its codes for gaps.

    Exact but for: relative terms of τ/t in the dead time; the spread of counts about the mean as
    normal where it decides how the firmware's correction is rounded; the counter's end, which is
    applied to the mean. `InputError` as for `count_photons`.
    """
    _check(expected, state=state, exposure_s=exposure_s)
    gain = state.gain if flat else state.even_gain
    code = state.code if bad_pixels else state.even_code
    means = _spread(expected, gain, response.mean) if charge_sharing else gain * expected
    if bad_pixels:
        _add_hot(means, state, exposure_s)
    if dead_time:
        _mean_recorded(
            means,
            faults.dead_time_ns * 1e-9 / exposure_s,
            _corrected_dead_time_s(faults) / exposure_s,
        )
    if zingers:
        means += np.float32(faults.zinger_per_s * exposure_s * COUNTS_PER_TRACK / means.size)
    np.minimum(means, np.float32(LARGEST_COUNT), out=means)
    means[code == UNKNOWN_DEAD_CODE] = 0.0
    np.copyto(means, code, where=code < 0)
    return means


def measured_flat(
    state: DetectorState, *, response: PhotonResponse, charge_sharing: bool = True
) -> Frame:
    """Return the flat field that the analysis knows, float32 (row, column), around 1; 1 in gaps.

    It is what even illumination shows of the known gain: blurred by charge sharing, and lower
    beside gaps, where no photons come in from one side. Dividing a frame by it corrects both.
    """
    if not charge_sharing:
        return state.known_gain
    kernel = response.mean
    even = np.ones(state.live.shape, np.float32)
    seen = _spread(even, state.known_gain * state.even_gain, kernel / kernel.sum())
    return np.where(state.live, seen, np.float32(1.0))


def _check(expected: Frame, *, state: DetectorState, exposure_s: float) -> None:
    if expected.shape != state.live.shape:
        raise InputError(
            f"a frame of expected counts must have the detector's shape {state.live.shape}: "
            f"got {expected.shape}"
        )
    if not 0.0 < exposure_s < math.inf:
        raise InputError(f"exposure_s must be positive: got {exposure_s:g}")


def _corrected_dead_time_s(faults: DetectorFaults) -> float:
    return faults.corrected_dead_time_ns * 1e-9 if faults.rate_correction else 0.0


def _add_hot(means: Frame, state: DetectorState, exposure_s: float) -> None:
    if state.hot.size > 0:
        means.reshape(-1)[state.hot] += (state.hot_per_s * exposure_s).astype(np.float32)


def _spread(expected: Frame, gain: Frame, kernel: NDArray[np.float64]) -> Frame:
    """Return gain · expected convolved with a kernel of shape (3, 3), nothing beyond the frame."""
    spread = np.empty(expected.shape, np.float32)
    _convolve(expected, gain, kernel.astype(np.float32), spread)
    return spread


@compiled
def _convolve(expected: Frame, gain: Frame, kernel: Frame, out: Frame) -> None:
    n_rows, n_columns = expected.shape
    rows = np.zeros((3, n_columns + 2), np.float32)
    k00, k01, k02 = kernel[0, 0], kernel[0, 1], kernel[0, 2]
    k10, k11, k12 = kernel[1, 0], kernel[1, 1], kernel[1, 2]
    k20, k21, k22 = kernel[2, 0], kernel[2, 1], kernel[2, 2]
    for row in range(-1, n_rows):
        coming = rows[(row + 1) % 3]
        if row + 1 < n_rows:
            for c in range(n_columns):
                coming[c + 1] = gain[row + 1, c] * expected[row + 1, c]
        else:
            coming[:] = np.float32(0.0)
        if row >= 0:
            above, here = rows[(row + 2) % 3], rows[row % 3]
            target = out[row]
            for c in range(n_columns):
                # A photon moves by +1 column into c from c − 1, which is entry c of the padded row.
                target[c] = (
                    (k22 * above[c] + k21 * above[c + 1] + k20 * above[c + 2])
                    + (k12 * here[c] + k11 * here[c + 1] + k10 * here[c + 2])
                    + (k02 * coming[c] + k01 * coming[c + 1] + k00 * coming[c + 2])
                )


def _add_doubles(
    counts: Counts, arriving: Frame, double: NDArray[np.float64], *, frame: int, key: Words
) -> None:
    """Add the photons that count twice (stage 4): how many in each pixel, then who shares them."""
    total = double.sum()
    twice = draw_poisson(arriving * np.float32(total), key=key, frame=frame, stage=_STAGE_DOUBLES)
    threshold, other = _alias_table(np.delete(double.ravel() / total, 4))
    _share_doubles(counts, twice, threshold, other, frame, key)


def _alias_table(probability: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return thresholds and aliases of eight outcomes, whose probabilities sum to one.

    Outcome i, chosen evenly, stands if 29 further random bits are below its threshold, and gives
    way to its alias otherwise. Source: Walker, Electron. Lett. 10 (1974) 127.
    """
    height, alias = 8.0 * probability, np.arange(8)
    threshold = np.full(8, 2**29, np.uint32)
    open_outcomes = set(range(8))
    while len(open_outcomes) > 1:
        low = min(open_outcomes, key=lambda i: height[i])
        high = max(open_outcomes, key=lambda i: height[i])
        threshold[low], alias[low] = round(min(height[low], 1.0) * 2**29), high
        height[high] -= 1.0 - height[low]
        open_outcomes.remove(low)
    return threshold, alias


@compiled
def _share_doubles(
    counts: Counts,
    twice: Counts,
    threshold: NDArray[np.uint32],
    alias: NDArray[np.int64],
    frame: int,
    key: Words,
) -> None:
    """Add one count to the own pixel and to a random neighbour for each photon of ``twice``."""
    n_rows, n_columns = counts.shape
    words = np.empty(_WORDS_AT_ONCE, np.uint32)
    down, across = np.array(_NEIGHBOUR_ROW), np.array(_NEIGHBOUR_COLUMN)
    for row in range(n_rows):
        block, used = _SHARING_BLOCK, words.size
        for c in range(n_columns):
            counts[row, c] += twice[row, c]
            for _ in range(twice[row, c]):
                if used == words.size:
                    fill_words(words, block, row, _STAGE_DOUBLES, frame, key[0], key[1])
                    block += words.size // 4
                    used = 0
                word = words[used]
                used += 1
                chosen = np.int64(word & np.uint32(7))
                stands = (word >> np.uint32(3)) < threshold[chosen]
                other = chosen if stands else alias[chosen]
                r2, c2 = row + down[other], c + across[other]
                if 0 <= r2 < n_rows and 0 <= c2 < n_columns:
                    counts[r2, c2] += 1


@compiled_fast
def _mean_lost(counts: Counts, dead: np.float32) -> tuple[np.float32, np.int32]:
    """Return the sum of E[L | N] over some pixels (``dead`` = τ/t), and the largest N."""
    total, largest = np.float32(0.0), np.int32(0)
    for i in range(counts.size):
        n = np.float32(counts[i])
        y = np.float32(n * dead)
        total += np.float32(n * y / (np.float32(1.0) + y))
        largest = max(largest, counts[i])
    return total, largest


@compiled
def _lose_and_correct(
    counts: Counts, dead: float, corrected: float, frame: int, key: Words
) -> None:
    """Take lost counts away and correct for them; ``dead`` = τ/t, ``corrected`` = τ_f/t."""
    unchanged = np.sqrt(0.5 / corrected) - 1.0 if corrected > 0.0 else np.inf
    # E[L | N] = 8 at N²τ/t = 8 (1 + Nτ/t)
    many = 4.0 + np.sqrt(16.0 + _MANY_LOST / dead) if dead > 0.0 else np.inf
    for row in range(counts.shape[0]):
        wait = waiting_time(0, row, _STAGE_DEAD_TIME, frame, key)
        block = 1
        for first in range(0, counts.shape[1], _CHUNK):
            chunk = counts[row, first : first + _CHUNK]
            ahead, largest = _mean_lost(chunk, np.float32(dead))
            if ahead < wait and largest < many:
                wait -= float(ahead)
            elif dead > 0.0:
                wait, block = _lose(chunk, wait, block, dead, many, row, frame, key)
            if largest > unchanged:
                for i in range(chunk.size):
                    chunk[i] = _corrected(chunk[i], corrected)


@compiled
def _lose(
    chunk: Counts,
    wait: float,
    block: int,
    dead: float,
    many: float,
    row: int,
    frame: int,
    key: Words,
) -> tuple[float, int]:
    """Take the lost counts of a few pixels away (stage 5); return the next wait and block."""
    for i in range(chunk.size):
        n = float(chunk[i])
        y = n * dead
        lost = n * y / (1.0 + y)
        if n >= many:
            w0, w1, w2, _ = philox4x32(block, row, _STAGE_DEAD_TIME, frame, key[0], key[1])
            block += 1
            normal = np.sqrt(-2.0 * np.log(fine_uniform(w0, w1)))
            normal *= np.cos(2.0 * np.pi * uniform(w2))
            lost += normal * np.sqrt(lost / (1.0 + y) ** 3)
            chunk[i] -= np.int32(min(max(np.floor(lost + 0.5), 0.0), n))
        else:
            wait -= lost
            while wait < 0.0:
                chunk[i] = max(chunk[i] - 1, 0)
                wait += waiting_time(block, row, _STAGE_DEAD_TIME, frame, key)
                block += 1
    return wait, block


@compiled
def _corrected(count: int, corrected: float) -> int:
    """Return m/(1 − mτ_f/t) to the nearest integer, at most the counter's end."""
    alive = 1.0 - count * corrected
    if alive * LARGEST_COUNT <= count:
        return LARGEST_COUNT
    return int(np.floor(count / alive + 0.5))


@compiled
def _mean_recorded(means: Frame, dead: float, corrected: float) -> None:
    """Replace the mean of the photons by that of the counts after dead time and correction."""
    flat = means.reshape(-1)
    for i in range(flat.size):
        photons = float(flat[i])
        x = photons * dead
        count = photons / (1.0 + x)
        alive = 1.0 - count * corrected
        if alive * LARGEST_COUNT <= count:
            flat[i] = LARGEST_COUNT
            continue
        correction = count / alive - count
        spread = (1.0 / alive**2 - 1.0) * np.sqrt(count) / (1.0 + x)
        flat[i] = count + _mean_rounded(correction, spread)


@compiled
def _mean_rounded(mean: float, spread: float) -> float:
    """Return the mean of a normal variable after rounding to integers from 0 on.

    It is Σ_k P(v > k − ½); from a spread of ½ on, rounding does not change the mean (by 2e-3).
    """
    if spread >= 0.5:
        return mean
    total = 0.0
    k = 1
    while k - 0.5 < mean + 6.0 * spread:
        total += 0.5 * math.erfc((k - 0.5 - mean) / (math.sqrt(2.0) * spread))
        k += 1
    return total


@compiled
def _record(counts: Counts, code: NDArray[np.int8]) -> None:
    """Apply the counter's end and the codes of pixels that do not count (stage 8)."""
    for row in range(counts.shape[0]):
        for c in range(counts.shape[1]):
            kept = min(counts[row, c], np.int32(LARGEST_COUNT))
            if code[row, c] != 0:
                kept = np.int32(min(code[row, c], 0))
            counts[row, c] = kept
