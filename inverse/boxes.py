"""The smallest parts of maps that hold something, with a margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

Box = tuple[slice, ...]
"""A part of a map of any number of axes."""


def widened(box: Box, *, by: int, shape: tuple[int, ...]) -> Box:
    """Return a box with ``by`` pixels more on every side, as far as the map reaches."""
    return tuple(
        slice(max(part.start - by, 0), min(part.stop + by, n))
        for part, n in zip(box, shape, strict=True)
    )


def around(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box that holds a mask, of which something must be true."""
    return find_objects(mask.astype(np.int8))[0]
