"""Conjugate gradients on the weighted least-squares problem (CGLS), all channels by one polynomial.

    minimise Σ_channel ‖√w·(b − A·x)‖²

(Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49 (1952) 409; Björck, *Numerical Methods for Least
Squares Problems*, ch. 7). After k iterations x = q(AᵀwA)·Aᵀw·b with a polynomial q of degree k − 1,
which the lengths α and β of the steps define. They follow from sums over *all* channels, as if
these were one system: every channel is then treated by the same polynomial, has the same
resolution, and the reconstruction is linear once the steps are known. They are found on the
sinogram itself if it has at most one block of channels, and otherwise on random mixtures of its
channels.

What is recovered first are the large structures; noise follows later, and more of it with every
iteration: when to stop is what regularises (:mod:`inverse.stopping`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import checked_stack
from inverse.interpolation import CHANNEL_BLOCK
from inverse.iteration import (
    Iterated,
    Rays,
    checked_iterations,
    checked_records,
    solve_blocks,
    weigh_residual,
)
from inverse.mixtures import mixtures
from xrdct.compiled import compiled_fast
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Steps:
    """The lengths of the steps of each iteration, (iteration,)."""

    alpha: Floats
    """Along the direction of search."""
    beta: Floats
    """Share of the last direction in the next."""


@dataclass(frozen=True, eq=False)
class ConjugateGradients(Iterated):
    """Images, record of the misfit, and the steps that led there."""

    steps: Steps


def cgls(
    sinogram: ArrayLike,
    *,
    rays: Rays,
    iterations: int,
    steps: Steps | None = None,
    records: ArrayLike | None = None,
    workers: int | None = None,
) -> ConjugateGradients:
    """Return the images of a sinogram of line integrals after some iterations.

    sinogram (angle, offset, channel), in a quantity. Given the ``steps`` of another run, at least
    as many as iterations, the same linear operator is applied again. The misfit is recorded with
    the weights ``records`` (record, angle, offset), by default those of the rays.

    Raises InputError for arrays or parameters that do not fit together.
    """
    checked_iterations(iterations)
    recorded = checked_records(records, rays=rays)
    lines = checked_stack(sinogram, name="sinogram", axes="(angle, offset, channel)")
    if steps is not None and len(steps.alpha) < iterations:
        raise InputError(f"there are {len(steps.alpha)} steps for {iterations} iterations.")
    if steps is None and lines.shape[2] > CHANNEL_BLOCK:
        steps = cgls(
            mixtures(lines, n_mixtures=CHANNEL_BLOCK), rays=rays, iterations=iterations,
            workers=workers,
        ).steps  # fmt: skip
    taken = Steps(np.zeros(iterations), np.zeros(iterations)) if steps is None else steps

    def solve(data: Singles, images: Singles, _part: slice, workers: int) -> Floats:
        return _descend(data, images, rays, recorded, taken, steps is None, workers)

    shape = (len(recorded), iterations)
    result = solve_blocks(
        lines, rays=rays, records=recorded, solve=solve, record_shape=shape, workers=workers
    )
    return ConjugateGradients(values=result.values, misfit=result.misfit, steps=taken)


def _descend(
    data: Singles,
    images: Singles,
    rays: Rays,
    records: Singles,
    steps: Steps,
    free: bool,
    workers: int,
) -> Floats:
    """Iterate one block, with the given steps, or ``free`` to find them and note them there.

    ``data`` becomes the residual.
    """
    weights = rays.weights
    lines, gradient = np.zeros_like(data), np.zeros_like(images)
    direction = np.zeros_like(images)
    misfit = np.zeros((len(records), len(steps.alpha), data.shape[2]))
    last: float = 0.0
    iterations = misfit.shape[1]
    for k in range(iterations):
        lines.fill(0.0)
        weigh_residual(data, lines, weights, records, misfit[:, k])
        gradient.fill(0.0)
        rays.operator.backward(lines, gradient, workers=workers)
        if free:
            norm = float(_sum_of_squares(gradient))
            steps.beta[k] = norm / last if last > 0.0 else 0.0
            last = norm
        _turn(direction, gradient, np.float32(steps.beta[k]))
        rays.operator.forward(direction, lines, workers=workers)
        if free:
            curvature = float(_weighted_squares(lines, weights))
            steps.alpha[k] = last / curvature if curvature > 0.0 else 0.0
        alpha = np.float32(steps.alpha[k])
        _advance(images, direction, alpha)
        n_channels = data.shape[2]
        _advance(data.reshape(-1, n_channels), lines.reshape(-1, n_channels), np.float32(-alpha))
    return misfit


@compiled_fast
def _turn(direction: Singles, gradient: Singles, beta: np.float32) -> None:
    """Direction ← gradient + β·direction."""
    for p in range(direction.shape[0]):
        for c in range(direction.shape[1]):
            direction[p, c] = gradient[p, c] + beta * direction[p, c]


@compiled_fast
def _advance(values: Singles, direction: Singles, alpha: np.float32) -> None:
    """Values ← values + α·direction."""
    for p in range(values.shape[0]):
        for c in range(values.shape[1]):
            values[p, c] += alpha * direction[p, c]


@compiled_fast
def _sum_of_squares(values: Singles) -> float:
    total = 0.0
    for p in range(values.shape[0]):
        # A few terms in single precision, their sums in double.
        row = np.float32(0.0)
        for c in range(values.shape[1]):
            row += values[p, c] * values[p, c]
        total += np.float64(row)
    return total


@compiled_fast
def _weighted_squares(lines: Singles, weights: Singles) -> float:
    total = 0.0
    for a in range(lines.shape[0]):
        for i in range(lines.shape[1]):
            row = np.float32(0.0)
            for c in range(lines.shape[2]):
                row += lines[a, i, c] * lines[a, i, c]
            total += np.float64(weights[a, i] * row)
    return total
