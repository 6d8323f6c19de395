"""Allowed lines, against lines of crystals with atoms, textbook absences and chosen cells."""

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.cell_parameters import index_products, inverse_d_squared, space_group_law
from inverse.line_list import allowed_lines
from xrdct.crystal import crystal_names, load_crystal
from xrdct.errors import InputError
from xrdct.reflections import powder_reflections

SETTINGS = [group.xhm() for group in gemmi.spacegroup_table()]
CUBIC = (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)


def of_crystal(crystal, d_min_A=0.7):
    return allowed_lines(crystal.cell_A_deg, space_group=crystal.space_group, d_min_A=d_min_A)


@pytest.mark.parametrize("name", crystal_names())
def test_every_line_of_a_structure_is_allowed_with_its_multiplicity(name):
    # Truth: the lines that the atoms make (another enumeration, without gemmi's absences). Where
    # atoms sit on special positions they may leave some reflections of a line out.
    crystal = load_crystal(name)
    lines = of_crystal(crystal)
    d_A = lines.d_A(crystal.cell_A_deg)
    made = powder_reflections(crystal, energy_keV=50.0, d_min_A=0.7 * (1.0 + 1e-5))
    for d, multiplicity in zip(made.d_A, made.multiplicity, strict=True):
        same = np.abs(d_A / d - 1.0) < 1e-6
        assert lines.multiplicity[same].sum() >= multiplicity, (name, d)


@pytest.mark.parametrize("name", ["LiMn2O4", "LaB6", "CeO2", "Al", "LiMnO2-ortho"])
def test_general_positions_extinguish_nothing_more(name):
    # Truth: with an atom on the general position only systematic absences are left, so the lists
    # agree line by line; such an atom cancels no line by chance.
    crystal = load_crystal(name)
    site = crystal.sites[0]
    order = len(gemmi.find_spacegroup_by_name(crystal.space_group).operations())
    general = site.__class__("X", (("O", 1.0),), (0.0713, 0.1637, 0.2931), 0.0, order)
    made = powder_reflections(crystal.with_sites([general]), energy_keV=50.0, d_min_A=0.75)
    lines = of_crystal(crystal, d_min_A=0.75)
    d_A = lines.d_A(crystal.cell_A_deg)
    # Lines that coincide by chance are one in the crystal's list and several in this.
    starts = np.flatnonzero(np.diff(-d_A, prepend=-np.inf) > 1e-6 * d_A)
    np.testing.assert_allclose(d_A[starts], made.d_A, rtol=1e-6)
    np.testing.assert_array_equal(
        np.add.reduceat(lines.multiplicity, starts), made.multiplicity.astype(int)
    )


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("P m -3 m", ["1 0 0", "1 1 0", "1 1 1", "2 0 0", "2 1 0", "2 1 1", "2 2 0"]),
        ("I m -3 m", ["1 1 0", "2 0 0", "2 1 1", "2 2 0"]),
        ("F m -3 m", ["1 1 1", "2 0 0", "2 2 0"]),
        ("F d -3 m:2", ["1 1 1", "2 2 0"]),
        ("P 21 3", ["1 1 0", "1 1 1", "2 0 0", "2 1 0", "2 1 1", "2 2 0"]),
    ],
)
def test_cubic_lines_are_the_textbooks(symbol, names):
    # Truth: reflection conditions of International Tables A for d ≥ a/√8.
    lines = allowed_lines(CUBIC, space_group=symbol, d_min_A=4.0 / np.sqrt(8.0))
    assert list(lines.names) == names


def test_lines_that_always_coincide_are_one():
    # Truth: 333 and 511 of a cubic cell (8 + 24), 300 and 221 (6 + 24); of a primitive cell.
    lines = allowed_lines(CUBIC, space_group="P m -3 m", d_min_A=4.0 / np.sqrt(27.0))
    multiplicity = dict(zip(lines.names, lines.multiplicity, strict=True))
    assert multiplicity["5 1 1"] == 32
    assert multiplicity["3 0 0"] == 30
    assert "3 3 3" not in multiplicity


def test_lines_that_coincide_by_chance_are_not():
    # A tetragonal cell that happens to be cubic keeps 100 (4) apart from 001 (2).
    lines = allowed_lines(CUBIC, space_group="P 4/m m m", d_min_A=4.0)
    assert dict(zip(lines.names, lines.multiplicity, strict=True)) == {"1 0 0": 4, "0 0 1": 2}


@given(group=st.sampled_from(SETTINGS), seed=st.integers(0, 2**31))
def test_lines_account_for_every_allowed_reflection_of_any_cell(group, seed):
    # Law: lines listed for one cell, moved to another of the same space group, are the lines of
    # that cell; and multiplicities add up to the reflections gemmi does not forbid.
    law = space_group_law(group)
    rng = np.random.default_rng(seed)
    low = np.array([4.0 if name in ("a_A", "b_A", "c_A") else 80.0 for name in law.names])
    span = np.array([4.0 if name in ("a_A", "b_A", "c_A") else 20.0 for name in law.names])
    first, second = (law.cell(low + span * rng.random(low.size)) for _ in range(2))
    d_min = 1.6
    listed = allowed_lines(first, space_group=group, d_min_A=0.35 * d_min)
    moved = np.sort(listed.d_A(second)[listed.d_A(second) >= d_min])
    own = allowed_lines(second, space_group=group, d_min_A=d_min)
    np.testing.assert_allclose(moved, np.sort(own.d_A(second)), rtol=1e-9)
    assert np.all(np.diff(own.d_A(second)) <= 0.0)
    indices = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    indices = indices[np.any(indices != 0, axis=1)]
    inverse, _ = inverse_d_squared(index_products(indices), cell_A_deg=second)
    operations = gemmi.find_spacegroup_by_name(group).operations()
    allowed = [
        not operations.is_systematically_absent(hkl.tolist())
        for hkl in indices[inverse <= 1.0 / d_min**2]
    ]
    assert own.multiplicity.sum() == sum(allowed)


@pytest.mark.parametrize(
    ("cell", "group", "d_min", "rule"),
    [
        (CUBIC, "F d -3 m", 1.0, "has two settings"),
        ((4.0, 4.1, 4.0, 90.0, 90.0, 90.0), "P m -3 m", 1.0, "shape that P m -3 m demands"),
        (CUBIC, "P m -3 m", 0.0, "must be positive"),
        (CUBIC, "P m -3 m", 1e-3, "at most 4000000 index triples"),
        ((np.nan, 4.0, 4.0, 90.0, 90.0, 90.0), "P m -3 m", 1.0, "cell length a must lie within"),
    ],
)
def test_impossible_lists_are_refused(cell, group, d_min, rule):
    with pytest.raises(InputError, match=rule):
        allowed_lines(cell, space_group=group, d_min_A=d_min)
