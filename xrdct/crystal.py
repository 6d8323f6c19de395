"""A crystal: cell, space group and sites, valid by construction and cheap to vary.

Crystals are immutable and hashable; a scaled cell or another occupancy is another crystal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from itertools import combinations
from pathlib import Path

import xraylib

from xrdct.cell import Cell, cell_volume_A3, check_cell
from xrdct.cif import CifAtom, parse_cif
from xrdct.errors import InputError
from xrdct.symmetry import cell_fits, orbit, same_position, space_group_name

ATOMIC_MASS_UNIT_G = 1.66053906660e-24
MAX_B_ISO_A2 = 50.0
MAX_ATOMIC_NUMBER = 92
_MAX_CIF_BYTES = 4_000_000


@dataclass(frozen=True)
class Site:
    """A crystallographic site, with one element on it or several sharing it."""

    label: str
    occupancies: tuple[tuple[str, float], ...]
    """(element, occupancy) pairs; what is missing to a total of 1 is vacant."""
    xyz: tuple[float, float, float]
    """Fractional coordinates of one of the equivalent positions."""
    b_iso_A2: float
    """Isotropic displacement parameter B = 8π²⟨u²⟩, Å²."""
    multiplicity: int
    """Number of equivalent positions in the cell."""

    def __post_init__(self) -> None:
        for element, occupancy in self.occupancies:
            atomic_number(element)
            if not 0.0 <= occupancy <= 1.0:
                raise InputError(
                    f"an occupancy must lie within 0–1: {element} on site {self.label} has "
                    f"{occupancy:g}"
                )
        total = sum(occupancy for _, occupancy in self.occupancies)
        if total > 1.0 + 1e-6:
            raise InputError(
                f"the occupancies of one site must not exceed 1 in total: site {self.label} has "
                f"{total:g}"
            )
        if not all(math.isfinite(value) for value in self.xyz):
            raise InputError(f"coordinates must be finite: site {self.label} has {self.xyz}")
        if not 0.0 <= self.b_iso_A2 <= MAX_B_ISO_A2:
            raise InputError(
                f"B_iso must lie within 0–{MAX_B_ISO_A2:g} Å²: site {self.label} has "
                f"{self.b_iso_A2:g}"
            )


@dataclass(frozen=True)
class Crystal:
    """A crystal structure. `InputError` if cell, space group and sites do not make one."""

    name: str
    cell_A_deg: Cell
    """(a, b, c in Å, α, β, γ in degrees)."""
    space_group: str
    """Hermann–Mauguin symbol with origin choice, such as 'F d -3 m:2'."""
    sites: tuple[Site, ...]
    formula_units: int
    """Formula units per cell, Z."""

    def __post_init__(self) -> None:
        check_cell(self.cell_A_deg)
        object.__setattr__(self, "space_group", space_group_name(self.space_group))
        if not cell_fits(self.cell_A_deg, space_group=self.space_group):
            cell = ", ".join(f"{value:g}" for value in self.cell_A_deg)
            raise InputError(f"cell ({cell}) does not have the shape {self.space_group} demands")
        if not self.sites:
            raise InputError(f"a crystal must have atoms: {self.name} has none")
        if self.formula_units < 1:
            raise InputError(f"formula units per cell must be at least 1: {self.formula_units}")
        for site in self.sites:
            found = len(orbit(site.xyz, space_group=self.space_group))
            if found != site.multiplicity:
                raise InputError(
                    f"site {site.label} should have multiplicity {site.multiplicity}, but "
                    f"{self.space_group} makes {found} positions of {site.xyz}"
                )
        _check_shared_positions(self.sites, space_group=self.space_group)

    @property
    def volume_A3(self) -> float:
        """Volume of the cell, Å³."""
        return cell_volume_A3(self.cell_A_deg)

    @property
    def composition(self) -> dict[str, float]:
        """Atoms of each element per cell."""
        atoms: dict[str, float] = {}
        for site in self.sites:
            for element, occupancy in site.occupancies:
                atoms[element] = atoms.get(element, 0.0) + occupancy * site.multiplicity
        return atoms

    @property
    def cell_mass_u(self) -> float:
        """Mass of the cell's content, u."""
        return sum(
            count * float(xraylib.AtomicWeight(atomic_number(element)))
            for element, count in self.composition.items()
        )

    @property
    def density_g_per_cm3(self) -> float:
        """X-ray density: mass of the cell over its volume, g/cm³."""
        return self.cell_mass_u * ATOMIC_MASS_UNIT_G / (self.volume_A3 * 1e-24)

    def scaled(self, factor: float) -> Crystal:
        """Return the crystal with all three cell lengths multiplied by ``factor``."""
        a, b, c, alpha, beta, gamma = self.cell_A_deg
        cell = (a * factor, b * factor, c * factor, alpha, beta, gamma)
        return replace(self, cell_A_deg=cell)

    def with_sites(self, sites: Iterable[Site]) -> Crystal:
        """Return the crystal with other sites in the same cell."""
        return replace(self, sites=tuple(sites))

    def with_b_scale(self, factor: float) -> Crystal:
        """Return the crystal with every B_iso multiplied by ``factor``."""
        return self.with_sites(
            replace(site, b_iso_A2=site.b_iso_A2 * factor) for site in self.sites
        )


def atomic_number(element: str) -> int:
    """Return Z of an element symbol; `InputError` unless it is one from H to U."""
    try:
        number = int(xraylib.SymbolToAtomicNumber(element))
    except (ValueError, TypeError) as error:
        raise InputError(f"unknown element {element!r}: write a symbol such as 'Mn'") from error
    if number > MAX_ATOMIC_NUMBER:
        raise InputError(f"elements are tabulated up to U: got {element!r}")
    return number


def crystal_names() -> tuple[str, ...]:
    """Return the names of the built-in crystals, sorted."""
    files = resources.files("xrdct").joinpath("crystals").iterdir()
    return tuple(sorted(f.name[:-4] for f in files if f.name.endswith(".cif")))


@lru_cache(maxsize=64)
def load_crystal(name: str) -> Crystal:
    """Return a built-in crystal by name, such as 'LiMn2O4'; `InputError` if there is none."""
    if name not in crystal_names():
        known = ", ".join(crystal_names())
        raise InputError(f"unknown crystal {name!r}: the built-in ones are {known}")
    file = resources.files("xrdct").joinpath("crystals", f"{name}.cif")
    return crystal_from_cif(file.read_text(encoding="utf-8"), name=name)


def load_cif(path: str | Path) -> Crystal:
    """Return the crystal in a CIF file, named after the file.

    `InputError`, starting with the path, if the file is missing, unreadable, or refused by
    `parse_cif` or `Crystal`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such CIF file")
    try:
        if path.stat().st_size > _MAX_CIF_BYTES:
            raise InputError(f"a CIF must be smaller than {_MAX_CIF_BYTES // 10**6} MB")
        return crystal_from_cif(path.read_text(encoding="utf-8"), name=path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def crystal_from_cif(text: str, *, name: str) -> Crystal:
    """Return the crystal described by CIF text; `InputError` with the rule that it breaks."""
    structure = parse_cif(text)
    sites = _merged_sites(structure.atoms, space_group=structure.space_group)
    return Crystal(
        name, structure.cell_A_deg, structure.space_group, sites, structure.formula_units
    )


def _merged_sites(atoms: tuple[CifAtom, ...], *, space_group: str) -> tuple[Site, ...]:
    """Join atoms that share a position and a B; those with different B stay sites of their own."""
    sites: list[Site] = []
    for atom in atoms:
        multiplicity = atom.multiplicity or len(orbit(atom.xyz, space_group=space_group))
        pair = (atom.element, atom.occupancy)
        for index, site in enumerate(sites):
            if (
                site.b_iso_A2 == atom.b_iso_A2
                and site.multiplicity == multiplicity
                and same_position(site.xyz, atom.xyz, space_group=space_group)
            ):
                sites[index] = replace(site, occupancies=(*site.occupancies, pair))
                break
        else:
            sites.append(Site(atom.label, (pair,), atom.xyz, atom.b_iso_A2, multiplicity))
    return tuple(sites)


def _check_shared_positions(sites: tuple[Site, ...], *, space_group: str) -> None:
    """Raise `InputError` if sites on one position hold more than one atom together."""
    positions = tuple(site.xyz for site in sites)
    for first, second in _shared_positions(positions, space_group=space_group):
        pair = (*sites[first].occupancies, *sites[second].occupancies)
        total = sum(occupancy for _, occupancy in pair)
        if total > 1.0 + 1e-6:
            raise InputError(
                f"the occupancies of one position must not exceed 1 in total: sites "
                f"{sites[first].label} and {sites[second].label} have {total:g}"
            )


@lru_cache(maxsize=256)
def _shared_positions(
    positions: tuple[tuple[float, float, float], ...], *, space_group: str
) -> tuple[tuple[int, int], ...]:
    """Return the index pairs of sites on the same position; cached, as variants share it."""
    return tuple(
        (first, second)
        for first, second in combinations(range(len(positions)), 2)
        if same_position(positions[first], positions[second], space_group=space_group)
    )
