"""Patterns of everything in the cell but the particles.

A library holds the pattern of every substance at nodes s_j along the beam, per µm of path and
photon of beam, as photons per radian of a whole ring without polarisation,

    J(2θ) = 2π sin2θ · (elastic + Compton per metre and steradian) + Σ q_hkl g(2θ − 2θ_hkl),

with lines for crystalline powders. At s the material is nearer to the detector, and its rings
appear at 2θ′, tan2θ′ = (1 − s/D) tan2θ (:mod:`forward.parallax`); photons keep their ring, so
J_s(2θ′) = J(2θ) d2θ/d2θ′. A ray's pattern is then the product of its paths by node and substance
(:mod:`forward.cell_paths`) with the library: linear between nodes.

Polymer peaks are so broad that the instrument's width is left out of them. Powders are taken to be
fine and without texture, which a rolled foil is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from forward.amorphous import elastic_per_m_sr, inelastic_per_m_sr
from forward.cell_paths import Floats, Tails, cell_paths
from forward.parallax import ring_shift_rad
from phantoms.cell import Cell
from phantoms.cell_materials import substance, substance_names
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.conversion import two_theta_rad as bragg_angle_rad
from xrdct.conversion import wavelength_A
from xrdct.crystal import Crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam
from xrdct.reflections import powder_reflections
from xrdct.scattering import disorder_diffuse_per_m_sr, ring_power_per_m, thermal_diffuse_per_m_sr

_NODE_UM = 250.0
"""Largest spacing of nodes for powder lines: a third of their width of parallax at 0.5 m."""
_COARSE = 4
"""Every so many nodes suffice for smooth patterns."""
_LEAST_PATH_UM = 1e-6
"""Paths below this are rounding."""


@dataclass(frozen=True, eq=False)
class CellLibrary:
    """The cell's patterns, for any projection."""

    cell: Cell
    two_theta_rad: Floats
    nodes_um: Floats
    """Positions along the beam, towards the detector, shape (node,)."""
    patterns_per_um: NDArray[np.float32]
    """Photons per radian of ring, µm of path and photon of beam, shape (row, 2θ)."""
    row_substance: NDArray[np.int64]
    """Which substance a row is of, shape (row,)."""
    row_weights: Floats
    """What of a path at each node goes to the row, shape (row, node)."""
    attenuation_per_um: Floats
    """Shape (substance,)."""


@dataclass(frozen=True, eq=False)
class CellPatterns:
    """What the cell adds to the rays of a projection."""

    pattern: NDArray[np.float32]
    """Photons per radian of ring and photon of beam, before attenuation, shape (offset, 2θ)."""
    optical_depth: Floats
    """∫µ ds of everything but the particles, shape (offset,)."""
    electrode_share: Floats
    """Share of the beam inside the electrode's layer, (offset,): what particles scatter and
    absorb is to be multiplied by it (1 unless the beam has tails, or the layers tilt or bend)."""


def cell_library(
    cell: Cell,
    *,
    two_theta_rad: Floats,
    energy_keV: float,
    distance_m: float,
    peak_sigma_rad: Floats,
) -> CellLibrary:
    """Compute the patterns of all substances of ``cell``.

    ``two_theta_rad`` is uniform, of shape (2θ,); ``peak_sigma_rad``, of the same shape, the
    instrument's Gaussian σ for powder lines. Lines are means over the cells of the grid, so that
    their power is kept. `InputError` for a grid that is not uniform or does not begin above 0.
    """
    _check_grid(two_theta_rad)
    nodes_um = _nodes_um(cell)
    coarse_um = nodes_um[::_COARSE]
    to_coarse = np.array([np.interp(nodes_um, coarse_um, hat) for hat in np.eye(coarse_um.size)])
    attenuation, rows, owners, weights = [], [], [], []
    present = np.any(cell.contents != 0.0, axis=(0, 1))
    for number, name in enumerate(substance_names()):
        material = substance(name)
        attenuation.append(
            linear_attenuation_per_um(
                material.composition, energy_keV=energy_keV,
                density_g_per_cm3=material.density_g_per_cm3,
            )
        )  # fmt: skip
        if not present[number]:
            continue
        places_um = coarse_um if material.crystal is None else nodes_um
        pattern = _smooth(
            cell, name, two_theta_rad=two_theta_rad, energy_keV=energy_keV,
            distance_m=distance_m, places_um=places_um,
        )  # fmt: skip
        if material.crystal is not None:
            pattern += _lines(
                material.crystal, two_theta_rad=two_theta_rad, energy_keV=energy_keV,
                distance_m=distance_m, places_um=places_um, peak_sigma_rad=peak_sigma_rad,
            )  # fmt: skip
        rows.append(pattern)
        owners += [number] * places_um.size
        weights.append(to_coarse if material.crystal is None else np.eye(nodes_um.size))
    return CellLibrary(
        cell=cell,
        two_theta_rad=two_theta_rad,
        nodes_um=nodes_um,
        patterns_per_um=np.concatenate(rows).astype(np.float32),
        row_substance=np.array(owners, dtype=np.int64),
        row_weights=np.concatenate(weights),
        attenuation_per_um=np.array(attenuation),
    )


def cell_patterns(
    library: CellLibrary,
    *,
    offsets_um: Floats,
    angle_rad: float,
    particle_path_um: Floats,
    beam: Beam | None,
    tails: Tails = (),
    plane_um: float = 0.0,
) -> CellPatterns:
    """Return patterns and absorption of the cell for the rays of one projection.

    Arguments and `InputError` as for :func:`forward.cell_paths.cell_paths`.
    """
    crossed = cell_paths(
        library.cell, offsets_um=offsets_um, angle_rad=angle_rad, beam=beam, tails=tails,
        particle_path_um=particle_path_um, nodes_um=library.nodes_um, plane_um=plane_um,
    )  # fmt: skip
    by_row = np.einsum(
        "onr,rn->or", crossed.paths_um[:, :, library.row_substance], library.row_weights
    )
    used = np.abs(by_row).max(axis=0, initial=0.0) > _LEAST_PATH_UM
    pattern = by_row[:, used].astype(np.float32) @ library.patterns_per_um[used]
    total_um = crossed.paths_um.sum(axis=1)
    return CellPatterns(pattern, total_um @ library.attenuation_per_um, crossed.electrode_share)


def _check_grid(two_theta_rad: Floats) -> None:
    steps = np.diff(two_theta_rad)
    if two_theta_rad.size < 2 or two_theta_rad[0] <= 0.0:
        raise InputError(f"a 2θ grid (rad) must begin above 0: got {two_theta_rad[:1]}")
    if steps[0] <= 0.0 or np.ptp(steps) > 1e-6 * steps[0]:
        raise InputError(
            f"a 2θ grid must be uniform and rise: its steps go from {steps.min():g} to "
            f"{steps.max():g} rad"
        )


def _nodes_um(cell: Cell) -> Floats:
    """Return nodes around the axis that reach past the body at every rotation."""
    reach_um = float(np.max(cell.radii_um + np.linalg.norm(cell.centres_um, axis=1))) + 1.0
    count = _COARSE * int(np.ceil(reach_um / (_COARSE * _NODE_UM)))
    return np.linspace(-reach_um, reach_um, 2 * count + 1)


def _smooth(
    cell: Cell,
    name: str,
    *,
    two_theta_rad: Floats,
    energy_keV: float,
    distance_m: float,
    places_um: Floats,
) -> Floats:
    """Return all but powder lines, per radian of ring and µm, shape (place, 2θ)."""
    closer = 1.0 - places_um[:, None] * 1e-6 / distance_m
    true = np.arctan(np.tan(two_theta_rad) / closer)
    stretch = np.cos(true) ** 2 / np.cos(two_theta_rad) ** 2 / closer
    angles = np.linspace(true.min(), true.max(), two_theta_rad.size)
    per_m_sr = inelastic_per_m_sr(name, two_theta_rad=angles, energy_keV=energy_keV)
    crystal = substance(name).crystal
    if crystal is not None:
        for diffuse in (thermal_diffuse_per_m_sr, disorder_diffuse_per_m_sr):
            per_m_sr += diffuse(crystal, two_theta_rad=angles, energy_keV=energy_keV)
    else:
        per_m_sr += elastic_per_m_sr(
            name, two_theta_rad=angles, energy_keV=energy_keV, crystallite_nm=cell.crystallite_nm,
            crystallinity=cell.crystallinity if name == cell.body else 0.0,
        )  # fmt: skip
    return np.asarray(2e-6 * np.pi * np.sin(true) * stretch * CubicSpline(angles, per_m_sr)(true))


def _lines(
    crystal: Crystal,
    *,
    two_theta_rad: Floats,
    energy_keV: float,
    distance_m: float,
    places_um: Floats,
    peak_sigma_rad: Floats,
) -> Floats:
    """Return powder lines, per radian and µm, shape (place, 2θ): means over the grid's cells."""
    wavelength = wavelength_A(energy_keV)
    step = (two_theta_rad[-1] - two_theta_rad[0]) / (two_theta_rad.size - 1)
    found = powder_reflections(
        crystal, energy_keV=energy_keV, two_theta_max_rad=1.05 * float(two_theta_rad[-1])
    )
    power = ring_power_per_m(found, cell_volume_A3=crystal.volume_A3, wavelength_A=wavelength)
    angles = bragg_angle_rad(found.d_A, wavelength_A=wavelength)
    sigma = np.interp(angles, two_theta_rad, peak_sigma_rad)
    edges = np.append(two_theta_rad - 0.5 * step, two_theta_rad[-1] + 0.5 * step)
    total = np.zeros((places_um.size, two_theta_rad.size))
    for row, place_um in enumerate(places_um):
        seen = angles + ring_shift_rad(angles, displacement_um=place_um, distance_m=distance_m)
        for line in range(angles.size):
            below = ndtr((edges - seen[line]) / sigma[line])
            total[row] += 1e-6 * power[line] / step * np.diff(below)
    return total
