"""Exact Poisson counts of a detector frame, a function of key, frame, stage and row alone.

Poisson variates add: a mean splits as λ = λ₁ + λ₂ + … and its count is the sum of independent
counts of the parts. Here the parts are nodes of :mod:`forward.poisson_tables` and a remainder:

1. while λ ≥ 16, take the largest node at or below λ (its four leading bits), draw from its table
   and go on with λ − node, at most an eighth of λ;
2. take the multiple of 1/16 below what is left, draw from its table;
3. what is left then, below 1/16, are arrivals of a Poisson process of unit rate that runs along
   the row: each pixel is an interval as long as its remainder, gaps between arrivals are
   exponential, and an arrival counts in the pixel whose interval it falls into. Intervals do not
   overlap, so pixels stay independent; only one pixel in thirty or so needs a logarithm.

Words of a row's counter: one per pixel for step 2 (blocks 0, 1, …), then as many as steps 1 and 3
happen to need, from consecutive blocks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from forward.philox import WORDS_PER_RUN, Word, Words, fill_words, fine_uniform
from forward.poisson_tables import (
    FINE_BITS,
    FINE_LIMIT,
    FINE_NODES_PER_UNIT,
    LARGEST_NODE,
    LEADING_BITS,
    PoissonTables,
    poisson_tables,
)
from xrdct.compiled import compiled
from xrdct.errors import InputError

Floats = NDArray[np.float32]
Counts = NDArray[np.int32]

LARGEST_MEAN = 1e9
"""Counts of larger means could exceed 32 bits."""

_LIMIT = np.float32(FINE_LIMIT)
_PER_UNIT = np.float32(FINE_NODES_PER_UNIT)
_NODE_WIDTH = np.float32(1.0 / FINE_NODES_PER_UNIT)
_TOP = np.float32(LARGEST_NODE)
_LOWEST_NODE = np.int32(0)
_FINE_SHIFT = np.uint32(FINE_BITS)
_FINE_MASK = np.uint32((1 << FINE_BITS) - 1)
_NODE_SHIFT = np.uint32(23 - LEADING_BITS)
_NODE_MASK = np.uint32(0xFFFFFFFF << (23 - LEADING_BITS) & 0xFFFFFFFF)
_FIRST_COARSE = np.int64(int(_LIMIT.view(np.uint32)) >> (23 - LEADING_BITS))


def draw_poisson(
    expected: Floats, *, key: Words, frame: int, stage: int = 0, out: Counts | None = None
) -> Counts:
    """Draw a frame of Poisson counts of means ``expected`` (rows, columns).

    ``key`` is :func:`forward.philox.stream_key`'s; ``out`` (rows, columns) is filled if given.
    Single-threaded, without the interpreter lock: threads go over frames. Raises InputError for a
    mean that is negative, not finite or above ``LARGEST_MEAN``, and for an ``out`` of other shape.
    """
    expected = np.asarray(expected, np.float32)
    counts = np.empty(expected.shape, np.int32) if out is None else out
    if counts.shape != expected.shape:
        raise InputError(
            f"counts have the shape of their means, {expected.shape}, got {counts.shape}"
        )
    lowest = float(np.min(expected, initial=0.0))
    highest = float(np.max(expected, initial=0.0))
    if not (lowest >= 0.0 and highest <= LARGEST_MEAN):
        raise InputError(
            f"expected counts lie between 0 and {LARGEST_MEAN:g}, got {lowest:g} to {highest:g}"
        )
    scratch = row_scratch(expected.shape[1])
    _rows(expected, counts, frame, stage, key[0], key[1], poisson_tables(), scratch)
    return counts


class RowScratch(NamedTuple):
    """Working memory of :func:`poisson_row`; one per thread."""

    words: Words
    """A word per column, filled up to whole runs."""
    spare: Words
    """The current run of further words."""
    picked: Words
    """Table entries that the words lead to (columns,)."""
    rest: Floats
    """What is left of the means (columns,)."""


def row_scratch(n_columns: int) -> RowScratch:
    """Return working memory for rows of ``n_columns``."""
    n_runs = -(-n_columns // WORDS_PER_RUN)
    return RowScratch(
        words=np.empty(n_runs * WORDS_PER_RUN, np.uint32),
        spare=np.empty(WORDS_PER_RUN, np.uint32),
        picked=np.empty(n_columns, np.uint32),
        rest=np.empty(n_columns, np.float32),
    )


@compiled
def _rows(
    expected: Floats,
    counts: Counts,
    frame: int,
    stage: int,
    k0: Word,
    k1: Word,
    tables: PoissonTables,
    scratch: RowScratch,
) -> None:
    for row in range(expected.shape[0]):
        poisson_row(expected[row], counts[row], row, frame, stage, k0, k1, tables, scratch)


@compiled
def poisson_row(
    expected: Floats,
    counts: Counts,
    row: int,
    frame: int,
    stage: int,
    k0: Word,
    k1: Word,
    tables: PoissonTables,
    scratch: RowScratch,
) -> None:
    """Fill ``counts`` (columns,) with Poisson counts of means ``expected`` (columns,).

    ``tables`` is :func:`forward.poisson_tables.poisson_tables`'s, ``scratch`` :func:`row_scratch`'s
    for this number of columns. Means lie between 0 and ``LARGEST_MEAN`` (not checked here).
    """
    words, spare, picked, rest = scratch
    fill_words(words, 0, row, stage, frame, k0, k1)
    block = words.size // 4
    block = _coarse(expected, counts, rest, tables, spare, block, row, stage, frame, k0, k1)
    _fine(counts, rest, tables.entries, words, picked)
    _arrivals(counts, rest, spare, block, row, stage, frame, k0, k1)


@compiled
def _coarse(
    expected: Floats,
    counts: Counts,
    rest: Floats,
    tables: PoissonTables,
    spare: Words,
    block: int,
    row: int,
    stage: int,
    frame: int,
    k0: Word,
    k1: Word,
) -> int:
    """Step 1: set ``counts``, leave means below ``FINE_LIMIT`` in ``rest``; return next block."""
    used = spare.size
    for i in range(expected.size):
        mean = expected[i]
        count = np.int32(0)
        while mean >= _LIMIT:
            if used == spare.size:
                fill_words(spare, block, row, stage, frame, k0, k1)
                block += spare.size // 4
                used = 0
            node_bits = np.uint32(np.float32(min(mean, _TOP)).view(np.uint32) & _NODE_MASK)
            node = np.int64(node_bits >> _NODE_SHIFT) - _FIRST_COARSE
            bits = tables.bits[node]
            mask = np.uint32((np.uint32(1) << bits) - np.uint32(1))
            word = spare[used]
            used += 1
            entry = tables.entries[tables.start[node] + np.int64(word & mask)]
            own = (word >> bits) < (entry >> bits)
            count += tables.first[node] + np.int32((word if own else entry) & mask)
            mean -= np.uint32(node_bits).view(np.float32)
        counts[i] = count
        rest[i] = mean
    return block


@compiled
def _fine(counts: Counts, rest: Floats, entries: Words, words: Words, picked: Words) -> None:
    """Step 2: add to ``counts``, leave means below 1/16 in ``rest``.

    Three loops, so that the first and the last run in vector registers and no branch depends on a
    random number: half the time of one loop.
    """
    for i in range(rest.size):
        node = max(np.int32(rest[i] * _PER_UNIT), _LOWEST_NODE)  # of NaN: an index all the same
        rest[i] -= np.float32(node) * _NODE_WIDTH
        picked[i] = (np.uint32(node) << _FINE_SHIFT) | (words[i] & _FINE_MASK)
    for i in range(rest.size):
        picked[i] = entries[picked[i]]
    for i in range(rest.size):
        word, entry = words[i], picked[i]
        own = (word >> _FINE_SHIFT) < (entry >> _FINE_SHIFT)
        counts[i] += np.int32((word if own else entry) & _FINE_MASK)


@compiled
def _arrivals(
    counts: Counts,
    rest: Floats,
    spare: Words,
    block: int,
    row: int,
    stage: int,
    frame: int,
    k0: Word,
    k1: Word,
) -> None:
    """Step 3: add to ``counts`` the arrivals within each pixel's interval of length ``rest``."""
    fill_words(spare, block, row, stage, frame, k0, k1)
    gap = -math.log(fine_uniform(spare[0], spare[1]))
    used = 2
    for i in range(rest.size):
        gap -= rest[i]
        while gap < 0.0:
            counts[i] += 1
            if used == spare.size:
                block += spare.size // 4
                fill_words(spare, block, row, stage, frame, k0, k1)
                used = 0
            gap -= math.log(fine_uniform(spare[used], spare[used + 1]))
            used += 2
