"""Free cell parameters, against the operations of every space group and the textbook's list."""

import gemmi
import numpy as np
import pytest

from inverse.cell_parameters import (
    CELL_NAMES,
    cell_law,
    cell_parameters,
    index_products,
    inverse_d_squared,
    log_volume_slopes,
    space_group_law,
)
from xrdct.cell import cell_volume_A3, metric_tensor_A2, reciprocal_metric_per_A2
from xrdct.crystal import crystal_names, load_crystal
from xrdct.errors import InputError
from xrdct.symmetry import cell_fits, operations

SETTINGS = [group.xhm() for group in gemmi.spacegroup_table()]
EDGES = ("a_A", "b_A", "c_A")


def some_free_values(law, rng):
    """Edges of 3–9 Å and angles of 75–105°, which always enclose a volume."""
    low = np.array([3.0 if name in EDGES else 75.0 for name in law.names])
    span = np.array([6.0 if name in EDGES else 30.0 for name in law.names])
    return low + span * rng.random(len(law.names))


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("F d -3 m:2", ("a_A",)),
        ("P 42/m n m", ("a_A", "c_A")),
        ("P 63/m m c", ("a_A", "c_A")),
        ("P -3 m 1", ("a_A", "c_A")),
        ("R -3 m:H", ("a_A", "c_A")),
        ("R -3 m:R", ("a_A", "alpha_deg")),
        ("P m n b", EDGES),
        ("C 1 2/m 1", (*EDGES, "beta_deg")),
        ("P 1 1 21/b", (*EDGES, "gamma_deg")),
        ("B 2/b 1 1", (*EDGES, "alpha_deg")),
        ("P -1", CELL_NAMES),
    ],
)
def test_names_are_those_of_the_crystal_system(symbol, names):
    # Truth: International Tables A, the conventional cell of each of the seven systems.
    assert cell_parameters(symbol) == names


@pytest.mark.parametrize("start", range(0, len(SETTINGS), 60))
def test_every_cell_of_the_law_suits_its_space_group(start):
    # Truth: the group's own operations, which must leave the metric tensor as it is, Rᵀ G R = G.
    rng = np.random.default_rng(start)
    for name in SETTINGS[start : start + 60]:
        law = space_group_law(name)
        assert cell_fits(law.cell(some_free_values(law, rng)), space_group=name), name


def test_no_cell_that_suits_a_space_group_is_left_out():
    # Truth: the number of independent metric tensors is the rank of the mean over the rotations of
    # G → Rᵀ G R, a projection whose trace is that rank: a whole number but for rounding.
    for name in SETTINGS:
        rotations = np.unique(operations(name)[0], axis=0)
        trace = 0.0
        for i in range(3):
            for j in range(i, 3):
                unit = np.zeros((3, 3))
                unit[i, j] = unit[j, i] = 1.0
                images = np.swapaxes(rotations, 1, 2) @ unit @ rotations
                trace += images[:, i, j].mean()
        assert len(space_group_law(name).names) == pytest.approx(trace, abs=1e-9), name


@pytest.mark.parametrize("name", SETTINGS[::23])
def test_free_values_and_cells_are_each_others_inverse(name):
    law = space_group_law(name)
    free = some_free_values(law, np.random.default_rng(3))
    np.testing.assert_allclose(law.free(law.cell(free)), free, rtol=1e-14)


@pytest.mark.parametrize("name", crystal_names())
def test_built_in_crystals_are_reproduced(name):
    # Truth: the cell of the CIF, which has all six parameters.
    crystal = load_crystal(name)
    law = cell_law(crystal)
    np.testing.assert_allclose(law.cell(law.free(crystal.cell_A_deg)), crystal.cell_A_deg)


@pytest.mark.parametrize("symbol", ["F d -3 m:2", "P -3 m 1", "R -3 m:R", "C 1 2/m 1", "P -1"])
def test_line_positions_follow_every_parameter(symbol):
    # Truth: 1/d² from the reciprocal metric, and its central differences. A step of 1e-5 leaves
    # 1e-10 of curvature and 1e-11 of rounding, both relative.
    law = space_group_law(symbol)
    rng = np.random.default_rng(5)
    hkl = rng.integers(-5, 6, (40, 3))
    cell = np.array(law.cell(some_free_values(law, rng)))
    value, slopes = inverse_d_squared(index_products(hkl), cell_A_deg=tuple(cell))

    def direct(parameters):
        return np.einsum("li,ij,lj->l", hkl, reciprocal_metric_per_A2(tuple(parameters)), hkl)

    np.testing.assert_allclose(value, direct(cell), rtol=1e-12, atol=1e-14)
    for parameter in range(6):
        step = np.zeros(6)
        step[parameter] = 1e-5 * cell[parameter]
        expected = (direct(cell + step) - direct(cell - step)) / (2.0 * step[parameter])
        np.testing.assert_allclose(slopes[:, parameter], expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("symbol", ["F d -3 m:2", "P -3 m 1", "C 1 2/m 1", "P -1"])
def test_the_volume_follows_every_parameter(symbol):
    # Truth: the volume itself and its central differences, as above.
    law = space_group_law(symbol)
    cell = np.array(law.cell(some_free_values(law, np.random.default_rng(6))))
    for parameter, slope in enumerate(log_volume_slopes(tuple(cell))):
        step = np.zeros(6)
        step[parameter] = 1e-5 * cell[parameter]
        ratio = cell_volume_A3(tuple(cell + step)) / cell_volume_A3(tuple(cell - step))
        expected = np.log(ratio) / (2.0 * step[parameter])
        assert slope == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_a_cell_without_volume_is_refused():
    flat = (4.0, 4.0, 4.0, 60.0, 60.0, 120.0)
    assert cell_volume_A3(flat) < 1e-6
    assert np.linalg.det(metric_tensor_A2(flat)) == pytest.approx(0.0, abs=1e-10)
    flatter = (4.0, 4.0, 4.0, 60.0, 60.0, 121.0)
    for cell in (flatter, (np.nan, 4.0, 4.0, 90.0, 90.0, 90.0)):
        with pytest.raises(InputError, match="must enclose a positive volume"):
            inverse_d_squared(index_products(np.array([[1, 1, 1]])), cell_A_deg=cell)


def test_a_symbol_of_two_settings_is_refused():
    with pytest.raises(InputError, match="has two settings"):
        cell_parameters("F d -3 m")
