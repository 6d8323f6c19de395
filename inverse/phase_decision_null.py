"""The null hypothesis: patterns as explained without the phase in question.

What is left of a pattern, r, is tested along the directions that the explanation could not have
taken up. Those it could are its columns B: patterns of phases whose amount is free, derivatives by
cells and other refined parameters, background. With W the inverse variance of each channel,

    ⟨p, q⟩ = p W qᵀ − (p W Bᵀ)(B W Bᵀ)⁺(B W qᵀ)

is the inner product of what two patterns have beyond B. To first order in the parameters' errors,
which is all that matters where the known phases are well above the noise, ⟨f, r⟩/⟨f, f⟩ is the
amount of a further pattern f, refined together with everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.refine import LatticeModel, Refinement, Status, refine
from inverse.shared import fitted_patterns
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

UNDECIDED = -1
"""Group of patterns that were not explained, so that nothing can be said."""

_INDEPENDENT = 1e-11
"""Share of a column, of those of length one, below which it is a mixture of the others."""
_BLOCK = 256
"""Patterns worked on at once."""


@dataclass(frozen=True, eq=False)
class Null:
    """Patterns explained without the phase in question."""

    residuals: Singles
    """What the explanation leaves, (pattern, channel), 1/µm/rad; NaN where not measured."""
    variance: Singles
    """Of the patterns, (pattern, channel)."""
    group: Ints
    """Which columns hold for a pattern, (pattern,), from 0; UNDECIDED ones are left out."""
    columns: Callable[[int], Floats]
    """Gives what the explanation could have taken up in patterns of a group, (column, channel)."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """Patterns of one group in double precision, and what projects off their columns."""

    weight: Floats
    """Inverse variance, 0 where nothing was measured, (pattern, channel)."""
    residual: Floats
    """0 where nothing was measured, (pattern, channel)."""
    columns: Floats
    """Shape (column, channel)."""
    mixing: Floats
    """What makes the columns orthonormal under each weight, (pattern, column, column)."""

    def along(self, patterns: Floats) -> Floats:
        """Return components of patterns (k, channel) along the orthonormal columns.

        Shape (pattern, column, k).
        """
        inner = [(self.weight * column) @ patterns.T for column in self.columns]
        return np.asarray(self.mixing @ np.stack(inner, axis=1))

    def explained(self) -> Floats:
        """Return components of the residuals along the orthonormal columns, (pattern, column)."""
        inner = (self.weight * self.residual) @ self.columns.T
        return np.asarray((self.mixing @ inner[..., None])[..., 0])


def linear_null(patterns: Singles, *, variance: Singles, linear: Floats) -> Null:
    """Return patterns explained by any amounts of ``linear``, (column, channel).

    Raises InputError where shapes do not agree.
    """
    patterns, variance = checked_patterns(patterns, variance, linear.shape[-1])
    group = np.zeros(len(patterns), np.int64)
    whole = Null(patterns, variance, group, lambda _group: linear)
    residuals = np.empty_like(patterns)
    for rows in members(group):
        part = weighted(whole, rows)
        amounts = np.einsum("nk,nkl->nl", part.explained(), part.mixing)
        residuals[rows] = patterns[rows] - amounts @ linear
    return Null(residuals, variance, group, whole.columns)


def lattice_null(
    patterns: Singles,
    *,
    variance: Singles,
    model: LatticeModel,
    min_scale: float = 0.0,
    workers: int | None = None,
) -> tuple[Null, Refinement]:
    """Return patterns explained by one lattice of the refined phase and everything linear.

    Undecided are those whose lattice parameter did not converge, as without material. Columns are
    those of the nearest template: the shift to it is within what its derivative takes up. Raises
    InputError as :func:`inverse.refine.refine`.
    """
    patterns, variance = checked_patterns(patterns, variance, model.templates.shape[-1])
    refined = refine(patterns, variance=variance, model=model, min_scale=min_scale, workers=workers)
    residuals = patterns - fitted_patterns(model, refined).astype(np.float32)
    found = refined.status == Status.CONVERGED
    position = (refined.a_A - model.a_A[0]) / (model.a_A[1] - model.a_A[0])
    group = np.where(found, np.rint(np.where(found, position, 0.0)), UNDECIDED).astype(np.int64)

    def columns(group: int) -> Floats:
        low, high = max(group - 1, 0), min(group + 1, len(model.templates) - 1)
        slope = model.templates[high] - model.templates[low]
        return np.concatenate([model.templates[group][None], slope[None], model.linear])

    return Null(residuals, variance, group, columns), refined


def weighted(null: Null, rows: Ints) -> Weighted:
    """Return patterns of one group ready for inner products beyond their columns."""
    variance = null.variance[rows].astype(np.float64)
    residual = null.residuals[rows].astype(np.float64)
    usable = (variance > 0.0) & np.isfinite(variance) & np.isfinite(residual)
    weight = np.where(usable, 1.0 / np.where(usable, variance, 1.0), 0.0)
    return orthonormal(
        weight, np.where(usable, residual, 0.0), null.columns(int(null.group[rows[0]]))
    )


def orthonormal(weight: Floats, residual: Floats, columns: Floats) -> Weighted:
    """Return what projects patterns off ``columns`` (column, channel) under each weight.

    weight and residual: (pattern, channel).
    """
    inner = [(weight * column) @ columns.T for column in columns]
    normal = np.stack(inner, axis=1)
    length = np.sqrt(np.diagonal(normal, axis1=1, axis2=2))
    unit = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0.0)
    values, vectors = np.linalg.eigh(normal * unit[:, :, None] * unit[:, None, :])
    kept = values > _INDEPENDENT
    root = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    mixing = np.swapaxes(vectors * root[:, None, :], 1, 2) * unit[:, None, :]
    return Weighted(weight, residual, columns, mixing)


def members(group: Ints) -> list[Ints]:
    """Return the numbers of the patterns of every group but the undecided, in handy parts."""
    order = np.argsort(group, kind="stable")
    order = order[np.searchsorted(group[order], UNDECIDED, side="right") :]
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return [rows[first : first + _BLOCK] for rows in parts for first in range(0, len(rows), _BLOCK)]


def checked_patterns(
    patterns: Singles, variance: Singles, n_channels: int
) -> tuple[Singles, Singles]:
    """Return both in single precision; `InputError` where shapes do not agree."""
    patterns = np.ascontiguousarray(patterns, dtype=np.float32)
    variance = np.ascontiguousarray(variance, dtype=np.float32)
    if patterns.ndim != 2 or patterns.shape[1] != n_channels or variance.shape != patterns.shape:
        raise InputError(
            f"patterns and variance must have the shape (pattern, {n_channels}), not "
            f"{patterns.shape} and {variance.shape}"
        )
    return patterns, variance
