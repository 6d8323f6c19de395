"""Rays at a few angles and offsets that stand for those of every scan of one sample.

Counts change slowly from ray to ray, but for what is narrower than the beam, and the filter's
squared weights are those of the nearest rays: variances of line integrals are tabulated at offsets
about a beam apart (a 64th of the view where that is wider) and taken linear between. For any
scan of the same sample and instrument,

    Var pattern = (Σ_ω w_ω²/A)/t · Σ_{A angles} Σ_rays W² v,       v = variance · exposure

is then exactly proportional to 1/(exposure t · angles), W being the weights of one unit of angle
(:mod:`validation.bounds_rays`), and steps enter through W alone.

Where this fails: integrations that trim: their scatter is taken as what is left would have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.filters import filter_matrix
from inverse.geometry import angle_weights
from validation.bounds_optics import Optics
from validation.predicted_scene import Voxels
from xrdct.errors import InputError
from xrdct.scan import Scan

Floats = NDArray[np.float64]

_ANGLES = 16
_MOST_OFFSETS = 65
_FIRST = 0.5 * (5.0**0.5 - 1.0)
"""Of the first angle, in steps: no angle has its rays along a row of voxels."""


@dataclass(frozen=True, eq=False)
class RayTable:
    """What rays of one second count."""

    offsets_um: Floats
    angles_rad: Floats
    variance_s: Floats
    """Variance of line integrals times the exposure, (angle, offset, channel)."""
    path_um: Floats
    """µm of every material state, (angle, offset, state)."""
    counts_per_s: Floats
    """Photons of a ray, the mean over all, (channel,)."""
    kept: Floats
    """Share of them that the integration keeps, (channel,)."""

    def gathered(
        self, voxels: Voxels, *, scan: Scan, filter_name: str, padding: str
    ) -> tuple[Floats, Floats]:
        """Return the variance of voxels' patterns times the exposure, and Σ W² path of states.

        Shapes (voxel, channel) and (voxel, state), for one angle: over so many that the squares of
        their shares of the half turn add up to one.
        """
        squares = self._squares(voxels, scan, filter_name, padding) / self.angles_rad.size
        flat = squares.reshape(voxels.x_um.size, -1)
        return (
            flat @ self.variance_s.reshape(flat.shape[1], -1),
            flat @ self.path_um.reshape(flat.shape[1], -1),
        )

    def _squares(self, voxels: Voxels, scan: Scan, filter_name: str, padding: str) -> Floats:
        """Return Σ W² of a scan's rays, shared between the table's, (voxel, angle, offset)."""
        matrix = filter_matrix(
            scan.n_offsets, step_um=scan.step_um, filter_name=filter_name, padding=padding
        )
        shares = _shares(scan.offsets_um, self.offsets_um)
        found = np.empty((voxels.x_um.size, self.angles_rad.size, self.offsets_um.size))
        for number, angle in enumerate(self.angles_rad):
            across_um = voxels.x_um * np.cos(angle) + voxels.y_um * np.sin(angle)
            row = across_um / scan.step_um + 0.5 * (scan.n_offsets - 1)
            before = np.clip(np.floor(row), 0, scan.n_offsets - 2).astype(np.int64)
            part = np.clip(row - before, 0.0, 1.0)[:, None]
            weights = (1.0 - part) * matrix[before] + part * matrix[before + 1]
            found[:, number] = weights**2 @ shares
        return found


def ray_table(optics: Optics, *, extent_um: float, exposure_s: float) -> RayTable:
    """Return the rays of a view whose outermost offsets are ``extent_um`` apart."""
    beam = optics.virtual.truth.beam
    count = int(np.clip(np.ceil(extent_um / (0.8 * beam.width_um)) + 1, 3, _MOST_OFFSETS))
    angles_deg = 180.0 / _ANGLES * (np.arange(_ANGLES) + _FIRST)
    scan = Scan(
        n_offsets=count, step_um=extent_um / (count - 1), n_angles=_ANGLES,
        angles_deg=tuple(float(angle) for angle in angles_deg), exposure_s=exposure_s,
    )  # fmt: skip
    every = [optics.rays(scan, line) for line in range(_ANGLES)]
    counts = np.sum([rays.counts.mean(axis=0) for rays in every], axis=0)
    kept = np.sum([rays.kept.mean(axis=0) for rays in every], axis=0)
    return RayTable(
        offsets_um=scan.offsets_um,
        angles_rad=scan.angles_rad,
        variance_s=np.stack([rays.line_variance for rays in every]) * exposure_s,
        path_um=np.stack([rays.path_um for rays in every]).astype(float),
        counts_per_s=counts / _ANGLES / exposure_s,
        kept=np.divide(kept, counts, out=np.ones(counts.size), where=counts > 0.0),
    )


def squared_shares(scan: Scan) -> float:
    """Return Σ w² of a scan's projections, w their shares of the half turn: π²/N where uniform.

    Raises InputError for interlaced scans, and for angles that leave out part of the half turn.
    """
    if scan.interlaced:
        raise InputError("bounds are for scans that are not interlaced: scan.interlaced is true")
    if scan.angles_deg is None:
        return float(np.pi**2 / scan.n_angles)
    return float(np.sum(angle_weights(scan.angles_rad) ** 2))


def _shares(offsets_um: Floats, table_um: Floats) -> Floats:
    """Return the shares of offsets between those of a table, (offset, table)."""
    place = np.clip(
        (offsets_um - table_um[0]) / (table_um[1] - table_um[0]), 0.0, table_um.size - 1.0
    )
    before = np.minimum(np.floor(place).astype(np.int64), table_um.size - 2)
    found = np.zeros((offsets_um.size, table_um.size))
    number = np.arange(offsets_um.size)
    found[number, before] = 1.0 - (place - before)
    found[number, before + 1] += place - before
    return found
