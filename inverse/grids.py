"""Square pixels of several sizes that tile a disc: fine about the axis, coarser further out.

Every size is a whole multiple of the next smaller one, and pixels of one size lie on a lattice of
that step, so that none overlap and none leave a gap. The smallest are the pixels of an image of
:mod:`inverse.geometry`, x = (ix − (n − 1)/2)·step, which the middle of the tiling thus contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdct.errors import InputError

_TILE = 16
"""Smallest pixels along the side of the squares in whose order pixels are kept: neighbours meet the
same strips, which then stay in cache."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PixelGrid:
    """Pixels in order of their size, the smallest first."""

    x_um: Floats
    """Of the centre, (pixel,)."""
    y_um: Floats
    """Of the centre, (pixel,)."""
    edge_um: Floats
    """Length of the side, (pixel,)."""
    sizes_um: Floats
    """The different lengths, ascending, (size,)."""
    first: Ints
    """Number of the first pixel of each size, and last the number of pixels, (size + 1,)."""
    left: Ints
    """Column of the leftmost of the smallest cells that the pixel covers, in the middle image, or
    beyond it, (pixel,)."""
    low: Ints
    """Row of the lowest of them, (pixel,)."""
    n_pixels: int
    """Side of the middle image in smallest pixels."""

    def pixels_of(self, size: int) -> slice:
        """Return which pixels have the length ``sizes_um[size]``."""
        return slice(int(self.first[size]), int(self.first[size + 1]))

    @property
    def margin(self) -> int:
        """Cells to add on every side of the middle image to hold all pixels; may be negative."""
        reach = int(np.maximum(-self.left, -self.low).max())
        side = np.rint(self.edge_um / self.sizes_um[0]).astype(np.int64)
        return max(reach, int((np.maximum(self.left, self.low) + side).max()) - self.n_pixels)

    def index(self, *, margin: int = 0) -> Ints:
        """Return the number of the pixel that covers each smallest cell, −1 for none, (iy, ix).

        The cells are those of the middle image, widened by ``margin`` on every side.
        """
        n_cells = self.n_pixels + 2 * margin
        index = np.full((n_cells, n_cells), -1, dtype=np.int64)
        for k, size_um in enumerate(self.sizes_um):
            pixels, side = self.pixels_of(k), round(float(size_um / self.sizes_um[0]))
            numbers = np.arange(pixels.start, pixels.stop)
            for shift_y in range(side):
                for shift_x in range(side):
                    iy = self.low[pixels] + margin + shift_y
                    ix = self.left[pixels] + margin + shift_x
                    seen = (iy >= 0) & (iy < n_cells) & (ix >= 0) & (ix < n_cells)
                    index[iy[seen], ix[seen]] = numbers[seen]
        return index

    def image(self, values: ArrayLike) -> Floats:
        """Return the middle image, (iy, ix, …), of values (pixel, …); NaN where no pixel lies."""
        given, index = np.asarray(values, dtype=np.float64), self.index()
        image = np.full((*index.shape, *given.shape[1:]), np.nan)
        image[index >= 0] = given[index[index >= 0]]
        return image


def graded_grid(n_pixels: int, *, step_um: float, rings: Sequence[tuple[int, float]]) -> PixelGrid:
    """Return pixels of growing size about an image of ``n_pixels`` × ``n_pixels`` of ``step_um``.

    ``rings`` lists, from the inside out, the side of the pixels in steps and the radius in µm out
    to which they reach: a pixel is split where it is nearer to the axis than the radius of the next
    smaller size, and left out where it lies whole beyond the last radius. The smallest side is one
    step.

    Raises InputError for sides that are not multiples of each other, or radii that do not grow.
    """
    factors, radii = _checked_rings(rings)
    if n_pixels < 1 or not (np.isfinite(step_um) and step_um > 0.0):
        raise InputError(
            f"n_pixels and step_um must be positive and finite, not {n_pixels} and {step_um}."
        )
    reach = int(np.ceil(radii[-1] / (factors[-1] * step_um))) + 1
    origin = n_pixels // 2  # the lattices of all sizes meet in the middle of the image
    row = np.arange(-reach, reach) * factors[-1] + origin
    left, low = (axis.ravel() for axis in np.meshgrid(row, row))
    half = 0.5 * n_pixels
    parts = []
    for level in range(len(factors) - 1, -1, -1):
        nearest_um = step_um * _nearest(left - half, low - half, factors[level])
        kept = nearest_um < radii[-1]
        split = kept & (nearest_um < radii[level - 1]) if level else np.zeros_like(kept)
        parts.append((left[kept & ~split], low[kept & ~split], factors[level]))
        if level:
            left, low = _split(left[split], low[split], factors[level], factors[level - 1])
    return _grid(parts[::-1], n_pixels, step_um)


def _checked_rings(rings: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    factors, radii = [int(side) for side, _ in rings], [float(radius) for _, radius in rings]
    if not factors or factors[0] != 1 or any(b <= a or b % a for a, b in pairwise(factors)):
        raise InputError(
            f"The sides of rings must start at 1 and be multiples of each other, not {factors}."
        )
    if not all(b > a for a, b in pairwise([0.0, *radii])) or not np.isfinite(radii[-1]):
        raise InputError(f"The radii of rings must be positive and grow, not {radii}.")
    return factors, radii


def _nearest(left: NDArray[Any], low: NDArray[Any], side: int) -> Floats:
    """Return the distance from the origin to the nearest point of each square."""
    x = np.maximum(np.maximum(left, -(left + side)), 0.0)
    y = np.maximum(np.maximum(low, -(low + side)), 0.0)
    return np.asarray(np.hypot(x, y))


def _split(left: Ints, low: Ints, side: int, smaller: int) -> tuple[Ints, Ints]:
    """Return the left and lower cells of the squares that fill each given one."""
    shift = np.arange(0, side, smaller)
    shift_y, shift_x = (axis.ravel() for axis in np.meshgrid(shift, shift, indexing="ij"))
    return (left[:, None] + shift_x).ravel(), (low[:, None] + shift_y).ravel()


def _grid(parts: list[tuple[Ints, Ints, int]], n_pixels: int, step_um: float) -> PixelGrid:
    ordered = []
    for left, low, side in parts:
        order = np.lexsort((left, low, left // _TILE, low // _TILE))
        ordered.append((left[order], low[order], side))
    first = np.concatenate([[0], np.cumsum([left.size for left, _, _ in ordered])])
    left, low = (np.concatenate([part[axis] for part in ordered]) for axis in (0, 1))
    sides = np.concatenate([np.full(part[0].size, side) for *part, side in ordered])
    middle = 0.5 * (sides - n_pixels)
    return PixelGrid(
        x_um=step_um * (left + middle),
        y_um=step_um * (low + middle),
        edge_um=step_um * sides,
        sizes_um=step_um * np.array([side for _, _, side in ordered], dtype=np.float64),
        first=first.astype(np.int64),
        left=left,
        low=low,
        n_pixels=n_pixels,
    )
