"""Simultaneous iterative reconstruction (SIRT) of all channels.

    x ← x + λ·C·Aᵀ·R·(b − A·x),     R = w/(A·1),   C = 1/(Aᵀ·w)

with the weight w of each ray: the residual of a ray is shared out along its length, and every pixel
takes the weighted mean of its shares (Gilbert, J. Theor. Biol. 36 (1972) 105). Started from zero
and 0 < λ < 2, it tends to the least-squares solution in the norm of R; the fewer its iterations,
the smoother the image. For a given number of iterations it is linear in the sinogram, unless
negative values are cut off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.iteration import (
    Iterated,
    Rays,
    checked_iterations,
    checked_records,
    solve_blocks,
    weigh_residual,
)
from xrdct.compiled import compiled_fast
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def sirt(
    sinogram: ArrayLike,
    *,
    rays: Rays,
    iterations: int,
    relaxation: float = 1.0,
    nonnegative: bool = False,
    records: ArrayLike | None = None,
    workers: int | None = None,
) -> Iterated:
    """Return the images of a sinogram of line integrals after some iterations.

    sinogram (angle, offset, channel), in a quantity; ``relaxation`` is λ. The misfit is recorded
    with the weights ``records`` (record, angle, offset), by default those of the rays.

    Raises InputError for arrays or parameters that do not fit together.
    """
    if not 0.0 < relaxation < 2.0:
        raise InputError(f"relaxation must be above 0 and below 2, not {relaxation}.")
    checked_iterations(iterations)
    recorded = checked_records(records, rays=rays)
    shares = _inverse(rays.row_sums) * rays.weights
    steps = np.float32(relaxation) * _inverse(rays.back_projected(rays.weights))

    def solve(data: Singles, images: Singles, _part: slice, workers: int) -> Floats:
        lines, gradient = np.zeros_like(data), np.zeros_like(images)
        misfit = np.zeros((len(recorded), iterations, data.shape[2]))
        for k in range(iterations):
            if k > 0:  # the projection of zero is zero
                rays.operator.forward(images, lines, workers=workers)
            weigh_residual(data, lines, shares, recorded, misfit[:, k])
            rays.operator.backward(lines, gradient, workers=workers)
            _take_step(images, gradient, steps, nonnegative)
        return misfit

    shape = (len(recorded), iterations)
    return solve_blocks(
        sinogram, rays=rays, records=recorded, solve=solve, record_shape=shape, workers=workers
    )


def _inverse(sums: Singles) -> Singles:
    """Return 1/sums, and 0 where nothing was summed."""
    some = sums > 0.0
    return np.where(some, 1.0 / np.where(some, sums, 1.0), 0.0).astype(np.float32)


@compiled_fast
def _take_step(images: Singles, gradient: Singles, steps: Singles, nonnegative: bool) -> None:
    """Add steps·gradient to the images and clear the gradient; (pixel, channel), steps (pixel,)."""
    for p in range(images.shape[0]):
        for c in range(images.shape[1]):
            value = images[p, c] + steps[p] * gradient[p, c]
            images[p, c] = max(value, np.float32(0.0)) if nonnegative else value
            gradient[p, c] = 0.0
