"""Can this be measured? Asked of a whole experiment before any work is done on it."""

from __future__ import annotations

from collections.abc import Mapping

from inverse.geometry import angle_weights
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.scan import Scan

LONGEST_EXPOSURE_S = 3600.0
MOST_PHOTONS = 1e15
"""Photons of one exposure; random numbers of their statistics end at 9e18."""


def check_one_plane(scans: Mapping[str, Scan]) -> None:
    """Raise InputError for a scan of several planes, naming its key."""
    for key, scan in scans.items():
        if scan.n_planes != 1:
            raise InputError(
                f"{key}.n_planes is {scan.n_planes}, but one plane is simulated at a time"
            )


def check_half_turn(scan: Scan, *, key: str) -> None:
    """Raise InputError for a scan whose angles leave out part of the half turn."""
    try:
        angle_weights(scan.angles_rad)
    except InputError as error:
        rule = (
            f"angles_deg must cover 180° or 360° evenly (found {scan.n_angles} angles)"
            if scan.angles_deg
            else f"angle_range_deg must be 180 or 360 (found {scan.angle_range_deg:g})"
        )
        raise InputError(f"{key}.{rule}: part of the half turn would be missing") from error


def check_photons(beam: Beam, exposures_s: Mapping[str, float]) -> None:
    """Raise InputError for exposures, by the table they are in, of too long or too many photons."""
    for key, exposure_s in exposures_s.items():
        if exposure_s > LONGEST_EXPOSURE_S:
            raise InputError(
                f"{key}.exposure_s must be at most {LONGEST_EXPOSURE_S:g} (found {exposure_s:g})"
            )
        photons = beam.flux_per_s * exposure_s
        if photons > MOST_PHOTONS:
            raise InputError(
                f"beam.flux_per_s times {key}.exposure_s must be at most {MOST_PHOTONS:g} photons "
                f"(found {photons:g})"
            )


def check_rings(geometry: Geometry, *, detector: Detector, beam: Beam) -> None:
    """Raise InputError where no ring of the pattern meets the detector, or it is unknown."""
    seen = ring_acceptance(geometry, detector=detector, polarisation=beam.polarisation)
    if not seen.any():
        raise InputError(
            f"geometry.distance_m: at {geometry.distance_m:g} m no ring of the pattern falls on "
            "the detector"
        )
