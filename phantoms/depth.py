"""How deep a point lies below a body's outline, in three dimensions; pores are no surface.

Below a sphere that is R − r. Below a rough surface it is the least distance to any of its points:
the eight nearest of 20 000 even directions are starting points, and each direction is improved by
steps to its neighbours, halved until they are of 10⁻⁵ of the radius. What the best of the eight
finds can be wrong only where the surface has other dents nearly as near, by less than e²/2d with e
half the spacing of the directions on the surface (0.013 R) and d the depth: 10 nm at 0.8 µm in a
particle of 20 µm.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phantoms.outline import Shape
from phantoms.shape_kernel import DISC, surface_um
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_N_DIRECTIONS = 20_000
_N_STARTS = 8
_FIRST_STEP = 0.0125
_LAST_STEP = 1e-5


def depth_um(shape: Shape, places_um: Floats) -> Floats:
    """Return the depth of places (point, xyz) from the body's centre below its outline, in µm.

    Outside it is less than zero: minus the distance, but for corners of discs and spokes, where it
    is minus the distance to the line or plane that the nearest edge belongs to.
    """
    places = np.ascontiguousarray(places_um, dtype=float).reshape(-1, 3)
    if shape.kind == DISC:
        return _disc_depth(shape, places)
    r = np.linalg.norm(places, axis=1)
    if shape.waves.shape[0] == 1:
        return np.asarray(shape.size[0] - r)
    directions = even_directions(_N_DIRECTIONS)
    surface = directions * surface_distances(directions, shape.size[0], shape.waves)[:, None]
    nearest = np.asarray(cKDTree(surface).query(places, k=_N_STARTS)[1], dtype=np.int64)
    outside = r > surface_distances(places, shape.size[0], shape.waves)
    distance = _nearest(places, directions, nearest, shape.size[0], shape.waves)
    return np.where(outside, -distance, distance)


def _disc_depth(shape: Shape, places: Floats) -> Floats:
    radius, half_height, spokes, azimuth = shape.size[:4]
    x, y, z = places.T
    rho = np.hypot(x, y)
    depth = np.minimum(radius - rho, half_height - np.abs(z))
    if spokes > 0.0:
        turns = (np.arctan2(y, x) - azimuth) * spokes / (2.0 * np.pi)
        into = 0.25 - np.abs(turns - np.floor(turns + 0.5))
        angle = np.clip(into * 2.0 * np.pi / spokes, -0.5 * np.pi, 0.5 * np.pi)
        depth = np.minimum(depth, rho * np.sin(angle))
    return np.asarray(depth)


@lru_cache(maxsize=4)
def even_directions(count: int) -> Floats:
    """Return even directions on a spiral from pole to pole, shape (direction, xyz)."""
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    phi = np.arange(count) * np.pi * (3.0 - np.sqrt(5.0))
    across = np.sqrt(1.0 - z * z)
    return np.column_stack([across * np.cos(phi), across * np.sin(phi), z])


@compiled
def surface_distances(directions: Floats, radius_um: float, waves: Floats) -> Floats:
    """Return the distance of a rough surface from its centre, in the directions of vectors."""
    found = np.empty(directions.shape[0])
    for i in range(directions.shape[0]):
        x, y, z = directions[i]
        found[i] = surface_um(x, y, z, radius_um, waves)
    return found


@compiled
def _nearest(
    places: Floats, directions: Floats, starts: Ints, radius_um: float, waves: Floats
) -> Floats:
    """Return the least distance of each place to the surface, from its own starting directions."""
    found = np.empty(places.shape[0])
    for i in range(places.shape[0]):
        best = np.inf
        for k in range(starts.shape[1]):
            best = min(best, _descended(places[i], directions[starts[i, k]], radius_um, waves))
        found[i] = best
    return found


@compiled
def _descended(place: Floats, start: Floats, radius_um: float, waves: Floats) -> float:
    """Return the distance to the surface where walking from ``start`` no longer lessens it."""
    way = start.copy()
    least = _distance(place, way, radius_um, waves)
    trial, first, second = np.empty(3), np.empty(3), np.empty(3)
    step = _FIRST_STEP
    while step > _LAST_STEP:
        _across(way, first, second)
        moved = False
        for side in range(4):
            sign = 1.0 if side % 2 == 0 else -1.0
            for axis in range(3):
                turn = first[axis] if side < 2 else second[axis]
                trial[axis] = way[axis] + sign * step * turn
            trial /= np.sqrt(np.sum(trial**2))
            distance = _distance(place, trial, radius_um, waves)
            if distance < least:
                least = distance
                way[:] = trial
                moved = True
                break
        if not moved:
            step *= 0.5
    return least


@compiled
def _across(way: Floats, first: Floats, second: Floats) -> None:
    """Fill two unit vectors at right angles to ``way`` and each other."""
    least = np.argmin(np.abs(way))
    first[:] = -way[least] * way
    first[least] += 1.0
    first /= np.sqrt(np.sum(first**2))
    second[0] = way[1] * first[2] - way[2] * first[1]
    second[1] = way[2] * first[0] - way[0] * first[2]
    second[2] = way[0] * first[1] - way[1] * first[0]


@compiled
def _distance(place: Floats, way: Floats, radius_um: float, waves: Floats) -> float:
    r = surface_um(way[0], way[1], way[2], radius_um, waves)
    total = 0.0
    for axis in range(3):
        total += (r * way[axis] - place[axis]) ** 2
    return float(np.sqrt(total))
