"""A diffraction sinogram: normalised line integrals of a whole scan, with their variance.

    value = Σ over the ray of  volume fraction · µm · pattern of the pure phase (1/µm/rad)

that is, counts divided by the photons behind the sample, by detector efficiency, by the share of
the ring that is seen and by the channel's width (:mod:`inverse.model` draws the same patterns).
Every step between raw scan and reconstruction takes a sinogram and returns one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.instrument import ring_acceptance
from xrdct.rawfile import RawScan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_SMALLEST_ACCEPTANCE = 0.02
"""Channels of which less of the ring is seen are left out: corners of the detector."""

_SMALLEST_TRANSMISSION = 1e-4


@dataclass(frozen=True, eq=False)
class Sinogram:
    """Line integrals on uniform offsets; a channel that was not measured is NaN in every ray."""

    values: Singles
    """Shape (angle, offset, channel), in 1/rad."""
    variance: Singles
    """Of each value, same shape; rays are independent."""
    transmission: Floats
    """Photons behind the sample over incident ones, shape (angle, offset)."""
    angles_rad: Floats
    """Rotation of each projection, shape (angle,)."""
    step_um: float
    """Distance of the offsets, which are centred: t_i = (i − (n − 1)/2)·step."""
    axis_offset_um: float
    """Where the rotation axis is seen on the scale of the offsets."""
    two_theta_rad: Floats
    """Centre of each channel, shape (channel,)."""
    distance_m: float
    """From the rotation axis to the detector."""

    @property
    def offsets_um(self) -> Floats:
        """Offset of each ray of a projection, shape (offset,)."""
        n_offsets = self.values.shape[1]
        return np.asarray((np.arange(n_offsets) - 0.5 * (n_offsets - 1)) * self.step_um)

    @property
    def measured_channels(self) -> NDArray[np.bool_]:
        """Which channels hold numbers, shape (channel,)."""
        return np.asarray(np.isfinite(self.values[0, 0]))


def gains(raw: RawScan) -> tuple[Floats, Floats]:
    """Return what turns counts into line integrals, per ray and per channel.

    A ray's counts are divided by the photons behind the sample (incident photons times
    transmission, shape (angle, offset)); a channel's by efficiency, acceptance and width (shape
    (channel,), zero where too little of the ring is seen or nothing was measured).
    """
    acceptance = ring_acceptance(
        raw.geometry, detector=raw.detector, polarisation=raw.beam.polarisation
    )
    seen = (acceptance > _SMALLEST_ACCEPTANCE) & np.isfinite(raw.counts[0, 0])
    width = raw.geometry.channel_width_rad
    scale = np.where(seen, raw.detector.efficiency * acceptance * width, 1.0)
    return 1.0 / np.maximum(raw.transmitted, 1.0), np.where(seen, 1.0 / scale, 0.0)


def sinogram_of(raw: RawScan, *, distance_m: float | None = None) -> Sinogram:
    """Return the sinogram of a raw scan at its set-points, normalised and otherwise untouched.

    ``distance_m`` is the calibrated distance to the detector, by default the nominal one.
    """
    per_ray, per_channel = gains(raw)
    used = per_channel > 0.0
    gain = (per_ray[:, :, None].astype(np.float32)) * per_channel.astype(np.float32)
    values = raw.counts.astype(np.float32)
    values *= gain
    values[..., ~used] = np.nan
    variance = (raw.counts if raw.variance is None else raw.variance).astype(np.float32)
    variance *= gain
    variance *= gain
    variance[..., ~used] = np.nan
    incident = np.maximum(raw.monitor, 1.0)
    return Sinogram(
        values=values,
        variance=variance,
        transmission=np.maximum(raw.transmitted / incident, _SMALLEST_TRANSMISSION),
        angles_rad=raw.scan.angles_rad,
        step_um=raw.scan.step_um,
        axis_offset_um=0.0,
        two_theta_rad=raw.geometry.two_theta_rad,
        distance_m=distance_m or raw.geometry.distance_m,
    )
