"""How far every pixel of a particle lies below its surface, for all particles of a map at once.

The distance to the nearest pixel of another number is found exactly, in whole squares of pixels:
along columns first, then as the least of d² + g² along the row, d pixels to either side, where g is
the distance along the column there, or zero where the number is another one. Source of the scheme:
Saito and Toriwaki, Pattern Recognition 27 (1994) 1551.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Labels = NDArray[np.int32]


def own_depth(labels: Labels) -> Floats:
    """Return the distance to the nearest place that is not the same particle, in pixels, (y, x).

    ``labels`` (y, x) are numbered from 1; where they are 0 so is the depth. Beyond the map there is
    no particle.
    """
    # The border lies halfway between the last middle inside and the first one outside.
    return np.asarray(np.maximum(np.sqrt(_squares(labels, _along_columns(labels))) - 0.5, 0.0))


@compiled
def _along_columns(labels: Labels) -> Ints:
    n_y, n_x = labels.shape
    away = np.zeros((n_y, n_x), np.int64)
    for y in range(n_y):
        for x in range(n_x):
            if labels[y, x] > 0:
                same = y > 0 and labels[y - 1, x] == labels[y, x]
                away[y, x] = away[y - 1, x] + 1 if same else 1
    for y in range(n_y - 1, -1, -1):
        for x in range(n_x):
            if labels[y, x] > 0:
                same = y < n_y - 1 and labels[y + 1, x] == labels[y, x]
                away[y, x] = min(away[y, x], away[y + 1, x] + 1 if same else 1)
    return away


@compiled
def _squares(labels: Labels, away: Ints) -> Ints:
    n_y, n_x = labels.shape
    squares = np.zeros((n_y, n_x), np.int64)
    for y in range(n_y):
        for x in range(n_x):
            least = away[y, x] ** 2
            d = 1
            while d * d < least:
                for there in (x - d, x + d):
                    inside = 0 <= there < n_x and labels[y, there] == labels[y, x]
                    least = min(least, d * d + (away[y, there] ** 2 if inside else 0))
                d += 1
            squares[y, x] = least
    return squares
