"""The law a(x, y): published anchors, conservation of lithium, continuity, inverse, density."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from phantoms.stoichiometry import (
    filled_fraction,
    lattice,
    mean_lattice_A,
    open_circuit_voltage_V,
    spinel_crystal,
    x_from_lattice,
)
from xrdct.crystal import load_crystal
from xrdct.errors import InputError

EXCESS = st.floats(0.0, 0.10)
FILLED = st.floats(0.0, 1.0)
WINDOWS = [
    # edges in f, edges in a (Å), centre in f, for y = 0
    (0.20, 0.46, 8.076, 8.145, 0.33),
    (0.66, 0.78, 8.183, 8.205, 0.72),
]


def content(f: float, y: float) -> float:
    """Solve f = (x − 3y)/(1 − 3y) for x."""
    return 3 * y + f * (1 - 3 * y)


@pytest.mark.parametrize(
    ("x", "y", "a_A"),
    [
        (0.0, 0.0, 8.03),
        (0.1, 0.0, 8.053),
        (0.2, 0.0, 8.076),
        (0.46, 0.0, 8.145),
        (0.56, 0.0, 8.164),
        (0.66, 0.0, 8.183),
        (0.78, 0.0, 8.205),
        (1.0, 0.0, 8.245),
        (0.15, 0.05, 8.078),
        (0.575, 0.05, 8.156),
        (1.0, 0.05, 8.234),
        (0.3, 0.10, 8.080),
        (0.65, 0.10, 8.1515),
        (1.0, 0.10, 8.223),
        (content(0.5, 0.075), 0.075, (8.156 + 8.1515) / 2),
        (content(0.0, 0.025), 0.025, (8.03 + 8.078) / 2),
        (content(1.0, 0.025), 0.025, (8.245 + 8.234) / 2),
    ],
)
def test_single_phase_takes_the_tabulated_lattice(x: float, y: float, a_A: float) -> None:
    # Truth: the published anchors, midpoints of straight pieces, and halfway in y. Rounding only.
    lattices = lattice(x, y=y)
    assert float(lattices.a_low_A) == pytest.approx(a_A, abs=1e-12)
    assert float(lattices.a_high_A) == float(lattices.a_low_A)
    assert float(lattices.volume_fraction_high) == 0.0
    assert not lattices.in_window


@pytest.mark.parametrize(
    ("x", "branch"),
    [(0.0, 0), (0.2, 0), (0.3, 0), (0.46, 1), (0.6, 1), (0.7, 1), (0.78, 2), (1.0, 2)],
)
def test_branch_counts_the_windows_below(x: float, branch: int) -> None:
    # Truth: the windows of y = 0 are 0.20–0.46 and 0.66–0.78.
    lattices = lattice(x, y=0.0)
    assert int(lattices.branch) == branch
    assert bool(lattices.in_window) == (x in (0.3, 0.7))


@given(
    window=st.sampled_from(WINDOWS),
    amount=st.floats(0.01, 0.99),
    y=st.floats(0.0, 0.045),
)
def test_two_phases_hold_the_edges_and_all_the_lithium(
    window: tuple[float, float, float, float, float], amount: float, y: float
) -> None:
    # Truth: conservation. Amounts of formula units are volumes over cell volumes; the lithium in
    # the two lattices, each of the composition of its edge, must add up to x. Where the edges lie
    # follows from "linear in y to the centre", with the centre on the line 8.078 → 8.234.
    f_low, f_high, a_low, a_high, centre = window
    left = 1 - y / 0.05
    edges_f = [centre + left * (edge - centre) for edge in (f_low, f_high)]
    on_line = 8.078 + centre * (8.234 - 8.078)
    edges_a = [on_line + left * (edge - on_line) for edge in (a_low, a_high)]
    x = content(edges_f[0] + amount * (edges_f[1] - edges_f[0]), y)

    lattices = lattice(x, y=y)
    assert lattices.in_window
    assert float(lattices.a_low_A) == pytest.approx(edges_a[0], abs=1e-12)
    assert float(lattices.a_high_A) == pytest.approx(edges_a[1], abs=1e-12)
    high = float(lattices.volume_fraction_high)
    moles = [(1 - high) / float(lattices.a_low_A) ** 3, high / float(lattices.a_high_A) ** 3]
    lithium = moles[0] * content(edges_f[0], y) + moles[1] * content(edges_f[1], y)
    assert lithium / sum(moles) == pytest.approx(x, abs=1e-12)


@pytest.mark.parametrize("y", [0.0, 0.01, 0.025, 0.04, 0.047])
@pytest.mark.parametrize("window", WINDOWS)
def test_gap_and_width_fall_linearly_with_excess(
    window: tuple[float, float, float, float, float], y: float
) -> None:
    # Truth: gap(y) = gap(0)·(1 − y/0.05), and the same for the width in f, found here by
    # counting: 20 001 points in f leave an error of two spacings, 1e-4.
    f_low, f_high, a_low, a_high, centre = window
    middle = lattice(content(centre, y), y=y)
    gap = float(middle.a_high_A - middle.a_low_A)
    assert gap == pytest.approx((a_high - a_low) * (1 - y / 0.05), abs=1e-12)
    f = np.linspace(centre - 0.15, centre + 0.15, 20_001)
    width = lattice(3 * y + f * (1 - 3 * y), y=y).in_window.mean() * 0.3
    assert width == pytest.approx((f_high - f_low) * (1 - y / 0.05), abs=1e-4)


@pytest.mark.parametrize(
    ("y", "branches"),
    # 1 mÅ of the 22 mÅ of window II is left at y = 0.0477, of the 69 mÅ of I at y = 0.0493.
    [
        (0.047, {0, 1, 2}),
        (0.0478, {0, 1}),
        (0.0492, {0, 1}),
        (0.0494, {0}),
        (0.05, {0}),
        (0.1, {0}),
    ],
)
def test_windows_narrower_than_a_milliangstrom_do_not_count(y: float, branches: set[int]) -> None:
    # Truth: gap(y) = gap(0)·(1 − y/0.05) against the limit of 1 mÅ.
    f = np.linspace(0.0, 1.0, 200_001)
    lattices = lattice(3 * y + f * (1 - 3 * y), y=y)
    assert set(lattices.branch.tolist()) == branches
    gaps = (lattices.a_high_A - lattices.a_low_A)[lattices.in_window]
    assert np.all(gaps >= 1e-3)
    assert set(lattices.branch[lattices.in_window].tolist()) == set(range(len(branches) - 1))


@given(f=FILLED, y=EXCESS, step=st.floats(1e-9, 1e-2))
def test_mean_lattice_is_continuous_and_increasing_in_x(f: float, y: float, step: float) -> None:
    # Truth: every piece rises by less than 0.3 Å per unit of f (0.265 in window I; its mean over
    # volume is at most 1 + Δa³/a³ = 2.6 % steeper), and no slower than 0.14 (end pieces).
    assume(f + step <= 1.0)
    rise = float(mean_lattice_A(content(f + step, y), y=y) - mean_lattice_A(content(f, y), y=y))
    assert 0.14 * step - 1e-13 <= rise <= 0.3 * step + 1e-13


@given(f=FILLED, y=EXCESS, step=st.floats(1e-9, 1e-2))
def test_mean_lattice_is_continuous_in_y(f: float, y: float, step: float) -> None:
    # Truth: over 0.05 in y a node moves by 0.05 Å at most in a, and by 0.13 in f, which the slope
    # of 0.3 Å turns into a: |da/dy| < 0.05/0.05 + 0.3·0.13/0.05 = 1.8. Holds across y = 0.05.
    assume(y + step <= 0.10)
    change = mean_lattice_A(content(f, y + step), y=y + step) - mean_lattice_A(content(f, y), y=y)
    assert abs(float(change)) <= 1.8 * step + 1e-13


@given(f=FILLED, y=EXCESS | st.floats(0.05 - 1e-12, 0.05))
def test_inverse_law_returns_the_lithium_content(f: float, y: float) -> None:
    # Truth: inverse of a function with da/df ≥ 0.14 and a rounded to 2e-15·8: 1e-13 in f.
    x = content(f, y)
    assert float(x_from_lattice(mean_lattice_A(x, y=y), y=y)) == pytest.approx(x, abs=1e-12)


def test_inverse_law_stays_at_its_ends_beyond_them() -> None:
    # Truth: a(x) ends at x = 3y and x = 1.
    np.testing.assert_allclose(x_from_lattice([8.0, 8.3], y=0.0), [0.0, 1.0], atol=1e-15)
    np.testing.assert_allclose(x_from_lattice([8.0, 8.3], y=0.1), [0.3, 1.0], atol=1e-15)


@given(y=EXCESS)
def test_empty_spinel_has_all_manganese_at_plus_four(y: float) -> None:
    # Truth: charge balance, x + y + v(2 − y) = 8 with v = 4, gives the x where f = 0.
    x = 8 - y - 4 * (2 - y)
    assert float(filled_fraction(x, y=y)) == pytest.approx(0.0, abs=1e-13)


def test_arrays_broadcast_and_agree_with_numbers() -> None:
    x = np.linspace(0.3, 1.0, 29)[:, None]
    y = np.array([0.0, 0.02, 0.0485, 0.05, 0.07, 0.1])
    together = lattice(x, y=y)
    inverse = x_from_lattice(np.linspace(8.0, 8.3, 29)[:, None], y=y)
    for i in range(29):
        for j in range(6):
            alone = lattice(float(x[i, 0]), y=float(y[j]))
            for name in ("a_low_A", "a_high_A", "volume_fraction_high", "in_window", "branch"):
                value = getattr(alone, name)
                assert isinstance(value, np.ndarray)
                assert value.shape == ()
                assert getattr(together, name).shape == (29, 6)
                assert getattr(together, name)[i, j] == value
            a_A = float(np.linspace(8.0, 8.3, 29)[i])
            assert inverse[i, j] == x_from_lattice(a_A, y=float(y[j]))


@pytest.mark.parametrize(
    ("x", "y", "a_A", "density"),
    [
        # 8 (6.94 + 2·54.938043 + 4·15.999) u / (8.245 Å)³, 1 u/Å³ = 1.66053907 g/cm³
        (1.0, 0.0, 8.245, 4.285432),
        # 8 (0.6·6.94 + 1.9·54.938043 + 4·15.999) u / (8.2 Å)³
        (0.5, 0.1, 8.2, 4.157125),
    ],
)
def test_density_is_mass_over_volume(x: float, y: float, a_A: float, density: float) -> None:
    # Truth: by hand with IUPAC 2021 weights. Tables with two decimals (6.94, 54.94, 16.00) make
    # the formula unit (2·0.002 + 4·0.001)/181 = 4.4e-5 heavier.
    crystal = spinel_crystal(x=x, y=y, a_A=a_A)
    assert crystal.density_g_per_cm3 == pytest.approx(density, rel=5e-5)


def test_crystal_holds_what_its_formula_says() -> None:
    # Truth: eight formula units Li(0.4)[Li0.08 Mn1.92]O4 per cell.
    crystal = spinel_crystal(x=0.4, y=0.08, a_A=8.1)
    expected = {"Li": 8 * 0.48, "Mn": 8 * 1.92, "O": 32.0}
    assert crystal.composition == pytest.approx(expected, abs=1e-12)
    assert crystal.cell_A_deg == (8.1, 8.1, 8.1, 90.0, 90.0, 90.0)
    on_8a = next(site for site in crystal.sites if site.multiplicity == 8)
    assert on_8a.occupancies == (("Li", 0.4),)


def test_stoichiometric_crystal_is_the_built_in_one() -> None:
    built_in = load_crystal("LiMn2O4")
    crystal = spinel_crystal(x=1.0, y=0.0, a_A=8.245)
    assert crystal.sites == built_in.sites
    assert crystal.space_group == built_in.space_group


@pytest.mark.parametrize(("x", "voltage_V"), [(0.2, 4.1768573), (0.5, 4.1039517), (0.9, 3.9538742)])
def test_open_circuit_voltage_of_the_published_formula(x: float, voltage_V: float) -> None:
    # Truth: Doyle 1996, each term by a desk calculator with 25 digits; rounded to 1e-7 V.
    assert float(open_circuit_voltage_V(x)) == pytest.approx(voltage_V, abs=6e-8)


def test_open_circuit_voltage_falls_with_lithium() -> None:
    # Truth: thermodynamic stability, dU/dx < 0.
    voltage_V = open_circuit_voltage_V(np.linspace(0.1701, 0.9949, 10_001))
    assert np.all(np.diff(voltage_V) < 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lattice(0.1, y=0.05), r"x = 0\.1 at y = 0\.05"),
        (lambda: lattice([0.5, 1.01], y=0.0), r"x = 1\.01 at y = 0"),
        (lambda: lattice([0.5, math.nan], y=0.0), "x = nan"),
        (lambda: mean_lattice_A(0.5, y=-0.01), r"y = -0\.01"),
        (lambda: filled_fraction(0.5, y=[0.1, 0.11]), r"y = 0\.11"),
        (lambda: filled_fraction(0.5, y=math.nan), "y = nan"),
        (lambda: x_from_lattice(8.1, y=0.2), r"y = 0\.2"),
        (lambda: x_from_lattice([8.1, math.nan], y=0.0), "got nan"),
        (lambda: x_from_lattice(-8.1, y=0.0), r"got -8\.1"),
        (lambda: x_from_lattice(math.inf, y=0.0), "got inf"),
        (lambda: spinel_crystal(x=0.2, y=0.1, a_A=8.2), r"x = 0\.2 at y = 0\.1"),
        (lambda: spinel_crystal(x=0.5, y=0.0, a_A=-1.0), "-1"),
        (lambda: open_circuit_voltage_V(0.17), r"x = 0\.17"),
        (lambda: open_circuit_voltage_V([0.5, 0.995]), r"x = 0\.995"),
        (lambda: open_circuit_voltage_V(math.nan), "x = nan"),
    ],
)
def test_values_out_of_range_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_rounding_at_the_limits_is_forgiven() -> None:
    # 3 · 0.1 is 0.30000000000000004 in binary: 0.3 is still the limit, not beyond it.
    assert float(filled_fraction(0.3, y=0.1)) == 0.0
    assert float(filled_fraction(1.0 + 1e-15, y=0.0)) == 1.0
    crystal = spinel_crystal(x=1.0 + 1e-12, y=0.0, a_A=8.2)
    assert crystal.composition["Li"] == 8.0
