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

Floats = NDArray[np.float64]
_VOXELS = 200
_FEWEST_VOXELS = 8
_TRIED = 4000
_LOWER = np.array([0.0, 1e-3, -2.0])
"""No strain, crystallites of 100 µm, B_iso smaller by 2 Å²."""
_UPPER = np.array([10.0, 20.0, 2.0])
"""Strain of 1 %, crystallites of 5 nm, B_iso larger by 2 Å²."""


@dataclass(frozen=True)
class Shared:
    """Parameters that hold for the refined phase in every voxel."""

    crystallite_size_nm: float
    strain: float
    b_iso_change_A2: float = 0.0


def fitted_patterns(model: LatticeModel, refined: Refinement) -> Floats:
    """Return the patterns of refined voxels, shape (voxel, channel); NaN where not converged."""
    spacing_A = model.a_A[1] - model.a_A[0]
    position = (refined.a_A - model.a_A[0]) / spacing_A
    index = np.clip(np.nan_to_num(position).astype(int), 1, len(model.a_A) - 3)
    t = (position - index)[:, None]
    phase = (
        -t * (t - 1.0) * (t - 2.0) / 6.0 * model.templates[index - 1]
        + (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0 * model.templates[index]
        - (t + 1.0) * t * (t - 2.0) / 2.0 * model.templates[index + 1]
        + (t + 1.0) * t * (t - 1.0) / 6.0 * model.templates[index + 2]
    )
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
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(few_variance > 0.0, 1.0 / np.sqrt(few_variance), 0.0)
    observed = np.nan_to_num(few) * weight

    def residual(parameters: Floats) -> Floats:
        model = build(_shared(parameters))
        refined = refine(few, variance=few_variance, model=model, workers=workers)
        explained = np.nan_to_num(fitted_patterns(model, refined)) * weight
        return np.asarray(observed - explained, dtype=np.float64).ravel()

    fit = least_squares(
        residual, _parameters(start), bounds=(_LOWER, _UPPER), diff_step=1e-2,
        x_scale=[0.5, 0.5, 0.2], ftol=1e-5, xtol=1e-4, max_nfev=12,
    )  # fmt: skip
    return _shared(fit.x)


def _good_voxels(
    patterns: NDArray[np.float32],
    variance: NDArray[np.float32],
    model: LatticeModel,
    workers: int | None,
) -> NDArray[np.int64]:
    """Return voxels with more of the phase than most, spread over the map."""
    tried = np.arange(0, len(patterns), max(1, len(patterns) // _TRIED))
    refined = refine(patterns[tried], variance=variance[tried], model=model, workers=workers)
    scale = np.where(refined.status == Status.CONVERGED, refined.scale, 0.0)
    full = scale[scale > 0.5 * scale.max(initial=0.0)]
    if full.size == 0:
        return np.zeros(0, np.int64)
    rich = tried[scale >= np.median(full)]
    return rich[:: max(1, rich.size // _VOXELS)][:_VOXELS]


def _parameters(shared: Shared) -> Floats:
    """Parameters of order one: strain in 1e-3, broadening by size in 1/(100 nm), ΔB in Å²."""
    return np.clip(
        [shared.strain * 1e3, 100.0 / shared.crystallite_size_nm, shared.b_iso_change_A2],
        _LOWER + 1e-3, _UPPER - 1e-3,
    )  # fmt: skip


def _shared(parameters: Floats) -> Shared:
    strain, inverse_size, b_iso_change = (float(p) for p in parameters)
    return Shared(
        crystallite_size_nm=100.0 / inverse_size,
        strain=strain * 1e-3,
        b_iso_change_A2=b_iso_change,
    )
