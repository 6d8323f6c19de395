"""Move values between pixels and the two offsets nearest to each, for many channels at once.

At each angle a pixel lies between two offsets. It reads them (:func:`gather`) or adds to them
(:func:`spread`) with the weights of one table, so the two directions are each other's transpose.

Layout, chosen for the inner loops to run over consecutive numbers and to find them in cache: a
*block* holds a few projections of ``CHANNEL_BLOCK`` channels, channel innermost, and lies in the
last level of cache; it visits the whole image, *chunk* by chunk of pixels, whose sums lie in the
first level. A projection is kept between two rows of zeros, so that a pixel beyond its ends reads
zero and leaves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import pixel_positions
from xrdct.compiled import compiled_fast, inlined_fast

CHANNEL_BLOCK = 64
"""Channels handled together: a row of a block is four cache lines."""

ANGLE_GROUP = 64
"""Projections handled together; a multiple of four."""

TILE = 8
"""Pixels along the side of a chunk."""

PIXEL_CHUNK = TILE * TILE

# Unsigned, because an index that might be negative would be tested for it, element by element.
_ZERO = np.uint64(0)
_ROW = np.uint64(CHANNEL_BLOCK)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PixelChunks:
    """The pixels that take part, in chunks that are tiles of the image."""

    x: Floats
    """Position along x in steps, (chunk, PIXEL_CHUNK)."""

    y: Floats
    """Position along y in steps, (chunk, PIXEL_CHUNK)."""

    index: NDArray[np.int64]
    """Place in the flattened image, (chunk, PIXEL_CHUNK); −1 fills up the last chunk."""


def pixel_chunks(mask: NDArray[np.bool_]) -> PixelChunks:
    """Return the pixels set in ``mask``, (iy, ix), tile by tile."""
    iy, ix = np.nonzero(mask)
    order = np.lexsort((ix, iy, ix // TILE, iy // TILE))
    height, width = mask.shape
    index = np.full((-(-iy.size // PIXEL_CHUNK), PIXEL_CHUNK), -1, dtype=np.int64)
    index.flat[: iy.size] = (iy * width + ix)[order]
    x = pixel_positions(width)[index % width]
    y = pixel_positions(height)[index // width]
    return PixelChunks(x=x, y=y, index=index)


def ray_table(angles_rad: Floats, *, weight: ArrayLike, narrowing: ArrayLike = 1.0) -> Floats:
    """Return cos ω, sin ω, the narrowing 1/c and the weight of each projection, (angle, 4).

    A pixel at the distance d from an offset, in steps, is weighted by (weight/c)·max(0, 1 − |d|/c)
    with c ≤ 1; c = 1 is linear interpolation.
    """
    columns = np.broadcast_arrays(np.cos(angles_rad), np.sin(angles_rad), narrowing, weight)
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.float64)


@inlined_fast
def _fill_taps(
    x: Floats,
    y: Floats,
    rays: Floats,
    axis_row: float,
    n_rows: int,
    start: NDArray[np.int32],
    left: Singles,
    right: Singles,
) -> None:
    """Find the first row each pixel reads in each projection, and the weights of it and the next.

    x, y (pixel,); start, left, right (angle, pixel), with angles to spare, which get no weight, to
    make their number a multiple of four.
    """
    for a in range(start.shape[0]):
        ray = min(a, rays.shape[0] - 1)
        cos, sin, narrowing = rays[ray, 0], rays[ray, 1], rays[ray, 2]
        weight = rays[ray, 3] * narrowing if a == ray else 0.0
        for p in range(x.size):
            row = min(max(x[p] * cos + y[p] * sin + axis_row, 0.0), n_rows - 1.0)
            before = min(np.int32(row), np.int32(n_rows - 2))
            fraction = row - before
            start[a, p] = ray * n_rows + before
            left[a, p] = weight * max(0.0, 1.0 - fraction * narrowing)
            right[a, p] = weight * max(0.0, 1.0 - (1.0 - fraction) * narrowing)


@inlined_fast
def _add_pairs(
    block: Singles, start: NDArray[np.int32], left: Singles, right: Singles, total: Singles
) -> None:
    """Add left·S_i + right·S_{i+1} of every projection to ``total``, four projections at a time.

    block flat (row, channel), total flat (pixel, channel).
    """
    for a in range(0, start.shape[0], 4):
        for p in range(start.shape[1]):
            q = np.uint64(p) * _ROW
            i0 = np.uint64(start[a, p]) * _ROW
            i1 = np.uint64(start[a + 1, p]) * _ROW
            i2 = np.uint64(start[a + 2, p]) * _ROW
            i3 = np.uint64(start[a + 3, p]) * _ROW
            l0, l1, l2, l3 = left[a, p], left[a + 1, p], left[a + 2, p], left[a + 3, p]
            r0, r1, r2, r3 = right[a, p], right[a + 1, p], right[a + 2, p], right[a + 3, p]
            for c in range(_ZERO, _ROW):
                d = c + _ROW
                total[q + c] += (
                    (l0 * block[i0 + c] + r0 * block[i0 + d])
                    + (l1 * block[i1 + c] + r1 * block[i1 + d])
                    + (l2 * block[i2 + c] + r2 * block[i2 + d])
                    + (l3 * block[i3 + c] + r3 * block[i3 + d])
                )


@inlined_fast
def _add_squares(
    block: Singles, start: NDArray[np.int32], left: Singles, right: Singles, total: Singles
) -> None:
    """Add left²·V_i + 2·left·right·X_i + right²·V_{i+1} of every projection to ``total``.

    block flat (row, channel) with the rows V_0, X_0, V_1, X_1, …; total flat (pixel, channel).
    """
    for a in range(0, start.shape[0], 2):
        for p in range(start.shape[1]):
            q = np.uint64(p) * _ROW
            i0 = np.uint64(start[a, p]) * (_ROW + _ROW)
            i1 = np.uint64(start[a + 1, p]) * (_ROW + _ROW)
            l0, l1, r0, r1 = left[a, p], left[a + 1, p], right[a, p], right[a + 1, p]
            u0, v0, w0 = l0 * l0, (l0 + l0) * r0, r0 * r0
            u1, v1, w1 = l1 * l1, (l1 + l1) * r1, r1 * r1
            for c in range(_ZERO, _ROW):
                d = c + _ROW
                e = d + _ROW
                total[q + c] += (u0 * block[i0 + c] + v0 * block[i0 + d] + w0 * block[i0 + e]) + (
                    u1 * block[i1 + c] + v1 * block[i1 + d] + w1 * block[i1 + e]
                )


@inlined_fast
def _spread_pairs(
    values: Singles, start: NDArray[np.int32], left: Singles, right: Singles, block: Singles
) -> None:
    """Add left·value to S_i and right·value to S_{i+1}: the transpose of :func:`_add_pairs`.

    values flat (pixel, channel), block flat (row, channel). Two pixels are taken at a time, since
    neighbours reach the same row or the next: it is then loaded and stored once for both.
    """
    for a in range(start.shape[0]):
        for p in range(0, start.shape[1], 2):
            q, other = np.uint64(p) * _ROW, np.uint64(p + 1) * _ROW
            first, second = start[a, p], start[a, p + 1]
            l0, l1, r0, r1 = left[a, p], left[a, p + 1], right[a, p], right[a, p + 1]
            if second < first:
                first, second, l0, l1, r0, r1 = second, first, l1, l0, r1, r0
                q, other = other, q
            i, j = np.uint64(first) * _ROW, np.uint64(second) * _ROW
            if second == first:
                for c in range(_ZERO, _ROW):
                    u, v = values[q + c], values[other + c]
                    block[i + c] += l0 * u + l1 * v
                    block[i + _ROW + c] += r0 * u + r1 * v
            elif second == first + 1:
                for c in range(_ZERO, _ROW):
                    u, v = values[q + c], values[other + c]
                    block[i + c] += l0 * u
                    block[j + c] += r0 * u + l1 * v
                    block[j + _ROW + c] += r1 * v
            else:
                for c in range(_ZERO, _ROW):
                    u, v = values[q + c], values[other + c]
                    block[i + c] += l0 * u
                    block[i + _ROW + c] += r0 * u
                    block[j + c] += l1 * v
                    block[j + _ROW + c] += r1 * v


@compiled_fast
def gather(
    block: Singles,
    squared: bool,
    rays: Floats,
    axis_row: float,
    n_rows: int,
    x: Floats,
    y: Floats,
    index: NDArray[np.int64],
    image: Singles,
    first_channel: int,
) -> None:
    """Add to each pixel of ``image``, (pixel, channel), what it reads in a group of projections.

    block flat (angle, row, CHANNEL_BLOCK), or (angle, row, 2, CHANNEL_BLOCK) where ``squared``, to
    take the weights squared; rays (angle, 4); axis_row the row at which the axis is seen;
    x, y, index as in :class:`PixelChunks`.
    """
    n_angles = -(-rays.shape[0] // 4) * 4
    start = np.empty((n_angles, PIXEL_CHUNK), np.int32)
    left = np.empty((n_angles, PIXEL_CHUNK), np.float32)
    right = np.empty((n_angles, PIXEL_CHUNK), np.float32)
    total = np.empty((PIXEL_CHUNK, CHANNEL_BLOCK), np.float32)
    n_channels = min(image.shape[1] - first_channel, CHANNEL_BLOCK)
    for k in range(index.shape[0]):
        _fill_taps(x[k], y[k], rays, axis_row, n_rows, start, left, right)
        for p in range(PIXEL_CHUNK):
            row = image[index[k, p], first_channel : first_channel + n_channels]
            for c in range(n_channels):
                total[p, c] = row[c]
        if squared:
            _add_squares(block, start, left, right, total.ravel())
        else:
            _add_pairs(block, start, left, right, total.ravel())
        for p in range(PIXEL_CHUNK):
            if index[k, p] >= 0:
                row = image[index[k, p], first_channel : first_channel + n_channels]
                for c in range(n_channels):
                    row[c] = total[p, c]


@compiled_fast
def spread(
    image: Singles,
    first_channel: int,
    rays: Floats,
    axis_row: float,
    n_rows: int,
    x: Floats,
    y: Floats,
    index: NDArray[np.int64],
    block: Singles,
) -> None:
    """Add each pixel of ``image``, (pixel, channel), to a group of projections.

    The transpose of :func:`gather`, with its arguments.
    """
    start = np.empty((rays.shape[0], PIXEL_CHUNK), np.int32)
    left = np.empty((rays.shape[0], PIXEL_CHUNK), np.float32)
    right = np.empty((rays.shape[0], PIXEL_CHUNK), np.float32)
    values = np.zeros((PIXEL_CHUNK, CHANNEL_BLOCK), np.float32)
    n_channels = min(image.shape[1] - first_channel, CHANNEL_BLOCK)
    for k in range(index.shape[0]):
        _fill_taps(x[k], y[k], rays, axis_row, n_rows, start, left, right)
        for p in range(PIXEL_CHUNK):
            row = image[index[k, p], first_channel : first_channel + n_channels]
            for c in range(n_channels):
                values[p, c] = row[c] if index[k, p] >= 0 else 0.0
        _spread_pairs(values.ravel(), start, left, right, block)
