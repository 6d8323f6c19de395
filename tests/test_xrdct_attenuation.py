"""Attenuation and composition against published figures and laws."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrdct.attenuation import linear_attenuation_per_um
from xrdct.composition import formula_mass_u, number_density_per_A3
from xrdct.crystal import load_crystal
from xrdct.errors import InputError

ENERGY_KEV = 50.0


PEEK = {"C": 19.0, "H": 12.0, "O": 3.0}


@pytest.mark.parametrize(
    ("material", "density", "per_cm", "tolerance"),
    [
        # NIST XCOM mass attenuation at 50 keV, cm²/g: Al 0.3681, Si 0.4385, C (graphite) 0.1871.
        # xraylib takes its totals from the same evaluations; 1e-3 covers the interpolation.
        ("Al", 1.0, 0.3681, 1e-3),
        ("Si", 1.0, 0.4385, 1e-3),
        ("graphite", 1.0, 0.1871, 1e-3),
        # Figures of an earlier program, printed to three digits: half a unit of the last.
        ("LiMn2O4", None, 4.81, 0.005 / 4.81),
        (PEEK, 1.3, 0.257, 0.0005 / 0.257),
    ],
)
def test_attenuation_is_the_tabulated_one(material, density, per_cm, tolerance):
    if isinstance(material, str):
        material = load_crystal(material)
    found = 1e4 * linear_attenuation_per_um(
        material, energy_keV=ENERGY_KEV, density_g_per_cm3=density
    )
    assert found == pytest.approx(per_cm, rel=tolerance)


@settings(max_examples=20, deadline=None)
@given(density=st.floats(0.1, 10.0), copies=st.integers(1, 5))
def test_attenuation_grows_with_density_and_not_with_the_formula_unit(density, copies):
    # Law: µ ∝ ρ; C19H12O3 and C38H24O6 are the same stuff.
    single = linear_attenuation_per_um(PEEK, energy_keV=ENERGY_KEV, density_g_per_cm3=1.0)
    many = {element: copies * count for element, count in PEEK.items()}
    found = linear_attenuation_per_um(many, energy_keV=ENERGY_KEV, density_g_per_cm3=density)
    assert found == pytest.approx(density * single, rel=1e-12)


def test_number_density_of_a_crystal_is_its_cell():
    # Definition: atoms per cell over the volume of the cell, however the density is told.
    crystal = load_crystal("LiMn2O4")
    own = number_density_per_A3(crystal)
    assert own == pytest.approx({"Li": 8 / 8.245**3, "Mn": 16 / 8.245**3, "O": 32 / 8.245**3})
    formula = {"Li": 1.0, "Mn": 2.0, "O": 4.0}
    told = number_density_per_A3(formula, density_g_per_cm3=crystal.density_g_per_cm3)
    assert told == pytest.approx(own, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: linear_attenuation_per_um(PEEK, energy_keV=50.0),
            r"a formula needs a density \(g/cm³\)",
        ),
        (
            lambda: linear_attenuation_per_um(PEEK, energy_keV=0.1, density_g_per_cm3=1.3),
            "within 1–500 keV: got 0.1",
        ),
        (
            lambda: number_density_per_A3(PEEK, density_g_per_cm3=-1.0),
            r"density \(g/cm³\) must be positive: got -1",
        ),
        (lambda: number_density_per_A3({}, density_g_per_cm3=1.0), "at least one atom"),
        (lambda: number_density_per_A3({"C": -1.0}, density_g_per_cm3=1.0), "got -1 of C"),
        (lambda: number_density_per_A3({"Qq": 1.0}, density_g_per_cm3=1.0), "element 'Qq'"),
    ],
)
def test_impossible_materials_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf"), float("nan")])
def test_a_density_is_a_positive_number(bad):
    with pytest.raises(InputError, match="must be positive: got"):
        number_density_per_A3(PEEK, density_g_per_cm3=bad)


@pytest.mark.parametrize("bad", [-0.1, float("inf"), float("nan")])
def test_a_formula_counts_atoms_by_numbers(bad):
    with pytest.raises(InputError, match=r"count atoms from 0: got .* of H"):
        formula_mass_u({"C": 1.0, "H": bad})


def test_a_formula_may_count_parts_of_atoms_and_none():
    # Law: what a formula lists none of is not there, and halves of all are the same stuff.
    # Closed form: water of 1 g/cm³ holds N_A/18.015 molecules a cm³ (IUPAC: H 1.008, O 15.999).
    # xraylib's atomic weights have two decimals: half a unit of the last for each atom.
    water = number_density_per_A3({"H": 2.0, "O": 1.0, "Li": 0.0}, density_g_per_cm3=1.0)
    half = number_density_per_A3({"H": 1.0, "O": 0.5}, density_g_per_cm3=1.0)
    assert water.pop("Li") == 0.0
    assert water == pytest.approx(half, rel=1e-14)
    assert water["O"] == pytest.approx(6.02214076e23 / 18.015 * 1e-24, rel=0.015 / 18.015)
    assert formula_mass_u({"H": 0.25}) == pytest.approx(0.25 * 1.008, rel=0.005 / 1.008)
