"""Reconstruction of counts, with their own statistics and without negative values.

A ray's value y is φ·n, counts times a gain, and n is Poisson distributed with the mean
(A·x + B)/φ, B being a known background. Expectation maximisation (Shepp and Vardi, IEEE Trans. Med.
Imaging 1 (1982) 113; Lange and Carson, J. Comput. Assist. Tomogr. 8 (1984) 306) climbs the
likelihood

    L(x) = Σ w·[y·ln(A·x + B) − (A·x + B)],      w = 1/φ,
    x ← x·Aᵀ(w·y/(A·x + B)) / Aᵀw

in every iteration and keeps x ≥ 0. Over all rays it is slow; with the projections dealt out to
subsets, one after the other, an iteration does the work of as many (Hudson and Larkin, IEEE Trans.
Med. Imaging 13 (1994) 601), but need not climb at the end. Only how φ differs between the rays
matters, not its size: a gain that is common to a channel drops out.

The images are not a linear function of the counts. Where a ray misses the grid or material lies
beyond it, there is no x ≥ 0 that explains the counts: choose ``size`` large enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import checked_stack
from inverse.iteration import (
    Iterated,
    Rays,
    checked_iterations,
    checked_records,
    solve_blocks,
)
from inverse.projector import Projector
from xrdct.compiled import compiled
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MostLikely(Iterated):
    """Images, record of the misfit and of the likelihood."""

    log_likelihood: Floats
    """L after k iterations, (iteration, channel), as the misfit; without its constant terms."""


@dataclass(frozen=True, eq=False)
class _Subset:
    """Some projections, and what is divided by in their turn."""

    operator: Projector
    angles: slice
    inverse_sensitivity: Singles
    """1/Aᵀw, (pixel,); zero where no ray passes."""


def poisson_reconstruction(
    sinogram: ArrayLike,
    *,
    rays: Rays,
    iterations: int,
    n_subsets: int = 1,
    background: ArrayLike | None = None,
    records: ArrayLike | None = None,
    workers: int | None = None,
) -> MostLikely:
    """Return the images of a sinogram of scaled counts after some iterations.

    sinogram (angle, offset, channel), not negative; the weights of the rays are 1/φ
    (:func:`inverse.stopping.ray_weights`); ``background``, not negative and of the sinogram's
    shape, or (angle, offset, 1), is contained in the sinogram. Each of ``n_subsets`` holds every
    n-th projection. The misfit is recorded as by the other methods.

    Raises InputError for arrays or parameters that do not fit together, or negative values.
    """
    checked_iterations(iterations)
    recorded = checked_records(records, rays=rays)
    lines = checked_stack(sinogram, name="sinogram", axes="(angle, offset, channel)")
    behind = _checked_background(background, lines)
    if not 1 <= n_subsets <= len(rays.weights):
        raise InputError(
            f"n_subsets must be between 1 and the {len(rays.weights)} projections, not {n_subsets}."
        )
    subsets = _subsets(rays, n_subsets)
    length = _sum_weighted(rays.row_sums[..., None], rays.weights)[0]

    def solve(data: Singles, images: Singles, part: slice, workers: int) -> Floats:
        known = np.zeros((*data.shape[:2], 1), np.float32)
        if behind is not None:
            known = behind[:, :, part] if behind.shape[2] > 1 else behind
        known = np.ascontiguousarray(np.nan_to_num(known), dtype=np.float32)
        if np.any(data < 0.0):
            raise InputError(
                f"a sinogram of counts must not be negative, but its least value is "
                f"{data.min():g}: pass what was subtracted as background, and do not subtract it."
            )
        excess = _sum_weighted(data, rays.weights) - _sum_weighted(known, rays.weights)
        images[:] = np.maximum(excess, 0.0) / max(length, np.finfo(np.float32).tiny)
        return _climb(data, known, images, rays, subsets, recorded, iterations, workers)

    shape = (len(recorded) + 1, iterations)
    result = solve_blocks(
        lines, rays=rays, records=recorded, solve=solve, record_shape=shape, workers=workers
    )
    return MostLikely(
        values=result.values, misfit=result.misfit[:-1], log_likelihood=result.misfit[-1]
    )


def _climb(
    data: Singles,
    background: Singles,
    images: Singles,
    rays: Rays,
    subsets: list[_Subset],
    records: Singles,
    iterations: int,
    workers: int,
) -> Floats:
    """Iterate one block; the record's last row is the log-likelihood."""
    history = np.zeros((len(records) + 1, iterations, data.shape[2]))
    lines, ratio = np.empty_like(data), np.zeros_like(images)
    for k in range(iterations):
        for subset in subsets:
            part = subset.angles
            subset.operator.forward(images, lines[part], workers=workers)
            # Every ray is recorded once in an iteration, in the state its subset finds.
            compare(
                data[part], background[part], lines[part], rays.weights[part], records[:, part],
                history[:, k],
            )  # fmt: skip
            subset.operator.backward(lines[part], ratio, workers=workers)
            images *= ratio
            images *= subset.inverse_sensitivity[:, None]
            ratio.fill(0.0)
    return history


def _subsets(rays: Rays, n_subsets: int) -> list[_Subset]:
    """Deal out the projections, and order the subsets so that neighbours in turn differ in angle.

    The order is that of the multiples of the golden section.
    """
    order = np.argsort(np.mod(np.arange(n_subsets) * 0.6180339887498949, 1.0), kind="stable")
    subsets = []
    for first in order:
        part = slice(int(first), None, n_subsets)
        operator = replace(
            rays.operator,
            rays=np.ascontiguousarray(rays.operator.rays[part]),
            taps=np.ascontiguousarray(rays.operator.taps[part]),
        )
        only = replace(rays, operator=operator, weights=rays.weights[part])
        sensitivity = only.back_projected(rays.weights[part])
        some = sensitivity > 0.0
        inverse = np.where(some, 1.0 / np.where(some, sensitivity, 1.0), 0.0)
        subsets.append(_Subset(operator, part, inverse.astype(np.float32)))
    return subsets


def _checked_background(
    background: ArrayLike | None, lines: NDArray[np.generic]
) -> NDArray[np.generic] | None:
    if background is None:
        return None
    behind = checked_stack(background, name="background", axes="(angle, offset, channel)")
    if behind.shape not in {lines.shape, (*lines.shape[:2], 1)}:
        raise InputError(
            f"background must have the shape {lines.shape} of the sinogram, or one channel, "
            f"not {behind.shape}."
        )
    if np.any(behind < 0):
        raise InputError(f"background must not be negative, but its least value is {behind.min()}.")
    return behind


def _sum_weighted(lines: Singles, weights: Singles) -> Floats:
    """Return Σ weight·line of each channel, (channel,)."""
    return np.asarray(np.einsum("aic,ai->c", lines, weights, dtype=np.float64))


@compiled
def compare(
    data: Singles,
    background: Singles,
    lines: Singles,
    weights: Singles,
    records: Singles,
    history: Floats,
) -> None:
    """Replace the projections A·x in ``lines`` by w·y/(A·x + B), and record misfit and likelihood.

    data, lines (angle, offset, channel), background likewise or with one channel, weights (angle,
    offset), records (record, angle, offset), history (record + 1, channel).
    """
    n_records = records.shape[0]
    several = background.shape[2] > 1
    for a in range(data.shape[0]):
        for i in range(data.shape[1]):
            weight = weights[a, i]
            for c in range(data.shape[2]):
                mean = lines[a, i, c] + background[a, i, c if several else 0]
                value = data[a, i, c]
                for m in range(n_records):
                    history[m, c] += records[m, a, i] * (value - mean) ** 2
                # A ray without counts pulls its pixels down whatever their mean.
                pull = np.float32(0.0)
                if value > 0.0 and mean > 0.0:
                    history[n_records, c] += weight * value * np.log(mean)
                    pull = weight * value / mean
                history[n_records, c] -= weight * mean
                lines[a, i, c] = pull
