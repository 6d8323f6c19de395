"""What the micro-cell is made of: composition and density of each material by name.

A `Substance` without a ``crystal`` is given by its atoms and density; the forward model scatters
it as independent atoms with short-range order (:mod:`forward.amorphous`). Those with a ``crystal``
are fine powders of it.

Sources: polymer repeat units and handbook densities; borosilicate as Pyrex by weight of oxides;
electrolyte EC:EMC 3:7 by weight with 1.2 mol/l LiPF6 at 1.20 g/cm³; steel as austenite 18/10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from xrdct.composition import formula_mass_u
from xrdct.crystal import Crystal, Site, load_crystal
from xrdct.errors import InputError

Formula = Mapping[str, float]

_OXIDES: tuple[tuple[Formula, float], ...] = (
    ({"Si": 1, "O": 2}, 0.81),
    ({"B": 2, "O": 3}, 0.13),
    ({"Na": 2, "O": 1}, 0.04),
    ({"Al": 2, "O": 3}, 0.02),
)
"""Borosilicate glass, (oxide, weight fraction)."""
_SOLVENTS: tuple[tuple[Formula, float], ...] = (
    ({"C": 3, "H": 4, "O": 3}, 0.3),
    ({"C": 4, "H": 8, "O": 3}, 0.7),
)
"""Ethylene carbonate and ethyl methyl carbonate, (molecule, share of the solvent's weight)."""
_SALT: Formula = {"Li": 1, "P": 1, "F": 6}
_SALT_MOL_PER_CM3 = 1.2e-3
_ELECTROLYTE_G_PER_CM3 = 1.20


@dataclass(frozen=True, eq=False)
class Substance:
    """A material of the cell."""

    composition: Formula
    """Atoms of each element, in any unit; of a crystal, those of its cell."""
    density_g_per_cm3: float
    crystal: Crystal | None = None


def substance_names() -> tuple[str, ...]:
    """Return the names of all substances, in the order of every array by substance."""
    return tuple(_SUBSTANCES)


def substance(name: str) -> Substance:
    """Return a substance by name; `InputError` if there is none."""
    if name not in _SUBSTANCES:
        raise InputError(f"unknown substance {name!r}: there are {', '.join(_SUBSTANCES)}")
    return _SUBSTANCES[name]


def mixture(parts: Iterable[tuple[Formula, float]]) -> Formula:
    """Return the atoms of a mixture of (formula, weight), in moles per unit of weight."""
    atoms: dict[str, float] = {}
    for formula, weight in parts:
        moles = weight / formula_mass_u(formula)
        for element, count in formula.items():
            atoms[element] = atoms.get(element, 0.0) + count * moles
    return MappingProxyType(atoms)


def _electrolyte() -> Substance:
    salt = _SALT_MOL_PER_CM3 * formula_mass_u(_SALT) / _ELECTROLYTE_G_PER_CM3
    solvents = [(molecule, (1.0 - salt) * share) for molecule, share in _SOLVENTS]
    return Substance(mixture([(_SALT, salt), *solvents]), _ELECTROLYTE_G_PER_CM3)


def _crystalline(crystal: Crystal) -> Substance:
    return Substance(
        MappingProxyType(crystal.composition), crystal.density_g_per_cm3, crystal=crystal
    )


def _austenite() -> Crystal:
    metals = (("Fe", 0.70), ("Cr", 0.19), ("Ni", 0.11))
    site = Site("M1", metals, (0.0, 0.0, 0.0), b_iso_A2=0.5, multiplicity=4)
    return Crystal("austenite", (3.595, 3.595, 3.595, 90.0, 90.0, 90.0), "F m -3 m", (site,), 4)


_SUBSTANCES: Mapping[str, Substance] = MappingProxyType(
    {
        "PEEK": Substance({"C": 19, "H": 12, "O": 3}, 1.30),
        "PFA": Substance({"C": 1, "F": 2}, 2.15),
        "electrolyte": _electrolyte(),
        "glass": Substance(mixture(_OXIDES), 2.23),
        "carbon": Substance({"C": 1}, 1.90),
        "PVDF": Substance({"C": 2, "H": 2, "F": 2}, 1.78),
        "Al": _crystalline(load_crystal("Al")),
        "Li": _crystalline(load_crystal("Li")),
        "steel": _crystalline(_austenite()),
    }
)
