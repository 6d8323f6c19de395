"""Decisions on phases: stated false alarms, power, and agreement with least squares written out.

Patterns are drawn by inverse.model. Statistical tests have a false-alarm probability of about 1e-8
each; counts are held to binomial quantiles.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2, norm

from inverse import phase_decision_scan
from inverse.model import (
    Instrument,
    chebyshev_background,
    draw_patterns,
    lattice_lines,
    phase_lines,
)
from inverse.phase_decision import phase_with_free_cell, phases_present
from inverse.phase_decision_bound import (
    expected_crossings,
    global_p_value,
    global_threshold,
    local_p_value,
    local_threshold,
)
from inverse.phase_decision_null import Null, lattice_null, linear_null
from inverse.phase_decision_pair import second_lattice
from inverse.phase_decision_refined import refined_null
from inverse.phase_decision_scan import path_of
from inverse.recipe import Calibration, Profile, Recipe
from inverse.reconstruct import reconstruct_counts
from inverse.recover import model_builder
from inverse.refine import LatticeModel, Status
from inverse.rietveld import design, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from inverse.shared import Shared, refine_shared
from inverse.sinogram import gains
from validation.experiment import load_experiment
from validation.steps import simulate
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=240, two_theta_min_deg=2.5, two_theta_max_deg=7.5)
CALIBRATION = Calibration(profile=Profile(U_deg2=2e-3, W_deg2=5e-4), distance_m=0.7)
INSTRUMENT = Instrument(BEAM, GEOMETRY, CALIBRATION)
LOW_A, SPACING_A, N_TEMPLATES = 8.02, 1e-3, 241
ONE_IN_1E8 = 1e-8


def drawn(name, a_A):
    """Patterns of a crystal scaled to these lattice parameters."""
    lines = lattice_lines(load_crystal(name), np.atleast_1d(a_A), beam=BEAM, geometry=GEOMETRY)
    return draw_patterns(lines, instrument=INSTRUMENT, crystallite_size_nm=200.0, strain=5e-4)


@lru_cache
def spinel():
    a_A = LOW_A + SPACING_A * np.arange(N_TEMPLATES)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    return LatticeModel(a_A=a_A, templates=drawn("LiMn2O4", a_A), linear=background)


@lru_cache
def rock_salts():
    return drawn("LiMnO2-rocksalt", 4.09 + 0.5e-3 * np.arange(161))


@lru_cache
def others():
    """Rock salt, Li2MnO3 and Li0.5Mn2O4, each with its own cell."""
    names = ("LiMnO2-rocksalt", "Li2MnO3", "Li0.5Mn2O4")
    lines = phase_lines([load_crystal(n) for n in names], beam=BEAM, geometry=GEOMETRY)
    return draw_patterns(lines, instrument=INSTRUMENT, crystallite_size_nm=200.0, strain=5e-4)


PEAK = float(spinel().templates.max())


def noisy(clean, *, seed, relative=0.05):
    """Gaussian noise whose variance grows with the signal, and differs from pattern to pattern."""
    rng = np.random.default_rng(seed)
    louder = rng.uniform(0.5, 2.0, (len(clean), 1))
    variance = louder * relative**2 * PEAK * (np.abs(clean) + 0.2 * PEAK)
    patterns = clean + rng.normal(size=clean.shape) * np.sqrt(variance)
    return patterns.astype(np.float32), variance.astype(np.float32)


def hosts(n, *, seed):
    """Spinels of 50 random lattice parameters over a background, repeated."""
    a_A = np.random.default_rng(seed).uniform(LOW_A + 0.02, LOW_A + 0.22, 50)
    return 0.8 * np.resize(drawn("LiMn2O4", a_A), (n, GEOMETRY.n_channels)) + 0.2 * PEAK


def within_binomial(count, n, probability):
    """Whether a count is compatible with a probability, two-sided at 1e-8."""
    low, high = binom.ppf([0.5 * ONE_IN_1E8, 1.0 - 0.5 * ONE_IN_1E8], n, probability)
    return low <= count <= high


@pytest.fixture(scope="module")
def spinels_alone():
    """20,000 patterns of one lattice each, explained."""
    clean = hosts(20_000, seed=9)
    patterns, variance = noisy(clean, seed=10)
    return lattice_null(patterns, variance=variance, model=spinel())[0]


# --- the bound -----------------------------------------------------------------------------------


@given(c=st.floats(0.01, 8.0))
def test_the_local_chance_is_half_of_chi_squared(c):
    # Closed form: u = z² for z > 0, so P(u > c²) = ½ P(χ²₁ > c²).
    assert local_p_value(c) == pytest.approx(0.5 * chi2.sf(c * c, 1), rel=1e-10)
    assert local_p_value(-c) == 1.0


@given(p=st.floats(1e-9, 0.4), path=st.floats(0.0, 500.0), pieces=st.integers(1, 3))
def test_thresholds_invert_the_chance(p, path, pieces):
    # Law; 60 bisections of 12 leave 1e-17, times the slope of ln p, about z.
    c = global_threshold(p, path_rad=path, pieces=pieces)
    if c > local_threshold(p) + 1e-9:
        assert global_p_value(c, path_rad=path, pieces=pieces) == pytest.approx(p, rel=1e-9)
    assert local_p_value(local_threshold(p)) == pytest.approx(p, rel=1e-9)


def test_crossings_follow_from_those_at_a_lower_level():
    # Gross & Vitells: ⟨N(u)⟩ = ⟨N(u₀)⟩ exp(−(u − u₀)/2).
    low, high = (float(expected_crossings(np.sqrt(u), path_rad=9.0)) for u in (0.5, 16.0))
    assert high == pytest.approx(low * np.exp(-0.5 * 15.5), rel=1e-12)


@pytest.mark.parametrize("c", [1.0, 2.5])
def test_the_bound_of_a_full_circle(c):
    # Closed form: on a great circle z = R cos(φ − φ₀) with P(R > c) = exp(−c²/2). The bound says
    # more by the chance 1 − Φ(c) of being above at the start, as the circle closes; the crossings
    # alone, L = 2π, are exact.
    assert expected_crossings(c, path_rad=2.0 * np.pi) == pytest.approx(np.exp(-0.5 * c * c))
    bound = global_p_value(c, path_rad=2.0 * np.pi)
    assert bound == pytest.approx(np.exp(-0.5 * c * c) + norm.sf(c))


def test_the_path_does_not_depend_on_the_grid():
    # Limit: chords of a smooth path grow to its length as their square; twice the spacing loses
    # four times as much. Angles between neighbours are 0.05, so 1 − (angle)²/24 is 1e-4.
    columns = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    variance = np.full(GEOMETRY.n_channels, 1.0)
    lengths = [path_of(rock_salts()[::k], columns=columns, variance=variance) for k in (1, 2, 4)]
    assert lengths[0] > lengths[1] > lengths[2]
    assert lengths[0] - lengths[1] < 2e-3 * lengths[0]
    assert (lengths[1] - lengths[2]) / (lengths[0] - lengths[1]) == pytest.approx(4.0, rel=0.2)


# --- phases of known cells -----------------------------------------------------------------------


def written_out(pattern, variance, rows):
    """Weighted least squares by numpy: amounts, esd and χ²."""
    root = 1.0 / np.sqrt(variance.astype(float))
    amounts, chi, _, _ = np.linalg.lstsq((rows * root).T, pattern * root, rcond=None)
    esd = np.sqrt(np.diag(np.linalg.inv((rows * root**2) @ rows.T)))
    return amounts, esd, float(chi[0])


def test_amounts_and_likelihood_ratio_are_those_of_least_squares():
    # Independent: numpy's lstsq with and without each phase. The residuals are in single precision:
    # 6e-8 of the pattern, against noise of 5 %.
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    amounts = np.array([[0.2, 0.0, 0.1], [0.0, 0.3, 0.0]])
    patterns, variance = noisy(amounts @ others() + 0.2 * PEAK, seed=1)
    null = linear_null(patterns, variance=variance, linear=background)
    found = phases_present(null, candidates=others())
    rows = np.concatenate([others(), background])
    for i in range(2):
        expected, esd, chi_all = written_out(patterns[i], variance[i], rows)
        np.testing.assert_allclose(found.amount[i], expected[:3], atol=1e-5 * esd[:3].max())
        np.testing.assert_allclose(found.esd[i], esd[:3], rtol=1e-6)
        for p in range(3):
            _, _, chi_less = written_out(patterns[i], variance[i], np.delete(rows, p, axis=0))
            u = (chi_less - chi_all) * (expected[p] > 0.0)
            assert max(found.z[i, p], 0.0) ** 2 == pytest.approx(u, rel=1e-4, abs=1e-3)
            n = GEOMETRY.n_channels
            assert found.bic[i, p] == pytest.approx(u - np.log(n), rel=1e-4, abs=1e-3)


def test_absent_phases_are_found_as_often_as_stated(spinels_alone):
    # Monte Carlo, 20,000 patterns of spinel alone whose lattice parameters are refined: the number
    # of alarms is binomial. Second order in the error of a is 1/(2·S/N) of an esd, 2 % here.
    found = phases_present(spinels_alone, candidates=others(), false_alarm=1e-2)
    n = np.isfinite(found.z[:, 0]).sum()
    assert n > 19_900
    np.testing.assert_array_equal(found.present, found.p_value <= 1e-2)
    for false_alarm in (1e-1, 1e-2, 1e-3):
        for p in range(3):
            assert within_binomial(np.sum(found.p_value[:, p] <= false_alarm), n, false_alarm)


def test_another_phase_that_is_there_changes_nothing():
    # Monte Carlo as above with 20 % of rock salt there: it is found, Li2MnO3 as rarely as stated.
    clean = 0.2 * others()[:1] + np.full((20_000, 1), 0.2 * PEAK)
    patterns, variance = noisy(clean, seed=4)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    null = linear_null(patterns, variance=variance, linear=background)
    found = phases_present(null, candidates=others()[:2], false_alarm=1e-2)
    assert within_binomial(found.present[:, 1].sum(), 20_000, 1e-2)
    power = norm.sf(local_threshold(1e-2) - np.mean(0.2 / found.esd[:, 0]))
    assert found.present[:, 0].mean() > power - 0.05


def test_inflated_errors_make_z_smaller():
    # Law: esd times a factor is z over it.
    patterns, variance = noisy(hosts(4, seed=5), seed=6)
    null, _ = lattice_null(patterns, variance=variance, model=spinel())
    one = phases_present(null, candidates=others())
    other = phases_present(null, candidates=others(), inflation=np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(other.z * [[1.0], [2.0], [3.0], [4.0]], one.z, rtol=1e-12)


def test_an_amount_that_does_not_count_is_found_as_often_as_stated():
    # Monte Carlo, 20,000 patterns with just the least amount that counts: binomial. And the law
    # that z falls by least/esd.
    n, least = 20_000, 0.05
    clean = least * others()[:1] + np.full((n, 1), 0.2 * PEAK)
    patterns, variance = noisy(clean, seed=27)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    null = linear_null(patterns, variance=variance, linear=background)
    found = phases_present(null, candidates=others()[:2], false_alarm=1e-2, least=least)
    assert within_binomial(found.present[:, 0].sum(), n, 1e-2)
    plain = phases_present(null, candidates=others()[:2])
    np.testing.assert_allclose(found.z, plain.z - least / plain.esd, rtol=1e-12, atol=1e-12)


def test_channels_without_number_count_as_if_they_were_not_there():
    # Law: NaN and zero variance are the same as a shorter pattern.
    patterns, variance = noisy(others()[:1] + 0.2 * PEAK, seed=7)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    kept = np.ones(GEOMETRY.n_channels, bool)
    kept[[3, 50, 51, 120]] = False
    holes, less = patterns.copy(), variance.copy()
    holes[0, 3], less[0, 50], less[0, 51], holes[0, 120] = np.nan, 0.0, np.nan, np.inf
    whole = phases_present(
        linear_null(holes, variance=less, linear=background), candidates=others()
    )
    short = phases_present(
        linear_null(patterns[:, kept], variance=variance[:, kept], linear=background[:, kept]),
        candidates=others()[:, kept],
    )
    np.testing.assert_allclose(whole.z, short.z, rtol=1e-6)
    np.testing.assert_allclose(whole.bic, short.bic, rtol=1e-6)


def test_a_phase_for_which_another_can_stand_is_undecided():
    # Limit: twice the same candidate, and one that is among the known patterns.
    patterns, variance = noisy(others()[:1] + 0.2 * PEAK, seed=8)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    null = linear_null(patterns, variance=variance, linear=background)
    twice = phases_present(null, candidates=others()[[0, 0, 1]])
    assert np.all(np.isnan(twice.z[0, :2]))
    assert np.isfinite(twice.z[0, 2])
    assert not twice.present[0, :2].any()
    known = linear_null(patterns, variance=variance, linear=np.vstack([background, others()[:1]]))
    assert np.isnan(phases_present(known, candidates=others()[:1]).z[0, 0])


# --- a phase whose cell is not known -------------------------------------------------------------


def test_a_free_cell_is_found_no_more_often_than_stated(spinels_alone):
    # Monte Carlo, 20,000 patterns: no more alarms than binomial with the stated probability, which
    # is a bound. It is close where alarms are rare: at least half of it is reached.
    found = phase_with_free_cell(spinels_alone, templates=rock_salts(), false_alarm=1e-2)
    n = np.isfinite(found.z).sum()
    assert n > 19_900
    np.testing.assert_array_equal(found.present, found.examined & (found.p_value <= 1e-2))
    for false_alarm in (1e-2, 1e-3):
        count = np.sum(found.present & (found.p_value <= false_alarm))
        assert count <= binom.ppf(1.0 - ONE_IN_1E8, n, false_alarm)
        assert count >= binom.ppf(ONE_IN_1E8, n, 0.5 * false_alarm)


def test_the_threshold_of_a_known_cell_would_be_passed_too_often(spinels_alone):
    # The trap that the bound is for: 1 − Φ(c) alone is exceeded many times more often, by 1 + turns
    # of the path times √(2π)·c, here more than 5 times.
    found = phase_with_free_cell(spinels_alone, templates=rock_salts(), false_alarm=0.1)
    passed = np.sum(found.z > local_threshold(1e-2))
    assert passed > binom.ppf(1.0 - ONE_IN_1E8, found.z.size, 0.05)


def test_matches_are_those_of_least_squares(spinels_alone):
    # Independent: numpy's lstsq with each template beside the null's columns, for three patterns.
    rows = np.array([5, 17, 4000])
    few = Null(
        spinels_alone.residuals[rows], spinels_alone.variance[rows], spinels_alone.group[rows],
        spinels_alone.columns,
    )  # fmt: skip
    templates = rock_salts()[::20]
    found = phase_with_free_cell(few, templates=templates, false_alarm=0.5)
    for i in np.flatnonzero(found.examined):
        columns = few.columns(int(few.group[i]))
        fits = [
            written_out(few.residuals[i], few.variance[i], np.vstack([t, columns]))
            for t in templates
        ]
        z = np.array([amounts[0] / esd[0] for amounts, esd, _ in fits])
        assert found.place[i] == np.argmax(z)
        assert found.z[i] == pytest.approx(z.max(), rel=1e-5)
        assert found.amount[i] == pytest.approx(fits[np.argmax(z)][0][0], rel=1e-5)
    assert found.examined.sum() >= 2


def test_patterns_that_are_not_examined_would_not_be_detected(spinels_alone, monkeypatch):
    # The screen under the mean variance against the exact test of all patterns, whose variances
    # differ by factors of four and in shape: the screen errs by some 0.15 in z, its margin is 1.
    quick = phase_with_free_cell(spinels_alone, templates=rock_salts(), false_alarm=1e-2)
    monkeypatch.setattr(phase_decision_scan, "MARGIN", np.inf)
    whole = phase_with_free_cell(spinels_alone, templates=rock_salts(), false_alarm=1e-2)
    assert whole.examined.sum() > 19_900
    assert 0.0 < quick.examined.mean() < 0.3
    np.testing.assert_array_equal(quick.present, whole.present)
    assert np.nanstd(quick.z - whole.z) < 0.25


def test_a_phase_of_unknown_cell_is_detected_at_its_limit():
    # Power: with c the threshold of the whole grid, an amount of (c + 1.645) esd passes with at
    # least 95 %, being tested at its own cell among others; binomial, one-sided. Its cell is found
    # to within a line's width.
    n = 2000
    at = 80
    clean = hosts(n, seed=11)
    patterns, variance = noisy(clean, seed=12)
    null, _ = lattice_null(patterns, variance=variance, model=spinel())
    esd = phases_present(null, candidates=rock_salts()[at : at + 1]).esd
    columns = null.columns(120)
    path = path_of(rock_salts(), columns=columns, variance=variance.mean(axis=0))
    threshold = (
        float(global_threshold(1e-3, path_rad=path)) + 0.02
    )  # paths differ by a few per cent
    added = (threshold + norm.ppf(0.95)) * esd * rock_salts()[at]
    null, _ = lattice_null((patterns + added).astype(np.float32), variance=variance, model=spinel())
    found = phase_with_free_cell(null, templates=rock_salts(), false_alarm=1e-3)
    assert found.present.sum() >= binom.ppf(ONE_IN_1E8, n, 0.95)
    assert np.mean(np.abs(found.place - at)[found.present] < 40) > 0.95


def test_the_criterion_of_a_free_cell_counts_two_parameters(spinels_alone):
    # Closed form: u − 2 ln n.
    found = phase_with_free_cell(spinels_alone, templates=rock_salts(), false_alarm=1e-2)
    expected = np.maximum(found.z, 0.0) ** 2 - 2.0 * np.log(GEOMETRY.n_channels)
    np.testing.assert_allclose(found.bic, expected, rtol=1e-12)


def test_an_amount_that_does_not_count_at_a_free_cell():
    # Monte Carlo: no more alarms than stated with the least amount there, of a cell on the grid.
    n, least = 10_000, 0.05
    clean = least * rock_salts()[60:61] + np.full((n, 1), 0.2 * PEAK)
    patterns, variance = noisy(clean, seed=28, relative=0.02)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    null = linear_null(patterns, variance=variance, linear=background)
    found = phase_with_free_cell(null, templates=rock_salts(), false_alarm=1e-2, least=least)
    assert found.present.sum() <= binom.ppf(1.0 - ONE_IN_1E8, n, 1e-2)
    plain = phase_with_free_cell(null, templates=rock_salts(), false_alarm=1e-2)
    assert plain.present.mean() > 0.2
    same = found.place == plain.place
    excess = (plain.amount - least)[same] / plain.esd[same]
    both = (found.examined & plain.examined)[same]
    np.testing.assert_allclose(found.z[same][both], excess[both], rtol=1e-6)


# --- two lattices --------------------------------------------------------------------------------


@pytest.mark.parametrize("relative", [0.02, 0.1])
def test_one_lattice_is_taken_for_two_no_more_often_than_stated(relative):
    # Monte Carlo, 20,000 patterns of one lattice; also where the lattice itself is some ten esd.
    clean = hosts(20_000, seed=13)
    patterns, variance = noisy(clean, seed=14, relative=relative)
    found = second_lattice(patterns, variance=variance, model=spinel(), false_alarm=1e-2)
    n = np.isfinite(found.decision.z).sum()
    assert n > 0.99 * 20_000
    count = found.decision.present.sum()
    assert count <= binom.ppf(1.0 - ONE_IN_1E8, n, 1e-2)
    assert count >= binom.ppf(ONE_IN_1E8, n, 0.5e-2)
    assert np.all(np.isnan(found.pair.a_A[~found.decision.present]))


@pytest.mark.parametrize(
    ("minor", "apart_A"), [(0.5, 0.03), (0.5, 0.09), (0.15, 0.06), (0.25, 0.03)]
)
def test_two_lattices_are_found_and_told(minor, apart_A):
    # Truth: what made the patterns. All z of lattice parameters and amounts within 6 (1e-8 in 1600)
    # and their mean square within 5.7 √(2/400) + 10 % of one, 10 % for terms of second order.
    n = 400
    first_A = np.resize(np.random.default_rng(15).uniform(8.05, 8.23 - apart_A, 40), n)
    true_A = np.stack([first_A, first_A + apart_A], axis=1)
    pure = [np.resize(drawn("LiMn2O4", true_A[:40, k]), (n, GEOMETRY.n_channels)) for k in (0, 1)]
    true = 0.8 * np.array([1.0 - minor, minor])
    clean = true[0] * pure[0] + true[1] * pure[1] + 0.2 * PEAK
    patterns, variance = noisy(clean, seed=16, relative=0.01)
    found = second_lattice(patterns, variance=variance, model=spinel())
    assert found.decision.present.all()
    order = np.argsort(found.pair.a_A, axis=1)
    a_A, a_esd_A, amount, esd = (
        np.take_along_axis(values, order, axis=1)
        for values in (
            found.pair.a_A, found.pair.a_esd_A, found.pair.amount, found.pair.amount_esd
        )
    )  # fmt: skip
    for z in ((a_A - true_A) / a_esd_A, (amount - true) / esd):
        assert np.abs(z).max() < 6.5
        assert np.mean(z**2, axis=0) == pytest.approx([1.0, 1.0], abs=5.7 * np.sqrt(2 / n) + 0.1)
    assert np.all(np.diff(found.pair.amount, axis=1) <= 0.0)
    freedom = GEOMETRY.n_channels - 7
    assert np.mean(found.pair.chi2) == pytest.approx(freedom, rel=5.7 * np.sqrt(2 / freedom / n))


def test_a_second_lattice_is_detected_at_its_limit():
    # Power as for a phase of unknown cell: (c + 1.645) esd of a lattice 60 mÅ away.
    n = 1000
    a_A = np.resize(np.random.default_rng(17).uniform(8.05, 8.16, 40), n)
    clean = 0.8 * np.resize(drawn("LiMn2O4", a_A[:40]), (n, GEOMETRY.n_channels)) + 0.2 * PEAK
    minor = np.resize(drawn("LiMn2O4", a_A[:40] + 0.06), clean.shape)
    patterns, variance = noisy(clean, seed=18)
    alone = second_lattice(patterns, variance=variance, model=spinel())
    null, _ = lattice_null(patterns, variance=variance, model=spinel())
    esd = np.empty((n, 1))
    for k in range(40):
        rows = np.arange(k, n, 40)
        part = Null(null.residuals[rows], null.variance[rows], null.group[rows], null.columns)
        esd[rows] = phases_present(part, candidates=minor[k : k + 1]).esd
    threshold = 0.05 + float(global_threshold(1e-3, path_rad=20.0, pieces=2))
    longest = phase_decision_scan.path_of(
        spinel().templates, columns=spinel().linear, variance=variance.mean(axis=0)
    )
    assert longest < 20.0
    assert alone.decision.present.mean() < 0.01
    added = (threshold + norm.ppf(0.95)) * esd * minor
    found = second_lattice((patterns + added).astype(np.float32), variance=variance, model=spinel())
    assert found.decision.present.sum() >= binom.ppf(ONE_IN_1E8, n, 0.95)


def test_lattices_nearer_than_the_least_separation_are_one():
    # Law: no template within it is a candidate.
    clean = hosts(500, seed=19)
    patterns, variance = noisy(clean, seed=20)
    found = second_lattice(
        patterns, variance=variance, model=spinel(), min_separation_A=0.05, false_alarm=0.3
    )
    place_A = spinel().a_A[found.decision.place]
    apart_A = np.abs(place_A - found.single.a_A)[found.decision.present]
    assert apart_A.size > 0
    assert apart_A.min() > 0.05 - 0.5 * SPACING_A


def test_a_lattice_of_a_small_share_does_not_count():
    # Truth: what made the patterns, a twentieth and a quarter of a second lattice, 60 mÅ away.
    n = 400
    patterns, variance = [], []
    for minor in (0.05, 0.25):
        pure = drawn("LiMn2O4", [8.1, 8.16])
        clean = 0.8 * (1.0 - minor) * pure[0] + 0.8 * minor * pure[1] + 0.2 * PEAK
        part, spread = noisy(np.tile(clean, (n, 1)), seed=29, relative=0.01)
        patterns.append(part)
        variance.append(spread)
    both, spreads = np.concatenate(patterns), np.concatenate(variance)
    every, large = (
        second_lattice(both, variance=spreads, model=spinel(), least_share=share)
        for share in (0.0, 0.1)
    )
    assert every.decision.present.mean() > 0.95
    assert not large.decision.present[:n].any()
    assert large.decision.present[n:].all()


@pytest.mark.slow
def test_two_phase_voxels_of_a_simulated_scan():
    # Truth: the simulator's. Its patterns are not those of our model, and streaks and blur bring
    # other lattices into a voxel: as a twentieth, which is then not to count.
    experiment = load_experiment(Path(__file__).parent.parent / "examples" / "particle.toml")
    simulated = simulate(experiment)
    raw, truth = simulated.raw, simulated.truth
    recipe = Recipe.model_validate(raw.recipe)
    ray_gain, channel_gain = gains(raw)
    volume = reconstruct_counts(
        raw.counts, ray_gain=ray_gain, channel_gain=channel_gain, angles_rad=raw.scan.angles_rad,
        step_um=raw.scan.step_um, variance=raw.variance,
    )  # fmt: skip
    patterns, variance = volume.values[truth.interior], volume.variance[truth.interior]
    patterns[:, channel_gain == 0.0] = np.nan
    build = model_builder(raw, recipe)
    shared = refine_shared(patterns, variance=variance, build=build, start=Shared(200.0, 0.0))
    found = second_lattice(
        patterns, variance=variance, model=build(shared), least_share=0.05
    ).decision.present
    two = truth.two_lattices[truth.interior]
    assert two.sum() > 50
    assert found[two].mean() > 0.95
    assert found[~two].mean() < 0.01


def test_voxels_without_material_are_undecided():
    patterns, variance = noisy(np.full((50, GEOMETRY.n_channels), 0.2 * PEAK), seed=21)
    patterns[0] = np.nan
    found = second_lattice(patterns, variance=variance, model=spinel())
    assert np.all(found.single.status != Status.CONVERGED)
    assert np.all(np.isnan(found.decision.z))
    assert not found.decision.present.any()


def test_misfit_makes_the_decision_stricter():
    # Law: errors times √χ² where that is above one.
    clean = hosts(200, seed=22)
    patterns, variance = noisy(clean, seed=23)
    plain, strict = (
        second_lattice(
            patterns, variance=variance / 4, model=spinel(), false_alarm=0.5, by_misfit=by_misfit
        )
        for by_misfit in (False, True)
    )
    both = plain.decision.examined & strict.decision.examined
    misfit = np.sqrt(plain.single.chi2_reduced[both])
    assert misfit.min() > 1.5
    np.testing.assert_allclose(strict.decision.z[both] * misfit, plain.decision.z[both], rtol=1e-6)


# --- the null of a Rietveld refinement -----------------------------------------------------------


def test_a_rietveld_refinement_makes_the_same_decisions():
    # Law: the same phase explained by the two engines. With columns of each pattern's own they
    # agree to what their tables leave (cubics between templates; the parabola of powers, 3e-5 at
    # 1.6 %, of peaks of 30 esd). Columns that a group shares are up to half a step of 1 mÅ away,
    # which tells where a phase is nearly hidden: Li0.5Mn2O4 at the spinel's lattice parameter.
    clean = hosts(60, seed=24)
    patterns, variance = noisy(clean, seed=25)
    settings = Rietveld(
        phases=(
            RietveldPhase(
                crystal="LiMn2O4", cell_start=8.14 / 8.245, cell_range=0.016, search=True,
                strain_value=5e-4,
            ),
        ),
        n_background=3,
    )  # fmt: skip
    model = rietveld_model(settings, beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION)
    refined = refine_patterns(patterns, variance=variance, model=model)
    null = refined_null(patterns, variance=variance, refined=refined)
    lattice, single = lattice_null(patterns, variance=variance, model=spinel())

    def own(i):
        sides = drawn("LiMn2O4", single.a_A[i] + np.array([-1e-4, 0.0, 1e-4]))
        return np.vstack([sides[1], sides[2] - sides[0], spinel().linear])

    each = np.arange(60)
    one, other = (
        phases_present(Null(from_.residuals, variance, each, columns), candidates=others()).z
        for from_, columns in (
            (null, lambda i: design(model, refined.values[i])),
            (lattice, own),
        )
    )
    np.testing.assert_allclose(one, other, atol=5e-3)
    for shared in (null, lattice):
        z = phases_present(shared, candidates=others()).z
        np.testing.assert_allclose(z[:, :2], one[:, :2], atol=0.03)
        np.testing.assert_allclose(z[:, 2], one[:, 2], atol=0.15)


# --- refusals ------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused():
    patterns, variance = noisy(np.full((3, GEOMETRY.n_channels), PEAK), seed=26)
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    null = linear_null(patterns, variance=variance, linear=background)
    with pytest.raises(InputError, match="a false-alarm probability must lie within"):
        phases_present(null, candidates=others(), false_alarm=0.7)
    with pytest.raises(InputError, match="patterns of phases must have 240 channels"):
        phases_present(null, candidates=others()[:, 1:])
    with pytest.raises(InputError, match="inflation must be 3 positive numbers"):
        phases_present(null, candidates=others(), inflation=np.ones(2))
    with pytest.raises(InputError, match="the least amount that counts must not be negative"):
        phases_present(null, candidates=others(), least=-0.1)
    with pytest.raises(InputError, match="patterns and variance must have the shape"):
        linear_null(patterns, variance=variance[:2], linear=background)
    with pytest.raises(InputError, match="min_separation_A must lie between 0 and"):
        second_lattice(patterns, variance=variance, model=spinel(), min_separation_A=1.0)
