"""Filtered back projection of a whole diffraction sinogram, with its propagated variance.

    image = R·sinogram,   R = Σ_ω w_ω·B_ω·F

F filters a projection, B_ω interpolates it linearly at the offset of each pixel, w_ω is the share
of the half turn (Kak and Slaney, *Principles of Computerized Tomographic Imaging*, ch. 3). The
variance is R∘R, every element squared, applied to the variances of the rays: exact for independent
rays, filter and interpolation included; neighbouring pixels remain correlated.

Channels are independent and are worked through in blocks, each by one thread, a group of
projections at a time: no filtered sinogram is ever kept whole. The order of the additions does not
depend on the number of threads, so neither does the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.filters import (
    filter_matrix,
    filter_projections,
    stored_matrix,
    variance_filter_matrix,
)
from inverse.geometry import (
    angle_weights,
    axis_position,
    checked_angles,
    checked_mask,
    checked_stack,
    field_of_view,
)
from inverse.interpolation import (
    ANGLE_GROUP,
    CHANNEL_BLOCK,
    PixelChunks,
    gather,
    pixel_chunks,
    ray_table,
)
from inverse.single_image import FEW_CHANNELS, add_channel
from xrdct.compiled import threaded
from xrdct.errors import InputError

AXES = "(angle, offset, channel)"

Singles = NDArray[np.float32]
Source = Callable[[slice, slice], Singles]
"""Gives the part of a sinogram at some angles and channels, (angle, offset, channel)."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Images of every channel; NaN where a pixel was not measured."""

    values: Singles
    """The quantity per µm, (iy, ix, channel)."""

    variance: Singles | None
    """Its variance, (iy, ix, channel), or None where none was asked for."""


@dataclass(frozen=True, eq=False)
class _Plan:
    """What the channels of one reconstruction share."""

    n_offsets: int
    size: int
    matrix: Singles
    squares: Singles
    rays: NDArray[np.float64]
    axis_row: float
    chunks: PixelChunks
    measured: NDArray[np.bool_]


def filtered_back_projection(
    sinogram: ArrayLike,
    *,
    angles_rad: ArrayLike,
    step_um: float,
    filter_name: str = "ramp",
    padding: str = "edge",
    variance: ArrayLike | None = None,
    size: int | None = None,
    axis_offset_um: float = 0.0,
    mask: ArrayLike | None = None,
    workers: int | None = None,
) -> Reconstruction:
    """Return the images of a sinogram of line integrals, and their variance where it has one.

    sinogram, and variance where given, (angle, offset, channel), in a quantity (and its square);
    the images are that quantity per µm, on ``size`` × ``size`` pixels, by default as many as there
    are offsets. The angles cover 180° or 360°. Filters and paddings: see :func:`filter_matrix`.
    Only pixels in ``mask`` (iy, ix), and seen at every angle, are reconstructed; others are NaN,
    and a NaN in the sinogram makes its channel NaN.

    Raises InputError for arrays or parameters that do not fit together.
    """
    lines = checked_stack(sinogram, name="sinogram", axes=AXES)
    ray_variance = None if variance is None else checked_stack(variance, name="variance", axes=AXES)
    if ray_variance is not None and ray_variance.shape != lines.shape:
        raise InputError(
            f"variance must have the shape {lines.shape} of the sinogram, not {ray_variance.shape}."
        )
    plan = _plan(
        lines.shape,
        angles_rad=angles_rad,
        step_um=step_um,
        filter_name=filter_name,
        padding=padding,
        size=size,
        axis_offset_um=axis_offset_um,
        mask=mask,
    )
    variances = None if ray_variance is None else _part_of(ray_variance)
    return _reconstruct(plan, lines.shape[2], _part_of(lines), variances, workers)


def reconstruct_counts(
    counts: ArrayLike,
    *,
    ray_gain: ArrayLike,
    channel_gain: ArrayLike,
    angles_rad: ArrayLike,
    step_um: float,
    filter_name: str = "ramp",
    padding: str = "edge",
    variance: ArrayLike | None = None,
    with_variance: bool = True,
    size: int | None = None,
    axis_offset_um: float = 0.0,
    mask: ArrayLike | None = None,
    workers: int | None = None,
) -> Reconstruction:
    """Return the images of a sinogram of photon counts and, by default, their variance.

    counts (angle, offset, channel); a line integral is counts·g with the gain
    g = ray_gain (angle, offset) · channel_gain (channel,), its variance that of the counts times
    g². They are Poisson counts unless ``variance``, of their shape, says otherwise. Both are formed
    block by block, so that no sinogram but ``counts`` is held. The rest is as in
    :func:`filtered_back_projection`.

    Raises InputError for arrays or parameters that do not fit together.
    """
    photons = checked_stack(counts, name="counts", axes=AXES)
    per_ray = np.asarray(ray_gain, dtype=np.float32)
    per_channel = np.asarray(channel_gain, dtype=np.float32)
    if per_ray.shape != photons.shape[:2] or per_channel.shape != photons.shape[2:]:
        raise InputError(
            f"ray_gain and channel_gain must have the shapes {photons.shape[:2]} and "
            f"{photons.shape[2:]} of the counts, not {per_ray.shape} and {per_channel.shape}."
        )

    own = photons if variance is None else checked_stack(variance, name="variance", axes=AXES)
    if own.shape != photons.shape:
        raise InputError(
            f"variance must have the shape {photons.shape} of the counts, not {own.shape}."
        )

    source = partial(gained, ray_gain=per_ray, channel_gain=per_channel)
    values, variances = source(photons), source(own, power=2) if with_variance else None
    plan = _plan(
        photons.shape,
        angles_rad=angles_rad,
        step_um=step_um,
        filter_name=filter_name,
        padding=padding,
        size=size,
        axis_offset_um=axis_offset_um,
        mask=mask,
    )
    return _reconstruct(plan, photons.shape[2], values, variances, workers)


def gained(
    counts: NDArray[Any], *, ray_gain: Singles, channel_gain: Singles, power: int = 1
) -> Source:
    """Return the source of counts (angle, offset, channel) times a power of their gain.

    The gain is ray_gain (angle, offset) · channel_gain (channel,); variances take its square. What
    is asked for is multiplied then, so that nothing but ``counts`` is held.
    """

    def part(angles: slice, channels: slice) -> Singles:
        lines = counts[angles, :, channels].astype(np.float32)
        for _ in range(power):
            lines *= ray_gain[angles, :, None]
            lines *= channel_gain[channels]
        return lines

    return part


def _part_of(sinogram: NDArray[Any]) -> Source:
    """Return the source that reads its parts from an array."""

    def part(angles: slice, channels: slice) -> Singles:
        return sinogram[angles, :, channels].astype(np.float32, copy=False)

    return part


def _plan(
    shape: tuple[int, ...],
    *,
    angles_rad: ArrayLike,
    step_um: float,
    filter_name: str,
    padding: str,
    size: int | None,
    axis_offset_um: float,
    mask: ArrayLike | None,
) -> _Plan:
    """Check the parameters and prepare what all channels share."""
    n_angles, n_offsets, _ = shape
    angles = checked_angles(angles_rad, n_angles=n_angles)
    axis = axis_position(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    side = n_offsets if size is None else size
    measured = checked_mask(mask, size=side) & field_of_view(
        side, n_offsets=n_offsets, step_um=step_um, axis_offset_um=axis_offset_um
    )
    matrix = filter_matrix(n_offsets, step_um=step_um, filter_name=filter_name, padding=padding)
    return _Plan(
        n_offsets=n_offsets,
        size=side,
        matrix=stored_matrix(matrix),
        squares=stored_matrix(variance_filter_matrix(matrix)),
        rays=ray_table(angles, weight=angle_weights(angles)),
        axis_row=1.0 + axis,
        chunks=pixel_chunks(measured),
        measured=measured,
    )


def _reconstruct(
    plan: _Plan, n_channels: int, values: Source, variances: Source | None, workers: int | None
) -> Reconstruction:
    """Reconstruct every block of channels, in threads, or few channels one by one."""
    images = [np.zeros((plan.size**2, n_channels), np.float32)]
    if variances is not None:
        images.append(np.zeros_like(images[0]))

    def task(first_block: int, last_block: int) -> None:
        for block in range(first_block, last_block):
            channels = slice(block * CHANNEL_BLOCK, min((block + 1) * CHANNEL_BLOCK, n_channels))
            _add_block(plan, channels, values, plan.matrix, images[0])
            if variances is not None:
                _add_block(plan, channels, variances, plan.squares, images[1])

    if n_channels <= FEW_CHANNELS:
        _add_few(plan, n_channels, values, plan.matrix, images[0], workers)
        if variances is not None:
            _add_few(plan, n_channels, variances, plan.squares, images[1], workers)
    else:
        threaded(task, -(-n_channels // CHANNEL_BLOCK), workers=workers)
    for image in images:
        image[~plan.measured.ravel()] = np.nan
    shaped = [image.reshape(plan.size, plan.size, n_channels) for image in images]
    return Reconstruction(values=shaped[0], variance=shaped[1] if variances is not None else None)


def _add_few(
    plan: _Plan,
    n_channels: int,
    source: Source,
    matrix: Singles,
    image: Singles,
    workers: int | None,
) -> None:
    """Filter the projections of each channel and add them to the image, (pixel, channel)."""
    part = source(slice(0, plan.rays.shape[0]), slice(0, n_channels))
    for channel in range(n_channels):
        add_channel(
            np.ascontiguousarray(part[:, :, channel]), matrix, rays=plan.rays,
            axis_row=plan.axis_row, chunks=plan.chunks, image=image[:, channel], workers=workers,
        )  # fmt: skip


def _add_block(
    plan: _Plan, channels: slice, source: Source, matrix: Singles, image: Singles
) -> None:
    """Filter the projections of a block of channels and add them to the image, (pixel, channel).

    A matrix with twice as many rows as there are offsets is the filter of variances, whose weights
    are squared.
    """
    rows_per_offset = matrix.shape[0] // plan.n_offsets
    n_rows = plan.n_offsets + 2
    filtered = np.zeros((ANGLE_GROUP, n_rows * rows_per_offset, CHANNEL_BLOCK), np.float32)
    for a in range(0, plan.rays.shape[0], ANGLE_GROUP):
        group = plan.rays[a : a + ANGLE_GROUP]
        filter_projections(source(slice(a, a + ANGLE_GROUP), channels), matrix, filtered)
        gather(
            filtered.reshape(-1), rows_per_offset == 2, group, plan.axis_row, n_rows,
            plan.chunks.x, plan.chunks.y, plan.chunks.index, image, channels.start,
        )  # fmt: skip
