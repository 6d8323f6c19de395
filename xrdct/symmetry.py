"""Space groups by Hermann–Mauguin symbol with origin choice, and the orbit of a site.

gemmi knows the 230 groups in all their settings; but a symbol without origin choice, such as
'F d -3 m', stands for several of them, and gemmi silently takes one. Here it is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdct.cell import Cell, metric_tensor_A2
from xrdct.errors import InputError

SAME_POSITION = 2e-3
"""Fractional distance below which two positions are one: 0.333 and 1/3, and their images, are."""


def settings_of(symbol: str) -> tuple[str, ...]:
    """Return every space-group setting a symbol can stand for, such as 'F d -3 m:1' and ':2'.

    One name if the symbol states its origin choice (or H/R axes) or the group needs none.
    'S' and 'Z' at the end, as some databases write choices 1 and 2, are understood.
    `InputError` for a symbol of no space group.
    """
    cleaned = re.sub(r"\s*:\s*", ":", symbol.strip().replace("_", ""))
    cleaned = re.sub(r"\s+S$", ":1", re.sub(r"\s+Z$", ":2", cleaned))
    found = gemmi.find_spacegroup_by_name(cleaned)
    if found is None or cleaned.isdigit():
        raise InputError(
            "a space group must be a Hermann–Mauguin symbol such as 'F d -3 m:2' or 'C 1 2/m 1': "
            f"got {symbol!r}"
        )
    if ":" in cleaned or re.search(r"\s[HRhr]$", cleaned):
        return (found.xhm(),)
    return tuple(group.xhm() for group in gemmi.spacegroup_table() if group.hm == found.hm)


@lru_cache(maxsize=256)
def space_group_name(symbol: str) -> str:
    """Return the full symbol, such as 'F d -3 m:2'; `InputError` if it is unknown or ambiguous."""
    settings = settings_of(symbol)
    if len(settings) > 1:
        choices = " or ".join(repr(setting) for setting in settings)
        raise InputError(f"space group {symbol!r} has two settings: write {choices}")
    return settings[0]


def cell_fits(cell_A_deg: Cell, *, space_group: str) -> bool:
    """Return whether the cell has the shape its space group demands, to 1e-4 or 0.01°.

    It has if no rotation R of the group changes the metric tensor: Rᵀ G R = G.
    """
    rotations, _ = operations(space_group)
    metric = metric_tensor_A2(cell_A_deg)
    lengths = np.sqrt(np.diag(metric))
    change = np.swapaxes(rotations, 1, 2) @ metric @ rotations - metric
    return bool(np.all(np.abs(change) <= 2e-4 * np.outer(lengths, lengths)))


@lru_cache(maxsize=256)
def operations(space_group: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rotations (n, 3, 3) and translations (n, 3) of all n operations, centring included.

    A position x goes to R x + t; reflection h goes to h R.
    """
    ops = list(gemmi.find_spacegroup_by_name(space_group).operations())
    rotations = np.array([op.rot for op in ops], dtype=np.int64) // gemmi.Op.DEN
    translations = np.array([op.tran for op in ops], dtype=np.float64) / gemmi.Op.DEN
    rotations.setflags(write=False)
    translations.setflags(write=False)
    return rotations, translations


@lru_cache(maxsize=4096)
def orbit(xyz: tuple[float, float, float], *, space_group: str) -> NDArray[np.float64]:
    """Return the positions equivalent to ``xyz`` in the cell, shape (multiplicity, 3), in [0, 1).

    A position within `SAME_POSITION` of a special one is moved onto it first (0.3333 → 1/3).
    `InputError` if the images neither coincide nor lie clear of each other.
    """
    rotations, translations = operations(space_group)
    start = np.array(xyz, dtype=np.float64)
    shifts = _to_nearest_cell(rotations @ start + translations - start)
    stabiliser = np.all(np.abs(shifts) < SAME_POSITION, axis=1)
    # The mean over the operations that leave a point in place is the point they all fix.
    start += shifts[stabiliser].mean(axis=0)
    images = (rotations @ start + translations) % 1.0
    same = np.all(np.abs(_to_nearest_cell(images[:, None] - images[None])) < SAME_POSITION, axis=2)
    distinct = images[np.argmax(same, axis=1) == np.arange(len(images))]
    if len(distinct) * int(stabiliser.sum()) != len(images):
        raise InputError(
            f"atom at ({', '.join(f'{value:g}' for value in xyz)}) lies so close to a special "
            f"position of {space_group} that its multiplicity is unclear: place it on it or off it"
        )
    distinct.setflags(write=False)
    positions: NDArray[np.float64] = distinct
    return positions


def same_position(
    first: tuple[float, float, float], second: tuple[float, float, float], *, space_group: str
) -> bool:
    """Return whether ``second`` is ``first`` or one of its symmetry images."""
    shifts = _to_nearest_cell(orbit(first, space_group=space_group) - np.array(second))
    return bool(np.any(np.all(np.abs(shifts) < SAME_POSITION, axis=1)))


def _to_nearest_cell(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest: NDArray[np.float64] = differences - np.round(differences)
    return nearest
