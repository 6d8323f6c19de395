"""Powder lines against a reference table, an independent powder code and laws."""

import csv

import numpy as np
import pytest
import xrayutilities

from xrdct import powder_lines as lines_module
from xrdct.conversion import two_theta_rad, wavelength_A
from xrdct.crystal import Crystal, Site, crystal_names, load_crystal
from xrdct.errors import InputError
from xrdct.formfactor import atomic_form_factor
from xrdct.reflections import powder_reflections, structure_factors_e
from xrdct.scattering import ring_power_per_m

ENERGY_KEV = 50.0
WAVELENGTH_A = wavelength_A(ENERGY_KEV)


def unpolarised_ring_power_per_m(crystal, reflections):
    q = ring_power_per_m(reflections, cell_volume_A3=crystal.volume_A3, wavelength_A=WAVELENGTH_A)
    two_theta = two_theta_rad(reflections.d_A, wavelength_A=WAVELENGTH_A)
    return q * (1.0 + np.cos(two_theta) ** 2) / 2.0


@pytest.mark.parametrize("name", crystal_names())
def test_lines_and_ring_powers_of_the_reference_table(name, request):
    # The table was computed by another program. It prints d to 1e-5 Å and Q to six digits: half a
    # unit of the last is 5e-6 Å, and at most 5e-6 of Q; it leaves out lines below 1e-4 of the
    # strongest, and counts absent reflections of the same d in m, so m|F|² is compared, not m.
    table = request.config.rootpath / "tests" / "data" / "reflections_50keV.csv"
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == name]
    d = np.array([float(row["d_A"]) for row in rows])
    q = np.array([float(row["Q_ring_per_m(unpol)"]) for row in rows])
    crystal = load_crystal(name)
    found = powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=0.9)
    power = unpolarised_ring_power_per_m(crystal, found)
    strong = power > 1e-4 * power.max()
    np.testing.assert_allclose(found.d_A[strong], d, rtol=0, atol=5.01e-6)
    np.testing.assert_allclose(power[strong], q, rtol=5.01e-6)


@pytest.mark.parametrize("name", ["LiMn2O4", "Li2MnO3", "Al", "LaB6", "Li0.5Mn2O4"])
def test_powder_intensities_are_those_of_xrayutilities(name, request):
    # An independent powder code with its own form factors. Its strengths carry the factor
    # P/(V² sin²θ cosθ), undone here. Tolerance: the difference of the tables, Δ = Σ n |f − f'| DW,
    # bounds |F| − |F'|, so |F|² may differ by 2|F|Δ + Δ²: 1–3 % for strong lines.
    crystal = load_crystal(name)
    path = request.config.rootpath / f"xrdct/crystals/{name}.cif"
    material = xrayutilities.materials.Crystal.fromCIF(str(path))
    powder = xrayutilities.simpack.PowderDiffraction(
        material, en=1e3 * ENERGY_KEV, tt_cutoff=17.0
    ).data.values()
    theta = np.radians([line["ang"] for line in powder])
    correction = (1 + np.cos(2 * theta) ** 2) / 2 / (np.sin(theta) ** 2 * np.cos(theta))
    strength = np.array([line["r"] for line in powder]) / correction * crystal.volume_A3**2
    spacing = 2 * np.pi / np.array([line["qpos"] for line in powder])

    found = powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=0.9)
    spread = table_difference_e(crystal, s_per_A=0.5 / found.d_A)
    power = unpolarised_ring_power_per_m(crystal, found)
    for line in np.flatnonzero(power > 0.01 * power.max()):
        same = np.abs(spacing / found.d_A[line] - 1) < 1e-6
        modulus = np.sqrt(found.f_squared_e2[line])
        tolerance = 2 * modulus * spread[line] + spread[line] ** 2
        theirs = strength[same].sum() / found.multiplicity[line]
        assert theirs == pytest.approx(found.f_squared_e2[line], abs=tolerance)
        assert theirs == pytest.approx(found.f_squared_e2[line], rel=0.02)


def table_difference_e(crystal, *, s_per_A):
    """Return Σ n |f − f'| exp(−Bs²) over the cell, between our form factors and xrayutilities'."""
    total = np.zeros(s_per_A.shape)
    for site in crystal.sites:
        for element, occupancy in site.occupancies:
            ours = atomic_form_factor(element, s_per_A=s_per_A, energy_keV=ENERGY_KEV)
            atom = getattr(xrayutilities.materials.elements, element)
            theirs = atom.f(4 * np.pi * s_per_A, 1e3 * ENERGY_KEV)
            weight = occupancy * site.multiplicity * np.exp(-site.b_iso_A2 * s_per_A**2)
            total += weight * np.abs(ours - theirs)
    return total


def test_ring_power_does_not_depend_on_how_the_cell_is_chosen():
    # The same aluminium as face-centred cube, as its primitive rhombohedron (a/√2, 60°) and as
    # four atoms without symmetry: the same rings, of the same power per metre.
    cube = load_crystal("Al")
    a = cube.cell_A_deg[0]
    atom = cube.sites[0]
    primitive = Crystal(
        "Al",
        (a / np.sqrt(2),) * 3 + (60.0,) * 3,
        "R -3 m:R",
        (Site("Al1", atom.occupancies, (0.0, 0.0, 0.0), atom.b_iso_A2, 1),),
        1,
    )
    corners = [(0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)]
    plain = Crystal(
        "Al",
        cube.cell_A_deg,
        "P 1",
        tuple(Site(f"Al{n}", atom.occupancies, xyz, 0.85, 1) for n, xyz in enumerate(corners)),
        4,
    )
    expected = powder_reflections(cube, energy_keV=ENERGY_KEV, d_min_A=0.6)
    power = unpolarised_ring_power_per_m(cube, expected)
    for other in (primitive, plain):
        found = powder_reflections(other, energy_keV=ENERGY_KEV, d_min_A=0.6)
        np.testing.assert_allclose(found.d_A, expected.d_A, rtol=1e-11)
        np.testing.assert_array_equal(found.multiplicity, expected.multiplicity)
        np.testing.assert_allclose(unpolarised_ring_power_per_m(other, found), power, rtol=1e-10)


def test_lines_are_named_as_a_crystallographer_would():
    # Textbook: the fcc lines in order; hexagonal 1 1 0 rather than 2 -1 0; 511 for 511 + 333.
    aluminium = powder_reflections(load_crystal("Al"), energy_keV=ENERGY_KEV, d_min_A=0.9)
    assert aluminium.names[:6] == ("1 1 1", "2 0 0", "2 2 0", "3 1 1", "2 2 2", "4 0 0")
    graphite = powder_reflections(load_crystal("graphite"), energy_keV=ENERGY_KEV, d_min_A=1.1)
    assert graphite.names[:2] == ("0 0 2", "1 0 0")
    assert "1 1 0" in graphite.names
    spinel = powder_reflections(load_crystal("LiMn2O4"), energy_keV=ENERGY_KEV, d_min_A=1.5)
    assert spinel.names[-1] == "5 1 1"
    assert spinel.multiplicity[-1] == 32
    assert spinel.hkl[-1].tolist() == [5, 1, 1]
    assert len(spinel) == len(spinel.names)


def test_both_limits_mean_the_same():
    # Definition: d_min = λ/(2 sin(2θ_max/2)); the line at the limit itself is included.
    crystal = load_crystal("LiMn2O4")
    d_min = 8.245 / np.sqrt(32)  # (440)
    angle = two_theta_rad(d_min, wavelength_A=WAVELENGTH_A)
    by_angle = powder_reflections(crystal, energy_keV=ENERGY_KEV, two_theta_max_rad=angle)
    by_spacing = powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=d_min)
    assert by_angle.names == by_spacing.names
    assert by_angle.names[-1] == "4 4 0"
    np.testing.assert_array_equal(by_angle.f_squared_e2, by_spacing.f_squared_e2)


def test_a_line_on_the_limit_is_whole():
    # Graphite (110) has d = a/2: rounding may put some of its six reflections beyond d_min.
    found = powder_reflections(load_crystal("graphite"), energy_keV=ENERGY_KEV, d_min_A=1.232)
    assert found.names[-1] == "1 1 0"
    assert found.multiplicity[-1] == 6


def test_nothing_reflects_below_the_first_line():
    found = powder_reflections(load_crystal("Al"), energy_keV=ENERGY_KEV, d_min_A=3.0)
    assert len(found) == 0
    assert found.hkl.shape == (0, 3)


def test_scaled_crystals_share_their_geometry():
    # 256 variants over 2.7 % must not each enumerate reflections: the lists come in 4 % steps.
    crystal = load_crystal("LiMn2O4")
    before = lines_module._cached_lines.cache_info().misses
    for factor in np.linspace(0.974, 1.001, 256):
        powder_reflections(crystal.scaled(factor), energy_keV=ENERGY_KEV, d_min_A=0.87)
    assert lines_module._cached_lines.cache_info().misses - before <= 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"energy_keV": 50.0}, "either the largest scattering angle or the smallest"),
        ({"energy_keV": 50.0, "d_min_A": 1.0, "two_theta_max_rad": 0.2}, "either the largest"),
        ({"energy_keV": 50.0, "d_min_A": 0.0}, "spacing .* must be positive: got 0.0"),
        ({"energy_keV": 50.0, "d_min_A": float("nan")}, "spacing .* must be positive: got nan"),
        ({"energy_keV": 50.0, "two_theta_max_rad": 4.0}, "at most π rad: got 4"),
        ({"energy_keV": 0.5, "d_min_A": 1.0}, "must lie within 1–500 keV: got 0.5"),
        ({"energy_keV": 50.0, "d_min_A": 0.01}, "at most 4000000 index triples"),
    ],
)
def test_impossible_requests_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        powder_reflections(load_crystal("LiMn2O4"), **arguments)


@pytest.mark.parametrize("name", ["LiMn2O4", "graphite"])
def test_every_line_on_its_own_limit_is_included(name):
    # Definition: d ≥ d_min and 2θ ≤ 2θ_max include the limit, wherever rounding puts it.
    crystal = load_crystal(name)
    for d in powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=1.0).d_A:
        angle = two_theta_rad(float(d), wavelength_A=WAVELENGTH_A)
        for limit in ({"d_min_A": float(d)}, {"two_theta_max_rad": angle}):
            found = powder_reflections(crystal, energy_keV=ENERGY_KEV, **limit)
            assert found.d_A[-1] == pytest.approx(d, rel=1e-12)


@pytest.mark.parametrize("occupancy", [1.0, 0.01])
@pytest.mark.parametrize(("share", "seen"), [(4e-12, True), (0.25e-12, False)])
def test_a_line_is_absent_below_a_share_of_the_forward_amplitude(share, seen, occupancy):
    # Closed form: atoms at a corner and in the middle, of occupancies o and o(1 − ε), have
    # F(100) = o ε f(s) where F(000) = o (2 − ε) f(0): a share (ε/2)² of |F(000)|², a little less as
    # f(s) is 4 % below f(0) in a cell of 20 Å, whatever o is. The line is left out below 1e-12.
    epsilon = 2.0 * np.sqrt(share)
    sites = tuple(
        Site(f"Si{n}", (("Si", part),), (x, x, x), 0.0, 1)
        for n, (part, x) in enumerate([(occupancy, 0.0), (occupancy * (1.0 - epsilon), 0.5)])
    )
    crystal = Crystal("Si", (20.0,) * 3 + (90.0,) * 3, "P 1", sites, 1)
    found = powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=13.0)
    assert ("1 0 0" in found.names or "0 0 1" in found.names) is seen
    assert found.multiplicity[-1] == 12  # (110): both atoms together
    both = structure_factors_e(crystal, hkl=np.array([[1, 0, 0], [1, 1, 0]]), energy_keV=ENERGY_KEV)
    s = np.array([1.0, np.sqrt(2.0)]) / 40.0
    f = atomic_form_factor("Si", s_per_A=s, energy_keV=ENERGY_KEV)
    expected = f * occupancy * np.array([epsilon, 2.0 - epsilon])
    np.testing.assert_allclose(both, expected, rtol=1e-8)
