"""A scan as other packages take it: checked, channel by channel, its axis where they want it.

Packages differ in where they see the rotation axis and on which grid they draw; a projection is
brought there by :func:`resampled`. Between samples it is a band-limited function, so a fraction f
of a step is the phase exp(2πi·frequency·f) of its Fourier transform. Its even continuation, of
period 2n, has no jump at either end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.backends.protocol import DEFAULT_ITERATIONS
from inverse.filters import KERNELS
from inverse.geometry import (
    angle_weights,
    axis_position,
    checked_angles,
    checked_mask,
    checked_stack,
    field_of_view,
)
from xrdct.compiled import threaded
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scan:
    """A sinogram and how it was taken, in steps and pixels."""

    lines: Singles
    """Line integrals of the channels without NaN, (channel, angle, offset), in steps."""
    angles_rad: Floats
    weights: Floats
    """Share of the half turn of each projection over that in a uniform scan, (angle,)."""
    axis: float
    """Place of the rotation axis among the offsets, in steps from the first."""
    seen: NDArray[np.bool_]
    """Which pixels, (iy, ix), are seen at every angle."""
    whole: NDArray[np.bool_]
    """Which channels of the sinogram are without NaN, (channel,)."""
    method: str
    filter_name: str
    iterations: int

    @property
    def size(self) -> int:
        """Pixels to a side of the image that is wanted."""
        return len(self.seen)

    @property
    def side(self) -> int:
        """Pixels to a side that hold all that is seen, centred as the wanted ones are."""
        n_offsets = int(self.lines.shape[2])
        return n_offsets + (self.size - n_offsets) % 2

    @property
    def between(self) -> float:
        """How far the axis is from a pixel's centre, along x and along y: 0 or ½ pixel."""
        return 0.5 * ((self.size + 1) % 2)

    @property
    def weighted(self) -> Singles:
        """Lines times the weight of their projection, for methods that give each the same."""
        return self.lines * self.weights[:, None].astype(np.float32)


def checked_scan(
    sinogram: ArrayLike,
    *,
    angles_rad: ArrayLike,
    step_um: float,
    axis_offset_um: float,
    methods: tuple[str, ...],
    method: str | None,
    filter_name: str,
    iterations: int | None,
    size: int | None,
) -> Scan:
    """Return the scan, or raise InputError for arguments that do not fit together."""
    stack = checked_stack(sinogram, name="sinogram", axes="(angle, offset, channel)")
    n_angles, n_offsets, _ = stack.shape
    angles = checked_angles(angles_rad, n_angles=n_angles)
    axis = axis_position(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    side = n_offsets if size is None else size
    checked_mask(None, size=side)
    chosen, count = checked_method(methods, method=method, iterations=iterations)
    if filter_name not in KERNELS:
        raise InputError(f"filter_name must be one of {', '.join(KERNELS)}, not {filter_name!r}.")
    whole = np.isfinite(stack).all(axis=(0, 1))
    lines = np.moveaxis(stack[:, :, whole], 2, 0) / step_um
    return Scan(
        lines=np.ascontiguousarray(lines, dtype=np.float32),
        angles_rad=angles,
        weights=angle_weights(angles) * n_angles / np.pi,
        axis=axis,
        seen=field_of_view(
            side, n_offsets=n_offsets, step_um=step_um, axis_offset_um=axis_offset_um
        ),
        whole=whole,
        method=chosen,
        filter_name=filter_name,
        iterations=count,
    )


def checked_method(
    methods: tuple[str, ...], *, method: str | None, iterations: int | None
) -> tuple[str, int]:
    """Return the method, by default the first, and its iterations, or raise InputError."""
    chosen = methods[0] if method is None else method
    if chosen not in methods:
        raise InputError(f"method must be one of {', '.join(methods)}, not {chosen!r}.")
    count = DEFAULT_ITERATIONS if iterations is None else iterations
    if count < 1:
        raise InputError(f"iterations must be at least 1, not {count}.")
    return chosen, count


def resampled(lines: Singles, first: ArrayLike, width: int) -> Singles:
    """Return each projection read at ``first``, ``first`` + 1, …, ``width`` places in all.

    lines (channel, angle, offset); first in steps, one number or (angle,). Beyond its ends a
    projection is continued by its edge values.
    """
    n_offsets = lines.shape[2]
    start = np.broadcast_to(np.asarray(first, dtype=np.float64), lines.shape[1:2])
    before = np.floor(start).astype(np.int64)
    fraction = start - before
    moved: NDArray[np.floating] = lines
    if np.any(fraction):
        even = np.concatenate([lines, lines[:, :, ::-1]], axis=2)
        phase = np.exp(2j * np.pi * np.fft.rfftfreq(2 * n_offsets) * fraction[:, None])
        spectrum = np.fft.rfft(even, axis=2) * phase.astype(np.complex64)
        moved = np.fft.irfft(spectrum, n=2 * n_offsets, axis=2)[:, :, :n_offsets]
    place = np.clip(before[:, None] + np.arange(width), 0, n_offsets - 1)
    read = np.take_along_axis(moved, place[None], axis=2)
    return np.ascontiguousarray(read, dtype=np.float32)


def each_channel(
    reconstruct: Callable[[Singles], NDArray[np.floating]], lines: Singles, *, workers: int | None
) -> Singles:
    """Return the images, (channel, iy, ix), of a package that makes one of (angle, offset)."""
    images: list[NDArray[np.floating]] = [np.empty(0)] * len(lines)

    def task(start: int, stop: int) -> None:
        for channel in range(start, stop):
            images[channel] = reconstruct(lines[channel])

    threaded(task, len(lines), workers=workers)
    return np.asarray(images, dtype=np.float32)


def framed(scan: Scan, images: Singles) -> Singles:
    """Return the images (iy, ix, channel), NaN where nothing was measured.

    images (channel, iy, ix), in the frame of :mod:`inverse.geometry`; they are cropped about the
    axis, or framed by NaN, to the size that is wanted.
    """
    result = np.full((scan.size, scan.size, scan.whole.size), np.nan, np.float32)
    if not scan.whole.any():  # there are no images, whose side would be known
        return result
    side = images.shape[1]
    crop = max(0, side - scan.size) // 2
    margin = max(0, scan.size - side) // 2
    inner = images[:, crop : side - crop, crop : side - crop]
    target = result[margin : scan.size - margin, margin : scan.size - margin]
    target[:, :, scan.whole] = np.moveaxis(inner, 0, 2)
    result[~scan.seen] = np.nan
    return result
