"""Random words that are a function of where they are used: Philox4x32 with ten rounds.

A block of four 32-bit words is a bijective mixing of a 128-bit counter under a 64-bit key: round r
multiplies two of the counter's words by constants M₀, M₁, crosses the halves of the two products
over and adds the key, which itself grows by two constants W₀, W₁ from round to round. There is no
state, so a frame's noise depends on neither the order in which rows and frames are made nor the
number of threads. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).

Counters in this package are (block within the row, row, stage, frame). ``stage`` tells the effects
that draw from the same key apart. Four words per block and 2³² blocks are more than any row uses.
"""

from __future__ import annotations

from typing import cast

import numba
import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import Kernel, compiled
from xrdct.errors import InputError

Words = NDArray[np.uint32]
Word = int | np.uint32

BLOCKS_PER_RUN = 32
"""Blocks that :func:`fill_words` computes side by side."""
WORDS_PER_RUN = 4 * BLOCKS_PER_RUN

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_DROPPED_BITS = np.uint64(11)
_WORD_STEP = 2.0**-32
_FINE_STEP = 2.0**-53
_N_ROUNDS = 10


def stream_key(seed: int, *spawn_key: int) -> Words:
    """Return the key (2 words) of an independent family of streams.

    ``seed`` and ``spawn_key`` are those of ``numpy.random.SeedSequence``: not negative.
    """
    if seed < 0 or any(number < 0 for number in spawn_key):
        raise InputError(f"a seed and its spawn key are not negative, got {(seed, *spawn_key)}")
    sequence = np.random.SeedSequence(seed, spawn_key=spawn_key)
    return sequence.generate_state(2, np.uint32).astype(np.uint32)


def _inlined(function: Kernel) -> Kernel:
    """Return ``function`` compiled as by ``compiled``, but copied into every caller.

    The compiler thinks ten rounds too long to copy, and a loop with a call is not vectorised.
    """
    jit = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
    return cast(Kernel, jit(function))


@_inlined
def philox4x32(
    c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """Return the block of four words of counter (c0, c1, c2, c3) under key (k0, k1).

    Arguments are integers of any type and are taken modulo 2³².
    """
    # 64-bit words with an empty upper half: the one layout in which products need no shuffling
    # between vector registers, more than twice as fast as narrow words.
    x0, x1 = np.uint64(c0) & _LOW, np.uint64(c1) & _LOW
    x2, x3 = np.uint64(c2) & _LOW, np.uint64(c3) & _LOW
    a, b = np.uint64(k0) & _LOW, np.uint64(k1) & _LOW
    for _ in range(_N_ROUNDS):
        p0, p1 = _M0 * x0, _M1 * x2
        x0, x1, x2, x3 = (p1 >> _HALF) ^ x1 ^ a, p1 & _LOW, (p0 >> _HALF) ^ x3 ^ b, p0 & _LOW
        a, b = (a + _W0) & _LOW, (b + _W1) & _LOW
    return np.uint32(x0), np.uint32(x1), np.uint32(x2), np.uint32(x3)


@compiled
def fill_words(
    words: Words, first_block: int, row: int, stage: int, frame: int, k0: Word, k1: Word
) -> None:
    """Fill ``words`` with the blocks from ``first_block`` on of a row, stage and frame.

    ``words`` is contiguous, its size a multiple of ``WORDS_PER_RUN``; it takes ``words.size // 4``
    blocks. Word w of the b-th block of a run stands at ``w * BLOCKS_PER_RUN + b`` of the run, so
    that a run is computed side by side in vector registers (0.25 ns a word if they have 512 bits).
    """
    for run in range(words.size // WORDS_PER_RUN):
        block = first_block + run * BLOCKS_PER_RUN
        # Unsigned indices: a signed one could count from the end, and the test for that would
        # keep the loop out of the vector registers.
        start = np.uint64(run * WORDS_PER_RUN)
        for b in range(BLOCKS_PER_RUN):
            w0, w1, w2, w3 = philox4x32(block + b, row, stage, frame, k0, k1)
            words[start + np.uint64(b)] = w0
            words[start + np.uint64(b + BLOCKS_PER_RUN)] = w1
            words[start + np.uint64(b + 2 * BLOCKS_PER_RUN)] = w2
            words[start + np.uint64(b + 3 * BLOCKS_PER_RUN)] = w3


@compiled
def uniform(word: Word) -> float:
    """Return a number in (0, 1], in steps of 2⁻³²: its logarithm is finite."""
    return (np.float64(word) + 1.0) * _WORD_STEP


@compiled
def fine_uniform(high: Word, low: Word) -> float:
    """Return a number in (0, 1] of two words, in steps of 2⁻⁵³."""
    together = ((np.uint64(high) << _HALF) | np.uint64(low)) >> _DROPPED_BITS
    return (np.float64(together) + 1.0) * _FINE_STEP
