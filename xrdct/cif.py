"""Read one crystal structure from CIF text, taking nothing on trust.

gemmi parses the syntax. What it accepts in silence (numbers that are none, a space group without
its origin choice, unknown elements) is refused here, each with one `InputError`. The limits of
cell, occupancies and displacement parameters are those of `xrdct.crystal.Crystal`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import gemmi

from xrdct.cell import Cell, check_cell
from xrdct.errors import InputError
from xrdct.symmetry import cell_fits, orbit, settings_of

_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_HM = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full")
_HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_FORMULA_UNITS = ("_cell_formula_units_Z",)
_MULTIPLICITY = ("site_symmetry_multiplicity", "symmetry_multiplicity")


@dataclass(frozen=True)
class CifAtom:
    """One row of the atom list: Å² for B, ``multiplicity`` None where the file states none."""

    label: str
    element: str
    xyz: tuple[float, float, float]
    occupancy: float
    b_iso_A2: float
    multiplicity: int | None


@dataclass(frozen=True)
class CifStructure:
    """What a CIF says: cell in Å and degrees, full space-group symbol, Z and the atom rows."""

    cell_A_deg: Cell
    space_group: str
    formula_units: int
    atoms: tuple[CifAtom, ...]


def parse_cif(text: str) -> CifStructure:
    """Return the one structure in ``text``; `InputError` with the rule that it breaks."""
    block = _structure_block(text)
    cell = _cell(block)
    atoms = _atoms(block)
    space_group = _space_group(block, cell=cell, atoms=atoms)
    return CifStructure(cell, space_group, _formula_units(block), atoms)


def _structure_block(text: str) -> gemmi.cif.Block:
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"not a CIF: {error}") from error
    blocks = [block for block in document if block.find_values("_atom_site_fract_x")]
    if not blocks:
        raise InputError("a CIF must list atoms (_atom_site_fract_x): there are none")
    if len(blocks) > 1:
        names = ", ".join(block.name for block in blocks)
        raise InputError(f"a CIF must hold one structure: it holds {len(blocks)} ({names})")
    return blocks[0]


def _value(block: gemmi.cif.Block, tags: tuple[str, ...]) -> str | None:
    """Return the first of ``tags`` that has a value other than '?' and '.'."""
    for tag in tags:
        raw = block.find_value(tag)
        if raw is not None and raw not in ("?", "."):
            return gemmi.cif.as_string(raw).strip()
    return None


def _number(raw: str, what: str) -> float:
    value = gemmi.cif.as_number(raw)  # drops the standard uncertainty: 8.245(1) is 8.245
    if not math.isfinite(value):
        raise InputError(f"{what} must be a number: got {raw!r}")
    return float(value)


def _whole_number(raw: str, what: str) -> int:
    value = _number(raw, what)
    if value < 1 or value != round(value):
        raise InputError(f"{what} must be a whole number from 1: got {raw!r}")
    return round(value)


def _cell(block: gemmi.cif.Block) -> Cell:
    a, b, c, alpha, beta, gamma = (
        _number(block.find_value(f"_cell_{name}") or "?", f"_cell_{name}") for name in _CELL
    )
    cell = (a, b, c, alpha, beta, gamma)
    check_cell(cell)
    return cell


def _formula_units(block: gemmi.cif.Block) -> int:
    raw = _value(block, _FORMULA_UNITS)
    # Without Z the whole cell is taken as the formula unit: only Z·M, the cell's mass, matters.
    return 1 if raw is None else _whole_number(raw, _FORMULA_UNITS[0])


def _atoms(block: gemmi.cif.Block) -> tuple[CifAtom, ...]:
    loop = block.find_loop("_atom_site_fract_x").get_loop()
    if loop is None:
        raise InputError("the atom list of a CIF must be a loop_")
    tags = [tag.lower().removeprefix("_atom_site_") for tag in loop.tags]
    width = len(tags)
    rows = [loop.values[start : start + width] for start in range(0, len(loop.values), width)]
    return tuple(_atom(dict(zip(tags, row, strict=True))) for row in rows)


def _stated(row: dict[str, str], *names: str) -> str | None:
    """Return the first of the columns that has a value other than '?' and '.'."""
    for name in names:
        if row.get(name, "?") not in ("?", "."):
            return str(gemmi.cif.as_string(row[name])).strip()
    return None


def _atom(row: dict[str, str]) -> CifAtom:
    label = _stated(row, "label", "type_symbol") or "?"
    x, y, z = (_number(row.get(f"fract_{axis}", "?"), f"{axis} of atom {label}") for axis in "xyz")
    occupancy = _stated(row, "occupancy") or "1"
    return CifAtom(
        label=label,
        element=_element(_stated(row, "type_symbol"), label=label),
        xyz=(x, y, z),
        occupancy=_number(occupancy, f"occupancy of atom {label}"),
        b_iso_A2=_b_iso_A2(row, label=label),
        multiplicity=_multiplicity(row, label=label),
    )


def _element(type_symbol: str | None, *, label: str) -> str:
    """Return 'Mn' for the type 'Mn3+', or for the label 'Mn1' where no type is stated."""
    if type_symbol is None:
        found = re.match(r"([A-Z][a-z]?)", label)
    else:
        found = re.fullmatch(r"([A-Z][a-z]?)(\d*[+-]\d*|0)?", type_symbol)
    if found is None:
        raise InputError(f"atom {label} must be of a known element: got {type_symbol or label!r}")
    return found.group(1)


def _b_iso_A2(row: dict[str, str], *, label: str) -> float:
    b_iso, u_iso = _stated(row, "b_iso_or_equiv"), _stated(row, "u_iso_or_equiv")
    if b_iso is not None:
        return _number(b_iso, f"B_iso of atom {label}")
    if u_iso is not None:
        return 8.0 * math.pi**2 * _number(u_iso, f"U_iso of atom {label}")
    raise InputError(
        f"atom {label} must state _atom_site_B_iso_or_equiv or _atom_site_U_iso_or_equiv "
        "(B = 0.5 Å² is usual for an oxide): it states neither"
    )


def _multiplicity(row: dict[str, str], *, label: str) -> int | None:
    raw = _stated(row, *_MULTIPLICITY)
    number = None if raw is None else _whole_number(raw, f"site multiplicity of atom {label}")
    wyckoff = _stated(row, "wyckoff_symbol") or ""
    digits = re.match(r"\d+", wyckoff)  # some write '16d', the dictionary wants 'd'
    if digits is None:
        return number
    if number not in (None, int(digits.group())):
        raise InputError(f"atom {label} has multiplicity {number} but Wyckoff symbol {wyckoff}")
    return int(digits.group())


def _space_group(block: gemmi.cif.Block, *, cell: Cell, atoms: tuple[CifAtom, ...]) -> str:
    symbol = _value(block, _HM)
    stated = {group.xhm() for group in _groups_from_operations(block)}
    if symbol is None and not stated:
        raise InputError("a CIF must state its space group (_space_group_name_H-M_alt)")
    settings = set(settings_of(symbol)) if symbol is not None else stated
    for group in stated:
        settings = settings & {group}
    if not settings:
        raise InputError(
            f"space group {symbol!r} contradicts the file's own operations or Hall symbol, which "
            f"are those of {' and '.join(sorted(stated))}"
        )
    if len(settings) == 1:
        return settings.pop()
    # No origin choice was made: the cell's shape and the stated multiplicities may settle it.
    fitting = [name for name in sorted(settings) if _agrees(name, cell=cell, atoms=atoms)]
    if len(fitting) != 1:
        choices = " or ".join(repr(name) for name in sorted(settings))
        raise InputError(f"space group {symbol!r} needs its origin choice: write {choices}")
    return fitting[0]


def _groups_from_operations(block: gemmi.cif.Block) -> list[gemmi.SpaceGroup]:
    """Return the groups named by the file's list of operations and by its Hall symbol."""
    operations = []
    hall = _value(block, _HALL)
    triplets = [gemmi.cif.as_string(raw) for tag in _OPERATIONS for raw in block.find_values(tag)]
    try:
        if triplets:
            operations.append(gemmi.GroupOps([gemmi.Op(triplet) for triplet in triplets]))
        if hall is not None:
            operations.append(gemmi.symops_from_hall(hall))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"symmetry operations or Hall symbol are unreadable: {error}") from error
    groups = [gemmi.find_spacegroup_by_ops(ops) for ops in operations]
    if None in groups:
        raise InputError("the symmetry operations or Hall symbol are those of no known space group")
    return groups


def _agrees(space_group: str, *, cell: Cell, atoms: tuple[CifAtom, ...]) -> bool:
    if not cell_fits(cell, space_group=space_group):
        return False
    try:
        return all(
            atom.multiplicity in (None, len(orbit(atom.xyz, space_group=space_group)))
            for atom in atoms
        )
    except InputError:  # an atom too close to a special position of this setting
        return False
