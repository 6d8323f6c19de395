"""Filtered back projection of few channels, one at a time, without a block of channels to fill.

The same sum as in :mod:`inverse.reconstruct`, image = Σ_ω w_ω·B_ω·F·projection, with the loops the
other way about: a pixel's two neighbours are found once for each channel instead of once for a
block of them, and threads share out pixels instead of channels. The order of the additions does not
depend on the number of threads; it is not that of a block, so the two agree to rounding only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.interpolation import PixelChunks
from xrdct.compiled import compiled_fast, single_threaded_algebra, threaded

FEW_CHANNELS = 4
"""So many channels are done sooner one by one than as a block, even by a single thread."""

ANGLES_TOGETHER = 4
"""Projections that the loop over pixels takes at a time."""

PIXEL_RUN = 1024
"""Pixels whose sums stay in the first level of cache while the projections go by."""

_ONE = np.uint64(1)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def add_channel(
    projections: Singles,
    matrix: Singles,
    *,
    rays: Floats,
    axis_row: float,
    chunks: PixelChunks,
    image: Singles,
    workers: int | None = None,
) -> None:
    """Filter the projections of a channel, (angle, offset), and add them to its image, (pixel,).

    matrix, rays, axis_row and chunks as for a block: a matrix with twice as many rows as there are
    offsets is the filter of variances, whose weights are squared. The pixels of ``chunks`` must lie
    in the field of view.
    """
    n_angles, n_offsets = projections.shape
    rows_per_offset = matrix.shape[0] // n_offsets
    spare = -n_angles % ANGLES_TOGETHER
    filtered = np.zeros((n_angles + spare, (n_offsets + 2) * rows_per_offset), np.float32)
    with single_threaded_algebra():
        product = projections @ matrix[:, :n_offsets].T
    filtered[:n_angles, rows_per_offset:-rows_per_offset] = product
    filtered[:n_angles] *= (rays[:, 3:] ** rows_per_offset).astype(np.float32)
    # Spare projections are of zeros, seen from where the last one is.
    directions = np.ascontiguousarray(np.pad(rays[:, :2], ((0, spare), (0, 0)), mode="edge"))
    x, y, index = _listed(chunks)
    total = np.zeros(index.size, np.float32)
    kernel = _read_pairs if rows_per_offset == 1 else _read_squares

    def task(first_run: int, last_run: int) -> None:
        for start in range(first_run * PIXEL_RUN, last_run * PIXEL_RUN, PIXEL_RUN):
            run = slice(start, start + PIXEL_RUN)
            kernel(filtered, directions, axis_row, x[run], y[run], total[run])

    threaded(task, -(-index.size // PIXEL_RUN), workers=workers)
    image[index] += total


def _listed(chunks: PixelChunks) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return the positions x and y of the pixels that take part, and their places in the image."""
    used = chunks.index >= 0
    return chunks.x[used], chunks.y[used], chunks.index[used]


@compiled_fast
def _read_pairs(
    filtered: Singles, directions: Floats, axis_row: float, x: Floats, y: Floats, total: Singles
) -> None:
    """Add S_i + f·(S_{i+1} − S_i) of every projection, (angle, row), to ``total``, (pixel,)."""
    for a in range(0, filtered.shape[0], 4):
        s0, s1, s2, s3 = filtered[a], filtered[a + 1], filtered[a + 2], filtered[a + 3]
        c0, d0 = directions[a, 0], directions[a, 1]
        c1, d1 = directions[a + 1, 0], directions[a + 1, 1]
        c2, d2 = directions[a + 2, 0], directions[a + 2, 1]
        c3, d3 = directions[a + 3, 0], directions[a + 3, 1]
        for p in range(x.size):
            t0 = x[p] * c0 + y[p] * d0 + axis_row
            t1 = x[p] * c1 + y[p] * d1 + axis_row
            t2 = x[p] * c2 + y[p] * d2 + axis_row
            t3 = x[p] * c3 + y[p] * d3 + axis_row
            b0, b1, b2, b3 = np.int32(t0), np.int32(t1), np.int32(t2), np.int32(t3)
            f0, f1 = np.float32(t0 - b0), np.float32(t1 - b1)
            f2, f3 = np.float32(t2 - b2), np.float32(t3 - b3)
            i0, i1, i2, i3 = np.uint64(b0), np.uint64(b1), np.uint64(b2), np.uint64(b3)
            total[p] += (
                (s0[i0] + (s0[i0 + _ONE] - s0[i0]) * f0) + (s1[i1] + (s1[i1 + _ONE] - s1[i1]) * f1)
            ) + (
                (s2[i2] + (s2[i2 + _ONE] - s2[i2]) * f2) + (s3[i3] + (s3[i3 + _ONE] - s3[i3]) * f3)
            )


@compiled_fast
def _read_squares(
    filtered: Singles, directions: Floats, axis_row: float, x: Floats, y: Floats, total: Singles
) -> None:
    """Add (1 − f)²·V_i + 2f(1 − f)·X_i + f²·V_{i+1} of every projection to ``total``, (pixel,).

    filtered (angle, row) with the rows V_0, X_0, V_1, X_1, …
    """
    for a in range(filtered.shape[0]):
        row = filtered[a]
        c, d = directions[a, 0], directions[a, 1]
        for p in range(x.size):
            t = x[p] * c + y[p] * d + axis_row
            before = np.int32(t)
            right = np.float32(t - before)
            left = np.float32(1.0) - right
            i = np.uint64(before + before)
            total[p] += (left * left * row[i] + (left + left) * right * row[i + _ONE]) + (
                right * right * row[i + _ONE + _ONE]
            )
