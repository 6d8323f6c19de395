"""Crystals: built-in structures against Wyckoff tables and densities; variants; validity."""

import dataclasses
import math
import re

import gemmi
import numpy as np
import pytest
import xrayutilities
from hypothesis import given, settings
from hypothesis import strategies as st

from xrdct.crystal import (
    Crystal,
    Site,
    crystal_names,
    load_crystal,
)
from xrdct.errors import InputError
from xrdct.symmetry import orbit


def cif_path(name):
    return f"xrdct/crystals/{name}.cif"


@pytest.mark.parametrize("name", crystal_names())
def test_every_site_of_a_built_in_crystal_is_on_its_wyckoff_position(name, request):
    # Independent tables: xrayutilities reads the same file and names each site after the
    # International Tables; the number in that name is the multiplicity.
    path = request.config.rootpath / cif_path(name)
    theirs = xrayutilities.materials.Crystal.fromCIF(str(path)).lattice
    rows = re.findall(r"^\S+ ([A-Z][a-z]?) (\d+) ([a-z]) ", path.read_text(), flags=re.MULTILINE)
    assert [multiplicity + letter for _, multiplicity, letter in rows] == [
        wyckoff for _, (wyckoff, _), _, _ in theirs._wbase
    ]
    # Its positions, expanded from those tables, are ours, expanded from the operations.
    crystal = load_crystal(name)
    ours = [orbit(site.xyz, space_group=crystal.space_group) for site in crystal.sites]
    assert [len(positions) for positions in ours] == [site.multiplicity for site in crystal.sites]
    assert [len(site.occupancies) * site.multiplicity for site in crystal.sites] == [
        sum(int(row[1]) for row in rows[start:stop]) for start, stop in row_ranges(crystal)
    ]
    for _, point, _, _ in theirs.base():
        shifts = np.concatenate(ours) - point
        assert np.abs(shifts - np.round(shifts)).max(axis=1).min() < 1e-6


def row_ranges(crystal):
    """Return first and past-the-last row of the file for each site: one row per element."""
    ends = np.cumsum([len(site.occupancies) for site in crystal.sites]).tolist()
    return zip([0, *ends[:-1]], ends, strict=True)


@pytest.mark.parametrize("name", crystal_names())
def test_cell_holds_z_formula_units(name, request):
    # The file states the formula and Z on their own; sites and occupancies must make them up.
    text = (request.config.rootpath / cif_path(name)).read_text()
    formula = re.search(r"_chemical_formula_sum '(.*)'", text).group(1)
    crystal = load_crystal(name)
    stated = {
        element: float(count or 1) * crystal.formula_units
        for element, count in re.findall(r"([A-Z][a-z]?)([\d.]*)", formula)
    }
    assert crystal.composition == pytest.approx(stated)


@pytest.mark.parametrize(
    ("name", "density", "half_digit"),
    [
        # CRC Handbook of Chemistry and Physics; half a unit of the last digit printed, and for
        # Al and Li the spread between samples.
        ("Al", 2.70, 0.005),
        ("Si", 2.3290, 0.0005),
        ("CeO2", 7.215, 0.003),
        ("LaB6", 4.71, 0.005),
        ("Li", 0.534, 0.0015),
        ("graphite", 2.26, 0.005),
    ],
)
def test_densities_are_the_tabulated_ones(name, density, half_digit):
    assert load_crystal(name).density_g_per_cm3 == pytest.approx(density, abs=half_digit)


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.9, 1.1))
def test_scaling_changes_the_volume_alone(factor):
    # Law: V ∝ factor³; atoms, and so mass, stay; density ∝ factor⁻³. Rounding only.
    crystal = load_crystal("Li2MnO3")
    scaled = crystal.scaled(factor)
    assert scaled.volume_A3 == pytest.approx(crystal.volume_A3 * factor**3, rel=1e-13)
    assert scaled.composition == crystal.composition
    assert scaled.density_g_per_cm3 * factor**3 == pytest.approx(
        crystal.density_g_per_cm3, rel=1e-13
    )
    assert scaled.scaled(1.0 / factor).cell_A_deg == pytest.approx(crystal.cell_A_deg, rel=1e-14)


def test_volume_of_an_oblique_cell_is_that_of_gemmi():
    # Independent code, for a cell with no right angle.
    cell = (5.1, 6.2, 7.3, 81.0, 95.0, 107.0)
    site = Site("Si1", (("Si", 1.0),), (0.1, 0.2, 0.3), 0.5, 2)
    found = Crystal("any", cell, "P -1", (site,), 1).volume_A3
    assert found == pytest.approx(gemmi.UnitCell(*cell).volume, rel=1e-12)


def test_variants_keep_everything_else():
    crystal = load_crystal("LiMn2O4")
    softer = crystal.with_b_scale(2.0)
    assert [site.b_iso_A2 for site in softer.sites] == [2.0, 1.0, 1.6]
    assert softer.with_b_scale(0.5) == crystal
    emptied = crystal.with_sites(crystal.sites[1:])
    assert emptied.composition == {"Mn": 16.0, "O": 32.0}
    assert hash(crystal.scaled(1.0)) == hash(crystal)
    assert load_crystal("LiMn2O4") is load_crystal("LiMn2O4")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sites": ()}, "must have atoms: LiMn2O4 has none"),
        ({"space_group": "F d -3 m"}, "has two settings: write 'F d -3 m:1' or 'F d -3 m:2'"),
        ({"formula_units": 0}, "formula units per cell must be at least 1: 0"),
        ({"cell_A_deg": (math.nan,) * 3 + (90.0,) * 3}, "cell length a .* got nan"),
    ],
)
def test_a_crystal_cannot_be_built_wrong(change, sentence):
    with pytest.raises(InputError, match=sentence):
        dataclasses.replace(load_crystal("LiMn2O4"), **change)


def test_a_site_needs_finite_coordinates():
    with pytest.raises(InputError, match="coordinates must be finite: site O1"):
        Site("O1", (("O", 1.0),), (0.1, math.nan, 0.3), 0.5, 1)


def test_unknown_crystal_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown crystal 'LMO': .*LiMn2O4"):
        load_crystal("LMO")


def test_images_that_neither_meet_nor_part_are_refused():
    # Law (orbit and stabiliser): the number of images times that of the operations that leave the
    # atom in place is the number of all operations. To 2e-3, 4 of the 12 of P 6 m m leave this atom
    # in place, but it has 6 images; 3 of the 4 of P 4 leave the other, but it has only 1.
    with pytest.raises(InputError, match="its multiplicity is unclear"):
        orbit((0.003735853631456351, 1.0019980620646063, 0.33), space_group="P 6 m m")
    with pytest.raises(InputError, match="its multiplicity is unclear"):
        orbit((0.0015, 0.0, 0.3), space_group="P 4")
