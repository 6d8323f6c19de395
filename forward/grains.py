"""How many crystallites make a powder ring, exposure by exposure.

A crystallite shows a line of multiplicity m when one of its m plane normals lies within Δω/2 of
the reflecting cone, whose half-angle is 90° − θ: a band of 2π cosθ·Δω of the sphere's 4π. Of
V/v crystallites, each of volume v, the whole ring therefore shows on average

    M = (V / v) · m · cosθ · Δω / 2 .

Rocking curves have no edges: with a Gaussian one some grains shine brightly and many faintly. As
with the beam below, the width Δω that gives the right variance is 2√π σ, 1.505 of the FWHM. That is
the beam's divergence, the turn tanθ·ΔE/E that its bandwidth allows, the mosaic of the crystallites,
and the width K d/L of the reflection of a crystallite of size L (K = 0.9; 2 mrad for 0.2 µm and
4.8 Å), in quadrature. V is the path times the beam's effective area.
Grains anywhere in a beam of profile I(x, y) with ∫I = 1 contribute as I, so that a signal of mean
n L has the variance n L ∫I², n being their number density and L the path. As many equal grains as
give the same relative variance are n L / ∫I²: the area is 1/∫I² = 4π σ_x σ_y for a Gaussian.

The number in one exposure is Poisson(M). Exposures are independent of each other, which holds
while grains are smaller than the step of the scan and Δω is below its angular step. Grains with
distinct lattice parameters (material states) are independent too. All grains of a state are equal.

Source: PHYSICS 5; Klug & Alexander, X-Ray Diffraction Procedures (1974), ch. 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.special import ndtr

from forward.philox import Words
from forward.poisson import LARGEST_MEAN, draw_poisson
from xrdct.instrument import Beam
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.spec import Spec

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STAGE = 5
"""Stage of the random stream that grains draw from; its row 0 counts them."""

_SCHERRER_CONSTANT = 0.9
_PARTICIPATION = 2.0 * np.sqrt(np.pi) / FWHM_PER_SIGMA
"""Effective width of a Gaussian over its FWHM."""


class Grains(Spec):
    """What the spots of a ring look like, besides the size of the crystallites."""

    mosaic_mrad: float = Field(0.0, ge=0.0, le=100.0)
    """FWHM of the orientations within a crystallite."""
    spot_fwhm_px: float = Field(1.5, ge=0.3, le=20.0)
    """FWHM of a spot along the ring, in pixels, before the pixel itself blurs it."""
    dense_per_pixel: float = Field(5.0, gt=0.0)
    """Spots per pixel of a ring from which on it is drawn smooth, with a random total."""


def beam_area_um2(beam: Beam) -> float:
    """Return the effective area 4π σ_x σ_y of a Gaussian beam (see the module's text)."""
    return float(4.0 * np.pi * beam.width_um * beam.height_um / FWHM_PER_SIGMA**2)


def acceptance_rad(theta_rad: ArrayLike, *, grain_um: float, beam: Beam, grains: Grains) -> Floats:
    """Return the effective acceptance Δω at Bragg angles θ (any shape)."""
    theta = np.asarray(theta_rad, dtype=float)
    size = _SCHERRER_CONSTANT * beam.wavelength_A / (2.0 * np.sin(theta) * grain_um * 1e4)
    dispersion = np.tan(theta) * beam.bandwidth
    other = np.hypot(beam.divergence_mrad, grains.mosaic_mrad) * 1e-3
    return np.asarray(_PARTICIPATION * np.sqrt(size**2 + dispersion**2 + other**2))


def grains_per_um3(
    grain_um: float, *, multiplicity: float, theta_rad: ArrayLike, acceptance_rad: ArrayLike
) -> Floats:
    """Return the mean number of diffracting grains in 1 µm³ of solid.

    ``grain_um`` is the diameter of spherical grains; the shape that of ``theta_rad``.
    """
    share = 0.5 * multiplicity * np.cos(theta_rad) * np.asarray(acceptance_rad)
    return np.asarray(share / (np.pi / 6.0 * grain_um**3))


def spot_profile_per_px(distance_px: ArrayLike, *, fwhm_px: float) -> Floats:
    """Return a spot's share of a pixel at a distance along the ring: its mean over the pixel.

    A Gaussian of unit integral averaged over one pixel, Φ((t + ½)/σ) − Φ((t − ½)/σ).
    """
    t = np.asarray(distance_px, dtype=float)
    sigma = fwhm_px / FWHM_PER_SIGMA
    return np.asarray(ndtr((0.5 - np.abs(t)) / sigma) - ndtr((-0.5 - np.abs(t)) / sigma))


def spot_reach_px(fwhm_px: float) -> float:
    """Return the distance beyond which a spot has less than 10⁻³ of its photons."""
    return float(0.5 + 3.5 * fwhm_px / FWHM_PER_SIGMA)


def grain_counts(mean: Singles, key: Words, *, first_frame: int = 0) -> Singles:
    """Return numbers of grains, Poisson(M), of the shape of ``mean``: (ray, …).

    All axes but the first number the rings, in C order. Rays count on from ``first_frame``; the
    same rings in the same frame have the same grains under the same key. Where M is too large for
    its fluctuations to show (10⁹), the number is M itself.
    """
    rings = np.ascontiguousarray(mean, np.float32).reshape(mean.shape[0], -1)
    many = rings > LARGEST_MEAN
    drawn = np.empty((1, rings.shape[1]), np.int32)
    counts = np.empty(rings.shape, np.float32)
    for ray, means in enumerate(np.where(many, np.float32(0.0), rings)):
        draw_poisson(means[None, :], key=key, frame=first_frame + ray, stage=STAGE, out=drawn)
        counts[ray] = drawn[0]
    counts[many] = rings[many]
    return counts.reshape(mean.shape)
