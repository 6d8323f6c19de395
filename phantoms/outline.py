"""What a particle's outline, pores and cracks are in space: numbers that kernels work on.

A rough surface is R0·(1 + f), f = Σ a_lm Y_lm. Its volume R0³/3 ∫(1 + f)³ dΩ is exact by
Gauss–Legendre quadrature, (1 + f)³ being of degree 3·l_max. Its largest and smallest distance from
the centre are bounded: on a great circle f is a trigonometric polynomial of degree l, so that
|f''| ≤ l² max|f| (Bernstein), and a grid whose nodes are nowhere further than δ from a direction
misses an extreme by no more than l² δ²/2 of max|f|.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phantoms.shape import DiscOutline, RoughOutline
from phantoms.shape_kernel import DISC, ROUND, bumps
from xrdct.compiled import compiled

if TYPE_CHECKING:
    from phantoms.particle import Particle

Floats = NDArray[np.float64]

_SPAWN_KEY = (0x6F75,)
_NODES_PER_DEGREE = 8


@dataclass(frozen=True, eq=False)
class Shape:
    """A body about its own centre."""

    kind: int
    """ROUND or DISC of :mod:`phantoms.shape_kernel`."""
    size: Floats
    """Radius (R0 of a rough surface) and half height in µm, spokes, azimuth in rad, across."""
    waves: Floats
    """Bumps of a rough surface, shape (degree, order, 4); (1, 1, 4) for none."""
    pores: Floats
    """Centre and radius in µm, shape (pore, 4)."""
    cracks: Floats
    """Mouth, unit normal, length, opening, 1 if tapered; shape (crack, 9)."""
    reach_um: float
    """No material is further from the centre."""
    reach_xy_um: float
    """No material is further from the vertical axis through the centre."""


@dataclass(frozen=True, eq=False)
class RoughSurface:
    """A rough surface of R0 = 1."""

    waves: Floats
    least: float
    greatest: float
    """Bounds of R/R0 over all directions, no more than 4 % of the bumps too wide."""
    volume: float
    """Over that of the unit sphere."""


def shape_of(particle: Particle) -> Shape:
    """Return a particle's body, whether or not it is more than a sphere."""
    radius_um = particle.radius_um
    waves = np.zeros((1, 1, 4))
    size = np.array([radius_um, 0.0, 0.0, 0.0, 0.0])
    kind, reach_um = ROUND, radius_um
    reach_xy_um = radius_um
    outline = particle.outline
    if isinstance(outline, RoughOutline):
        surface = rough_surface(outline)
        waves = surface.waves
        volume = surface.volume ** (1.0 / 3.0)
        size[0] /= volume if outline.scale == "volume" else surface.greatest
        reach_um = reach_xy_um = size[0] * surface.greatest
    elif isinstance(outline, DiscOutline):
        kind = DISC
        across = 1.0 if outline.layers == "across" else 0.0
        turn = np.deg2rad(outline.azimuth_deg)
        size[1:] = 0.5 * outline.height_um, outline.spokes, turn, across
        reach_um = float(np.hypot(radius_um, size[1]))
    pores = [(*p.centre_um, 0.5 * p.diameter_um) for p in particle.pores]
    normals = [np.array(c.normal) / np.linalg.norm(c.normal) for c in particle.cracks]
    cracks = [
        (*c.mouth_um, *normal, c.length_um, c.opening_um, 1.0 if c.tapered else 0.0)
        for c, normal in zip(particle.cracks, normals, strict=True)
    ]
    return Shape(
        kind=kind,
        size=size,
        waves=waves,
        pores=np.array(pores, dtype=float).reshape(-1, 4),
        cracks=np.array(cracks, dtype=float).reshape(-1, 9),
        reach_um=float(reach_um),
        reach_xy_um=float(reach_xy_um),
    )


@lru_cache(maxsize=8192)
def rough_surface(outline: RoughOutline) -> RoughSurface:
    """Draw a rough surface; equal outlines give the same one."""
    waves = _waves(outline)
    degree = waves.shape[0] - 1
    cos_theta, weights = np.polynomial.legendre.leggauss((3 * degree) // 2 + 1)
    cubed = (1.0 + _on_grid(waves, cos_theta, 3 * degree + 1)) ** 3
    n_rows = _NODES_PER_DEGREE * degree
    theta = (np.arange(n_rows) + 0.5) * np.pi / n_rows
    f = _on_grid(waves, np.cos(theta), 2 * n_rows)
    beyond = 0.5 * (degree * np.pi / n_rows) ** 2 / 2.0  # δ² is half a grid cell's squared edge
    largest = float(np.abs(f).max()) / (1.0 - beyond)
    return RoughSurface(
        waves=waves,
        least=1.0 + float(f.min()) - beyond * largest,
        greatest=1.0 + float(f.max()) + beyond * largest,
        volume=float(weights @ cubed.mean(axis=1)) / 2.0,
    )


def _waves(outline: RoughOutline) -> Floats:
    """Return coefficients of cos and sin, and the recurrence's factors, (degree, order, 4)."""
    top = 2 * outline.order
    sequence = np.random.SeedSequence(outline.seed, spawn_key=_SPAWN_KEY)
    drawn = np.random.Generator(np.random.Philox(sequence)).standard_normal((top + 1, top + 1, 2))
    degree, order = np.meshgrid(np.arange(top + 1.0), np.arange(top + 1.0), indexing="ij")
    drawn *= np.exp(-0.5 * (degree / outline.order) ** 2)[..., None]
    drawn[(order > degree) | (degree < 2)] = 0.0
    drawn[:, 0, 1] = 0.0
    drawn *= outline.roughness * np.sqrt(4.0 * np.pi / np.sum(drawn**2))
    drawn[:, 1:] *= np.sqrt(2.0)  # of the real harmonics with cos mφ and sin mφ
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.sqrt((4.0 * degree**2 - 1.0) / (degree**2 - order**2))
        second = np.sqrt(((degree - 1.0) ** 2 - order**2) / (4.0 * (degree - 1.0) ** 2 - 1.0))
        sectoral = np.sqrt((2.0 * order + 1.0) / (2.0 * order))
    first = np.where(degree == order, sectoral, first)
    second = np.where(degree - 1.0 > order, second, 0.0)
    waves = np.stack([drawn[..., 0], drawn[..., 1], first, second], axis=-1)
    waves[order > degree] = 0.0
    waves[0, 0, 2] = 1.0
    return np.ascontiguousarray(waves)


@compiled
def _on_grid(waves: Floats, cos_theta: Floats, n_azimuths: int) -> Floats:
    """Return the bumps at every cos θ and azimuth, shape (cos θ, azimuth)."""
    f = np.empty((cos_theta.size, n_azimuths))
    for i in range(cos_theta.size):
        sin_theta = np.sqrt(1.0 - cos_theta[i] ** 2)
        for j in range(n_azimuths):
            phi = 2.0 * np.pi * j / n_azimuths
            x, y = sin_theta * np.cos(phi), sin_theta * np.sin(phi)
            f[i, j] = bumps(x, y, cos_theta[i], waves)
    return f
