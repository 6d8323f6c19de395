"""The whole truth: particles in a slice, and their composition layer by layer.

A :class:`Sample` is continuous. :func:`radial_layers` cuts every particle into thin concentric
layers and evaluates the composition at the middle of each; the forward model and the truth maps
both start from it, at layer thicknesses of their own choosing. In a body that is no sphere
(:mod:`phantoms.shape`) a layer from r to r + dr is what lies between r/R and (r + dr)/R.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phantoms.outline import shape_of
from phantoms.overlap import overlapping_particles
from phantoms.particle import Particle
from phantoms.particle_rules import check_bodies, check_contents, check_shells, named
from phantoms.radial_cuts import layer_edges, shell_weights, values_at
from phantoms.stoichiometry import lattice
from xrdct.crystal import Crystal
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError

SPINEL = "LiMn2O4"
"""Name of the phase whose lattice parameter follows the lithium content."""

_MASS_U = {"Li": 6.94, "Mn": 54.938043, "O": 15.999}
_U_PER_A3_IN_G_PER_CM3 = 1.66053906660
_SPINEL_FORMULA_UNITS = 8
_OVERLAP_TOLERANCE_UM = 1e-6


@dataclass(frozen=True, eq=False)
class _Outlines:
    """Where particles are and of what, as arrays; those of a sample are read-only by custom."""

    particles: tuple[Particle, ...]
    centres_um: NDArray[np.float64]
    radii_um: NDArray[np.float64]
    bodies: NDArray[np.int64]
    extra_phases: tuple[str, ...]


def _outlines_of(particles: tuple[Particle, ...]) -> _Outlines:
    return _Outlines(
        particles=particles,
        centres_um=np.array([p.centre_um for p in particles], dtype=float).reshape(-1, 3),
        radii_um=np.array([p.radius_um for p in particles], dtype=float),
        bodies=np.array([i for i, p in enumerate(particles) if p.is_body], dtype=np.int64),
        extra_phases=tuple(sorted({s.phase for p in particles for s in p.shells})),
    )


@dataclass(frozen=True, eq=False)
class Sample:
    """Particles that do not overlap, measured in the horizontal plane at height ``z_um``."""

    particles: tuple[Particle, ...]
    z_um: float = 0.0
    crystals: dict[str, Crystal] = field(default_factory=dict)
    """Crystal of every phase named in a shell; found by that name where missing."""
    _held: _Outlines | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_bodies(self.particles)
        pair = overlapping_particles(self.particles, tolerance_um=_OVERLAP_TOLERANCE_UM)
        if pair is not None:
            first, second = (named(self.particles[i], i) for i in pair)
            raise InputError(f"particles must not overlap, but {first} and {second} do")
        check_contents(self.particles)
        check_shells(self.particles, spinel=SPINEL)
        crystals = {name: self._crystal(name) for name in self.extra_phases}
        object.__setattr__(self, "crystals", crystals)

    def _crystal(self, name: str) -> Crystal:
        return self.crystals[name] if name in self.crystals else find_crystal(name)

    @property
    def centres_um(self) -> NDArray[np.float64]:
        """Centre of each particle (x, y, z), shape (particle, 3)."""
        return self._outlines().centres_um.copy()

    @property
    def radii_um(self) -> NDArray[np.float64]:
        """Outer radius of each particle, of bodies half of ``diameter_um``, shape (particle,)."""
        return self._outlines().radii_um.copy()

    @property
    def bodies(self) -> NDArray[np.int64]:
        """Numbers of the particles that are no spheres of concentric layers."""
        return self._outlines().bodies.copy()

    @property
    def reaches_xy_um(self) -> NDArray[np.float64]:
        """Furthest distance of its material from its vertical axis, shape (particle,)."""
        reaches_um = self.radii_um
        for i in self._outlines().bodies:
            reaches_um[i] = shape_of(self.particles[i]).reach_xy_um
        return reaches_um

    @property
    def extra_phases(self) -> tuple[str, ...]:
        """Phases other than the spinel, in alphabetical order."""
        return self._outlines().extra_phases

    def _outlines(self) -> _Outlines:
        """Return what is asked of the particles again and again, read off them once."""
        held = self._held
        if held is None or held.particles is not self.particles:
            held = _outlines_of(self.particles)
            object.__setattr__(self, "_held", held)
        return held

    @property
    def diameter_um(self) -> float:
        """Twice the largest distance of any material from the rotation axis, in the slice plane."""
        if not self.particles:
            return 0.0
        reach = np.hypot(self.centres_um[:, 0], self.centres_um[:, 1]) + self.reaches_xy_um
        return float(2.0 * reach.max())


@dataclass(frozen=True, eq=False)
class Layers:
    """Composition of thin concentric layers, every field of shape (layer,) unless said."""

    particle: NDArray[np.int64]
    r_inner_um: NDArray[np.float64]
    r_outer_um: NDArray[np.float64]
    y: NDArray[np.float64]
    a_low_A: NDArray[np.float64]
    """Lattice parameter of the spinel; of its smaller lattice inside a two-phase window."""
    a_high_A: NDArray[np.float64]
    fraction_low: NDArray[np.float64]
    """Volume fraction (of the layer, pores included) of the spinel with ``a_low_A``."""
    fraction_high: NDArray[np.float64]
    branch: NDArray[np.int64]
    """How many two-phase windows lie below ``a_low_A``; tells apart the lattices of a voxel."""
    spinel_density_g_per_cm3: NDArray[np.float64]
    extra_fraction: NDArray[np.float64]
    """Volume fraction of every further phase, shape (layer, extra phase)."""


def radial_layers(sample: Sample, *, layer_um: float) -> Layers:
    """Cut every particle into concentric layers no thicker than ``layer_um``.

    The edges of shells are edges of layers. Composition is that of a layer's middle radius.
    Volume fractions follow from weight fractions with the densities of the phases.
    """
    particles, phases = sample.particles, sample.extra_phases
    edge_owner, edges_um = layer_edges(particles, layer_um=layer_um)
    within = edge_owner[1:] == edge_owner[:-1]
    inner, outer = edges_um[:-1][within], edges_um[1:][within]
    owner = edge_owner[1:][within]
    relative = 0.5 * (outer + inner) / sample.radii_um[owner]
    x = values_at([p.x for p in particles], owner=owner, r_over_R=relative)
    y = values_at([p.y for p in particles], owner=owner, r_over_R=relative)
    spinel = lattice(x, y=y)
    density = spinel_density_g_per_cm3(
        x, y=y, a_low_A=spinel.a_low_A, a_high_A=spinel.a_high_A, high=spinel.volume_fraction_high
    )
    weights = shell_weights(particles, phases, owner=owner, r_over_R=relative)
    solid = 1.0 - np.array([p.porosity for p in particles], dtype=float)[owner]
    fractions = _volume_fractions(weights, density, sample)
    spinel_fraction = solid * fractions[:, 0]
    return Layers(
        particle=owner.astype(np.int64),
        r_inner_um=inner,
        r_outer_um=outer,
        y=y,
        a_low_A=spinel.a_low_A,
        a_high_A=spinel.a_high_A,
        fraction_low=spinel_fraction * (1.0 - spinel.volume_fraction_high),
        fraction_high=spinel_fraction * spinel.volume_fraction_high,
        branch=spinel.branch.astype(np.int64),
        spinel_density_g_per_cm3=density,
        extra_fraction=solid[:, None] * fractions[:, 1:],
    )


def spinel_density_g_per_cm3(
    x: NDArray[np.float64],
    *,
    y: NDArray[np.float64],
    a_low_A: NDArray[np.float64],
    a_high_A: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the density of Li(x)[Li_y Mn_{2−y}]O4, two lattices averaged by volume.

    ρ = 8 M ⟨1/a³⟩, with M the mass of a formula unit and ``high`` the volume fraction of the
    larger lattice.
    """
    mass_u = (x + y) * _MASS_U["Li"] + (2.0 - y) * _MASS_U["Mn"] + 4.0 * _MASS_U["O"]
    per_A3 = (1.0 - high) / a_low_A**3 + high / a_high_A**3
    return _U_PER_A3_IN_G_PER_CM3 * _SPINEL_FORMULA_UNITS * mass_u * per_A3


def _volume_fractions(
    weights: NDArray[np.float64], spinel_density: NDArray[np.float64], sample: Sample
) -> NDArray[np.float64]:
    """Return volume fractions of the solid, shape (layer, 1 + extra phase), spinel first."""
    densities = [sample.crystals[name].density_g_per_cm3 for name in sample.extra_phases]
    all_weights = np.column_stack([1.0 - weights.sum(axis=1), weights])
    all_densities = np.column_stack([spinel_density, np.tile(densities, (len(weights), 1))])
    volumes = all_weights / all_densities
    return np.asarray(volumes / volumes.sum(axis=1, keepdims=True))
