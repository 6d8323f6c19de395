"""Sample parallax: material displaced by s towards the detector makes smaller rings.

A ring of Bragg angle 2θ from a point s closer to the detector has radius (D − s) tan 2θ, so at the
nominal distance D it appears shifted by

    δ2θ = −(s/D) sin 2θ cos 2θ            (exact to second order in s/D, which is below 1e-6)

while scaling the cell by exp(ε) shifts it by −2ε tan θ. The two agree for ε = κ s/D with
κ = cos²θ cos 2θ, which changes by a few per cent over a pattern. So parallax is, to all orders
that matter, a shift of the material along its own state axis by κ̄ s/D (κ̄ a middle value), plus
a residual of a few per cent of it, carried to first order by the moment Σ s·L of each state.

Source: PHYSICS 4; the relation δd/d = (s/D) cos²θ cos 2θ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ring_shift_rad(
    two_theta_rad: ArrayLike, *, displacement_um: ArrayLike, distance_m: float
) -> NDArray[np.float64]:
    """Return the exact shift in 2θ, atan((1 − s/D) tan 2θ) − 2θ, for s towards the detector."""
    two_theta = np.asarray(two_theta_rad, dtype=float)
    closer = 1.0 - np.asarray(displacement_um) * 1e-6 / distance_m
    return np.asarray(np.arctan(closer * np.tan(two_theta)) - two_theta)


def mean_scaling(two_theta_rad: NDArray[np.float64]) -> float:
    """Return κ̄, the mean of κ = cos²θ cos 2θ over the channels of a pattern."""
    return float(np.mean(np.cos(0.5 * two_theta_rad) ** 2 * np.cos(two_theta_rad)))


def residual_shift_per_um(
    two_theta_rad: NDArray[np.float64], *, distance_m: float, scaling: float
) -> NDArray[np.float64]:
    """Return the shift in 2θ per µm of displacement that scaling the cell leaves over, rad/µm."""
    exact = np.sin(two_theta_rad) * np.cos(two_theta_rad)
    scaled = 2.0 * scaling * np.tan(0.5 * two_theta_rad)
    return -(exact - scaled) * 1e-6 / distance_m
