"""What surrounds the particles: the cell's scattering and absorption, and the way out of it all.

Joins :mod:`forward.cell` and :mod:`forward.attenuation` to the patterns of particles. The medium
through which scattered photons leave is the cell with its electrode, or, without a cell, a disc of
the sample's diameter, each with the mean attenuation of what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from forward.angles import AngleGrid
from forward.attenuation import (
    SECTORS,
    Medium,
    cell_medium,
    disc_medium,
    exit_factors,
    ring_exit_factor,
)
from forward.cell import CellLibrary, CellPatterns, cell_library, cell_patterns
from forward.cell_paths import Tails
from forward.instrument import TrueInstrument
from forward.resolution import Sensor, ring_widths
from forward.settings import Effects
from phantoms.cell import Cell
from phantoms.sample import Sample
from xrdct.instrument import Beam, Detector, live_share
from xrdct.normal import FWHM_PER_SIGMA

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
_OFFSET_NODES, _RING_NODES = 65, 24
_U_NODES, _V_NODES = 33, 257
_POWDER_NM, _POWDER_STRAIN = 200.0, 0.0


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The cell (None: bare particles) and the medium (None: photons leave straight on)."""

    library: CellLibrary | None
    gain: Singles
    """What turns the cell's patterns into those of a node, shape (node,)."""
    medium: Medium | None
    beam: Beam | None
    tails: Tails
    plane_um: float
    angles: AngleGrid
    polarisation: float
    live: Floats
    """Seen share of the sectors of rings at `_ring_nodes_rad`, shape (2θ, sector)."""

    def patterns(
        self, offsets_um: Floats, angle_rad: float, path_um: Floats
    ) -> CellPatterns | None:
        """Return what the cell adds to rays that cross ``path_um`` of particles, (offset,)."""
        if self.library is None:
            return None
        return cell_patterns(
            self.library, offsets_um=offsets_um, angle_rad=angle_rad, particle_path_um=path_um,
            beam=self.beam, tails=self.tails, plane_um=self.plane_um,
        )  # fmt: skip

    def ring_factor(self, offsets_um: Floats, angle_rad: float) -> Singles:
        """Return the exit factor, averaged over the ring, shape (offset, node); read-only."""
        if self.medium is None:
            return np.ones((offsets_um.size, 1), np.float32)
        seen_rad = 0.0 if self.medium.round else angle_rad
        return _ring_factor(self, self.medium, tuple(offsets_um.tolist()), seen_rad)

    def frame_factors(
        self, offsets_um: Floats, angle_rad: float, *, slope_row: Floats, slope_column: Floats
    ) -> tuple[Singles, Singles]:
        """Return exit factors of rows, (offset, row), and of columns, (offset, column)."""
        if self.medium is None:
            return (
                np.ones((offsets_um.size, slope_row.size), np.float32),
                np.ones((offsets_um.size, slope_column.size), np.float32),
            )
        seen_rad = 0.0 if self.medium.round else angle_rad
        reach = (slope_row.min(), slope_row.max(), slope_column.min(), slope_column.max())
        nodes = _frame_nodes(self.medium, tuple(offsets_um.tolist()), seen_rad, *map(float, reach))
        rows = _interpolated(slope_row, nodes.v, nodes.upwards).T
        columns = _interpolated(slope_column, nodes.u, nodes.across).T
        return rows.astype(np.float32), columns.astype(np.float32)


def _ring_nodes_rad(angles: AngleGrid) -> Floats:
    """Return rings at which factors are computed."""
    first_rad, *_, last_rad = angles.two_theta_rad
    return np.linspace(first_rad, last_rad, _RING_NODES)


def _offset_nodes_um(offsets_um: Floats) -> Floats:
    """Return offsets at which factors are computed: they are smooth in between."""
    if offsets_um.size <= _OFFSET_NODES:
        return np.unique(offsets_um)
    return np.linspace(offsets_um.min(), offsets_um.max(), _OFFSET_NODES)


@lru_cache(maxsize=8)
def _ring_factor(
    around: Surroundings, medium: Medium, offsets_um: tuple[float, ...], angle_rad: float
) -> Singles:
    """Compute the factor of :meth:`Surroundings.ring_factor`: the same for most rotations."""
    offsets = np.array(offsets_um)
    nodes_um = _offset_nodes_um(offsets)
    angles = _ring_nodes_rad(around.angles)
    table = ring_exit_factor(
        medium, offsets_um=nodes_um, angle_rad=angle_rad, two_theta_rad=angles,
        polarisation=around.polarisation, live=around.live,
    )  # fmt: skip
    by_offset = _interpolated(offsets, nodes_um, table)
    factor = _interpolated(around.angles.two_theta_rad, angles, by_offset.T).T.astype(np.float32)
    factor.flags.writeable = False
    return factor


class _FrameNodes(NamedTuple):
    """Exit factors at nodes of the slopes, each (slope, offset)."""

    u: Floats
    v: Floats
    across: Floats
    upwards: Floats


@lru_cache(maxsize=8)
def _frame_nodes(
    medium: Medium,
    offsets_um: tuple[float, ...],
    angle_rad: float,
    v_low: float,
    v_high: float,
    u_low: float,
    u_high: float,
) -> _FrameNodes:
    offsets = np.array(offsets_um)
    nodes_um = _offset_nodes_um(offsets)
    u, v = np.linspace(u_low, u_high, _U_NODES), np.linspace(v_low, v_high, _V_NODES)
    across, upwards = exit_factors(medium, offsets_um=nodes_um, angle_rad=angle_rad, u=u, v=v)
    by_offset = (_interpolated(offsets, nodes_um, table).T for table in (across, upwards))
    return _FrameNodes(u, v, *by_offset)


def surroundings(
    cell: Cell | None,
    *,
    sample: Sample,
    angles: AngleGrid,
    gain: Floats,
    particle_attenuation_per_um: float,
    sensor: Sensor | None,
    detector: Detector,
    effects: Effects,
    truth: TrueInstrument,
) -> Surroundings:
    """Return what surrounds ``sample``; of cells, none where ``effects`` switch it off."""
    cell = cell if effects.cell else None
    beam = truth.beam
    tails = [(truth.tail_fraction, truth.tail_um)] if effects.beam_tails else []
    library = None
    if cell is not None:
        seen = angles.two_theta_rad / _stretch(angles, sensor)
        widths = ring_widths(
            seen, beam=beam, distance_m=angles.distance_m, pixel_um=detector.pixel_um,
            crystallite_size_nm=_POWDER_NM, strain=_POWDER_STRAIN, sensor=sensor,
        )  # fmt: skip
        library = cell_library(
            cell, two_theta_rad=seen, energy_keV=beam.energy_keV, distance_m=angles.distance_m,
            peak_sigma_rad=widths.fwhm_rad / FWHM_PER_SIGMA,
        )  # fmt: skip
    medium = None
    if effects.attenuation and effects.exit_path and (cell is not None or sample.particles):
        medium = _medium(cell, sample, beam, particle_attenuation_per_um)
    return Surroundings(
        library=library,
        gain=(gain * angles.width_rad).astype(np.float32),
        medium=medium,
        beam=beam if effects.beam_size else None,
        tails=tails,
        plane_um=sample.z_um,
        angles=angles,
        polarisation=beam.polarisation,
        live=live_share(
            truth.geometry,
            detector=detector,
            two_theta_rad=_ring_nodes_rad(angles),
            n_sectors=SECTORS,
        ),
    )


def _stretch(angles: AngleGrid, sensor: Sensor | None) -> float:
    """Return by how much rings seem larger than they are; the cell's are too broad for more."""
    if sensor is None or angles.sensor_corrected:
        return angles.stretch
    return angles.stretch * (1.0 + 1e-6 / (sensor.attenuation_per_um * angles.distance_m))


def _medium(
    cell: Cell | None, sample: Sample, beam: Beam, particle_attenuation_per_um: float
) -> Medium:
    """Return the medium, its electrode filled evenly with the particles that the slice cuts."""
    diameter_um = sample.diameter_um if cell is None else cell.electrode_um
    height_um = sample.centres_um[:, 2] - sample.z_um
    solid = 1.0 - np.array([particle.porosity for particle in sample.particles])
    area_um2 = np.pi * np.sum(solid * np.maximum(sample.radii_um**2 - height_um**2, 0.0))
    fraction = min(float(area_um2 / (0.25 * np.pi * diameter_um**2)), 1.0)
    if cell is None:
        return disc_medium(
            diameter_um=diameter_um, attenuation_per_um=fraction * particle_attenuation_per_um
        )
    return cell_medium(
        cell, energy_keV=beam.energy_keV, particle_fraction=fraction,
        particle_attenuation_per_um=particle_attenuation_per_um, plane_um=sample.z_um,
    )  # fmt: skip


def _interpolated(x: Floats, nodes: Floats, table: Floats) -> Floats:
    """Interpolate the rows of ``table`` (node, …) linearly at ``x``, shape (x, …)."""
    if nodes.size == 1:
        return np.repeat(table, x.size, axis=0)
    place = np.clip(np.searchsorted(nodes, x), 1, nodes.size - 1)
    part = np.clip((x - nodes[place - 1]) / (nodes[place] - nodes[place - 1]), 0.0, 1.0)
    return np.asarray(table[place - 1] + part[:, None] * (table[place] - table[place - 1]))
