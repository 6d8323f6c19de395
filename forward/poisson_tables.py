"""Alias tables of Poisson distributions on a grid of means, one 32-bit word per entry.

A table of 2^b entries turns one random word into one count (Walker's alias method): the low b bits
choose an entry, the other 32 − b bits choose between the entry's own count and its alias. Both the
threshold and the alias are packed into one word the same way,

    entry = threshold · 2^b + alias,    P(count) = (sum of the shares of count) / 2³²,

so a probability is a multiple of 2⁻³² (2.3e-10): rounded by the method of largest remainders, off
by less than one step each, their sum exactly 1. Tables are cut only where P < 1e-12 on either side,
which is far beyond that rounding: counts rarer than about 1e-10 are not drawn from a table.

Tables exist for the means ("nodes")

- 0, 1/16, 2/16, … below 16, with 64 entries each: 64 kB, which stay near the processor;
- 16, 18, 20, …, 30, 32, 36, … 2²⁰, the numbers of four significant bits: 2 MB, of which only those
  are touched that an image's means need.

The remainder of a mean over the node below it is less than 1/16, or an eighth of the mean, and is
*exact* in single precision.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

FINE_NODES_PER_UNIT = 16
FINE_LIMIT = 16
"""Nodes below it are a fixed distance apart."""
FINE_BITS = 6
LEADING_BITS = 3
"""Bits of the mantissa that nodes from ``FINE_LIMIT`` on keep, beside its implicit one."""
LARGEST_NODE = 2**20

_TAIL = 1e-13


class PoissonTables(NamedTuple):
    """Tables of all nodes; those of the fine nodes come first, at ``node << FINE_BITS``."""

    entries: NDArray[np.uint32]
    """Packed entries of all tables."""
    start: NDArray[np.int64]
    """Index of a coarse node's first entry."""
    bits: NDArray[np.uint32]
    """log₂ of the number of entries of a coarse node."""
    first: NDArray[np.int32]
    """Count that a coarse node's entry 0 stands for."""


@lru_cache(maxsize=1)
def poisson_tables() -> PoissonTables:
    """Build all tables (once per process; about 2 MB)."""
    from scipy import stats  # loads half a second, which what draws no counts can do without

    fine = [_table(node, 0, FINE_BITS) for node in fine_means()]
    coarse, bits, first = [], [], []
    for mean in coarse_means():
        lowest = int(stats.poisson.ppf(_TAIL, mean))
        highest = int(stats.poisson.isf(_TAIL, mean))
        bits.append((highest - lowest).bit_length())
        first.append(lowest)
        coarse.append(_table(mean, first[-1], bits[-1]))
    sizes = [table.size for table in coarse]
    offset = len(fine) << FINE_BITS
    return PoissonTables(
        entries=np.concatenate(fine + coarse),
        start=offset + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        bits=np.array(bits, np.uint32),
        first=np.array(first, np.int32),
    )


def fine_means() -> NDArray[np.float64]:
    """Return the nodes below ``FINE_LIMIT``, in order."""
    return np.arange(FINE_LIMIT * FINE_NODES_PER_UNIT) / FINE_NODES_PER_UNIT


def coarse_means() -> NDArray[np.float64]:
    """Return the nodes from ``FINE_LIMIT`` to ``LARGEST_NODE``, in order."""
    per_octave = 1 << LEADING_BITS
    n_octaves = int(np.log2(LARGEST_NODE / FINE_LIMIT))
    node = np.arange(n_octaves * per_octave + 1)
    return FINE_LIMIT * 2.0 ** (node // per_octave) * (1.0 + node % per_octave / per_octave)


def _table(mean: float, first: int, bits: int) -> NDArray[np.uint32]:
    """Return the packed alias table of Poisson(mean) over counts from ``first`` on."""
    entries = np.empty(1 << bits, np.uint32)
    _alias(_shares(_probabilities(mean, first, 1 << bits)), bits, entries)
    return entries


def _probabilities(mean: float, first: int, n: int) -> NDArray[np.float64]:
    """Return P(first + i), i < n, normalised; by their ratios, outwards from the mode.

    P(k)/P(k − 1) = mean/k: no factorials of large numbers, whose logarithms lose digits.
    """
    mode = min(int(mean), first + n - 1) - first
    upward = mean / np.arange(first + mode + 1, first + n, dtype=float)
    downward = np.arange(first + mode, first, -1, dtype=float) / mean if mean > 0.0 else np.empty(0)
    relative: NDArray[np.float64] = np.concatenate(
        [np.cumprod(downward)[::-1], [1.0], np.cumprod(upward)]
    )
    relative /= relative.sum()
    return relative


def _shares(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round probabilities to multiples of 2⁻³² that sum to 1, by largest remainders."""
    exact = probability * 2.0**32
    shares = np.floor(exact).astype(np.int64)
    missing = 2**32 - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares


@compiled
def _alias(shares: NDArray[np.int64], bits: int, entries: NDArray[np.uint32]) -> None:
    """Pack ``shares`` (they sum to 2³²; used up) into ``entries``: Vose's construction."""
    n = shares.size
    full = 1 << (32 - bits)
    poor = np.empty(n, np.int64)
    rich = np.empty(n, np.int64)
    n_poor = n_rich = 0
    for i in range(n):
        if shares[i] < full:
            poor[n_poor] = i
            n_poor += 1
        else:
            rich[n_rich] = i
            n_rich += 1
    while n_poor > 0:
        n_poor -= 1
        i = poor[n_poor]
        donor = rich[n_rich - 1]
        entries[i] = np.uint32((shares[i] << bits) | donor)
        shares[donor] -= full - shares[i]
        if shares[donor] < full:
            n_rich -= 1
            poor[n_poor] = donor
            n_poor += 1
    for j in range(n_rich):  # exactly full: both ways lead to its own count
        entries[rich[j]] = np.uint32(rich[j])
