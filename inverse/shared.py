"""Refine what all voxels share: the sample's broadening and displacement parameters.

A profile that is too narrow or too wide biases the lattice parameter wherever the weights are not
symmetric about a line, as next to lines of other particles. So crystallite size, strain and an
overall change of B_iso are fitted first, by least squares over a few hundred good voxels, each
with its own scale, lattice parameter and background (eliminated by :mod:`inverse.refine`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from inverse.refine import LatticeModel, Refinement, Status, refine
from inverse.refine_kernel import interpolated
from xrdct.compiled import single_threaded_algebra

Floats = NDArray[np.float64]
_VOXELS = 200
_FEWEST_VOXELS = 8
_TRIED = 4000
_MARGIN = 8
"""Templates between a voxel and the limits: one that meets a limit in a trial would upset it."""
LOWER = np.array([0.0, 1e-3, -2.0])
"""No strain, crystallites of 100 µm, B_iso smaller by 2 Å²."""
UPPER = np.array([100.0, 20.0, 2.0])
"""Strain of 1 %, crystallites of 5 nm, B_iso larger by 2 Å²."""
INSIDE = 1e-3
"""How far parameters stay from their limits."""
DIFFERENCE = 0.02
"""Step of numerical derivatives, in parameters of order one."""


@dataclass(frozen=True)
class Shared:
    """Parameters that hold for the refined phase in every voxel."""

    crystallite_size_nm: float
    strain: float
    b_iso_change_A2: float = 0.0


def fitted_patterns(model: LatticeModel, refined: Refinement) -> Floats:
    """Return the patterns of refined voxels, shape (voxel, channel); NaN where not converged."""
    spacing_A = float(model.a_A[-1] - model.a_A[0]) / (len(model.a_A) - 1)
    phase = interpolated(model.templates, (refined.a_A - model.a_A[0]) / spacing_A)
    return np.asarray(refined.scale[:, None] * phase + refined.linear @ model.linear)


def refine_shared(
    patterns: NDArray[np.float32],
    *,
    variance: NDArray[np.float32],
    build: Callable[[Shared], LatticeModel],
    start: Shared,
    workers: int | None = None,
) -> Shared:
    """Return the shared parameters that fit a few hundred good voxels best.

    ``build`` makes the model for given shared parameters. Where fewer than eight voxels converge
    there is nothing to learn from and ``start`` is returned.
    """
    chosen = _good_voxels(patterns, variance, build(start), workers)
    if chosen.size < _FEWEST_VOXELS:
        return start
    few, few_variance = patterns[chosen], variance[chosen]
    usable = (few_variance > 0.0) & np.isfinite(few_variance) & np.isfinite(few)
    weight = np.where(usable, 1.0 / np.sqrt(np.where(usable, few_variance, 1.0)), 0.0)
    observed = np.where(usable, few, 0.0) * weight

    def explained(parameters: Floats) -> Floats:
        model = build(from_parameters(parameters))
        refined = refine(few, variance=few_variance, model=model, workers=workers)
        return fitted_patterns(model, refined) * weight

    def residual(parameters: Floats) -> Floats:
        return np.asarray(observed - np.nan_to_num(explained(parameters))).ravel()

    def jacobian(parameters: Floats) -> Floats:
        here = explained(parameters)
        steps = np.diag(np.where(parameters + DIFFERENCE < UPPER, DIFFERENCE, -DIFFERENCE))
        slopes = [(here - explained(parameters + step)) / step.sum() for step in steps]
        return np.stack([np.nan_to_num(slope).ravel() for slope in slopes], axis=1)

    with single_threaded_algebra():
        fit = least_squares(
            residual, as_parameters(start), jac=jacobian, bounds=(LOWER, UPPER),
            x_scale=[0.5, 0.5, 0.2], ftol=1e-8, xtol=1e-4, max_nfev=20,
        )  # fmt: skip
    return from_parameters(fit.x)


def _good_voxels(
    patterns: NDArray[np.float32],
    variance: NDArray[np.float32],
    model: LatticeModel,
    workers: int | None,
) -> NDArray[np.int64]:
    """Return voxels with more of the phase than most, or all well filled ones where they are few.

    They are spread over the map, and keep off the limits of the lattice parameter. What is well
    filled is told by a quantile, so that a hot voxel or two cannot set the standard.
    """
    tried = np.arange(0, len(patterns), max(1, len(patterns) // _TRIED))
    refined = refine(patterns[tried], variance=variance[tried], model=model, workers=workers)
    inside = (refined.a_A > model.a_A[_MARGIN - 1]) & (refined.a_A < model.a_A[-_MARGIN])
    scale = np.where((refined.status == Status.CONVERGED) & inside, refined.scale, 0.0)
    present = scale[scale > 0.0]
    if present.size == 0:
        return np.zeros(0, np.int64)
    full = np.sort(present[present > 0.5 * np.quantile(present, 0.95)])
    rich = tried[scale >= full[min(full.size // 2, max(full.size - _VOXELS, 0))]]
    spread = np.linspace(0, rich.size - 1, min(rich.size, _VOXELS))
    return np.asarray(rich[np.round(spread).astype(np.int64)])


def as_parameters(shared: Shared, *, upper: Floats = UPPER) -> Floats:
    """Return parameters of order one: squared strain in 1e-6, 1/size in 1/(100 nm), ΔB in Å².

    Widths are linear in the square of a strain, which therefore can be fitted from zero.
    """
    return np.clip(
        [(shared.strain * 1e3) ** 2, 100.0 / shared.crystallite_size_nm, shared.b_iso_change_A2],
        LOWER + INSIDE, upper - INSIDE,
    )  # fmt: skip


def from_parameters(parameters: Floats) -> Shared:
    """Return what all voxels share, from parameters of order one (:func:`as_parameters`)."""
    squared_strain, inverse_size, b_iso_change = (float(p) for p in parameters)
    return Shared(
        crystallite_size_nm=100.0 / inverse_size,
        strain=float(np.sqrt(max(squared_strain, 0.0))) * 1e-3,
        b_iso_change_A2=b_iso_change,
    )
