"""Physical widths of a powder ring in 2θ.

Gaussian contributions add in quadrature (FWHM, rad):
  bandwidth    2 tanθ · ΔE/E
  divergence   the convergence angle itself
  spot         beam height or width over the distance (seen along the ring's radius)
  strain       4 e0 tanθ
Lorentzian: crystallite size, K λ / (L cosθ) with K = 0.9 (Scherrer).
The pixel is a box of one pixel over the distance, foreshortened by cos²2θ.

Source: PHYSICS 9; Warren, X-ray Diffraction (1969), ch. 13; Thompson, Cox & Hastings (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.instrument import Beam, Geometry

SCHERRER_CONSTANT = 0.9
_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclass(frozen=True, eq=False)
class RingWidths:
    """Widths of rings at given 2θ, each of the shape of 2θ."""

    gaussian_sigma_rad: NDArray[np.float64]
    lorentzian_hwhm_rad: NDArray[np.float64]
    pixel_rad: NDArray[np.float64]
    """Full width of the box that a pixel is."""


def ring_widths(
    two_theta_rad: NDArray[np.float64],
    *,
    beam: Beam,
    geometry: Geometry,
    pixel_um: float,
    crystallite_size_nm: float,
    strain: float,
) -> RingWidths:
    """Return the widths of rings at ``two_theta_rad`` (any shape)."""
    tan_theta = np.tan(0.5 * two_theta_rad)
    distance_um = geometry.distance_m * 1e6
    foreshortening = np.cos(two_theta_rad) ** 2
    spot_rad = np.hypot(beam.width_um, beam.height_um) / np.sqrt(2.0) / distance_um
    squares = (
        (2.0 * tan_theta * beam.bandwidth) ** 2
        + (beam.divergence_mrad * 1e-3) ** 2
        + (spot_rad * foreshortening) ** 2
        + (4.0 * strain * tan_theta) ** 2
    )
    size_A = crystallite_size_nm * 10.0
    lorentzian_fwhm = SCHERRER_CONSTANT * beam.wavelength_A / (size_A * np.cos(0.5 * two_theta_rad))
    return RingWidths(
        gaussian_sigma_rad=np.sqrt(squares) / _FWHM_PER_SIGMA,
        lorentzian_hwhm_rad=0.5 * lorentzian_fwhm,
        pixel_rad=pixel_um / distance_um * foreshortening,
    )
