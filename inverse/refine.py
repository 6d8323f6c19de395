"""Refine scale, lattice parameter and background of every voxel, by variable projection.

The model of a voxel's pattern y with variance v is s·f(a) + Σ_k b_k B_k: one non-linear parameter,
the lattice parameter a, and linear ones, the scale s of the refined phase and the amounts b of the
fixed phases and background terms. The linear ones are eliminated: with the inner product
⟨p, q⟩ = Σ p q / v projected off the B_k, s(a) = ⟨f, y⟩/⟨f, f⟩, and a follows by Gauss–Newton on

    δa = ⟨g, y⟩ / (s ⟨g, g⟩),     g = f′ − f ⟨f, f′⟩/⟨f, f⟩.

f(a) is interpolated in a table of templates (four points, cubic), whose spacing is a small fraction
of a peak's width. Standard uncertainties are those of least squares with the stated variances,
esd(a) = 1/(s √⟨g, g⟩), with background and scale refined along.

Source: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413; Kaufman, BIT 15 (1975) 49.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from inverse import refine_kernel as kernel
from inverse.refine_kernel import N_VALUES, refine_voxels
from inverse.starting_values import start_grid, start_positions
from xrdct.compiled import single_threaded_algebra, threaded
from xrdct.errors import InputError

Floats = NDArray[np.float64]
_BLOCK = 32
"""Voxels that are worth the while of a task."""


class Status(IntEnum):
    """What became of a voxel; only CONVERGED ones carry a lattice parameter."""

    CONVERGED = kernel.CONVERGED
    NOT_MEASURED = kernel.NOT_MEASURED
    NO_MATERIAL = kernel.NO_MATERIAL
    NOT_CONVERGED = kernel.NOT_CONVERGED
    AT_LIMIT = kernel.AT_LIMIT


@dataclass(frozen=True, eq=False)
class LatticeModel:
    """Patterns of the refined phase over its lattice parameter, and everything linear."""

    a_A: Floats
    """Uniform grid of lattice parameters, shape (a,)."""
    templates: Floats
    """Pattern of the refined phase at each, shape (a, channel)."""
    linear: Floats
    """Patterns of fixed phases, then background terms, shape (linear, channel)."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """Refined parameters, each of shape (voxel,) unless said; NaN where not CONVERGED."""

    a_A: Floats
    a_esd_A: Floats
    scale: Floats
    scale_esd: Floats
    linear: Floats
    """Coefficients of the linear patterns, shape (voxel, linear)."""
    chi2_reduced: Floats
    status: NDArray[np.int8]


def refine(
    patterns: NDArray[np.float32],
    *,
    variance: NDArray[np.float32],
    model: LatticeModel,
    min_scale: float = 0.0,
    workers: int | None = None,
) -> Refinement:
    """Refine every pattern, shape (voxel, channel); channels with NaN or no variance are ignored.

    Voxels whose scale stays below ``min_scale``, or below five times its esd, hold no material;
    those with fewer than eight channels more than linear patterns are not measured. Every voxel
    starts from the best match over the whole grid, so there are no starting values to choose.

    Raises InputError where shapes do not agree, the lattice parameters are not a uniform rising
    grid of at least eight, or the linear patterns are not independent.
    """
    patterns = np.ascontiguousarray(patterns, dtype=np.float32)
    variance = np.ascontiguousarray(variance, dtype=np.float32)
    _check(patterns, variance, model)
    n_voxels, n_linear = len(patterns), len(model.linear)
    spacing_A = float(model.a_A[-1] - model.a_A[0]) / (len(model.a_A) - 1)
    templates = np.ascontiguousarray(model.templates, dtype=np.float64)
    linear = np.ascontiguousarray(model.linear, dtype=np.float64)
    grid = start_grid(variance, templates=templates, linear=linear)
    values = np.full((n_voxels, N_VALUES + n_linear), np.nan)
    status = np.full(n_voxels, Status.NOT_MEASURED, np.int8)

    def task(first_block: int, last_block: int) -> None:
        part = slice(first_block * _BLOCK, last_block * _BLOCK)
        refine_voxels(
            patterns[part], variance[part], templates, linear,
            start_positions(patterns[part], grid=grid), spacing_A, min_scale, values[part],
            status[part],
        )  # fmt: skip

    with single_threaded_algebra():
        threaded(task, -(-n_voxels // _BLOCK), workers=workers)
    values[status != Status.CONVERGED] = np.nan
    return Refinement(
        a_A=model.a_A[0] + spacing_A * values[:, 0],
        a_esd_A=spacing_A * values[:, 1],
        scale=values[:, 2],
        scale_esd=values[:, 3],
        linear=values[:, N_VALUES:],
        chi2_reduced=values[:, 4],
        status=status,
    )


def _check(
    patterns: NDArray[np.float32], variance: NDArray[np.float32], model: LatticeModel
) -> None:
    shapes = {
        "patterns": patterns.shape,
        "variance": variance.shape,
        "templates": model.templates.shape,
        "linear": model.linear.shape,
    }
    if (
        any(len(shape) != 2 for shape in shapes.values())
        or len({shape[1] for shape in shapes.values()}) != 1
        or patterns.shape != variance.shape
    ):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"patterns and model must have the same channels, but there are {listed}")
    if len(model.a_A) < 8 or len(model.templates) != len(model.a_A):
        raise InputError(
            f"the lattice range needs at least 8 templates, one for each lattice parameter, not "
            f"{len(model.templates)} for {len(model.a_A)}"
        )
    steps_A = np.diff(model.a_A)
    if not (steps_A.min() > 0.0 and np.ptp(steps_A) <= 1e-6 * steps_A.max()):
        raise InputError(
            f"the lattice parameters of a model must rise in equal steps, not in steps of "
            f"{steps_A.min():g} to {steps_A.max():g} Å"
        )
    norms = np.linalg.norm(model.linear, axis=1, keepdims=True)
    unit = model.linear / np.maximum(norms, np.finfo(float).tiny)
    if len(unit) and np.linalg.svd(unit, compute_uv=False).min() < 1e-6:
        raise InputError(
            f"the {len(unit)} fixed phases and background terms cannot be told apart: one of them "
            "is empty or a mixture of the others"
        )
