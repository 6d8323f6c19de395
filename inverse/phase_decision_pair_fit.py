"""Refine two lattices of one phase in a pattern, many patterns at a time.

The model is s₁ f(a₁) + s₂ f(a₂) + Σ b_k B_k. At given a₁ and a₂ all amounts follow by linear least
squares; the normal matrix N of amounts and of slopes s_i f′(a_i) gives the step of the two lattice
parameters, and its inverse all covariances. A step that raises χ² is refused; the damping, added to
the diagonal of the slopes' part, grows with it and with one that lowers χ² less than it promised.

Source: Levenberg, Q. Appl. Math. 2 (1944) 164; Marquardt, J. SIAM 11 (1963) 431.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.phase_decision_null import Floats, Ints, Singles
from inverse.refine import LatticeModel
from inverse.refine_kernel import interpolated
from xrdct.compiled import single_threaded_algebra, threaded

_BLOCK = 16
"""Patterns refined together: few, since all go on until the last has settled."""
_SLOPE_STEP = 0.05
"""Of the templates' spacing, for derivatives of what is interpolated between them."""
_MAX_STEPS = 40
_LARGEST_STEP = 4.0
"""Templates."""
_TOLERANCE_A = 1e-7
_FIRST_DAMPING = 1e-3
_KEPT = 0.5
"""Share of the promised fall of χ² below which a step overshoots, so that damping must grow."""
_RIDGE = 1e-12
"""Of the diagonal: keeps a normal matrix that is nearly singular solvable."""


@dataclass(frozen=True, eq=False)
class PairFit:
    """Two lattices, the one of larger amount first; NaN where there are not two."""

    a_A: Floats
    """Shape (pattern, 2)."""
    a_esd_A: Floats
    amount: Floats
    """Volume fractions, (pattern, 2)."""
    amount_esd: Floats
    chi2: Floats
    """Sum over the channels, (pattern,)."""


@dataclass(frozen=True, eq=False)
class _Point:
    """Patterns fitted with given lattice parameters."""

    amounts: Floats
    """Of linear patterns, then of the two lattices, (pattern, linear + 2)."""
    chi2: Floats
    normal: Floats
    """Of amounts and lattice parameters, (pattern, linear + 4, linear + 4)."""
    slope: Floats
    """Half the downhill slope of χ², (pattern, 2), per template."""


def fit_pairs(
    patterns: Singles,
    variance: Singles,
    rows: Ints,
    starts: Floats,
    *,
    model: LatticeModel,
    workers: int | None = None,
) -> PairFit:
    """Return two lattices of the patterns numbered ``rows``, from ``starts`` in templates.

    patterns and variance (pattern, channel), starts (row, 2); all other patterns are NaN.
    """
    n = len(patterns)
    empty = np.full((4, n, 2), np.nan)
    found = PairFit(empty[0], empty[1], empty[2], empty[3], np.full(n, np.nan))
    parts = [slice(first, first + _BLOCK) for first in range(0, len(rows), _BLOCK)]

    def task(first: int, last: int) -> None:
        for part in parts[first:last]:
            _fit(patterns, variance, rows[part], starts[part], model, found)

    with single_threaded_algebra():
        threaded(task, len(parts), workers=workers)
    return found


def better(one: PairFit, other: PairFit) -> PairFit:
    """Return of two fits of each pattern the one with the smaller χ², or the only one."""
    first = np.isnan(other.chi2) | (one.chi2 <= other.chi2)
    of_pair = first[:, None]
    return PairFit(
        a_A=np.where(of_pair, one.a_A, other.a_A),
        a_esd_A=np.where(of_pair, one.a_esd_A, other.a_esd_A),
        amount=np.where(of_pair, one.amount, other.amount),
        amount_esd=np.where(of_pair, one.amount_esd, other.amount_esd),
        chi2=np.where(first, one.chi2, other.chi2),
    )


def _fit(
    patterns: Singles,
    variance: Singles,
    rows: Ints,
    position: Floats,
    model: LatticeModel,
    found: PairFit,
) -> None:
    weight, y = _loaded(patterns[rows], variance[rows])
    spacing_A = float(model.a_A[1] - model.a_A[0])
    last = len(model.a_A) - 1.0
    point = _at(position, weight, y, model)
    damping = np.full(len(rows), _FIRST_DAMPING)
    settled = np.zeros(len(rows), bool)
    for _ in range(_MAX_STEPS):
        moved = np.clip(position + _steps(point, damping), 0.0, last)
        step = moved - position
        trial = _at(moved, weight, y, model)
        better = (trial.chi2 <= point.chi2) & ~settled
        promised = np.einsum("nk,nk->n", step, point.slope)
        kept = point.chi2 - trial.chi2 > _KEPT * promised
        # Next to the minimum rounding decides which χ² is the smaller.
        settled |= np.abs(step).max(axis=1) < _TOLERANCE_A / spacing_A
        damping = np.where(kept, 0.2 * damping, 5.0 * damping)
        position = np.where(better[:, None], moved, position)
        point = _chosen(better, trial, point)
        if settled.all():
            break
    _store(rows, position, point, settled, model, found)


def _store(
    rows: Ints,
    position: Floats,
    point: _Point,
    settled: NDArray[np.bool_],
    model: LatticeModel,
    found: PairFit,
) -> None:
    spacing_A = float(model.a_A[1] - model.a_A[0])
    esd = np.sqrt(np.diagonal(np.linalg.inv(_ridged(point.normal)), axis1=1, axis2=2))
    amount, amount_esd = point.amounts[:, -2:], esd[:, -4:-2]
    inside = (position > 0.0) & (position < len(model.a_A) - 1.0)
    good = settled & np.all((amount > 0.0) & inside, axis=1)
    good &= np.abs(position[:, 0] - position[:, 1]) * spacing_A > esd[:, -1] * spacing_A
    order = np.argsort(-amount, axis=1)
    for target, values in (
        (found.a_A, model.a_A[0] + spacing_A * position),
        (found.a_esd_A, spacing_A * esd[:, -2:]),
        (found.amount, amount),
        (found.amount_esd, amount_esd),
    ):
        sorted_values = np.take_along_axis(values, order, axis=1)
        target[rows] = np.where(good[:, None], sorted_values, np.nan)
    found.chi2[rows] = np.where(good, point.chi2, np.nan)


def _loaded(patterns: Singles, variance: Singles) -> tuple[Floats, Floats]:
    """Return weights and values in double precision, 0 where nothing was measured."""
    usable = (variance > 0.0) & np.isfinite(variance) & np.isfinite(patterns)
    weight = np.where(usable, 1.0 / np.where(usable, variance, 1.0).astype(np.float64), 0.0)
    return weight, np.where(usable, patterns, 0.0).astype(np.float64)


def _at(position: Floats, weight: Floats, y: Floats, model: LatticeModel) -> _Point:
    """Return the fit of patterns with lattices at ``position`` (pattern, 2), in templates."""
    n, n_channels = y.shape
    n_linear = len(model.linear)
    flat = position.ravel()
    slope = interpolated(model.templates, flat + _SLOPE_STEP)
    slope -= interpolated(model.templates, flat - _SLOPE_STEP)
    rows = np.empty((n, n_linear + 4, n_channels))
    rows[:, :n_linear] = model.linear
    rows[:, n_linear:-2] = interpolated(model.templates, flat).reshape(n, 2, n_channels)
    rows[:, -2:] = slope.reshape(n, 2, n_channels) / (2.0 * _SLOPE_STEP)
    heavy = rows * weight[:, None, :]
    normal = heavy @ np.swapaxes(rows, 1, 2)
    overlap = np.einsum("nkc,nc->nk", heavy, y)
    linear = _ridged(normal[:, :-2, :-2])
    amounts = np.linalg.solve(linear, overlap[:, :-2, None])[..., 0]
    chi2 = np.einsum("nc,nc->n", weight * y, y) - np.einsum("nk,nk->n", amounts, overlap[:, :-2])
    scales = amounts[:, -2:]
    left = overlap[:, -2:] - np.einsum("nkl,nl->nk", normal[:, -2:, :-2], amounts)
    normal[:, -2:, :] *= scales[:, :, None]
    normal[:, :, -2:] *= scales[:, None, :]
    return _Point(amounts, chi2, normal, scales * left)


def _steps(point: _Point, damping: Floats) -> Floats:
    """Return damped steps of the lattice parameters, (pattern, 2), in templates."""
    normal = _ridged(point.normal)
    slopes = np.arange(-2, 0)
    normal[:, slopes, slopes] *= 1.0 + damping[:, None]
    downhill = np.zeros(point.normal.shape[:2])
    downhill[:, -2:] = point.slope
    steps = np.linalg.solve(normal, downhill[..., None])[:, -2:, 0]
    return np.clip(steps, -_LARGEST_STEP, _LARGEST_STEP)


def _ridged(normal: Floats) -> Floats:
    """Return a copy with the diagonal a trifle larger, and never zero."""
    copy = normal.copy()
    size = np.arange(normal.shape[1])
    copy[:, size, size] = copy[:, size, size] * (1.0 + _RIDGE) + np.finfo(np.float64).tiny
    return copy


def _chosen(first: NDArray[np.bool_], one: _Point, other: _Point) -> _Point:
    """Return the first of two points where ``first``, the other elsewhere."""
    return _Point(
        amounts=np.where(first[:, None], one.amounts, other.amounts),
        chi2=np.where(first, one.chi2, other.chi2),
        normal=np.where(first[:, None, None], one.normal, other.normal),
        slope=np.where(first[:, None], one.slope, other.slope),
    )
