"""What the iterative methods share: the rays, blocks of channels, and the record of the misfit.

Every method iterates on the images x of a block of ``CHANNEL_BLOCK`` channels until it is done, and
only then takes the next, so that nothing but the sinogram, the images and a few blocks are held.
The rays are weighted alike in all channels: the operator that turns a sinogram into images is then
the same for every channel, and a voxel's pattern is not a mixture of channels of different
resolution, which would shift its peaks.

Where the rays cross material beyond the window they scan, the grid must reach beyond it too
(``size``), or what lies outside is forced into the view. The images that are returned are those of
the window: as many pixels as there are offsets, like those of filtered back projection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import checked_angles, checked_stack, field_of_view
from inverse.interpolation import CHANNEL_BLOCK
from inverse.projector import Projector, projector
from xrdct.compiled import compiled_fast, threaded, worker_count
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Solve = Callable[[Singles, Singles, slice, int], Floats]
"""Takes the lines (angle, offset, channel) of a block, which it may change, its images (pixel,
channel), zero, to be filled, which channels they are, and a number of threads; returns the record
(record, iteration, channel)."""


@dataclass(frozen=True, eq=False)
class Rays:
    """The rays of a scan, how much each counts, and the pixels they are explained by."""

    operator: Projector
    weights: Singles
    """Of the squared residual of each ray, (angle, offset); 0 for one that is not to be used."""
    shown: NDArray[np.bool_]
    """Pixels of the window that every projection sees, (iy, ix)."""

    @property
    def row_sums(self) -> Singles:
        """A·1, (angle, offset): the length of each ray in the grid, in µm."""
        lines = np.empty((*self.weights.shape, 1), np.float32)
        self.operator.forward(np.ones((self.operator.size**2, 1), np.float32), lines)
        return lines[..., 0]

    def back_projected(self, lines: Singles) -> Singles:
        """Return Aᵀ·lines, (pixel,), of one value for each ray, (angle, offset)."""
        image = np.zeros((self.operator.size**2, 1), np.float32)
        self.operator.backward(np.ascontiguousarray(lines[..., None], dtype=np.float32), image)
        return image[:, 0]


@dataclass(frozen=True, eq=False)
class Iterated:
    """Images of every channel after some iterations."""

    values: Singles
    """The quantity per µm, (iy, ix, channel); NaN where a pixel or a channel was not measured."""
    misfit: Floats
    """Σ record·(sinogram − A·x)² after k iterations, k = 0 … iterations − 1, shape
    (record, iteration, channel); NaN for a channel that was not measured."""


def scan_rays(
    shape: tuple[int, ...],
    *,
    angles_rad: ArrayLike,
    step_um: float,
    axis_offset_um: float = 0.0,
    beam_fwhm_um: float = 0.0,
    size: int | None = None,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Rays:
    """Return the rays of a sinogram of this ``shape`` (angle, offset, …).

    ``size`` is the number of pixels along the side of the grid, by default the number of offsets;
    only pixels of the ``mask``, (size, size), may hold material. The ``weights`` (angle, offset)
    are all 1 by default; see :func:`inverse.stopping.ray_weights` for those of the noise.

    Raises InputError for parameters that do not fit together, among them a ``size`` that does not
    leave as many pixels on either side of the window, and weights that are negative.
    """
    n_angles, n_offsets = shape[:2]
    side = n_offsets if size is None else size
    if side < n_offsets or (side - n_offsets) % 2:
        raise InputError(
            f"size must exceed the {n_offsets} offsets by an even number of pixels, not be {side}."
        )
    given = np.ones((n_angles, n_offsets)) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (n_angles, n_offsets) or not np.all(np.isfinite(given) & (given >= 0.0)):
        raise InputError(
            f"weights must be a finite number, not negative, for each of {(n_angles, n_offsets)} "
            f"rays, but the array has shape {given.shape} and least value {given.min():g}."
        )
    operator = projector(
        angles_rad=checked_angles(angles_rad, n_angles=n_angles), n_offsets=n_offsets, size=side,
        step_um=step_um, axis_offset_um=axis_offset_um, beam_fwhm_um=beam_fwhm_um, mask=mask,
    )  # fmt: skip
    shown = field_of_view(
        n_offsets, n_offsets=n_offsets, step_um=step_um, axis_offset_um=axis_offset_um
    )
    return Rays(operator=operator, weights=given.astype(np.float32), shown=shown)


def checked_records(records: ArrayLike | None, *, rays: Rays) -> Singles:
    """Return the weights of the recorded sums, (record, angle, offset), by default the rays' own.

    Raises InputError where they are not one for each ray.
    """
    if records is None:
        return rays.weights[None]
    given = np.asarray(records, dtype=np.float32)
    if given.ndim != 3 or given.shape[1:] != rays.weights.shape:
        raise InputError(
            f"records must have the axes (record, angle, offset) for rays {rays.weights.shape}, "
            f"not shape {given.shape}."
        )
    return given


def checked_iterations(iterations: int) -> int:
    """Return the number of iterations, or raise InputError where there is not one at least."""
    if iterations < 1:
        raise InputError(f"iterations must be at least 1, not {iterations}.")
    return iterations


def solve_blocks(
    sinogram: ArrayLike,
    *,
    rays: Rays,
    records: Singles,
    solve: Solve,
    record_shape: tuple[int, int],
    workers: int | None,
) -> Iterated:
    """Solve a sinogram, (angle, offset, channel), block by block, in threads.

    Rays that have no weight and are not recorded either are not read.

    Raises InputError where the sinogram does not fit the rays, or a channel holds numbers in some
    rays only.
    """
    lines = checked_stack(sinogram, name="sinogram", axes="(angle, offset, channel)")
    if lines.shape[:2] != rays.weights.shape:
        raise InputError(
            f"the sinogram must have the rays {rays.weights.shape}, not {lines.shape[:2]}."
        )
    read = (rays.weights > 0.0) | np.any(records > 0.0, axis=0)
    n_channels = lines.shape[2]
    n_offsets, size = rays.operator.n_offsets, rays.operator.size
    margin = (size - n_offsets) // 2
    window = slice(margin, margin + n_offsets)
    values = np.empty((n_offsets, n_offsets, n_channels), np.float32)
    misfit = np.empty((*record_shape, n_channels))
    n_blocks = -(-n_channels // CHANNEL_BLOCK)
    inner = worker_count(workers) if n_blocks == 1 else 1

    def task(first_block: int, last_block: int) -> None:
        for block in range(first_block, last_block):
            part = slice(block * CHANNEL_BLOCK, (block + 1) * CHANNEL_BLOCK)
            data, measured = _block_of(lines, part, read)
            images = np.zeros((size * size, data.shape[2]), np.float32)
            misfit[..., part] = np.where(measured, solve(data, images, part, inner), np.nan)
            seen = rays.shown[:, :, None] & measured
            square = images.reshape(size, size, -1)[window, window]
            values[:, :, part] = np.where(seen, square, np.float32(np.nan))

    threaded(task, n_blocks, workers=workers)
    return Iterated(values=values, misfit=misfit)


def _block_of(
    lines: NDArray[np.generic], part: slice, read: NDArray[np.bool_]
) -> tuple[Singles, NDArray[np.bool_]]:
    """Return the lines of a block of channels, zero where not read, and which were measured."""
    data = np.array(lines[:, :, part], dtype=np.float32, order="C")
    data[~read] = 0.0
    count = np.count_nonzero(np.isfinite(data[read]), axis=0)
    n_read = np.count_nonzero(read)
    measured = (count == n_read) & (n_read > 0)
    if np.any(count[~measured] > 0):
        channel = int(np.argmax(~measured & (count > 0)))
        raise InputError(
            "a channel of the sinogram must hold numbers in all rays or in none, but channel "
            f"{part.start + channel} lacks {n_read - count[channel]} of {n_read}: give such rays "
            "the weight 0 or fill them in."
        )
    if not measured.all():
        data[:, :, ~measured] = 0.0
    return data, measured


@compiled_fast
def weigh_residual(
    data: Singles, lines: Singles, factor: Singles, records: Singles, sums: Floats
) -> None:
    """Replace ``lines`` by factor·(data − lines), and add records·(data − lines)² to ``sums``.

    data, lines (angle, offset, channel); factor (angle, offset); records (record, angle, offset);
    sums (record, channel).
    """
    for a in range(data.shape[0]):
        for i in range(data.shape[1]):
            for c in range(data.shape[2]):
                lines[a, i, c] = data[a, i, c] - lines[a, i, c]
            for m in range(records.shape[0]):
                weight = records[m, a, i]
                if weight != 0.0:
                    for c in range(data.shape[2]):
                        sums[m, c] += weight * lines[a, i, c] * lines[a, i, c]
            for c in range(data.shape[2]):
                lines[a, i, c] *= factor[a, i]
