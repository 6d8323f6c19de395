"""Detection limits and degeneracies: closed forms, published distances, and Monte Carlo."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import binom, norm

from inverse.degeneracy import (
    Design,
    degeneracy,
    design_at,
    nearest_lines,
    parameter_covariance,
)
from inverse.degeneracy_sweep import host_sweep
from inverse.detection_limit import detection_limits
from inverse.model import Instrument, chebyshev_background, draw_patterns, phase_lines
from inverse.phase_decision import phase_with_free_cell, phases_present
from inverse.phase_decision_null import linear_null
from inverse.phase_decision_refined import refined_null
from inverse.phase_decision_scan import path_of
from inverse.recipe import Calibration, Profile
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(distance_m=0.6, n_channels=300, two_theta_min_deg=2.5, two_theta_max_deg=8.5)
CALIBRATION = Calibration(profile=Profile(U_deg2=2e-3, W_deg2=5e-4), distance_m=0.6)
INSTRUMENT = Instrument(BEAM, GEOMETRY, CALIBRATION)
PIXEL_M = 172e-6
PAPER = {"LiMn2O4": 0.65, "Li2MnO3": 0.04, "LiMnO2-rocksalt": 0.2, "Li0.5Mn2O4": 0.1}
DENSITIES = {name: load_crystal(name).density_g_per_cm3 for name in PAPER}


def settings(*names, spinel_A=8.205, **free):
    """A refinement of these phases with free cells, the spinel near a lattice parameter."""
    phases = tuple(
        RietveldPhase(
            crystal=name, cell_start=spinel_A / 8.245 if name == "LiMn2O4" else 1.0,
            strain_value=5e-4, **free,
        )
        for name in names
    )  # fmt: skip
    return Rietveld(phases=phases, n_background=3)


@lru_cache
def model(*names, spinel_A=8.205):
    return rietveld_model(
        settings(*names, spinel_A=spinel_A), beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION
    )


def counting(pattern, amounts, *, relative=0.02):
    """Variance that grows with the signal, over a level of a fifth of the spinel's peak."""
    scales = np.array([amounts[label] for label in pattern.phases])
    peak = pattern.rows[0].max()
    return relative**2 * peak * (scales @ pattern.rows[: scales.size] + 0.2 * peak)


def drawn(crystal):
    lines = phase_lines([crystal], beam=BEAM, geometry=GEOMETRY)
    return draw_patterns(lines, instrument=INSTRUMENT, crystallite_size_nm=200.0, strain=5e-4)[0]


# --- degeneracy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cosine", [0.0, 0.5, -0.9, 0.999])
def test_two_patterns_at_an_angle(cosine):
    # Closed form: unit vectors with inner product c have variances 1/(1 − c²) and correlation −c.
    rows = np.array([[1.0, 0.0, 0.0], [cosine, np.sqrt(1.0 - cosine**2), 0.0]])
    found = degeneracy(Design(("A.scale", "B.scale"), rows), variance=np.ones(3))
    vif = 1.0 / (1.0 - cosine**2)
    np.testing.assert_allclose(found.inflation, vif, rtol=1e-9)
    np.testing.assert_allclose(found.esd, np.sqrt(vif), rtol=1e-9)
    correlation, by_other = found.of_pair("A.scale", "B.scale")
    assert correlation == pytest.approx(-cosine, abs=1e-9)
    assert by_other == pytest.approx(vif, rel=1e-9)
    np.testing.assert_allclose(found.inflation_by_phase, [[1.0, vif], [vif, 1.0]], rtol=1e-9)


def test_inflation_by_another_is_the_variance_with_it_free_over_known():
    # Law: 1/(1 − ρ²) = var(p | all free)/var(p | q known), computed here by leaving q out.
    pattern = design_at(model("LiMn2O4", "LiMnO2-rocksalt"), PAPER)
    variance = counting(pattern, PAPER)
    found = degeneracy(pattern, variance=variance)
    p = pattern.names.index("LiMnO2-rocksalt.scale")
    for other in ("LiMn2O4.scale", "LiMn2O4.a_A", "background.1"):
        less = pattern.without([other])
        covariance, _ = parameter_covariance(less, variance=variance)
        known = covariance[less.names.index(pattern.names[p]), less.names.index(pattern.names[p])]
        _, by_other = found.of_pair("LiMnO2-rocksalt.scale", other)
        assert by_other == pytest.approx(found.esd[p] ** 2 / known, rel=1e-6)


def test_parameters_without_effect_have_no_uncertainty():
    # An absent phase has no cell; the rest is what it is without it.
    pattern = design_at(model("LiMn2O4", "LiMnO2-rocksalt"), PAPER | {"LiMnO2-rocksalt": 0.0})
    variance = counting(pattern, PAPER)
    found = degeneracy(pattern, variance=variance)
    at = pattern.names.index("LiMnO2-rocksalt.a_A")
    assert np.isnan(found.esd[at])
    assert np.isnan(found.inflation_by[0, at])
    less = degeneracy(pattern.without(["LiMnO2-rocksalt.a_A"]), variance=variance)
    np.testing.assert_allclose(np.delete(found.esd, at), less.esd, rtol=1e-9)


def test_the_design_is_the_change_of_the_pattern():
    # Independent: patterns drawn line by line from crystals with another cell (inverse.model),
    # central differences of 1e-4 Å: relative error (1e-4/20e-3)² < 3e-5 of the largest slope; and
    # powers taken as parabolas of the cell. Six widths out the two change from the mean over a
    # channel to its middle, one channel apart, where a line is 1 % of its height and bends by 1e-3.
    pattern = design_at(model("LiMn2O4", "Li2MnO3"), PAPER)
    spinel, monoclinic = load_crystal("LiMn2O4").scaled(8.205 / 8.245), load_crystal("Li2MnO3")
    for label, crystal in (("LiMn2O4", spinel), ("Li2MnO3", monoclinic)):
        row = pattern.rows[pattern.names.index(f"{label}.scale")]
        np.testing.assert_allclose(row, drawn(crystal), atol=1e-5 * row.max())
    at, step = 8.205, 1e-4
    above, below = (drawn(spinel.scaled((at + side) / at)) for side in (step, -step))
    slope = PAPER["LiMn2O4"] * (above - below) / (2.0 * step)
    row = pattern.rows[pattern.names.index("LiMn2O4.a_A")]
    np.testing.assert_allclose(row, slope, atol=3e-4 * np.abs(slope).max())


@pytest.mark.parametrize(
    ("name", "spinel_A", "line_deg", "expected", "rounded"),
    [
        ("LiMnO2-rocksalt", 8.245, 6.88, 0.8, 0.05),
        ("LiMnO2-rocksalt", 8.205, 6.88, 2.9, 0.05),
        ("LiMnO2-rocksalt", 8.076, 6.88, 9.7, 0.05),
        ("Li2MnO3", 8.205, 3.00, 0.2, 0.05),
    ],
)
def test_known_distances_between_lines(name, spinel_A, line_deg, expected, rounded):
    # Numbers of the physics notes, in pixels at 0.6 m, to their rounding: rock salt (200) from
    # spinel (400), Li2MnO3 (001) from spinel (111).
    spinel = load_crystal("LiMn2O4").scaled(spinel_A / 8.245)
    lines, host = (
        phase_lines([c], beam=BEAM, geometry=GEOMETRY) for c in (load_crystal(name), spinel)
    )
    angle, apart = nearest_lines(lines, among=host)
    line = np.argmin(np.abs(np.rad2deg(angle) - line_deg))
    pixels = 0.6 * (np.tan(angle[line]) - np.tan(angle[line] - apart[line])) / PIXEL_M
    assert abs(pixels) == pytest.approx(expected, abs=rounded)


def test_correlations_are_those_of_refinements():
    # Monte Carlo: 1500 refinements of spinel and rock salt at the worst, a = 8.245. Variances to
    # 5.73 √(2/n) = 21 % and correlations to 5.73/√n = 15 % (false alarm 1e-8 each), and all have
    # the least variance there can be, Cramér and Rao's.
    n = 1500
    refinement = model("LiMn2O4", "LiMnO2-rocksalt", spinel_A=8.245)
    amounts = {"LiMn2O4": 0.6, "LiMnO2-rocksalt": 0.2}
    pattern = design_at(refinement, amounts)
    variance = counting(pattern, amounts)
    expected = degeneracy(pattern, variance=variance)
    clean = 0.6 * pattern.rows[0] + 0.2 * pattern.rows[1]
    noise = np.random.default_rng(1).normal(size=(n, clean.size)) * np.sqrt(variance)
    refined = refine_patterns(clean + noise, variance=np.tile(variance, (n, 1)), model=refinement)
    assert np.all(np.isfinite(refined.values))
    values = refined.values[:, :4]
    np.testing.assert_allclose(
        values.var(axis=0), expected.esd[:4] ** 2, rtol=5.73 * np.sqrt(2.0 / n)
    )
    np.testing.assert_allclose(
        np.corrcoef(values.T), expected.correlation[:4, :4], atol=5.73 / np.sqrt(n)
    )
    assert expected.correlation[0, 1] < -0.5


def test_the_rock_salt_hides_the_better_the_larger_the_spinel():
    # Law: lines approach each other from 9.7 to 0.8 pixels (their FWHM is 2), so the host's
    # parameters cost the rock salt's amount more and more; far apart they cost nothing.
    refinement = settings("LiMn2O4", "LiMnO2-rocksalt")
    sweep = host_sweep(
        refinement, host="LiMn2O4", a_A=np.array([8.076, 8.205, 8.245]), amounts=PAPER,
        variance_of=lambda pattern: np.full(GEOMETRY.n_channels, pattern.rows[0].max()),
        beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION,
    )  # fmt: skip
    cost = sweep.inflation_by_host[:, 1]
    assert np.all(np.diff(cost) > 0.0)
    assert cost[0] == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(sweep.inflation_by_host[:, 0], 1.0)
    one = degeneracy(
        design_at(model("LiMn2O4", "LiMnO2-rocksalt", spinel_A=8.245), PAPER),
        variance=np.full(GEOMETRY.n_channels, 1.0),
    )
    assert sweep.correlation[2, 1] == pytest.approx(one.correlation[0, 1], rel=1e-6)


def test_equal_cells_leave_only_the_superlattice():
    # Closed form: of Li0.5Mn2O4 at the spinel's lattice parameter, free amounts of both leave the
    # sine of the angle between the two patterns, 1 − cos² = 1/VIF, by numpy here.
    a_A = load_crystal("Li0.5Mn2O4").cell_A_deg[0]
    pattern = design_at(model("LiMn2O4", "Li0.5Mn2O4", spinel_A=a_A), PAPER)
    scales = Design(pattern.names[:2], pattern.rows[:2])
    found = degeneracy(scales, variance=np.ones(GEOMETRY.n_channels))
    one, other = pattern.rows[:2] / np.linalg.norm(pattern.rows[:2], axis=1, keepdims=True)
    assert found.inflation[0] == pytest.approx(1.0 / (1.0 - (one @ other) ** 2), rel=1e-6)
    assert found.inflation[0] > 100.0


# --- detection limits ----------------------------------------------------------------------------


def test_one_phase_over_a_level_has_the_closed_form():
    # Closed form: σ₀² = v/Σ(f − mean f)², φ_D = (3.0902 + 1.6449) σ₀ (Currie, with these
    # quantiles of the normal distribution), and W = φ_D/φ of the only phase.
    shape = drawn(load_crystal("LiMn2O4"))
    pattern = Design(("LiMn2O4.scale", "background.0"), np.vstack([shape, np.ones(shape.size)]))
    found = detection_limits(
        pattern, variance=np.full((1, shape.size), 4.0), amounts={"LiMn2O4": 0.5},
        densities_g_per_cm3=DENSITIES,
    )  # fmt: skip
    esd = 2.0 / np.sqrt(np.sum((shape - shape.mean()) ** 2))
    assert found.esd_absent[0, 0] == pytest.approx(esd, rel=1e-10)
    assert found.critical[0, 0] == pytest.approx(3.090232 * esd, rel=1e-6)
    assert found.amount[0, 0] == pytest.approx((3.090232 + 1.644854) * esd, rel=1e-6)
    assert found.weight_fraction[0, 0] == pytest.approx(found.amount[0, 0] / 0.5, rel=1e-12)


def test_limits_scale_with_noise_and_become_weights():
    # Law: four times the variance, twice the limit. Weight: φ_D ρ over the mass of all phases.
    pattern = design_at(model(*PAPER), PAPER)
    variance = counting(pattern, PAPER)
    found = detection_limits(
        pattern, variance=np.stack([variance, 4.0 * variance]), amounts=PAPER,
        densities_g_per_cm3=DENSITIES,
    )  # fmt: skip
    np.testing.assert_allclose(found.amount[1], 2.0 * found.amount[0], rtol=1e-9)
    whole = sum(PAPER[label] * DENSITIES[label] for label in PAPER)
    for p, label in enumerate(found.phases):
        expected = found.amount[0, p] * DENSITIES[label] / whole
        assert found.weight_fraction[0, p] == pytest.approx(expected, rel=1e-12)


def test_the_error_of_an_absent_phase_is_that_of_its_design():
    # Law: the inverse of the information of the design in which it is absent.
    pattern = design_at(model(*PAPER), PAPER)
    variance = counting(pattern, PAPER)
    found = detection_limits(
        pattern, variance=variance, amounts=PAPER, densities_g_per_cm3=DENSITIES
    )
    for p, label in enumerate(found.phases):
        absent = design_at(model(*PAPER), PAPER | {label: 0.0})
        esd = degeneracy(absent, variance=variance).esd
        at = absent.names.index(f"{label}.scale")
        assert found.esd_absent[0, p] == pytest.approx(esd[at], rel=1e-5)


def test_the_limit_is_detected_with_the_stated_power():
    # Monte Carlo, 20,000 patterns with and without the phase at its limit: binomial counts with
    # 0.95 and 1e-2, two-sided at 1e-8.
    n = 20_000
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    spinel, rock_salt = drawn(load_crystal("LiMn2O4")), drawn(load_crystal("LiMnO2-rocksalt"))
    pattern = Design(
        ("LiMn2O4.scale", "LiMnO2-rocksalt.scale", "b.0", "b.1", "b.2"),
        np.vstack([spinel, rock_salt, background]),
    )
    amounts = {"LiMn2O4": 0.7, "LiMnO2-rocksalt": 0.0}
    variance = counting(pattern, amounts)
    limit = detection_limits(
        pattern, variance=variance, amounts=amounts, densities_g_per_cm3=DENSITIES,
        false_alarm=1e-2,
    ).amount[0, 1]  # fmt: skip
    noise = np.random.default_rng(2).normal(size=(n, spinel.size)) * np.sqrt(variance)
    known = np.vstack([spinel, background])
    for amount, probability in ((0.0, 1e-2), (limit, 0.95)):
        patterns = 0.7 * spinel + amount * rock_salt + noise
        null = linear_null(patterns, variance=np.tile(variance, (n, 1)), linear=known)
        found = phases_present(null, candidates=rock_salt[None], false_alarm=1e-2)
        low, high = binom.ppf([0.5e-8, 1.0 - 0.5e-8], n, probability)
        assert low <= found.present.sum() <= high


def test_limits_hold_for_refined_patterns():
    # Monte Carlo through the Rietveld refinement of the spinel alone, whose cell then gives way to
    # the rock salt's lines at 8.205 Å: 95 % of 1500 detected, binomial, two-sided at 1e-8.
    n = 1500
    both, alone = model("LiMn2O4", "LiMnO2-rocksalt"), model("LiMn2O4")
    pattern = design_at(both, PAPER)
    variance = counting(pattern, PAPER | {"LiMnO2-rocksalt": 0.0})
    limit = detection_limits(
        pattern, variance=variance, amounts=PAPER, densities_g_per_cm3=DENSITIES
    ).amount[0, 1]
    clean = PAPER["LiMn2O4"] * pattern.rows[0] + limit * pattern.rows[1]
    noise = np.random.default_rng(3).normal(size=(n, clean.size)) * np.sqrt(variance)
    patterns, spread = (clean + noise).astype(np.float32), np.tile(variance, (n, 1))
    refined = refine_patterns(patterns, variance=spread.astype(np.float32), model=alone)
    null = refined_null(patterns, variance=spread, refined=refined)
    found = phases_present(null, candidates=pattern.rows[1:2])
    low, high = binom.ppf([0.5e-8, 1.0 - 0.5e-8], n, 0.95)
    assert low <= found.present.sum() <= high


def test_a_cell_that_is_searched_for_costs_power():
    # Power: with the threshold of the whole path, at least 95 % are detected (binomial, one-sided
    # at 1e-8); the amount is larger than with the cell known, by the ratio of thresholds.
    n = 3000
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    rock_salt = load_crystal("LiMnO2-rocksalt")
    templates = np.stack([drawn(rock_salt.scaled(1.0 + 1e-4 * k)) for k in range(-60, 61)])
    pattern = Design(
        ("LiMnO2-rocksalt.scale", "b.0", "b.1", "b.2"), np.vstack([templates[60:61], background])
    )
    variance = np.full(GEOMETRY.n_channels, templates.max() ** 2 * 1e-3)
    path = path_of(templates, columns=background, variance=variance)
    known, searched = (
        detection_limits(
            pattern, variance=variance, amounts={"LiMnO2-rocksalt": 0.1},
            densities_g_per_cm3=DENSITIES, path_rad=given,
        )
        for given in (None, {"LiMnO2-rocksalt": path})
    )  # fmt: skip
    assert searched.amount[0, 0] > 1.1 * known.amount[0, 0]
    noise = np.random.default_rng(4).normal(size=(n, variance.size)) * np.sqrt(variance)
    null = linear_null(
        searched.amount[0, 0] * templates[60] + noise, variance=np.tile(variance, (n, 1)),
        linear=background,
    )  # fmt: skip
    found = phase_with_free_cell(null, templates=templates)
    assert found.present.sum() >= binom.ppf(1e-8, n, 0.95)


def test_a_power_of_one_half_is_the_critical_level():
    # Closed form: Φ⁻¹(½) = 0.
    pattern = design_at(model("LiMn2O4"), PAPER)
    found = detection_limits(
        pattern, variance=np.ones(GEOMETRY.n_channels), amounts=PAPER,
        densities_g_per_cm3=DENSITIES, power=0.5,
    )  # fmt: skip
    np.testing.assert_allclose(found.amount, found.critical, rtol=1e-12)
    assert found.critical[0, 0] / found.esd_absent[0, 0] == pytest.approx(norm.isf(1e-3))


def test_a_phase_that_others_can_stand_for_has_no_limit():
    pattern = Design(("A.scale", "B.scale"), np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]))
    found = detection_limits(
        pattern, variance=np.ones(3), amounts={"A": 1.0, "B": 1.0},
        densities_g_per_cm3={"A": 1.0, "B": 1.0},
    )  # fmt: skip
    assert np.all(np.isnan(found.amount))
    with pytest.raises(InputError, match="mixtures of the others"):
        degeneracy(pattern, variance=np.ones(3))


def test_what_cannot_be_is_refused():
    pattern = Design(("A.scale",), np.ones((1, 4)))
    given = {"amounts": {"A": 1.0}, "densities_g_per_cm3": {"A": 1.0}}
    with pytest.raises(InputError, match="variance must have 4 channels"):
        detection_limits(pattern, variance=np.ones(3), **given)
    with pytest.raises(InputError, match="the power of a test must lie within"):
        detection_limits(pattern, variance=np.ones(4), power=1.0, **given)
    with pytest.raises(InputError, match="phase A needs an amount and a density"):
        detection_limits(pattern, variance=np.ones(4), **(given | {"amounts": {}}))
    with pytest.raises(InputError, match="variance must have the shape"):
        degeneracy(pattern, variance=np.ones(3))
    with pytest.raises(InputError, match="no phase is called 'B'"):
        pattern.of_phase("B")
    with pytest.raises(InputError, match="phase LiMn2O4 needs an amount"):
        design_at(model("LiMn2O4"), {})
    with pytest.raises(InputError, match="the host must be one of LiMn2O4"):
        host_sweep(
            settings("LiMn2O4"), host="Al", a_A=np.array([8.2]), amounts=PAPER,
            variance_of=lambda pattern: np.ones(pattern.rows.shape[1]), beam=BEAM,
            geometry=GEOMETRY, calibration=CALIBRATION,
        )  # fmt: skip
