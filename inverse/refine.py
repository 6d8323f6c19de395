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

from inverse.refine_kernel import refine_voxels
from inverse.starting_values import start_index
from xrdct.compiled import threaded
from xrdct.errors import InputError

Floats = NDArray[np.float64]


class Status(IntEnum):
    """What became of a voxel; only CONVERGED ones carry a lattice parameter."""

    CONVERGED = 0
    NOT_MEASURED = 1
    NO_MATERIAL = 2
    NOT_CONVERGED = 3
    AT_LIMIT = 4


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

    Voxels whose scale stays below ``min_scale``, or below three times its esd, hold no material.
    Raises InputError where shapes do not agree or the model has too few templates.
    """
    if patterns.shape != variance.shape or patterns.shape[1:] != model.templates.shape[1:]:
        raise InputError(
            f"patterns {patterns.shape}, variance {variance.shape} and templates "
            f"{model.templates.shape} do not have the same channels"
        )
    if len(model.a_A) < 8:
        raise InputError(f"the lattice range needs at least 8 templates, not {len(model.a_A)}")
    n_voxels, n_linear = len(patterns), len(model.linear)
    start = start_index(patterns, variance=variance, model_templates=model.templates,
                        linear=model.linear)  # fmt: skip
    values = np.full((n_voxels, 5 + n_linear), np.nan)
    status = np.full(n_voxels, Status.NOT_MEASURED, np.int8)
    spacing_A = float(model.a_A[1] - model.a_A[0])
    templates = np.ascontiguousarray(model.templates)
    linear = np.ascontiguousarray(model.linear)

    def task(first: int, last: int) -> None:
        refine_voxels(
            patterns[first:last], variance[first:last], templates, linear, start[first:last],
            spacing_A, min_scale, values[first:last], status[first:last],
        )  # fmt: skip

    threaded(task, n_voxels, workers=workers)
    values[status != Status.CONVERGED] = np.nan
    return Refinement(
        a_A=model.a_A[0] + spacing_A * values[:, 0],
        a_esd_A=spacing_A * values[:, 1],
        scale=values[:, 2],
        scale_esd=values[:, 3],
        linear=values[:, 5:],
        chi2_reduced=values[:, 4],
        status=status,
    )
