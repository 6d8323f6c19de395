"""The linear part of a fit with free intensities: what is not negative, beside a free background.

For given shapes A (channel, column) and background terms B, weighted by 1/√variance,

    minimise |y − A x − B b|²   with x ≥ 0

The background is projected out once; the rest is a small non-negative problem in the triangular
factor of A (Lawson & Hanson, *Solving Least Squares Problems*, 1974, ch. 23). The slopes of what
is left with the non-linear parameters are projected off the columns in use (Kaufman, BIT 15 (1975)
49), which keeps the gradient exact.

The covariance is that of all parameters together, from the whole Jacobian [slopes, A, B]: columns
at zero stay in it, so that a line that is not seen has an uncertainty too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from xrdct.errors import InputError

Floats = NDArray[np.float64]
_INDEPENDENT = 1e-7
"""Share of a column's norm that the others must leave for it to be told apart from them."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """A pattern, its weights, and the background that is projected out of everything."""

    observed: Floats
    """Pattern over its standard deviation, zero where not measured, (channel,)."""
    weight: Floats
    """1/standard deviation, zero where not measured, (channel,)."""
    background: Floats
    """Background terms, not weighted, (term, channel)."""
    basis: Floats
    """Orthonormal basis of the weighted ones, (channel, term)."""
    triangle: Floats
    """Their triangular factor, (term, term)."""
    rest: Floats
    """What of ``observed`` the background cannot explain, (channel,)."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Channels that count, (channel,)."""
        return self.weight > 0.0

    def project(self, rows: Floats) -> Floats:
        """Return ``rows`` (row, channel) weighted and free of background, (channel, row)."""
        columns = (rows * self.weight).T
        return np.asarray(columns - self.basis @ (self.basis.T @ columns))

    def without(self, pattern: Floats) -> Weighted:
        """Return the same with ``pattern`` (channel,) taken off what is observed."""
        rest = self.rest - self.project(pattern[None, :])[:, 0]
        return replace(self, observed=self.observed - self.weight * pattern, rest=rest)


def weighted(pattern: Floats, *, variance: Floats, background: Floats) -> Weighted:
    """Return what a fit needs of a pattern (channel,); NaN and no variance are not measured."""
    usable = (variance > 0.0) & np.isfinite(variance) & np.isfinite(pattern)
    weight = np.where(usable, 1.0 / np.sqrt(np.where(usable, variance, 1.0)), 0.0)
    observed = np.where(usable, pattern, 0.0) * weight
    basis, triangle = np.linalg.qr((background * weight).T)
    rest = observed - basis @ (basis.T @ observed)
    return Weighted(observed, weight, background, basis, triangle, rest)


@dataclass(frozen=True, eq=False)
class Linear:
    """The best coefficients for given shapes."""

    coefficients: Floats
    """Not negative, (column,)."""
    columns: Floats
    """Weighted shapes without background, (channel, column)."""
    basis: Floats
    """Orthonormal basis of the columns in use, (channel, used)."""
    residual: Floats
    """(channel,), in standard deviations."""


def solve(data: Weighted, shapes: Floats) -> Linear:
    """Return the non-negative coefficients of ``shapes`` (column, channel)."""
    columns = data.project(shapes)
    norms = np.linalg.norm(columns, axis=0)
    scale = np.where(norms > 0.0, norms, 1.0)
    basis, triangle = np.linalg.qr(columns / scale)
    target = basis.T @ data.rest
    scaled = _not_negative(triangle, target)
    used = scaled > 0.0
    chosen, _ = np.linalg.qr(triangle[:, used])
    basis = basis @ chosen
    return Linear(
        coefficients=scaled / scale,
        columns=columns,
        basis=basis,
        residual=data.rest - basis @ (basis.T @ data.rest),
    )


def _not_negative(triangle: Floats, target: Floats) -> Floats:
    """Return x ≥ 0 that minimises |triangle · x − target|."""
    if target.size == 0:
        return np.zeros(0)
    if np.all(np.abs(np.diag(triangle)) > _INDEPENDENT):
        free = solve_triangular(triangle, target)
        if np.all(free >= 0.0):
            return np.asarray(free)
    return np.asarray(nnls(triangle, target)[0])


def projected_slopes(data: Weighted, linear: Linear, slopes: Floats) -> Floats:
    """Return the Jacobian of the residual for ``slopes`` (parameter, channel), (channel, p)."""
    moved = data.project(slopes)
    return np.asarray(linear.basis @ (linear.basis.T @ moved) - moved)


def background_coefficients(data: Weighted, linear: Linear, shapes: Floats) -> Floats:
    """Return the background's coefficients, (term,), beside those of ``shapes``."""
    left = data.observed - data.weight * (linear.coefficients @ shapes)
    return np.asarray(solve_triangular(data.triangle, data.basis.T @ left))


def covariance(
    data: Weighted, linear: Linear, slopes: Floats, *, names: tuple[str, ...]
) -> tuple[Floats, Floats]:
    """Return the covariances of the non-linear parameters (p, p) and of the coefficients.

    ``slopes``: change of the pattern with each parameter, (p, channel). Raises InputError, by
    ``names``, for parameters that cannot be told apart from each other or from intensities.
    """
    # Intensities first: what is left of the slopes then tells whether they are determined.
    jacobian = np.concatenate([linear.columns, data.project(slopes)], axis=1)
    norms = np.linalg.norm(jacobian, axis=0)
    determined = np.flatnonzero(norms > 0.0)
    left = _left_by_others(jacobian[:, determined] / norms[determined])
    determined = determined[left >= _INDEPENDENT]
    first = linear.columns.shape[1]
    lost = [name for i, name in enumerate(names) if first + i not in determined]
    if lost:
        raise InputError(
            f"{', '.join(lost)} cannot be determined beside what else is refined: keep it fixed, "
            "or something else that moves lines alike"
        )
    _, triangle = np.linalg.qr(jacobian[:, determined] / norms[determined])
    inner = np.linalg.inv(triangle)
    whole = np.full((norms.size, norms.size), np.nan)
    whole[np.ix_(determined, determined)] = inner @ inner.T
    whole /= np.outer(norms, norms)
    return whole[first:, first:], whole[:first, :first]


def _left_by_others(unit_columns: Floats) -> Floats:
    """Return the share of each column that those before it leave, (column,)."""
    _, triangle = np.linalg.qr(unit_columns)
    return np.asarray(np.abs(np.diag(triangle)))
