"""The CdTe sensor of the detector: where along its path a photon is absorbed, and what follows.

A photon that enters at angle α from the normal may travel t/cos α in a sensor of thickness t. The
path ℓ to where it is absorbed follows the truncated exponential law

    p(ℓ) = µ exp(−µℓ) / (1 − exp(−T)),    0 ≤ ℓ ≤ t/cos α,    T = µt/cos α,

with µ the total attenuation coefficient. Three things follow: slanted photons are absorbed a little
more often; they count ℓ sin α further out on the sensor than where they entered (sensor parallax);
and, as ℓ differs from photon to photon, rings become wider and skew.

The displacement has mean sin α/µ · (1 − T/(eᵀ − 1)) and variance sin² α/µ² · (1 − T² eᵀ/(eᵀ − 1)²):
for thick sensors those of the exponential law, sin α/µ and its square. In terms of the ring's
radius r = D tan α, the mean is δr/r = cos α/(µD): +2.6e-4 at 50 keV and D = 0.6 m.

Source: PHYSICS 4, Beer–Lambert law; µ from xraylib.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdct.attenuation import linear_attenuation_per_um
from xrdct.errors import InputError

SENSOR_FORMULA = {"Cd": 1.0, "Te": 1.0}
SENSOR_DENSITY_G_PER_CM3 = 5.85

_DISCRETE_NODES = 200
_DEEPEST = 100.0
"""Optical depth beyond which nothing is left: x³¹ exp(−x)/31!, of 16 nodes, is 5e-16 there."""


def attenuation_per_um(energy_keV: float) -> float:
    """Return µ of CdTe in 1/µm: photoelectric absorption and scattering (1/µ = 160 µm at 50 keV).

    `InputError` outside 1–500 keV. Source: xraylib, 5.85 g/cm³.
    """
    return linear_attenuation_per_um(
        SENSOR_FORMULA, energy_keV=energy_keV, density_g_per_cm3=SENSOR_DENSITY_G_PER_CM3
    )


def absorbed_fraction(
    incidence_rad: ArrayLike, *, energy_keV: float, sensor_um: float
) -> NDArray[np.float64]:
    """Return 1 − exp(−µt/cos α), the fraction of photons that do not pass; shape of the input."""
    return np.asarray(-np.expm1(-_optical_depth(incidence_rad, energy_keV, sensor_um)))


def relative_efficiency(
    incidence_rad: ArrayLike, *, energy_keV: float, sensor_um: float
) -> NDArray[np.float64]:
    """Return the quantum efficiency at incidence α over that at normal incidence (at least 1)."""
    slanted = absorbed_fraction(incidence_rad, energy_keV=energy_keV, sensor_um=sensor_um)
    return np.asarray(slanted / absorbed_fraction(0.0, energy_keV=energy_keV, sensor_um=sensor_um))


def mean_path_um(*, energy_keV: float, sensor_um: float, incidence_rad: float = 0.0) -> float:
    """Return the mean path to where a photon is absorbed, µm: its mean depth for α = 0."""
    depth = float(_optical_depth(incidence_rad, energy_keV, sensor_um))
    return (1.0 - depth * math.exp(-depth) / -math.expm1(-depth)) / attenuation_per_um(energy_keV)


def parallax_mean_um(
    incidence_rad: ArrayLike, *, energy_keV: float, sensor_um: float
) -> NDArray[np.float64]:
    """Return the mean outward displacement on the sensor, µm (see the module's text)."""
    depth = _optical_depth(incidence_rad, energy_keV, sensor_um)
    with np.errstate(over="ignore"):
        cut = depth / np.expm1(depth)
    return np.asarray(np.sin(incidence_rad) / attenuation_per_um(energy_keV) * (1.0 - cut))


def parallax_variance_um2(
    incidence_rad: ArrayLike, *, energy_keV: float, sensor_um: float
) -> NDArray[np.float64]:
    """Return the variance of the displacement on the sensor, µm²."""
    depth = _optical_depth(incidence_rad, energy_keV, sensor_um)
    with np.errstate(over="ignore"):
        cut = (0.5 * depth / np.sinh(0.5 * depth)) ** 2
    return np.asarray((np.sin(incidence_rad) / attenuation_per_um(energy_keV)) ** 2 * (1.0 - cut))


def parallax_nodes(
    n: int, *, energy_keV: float, sensor_um: float, incidence_rad: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``n`` paths ℓ (µm, ascending) and weights (sum 1) that stand for the law of ℓ.

    They are the Gauss quadrature of the truncated exponential: Σ w f(ℓ) is exact for polynomials
    up to degree 2n − 1, so that shifting a pattern by each ℓ sin α and adding up reproduces the
    mean, variance and skewness of the displacement from n = 2 on. For a thick sensor they are the
    nodes of Gauss–Laguerre. `InputError` unless 1 ≤ n ≤ 16.

    Source: orthogonal polynomials by the Stieltjes recurrence on a fine Gauss–Legendre grid, nodes
    and weights from the Jacobi matrix (Golub & Welsch, Math. Comp. 23 (1969) 221).
    """
    if not 1 <= n <= 16:
        raise InputError(f"the number of parallax nodes must lie within 1–16: got {n}")
    reach = min(float(_optical_depth(incidence_rad, energy_keV, sensor_um)), _DEEPEST)
    x, weight = np.polynomial.legendre.leggauss(_DISCRETE_NODES)
    x = 0.5 * reach * (x + 1.0)
    weight = weight * np.exp(-x)
    weight /= weight.sum()
    diagonal, off_diagonal = np.zeros(n), np.zeros(n)
    below, polynomial = np.zeros_like(x), np.ones_like(x)
    for k in range(n):
        diagonal[k] = np.sum(weight * x * polynomial**2)
        above = (x - diagonal[k]) * polynomial - off_diagonal[k - 1] * below
        norm = np.sqrt(np.sum(weight * above**2))
        off_diagonal[k] = norm
        below, polynomial = polynomial, above / norm
    between = off_diagonal[: n - 1]
    jacobi = np.diag(diagonal) + np.diag(between, 1) + np.diag(between, -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes / attenuation_per_um(energy_keV), vectors[0] ** 2


def _optical_depth(
    incidence_rad: ArrayLike, energy_keV: float, sensor_um: float
) -> NDArray[np.float64]:
    """Return T = µt/cos α; `InputError` for a sensor without thickness or a grazing photon."""
    if not 0.0 < sensor_um < np.inf:
        raise InputError(f"sensor_um must be positive: got {sensor_um:g}")
    cosine = np.cos(np.asarray(incidence_rad, dtype=float))
    if not np.all(cosine > 0.0):
        raise InputError(
            f"photons must enter the sensor from the front: got cos α = {np.min(cosine):g}"
        )
    return np.asarray(attenuation_per_um(energy_keV) * sensor_um / cosine)
