"""Diffusion of lithium in a sphere whose surface takes up a constant current, switched on and off.

    ∂x/∂t = D (1/r²) ∂/∂r (r² ∂x/∂r),   D ∂x/∂r = J at r = R,   ∂x/∂r = 0 at r = 0

A mean content that rises at the rate v, 1/s, needs J = v R/3. From a uniform start, at ρ = r/R and
τ = D t/R² (Crank, *The Mathematics of Diffusion*, 2nd ed., eq. 6.45):

    x(ρ, t) − x_0 = v t + (v R² / 3D) s(ρ, τ)
    s = ρ²/2 − 3/10 − 2 Σ_n sin(α_n ρ) / (ρ α_n² sin α_n) · exp(−α_n² τ),   α_n cot α_n = 1

The mean of s over the sphere vanishes. At short times the series is slow, and what is left of it
counts for v R²/3D times as much. Up to τ = 0.02 the Laplace transform of s + 3τ,
sinh(qρ) / (ρ p (q cosh q − sinh q)) with q = √p, is therefore expanded in exp(−q). Cut where waves
have crossed the sphere, at exp(−1/τ) = 2e-22, it gives

    s = [g(1 − ρ) − g(1 + ρ)]/ρ − 3τ,   g(l) = exp(−z²) [erfcx(z − √τ) − erfcx(z)],   z = l/(2√τ)

The equation is linear, so currents that are switched on and off are superposed: each is one that
flows for ever, less the same one from when it ends.

D is constant: two-phase windows, in which a real particle has a moving front, are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator
from scipy.special import erfcx

from xrdct.errors import InputError
from xrdct.spec import Spec

Array: TypeAlias = NDArray[np.float64]

SHORT_FOURIER = 0.02
"""τ up to which the short-time form is taken."""

_NEGLIGIBLE_EXPONENT = 40.0  # exp(−40) = 4e-18 is below rounding
_SMALLEST_RHO = 1e-6  # sin(α ρ)/ρ is α there to (α ρ)²/6: below rounding for the terms that count
_ROOT_STEPS = 60
_FLAT = (
    1e-3  # √τ below which erfcx(z − √τ) − erfcx(z) loses digits, and four terms of Taylor do not
)
_FARTHEST = 30.0  # exp(−30²) is 0


class CurrentSpan(Spec):
    """A constant uptake of lithium from ``start_s`` to ``stop_s``."""

    start_s: float
    stop_s: float
    rate_per_h: float = Field(ge=-1e6, le=1e6)
    """Change of the mean content of the sphere per hour."""

    @model_validator(mode="after")
    def _ordered(self) -> CurrentSpan:
        if self.stop_s <= self.start_s:
            raise ValueError(f"stop_s ({self.stop_s:g}) must lie after start_s ({self.start_s:g})")
        return self


def sphere_response(r_over_R: ArrayLike, *, fourier: ArrayLike) -> Array:
    """Return s(ρ, τ) of the module's text, for arrays that broadcast together.

    τ below 0 is a current not yet switched on: 0. Raises InputError unless 0 ≤ ρ ≤ 1.
    """
    rho, tau = np.broadcast_arrays(
        np.asarray(r_over_R, dtype=np.float64), np.asarray(fourier, dtype=np.float64)
    )
    if not ((rho >= 0.0) & (rho <= 1.0)).all():
        raise InputError("r_over_R must lie between 0 and 1")
    rho = np.maximum(rho, _SMALLEST_RHO)
    response = np.zeros(rho.shape)
    early, late = (tau > 0.0) & (tau <= SHORT_FOURIER), tau > SHORT_FOURIER
    response[early] = _early_response(rho[early], tau[early])
    response[late] = _late_response(rho[late], tau[late])
    return response


def _late_response(rho: Array, tau: Array) -> Array:
    """Return s by the series, for τ above `SHORT_FOURIER`."""
    response = 0.5 * rho**2 - 0.3
    n_terms = math.ceil(math.sqrt(_NEGLIGIBLE_EXPONENT / SHORT_FOURIER) / math.pi) + 1
    for root in _roots(n_terms):
        scale = 2.0 / (root**2 * math.sin(root))
        response -= scale * np.sin(root * rho) / rho * np.exp(-(root**2) * tau)
    return np.asarray(response)


def _early_response(rho: Array, tau: Array) -> Array:
    """Return s by the short-time form, for 0 < τ up to `SHORT_FOURIER`."""
    step = np.sqrt(tau)
    return np.asarray((_wave(1.0 - rho, step) - _wave(1.0 + rho, step)) / rho - 3.0 * tau)


def _wave(length: Array, step: Array) -> Array:
    """Return g of the module's text, ``step`` = √τ."""
    z = np.minimum(length / (2.0 * step), _FARTHEST)
    value = erfcx(z)
    first = 2.0 * z * value - 2.0 / math.sqrt(math.pi)  # derivatives of erfcx
    second = 2.0 * (value + z * first)
    third = 2.0 * (2.0 * first + z * second)
    fourth = 2.0 * (3.0 * second + z * third)
    taylor = -step * (first - step / 2.0 * (second - step / 3.0 * (third - step / 4.0 * fourth)))
    return np.asarray(np.exp(-(z**2)) * np.where(step < _FLAT, taylor, erfcx(z - step) - value))


def deviation(
    r_over_R: ArrayLike,
    *,
    time_s: float,
    radius_um: ArrayLike,
    diffusivity_um2_per_s: float,
    spans: Sequence[CurrentSpan],
) -> Array:
    """Return by how much the content at ρ differs from the sphere's mean at ``time_s``.

    Shapes of ρ and radius broadcast together. Raises InputError unless diffusivity and radii are
    positive.
    """
    radius = np.asarray(radius_um, dtype=np.float64)
    if diffusivity_um2_per_s <= 0.0 or not (radius > 0.0).all():
        raise InputError(
            f"diffusivity and radius must be positive, got {diffusivity_um2_per_s:g} µm²/s "
            f"and {radius.min():g} µm"
        )
    per_s = diffusivity_um2_per_s / radius**2
    total = np.zeros(np.broadcast_shapes(np.shape(r_over_R), radius.shape))
    for span in spans:
        started = sphere_response(r_over_R, fourier=per_s * (time_s - span.start_s))
        stopped = sphere_response(r_over_R, fourier=per_s * (time_s - span.stop_s))
        total += span.rate_per_h / 3600.0 / (3.0 * per_s) * (started - stopped)
    return total


def _roots(count: int) -> list[float]:
    """Return the first positive roots of tan α = α: α = nπ + arctan α, a contraction."""
    n_pi = math.pi * np.arange(1, count + 1)
    root = n_pi + 0.5 * math.pi
    for _ in range(_ROOT_STEPS):
        root = n_pi + np.arctan(root)
    return [float(value) for value in root]
