"""Morphological reconstruction: how high water stands that pours from places held below a relief.

The largest map that is nowhere above ``height``, is at least ``start``, and is reached from start
by repeatedly taking the highest of a pixel and its neighbours, cut at ``height``. Two sweeps, one
from each end, raise most pixels; those whose neighbours may still rise wait in a queue. Source of
the scheme: Vincent, IEEE Trans. Image Process. 2 (1993) 176. It needs no sorting of the pixels.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def flooded(start: Floats, height: Floats) -> Floats:
    """Return the reconstruction of ``start`` under ``height``, of any number of axes.

    Heights are above zero, or zero where there is nothing, there with a start of zero; start is
    nowhere above height. Neighbours are those along axes and along all diagonals.
    """
    level, top = np.pad(start, 1), np.pad(height, 1)
    strides = np.array(level.strides) // level.itemsize
    ways = np.array(list(product((-1, 0, 1), repeat=level.ndim))) @ strides
    _flood(level.reshape(-1), top.reshape(-1), ways[ways < 0], ways[ways > 0])
    return level[(slice(1, -1),) * level.ndim]


@compiled
def _flood(level: Floats, top: Floats, before: Ints, after: Ints) -> None:
    """Raise ``level`` in place; before and after: steps to neighbours, backwards and forwards."""
    n = level.size
    for p in range(n):
        if level[p] < top[p]:
            highest = level[p]
            for step in before:
                highest = max(highest, level[p + step])
            level[p] = min(highest, top[p])
    queue = np.empty(n, np.int64)
    waiting = np.zeros(n, np.bool_)
    first, count = 0, 0
    for p in range(n - 1, -1, -1):
        if top[p] > 0.0:
            highest = level[p]
            for step in after:
                highest = max(highest, level[p + step])
            level[p] = min(highest, top[p])
            for step in after:
                q = p + step
                if level[q] < level[p] and level[q] < top[q]:
                    waiting[p] = True
            if waiting[p]:
                queue[count] = p
                count += 1
    while count > 0:
        p = queue[first]
        waiting[p] = False
        first, count = (first + 1) % n, count - 1
        for steps in (before, after):
            for step in steps:
                q = p + step
                if level[q] < level[p] and level[q] < top[q]:
                    level[q] = min(level[p], top[q])
                    if not waiting[q]:
                        waiting[q] = True
                        queue[(first + count) % n] = q
                        count += 1
