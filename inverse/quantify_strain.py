"""Strain and crystallite size from broadening, between the conventions in which they are stated.

Here a strain e0 broadens a line at 2θ to a FWHM of 4 e0 tanθ, and a size L by Scherrer's formula
with the FWHM and K = 0.9 (:mod:`inverse.profile`). Others state

    apparent strain      η = β cotθ, with the integral breadth β  (Stokes & Wilson)
    rms strain           ⟨(Δd/d)²⟩^½ of a Gaussian distribution of spacings; Γ = 2 tanθ·FWHM(Δd/d)
    volume-weighted size L_V = λ/(β cosθ), the mean length of columns;  a sphere has 4/3 of it as
                         diameter

β is √(π/4 ln2)·FWHM for a Gaussian line and π/2·FWHM for a Lorentzian one. All are proportional, so
an esd is converted like a value.

What a fit determines is the square of a strain, in which widths are linear. Its error is nearly
normal, that of e0 is not where e0 is not much larger than it.

Source: Stokes & Wilson, Proc. Phys. Soc. 56 (1944) 174; Langford & Wilson, J. Appl. Cryst. 11
(1978) 102.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from xrdct.errors import InputError
from xrdct.normal import FWHM_PER_SIGMA

Floats = NDArray[np.float64]
Shape = Literal["gaussian", "lorentzian"]

_SCHERRER_CONSTANT = 0.9
_BREADTH_PER_FWHM = {"gaussian": float(np.sqrt(np.pi / np.log(16.0))), "lorentzian": np.pi / 2.0}


@dataclass(frozen=True, eq=False)
class StrainRange:
    """A strain with its uncertainty, all of one shape."""

    strain: Floats
    """e0 ≥ 0; zero where the fitted square is negative."""
    esd: Floats
    """Half the width of the interval to which one esd about max(e0², 0) maps."""
    upper: Floats
    """Below which e0 lies with the stated confidence."""


def strain_from_square(square: Floats, *, esd: Floats, confidence: float = 0.95) -> StrainRange:
    """Return e0 from a fitted e0² and its esd, which may be larger than the value.

    The upper limit is √(max(e0², 0) + z·esd) with z the one-sided normal quantile: of at least the
    stated confidence, whatever the square. Raises InputError for a confidence outside ½ to 1.
    """
    if not 0.5 < confidence < 1.0:
        raise InputError(f"a confidence must lie between 0.5 and 1, not {confidence:g}")
    positive = np.maximum(square, 0.0)
    low, high = np.maximum(positive - esd, 0.0), positive + esd
    return StrainRange(
        strain=np.sqrt(positive),
        esd=0.5 * (np.sqrt(high) - np.sqrt(low)),
        upper=np.sqrt(positive + ndtri(confidence) * esd),
    )


def strain_of_width(fwhm_rad: Floats, *, two_theta_rad: Floats) -> Floats:
    """Return e0 = FWHM/(4 tanθ) of the sample's part of a line's width."""
    return np.asarray(fwhm_rad / (4.0 * np.tan(0.5 * np.asarray(two_theta_rad))))


def rms_strain(strain: Floats) -> Floats:
    """Return the rms of Δd/d of e0 with Gaussian broadening: 2 e0 is the FWHM of Δd/d."""
    return np.asarray(2.0 * np.asarray(strain) / FWHM_PER_SIGMA)


def apparent_strain(strain: Floats, *, shape: Shape) -> Floats:
    """Return Stokes and Wilson's η = β cotθ of e0; a quarter of it is their maximum strain."""
    return np.asarray(4.0 * _BREADTH_PER_FWHM[shape] * np.asarray(strain))


def volume_weighted_size_nm(crystallite_size_nm: Floats, *, shape: Shape) -> Floats:
    """Return L_V = λ/(β cosθ) of a Scherrer size, nm."""
    return np.asarray(
        np.asarray(crystallite_size_nm) / (_SCHERRER_CONSTANT * _BREADTH_PER_FWHM[shape])
    )


def sphere_diameter_nm(crystallite_size_nm: Floats, *, shape: Shape) -> Floats:
    """Return the diameter of equal spheres that broaden like a Scherrer size, 4/3 L_V, nm."""
    return volume_weighted_size_nm(crystallite_size_nm, shape=shape) * 4.0 / 3.0
