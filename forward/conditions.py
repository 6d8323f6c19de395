"""Under which conditions each exposure of a scan takes place: where, when, how many photons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.flux import BeamDecay, incident_photons, monitor_counts
from forward.motion import Motion, Positions, point_times_s, positions
from forward.settings import Effects
from xrdct.instrument import Beam
from xrdct.rawfile import Readings
from xrdct.scan import Scan


@dataclass(frozen=True, eq=False)
class Conditions:
    """Of one scan, in raster order."""

    positions: Positions
    times_s: NDArray[np.float64]
    """When each exposure begins, from the start of the experiment, shape (angle, offset)."""
    photons: NDArray[np.float64]
    """True number of incident photons, as expected, shape (angle, offset)."""
    monitor: NDArray[np.float64]
    """What the monitor says of them."""

    def mean_offsets_um(self, scan: Scan, line: int) -> NDArray[np.float64]:
        """Return a line's set-points, moved as a whole to where it was, to 1 µm, (offset,).

        What changes slowly across the sample needs no more, and is the same for many lines.
        """
        moved_um = float(np.mean(self.positions.true_offset_um[line] - scan.offsets_um))
        return np.asarray(scan.offsets_um + round(moved_um))

    @property
    def readings(self) -> Readings:
        """What the beamline knows of where and when."""
        return Readings(
            encoder_offset_um=self.positions.encoder_offset_um,
            encoder_rotation_rad=self.positions.encoder_rotation_rad,
            time_s=self.times_s,
        )


def scan_conditions(
    scan: Scan,
    *,
    beam: Beam,
    motion: Motion,
    flux: BeamDecay,
    effects: Effects,
    seed: int,
    scan_number: int = 0,
    start_s: float = 0.0,
) -> Conditions:
    """Draw the conditions of a scan that begins at ``start_s``."""
    motion = motion if effects.motion else Motion()
    flux = flux if effects.flux else BeamDecay()
    times_s = start_s + point_times_s(scan)
    photons = incident_photons(
        flux, times_s=times_s, photons_per_exposure=beam.flux_per_s * scan.exposure_s, seed=seed,
        scan_number=scan_number,
    )  # fmt: skip
    return Conditions(
        positions=positions(motion, scan=scan, seed=seed, scan_number=scan_number, start_s=start_s),
        times_s=times_s,
        photons=photons,
        monitor=monitor_counts(flux, photons=photons, seed=seed, scan_number=scan_number),
    )


def ideal_conditions(scan: Scan, *, beam: Beam) -> Conditions:
    """Return the conditions that the scan asks for."""
    return scan_conditions(
        scan, beam=beam, motion=Motion(), flux=BeamDecay(), effects=Effects(), seed=0
    )
