"""Sums along rays through a pixel grid, and their exact adjoint, for many channels at once.

A ray steps through the image row by row (column by column where it runs closer to them), and reads
each row between its two nearest pixels (Joseph, IEEE Trans. Med. Imaging 1 (1982) 192). Seen from a
pixel, the ray that passes it at the distance d, in steps, weighs it by the triangle

    w(d) = max(0, 1 − |d|/c)/c,        c = max(|cos ω|, |sin ω|) ∈ [1/√2, 1],

which only the two offsets nearest to the pixel can reach. So both directions use one table of two
weights for each pixel and angle, and are matched; a constant image projects without ripple. A beam
wider than the step blurs each projection along its offsets (:mod:`inverse.beam`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.beam import blur, blur_adjoint, blur_taps, blur_variance
from inverse.geometry import axis_position, checked_angles, checked_mask, checked_stack
from inverse.interpolation import (
    ANGLE_GROUP,
    CHANNEL_BLOCK,
    PixelChunks,
    gather,
    pixel_chunks,
    ray_table,
    spread,
)
from xrdct.compiled import threaded

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Projector:
    """A and Aᵀ of one scan, for a block of at most ``CHANNEL_BLOCK`` channels."""

    n_offsets: int
    size: int
    """Pixels along the side of the image."""
    rays: Floats
    """As of :func:`inverse.interpolation.ray_table`, (angle, 4)."""
    axis_row: float
    """Where the axis is seen in a projection with rows to spare."""
    taps: Singles
    """The beam's blur, (angle, 2·reach + 1)."""
    chunks: PixelChunks

    @property
    def n_rows(self) -> int:
        """Rows of a projection with what its blur reads, and a row of zeros at either end."""
        return self.n_offsets + int(self.taps.shape[1]) + 1

    def forward(
        self, image: Singles, lines: Singles, *, first_channel: int = 0, workers: int = 1
    ) -> None:
        """Write A·image to ``lines``, (angle, offset, channel), as many channels as it has.

        image (pixel, channel) holds them from ``first_channel``, in a quantity per µm.
        """

        def task(first_group: int, last_group: int) -> None:
            rows = np.empty((ANGLE_GROUP, self.n_rows, CHANNEL_BLOCK), np.float32)
            for a in range(first_group * ANGLE_GROUP, last_group * ANGLE_GROUP, ANGLE_GROUP):
                group = slice(a, a + ANGLE_GROUP)
                rows.fill(0.0)
                spread(
                    image, first_channel, self.rays[group], self.axis_row, self.n_rows,
                    self.chunks.x, self.chunks.y, self.chunks.index, rows.reshape(-1),
                )  # fmt: skip
                blur(rows, self.taps[group], lines[group])

        threaded(task, -(-len(self.rays) // ANGLE_GROUP), workers=workers)

    def backward(
        self, lines: Singles, image: Singles, *, first_channel: int = 0, workers: int = 1
    ) -> None:
        """Add Aᵀ·lines to ``image``, (pixel, channel), from ``first_channel``."""
        n_chunks = len(self.chunks.index)

        def task(first_part: int, last_part: int) -> None:
            part = slice(first_part * n_chunks // workers, last_part * n_chunks // workers)
            rows = np.zeros((ANGLE_GROUP, self.n_rows, CHANNEL_BLOCK), np.float32)
            for a in range(0, len(self.rays), ANGLE_GROUP):
                group = slice(a, a + ANGLE_GROUP)
                blur_adjoint(lines[group], self.taps[group], rows)
                gather(
                    rows.reshape(-1), False, self.rays[group], self.axis_row, self.n_rows,
                    self.chunks.x[part], self.chunks.y[part], self.chunks.index[part], image,
                    first_channel,
                )  # fmt: skip

        threaded(task, workers, workers=workers)


def projector(
    *,
    angles_rad: ArrayLike,
    n_offsets: int,
    size: int,
    step_um: float,
    axis_offset_um: float = 0.0,
    beam_fwhm_um: float = 0.0,
    mask: ArrayLike | None = None,
) -> Projector:
    """Return A and Aᵀ between ``size`` × ``size`` pixels and the rays of a scan.

    Raises InputError for parameters that do not fit together.
    """
    angles = checked_angles(angles_rad)
    axis = axis_position(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    taps = blur_taps(blur_variance(angles, fwhm_um=beam_fwhm_um, step_um=step_um))
    narrowest = np.maximum(np.abs(np.cos(angles)), np.abs(np.sin(angles)))
    return Projector(
        n_offsets=n_offsets,
        size=size,
        rays=ray_table(angles, weight=step_um, narrowing=1.0 / narrowest),
        axis_row=1.0 + taps.shape[1] // 2 + axis,
        taps=taps,
        chunks=pixel_chunks(checked_mask(mask, size=size)),
    )


def project(
    image: ArrayLike,
    *,
    angles_rad: ArrayLike,
    n_offsets: int,
    step_um: float,
    axis_offset_um: float = 0.0,
    beam_fwhm_um: float = 0.0,
    mask: ArrayLike | None = None,
    workers: int | None = None,
) -> Singles:
    """Return the line integrals A·image, (angle, offset, channel), of an image.

    image (iy, ix, channel), in a quantity per µm, on square pixels of the step of the offsets; the
    result is that quantity. Where a ``mask`` (iy, ix) is given, pixels outside it are not read;
    those inside must be numbers, since NaN spreads along every ray that crosses it.

    Raises InputError for arrays or parameters that do not fit together.
    """
    pixels = checked_stack(image, name="image", axes="(iy, ix, channel)", square=True)
    size, _, n_channels = pixels.shape
    flat = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1, n_channels)
    operator = projector(
        angles_rad=angles_rad, n_offsets=n_offsets, size=size, step_um=step_um,
        axis_offset_um=axis_offset_um, beam_fwhm_um=beam_fwhm_um, mask=mask,
    )  # fmt: skip
    sinogram = np.empty((len(operator.rays), n_offsets, n_channels), np.float32)

    def task(first_block: int, last_block: int) -> None:
        for block in range(first_block, last_block):
            channel = block * CHANNEL_BLOCK
            target = sinogram[:, :, channel : channel + CHANNEL_BLOCK]
            operator.forward(flat, target, first_channel=channel)

    threaded(task, -(-n_channels // CHANNEL_BLOCK), workers=workers)
    return sinogram


def back_project(
    sinogram: ArrayLike,
    *,
    angles_rad: ArrayLike,
    step_um: float,
    size: int | None = None,
    axis_offset_um: float = 0.0,
    beam_fwhm_um: float = 0.0,
    mask: ArrayLike | None = None,
    workers: int | None = None,
) -> Singles:
    """Return Aᵀ·sinogram, (iy, ix, channel): the exact adjoint of :func:`project`.

    sinogram (angle, offset, channel). The image has ``size`` pixels to a side, by default as many
    as there are offsets, and is zero outside the ``mask`` (iy, ix).

    Raises InputError for arrays or parameters that do not fit together.
    """
    lines = checked_stack(sinogram, name="sinogram", axes="(angle, offset, channel)")
    n_angles, n_offsets, n_channels = lines.shape
    operator = projector(
        angles_rad=checked_angles(angles_rad, n_angles=n_angles), n_offsets=n_offsets,
        size=n_offsets if size is None else size, step_um=step_um,
        axis_offset_um=axis_offset_um, beam_fwhm_um=beam_fwhm_um, mask=mask,
    )  # fmt: skip
    image = np.zeros((operator.size**2, n_channels), np.float32)

    def task(first_block: int, last_block: int) -> None:
        for block in range(first_block, last_block):
            channel = block * CHANNEL_BLOCK
            source = lines[:, :, channel : channel + CHANNEL_BLOCK].astype(np.float32, copy=False)
            operator.backward(source, image, first_channel=channel)

    threaded(task, -(-n_channels // CHANNEL_BLOCK), workers=workers)
    return image.reshape(operator.size, operator.size, n_channels)
