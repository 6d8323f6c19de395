"""What the sharp lines of a sinogram hold above what is smooth: one clean image for alignment.

    signal = Σ over the channels of strong lines of (value − straight line between the nearest
             channels without lines)

is a line integral like every channel, but of crystalline material only: cell, electrolyte and air
scatter smoothly and cancel. A shift of the lines, by a change of lattice or by parallax, leaves it
as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from inverse.sinogram import Floats, Sinogram
from xrdct.errors import InputError

_SURROUNDINGS = 0.05
"""Share of the channels over which the median is the smooth part of the mean pattern."""

_STRONG = 0.05
"""Height above the smooth part, relative to the strongest line, of channels that count."""


def line_contrast(sinogram: Sinogram) -> Floats:
    """Return the signal of the module's formula, (angle, offset), in the sinogram's unit.

    Raises InputError where no channel was measured.
    """
    weights = contrast_weights(sinogram)
    used = weights != 0.0
    return np.asarray(sinogram.values[..., used] @ weights[used].astype(np.float32), dtype=float)


def contrast_weights(sinogram: Sinogram) -> Floats:
    """Return the weight of each channel in the signal, (channel,)."""
    measured = np.flatnonzero(sinogram.measured_channels)
    if measured.size == 0:
        raise InputError("The sinogram has no measured channel to find its lines in.")
    weights = np.zeros(sinogram.two_theta_rad.size)
    # Every fourth projection is enough for a mean pattern, and spares a pass over all of the data.
    mean = sinogram.values[::4].mean(axis=(0, 1), dtype=np.float64)[measured]
    width = 2 * int(0.5 * _SURROUNDINGS * measured.size) + 1
    height = mean - median_filter(mean, size=max(width, 3), mode="nearest")
    strong = height > _STRONG * height.max()
    weights[measured] = _above_neighbours(strong) if strong.any() else 1.0
    return weights


def _above_neighbours(strong: NDArray[np.bool_]) -> Floats:
    """Return weights that sum the strong channels less what lies between their weak neighbours."""
    weak, lines = np.flatnonzero(~strong), np.flatnonzero(strong)
    weights = strong.astype(np.float64)
    if weak.size == 0:
        return weights
    after = np.searchsorted(weak, lines)
    left, right = weak[np.maximum(after - 1, 0)], weak[np.minimum(after, weak.size - 1)]
    share = np.where(right > left, (lines - left) / np.maximum(right - left, 1), 0.0)
    np.subtract.at(weights, left, 1.0 - share)
    np.subtract.at(weights, right, share)
    return weights
