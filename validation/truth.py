"""The truth on the maps' grid, from the continuous sample.

Each voxel is a pixel times the beam's height. Per lattice component, the volume-weighted mean of
the lattice parameter and its volume fraction are summed over sub-points, on a grid that is refined
until the answer no longer changes. In a particle that is no layered sphere sub-points stand for
small cells, of which borders take shares.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phantoms.depth import depth_um
from phantoms.outline import shape_of
from phantoms.sample import SPINEL, Layers, Sample, radial_layers
from validation.truth_bodies_kernel import rasterise_body
from validation.truth_kernel import rasterise
from xrdct.compiled import threaded
from xrdct.crystal_source import find_crystal
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

N_BRANCHES = 3
INTERIOR_SHARE = 0.999
"""Share of a voxel that must lie inside one particle's outline, pores counting as inside."""
ONE_LATTICE_SHARE = 0.999
"""Share of the spinel that one lattice must have, or the voxel is scored apart."""

_LEAST_SPINEL = 0.05
_LAYER_UM = 0.02
_N_HEIGHTS = 10
_SUBDIVISIONS = (4, 8, 16)
_LATTICE_TOLERANCE_A = 2e-5
_FRACTION_TOLERANCE = 5e-3


@dataclass(frozen=True, eq=False)
class Truth:
    """True maps, indexed [y, x]; NaN where a voxel holds none of the material."""

    scan: Scan
    a_A: Floats
    """Volume-weighted mean lattice parameter of the spinel."""
    volume_fraction: Floats
    """Volume fraction of the spinel in the voxel."""
    lattice_a_A: Floats
    """Mean lattice parameter of each of its lattices (branches), shape (branch, y, x)."""
    lattice_fraction: Floats
    """Volume fraction of each, shape (branch, y, x)."""
    extra_fraction: dict[str, Floats]
    """Volume fraction of every further phase."""
    particle: NDArray[np.int64]
    """The particle that covers most of the voxel, or −1."""
    depth_um: Floats
    """Depth of the pixel's centre below the surface of that particle, in three dimensions.

    Pores and cracks are no surface."""
    interior: Bools
    eroded: Bools
    """Interior, and all eight neighbours interior in the same particle."""
    two_lattices: Bools
    """More than one lattice of the spinel: scored apart."""
    mass_g_per_cm3: dict[str, Floats] | None = None
    """Mass of every phase over the voxel's volume, the spinel first; None where a file does not
    tell (:func:`with_masses` has an estimate)."""


def truth_on_grid(
    sample: Sample, *, scan: Scan, beam_height_um: float, workers: int | None = None
) -> Truth:
    """Rasterise ``sample`` on the pixels of a scan's reconstruction.

    The sub-points of each pixel are doubled until its lattice parameter changes by less than
    2e-5 Å and its volume fraction by less than 5e-3, or there are 16 on its edge.
    """
    numbers = _visible(sample, scan)
    visible = Sample(
        tuple(sample.particles[i] for i in numbers), z_um=sample.z_um, crystals=sample.crystals
    )
    n_columns = len(visible.extra_phases) + 1  # and the mass of the spinel
    sums = _Sums.empty(scan.n_offsets, n_columns)
    layers = radial_layers(visible, layer_um=_LAYER_UM)
    unsettled = np.ones((scan.n_offsets, scan.n_offsets), bool)
    for subdivision in _SUBDIVISIONS:
        finer = _Sums.empty(scan.n_offsets, n_columns)
        _sum_points(
            finer, visible, layers, unsettled, scan=scan, beam_height_um=beam_height_um,
            subdivision=subdivision, workers=workers,
        )  # fmt: skip
        if subdivision > _SUBDIVISIONS[0]:  # of the first grid nothing is known to be enough
            changed = unsettled & finer.differs_from(sums)
        else:
            changed = unsettled.copy()
        sums.take(finer, unsettled)
        unsettled = changed
    return _truth(sums, visible, numbers, scan)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over the sub-points of each pixel."""

    volume: Floats
    """Spinel by branch, shape (y, x, branch)."""
    moment: Floats
    """Σ volume · a, same shape."""
    extra: Floats
    """Further phases, and last the mass of the spinel in g/cm³, shape (y, x, phase + 1)."""
    best_share: Floats
    """Largest share of a pixel inside one particle's outline."""
    best: NDArray[np.int64]
    """That particle, or −1."""

    @classmethod
    def empty(cls, n: int, n_columns: int) -> _Sums:
        return cls(
            np.zeros((n, n, N_BRANCHES)),
            np.zeros((n, n, N_BRANCHES)),
            np.zeros((n, n, n_columns)),
            np.zeros((n, n)),
            np.full((n, n), -1, np.int64),
        )

    def differs_from(self, coarse: _Sums) -> Bools:
        ours, theirs = self.volume.sum(axis=2), coarse.volume.sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            change_A = np.abs(self.moment.sum(axis=2) / ours - coarse.moment.sum(axis=2) / theirs)
        moved = (ours > 0.05) & (theirs > 0.05) & (change_A > _LATTICE_TOLERANCE_A)
        return np.asarray(moved | (np.abs(ours - theirs) > _FRACTION_TOLERANCE))

    def take(self, finer: _Sums, where: Bools) -> None:
        for field in fields(self):
            getattr(self, field.name)[where] = getattr(finer, field.name)[where]


def _visible(sample: Sample, scan: Scan) -> NDArray[np.int64]:
    """Return the numbers of the particles that reach into the field of view."""
    half_um = 0.5 * scan.width_um
    reach = np.abs(sample.centres_um[:, :2]) - sample.reaches_xy_um[:, None]
    return np.flatnonzero((reach < half_um).all(axis=1))


def _sum_points(
    sums: _Sums,
    sample: Sample,
    layers: Layers,
    wanted: Bools,
    *,
    scan: Scan,
    beam_height_um: float,
    subdivision: int,
    workers: int | None,
) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(_N_HEIGHTS)
    heights_um = sample.z_um + nodes * beam_height_um / FWHM_PER_SIGMA
    n_particles = len(sample.particles)
    layer_start = np.searchsorted(layers.particle, np.arange(n_particles + 1)).astype(np.int64)
    mass = (layers.fraction_low + layers.fraction_high) * layers.spinel_density_g_per_cm3
    extra = np.ascontiguousarray(np.column_stack([layers.extra_fraction, mass]))
    bodies = sample.bodies
    shapes = [shape_of(sample.particles[i]) for i in bodies]
    radii_um = sample.radii_um
    radii_um[bodies] = 0.0

    def rows(first: int, last: int) -> None:
        rasterise(
            first, last, wanted, sample.centres_um, radii_um, layer_start,
            layers.r_outer_um, layers.a_low_A, layers.a_high_A, layers.fraction_low,
            layers.fraction_high, layers.branch, extra, heights_um,
            weights / weights.sum(), scan.step_um, subdivision, sums.volume, sums.moment,
            sums.extra, sums.best_share, sums.best,
        )  # fmt: skip
        for number, shape in zip(bodies, shapes, strict=True):
            if not _in_rows(sample.centres_um[number, 1], shape.reach_xy_um, scan, first, last):
                continue
            rasterise_body(
                first, last, wanted, number, sample.centres_um[number], shape.reach_xy_um,
                shape.kind, shape.size, shape.waves, shape.pores, shape.cracks,
                layers.r_outer_um[layer_start[number] : layer_start[number + 1]],
                layer_start[number], layers.a_low_A, layers.a_high_A, layers.fraction_low,
                layers.fraction_high, layers.branch, extra, heights_um,
                weights / weights.sum(), scan.step_um, subdivision, sums.volume, sums.moment,
                sums.extra, sums.best_share, sums.best,
            )  # fmt: skip

    threaded(rows, scan.n_offsets, workers=workers)


def _in_rows(y_um: float, reach_um: float, scan: Scan, first: int, last: int) -> bool:
    """Tell whether what lies within a reach of y meets rows ``first`` to ``last``."""
    middle = y_um / scan.step_um + 0.5 * (scan.n_offsets - 1)
    reach = reach_um / scan.step_um + 2.0
    return bool(first <= middle + reach and middle - reach <= last)


def _truth(sums: _Sums, sample: Sample, numbers: NDArray[np.int64], scan: Scan) -> Truth:
    volume, moment, best = sums.volume, sums.moment, sums.best
    extra, mass = sums.extra[:, :, :-1], sums.extra[:, :, -1]
    interior = _interior(volume, extra, sums.best_share)
    interior &= ~_hollow(volume.sum(axis=2), best, sample)
    with np.errstate(invalid="ignore", divide="ignore"):
        lattice_a_A = moment / volume
        a_A = moment.sum(axis=2) / volume.sum(axis=2)
        shares = volume / volume.sum(axis=2, keepdims=True)
    return Truth(
        scan=scan,
        a_A=a_A,
        volume_fraction=volume.sum(axis=2),
        lattice_a_A=np.moveaxis(lattice_a_A, 2, 0),
        lattice_fraction=np.moveaxis(volume, 2, 0),
        extra_fraction={name: extra[:, :, i].copy() for i, name in enumerate(sample.extra_phases)},
        particle=np.where(best >= 0, numbers[best], -1) if numbers.size else best,
        depth_um=_depth(sample, best, scan),
        interior=interior,
        eroded=eroded(interior, best),
        two_lattices=np.nan_to_num(shares).max(axis=2) < ONE_LATTICE_SHARE,
        mass_g_per_cm3={SPINEL: mass.copy()}
        | {
            name: extra[:, :, i] * sample.crystals[name].density_g_per_cm3
            for i, name in enumerate(sample.extra_phases)
        },
    )


def with_masses(truth: Truth, *, folder: Path) -> Truth:
    """Return the truth with the masses of its phases, estimated where they are not known.

    Of the spinel the composition is then taken for LiMn2O4, which has up to 5 % more mass in its
    cell than what holds less lithium or manganese. CIF files are named from ``folder``.
    """
    if truth.mass_g_per_cm3 is not None:
        return truth
    crystal = find_crystal(SPINEL)
    with np.errstate(invalid="ignore"):
        denser = (crystal.cell_A_deg[0] / truth.lattice_a_A) ** 3
        spinel = crystal.density_g_per_cm3 * np.nansum(truth.lattice_fraction * denser, axis=0)
    others = {
        name: fraction * find_crystal(name, folder=folder).density_g_per_cm3
        for name, fraction in truth.extra_fraction.items()
    }
    return replace(truth, mass_g_per_cm3={SPINEL: spinel} | others)


def _interior(volume: Floats, extra: Floats, best_share: Floats) -> Bools:
    spinel = volume.sum(axis=2)
    solid = spinel + extra.sum(axis=2)
    return np.asarray((best_share >= INTERIOR_SHARE) & (spinel >= 0.5 * solid) & (spinel > 0.0))


def _hollow(spinel: Floats, best: NDArray[np.int64], sample: Sample) -> Bools:
    """Return voxels so far in pores and cracks of a body that there is nothing to score."""
    return np.asarray(np.isin(best, sample.bodies) & (spinel < _LEAST_SPINEL))


def eroded(interior: Bools, particle: NDArray[np.int64]) -> Bools:
    """Return interior voxels whose eight neighbours are interior in the same particle."""
    padded = np.pad(np.where(interior, particle, -2), 1, constant_values=-2)
    n_y, n_x = interior.shape
    result = interior.copy()
    for dy in range(3):
        for dx in range(3):
            result &= padded[dy : dy + n_y, dx : dx + n_x] == particle
    return result


def _depth(sample: Sample, particle: NDArray[np.int64], scan: Scan) -> Floats:
    depth = np.full(particle.shape, np.nan)
    inside = particle >= 0
    if not inside.any():
        return depth
    x_um, y_um = np.meshgrid(scan.offsets_um, scan.offsets_um)
    centre = sample.centres_um[particle[inside]]
    offset = np.column_stack([x_um[inside], y_um[inside], np.full(inside.sum(), sample.z_um)])
    radius = sample.radii_um[particle[inside]]
    depth[inside] = radius - np.linalg.norm(offset - centre, axis=1)
    for number in sample.bodies:
        own = particle == number
        if own.any():
            shape = shape_of(sample.particles[number])
            depth[own] = depth_um(shape, (offset - centre)[own[inside]])
    return depth
