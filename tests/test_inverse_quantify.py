"""Weight fractions: closed forms, laws of the simplex, and error propagation by Monte Carlo."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.degeneracy import design_at
from inverse.profile import line_widths_rad
from inverse.quantify import (
    cell_volumes_A3,
    rietveld_from_volume,
    volume_from_rietveld,
    volume_shares,
    weight_fractions,
)
from inverse.quantify_refined import refined_weight_fractions
from inverse.quantify_strain import (
    apparent_strain,
    rms_strain,
    sphere_diameter_nm,
    strain_from_square,
    strain_of_width,
    volume_weighted_size_nm,
)
from inverse.recipe import Calibration, Profile
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.cell import cell_volume_A3
from xrdct.composition import formula_mass_u
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

SPINEL, MONOCLINIC, ROCK_SALT = (
    load_crystal(name) for name in ("LiMn2O4", "Li2MnO3", "LiMnO2-rocksalt")
)
CRYSTALS = {"LiMn2O4": SPINEL, "Li2MnO3": MONOCLINIC, "rock salt": ROCK_SALT}
SCALES = ("LiMn2O4.scale", "Li2MnO3.scale", "rock salt.scale")
NAMES = (
    *SCALES, "LiMn2O4.a_A", "Li2MnO3.a_A", "Li2MnO3.b_A", "Li2MnO3.c_A", "Li2MnO3.beta_deg",
    "LiMn2O4.strain", "background.0",
)  # fmt: skip
VALUES = np.array([[0.4, 0.05, 0.1, 8.21, 4.93, 8.54, 5.02, 109.3, 1e-3, 7.0]])

amounts = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda a: sum(a) > 0.01)


def some_covariance(seed, esd):
    """A positive definite matrix with these standard deviations and strong correlations."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(len(esd), len(esd)))
    raw = root @ root.T + 0.3 * np.eye(len(esd))
    unit = np.sqrt(np.diag(raw))
    return raw / np.outer(unit, unit) * np.outer(esd, esd)


def test_two_phases_have_the_closed_form():
    # Closed form: W = φ₁ρ₁/(φ₁ρ₁ + φ₂ρ₂), with densities that xrdct.crystal computes, and for
    # independent scales σ(W) = W(1 − W)·√((σ₁/φ₁)² + (σ₂/φ₂)²). Rounding only.
    two = {"LiMn2O4": SPINEL, "Li2MnO3": MONOCLINIC}
    found = weight_fractions(
        np.array([[0.4, 0.05]]), names=SCALES[:2], crystals=two,
        covariance=np.diag([0.01**2, 0.004**2])[None],
    )  # fmt: skip
    mass = 0.4 * SPINEL.density_g_per_cm3, 0.05 * MONOCLINIC.density_g_per_cm3
    share = mass[0] / sum(mass)
    assert found.of("LiMn2O4")[0] == pytest.approx(share, rel=1e-12)
    esd = share * (1.0 - share) * np.hypot(0.01 / 0.4, 0.004 / 0.05)
    assert found.esd[0] == pytest.approx([esd, esd], rel=1e-12)
    assert found.esd_of("Li2MnO3")[0] == pytest.approx(esd, rel=1e-12)


def test_the_refined_cell_sets_the_density():
    # Closed form: ρ ∝ 1/V, that is a⁻³ for the cubic phase; a scale in the other convention, φ/V²,
    # with the same cell gives the same weight.
    found = weight_fractions(VALUES, names=NAMES, crystals=CRYSTALS)
    v = cell_volume_A3((4.93, 8.54, 5.02, 90.0, 109.3, 90.0))
    mass = np.array([
        0.4 * SPINEL.density_g_per_cm3 * (SPINEL.cell_A_deg[0] / 8.21) ** 3,
        0.05 * MONOCLINIC.density_g_per_cm3 * MONOCLINIC.volume_A3 / v,
        0.1 * ROCK_SALT.density_g_per_cm3,
    ])  # fmt: skip
    np.testing.assert_allclose(found.values[0], mass / mass.sum(), rtol=1e-12)


@pytest.mark.parametrize("cell", [SPINEL.cell_A_deg, (5.1, 6.2, 7.3, 81.0, 95.0, 104.0)])
def test_volumes_and_their_slopes(cell):
    # xrdct.cell computes the same volume; slopes by central differences, whose error is the third
    # derivative's share, h²/a² < 1e-7, and rounding 1e-16/1e-4 of V.
    values = np.array([cell], dtype=float)
    volume, slopes = cell_volumes_A3(values)
    assert volume[0] == pytest.approx(cell_volume_A3(cell), rel=1e-13)
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-3
        above, below = cell_volumes_A3(values + step)[0], cell_volumes_A3(values - step)[0]
        expected = (above - below)[0] / 2e-3
        assert slopes[0, k] == pytest.approx(expected, rel=1e-6, abs=1e-7 * volume[0])


@given(scales=amounts, seed=st.integers(0, 1000))
def test_fractions_sum_to_one_and_their_errors_to_zero(scales, seed):
    # Law of the simplex, to rounding, also with phases that are absent.
    covariance = some_covariance(seed, [0.01, 0.02, 0.03])[None]
    found = weight_fractions(
        np.array([scales]), names=SCALES, crystals=CRYSTALS, covariance=covariance
    )
    assert found.values.sum() == pytest.approx(1.0, abs=1e-12)
    largest = np.abs(found.covariance).max()
    np.testing.assert_allclose(found.covariance.sum(axis=1), 0.0, atol=1e-12 * largest)
    np.testing.assert_allclose(found.covariance[0], found.covariance[0].T, atol=1e-12 * largest)


@given(scales=amounts, factor=st.floats(1e-3, 1e3))
def test_a_common_factor_of_all_scales_changes_nothing(scales, factor):
    # Law: W is homogeneous of degree 0, and its error too when errors scale along.
    covariance = some_covariance(3, [0.01, 0.02, 0.03])
    one, other = (
        weight_fractions(
            f * np.array([scales]), names=SCALES, crystals=CRYSTALS,
            covariance=f**2 * covariance[None],
        )
        for f in (1.0, factor)
    )  # fmt: skip
    np.testing.assert_allclose(other.values, one.values, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(other.esd, one.esd, rtol=1e-9, atol=1e-14)


def test_an_error_that_is_common_to_all_scales_cancels():
    # Limit: perfectly correlated relative errors, as of the beam's flux, leave W without error.
    relative = 0.05 * VALUES[0, :3]
    found = weight_fractions(
        VALUES[:, :3], names=SCALES, crystals=CRYSTALS,
        covariance=np.outer(relative, relative)[None],
    )  # fmt: skip
    np.testing.assert_allclose(found.esd, 0.0, atol=1e-9)


def test_both_conventions_give_the_same_fractions_and_errors():
    # Law: S = φ/V² is a change of variables, with Jacobian ∂S/∂φ = 1/V², ∂S/∂cell = −2φ/V³ ∂V/∂cell
    # by which the covariance is carried over here.
    esd = np.array([0.01, 0.004, 0.01, 4e-3, 0.01, 0.01, 0.01, 0.2, 1e-4, 1.0])
    covariance = some_covariance(5, esd)
    own = weight_fractions(VALUES, names=NAMES, crystals=CRYSTALS, covariance=covariance[None])
    cells = np.array([
        [8.21] * 3 + [90.0] * 3, [4.93, 8.54, 5.02, 90.0, 109.3, 90.0], ROCK_SALT.cell_A_deg
    ])  # fmt: skip
    volume, slope = cell_volumes_A3(cells)
    scales = rietveld_from_volume(VALUES[:, :3], volume_A3=volume)
    jacobian = np.eye(len(NAMES))
    jacobian[[0, 1, 2], [0, 1, 2]] = 1.0 / volume**2
    by_volume = -2.0 * VALUES[0, :3] / volume**3
    jacobian[0, 3] = by_volume[0] * slope[0, :3].sum()
    jacobian[1, 4:8] = by_volume[1] * slope[1, [0, 1, 2, 4]]
    other = weight_fractions(
        np.concatenate([scales, VALUES[:, 3:]], axis=1), names=NAMES, crystals=CRYSTALS,
        covariance=(jacobian @ covariance @ jacobian.T)[None], convention="rietveld",
    )  # fmt: skip
    np.testing.assert_allclose(other.values, own.values, rtol=1e-12)
    np.testing.assert_allclose(other.covariance, own.covariance, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(
        volume_from_rietveld(scales, volume_A3=volume), VALUES[:, :3], rtol=1e-13
    )


def test_propagation_agrees_with_monte_carlo():
    # Monte Carlo of the whole formula, 40,000 draws. Errors are small enough (relative 0.5 % of
    # scales, 5e-4 of cells) for terms of second order to be below 1 % of the esd. A sample variance
    # of n draws has a relative standard deviation of √(2/n) = 0.7 %, and 5.73 of these (false alarm
    # 1e-8) plus 1 % are allowed; in units of the two esd the same bounds a covariance.
    esd = np.array([2e-3, 2.5e-4, 5e-4, 4e-3, 2e-3, 4e-3, 2.5e-3, 0.05, 1e-4, 1.0])
    covariance = some_covariance(6, esd)
    found = weight_fractions(VALUES, names=NAMES, crystals=CRYSTALS, covariance=covariance[None])
    draws = np.random.default_rng(7).multivariate_normal(VALUES[0], covariance, 40_000)
    drawn = weight_fractions(draws, names=NAMES, crystals=CRYSTALS).values
    unit = found.esd[0]
    expected = np.cov(drawn.T) / np.outer(unit, unit)
    margin = 5.73 * np.sqrt(2.0 / 40_000) + 0.01
    np.testing.assert_allclose(found.covariance[0] / np.outer(unit, unit), expected, atol=margin)


def test_an_absent_phase_keeps_the_error_of_its_fraction():
    # Closed form at φ₂ = 0: σ(W₂) = ρ₂σ₂/(φ₁ρ₁). The cell of what is absent is unknown (NaN), and
    # so are its covariances.
    names = ("LiMn2O4.scale", "Li2MnO3.scale", "Li2MnO3.a_A")
    covariance = np.full((1, 3, 3), np.nan)
    covariance[0, :2, :2] = np.diag([0.01**2, 0.004**2])
    two = {"LiMn2O4": SPINEL, "Li2MnO3": MONOCLINIC}
    found = weight_fractions(
        np.array([[0.4, 0.0, np.nan]]), names=names, crystals=two, covariance=covariance
    )
    expected = 0.004 * MONOCLINIC.density_g_per_cm3 / (0.4 * SPINEL.density_g_per_cm3)
    assert found.values[0] == pytest.approx([1.0, 0.0], abs=1e-15)
    assert found.esd[0] == pytest.approx([expected, expected], rel=1e-12)


def test_a_cell_that_was_not_found_is_the_crystal_s_own():
    # Law: NaN for a cell, as of a phase too weak to refine it, is as good as not naming it.
    esd = np.diag([0.01, 0.004]) ** 2
    covariance = np.full((1, 3, 3), np.nan)
    covariance[0, :2, :2] = esd
    two = {"LiMn2O4": SPINEL, "Li2MnO3": MONOCLINIC}
    without = weight_fractions(
        np.array([[0.4, 0.02]]), names=SCALES[:2], crystals=two, covariance=esd[None]
    )
    names = (*SCALES[:2], "Li2MnO3.a_A")
    found = weight_fractions(
        np.array([[0.4, 0.02, np.nan]]), names=names, crystals=two, covariance=covariance
    )
    np.testing.assert_allclose(found.values, without.values, rtol=1e-14)
    np.testing.assert_allclose(found.covariance, without.covariance, rtol=1e-12, atol=1e-16)


def test_what_is_not_known_is_nan():
    # A voxel with no phase at all, and one that was not measured.
    two = {"LiMn2O4": SPINEL, "Li2MnO3": MONOCLINIC}
    values = np.array([[0.0, 0.0], [np.nan, 0.1]])
    found = weight_fractions(values, names=SCALES[:2], crystals=two)
    assert np.all(np.isnan(found.values))
    assert np.all(np.isnan(found.esd))


def test_a_tied_cell_follows_the_other():
    # Law: two lattices of one cell. Density cancels between them, so that their ratio is that of
    # the scales and the common cell moves only the share of both against the third.
    names = ("one.scale", "two.scale", "rock salt.scale", "one.a_A")
    crystals = {"one": SPINEL, "two": SPINEL, "rock salt": ROCK_SALT}
    covariance = np.diag([0.0, 0.0, 0.0, 0.01**2])[None]
    found = weight_fractions(
        np.array([[0.3, 0.1, 0.1, 8.1]]), names=names, crystals=crystals, covariance=covariance,
        tied={"two.a_A": "one.a_A"},
    )  # fmt: skip
    assert found.of("one")[0] / found.of("two")[0] == pytest.approx(3.0, rel=1e-12)
    third = found.of("rock salt")[0]
    # dW₃/W₃ = (1 − W₃)·3 da/a
    expected = third * (1.0 - third) * 3.0 * 0.01 / 8.1
    assert found.esd_of("rock salt")[0] == pytest.approx(expected, rel=1e-9)
    assert found.esd_of("one")[0] == pytest.approx(0.75 * expected, rel=1e-9)


def test_an_occupancy_changes_the_mass_of_the_cell():
    # Closed form: half the lithium of LiMn2O4 leaves 8·(½·Li + 2 Mn + 4 O), by xrdct.composition.
    names = (*SCALES[:2], "LiMn2O4.occupancy")
    two = {"LiMn2O4": SPINEL, "Li2MnO3": MONOCLINIC}
    covariance = np.diag([0.0, 0.0, 0.02**2])[None]
    found = weight_fractions(
        np.array([[0.4, 0.1, 0.5]]), names=names, crystals=two, covariance=covariance,
        sites={"LiMn2O4": SPINEL.sites[0].label},
    )  # fmt: skip
    assert SPINEL.sites[0].occupancies[0][0] == "Li"
    half = 8.0 * formula_mass_u({"Li": 0.5, "Mn": 2.0, "O": 4.0})
    mass = 0.4 * half / SPINEL.volume_A3, 0.1 * MONOCLINIC.cell_mass_u / MONOCLINIC.volume_A3
    share = mass[0] / sum(mass)
    assert found.of("LiMn2O4")[0] == pytest.approx(share, rel=1e-12)
    relative = 8.0 * formula_mass_u({"Li": 1.0}) / half * 0.02
    assert found.esd_of("Li2MnO3")[0] == pytest.approx(share * (1 - share) * relative, rel=1e-9)


BEAM = Beam()
GEOMETRY = Geometry(n_channels=300, two_theta_min_deg=2.5, two_theta_max_deg=8.5)
CALIBRATION = Calibration(distance_m=0.7)


def refined_from_noise(*phases, amounts, n, relative):
    """Refinements of n noisy patterns of these amounts, made by the design itself."""
    model = rietveld_model(
        Rietveld(phases=phases, n_background=3), beam=BEAM, geometry=GEOMETRY,
        calibration=CALIBRATION,
    )  # fmt: skip
    rows = design_at(model, amounts).rows[: len(phases)]
    clean = np.array(list(amounts.values())) @ rows
    variance = relative**2 * clean.max() * (clean + 0.2 * clean.max())
    noise = np.random.default_rng(8).normal(size=(n, clean.size)) * np.sqrt(variance)
    spread = np.tile(variance, (n, 1))
    return refine_patterns(clean + noise, variance=spread, model=model, covariance=True)


def test_refined_fractions_spread_as_their_covariance_says():
    # Monte Carlo: 1500 refinements of two phases with free cells. The sample variance has a
    # relative standard deviation of √(2/n), 5.73 of which are allowed (false alarm 1e-8), and the
    # mean lies within 5.73/√n esd of the truth.
    n, amounts = 1500, {"LiMn2O4": 0.6, "LiMnO2-rocksalt": 0.2}
    refined = refined_from_noise(
        RietveldPhase(crystal="LiMn2O4"), RietveldPhase(crystal="LiMnO2-rocksalt"),
        amounts=amounts, n=n, relative=0.02,
    )  # fmt: skip
    found = refined_weight_fractions(refined)
    masses = np.array([load_crystal(name).density_g_per_cm3 * v for name, v in amounts.items()])
    true = masses / masses.sum()
    esd = found.esd.mean(axis=0)
    assert np.all(np.isfinite(found.values))
    np.testing.assert_allclose(found.values.mean(axis=0), true, atol=5.73 * esd[0] / np.sqrt(n))
    np.testing.assert_allclose(found.values.var(axis=0), esd**2, rtol=5.73 * np.sqrt(2.0 / n))


def test_ties_and_shared_cells_of_a_refinement_are_followed():
    # Law: two phases whose common cell all patterns share. Its error, known to a few parts in 1e6,
    # cancels between them; fractions are then those of the scales.
    first = RietveldPhase(crystal="LiMn2O4", name="one", cell="shared", strain_value=1e-4)
    second = RietveldPhase(crystal="LiMn2O4", name="two", cell="=one", strain_value=5e-3)
    refined = refined_from_noise(
        first, second, amounts={"one": 0.3, "two": 0.3}, n=60, relative=0.01
    )
    assert "one.a_A" in refined.shared
    found = refined_weight_fractions(refined)
    both = refined.of("one.scale") + refined.of("two.scale")
    np.testing.assert_allclose(found.of("one"), refined.of("one.scale") / both, rtol=1e-9)
    alone = volume_shares(
        refined.values, names=refined.names, phases=("one", "two"), covariance=refined.covariance
    )
    np.testing.assert_allclose(found.esd, alone.esd, rtol=1e-6)
    with pytest.raises(InputError, match="no refined phase is called 'three'"):
        refined_weight_fractions(refined, phases=("three",))


def test_volume_shares_leave_the_density_out():
    # Closed form for two phases, as for weights with equal densities.
    found = volume_shares(
        np.array([[0.3, 0.1]]), names=SCALES[:2], phases=("LiMn2O4", "Li2MnO3"),
        covariance=np.diag([0.01**2, 0.002**2])[None],
    )  # fmt: skip
    assert found.values[0] == pytest.approx([0.75, 0.25], rel=1e-14)
    esd = 0.75 * 0.25 * np.hypot(0.01 / 0.3, 0.002 / 0.1)
    assert found.esd[0] == pytest.approx([esd, esd], rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": SCALES[:2]}, "one column for each of 2 names"),
        ({"names": ("LiMn2O4.scale", "x", "y")}, "phase Li2MnO3 needs a parameter"),
        ({"covariance": np.eye(3)}, "covariance must have the shape"),
        (
            {
                "names": (*SCALES[:2], "LiMn2O4.occupancy"),
                "sites": {"LiMn2O4": "X9"},
                "crystals": {"LiMn2O4": SPINEL},
            },
            "has no site 'X9', only",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    given_ = {"values": VALUES[:, :3], "names": SCALES, "crystals": CRYSTALS} | changes
    values = given_.pop("values")
    with pytest.raises(InputError, match=message):
        weight_fractions(values, **given_)


def test_an_unknown_phase_is_named():
    found = weight_fractions(VALUES, names=NAMES, crystals=CRYSTALS)
    with pytest.raises(InputError, match="no phase is called 'Al'"):
        found.of("Al")


def test_strain_of_the_model_s_own_width():
    # inverse.profile makes 4 e0 tanθ from a strain; with an instrument width of 1e-9° nothing else.
    angle = np.deg2rad([3.0, 7.0, 13.0])
    gaussian, _ = line_widths_rad(
        angle, Profile(W_deg2=1e-18), wavelength_A=0.25, crystallite_size_nm=200.0, strain=1e-3
    )
    np.testing.assert_allclose(strain_of_width(gaussian, two_theta_rad=angle), 1e-3, rtol=1e-9)


def test_rms_strain_is_the_spread_of_spacings():
    # Truth: Gaussian spacings of rms 1e-3, moved through Bragg's law by 2θ = 2 asin(λ/2d); the rms
    # of 2θ is FWHM/2.3548. 200,000 draws give an rms to 5.73/√(2n) = 0.9 % (false alarm 1e-8).
    spacing = 2.0 * (1.0 + np.random.default_rng(1).normal(size=200_000) * 1e-3)
    angle = 2.0 * np.arcsin(0.25 / (2.0 * spacing))
    fwhm = 2.0 * np.sqrt(2.0 * np.log(2.0)) * np.std(angle)
    e0 = strain_of_width(fwhm, two_theta_rad=2.0 * np.arcsin(0.25 / 4.0))
    assert rms_strain(e0) == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_breadths_of_both_shapes(shape):
    # Truth: integral breadth = area over height, by quadrature of the profile itself.
    x = np.linspace(-2e3, 2e3, 2_000_001)
    line = np.exp(-4.0 * np.log(2.0) * x**2) if shape == "gaussian" else 1.0 / (1.0 + 4.0 * x**2)
    breadth = np.trapezoid(line, x)  # the Lorentzian's tails beyond hold 1/(2·2000) = 2.5e-4
    assert apparent_strain(1e-3, shape=shape) == pytest.approx(4e-3 * breadth, rel=4e-4)
    expected = 100.0 / (0.9 * breadth)
    assert volume_weighted_size_nm(100.0, shape=shape) == pytest.approx(expected, rel=4e-4)
    assert sphere_diameter_nm(100.0, shape=shape) == pytest.approx(4.0 / 3.0 * expected, rel=4e-4)


def test_strain_far_from_zero_has_the_esd_of_the_delta_method():
    # Limit: σ(e0) = σ(e0²)/(2 e0), next term (σ/2e0²)²/2 relative: 1e-6 here.
    found = strain_from_square(np.array([1e-6]), esd=np.array([2e-9]))
    assert found.strain[0] == pytest.approx(1e-3, rel=1e-12)
    assert found.esd[0] == pytest.approx(1e-6, rel=2e-6)
    assert found.upper[0] == pytest.approx(1e-3 + 1.6449e-6, rel=1e-5)


@pytest.mark.parametrize("square", [0.0, -0.5, -9.0])
def test_strain_at_zero(square):
    """Truth: an upper limit of 95 % above zero is √1.645 of the interval's end, halved: the esd."""
    found = strain_from_square(np.array([square]), esd=np.array([2.0]))
    assert found.strain[0] == 0.0
    assert found.upper[0] == pytest.approx(np.sqrt(2.0 * 1.6448536))
    assert found.esd[0] == pytest.approx(0.5 * found.upper[0] / np.sqrt(1.6448536))


@pytest.mark.parametrize("true", [0.0, 0.5, 4.0])
def test_the_upper_limit_of_a_strain_covers(true):
    # Monte Carlo: the limit lies above the true strain in at least 95 % of 20,000 fits whose square
    # has a normal error (units of its esd); 5.61 binomial σ below that, false alarm 1e-8.
    square = np.random.default_rng(2).normal(true, 1.0, 20_000)
    upper = strain_from_square(square, esd=np.ones(20_000)).upper
    covered = np.mean(upper >= np.sqrt(true))
    assert covered >= 0.95 - 5.61 * np.sqrt(0.95 * 0.05 / 20_000)


def test_an_impossible_confidence_is_refused():
    with pytest.raises(InputError, match="a confidence must lie between"):
        strain_from_square(np.ones(1), esd=np.ones(1), confidence=1.0)
