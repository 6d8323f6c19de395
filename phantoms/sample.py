"""The whole truth: particles in a slice, and their composition layer by layer.

A :class:`Sample` is continuous. :func:`radial_layers` cuts every particle into thin concentric
layers and evaluates the composition at the middle of each; the forward model and the truth maps
both start from it, at layer thicknesses of their own choosing. In a body that is no sphere
(:mod:`phantoms.shape`) a layer from r to r + dr is what lies between r/R and (r + dr)/R.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phantoms.outline import shape_of
from phantoms.overlap import overlapping_particles
from phantoms.particle import Particle, law_values
from phantoms.particle_rules import check_bodies, check_contents, check_shells, named
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
_SAME_EDGE_UM = 1e-9


@dataclass(frozen=True, eq=False)
class Sample:
    """Particles that do not overlap, measured in the horizontal plane at height ``z_um``."""

    particles: tuple[Particle, ...]
    z_um: float = 0.0
    crystals: dict[str, Crystal] = field(default_factory=dict)
    """Crystal of every phase named in a shell; found by that name where missing."""

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
        return np.array([p.centre_um for p in self.particles], dtype=float).reshape(-1, 3)

    @property
    def radii_um(self) -> NDArray[np.float64]:
        """Outer radius of each particle, of bodies half of ``diameter_um``, shape (particle,)."""
        return np.array([p.radius_um for p in self.particles], dtype=float)

    @property
    def bodies(self) -> NDArray[np.int64]:
        """Numbers of the particles that are no spheres of concentric layers."""
        return np.array([i for i, p in enumerate(self.particles) if p.is_body], dtype=np.int64)

    @property
    def reaches_xy_um(self) -> NDArray[np.float64]:
        """Furthest distance of its material from its vertical axis, shape (particle,)."""
        return np.array([_reach_xy_um(p) for p in self.particles], dtype=float)

    @property
    def extra_phases(self) -> tuple[str, ...]:
        """Phases other than the spinel, in alphabetical order."""
        return tuple(sorted({s.phase for p in self.particles for s in p.shells}))

    @property
    def diameter_um(self) -> float:
        """Twice the largest distance of any material from the rotation axis, in the slice plane."""
        if not self.particles:
            return 0.0
        reach = np.hypot(self.centres_um[:, 0], self.centres_um[:, 1]) + self.reaches_xy_um
        return float(2.0 * reach.max())


def _reach_xy_um(particle: Particle) -> float:
    return shape_of(particle).reach_xy_um if particle.is_body else particle.radius_um


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
    edges = [_layer_edges(p, layer_um) for p in sample.particles]
    inner = _joined([e[:-1] for e in edges])
    outer = _joined([e[1:] for e in edges])
    owner = np.repeat(np.arange(len(edges)), [len(e) - 1 for e in edges])
    relative = [0.5 * (e[1:] + e[:-1]) / e[-1] for e in edges]
    pairs = list(zip(sample.particles, relative, strict=True))
    x = _joined([law_values(p.x, r) for p, r in pairs])
    y = _joined([law_values(p.y, r) for p, r in pairs])
    spinel = lattice(x, y=y)
    density = spinel_density_g_per_cm3(
        x, y=y, a_low_A=spinel.a_low_A, a_high_A=spinel.a_high_A, high=spinel.volume_fraction_high
    )
    weights = np.zeros((owner.size, len(sample.extra_phases)))
    for column, phase in enumerate(sample.extra_phases):
        weights[:, column] = _joined(
            [_shell_weight(p, phase, (1.0 - r) * p.radius_um) for p, r in pairs]
        )
    solid = 1.0 - np.array([p.porosity for p in sample.particles])[owner] if len(edges) else inner
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


def _joined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.zeros(0)


def _layer_edges(particle: Particle, layer_um: float) -> NDArray[np.float64]:
    radius_um = particle.radius_um
    count = max(4, int(np.ceil(radius_um / layer_um)))
    edges = np.linspace(0.0, radius_um, count + 1)
    for depth_um in sorted({d for s in particle.shells for d in s.borders_um}):
        border_um = radius_um - depth_um
        if 0.0 < border_um < radius_um and np.min(np.abs(edges - border_um)) > _SAME_EDGE_UM:
            edges = np.append(edges, border_um)
    return np.sort(edges)


def _shell_weight(
    particle: Particle, phase: str, depth_um: NDArray[np.float64]
) -> NDArray[np.float64]:
    shells = [s.weight_fraction_at(depth_um) for s in particle.shells if s.phase == phase]
    return sum(shells, np.zeros(depth_um.shape))


def _volume_fractions(
    weights: NDArray[np.float64], spinel_density: NDArray[np.float64], sample: Sample
) -> NDArray[np.float64]:
    """Return volume fractions of the solid, shape (layer, 1 + extra phase), spinel first."""
    densities = [sample.crystals[name].density_g_per_cm3 for name in sample.extra_phases]
    all_weights = np.column_stack([1.0 - weights.sum(axis=1), weights])
    all_densities = np.column_stack([spinel_density, np.tile(densities, (len(weights), 1))])
    volumes = all_weights / all_densities
    return np.asarray(volumes / volumes.sum(axis=1, keepdims=True))
