"""How much a map differs between particles, and within them, without what its errors add.

Of particles i with means m_i that err by e_i, each on its own, the variance between them is

    s² = Σ d_i²/(n − 1) − Σ e_i²/n,    d_i = m_i − m̄,

and that of s² for these particles, what the errors do to it and not what other particles would have
shown, is [4 Σ δ_i² e_i² + 2 Σ e_i⁴]/(n − 1)² if δ_i are the true distances. The measured d_i² are
larger by e_i² in the mean, so that without bias

    var s² = [4 Σ d_i² e_i² − 2 Σ e_i⁴]/(n − 1)²,    at least 2 Σ e_i⁴/(n − 1)²,

up to 1/n. Within a particle of n voxels, whose errors are correlated by ρ
(:mod:`inverse.voxel_correlation`), the same holds with

    s² = Σ d_i²/(n − 1) − [Σ e_i²/n − var m̄]·n/(n − 1),
    var s² = [4 Σ_ij d_i e_i ρ_ij e_j d_j − 2 Σ_ij (e_i ρ_ij e_j)²]/(n − 1)²,

at least 2 Σ_ij (e_i ρ_ij e_j)²/(n − 1)². s itself is told as √max(s², 0), with half the width of
the interval to which one standard uncertainty about max(s², 0) maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from inverse.boxes import around
from inverse.depth_voxels import inner_voxels
from inverse.voxel_correlation import Correlation, correlation_kernel, covariance_of_sums
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_REACH = 12
"""Voxels up to which squares of correlations are added: they fall like r⁻⁶ or faster."""


@dataclass(frozen=True)
class Spread:
    """A standard deviation, in the unit of the map."""

    value: float
    """NaN where there are fewer than two values, as is the esd."""
    esd: float


@dataclass(frozen=True, eq=False)
class ParticleMeans:
    """One row for each particle with enough voxels."""

    number: Ints
    """In the map of labels, rising, shape (particle,), as all that follow."""
    n_voxels: Ints
    mean: Floats
    esd: Floats
    """From the voxels' esds and how their errors are correlated."""


def particle_averages(
    values: Floats,
    *,
    label: Ints,
    esd: Floats,
    step_um: float,
    correlation: Correlation = "ramp",
    fewest_voxels: int = 9,
    inner: bool = True,
) -> ParticleMeans:
    """Return the mean of a map over every particle; all maps (y, x), label −1 for none.

    With ``inner``, voxels of which one of the eight neighbours is not the same particle are left
    out; voxels without value or esd are, in any case. Raises InputError for maps of other shapes.
    """
    used = _used(values, label, esd, inner)
    rows: list[tuple[int, int, float, float]] = []
    for number in np.unique(label[used]).tolist():
        own = used & (label == number)
        if own.sum() < fewest_voxels:
            continue
        box = around(own)
        share = own[box] / own.sum()
        variance = covariance_of_sums(
            share[None], esd=esd[box], correlation=correlation, step_um=step_um
        )[0, 0]
        rows.append((number, int(own.sum()), float(values[own].mean()), float(np.sqrt(variance))))
    columns = np.array(rows, float).reshape(-1, 4).T
    return ParticleMeans(
        columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3]
    )


def spread_between(means: Floats, *, esd: Floats) -> Spread:
    """Return the standard deviation between means that err independently, both (particle,).

    Raises InputError where their numbers differ.
    """
    if means.shape != esd.shape or means.ndim != 1:
        raise InputError(
            f"means and esd must be rows of one length, not {means.shape}, {esd.shape}"
        )
    n = means.size
    if n < 2:
        return Spread(float("nan"), float("nan"))
    away = means - means.mean()
    square = away @ away / (n - 1) - float(np.mean(esd**2))
    known, errors = 4.0 * np.sum((away * esd) ** 2), 2.0 * np.sum(esd**4)
    variance = max(known - errors, errors) / (n - 1) ** 2
    return _spread(float(square), float(variance))


def spread_within(
    values: Floats,
    *,
    inside: Bools,
    esd: Floats,
    step_um: float,
    correlation: Correlation = "ramp",
) -> Spread:
    """Return the standard deviation over the voxels ``inside``; all maps (y, x).

    Voxels without value or esd are left out. Raises InputError for maps of other shapes.
    """
    own = _used(values, np.where(inside, 0, -1), esd, inner=False)
    n = int(own.sum())
    if n < 2:
        return Spread(float("nan"), float("nan"))
    box = around(own)
    away = np.where(own[box], values[box] - values[own].mean(), 0.0)
    known = np.where(own[box], esd[box], 0.0)
    rows = np.stack([own[box] / n, away])
    covariance = covariance_of_sums(rows, esd=known, correlation=correlation, step_um=step_um)
    square = (np.sum(away**2) - np.sum(known**2) + n * covariance[0, 0]) / (n - 1)
    kernel = correlation_kernel(correlation, step_um=step_um, reach=_REACH) ** 2
    errors = 2.0 * np.sum(known**2 * fftconvolve(known**2, kernel, mode="same"))
    variance = max(4.0 * covariance[1, 1] - errors, errors) / (n - 1) ** 2
    return _spread(float(square), float(variance))


def _used(values: Floats, label: NDArray[np.integer], esd: Floats, inner: bool) -> Bools:
    for name, given in (("label", label), ("esd", esd)):
        if given.shape != values.shape or values.ndim != 2:
            raise InputError(f"{name} must be a map of the shape of values, not {given.shape}")
    used = (label >= 0) & np.isfinite(values) & np.isfinite(esd)
    return np.asarray(used & inner_voxels(np.asarray(label, np.int64)) if inner else used)


def _spread(square: float, variance: float) -> Spread:
    esd, positive = np.sqrt(variance), max(square, 0.0)
    low, high = np.sqrt(np.maximum([positive - esd, positive + esd], 0.0))
    return Spread(float(np.sqrt(positive)), float(0.5 * (high - low)))
