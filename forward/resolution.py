"""Physical widths of a powder ring in 2θ.

Gaussian contributions add in quadrature (FWHM, rad):
  bandwidth    2 tanθ · ΔE/E
  divergence   the convergence angle itself
  spot         beam height or width over the distance (seen along the ring's radius)
  strain       4 e0 tanθ
Lorentzian: crystallite size, K λ / (L cosθ) with K = 0.9 (Scherrer).
The pixel is a box of one pixel over the distance, foreshortened by cos²2θ. A photon that enters the
sensor obliquely stops a path ℓ into it, ℓ sin2θ further out: an exponential displacement in 2θ of
scale sin2θ cos²2θ/(µD).

Source: PHYSICS 9; Warren, X-ray Diffraction (1969), ch. 13; Thompson, Cox & Hastings (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.instrument import Beam
from xrdct.normal import FWHM_PER_SIGMA

SCHERRER_CONSTANT = 0.9


@dataclass(frozen=True)
class Sensor:
    """What stops the photons."""

    attenuation_per_um: float
    thickness_um: float


@dataclass(frozen=True, eq=False)
class RingWidths:
    """Widths of rings at given 2θ, each of the shape of 2θ."""

    gaussian_sigma_rad: NDArray[np.float64]
    lorentzian_hwhm_rad: NDArray[np.float64]
    pixel_rad: NDArray[np.float64]
    """Full width of the box that a pixel is."""
    sensor_scale_rad: NDArray[np.float64]
    """Scale of the exponential displacement in the sensor; zero without."""
    sensor_lengths: float
    """Thickness of the sensor in absorption lengths, where the exponential is cut off."""

    @property
    def fwhm_rad(self) -> NDArray[np.float64]:
        """Full width of the line as recorded, within a few per cent.

        Gaussian, box and depth add in quadrature, the Lorentzian as in a Voigt function (Olivero &
        Longbothum, 1977).
        """
        square = self.gaussian_sigma_rad**2 + self.pixel_rad**2 / 12.0 + self.sensor_scale_rad**2
        lorentzian = 2.0 * self.lorentzian_hwhm_rad
        return np.asarray(
            0.5346 * lorentzian + np.sqrt(0.2166 * lorentzian**2 + FWHM_PER_SIGMA**2 * square)
        )

    @property
    def sensor_mean_rad(self) -> NDArray[np.float64]:
        """Mean of that displacement."""
        y = self.sensor_lengths
        return np.asarray(self.sensor_scale_rad * (1.0 - y * np.exp(-y) / -np.expm1(-y)))


def ring_widths(
    two_theta_rad: NDArray[np.float64],
    *,
    beam: Beam,
    distance_m: float,
    pixel_um: float,
    crystallite_size_nm: float,
    strain: float,
    sensor: Sensor | None = None,
) -> RingWidths:
    """Return the widths of rings at ``two_theta_rad`` (any shape); no depth without ``sensor``."""
    tan_theta = np.tan(0.5 * two_theta_rad)
    distance_um = distance_m * 1e6
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
        gaussian_sigma_rad=np.sqrt(squares) / FWHM_PER_SIGMA,
        lorentzian_hwhm_rad=0.5 * lorentzian_fwhm,
        pixel_rad=pixel_um / distance_um * foreshortening,
        sensor_scale_rad=np.sin(two_theta_rad)
        * foreshortening
        / (distance_um * (sensor.attenuation_per_um if sensor else np.inf)),
        sensor_lengths=sensor.attenuation_per_um * sensor.thickness_um if sensor else 1.0,
    )
