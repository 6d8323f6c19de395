"""Reading a CIF: what it says is what the crystal is, and what it is refused for."""

import math
import re

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrdct.crystal import (
    crystal_from_cif,
    load_cif,
)
from xrdct.errors import InputError
from xrdct.symmetry import orbit

SPINEL = """data_spinel
_cell_formula_units_Z 8
_cell_length_a 8.245(1)
_cell_length_b 8.245(1)
_cell_length_c 8.245(1)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F d -3 m :2'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_site_symmetry_multiplicity
_atom_site_Wyckoff_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_B_iso_or_equiv
Li1 Li1+ 8 a 0.125 0.125 0.125 1 1.0
Mn1 Mn3+ 16 d 0.5 0.5 0.5 0.9 0.5
Li2 Li 16 d 0.5 0.5 0.5 0.1 0.5
O1 O2- 32 e 0.263(2) 0.263 0.263 1 0.8
"""


def edited(*changes):
    text = SPINEL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def test_a_cif_is_read_as_it_says():
    # What SPINEL spells out: uncertainties in brackets, charges, and Li sharing 16d with Mn.
    crystal = crystal_from_cif(SPINEL, name="spinel")
    assert crystal.cell_A_deg == (8.245, 8.245, 8.245, 90.0, 90.0, 90.0)
    assert crystal.space_group == "F d -3 m:2"
    assert crystal.formula_units == 8
    assert [site.occupancies for site in crystal.sites] == [
        (("Li", 1.0),),
        (("Mn", 0.9), ("Li", 0.1)),
        (("O", 1.0),),
    ]
    assert [site.multiplicity for site in crystal.sites] == [8, 16, 32]
    assert crystal.sites[2].xyz == (0.263, 0.263, 0.263)
    assert [site.b_iso_A2 for site in crystal.sites] == [1.0, 0.5, 0.8]


def test_atoms_on_equivalent_positions_share_a_site():
    # (1/2, 0, 0) is one of the sixteen positions 16d makes of (1/2, 1/2, 1/2).
    text = edited(("Li2 Li 16 d 0.5 0.5 0.5", "Li2 Li 16 d 0.5 0 0"))
    assert crystal_from_cif(text, name="x") == crystal_from_cif(SPINEL, name="x")


def test_atoms_with_different_b_on_one_position_stay_apart():
    crystal = crystal_from_cif(edited(("0.1 0.5\n", "0.1 0.7\n")), name="x")
    assert [(site.b_iso_A2, site.occupancies) for site in crystal.sites][1:3] == [
        (0.5, (("Mn", 0.9),)),
        (0.7, (("Li", 0.1),)),
    ]


def test_b_may_be_stated_as_u():
    # B = 8π²U (International Tables D, ch. 1.9).
    text = edited(
        ("B_iso_or_equiv", "U_iso_or_equiv"), ("1 1.0\n", "1 0.01\n"), ("0.8\n", "0.008\n")
    )
    site = crystal_from_cif(text, name="x").sites[0]
    assert site.b_iso_A2 == pytest.approx(0.789568, abs=5e-7)


def test_elements_are_read_from_labels_where_no_type_is_stated():
    text = SPINEL.replace("_atom_site_type_symbol\n", "")
    text = re.sub(r"^(\w+) \w+[+-]? (\d+ [a-z])", r"\1 \2", text, flags=re.MULTILINE)
    assert crystal_from_cif(text, name="x") == crystal_from_cif(SPINEL, name="x")


@pytest.mark.parametrize(("x", "y"), [("0.3333", "0.6667"), ("0.333", "0.667")])
def test_rounded_thirds_are_moved_onto_the_special_position(x, y, request):
    # Graphite 2c is at (1/3, 2/3, 1/4): two positions, exactly there, however it was rounded.
    text = (request.config.rootpath / "xrdct/crystals/graphite.cif").read_text()
    rounded = text.replace("0.3333333333", x).replace("0.6666666667", y)
    site = crystal_from_cif(rounded, name="graphite").sites[1]
    found = np.sort(orbit(site.xyz, space_group="P 63/m m c"), axis=0)
    np.testing.assert_allclose(found, [[1 / 3, 1 / 3, 0.25], [2 / 3, 2 / 3, 0.75]], atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        [("'F d -3 m :2'", "'F d -3 m Z'")],
        [("'F d -3 m :2'", "Fd-3m:2")],
        # No choice, but 8a at 1/8 and 16d at 1/2 exist in choice 2 alone.
        [("'F d -3 m :2'", "'F d -3 m'")],
        [("'F d -3 m :2'", "'F d -3 m'\n_space_group_name_Hall '-F 4vw 2vw 3'"), (" 16 d", " . .")],
    ],
)
def test_origin_choice_2_is_found_however_it_is_told(changes):
    assert crystal_from_cif(edited(*changes), name="x").space_group == "F d -3 m:2"


def test_a_list_of_operations_settles_the_origin():
    group = gemmi.find_spacegroup_by_name("F d -3 m:2")
    operations = "\n".join(f"'{operation.triplet()}'" for operation in group.operations())
    loop = f"loop_\n_space_group_symop_operation_xyz\n{operations}\n"
    bare = edited(("_space_group_name_H-M_alt 'F d -3 m :2'\n", loop), (" 16 d", " . ."))
    assert crystal_from_cif(bare, name="x").space_group == "F d -3 m:2"


def test_rhombohedral_axes_are_told_by_the_shape_of_the_cell():
    # R-3m has hexagonal and rhombohedral axes; a = b = c, α = β = γ ≠ 90° fits the latter alone.
    text = edited(("'F d -3 m :2'", "'R -3 m'"), ("alpha 90", "alpha 60"), ("beta 90", "beta 60"))
    text = text.replace("gamma 90", "gamma 60").split("Li1 ")[0] + "Al1 Al ? a 0 0 0 1 0.8\n"
    assert crystal_from_cif(text, name="x").space_group == "R -3 m:R"


NO_MULTIPLICITY = [(" 8 a", " ? ?"), (" 16 d", " ? ?"), (" 32 e", " ? ?")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([("length_a 8.245(1)", "length_a 0")], "cell length a must lie within 1–100 Å: got 0"),
        ([("length_b 8.245(1)", "length_b -8.2")], "cell length b must .* got -8.2"),
        ([("length_c 8.245(1)", "length_c 820")], "cell length c must .* got 820"),
        ([("length_a 8.245(1)", "length_a nan")], "_cell_length_a must be a number: got 'nan'"),
        ([("length_a 8.245(1)", "length_a inf")], "_cell_length_a must be a number: got 'inf'"),
        ([("_cell_length_a 8.245(1)\n", "")], r"_cell_length_a must be a number: got '\?'"),
        ([("alpha 90", "alpha 170")], "cell angle α must lie within 20–160 °: got 170"),
        ([("alpha 90", "alpha 40"), ("beta 90", "beta 40")], "must enclose a positive volume"),
        ([("length_b 8.245(1)", "length_b 8.3")], "does not have the shape F d -3 m:2 demands"),
        ([("gamma 90", "gamma 91")], "does not have the shape F d -3 m:2 demands"),
        ([("Mn1 Mn3+", "Mn1 Mz3+")], "unknown element 'Mz'"),
        ([("Mn1 Mn3+", "Mn1 manganese")], "atom Mn1 must be of a known element: got 'manganese'"),
        ([("Mn1 Mn3+", "Mn1 Pu")], "tabulated up to U: got 'Pu'"),
        ([("_space_group_name_H-M_alt 'F d -3 m :2'\n", "")], "must state its space group"),
        ([("'F d -3 m :2'", "?")], "must state its space group"),
        ([("'F d -3 m :2'", "'F d -3 q'")], "must be a Hermann–Mauguin symbol.*'F d -3 q'"),
        ([("'F d -3 m :2'", "227")], "must be a Hermann–Mauguin symbol.*'227'"),
        ([("'F d -3 m :2'", "'F d -3 m'"), *NO_MULTIPLICITY], "needs its origin choice: write"),
        (
            [("'F d -3 m :2'", "'F d -3 m :1'\n_space_group_name_Hall '-F 4vw 2vw 3'")],
            "contradicts the file's own operations or Hall symbol",
        ),
        (
            [("'F d -3 m :2'", "'F d -3 m :2'\n_space_group_name_Hall 'nonsense'")],
            "operations or Hall symbol are unreadable",
        ),
        ([("'F d -3 m :2'", "'F d -3 m :1'")], "should have multiplicity 8, but F d -3 m:1 makes"),
        ([(" 16 d", " 16 c"), (" 8 a 0.125", " 8 a 0.13")], "should have multiplicity 8, but"),
        ([(" 8 a 0.125", " 8 a 0.126")], "so close to a special position of F d -3 m:2"),
        ([(" 8 a", " 16 a")], "should have multiplicity 16, but F d -3 m:2 makes 8"),
        ([(" 8 a", " ? 4a")], "should have multiplicity 4, but F d -3 m:2 makes 8"),
        ([(" 8 a", " 8 4a")], "atom Li1 has multiplicity 8 but Wyckoff symbol 4a"),
        ([(" 8 a", " 8.5 a")], "site multiplicity of atom Li1 must be a whole number.*8.5"),
        ([("0.263(2)", "?")], r"x of atom O1 must be a number: got '\?'"),
        ([("0.263(2)", "1/4")], "x of atom O1 must be a number: got '1/4'"),
        ([("0.5 0.9 0.5", "0.5 1.2 0.5")], "an occupancy must lie within 0–1: Mn .* has 1.2"),
        ([("0.5 0.9 0.5", "0.5 -0.1 0.5")], "an occupancy must lie within 0–1: Mn .* has -0.1"),
        ([("0.5 0.9 0.5", "0.5 half 0.5")], "occupancy of atom Mn1 must be a number: got 'half'"),
        ([("0.5 0.9 0.5", "0.5 1 0.5")], "must not exceed 1 in total: site Mn1 has 1.1"),
        (
            [("0.5 0.9 0.5", "0.5 1 0.6")],
            "one position must not exceed 1 in total: sites Mn1 and Li2 have 1.1",
        ),
        ([("1 1.0\n", "1 -1\n")], "B_iso must lie within 0–50 Å²: site Li1 has -1"),
        ([("1 1.0\n", "1 .\n")], "atom Li1 must state _atom_site_B_iso_or_equiv"),
        ([("units_Z 8", "units_Z 0")], "_cell_formula_units_Z must be a whole number from 1"),
        ([("fract_x", "frac_x")], "must list atoms.*there are none"),
        ([("data_spinel", "spinel")], "not a CIF"),
        ([("0.8\n", "\n")], "not a CIF"),
        ([("O1 O2-", "data_two\nO1 O2-")], "not a CIF"),
    ],
)
def test_a_bad_cif_is_refused_with_one_sentence(changes, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        crystal_from_cif(edited(*changes), name="x")
    assert "\n" not in str(caught.value)


def test_a_cif_with_two_structures_is_refused():
    with pytest.raises(InputError, match=r"one structure: it holds 2 \(spinel, other\)"):
        crystal_from_cif(SPINEL + SPINEL.replace("data_spinel", "data_other"), name="x")


WORDS = [
    "?",
    ".",
    "nan",
    "inf",
    "-1",
    "0",
    "1e999",
    "'",
    ";",
    "loop_",
    "data_x",
    "_cell",
    "Xx",
    "9",
]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_cif_is_read_or_refused_and_nothing_else(data):
    # Law of the reader: whatever word is replaced by whatever, an InputError is the worst outcome,
    # and what is read is a sound crystal.
    words = re.split(r"(\s+)", SPINEL)
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, (len(words) - 1) // 2)) * 2
        words[index] = data.draw(st.sampled_from(WORDS))
    try:
        crystal = crystal_from_cif("".join(words), name="x")
    except InputError:
        return
    assert math.isfinite(crystal.density_g_per_cm3)
    assert crystal.volume_A3 > 0.0


def test_files_that_are_no_cif_are_refused_with_their_path(tmp_path):
    with pytest.raises(InputError, match=r"missing\.cif: there is no such CIF file"):
        load_cif(tmp_path / "missing.cif")
    with pytest.raises(InputError, match="there is no such CIF file"):
        load_cif(tmp_path)
    binary = tmp_path / "binary.cif"
    binary.write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    with pytest.raises(InputError, match=r"binary\.cif: not a readable text file"):
        load_cif(binary)
    empty = tmp_path / "empty.cif"
    empty.write_text("")
    with pytest.raises(InputError, match=r"empty\.cif: a CIF must list atoms"):
        load_cif(empty)
    huge = tmp_path / "huge.cif"
    huge.write_text("#" * 4_000_001)
    with pytest.raises(InputError, match=r"huge\.cif: a CIF must be smaller than 4 MB"):
        load_cif(str(huge))


def test_a_good_file_is_named_after_itself(tmp_path):
    path = tmp_path / "mine.cif"
    path.write_text(SPINEL)
    assert load_cif(path) == crystal_from_cif(SPINEL, name="mine")
