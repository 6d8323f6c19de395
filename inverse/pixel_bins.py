"""Which pixels belong to each 2θ channel, and how much of the scattering each of them sees.

A pixel belongs whole to the channel that its centre falls in: splitting pixels would correlate
neighbouring channels and spread an outlier over both. Its weight is

    w_i = ΔΩ_i · P_i · flat_i · ε_i

with ΔΩ_i = A cos³α_i/L² its solid angle (sr), P_i = ½[1 + cos²2θ − p cos2χ sin²2θ] the polarisation
factor, flat_i its relative response and ε_i the absorption in the sensor at incidence α_i over that
at normal incidence, (1 − exp(−µt/cos α_i))/(1 − exp(−µt)). A count n_i over w_i is then photons per
steradian without polarisation. 2θ_i is pyFAI's, with its correction for the depth of absorption
where asked for: it moves a pixel inwards by the mean displacement there.

Source: PHYSICS 1, 4 and 6; Kieffer et al., J. Synchrotron Rad. 27 (2020) 558.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.integration import Integration
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, detector_plane

if TYPE_CHECKING:
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PixelBins:
    """The usable pixels, channel by channel, in the order of memory within each."""

    shape: tuple[int, int]
    """Rows and columns of a frame."""

    start: NDArray[np.int64]
    """Channel c holds the entries start[c] to start[c + 1], (channel + 1,)."""

    pixel: NDArray[np.int32]
    """Place in the flattened frame, (entry,)."""

    weight: NDArray[np.float32]
    """w_i, sr, (entry,)."""

    two_theta_rad: Floats
    """Centre of each channel, (channel,)."""

    channel_width_rad: float

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.start.size - 1

    @property
    def ring_factor(self) -> Floats:
        """2π sin 2θ, steradians of the ring per radian of 2θ, (channel,)."""
        return np.asarray(2.0 * np.pi * np.sin(self.two_theta_rad))

    @property
    def acceptance(self) -> Floats:
        """Σ w_i / (2π sin 2θ Δ2θ): the part of each ring that is seen, with polarisation.

        Shape (channel,). What :func:`xrdct.instrument.ring_acceptance` gives for a smooth detector,
        here of the pixels as they are: it jumps by the number of centres that a channel catches.
        """
        totals = np.bincount(
            np.repeat(np.arange(self.n_channels), np.diff(self.start)),
            weights=self.weight,
            minlength=self.n_channels,
        )
        return np.asarray(totals / (self.ring_factor * self.channel_width_rad))


def pyfai_integrator(
    geometry: Geometry, *, detector: Detector, beam: Beam, sensor_parallax: bool
) -> AzimuthalIntegrator:
    """Return pyFAI's integrator of the same geometry, with its sensor parallax where asked for."""
    from pyFAI.detectors import detector_factory
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    plane = detector_plane(geometry, detector)
    integrator = AzimuthalIntegrator(
        dist=plane.distance_m,
        poni1=plane.poni1_m,
        poni2=plane.poni2_m,
        rot1=plane.rot1_rad,
        rot2=plane.rot2_rad,
        rot3=plane.rot3_rad,
        detector=detector_factory(detector.name),
        wavelength=beam.wavelength_A * 1e-10,
    )
    if sensor_parallax:
        thickness_m = detector.sensor_um * 1e-6
        integrator.enable_parallax(True, sensor_material="CdTe", sensor_thickness=thickness_m)
    return integrator


def pixel_bins(
    geometry: Geometry,
    *,
    detector: Detector,
    beam: Beam,
    integration: Integration,
    mask: ArrayLike | None = None,
    flat: ArrayLike | None = None,
) -> PixelBins:
    """Return the pixels of every channel of ``geometry`` and their weights.

    ``mask`` (row, column) is true for pixels to leave out, besides those the detector's maker
    masks; ``flat`` (row, column) is each pixel's response, about 1; one that is not positive and
    finite leaves its pixel out. Raises InputError for arrays not of the detector's shape.
    """
    pyfai = pyfai_integrator(
        geometry, detector=detector, beam=beam, sensor_parallax=integration.sensor_parallax
    )
    two_theta = np.asarray(pyfai.center_array(unit="2th_rad", scale=False), dtype=np.float64)
    weight = _weights(pyfai, detector=detector, beam=beam, integration=integration)
    usable = detector.live.copy()
    if mask is not None:
        usable &= ~_of_shape(mask, detector.shape, name="mask").astype(bool)
    if flat is not None:
        response = _of_shape(flat, detector.shape, name="flat").astype(np.float64)
        good = np.isfinite(response) & (response > 0.0)
        usable &= good
        if integration.use_flat:
            weight *= np.where(good, response, 1.0)
    return _sorted_bins(two_theta, weight, usable, geometry)


def _of_shape(array: ArrayLike, shape: tuple[int, int], *, name: str) -> NDArray[np.generic]:
    values = np.asarray(array)
    if values.shape != shape:
        raise InputError(f"{name} must have the detector's shape {shape}, not {values.shape}.")
    return values


def _weights(
    pyfai: AzimuthalIntegrator, *, detector: Detector, beam: Beam, integration: Integration
) -> Floats:
    """Return ΔΩ·P·ε of every pixel, (row, column)."""
    relative = np.asarray(pyfai.solidAngleArray(detector.shape), dtype=np.float64)
    area_sr = pyfai.detector.pixel1 * pyfai.detector.pixel2 / pyfai.dist**2
    weight = area_sr * (relative if integration.solid_angle else np.ones_like(relative))
    if integration.polarisation:
        weight *= pyfai.polarization(detector.shape, factor=beam.polarisation)
    if integration.sensor_absorption:
        depth = _sensor_depth(detector, beam)
        weight *= np.expm1(-depth / np.cbrt(relative)) / np.expm1(-depth)
    return np.asarray(weight)


def _sensor_depth(detector: Detector, beam: Beam) -> float:
    """Return the sensor's thickness in absorption lengths, of CdTe by pyFAI's table."""
    from pyFAI.detectors.sensors import CdTe_MATERIAL

    per_m = float(CdTe_MATERIAL.mu(beam.energy_keV, unit="m"))
    return per_m * detector.sensor_um * 1e-6


def _sorted_bins(
    two_theta: Floats, weight: Floats, usable: NDArray[np.bool_], geometry: Geometry
) -> PixelBins:
    """Return the entries sorted by channel and, within each, by place in memory.

    Neighbouring channels then read the same lines of the frame one after the other, while these
    are still in cache.
    """
    first = np.deg2rad(geometry.two_theta_min_deg)
    channel = np.floor((two_theta - first) / geometry.channel_width_rad)
    usable = usable & (channel >= 0) & (channel < geometry.n_channels)
    pixel = np.flatnonzero(usable)
    own = channel.ravel()[pixel].astype(np.int32)
    order = np.argsort(own, kind="stable")
    start = np.searchsorted(own[order], np.arange(geometry.n_channels + 1))
    pixel = pixel[order]
    rows, columns = two_theta.shape
    return PixelBins(
        shape=(rows, columns),
        start=start.astype(np.int64),
        pixel=pixel.astype(np.int32),
        weight=weight.ravel()[pixel].astype(np.float32),
        two_theta_rad=geometry.two_theta_rad,
        channel_width_rad=geometry.channel_width_rad,
    )
