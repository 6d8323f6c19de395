"""Find a few order statistics of a list without sorting it.

A few elements, picked at even spacing, tell roughly where the values lie. All are then counted into
equal buckets over that range (those beyond it into the first and the last), which tells the bucket
each rank falls in; only that bucket's elements are searched, by quickselect. Exact for any values,
and linear in their number for any that are not made to defeat it.

Source: the bucketed form of Hoare's Find, Comm. ACM 4 (1961) 321; sampling as in Floyd and Rivest,
Comm. ACM 18 (1975) 165.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled, compiled_fast

BUCKETS = 256
_PICKED = 64
_LAST = np.float32(BUCKETS - 1)
_MARGIN = np.float32(0.5)
"""The range goes beyond the picked ones' central nine tenths by this part of their width."""

Singles = NDArray[np.float32]
Ints = NDArray[np.int32]


@compiled_fast
def order_statistics(
    values: Singles,
    n: int,
    ranks: NDArray[np.int64],
    bucket: Ints,
    table: Ints,
    part: Singles,
    found: Singles,
) -> None:
    """Write the elements of ``ranks`` (counted from 0, ascending) among values[:n] to ``found``.

    bucket and part are working space for n elements, table for (2, BUCKETS).
    """
    low, scale = _range(values, n, part)
    for i in range(n):
        bucket[i] = np.int32(min(max((values[i] - low) * scale, np.float32(0.0)), _LAST))
    table[:] = 0
    for i in range(0, n - 1, 2):  # two tables: equal neighbours would wait for one another
        table[0, bucket[i]] += 1
        table[1, bucket[i + 1]] += 1
    if n % 2:
        table[0, bucket[n - 1]] += 1

    below, current, size = 0, 0, table[0, 0] + table[1, 0]
    held = -1
    for r in range(ranks.size):
        while below + size <= ranks[r]:
            below += size
            current += 1
            size = table[0, current] + table[1, current]
        if held != current:
            _collect(values, n, bucket, current, part)
            held = current
        found[r] = _select(part, size, ranks[r] - below)


@compiled
def _range(values: Singles, n: int, picked: Singles) -> tuple[np.float32, np.float32]:
    """Return where the buckets begin and how many there are per unit."""
    count = min(n, _PICKED)
    for i in range(count):
        value = values[(i * n) // count]
        j = i
        while j > 0 and picked[j - 1] > value:
            picked[j] = picked[j - 1]
            j -= 1
        picked[j] = value
    lower, upper = picked[count // 20], picked[count - 1 - count // 20]
    margin = _MARGIN * (upper - lower)
    low = max(lower - margin, picked[0] if picked[0] == np.float32(0.0) else lower - margin)
    width = upper + margin - low
    scale = np.float32(BUCKETS) / width if width > np.float32(0.0) else np.float32(0.0)
    return low, scale


@compiled
def _collect(values: Singles, n: int, bucket: Ints, wanted: int, part: Singles) -> None:
    """Copy the values of one bucket to the beginning of ``part``.

    Every value is written, and the place moves on only for those wanted: no branch to mispredict.
    """
    place = 0
    for i in range(n):
        part[place] = values[i]
        place += bucket[i] == wanted


@compiled
def _select(part: Singles, n: int, rank: int) -> np.float32:
    """Return the element of ``rank`` among part[:n], which is put in another order."""
    smallest, largest = part[0], part[0]
    for i in range(n):
        smallest = min(smallest, part[i])
        largest = max(largest, part[i])
    if smallest == largest:
        return np.float32(smallest)
    first, last = 0, n - 1
    while first < last:
        pivot = part[(first + last) // 2]
        i, j = first, last
        while i <= j:
            while part[i] < pivot:
                i += 1
            while part[j] > pivot:
                j -= 1
            if i <= j:
                part[i], part[j] = part[j], part[i]
                i += 1
                j -= 1
        if rank <= j:
            last = j
        elif rank >= i:
            first = i
        else:
            break
    return np.float32(part[rank])
