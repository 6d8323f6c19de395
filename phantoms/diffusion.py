"""Diffusion of lithium in a sphere whose surface takes up a constant current, switched on and off.

    ∂x/∂t = D (1/r²) ∂/∂r (r² ∂x/∂r),   D ∂x/∂r = J at r = R,   ∂x/∂r = 0 at r = 0

A mean content that rises at the rate v, 1/s, needs J = v R/3. From a uniform start, at ρ = r/R and
τ = D t/R² (Crank, *The Mathematics of Diffusion*, 2nd ed., eq. 6.45):

    x(ρ, t) − x_0 = v t + (v R² / 3D) s(ρ, τ)
    s = ρ²/2 − 3/10 − 2 Σ_n sin(α_n ρ) / (ρ α_n² sin α_n) · exp(−α_n² τ),   α_n cot α_n = 1

The mean of s over the sphere vanishes. The equation is linear, so currents that are switched on and
off are superposed: each is one that flows for ever, less the same one from when it ends.

D is constant: two-phase windows, in which a real particle has a moving front, are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from phantoms.particle import RadialTable
from xrdct.errors import InputError
from xrdct.spec import Spec

Array: TypeAlias = NDArray[np.float64]

MAX_TERMS = 4000
"""Terms of the series. Cut off there its remainder is below 2/(π² · 4000) = 5e-5."""

_NEGLIGIBLE_EXPONENT = 40.0  # exp(−40) = 4e-18 is below rounding
_SMALLEST_RHO = 1e-6  # sin(α ρ)/ρ is α there to (α ρ)²/6: below rounding for the terms that count
_ROOT_STEPS = 60


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
    flows = tau > 0.0
    response = np.where(flows, 0.5 * rho**2 - 0.3, 0.0)
    if not flows.any():
        return response
    rho = np.maximum(rho, _SMALLEST_RHO)
    later = np.where(flows, tau, np.inf)
    first = float(later.min())
    n_terms = math.ceil(math.sqrt(_NEGLIGIBLE_EXPONENT / first) / math.pi) + 1
    for root in _roots(min(n_terms, MAX_TERMS)):
        scale = 2.0 / (root**2 * math.sin(root))
        response -= scale * np.sin(root * rho) / rho * np.exp(-(root**2) * later)
    return np.asarray(response)


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


def mean_content(*, time_s: float, start: float, spans: Sequence[CurrentSpan]) -> float:
    """Return the mean content of the sphere at ``time_s``, by conservation."""
    flowed_s = [max(0.0, min(time_s, span.stop_s) - span.start_s) for span in spans]
    rates = (span.rate_per_h / 3600.0 for span in spans)
    return start + sum(rate * t for rate, t in zip(rates, flowed_s, strict=True))


def content_table(
    *,
    time_s: float,
    start: float,
    radius_um: float,
    diffusivity_um2_per_s: float,
    spans: Sequence[CurrentSpan],
    n_nodes: int = 33,
) -> RadialTable:
    """Return x(r, t) as a table over the relative radius."""
    if n_nodes < 2:
        raise InputError(f"a table needs at least two nodes, got {n_nodes}")
    rho = np.linspace(0.0, 1.0, n_nodes)
    values = mean_content(time_s=time_s, start=start, spans=spans) + deviation(
        rho, time_s=time_s, radius_um=radius_um, diffusivity_um2_per_s=diffusivity_um2_per_s,
        spans=spans,
    )  # fmt: skip
    return RadialTable(r_over_R=tuple(rho.tolist()), value=tuple(values.tolist()))


def _roots(count: int) -> list[float]:
    """Return the first positive roots of tan α = α: α = nπ + arctan α, a contraction."""
    n_pi = math.pi * np.arange(1, count + 1)
    root = n_pi + 0.5 * math.pi
    for _ in range(_ROOT_STEPS):
        root = n_pi + np.arctan(root)
    return [float(value) for value in root]
