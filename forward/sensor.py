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
