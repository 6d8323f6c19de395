"""Whether particles of any shape overlap.

Spheres do where their centres are too near. Where one of two particles is a body of another shape
and the spheres around both overlap, 4000 points of the surface of each are looked for in the other:
what overlaps by less than about 5e-4 of the smaller one's radius may go unnoticed. Spokes count as
the whole disc, pores and cracks as solid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phantoms.depth import even_directions, surface_distances
from phantoms.outline import Shape, shape_of
from phantoms.packing import overlapping_pair
from phantoms.particle import Particle
from phantoms.shape_kernel import DISC

Floats = NDArray[np.float64]

_N_POINTS = 4000


def overlapping_particles(
    particles: Sequence[Particle], *, tolerance_um: float
) -> tuple[int, int] | None:
    """Return a pair (i, j), i < j, of particles that overlap, or None if none do.

    ``tolerance_um`` is how far spheres, and those around bodies, may reach into each other.
    """
    centres_um = np.array([p.centre_um for p in particles], dtype=float).reshape(-1, 3)
    is_body = np.array([p.is_body for p in particles], dtype=bool)
    spheres = np.flatnonzero(~is_body)
    diameters_um = np.array([p.diameter_um for p in particles if not p.is_body], dtype=float)
    pair = overlapping_pair(centres_um[spheres], diameters_um, tolerance_um=tolerance_um)
    if pair is not None:
        return int(spheres[pair[0]]), int(spheres[pair[1]])
    if not is_body.any():
        return None
    shapes = [shape_of(p) for p in particles]
    for i, j in _near(centres_um, shapes, np.flatnonzero(is_body), tolerance_um):
        between_um = centres_um[j] - centres_um[i]
        if _reaches_into(shapes[i], shapes[j], between_um) or _reaches_into(
            shapes[j], shapes[i], -between_um
        ):
            return min(i, j), max(i, j)
    return None


def _near(
    centres_um: Floats, shapes: Sequence[Shape], bodies: NDArray[np.int64], tolerance_um: float
) -> Iterator[tuple[int, int]]:
    """Return every pair of a body and another particle whose spheres around them overlap, once."""
    reaches_um = np.array([shape.reach_um for shape in shapes])
    tree = cKDTree(centres_um)
    found = tree.query_ball_point(centres_um[bodies], reaches_um[bodies] + reaches_um.max())
    known = set(bodies.tolist())
    for i, near in zip(bodies.tolist(), found, strict=True):
        for j in near:
            if j == i or (j in known and j < i):
                continue
            away_um = float(np.linalg.norm(centres_um[j] - centres_um[i]))
            if away_um < reaches_um[i] + reaches_um[j] - tolerance_um:
                yield i, j


def _reaches_into(one: Shape, other: Shape, to_other_um: Floats) -> bool:
    """Tell whether any point of the first one's surface lies in the other, ``to_other_um`` away."""
    directions = even_directions(_N_POINTS)
    points = directions * _reach(one, directions)[:, None] - to_other_um
    distance = np.linalg.norm(points, axis=1)
    near = distance < other.reach_um
    if not near.any():
        return False
    return bool(np.any(distance[near] < _reach(other, points[near])))


def _reach(shape: Shape, ways: Floats) -> Floats:
    """Return the distance of the surface from the centre in the directions of vectors."""
    if shape.kind != DISC:
        return np.asarray(surface_distances(ways, shape.size[0], shape.waves))
    length = np.linalg.norm(ways, axis=1)
    radius, half_height = shape.size[:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        mantle = radius * length / np.hypot(ways[:, 0], ways[:, 1])
        faces = half_height * length / np.abs(ways[:, 2])
    return np.asarray(np.where(length > 0.0, np.fmin(mantle, faces), half_height), dtype=float)
