"""Which lines a cell and its symmetry make, and what each site adds to them: geometry alone.

Nothing here depends on the cell's size, on energy, form factors or displacement, so crystals that
differ only in these share it through a cache. Lengths are in units of the cell's a.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdct.cell import Cell, reciprocal_metric_per_A2
from xrdct.errors import InputError
from xrdct.symmetry import operations, orbit

MAX_INDEX_TRIPLES = 4_000_000
SAME_SPACING = 1e-6
"""Relative difference of d below which lines are one."""
_ABSENT = 1e-9
"""Share of the atoms a site's sum must exceed: rounding leaves 1e-15, smaller is an absence."""

Positions = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, eq=False)
class PowderLines:
    """Lines in order of rising s, and the families of equivalent reflections that make them up.

    A family holds the reflections that the point group turns into each other; −h is of another
    family than h where the crystal has no inversion. Families of one line stand together.
    """

    s_times_a: NDArray[np.float64]
    """s·a = a/2d of each line, (line,)."""
    hkl: NDArray[np.int64]
    """One reflection to name each line by, (line, 3)."""
    names: tuple[str, ...]
    """Its indices as text, such as '1 1 1', (line,)."""
    first_family: NDArray[np.int64]
    """Index of the first family of each line, (line,)."""
    line_of_family: NDArray[np.int64]
    """(family,)."""
    multiplicity: NDArray[np.float64]
    """Reflections in each family, (family,)."""
    site_sums: NDArray[np.complex128]
    """Σ exp(2πi h·x) over the positions of each site, (family, site)."""


def powder_lines(
    cell_A_deg: Cell, *, space_group: str, positions: Positions, s_max_per_A: float
) -> PowderLines:
    """Return all lines up to at least ``s_max_per_A``, absent ones left out.

    ``positions``: one fractional position per site. `InputError` if too many reflections.
    """
    a = cell_A_deg[0]
    # Rounding makes cells that differ by a scale factor the same cell; steps of 4 % in the limit
    # make them share one list. A family exactly at the limit is complete, thanks to the margin.
    shape = (1.0, *(round(length / a, 12) for length in cell_A_deg[1:3]), *cell_A_deg[3:])
    step = math.ceil(16.0 * math.log2(s_max_per_A * a) + 0.01)
    return _cached_lines(shape, space_group, positions, step)


@lru_cache(maxsize=64)
def _cached_lines(
    shape: Cell, space_group: str, positions: Positions, limit_step: int
) -> PowderLines:
    hkl, s = _reflections_within(shape, limit=2.0 ** (limit_step / 16.0))
    base = int(2 * np.abs(hkl).max(initial=0) + 1)
    rank, first, counts = _families(hkl, base=base, space_group=space_group)
    sums = site_sums(hkl[first], space_group=space_group, positions=positions)
    n_positions = [len(orbit(xyz, space_group=space_group)) for xyz in positions]
    present = np.any(np.abs(sums) > _ABSENT * np.array(n_positions), axis=1)
    kept = np.flatnonzero(present)[np.argsort(s[first][present], kind="stable")]
    s, rank = s[first][kept], rank[kept]
    starts = np.diff(s, prepend=-1.0) > SAME_SPACING * s
    first_family = np.flatnonzero(starts)
    line_hkl = _unranked(np.maximum.reduceat(rank, first_family), base=base)
    return PowderLines(
        s_times_a=s[first_family],
        hkl=line_hkl,
        names=tuple(" ".join(map(str, indices)) for indices in line_hkl.tolist()),
        first_family=first_family,
        line_of_family=np.cumsum(starts) - 1,
        multiplicity=counts[kept].astype(np.float64),
        site_sums=sums[kept],
    )


def _reflections_within(
    shape: Cell, *, limit: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return all hkl ≠ 0 with s·a ≤ limit, (reflection, 3), and their s·a."""
    # |h| = |a·h*| ≤ a·2s, and likewise for k and l.
    most = [math.floor(2.0 * limit * length * (1.0 + 1e-9)) for length in shape[:3]]
    triples = math.prod(2 * count + 1 for count in most)
    if triples > MAX_INDEX_TRIPLES:
        raise InputError(
            f"a powder pattern may take at most {MAX_INDEX_TRIPLES} index triples, this one takes "
            f"{triples}: ask for a larger smallest d or a smaller largest angle"
        )
    axes = [np.arange(-count, count + 1) for count in most]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inverse_d2 = np.einsum("ri,ij,rj->r", hkl, reciprocal_metric_per_A2(shape), hkl)
    s = 0.5 * np.sqrt(inverse_d2)
    within = (s > 0.0) & (s <= limit)
    return hkl[within], s[within]


def _families(
    hkl: NDArray[np.int64], *, base: int, space_group: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return per family its highest rank, the index of one of its reflections, and their number."""
    highest = _ranked(hkl, base=base)
    for rotation in np.unique(operations(space_group)[0], axis=0):
        np.maximum(highest, _ranked(hkl @ rotation, base=base), out=highest)
    return np.unique(highest, return_index=True, return_counts=True)


def _ranked(hkl: NDArray[np.int64], *, base: int) -> NDArray[np.int64]:
    """Return a number per reflection, highest for the one a crystallographer would name.

    That has the fewest negative indices, then the largest h, k and l: 1 1 2 before 2 -1 2.
    """
    digits = hkl + base // 2
    negative = np.count_nonzero(hkl < 0, axis=1)
    rank: NDArray[np.int64] = digits @ np.array([base * base, base, 1]) - negative * base**3
    return rank


def _unranked(rank: NDArray[np.int64], *, base: int) -> NDArray[np.int64]:
    """Return the indices whose rank this is, (line, 3)."""
    digits = rank % base**3
    return np.stack([digits // base**2, digits // base % base, digits % base], axis=1) - base // 2


def site_sums(
    hkl: NDArray[np.int64], *, space_group: str, positions: Positions
) -> NDArray[np.complex128]:
    """Return Σ exp(2πi h·x) over the positions each site stands for, (reflection, site)."""
    columns = [
        np.exp(2j * np.pi * (hkl @ orbit(xyz, space_group=space_group).T)).sum(axis=1)
        for xyz in positions
    ]
    return np.stack(columns, axis=1)
