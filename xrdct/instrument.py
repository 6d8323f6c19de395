"""The beamline: Beam, Detector and Geometry, and what of a ring the detector sees.

The detector is flat; where it stands, :mod:`xrdct.plane` says. Untilted, it shows a ring of Bragg
angle θ at radius r = D tan 2θ, at azimuth χ measured from the horizontal. Polarisation is
horizontal.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from xrdct.compiled import threaded
from xrdct.conversion import wavelength_A
from xrdct.errors import InputError
from xrdct.pilatus_modules import PIXEL_M, pilatus_live, pilatus_shape
from xrdct.plane import Plane, place_m
from xrdct.scattering import polarisation_factor
from xrdct.spec import Spec

if TYPE_CHECKING:
    from pyFAI.detectors import Detector as PyfaiDetector

_AZIMUTHS = 4096
_RADII_PER_CHANNEL = 4


class Beam(Spec):
    """A focused monochromatic beam with Gaussian profile in every sense.

    ``bandwidth`` is ΔE/E, ``divergence_mrad`` the convergence towards the focus, both FWHM.
    ``width_um`` and ``height_um`` are the FWHM at the sample, across and along the rotation axis.
    """

    energy_keV: float = Field(50.0, ge=5.0, le=200.0)
    flux_per_s: float = Field(1e11, gt=0.0, le=1e16)
    bandwidth: float = Field(5e-4, ge=0.0, le=0.05)
    divergence_mrad: float = Field(0.3, ge=0.0, le=10.0)
    width_um: float = Field(1.0, gt=0.0, le=1000.0)
    height_um: float = Field(1.0, gt=0.0, le=1000.0)
    polarisation: float = Field(0.98, ge=-1.0, le=1.0)

    @property
    def wavelength_A(self) -> float:
        """Wavelength λ = 12.398419843 / E[keV], in Å."""
        return float(wavelength_A(self.energy_keV))


class Detector(Spec):
    """A pixel detector known to pyFAI by ``name``, with its efficiency at the beam's energy.

    Photons are counted above ``threshold_keV``, in a CdTe sensor ``sensor_um`` thick.
    """

    name: str = "PilatusCdTe2M"
    efficiency: float = Field(0.85, gt=0.0, le=1.0)
    threshold_keV: float = Field(25.0, ge=4.0, le=100.0)
    sensor_um: float = Field(1000.0, gt=10.0, le=10_000.0)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        own = pilatus_shape(self.name)
        if own is not None:
            return own
        rows, columns = _pyfai_detector(self.name).max_shape
        return int(rows), int(columns)

    @property
    def live(self) -> NDArray[np.bool_]:
        """Pixels neither in a gap nor under the maker's mask, (row, column); read-only."""
        return _live_pixels(self.name)[0]

    @property
    def pixel_um(self) -> float:
        """Edge of a (square) pixel."""
        if pilatus_shape(self.name) is not None:
            return PIXEL_M * 1e6
        return float(_pyfai_detector(self.name).pixel1) * 1e6


class Geometry(Spec):
    """Where the detector stands, and the 2θ channels of the integrated pattern.

    ``distance_m`` is orthogonal to the detector; ``poni1_m`` (along rows) and ``poni2_m`` (along
    columns) are the foot of that perpendicular, the detector's middle where None; rot1 to rot3
    tilt it (:mod:`xrdct.plane`).
    """

    distance_m: float = Field(0.7, gt=0.01, le=20.0)
    poni1_m: float | None = Field(None, ge=-10.0, le=10.0)
    poni2_m: float | None = Field(None, ge=-10.0, le=10.0)
    rot1_rad: float = Field(0.0, ge=-1.0, le=1.0)
    rot2_rad: float = Field(0.0, ge=-1.0, le=1.0)
    rot3_rad: float = Field(0.0, ge=-np.pi, le=np.pi)
    two_theta_min_deg: float = Field(1.5, ge=0.0, lt=60.0)
    two_theta_max_deg: float = Field(14.5, gt=0.0, le=60.0)
    n_channels: int = Field(1024, ge=16, le=20_000)

    @model_validator(mode="after")
    def _ordered(self) -> Geometry:
        if self.two_theta_max_deg <= self.two_theta_min_deg:
            raise ValueError(
                f"two_theta_max_deg ({self.two_theta_max_deg}) must lie above "
                f"two_theta_min_deg ({self.two_theta_min_deg})"
            )
        return self

    @property
    def channel_width_rad(self) -> float:
        """Width of a channel in 2θ."""
        span = self.two_theta_max_deg - self.two_theta_min_deg
        return float(np.deg2rad(span / self.n_channels))

    @property
    def two_theta_rad(self) -> NDArray[np.float64]:
        """Centre of each channel, shape (channel,)."""
        start = float(np.deg2rad(self.two_theta_min_deg))
        return np.asarray(start + self.channel_width_rad * (np.arange(self.n_channels) + 0.5))


def detector_plane(geometry: Geometry, detector: Detector) -> Plane:
    """Return where the detector stands: upright about its middle unless said otherwise."""
    rows, columns = detector.shape
    pixel_m = detector.pixel_um * 1e-6
    return Plane(
        distance_m=geometry.distance_m,
        poni1_m=0.5 * rows * pixel_m if geometry.poni1_m is None else geometry.poni1_m,
        poni2_m=0.5 * columns * pixel_m if geometry.poni2_m is None else geometry.poni2_m,
        rot1_rad=geometry.rot1_rad,
        rot2_rad=geometry.rot2_rad,
        rot3_rad=geometry.rot3_rad,
    )


@lru_cache(maxsize=8)
def _pyfai_detector(name: str) -> PyfaiDetector:
    from pyFAI.detectors import ALL_DETECTORS, detector_factory

    known = ALL_DETECTORS.get(name.lower())
    if known is None or getattr(known, "MAX_SHAPE", None) is None:  # "detector" has no shape
        raise InputError(f"detector.name: pyFAI knows no detector named {name!r}")
    return detector_factory(name)


@lru_cache(maxsize=8)
def _live_pixels(name: str) -> tuple[NDArray[np.bool_], float, float]:
    live, edges_m = pilatus_live(name), (PIXEL_M, PIXEL_M)
    if live is None:
        detector = _pyfai_detector(name)
        mask = detector.calc_mask()
        live = np.ones(detector.max_shape, bool) if mask is None else mask == 0
        edges_m = float(detector.pixel1), float(detector.pixel2)
    live.flags.writeable = False
    return live, *edges_m


@lru_cache(maxsize=16)
def ring_acceptance(
    geometry: Geometry, *, detector: Detector, polarisation: float
) -> NDArray[np.float64]:
    """Return how much of each channel's ring is detected, shape (channel,).

    The fraction of the azimuth that lands on live pixels, weighted with the polarisation factor
    P(2θ, χ): (1/2π) ∫ live(χ) P(2θ, χ) dχ, averaged over the channel. A whole ring gives
    ½(1 + cos²2θ). Multiply by efficiency, ring power, path and photons to get counts.

    The array is shared between calls and read-only. The integral is a sum over 4096 azimuths, one
    for every one or two pixels of the largest rings on a 2M detector.

    Source: PHYSICS 1, with ΔΩ summed over the pixels of a ring.
    """
    chi = (np.arange(_AZIMUTHS, dtype=np.float64) + 0.5) * (2.0 * np.pi / _AZIMUTHS)
    fractions = (np.arange(_RADII_PER_CHANNEL) + 0.5) / _RADII_PER_CHANNEL - 0.5
    acceptance = np.zeros(geometry.n_channels)
    _live_pixels(detector.name)  # once, before threads ask for it

    def some(first: int, last: int) -> None:
        channels = slice(first, last)
        for fraction in fractions:
            middle = geometry.two_theta_rad[channels]
            two_theta = (middle + fraction * geometry.channel_width_rad)[:, None]
            weight = polarisation_factor(two_theta, chi[None, :], degree=polarisation)
            weight *= _is_seen(geometry, detector, two_theta, chi)
            acceptance[channels] += np.mean(weight, axis=1) / _RADII_PER_CHANNEL

    threaded(some, geometry.n_channels, workers=None)
    acceptance.flags.writeable = False
    return acceptance


def live_share(
    geometry: Geometry, *, detector: Detector, two_theta_rad: NDArray[np.float64], n_sectors: int
) -> NDArray[np.float64]:
    """Return how much of each sector of rings lands on live pixels, shape (ring, sector).

    Sectors are equal and begin at azimuth 0.
    """
    per_sector = -(-_AZIMUTHS // n_sectors)
    count = per_sector * n_sectors
    chi = (np.arange(count, dtype=np.float64) + 0.5) * (2.0 * np.pi / count)
    seen = _is_seen(geometry, detector, two_theta_rad[:, None], chi)
    return np.asarray(seen.reshape(two_theta_rad.size, n_sectors, per_sector).mean(axis=2))


def _is_seen(
    geometry: Geometry,
    detector: Detector,
    two_theta_rad: NDArray[np.float64],
    azimuth_rad: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return whether directions, broadcast together, meet live pixels."""
    live, pixel_y_m, pixel_x_m = _live_pixels(detector.name)
    plane = detector_plane(geometry, detector)
    vertical_m, horizontal_m = place_m(plane, two_theta_rad, azimuth_rad)
    inside = (vertical_m >= 0.0) & (vertical_m < live.shape[0] * pixel_y_m)
    inside &= (horizontal_m >= 0.0) & (horizontal_m < live.shape[1] * pixel_x_m)
    row = np.where(inside, vertical_m / pixel_y_m, 0.0).astype(int)
    column = np.where(inside, horizontal_m / pixel_x_m, 0.0).astype(int)
    return np.asarray(inside & live[row, column])
