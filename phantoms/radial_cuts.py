"""Radii and laws of many particles at once: what lies at each radius of each, in one flat array.

Values of all particles follow each other, with the number of the particle (*owner*) of each. Edges
between the layers of a particle are evenly spaced, and at the borders of its shells:

    r_k = k · R/n,   n = max(4, ⌈R / layer⌉),   and   R − depth   of every border.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phantoms.particle import Law, Particle, RadialLaw, RadialTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FEWEST_LAYERS = 4
_SAME_EDGE_UM = 1e-9


def layer_edges(particles: Sequence[Particle], *, layer_um: float) -> tuple[Ints, Floats]:
    """Return owner and radius in µm of the edges of layers, rising in each particle, (edge,) both.

    The first edge of a particle is 0, the last its radius.
    """
    radii_um = 0.5 * np.array([p.diameter_um for p in particles], dtype=float)
    counts = np.maximum(_FEWEST_LAYERS, np.ceil(radii_um / layer_um).astype(np.int64))
    owner = np.repeat(np.arange(counts.size), counts + 1)
    ends = np.cumsum(counts + 1)
    number = np.arange(owner.size) - (ends - counts - 1)[owner]
    edges_um = number * (radii_um / counts)[owner]
    edges_um[ends - 1] = radii_um
    shelled = np.array([i for i, p in enumerate(particles) if p.shells], dtype=np.int64)
    if not shelled.size:
        return owner, edges_um
    depths_um = [sorted({d for s in particles[i].shells for d in s.borders_um}) for i in shelled]
    more, borders_um = _borders(shelled, depths_um, radii_um, counts)
    owner, edges_um = np.append(owner, more), np.append(edges_um, borders_um)
    order = np.lexsort((edges_um, owner))
    return owner[order], edges_um[order]


def _borders(
    shelled: Ints, depths_um: Sequence[Sequence[float]], radii_um: Floats, counts: Ints
) -> tuple[Ints, Floats]:
    """Return owner and radius of the borders of shells that are no edges yet, (border,) both."""
    radius_um, count = radii_um[shelled], counts[shelled]
    spacing_um = radius_um / count
    kept_um = np.full((shelled.size, max(len(d) for d in depths_um)), np.nan)
    for column in range(kept_um.shape[1]):
        has = np.array([len(d) > column for d in depths_um])
        depth_um = np.array([d[column] if len(d) > column else 0.0 for d in depths_um])
        border_um = radius_um - depth_um
        new = has & (border_um > 0.0) & (border_um < radius_um)
        nearest = np.rint(border_um / spacing_um)
        for near in (nearest - 1.0, nearest, nearest + 1.0):
            edge_um = np.where(near == count, radius_um, near * spacing_um)
            new &= ~(np.abs(edge_um - border_um) <= _SAME_EDGE_UM)
        for other_um in kept_um.T[:column]:
            new &= ~(np.abs(other_um - border_um) <= _SAME_EDGE_UM)
        kept_um[new, column] = border_um[new]
    kept = np.isfinite(kept_um)
    return shelled[np.nonzero(kept)[0]], kept_um[kept]


def values_at(laws: Sequence[Law], *, owner: Ints, r_over_R: Floats) -> Floats:
    """Return what the law of each value's owner says at its relative radius, (value,).

    ``owner`` rises. A number is a law that does not change.
    """
    tables: dict[int, RadialTable] = {}
    rows: list[tuple[float, float, float]] = []
    for number, law in enumerate(laws):  # most common kinds first: asking for a table is slow
        if isinstance(law, float):
            rows.append((law, law, 1.0))
        elif isinstance(law, RadialLaw):
            rows.append((law.core, law.surface, law.exponent))
        else:
            tables[number] = law
            rows.append((0.0, 0.0, 1.0))
    core, surface, exponent = np.array(rows, dtype=float).reshape(-1, 3).T
    power = np.array(r_over_R)
    for each in np.unique(exponent):
        own = exponent[owner] == each
        power[own] = r_over_R[own] ** float(each)
    found = core[owner] + (surface - core)[owner] * power
    for number, table in tables.items():
        values = slice(*np.searchsorted(owner, [number, number + 1]))
        found[values] = table.at(r_over_R[values])
    return np.asarray(found)


def shell_weights(
    particles: Sequence[Particle], phases: Sequence[str], *, owner: Ints, r_over_R: Floats
) -> Floats:
    """Return weight fractions of the phases of shells, (value, phase); ``owner`` rises."""
    found = np.zeros((owner.size, len(phases)))
    rows = [
        (i, phases.index(shell.phase), shell.depth_um, shell.thickness_um, *shell.ends, rank)
        for i, p in enumerate(particles)
        for rank, shell in enumerate(p.shells)
    ]
    table = np.array(rows, dtype=float).reshape(-1, 7)
    for rank in np.unique(table[:, 6]):  # one shell of a particle at a time, in their order
        number, phase, depth_um, thickness_um, outer, inner, _ = table[table[:, 6] == rank].T
        has = number.astype(np.int64)
        first, last = np.searchsorted(owner, has), np.searchsorted(owner, has, side="right")
        row = np.repeat(np.arange(has.size), last - first)
        value = np.arange(row.size) + (first - np.cumsum(last - first) + (last - first))[row]
        radius_um = 0.5 * np.array([particles[i].diameter_um for i in has])
        relative = ((1.0 - r_over_R[value]) * radius_um[row] - depth_um[row]) / thickness_um[row]
        weight = outer[row] + (inner - outer)[row] * relative
        inside = (relative >= 0.0) & (relative <= 1.0)
        found[value, phase.astype(np.int64)[row]] += np.where(inside, weight, 0.0)
    return found
