"""One exposure on the detector: from the patterns of a projection to what the pixels record.

    patterns of a line of exposures   :class:`LineTables`, per radian of whole rings
    → expected photons per pixel      looked up and weighted (:mod:`forward.pixels`), rows and
                                      columns multiplied by the exit factor, spots stamped
                                      (:mod:`forward.spots`)
    → recorded counts                 the counting detector (:mod:`forward.pilatus`)

A frame depends on the seed, the scan's number and the exposure's place in the raster, on nothing
else: frames can be made in any order by any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.charge import PhotonResponse, photon_response
from forward.conditions import Conditions
from forward.faults import DetectorFaults, DetectorState, draw_state
from forward.grain_rings import GrainRings
from forward.grains import Grains
from forward.philox import Words, stream_key
from forward.pilatus import count_photons, mean_counts, measured_flat
from forward.pixels import PixelMap, expected_frame, pixel_map
from forward.projection import expected_line
from forward.spots import (
    SpotStamp,
    add_smooth_rings,
    draw_spots,
    ring_displacements,
    smooth_rings,
    spot_stamp,
    stamp_spots,
)
from forward.virtual import Virtual
from xrdct.instrument import detector_plane
from xrdct.scan import Scan

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FrameModel:
    """A prepared sample in front of a detector with all its pixels."""

    virtual: Virtual
    pixels: PixelMap
    rings: GrainRings
    grains: Grains
    stamp: SpotStamp
    faults: DetectorFaults
    state: DetectorState
    response: PhotonResponse

    @property
    def known_flat(self) -> Singles:
        """The flat field that the analysis knows, (row, column)."""
        effects = self.virtual.effects
        return measured_flat(
            self.state, response=self.response, charge_sharing=effects.charge_sharing
        )


def frame_model(
    virtual: Virtual, *, grains: Grains, faults: DetectorFaults, seed: int
) -> FrameModel:
    """Draw the detector's faults and compute what all frames share.

    ``virtual`` must be prepared for frames (its angles are nodes, not channels).
    """
    truth, detector = virtual.truth, virtual.detector
    plane = detector_plane(truth.geometry, detector)
    return FrameModel(
        virtual=virtual,
        pixels=pixel_map(
            virtual.angles, detector=detector, geometry=truth.geometry, beam=truth.beam
        ),
        rings=GrainRings.of(virtual, grains),
        grains=grains,
        stamp=spot_stamp(plane, pixel_um=detector.pixel_um, grains=grains),
        faults=faults,
        state=draw_state(faults, detector.live, seed=seed),
        response=photon_response(
            truth.beam.energy_keV, threshold_keV=detector.threshold_keV,
            pixel_um=detector.pixel_um, sensor_um=detector.sensor_um,
            cloud_um=faults.charge_cloud_um,
        ),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LineTables:
    """All exposures of one projection, before they are spread over pixels."""

    photons_per_rad: Singles
    """Photons of whole rings without spots, shape (offset, node)."""
    transmitted: NDArray[np.float64]
    """Expected photons behind the sample, shape (offset,)."""
    mean_grains: Singles
    """Mean number of grains of each ring, shape (offset, ring), and"""
    grains: Singles
    """how many happen to reflect."""
    displacement_um: Singles
    """Mean displacement of each ring's material along the beam, shape (offset, ring)."""
    factor_row: Singles
    """Exit factors of rows, shape (offset, row), and"""
    factor_column: Singles
    """of columns, shape (offset, column)."""


def line_tables(
    model: FrameModel, *, scan: Scan, conditions: Conditions, line: int, seed: int, scan_number: int
) -> LineTables:
    """Return the exposures of projection ``line``."""
    virtual = model.virtual
    expected = expected_line(virtual, scan=scan, conditions=conditions, line=line)
    mean, grains = model.rings.counts(
        expected.path_um, stream_key(seed, scan_number), first_frame=line * scan.n_offsets
    )
    rows, columns = virtual.surroundings.frame_factors(
        conditions.mean_offsets_um(scan, line), float(conditions.positions.true_rotation_rad[line]),
        slope_row=model.pixels.slope_row, slope_column=model.pixels.slope_column,
    )  # fmt: skip
    return LineTables(
        photons_per_rad=expected.counts,
        transmitted=expected.transmitted,
        mean_grains=mean,
        grains=grains,
        displacement_um=ring_displacements(
            model.rings.rings, expected.path_um, expected.moment_um2
        ),
        factor_row=rows,
        factor_column=columns,
    )


def expected_photons(
    model: FrameModel, tables: LineTables, offset: int, *, key: Words, frame: int
) -> Singles:
    """Return the photons that the exposure at ``offset`` sends to each pixel on average.

    Times the detector's efficiency, float32 (row, column). Grains are not averaged over: they are
    those of this exposure, named by ``key`` and ``frame``; without noise all rings are smooth.
    """
    rings, pixels = model.rings.rings, model.pixels
    transmitted, counts = float(tables.transmitted[offset]), tables.grains[offset]
    pattern = tables.photons_per_rad[offset].copy()
    smooth = np.ones(counts.size, bool)
    if model.rings.noise and counts.size:
        smooth = smooth_rings(
            tables.mean_grains[offset], rings=rings, stamp=model.stamp, grains=model.grains
        )
    moved_um = tables.displacement_um[offset]
    add_smooth_rings(pattern, counts, transmitted, smooth, rings, moved_um)
    out = np.empty(pixels.node.shape, np.float32)
    factors = tables.factor_row[offset], tables.factor_column[offset]
    expected_frame(pattern, pixels.node, pixels.weight, *factors, out)
    if not smooth.all():
        spotty = np.where(smooth, np.float32(0.0), counts)
        spots = draw_spots(spotty, key, frame=frame, rings=rings, stamp=model.stamp)
        stamp_spots(
            out, pixels.node, pixels.weight, *factors, transmitted, spots.ring,
            spots.azimuth_rad, rings, model.stamp, moved_um,
        )  # fmt: skip
    return out


def recorded_counts(
    model: FrameModel, expected: Singles, *, exposure_s: float, key: Words, frame: int
) -> NDArray[np.int32]:
    """Return what the detector records of ``expected`` photons, int32 (row, column)."""
    effects = model.virtual.effects
    return count_photons(
        expected, state=model.state, faults=model.faults, response=model.response,
        exposure_s=exposure_s, key=key, frame=frame, flat=effects.flat_field,
        charge_sharing=effects.charge_sharing, dead_time=effects.dead_time,
        zingers=effects.zingers, bad_pixels=effects.bad_pixels,
    )  # fmt: skip


def mean_recorded(model: FrameModel, expected: Singles, *, exposure_s: float) -> Singles:
    """Return the mean of what the detector records, float32 (row, column), gaps −1."""
    effects = model.virtual.effects
    return mean_counts(
        expected, state=model.state, faults=model.faults, response=model.response,
        exposure_s=exposure_s, flat=effects.flat_field, charge_sharing=effects.charge_sharing,
        dead_time=effects.dead_time, zingers=effects.zingers, bad_pixels=effects.bad_pixels,
    )  # fmt: skip
