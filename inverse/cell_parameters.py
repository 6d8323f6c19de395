"""The cell parameters that a space group leaves free, and how they move the lines.

A full cell (a, b, c in Å, α, β, γ in degrees) is linear in the free values p:

    cell = constant + matrix · p

    cubic                          a                  triclinic    a, b, c, α, β, γ
    tetragonal, hexagonal,                            monoclinic   a, b, c and the angle at the
    trigonal on hexagonal axes     a, c                            unique axis, β as a rule
    trigonal on rhombohedral axes  a, α               orthorhombic a, b, c

Source: International Tables A, ch. 2.1 (restrictions on the conventional cells).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdct.cell import Cell, metric_tensor_A2
from xrdct.crystal import Crystal
from xrdct.errors import InputError
from xrdct.symmetry import space_group_name

Floats = NDArray[np.float64]

CELL_NAMES = ("a_A", "b_A", "c_A", "alpha_deg", "beta_deg", "gamma_deg")
"""The six parameters of a cell, in their order."""
_PACKED = (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1]))
"""Rows and columns of a symmetric matrix in the order 11, 22, 33, 23, 13, 12."""
_FREE_ANGLE = {"a": "alpha_deg", "b": "beta_deg", "c": "gamma_deg"}
"""By the unique axis of a monoclinic cell."""

_Groups = tuple[tuple[str, ...], ...]
_A, _B, _C = (("a_A",), ("b_A",), ("c_A",))
_ALL_EDGES = ("a_A", "b_A", "c_A")
_ALL_ANGLES = ("alpha_deg", "beta_deg", "gamma_deg")


@dataclass(frozen=True, eq=False)
class CellLaw:
    """How the free parameters of a cell, (n,), make all six."""

    names: tuple[str, ...]
    """Names of the free parameters with their unit, such as ("a_A", "c_A")."""
    constant: Floats
    """What symmetry fixes: right angles and 120°, zero elsewhere; (6,), Å and degrees."""
    matrix: Floats
    """Change of the full cell per free parameter, (6, n); zeros and ones."""

    def cell(self, free: Floats) -> Cell:
        """Return the full cell (a, b, c in Å, α, β, γ in degrees) of free values, (n,)."""
        a, b, c, alpha, beta, gamma = (float(v) for v in self.constant + self.matrix @ free)
        return a, b, c, alpha, beta, gamma

    def free(self, cell_A_deg: Cell) -> Floats:
        """Return the free values, (n,), of a full cell: the mean where it gives one repeatedly."""
        given = self.matrix.T @ (np.asarray(cell_A_deg, dtype=np.float64) - self.constant)
        return np.asarray(given / self.matrix.sum(axis=0))


def cell_law(crystal: Crystal) -> CellLaw:
    """Return the law of a crystal's cell."""
    return space_group_law(crystal.space_group)


def cell_parameters(space_group: str) -> tuple[str, ...]:
    """Return the names of the free parameters, such as ("a_A", "b_A", "c_A", "beta_deg").

    `InputError` for a symbol of no space group, or of several settings.
    """
    return space_group_law(space_group).names


@lru_cache(maxsize=256)
def space_group_law(space_group: str) -> CellLaw:
    """Return the law of the cells of a space group, as 'F d -3 m:2'.

    `InputError` for a symbol of no space group, or of several settings.
    """
    group = gemmi.find_spacegroup_by_name(space_group_name(space_group))
    tied, constant = _ties(group)
    matrix = np.zeros((6, len(tied)))
    for column, names in enumerate(tied):
        matrix[[CELL_NAMES.index(name) for name in names], column] = 1.0
    for array in (constant, matrix):
        array.flags.writeable = False
    return CellLaw(names=tuple(names[0] for names in tied), constant=constant, matrix=matrix)


def _ties(group: gemmi.SpaceGroup) -> tuple[_Groups, Floats]:
    """Return which parameters are equal and free, and the constant part of the cell."""
    right = np.array([0.0, 0.0, 0.0, 90.0, 90.0, 90.0])
    hexagonal = np.array([0.0, 0.0, 0.0, 90.0, 90.0, 120.0])
    system = group.crystal_system_str()
    if system == "cubic":
        return (_ALL_EDGES,), right
    if system == "tetragonal":
        return (("a_A", "b_A"), _C), right
    if system == "trigonal" and group.ext == "R":
        return (_ALL_EDGES, _ALL_ANGLES), np.zeros(6)
    if system in ("trigonal", "hexagonal"):
        return (("a_A", "b_A"), _C), hexagonal
    if system == "orthorhombic":
        return (_A, _B, _C), right
    if system == "monoclinic":
        angle = _FREE_ANGLE[group.monoclinic_unique_axis()]
        right[CELL_NAMES.index(angle)] = 0.0
        return (_A, _B, _C, (angle,)), right
    return tuple((name,) for name in CELL_NAMES), np.zeros(6)


def index_products(hkl: NDArray[np.int64]) -> Floats:
    """Return h², k², l², 2kl, 2hl, 2hk of planes (line, 3), shape (line, 6).

    Their sum with G⁻¹ as 11, 22, 33, 23, 13, 12 is 1/d².
    """
    h, k, m = hkl.T.astype(np.float64)
    return np.stack([h * h, k * k, m * m, 2 * k * m, 2 * h * m, 2 * h * k], axis=1)


def inverse_d_squared(products: Floats, *, cell_A_deg: Cell) -> tuple[Floats, Floats]:
    """Return 1/d² in 1/Å², (line,), of :func:`index_products`, and its slopes, (line, 6).

    A change δG of the metric tensor changes G⁻¹ by −G⁻¹ δG G⁻¹. The slopes are per Å and per degree
    of the six parameters. `InputError` for a cell of no volume.
    """
    metric = metric_tensor_A2(cell_A_deg)
    if not (np.all(np.isfinite(metric)) and np.linalg.det(metric) > 0.0):
        shown = ", ".join(f"{value:g}" for value in cell_A_deg)
        raise InputError(f"a cell must enclose a positive volume: ({shown}) does not")
    inverse = np.linalg.inv(metric)
    slopes = -inverse @ _metric_slopes(cell_A_deg) @ inverse
    return products @ inverse[_PACKED], products @ slopes[:, *_PACKED].T


def log_volume_slopes(cell_A_deg: Cell) -> Floats:
    """Return the change of ln V per Å and per degree of the six parameters, (6,): ½ tr(G⁻¹ δG)."""
    inverse = np.linalg.inv(metric_tensor_A2(cell_A_deg))
    return np.asarray(0.5 * np.einsum("ij,kji->k", inverse, _metric_slopes(cell_A_deg)))


def _metric_slopes(cell_A_deg: Cell) -> Floats:
    """Return the change of the metric tensor per Å and per degree, (6, 3, 3)."""
    edges = np.array(cell_A_deg[:3])
    angles_rad = np.deg2rad(cell_A_deg[3:])
    cosines = np.eye(3)
    slopes = np.zeros((6, 3, 3))
    for angle, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        cosines[i, j] = cosines[j, i] = np.cos(angles_rad[angle])
        bend = -np.deg2rad(np.sin(angles_rad[angle])) * edges[i] * edges[j]
        slopes[3 + angle, i, j] = slopes[3 + angle, j, i] = bend
    for axis in range(3):
        row = cosines[axis] * edges
        slopes[axis, axis, :] += row
        slopes[axis, :, axis] += row
    return slopes
