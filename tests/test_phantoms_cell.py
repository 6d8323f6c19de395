"""The micro-cell's materials and layers against published figures, definitions and laws."""

import numpy as np
import pytest
import xraylib

from phantoms.cell import ELECTRODE, LAYERS, REGIONS, Cell
from phantoms.cell_materials import mixture, substance, substance_names
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.composition import number_density_per_A3
from xrdct.crystal import load_crystal
from xrdct.errors import InputError

AVOGADRO_PER_MOL = 6.02214076e23


@pytest.mark.parametrize(
    ("name", "per_cm", "tolerance"),
    [
        # An earlier program, printed to three digits; Al from NIST XCOM, 0.3681 cm²/g · 2.698.
        ("PEEK", 0.257, 0.0005 / 0.257),
        ("Al", 0.3681 * 2.698, 1e-3),
    ],
)
def test_attenuation_of_substances_is_the_published_one(name, per_cm, tolerance):
    found = 1e4 * linear_attenuation_per_um(
        substance(name).composition,
        energy_keV=50.0,
        density_g_per_cm3=substance(name).density_g_per_cm3,
    )
    assert found == pytest.approx(per_cm, rel=tolerance)


def test_electrolyte_holds_the_salt_and_solvents_it_is_named_for():
    # Definition: 1.2 mol/l of LiPF6; EC (one O3 per 88.06 u) to EMC (104.1 u) 3:7 by weight, which
    # fixes hydrogen to oxygen: (4·3/88.06 + 8·7/104.1)/(3·3/88.06 + 3·7/104.1).
    electrolyte = substance("electrolyte")
    density = number_density_per_A3(
        electrolyte.composition, density_g_per_cm3=electrolyte.density_g_per_cm3
    )
    per_litre = {e: n * 1e27 / AVOGADRO_PER_MOL for e, n in density.items()}
    assert per_litre["P"] == pytest.approx(1.2, rel=1e-6)
    assert per_litre["Li"] == pytest.approx(1.2, rel=1e-6)
    assert per_litre["F"] == pytest.approx(7.2, rel=1e-6)
    expected = (12 / 88.06 + 56 / 104.10) / (9 / 88.06 + 21 / 104.10)
    assert per_litre["H"] / per_litre["O"] == pytest.approx(expected, rel=1e-4)


def test_mixture_keeps_weights():
    # Law: the weight of an element is the sum of what the parts bring; SiO2 is 28.085/60.083 Si.
    atoms = mixture([({"Si": 1, "O": 2}, 0.75), ({"B": 2, "O": 3}, 0.25)])
    weights = {
        e: n * xraylib.AtomicWeight(xraylib.SymbolToAtomicNumber(e)) for e, n in atoms.items()
    }
    assert sum(weights.values()) == pytest.approx(1.0, rel=1e-12)
    assert weights["Si"] == pytest.approx(0.75 * 28.085 / 60.083, rel=1e-4)


def test_steel_has_the_density_of_austenitic_steel():
    # Published: 7.93 g/cm³ (18/10 chromium-nickel steel), from its cell to within 0.5 %.
    assert substance("steel").density_g_per_cm3 == pytest.approx(7.93, rel=5e-3)


def test_default_additives_follow_from_the_papers_weights():
    # 166 g/m² of active material in 80 µm, 94.2 % of the powder mix; LiMn2O4 of X-ray density,
    # carbon and PVDF in equal volumes. The default is rounded to two digits.
    cell = Cell()
    active = 166.0 / 80.0  # g/cm³ of electrode
    solid = active / load_crystal("LiMn2O4").density_g_per_cm3
    additives = active * (1.0 / 0.942 - 1.0)
    mean_density = 0.5 * (
        substance("carbon").density_g_per_cm3 + substance("PVDF").density_g_per_cm3
    )
    assert cell.additive_fraction == pytest.approx(
        additives / mean_density / (1.0 - solid), abs=0.01
    )


@pytest.mark.parametrize("body", ["PEEK", "PFA"])
def test_every_region_of_every_layer_is_full(body):
    # Law: volume fractions sum to one; contrasts sum back to contents from outside to inside.
    cell = Cell(body=body, additive_fraction=0.2, carbon_fraction=0.3, glass_fraction=0.15)
    contents = cell.contents
    assert contents.shape == (len(REGIONS), len(LAYERS), len(substance_names()))
    np.testing.assert_allclose(contents.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.cumsum(cell.contrasts, axis=0), contents, atol=1e-15)
    carbon = substance_names().index("carbon")
    assert contents[REGIONS.index("disc"), ELECTRODE, carbon] == pytest.approx(0.06)


def test_layers_stack_as_the_paper_says():
    # 15 µm of collector below 80 µm of electrode; the slice at mid-depth sees both from 40 µm.
    np.testing.assert_allclose(Cell().interfaces_um, [-55.0, -40.0, 40.0, 640.0])
    np.testing.assert_allclose(Cell().radii_um, [1587.5, 600.0, 500.0])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"chamber_um": 3200.0}, r"chamber_um \(3200\) must lie below body_outer_um \(3175\)"),
        ({"electrode_um": 1300.0}, r"electrode of 1300 µm, 0 µm off .* chamber_um \(1200\)"),
        ({"centre_um": (120.0, 0.0)}, r"electrode of 1000 µm, 120 µm off"),
        ({"slice_height_um": 90.0}, r"slice_height_um \(90\) must lie within the electrode"),
        ({"body": "wood"}, "PEEK"),
        ({"crystallinity": 1.5}, "less than or equal to 1"),
    ],
)
def test_impossible_cells_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Cell(**options)


def test_unknown_substance_is_refused():
    with pytest.raises(InputError, match=r"unknown substance 'tin': there are PEEK"):
        substance("tin")
