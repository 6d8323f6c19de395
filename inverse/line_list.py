"""The powder lines that a cell and its space group allow: positions, without any atoms.

A reflection h is systematically absent where an operation (R, t) leaves it, h R = h, and shifts its
phase, h·t not whole (International Tables A, ch. 1.6); gemmi knows these. The lines that are left
coincide, whatever the cell, where 1/d² = Σ_ij G*_ij h_i h_j is the same function of the free cell
parameters. Symmetry makes G* its own mean over the rotations, so that is where

    Σ_R (h R)ᵀ (h R)

is the same matrix of whole numbers, as for 333 and 511 of a cubic cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import CellLaw, index_products, inverse_d_squared, space_group_law
from xrdct.cell import Cell, check_cell
from xrdct.errors import InputError
from xrdct.powder_lines import MAX_INDEX_TRIPLES
from xrdct.symmetry import cell_fits, operations, space_group_name

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AllowedLines:
    """Lines in order of falling d for the cell they were listed with; arrays are (line,)."""

    hkl: NDArray[np.int64]
    """One reflection of the line, (line, 3)."""
    names: tuple[str, ...]
    """Its indices as text, such as '1 1 1'."""
    multiplicity: NDArray[np.int64]
    """Reflections of the line that are not absent, −h beside h."""
    law: CellLaw
    """What of the cell is free."""

    def __len__(self) -> int:
        return len(self.names)

    def d_A(self, cell_A_deg: Cell) -> Floats:
        """Return the lattice spacing of each line, Å, for any cell of the law."""
        inverse, _ = inverse_d_squared(index_products(self.hkl), cell_A_deg=cell_A_deg)
        return np.asarray(1.0 / np.sqrt(inverse))


def allowed_lines(cell_A_deg: Cell, *, space_group: str, d_min_A: float) -> AllowedLines:
    """Return the lines with d ≥ ``d_min_A`` that no systematic absence forbids.

    Lines that coincide for every cell of the space group are one. Those that do so by chance, or
    that special positions of atoms would extinguish, stay.

    `InputError` for an impossible cell, one of another shape than the space group's, a symbol of no
    or several settings, a smallest d that is not positive, and too many reflections.
    """
    check_cell(cell_A_deg)
    group_name = space_group_name(space_group)
    if not cell_fits(cell_A_deg, space_group=group_name):
        shown = ", ".join(f"{value:g}" for value in cell_A_deg)
        raise InputError(f"cell ({shown}) does not have the shape that {group_name} demands")
    hkl, inverse = _within(cell_A_deg, d_min_A=d_min_A)
    group = gemmi.find_spacegroup_by_name(group_name).operations()
    present = ~np.asarray(group.systematic_absences(hkl.astype(np.int32)))
    hkl, inverse = hkl[present], inverse[present]
    rotations = np.unique(operations(group_name)[0], axis=0)
    images = hkl @ rotations  # (rotation, reflection, 3)
    sums = np.einsum("nri,nrj->rij", images, images).reshape(-1, 9)
    _, line, counts = np.unique(sums, axis=0, return_inverse=True, return_counts=True)
    best = _best_named(hkl, line.ravel(), len(counts))
    order = np.argsort(inverse[best], kind="stable")
    named = hkl[best][order]
    return AllowedLines(
        hkl=named,
        names=tuple(" ".join(map(str, indices)) for indices in named.tolist()),
        multiplicity=counts[order].astype(np.int64),
        law=space_group_law(group_name),
    )


def _within(cell_A_deg: Cell, *, d_min_A: float) -> tuple[NDArray[np.int64], Floats]:
    """Return all hkl ≠ 0 with d ≥ ``d_min_A``, (reflection, 3), and their 1/d²."""
    if not 0.0 < d_min_A < math.inf:
        raise InputError(f"the smallest lattice spacing (Å) must be positive: got {d_min_A:g}")
    # |h| = |a·h*| ≤ a/d, and likewise for k and l.
    most = [math.floor(length / d_min_A * (1.0 + 1e-9)) for length in cell_A_deg[:3]]
    triples = math.prod(2 * count + 1 for count in most)
    if triples > MAX_INDEX_TRIPLES:
        raise InputError(
            f"a line list may take at most {MAX_INDEX_TRIPLES} index triples, this one takes "
            f"{triples}: ask for a larger smallest d"
        )
    axes = [np.arange(-count, count + 1) for count in most]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    inverse, _ = inverse_d_squared(index_products(hkl), cell_A_deg=cell_A_deg)
    within = inverse <= (1.0 + 1e-9) / d_min_A**2
    return hkl[within], inverse[within]


def _best_named(hkl: NDArray[np.int64], line: NDArray[np.int64], n_lines: int) -> NDArray[np.int64]:
    """Return for each line the index of the reflection that a crystallographer would name.

    That has the fewest negative indices, then the largest h, k and l.
    """
    negative = np.count_nonzero(hkl < 0, axis=1)
    order = np.lexsort((-hkl[:, 2], -hkl[:, 1], -hkl[:, 0], negative, line))
    return order[np.searchsorted(line[order], np.arange(n_lines))]
