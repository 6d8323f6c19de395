"""Sums along rays through a pixel grid, and their exact adjoint, for many channels at once.

A ray steps through the image row by row (column by column where it runs closer to them), and reads
each row between its two nearest pixels (Joseph, IEEE Trans. Med. Imaging 1 (1982) 192). Seen from a
pixel, the ray that passes it at the distance d, in steps, weighs it by the triangle

    w(d) = max(0, 1 − |d|/c)/c,        c = max(|cos ω|, |sin ω|) ∈ [1/√2, 1],

which only the two offsets nearest to the pixel can reach. So both directions use one table of two
weights for each pixel and angle, and are matched; a constant image projects without ripple.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import axis_position, checked_angles, checked_mask, checked_stack
from inverse.interpolation import (
    ANGLE_GROUP,
    CHANNEL_BLOCK,
    gather,
    pixel_chunks,
    ray_table,
    spread,
)
from xrdct.compiled import threaded


def project(
    image: ArrayLike,
    *,
    angles_rad: ArrayLike,
    n_offsets: int,
    step_um: float,
    axis_offset_um: float = 0.0,
    mask: ArrayLike | None = None,
    workers: int | None = None,
) -> NDArray[np.float32]:
    """Return the line integrals A·image, (angle, offset, channel), of an image.

    image (iy, ix, channel), in a quantity per µm, on square pixels of the step of the offsets; the
    result is that quantity. Where a ``mask`` (iy, ix) is given, pixels outside it are not read;
    those inside must be numbers, since NaN spreads along every ray that crosses it.

    Raises InputError for arrays or parameters that do not fit together.
    """
    pixels = checked_stack(image, name="image", axes="(iy, ix, channel)", square=True)
    size, _, n_channels = pixels.shape
    flat = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1, n_channels)
    chunks = pixel_chunks(checked_mask(mask, size=size))
    rays = _joseph_rays(checked_angles(angles_rad), step_um)
    axis_row = 1.0 + axis_position(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    sinogram = np.empty((rays.shape[0], n_offsets, n_channels), np.float32)

    def task(first_block: int, last_block: int) -> None:
        block = np.empty((ANGLE_GROUP, n_offsets + 2, CHANNEL_BLOCK), np.float32)
        for channel in range(
            first_block * CHANNEL_BLOCK, last_block * CHANNEL_BLOCK, CHANNEL_BLOCK
        ):
            target = sinogram[:, :, channel : channel + CHANNEL_BLOCK]
            for a in range(0, rays.shape[0], ANGLE_GROUP):
                group = rays[a : a + ANGLE_GROUP]
                block.fill(0.0)
                spread(
                    flat, channel, group, axis_row, n_offsets + 2,
                    chunks.x, chunks.y, chunks.index, block.reshape(-1),
                )  # fmt: skip
                target[a : a + len(group)] = block[: len(group), 1:-1, : target.shape[2]]

    threaded(task, -(-n_channels // CHANNEL_BLOCK), workers=workers)
    return sinogram


def back_project(
    sinogram: ArrayLike,
    *,
    angles_rad: ArrayLike,
    step_um: float,
    size: int | None = None,
    axis_offset_um: float = 0.0,
    mask: ArrayLike | None = None,
    workers: int | None = None,
) -> NDArray[np.float32]:
    """Return Aᵀ·sinogram, (iy, ix, channel): the exact adjoint of :func:`project`.

    sinogram (angle, offset, channel). The image has ``size`` pixels to a side, by default as many
    as there are offsets, and is zero outside the ``mask`` (iy, ix).

    Raises InputError for arrays or parameters that do not fit together.
    """
    lines = checked_stack(sinogram, name="sinogram", axes="(angle, offset, channel)")
    n_angles, n_offsets, n_channels = lines.shape
    rays = _joseph_rays(checked_angles(angles_rad, n_angles=n_angles), step_um)
    side = n_offsets if size is None else size
    chunks = pixel_chunks(checked_mask(mask, size=side))
    axis_row = 1.0 + axis_position(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    image = np.zeros((side * side, n_channels), np.float32)

    def task(first_block: int, last_block: int) -> None:
        block = np.zeros((ANGLE_GROUP, n_offsets + 2, CHANNEL_BLOCK), np.float32)
        for channel in range(
            first_block * CHANNEL_BLOCK, last_block * CHANNEL_BLOCK, CHANNEL_BLOCK
        ):
            source = lines[:, :, channel : channel + CHANNEL_BLOCK]
            for a in range(0, n_angles, ANGLE_GROUP):
                group = rays[a : a + ANGLE_GROUP]
                block[: len(group), 1:-1, : source.shape[2]] = source[a : a + len(group)]
                gather(
                    block.reshape(-1), False, group, axis_row, n_offsets + 2,
                    chunks.x, chunks.y, chunks.index, image, channel,
                )  # fmt: skip

    threaded(task, -(-n_channels // CHANNEL_BLOCK), workers=workers)
    return image.reshape(side, side, n_channels)


def _joseph_rays(angles_rad: NDArray[np.float64], step_um: float) -> NDArray[np.float64]:
    """Return the table of rays whose pixels have the weights of the module's formula, in µm."""
    narrowest = np.maximum(np.abs(np.cos(angles_rad)), np.abs(np.sin(angles_rad)))
    return ray_table(angles_rad, weight=step_um, narrowing=1.0 / narrowest)
