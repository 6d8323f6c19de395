"""Refinement of single voxels, against what made them and against full least squares."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from inverse.model import Instrument, chebyshev_background, draw_patterns, lattice_lines
from inverse.recipe import Calibration, Profile
from inverse.refine import LatticeModel, Status, refine
from inverse.refine_kernel import N_VALUES, _step, refine_voxels
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=480, two_theta_min_deg=2.5, two_theta_max_deg=10.0)
INSTRUMENT = Instrument(
    BEAM, GEOMETRY, Calibration(profile=Profile(U_deg2=2e-3, W_deg2=5e-4), distance_m=0.7001)
)
LOW_A, HIGH_A, SPACING_A = 8.10, 8.30, 1e-3
FIVE_SIGMA = 5.33
"""A Gaussian variable leaves ±5.33 σ with a probability of 1e-7."""


def drawn(a_A):
    """Patterns at exactly these lattice parameters: no template, no interpolation."""
    lines = lattice_lines(load_crystal("LiMn2O4"), np.atleast_1d(a_A), beam=BEAM, geometry=GEOMETRY)
    return draw_patterns(lines, instrument=INSTRUMENT, crystallite_size_nm=150.0, strain=5e-4)


@lru_cache
def model(n_terms=3, fixed=True):
    a_A = LOW_A + SPACING_A * np.arange(round((HIGH_A - LOW_A) / SPACING_A) + 1)
    terms = list(chebyshev_background(GEOMETRY.n_channels, n_terms=n_terms))
    # as a fixed phase, the same lines of a lattice far outside the range
    rows = [drawn(8.7)[0], *terms] if fixed else terms
    return LatticeModel(a_A=a_A, templates=drawn(a_A), linear=np.array(rows))


PEAK = float(model().templates.max())
AMOUNTS = np.array([0.3, 0.4 * PEAK, -0.1 * PEAK, 0.05 * PEAK])


def noise_variance(patterns, *, relative):
    """Variance that grows with the signal, as that of counts does."""
    return relative**2 * PEAK * (np.abs(patterns) + 0.2 * PEAK)


def refined(patterns, *, relative=0.01, variance=None, **more):
    if variance is None:
        variance = noise_variance(patterns, relative=relative)
    more.setdefault("model", model())
    more.setdefault("workers", 1)
    return refine(patterns.astype(np.float32), variance=variance.astype(np.float32), **more)


def noisy(n_voxels, *, seed, relative, scale=0.8):
    """Patterns of (at most 100) random lattice parameters with Gaussian noise of known variance."""
    rng = np.random.default_rng(seed)
    several_A = rng.uniform(LOW_A + 0.01, HIGH_A - 0.01, min(n_voxels, 100))
    a_A = np.resize(several_A, n_voxels)
    clean = scale * np.resize(drawn(several_A), (n_voxels, GEOMETRY.n_channels))
    clean += AMOUNTS @ model().linear
    variance = noise_variance(clean, relative=relative)
    return a_A, clean + rng.normal(size=clean.shape) * np.sqrt(variance), variance


@given(
    a_A=st.floats(LOW_A, HIGH_A),
    scale=st.floats(0.1, 2.0),
    amounts=st.tuples(*[st.floats(-0.5, 0.5)] * 4),
)
def test_what_the_model_made_is_recovered(a_A, scale, amounts):
    # Truth: the numbers that made the pattern. Single precision (6e-8 of 2 PEAK, against a slope of
    # PEAK per 10 mÅ) makes 1e-9 Å, the cubic 3/128 (1/10)⁴ of a width of 10 mÅ 2e-8 Å; on the
    # edge of the range the cubic is one-sided and ten times as bad, or the voxel at the limit.
    linear = np.array(amounts) * [1.0, PEAK, PEAK, PEAK]
    result = refined(scale * drawn(a_A) + linear @ model().linear)
    if result.status[0] == Status.AT_LIMIT:
        assert min(a_A - LOW_A, HIGH_A - a_A) < 1e-6
        return
    assert result.status[0] == Status.CONVERGED
    assert result.a_A[0] == pytest.approx(a_A, abs=1e-6)
    assert result.scale[0] == pytest.approx(scale, rel=2e-6)
    np.testing.assert_allclose(result.linear[0] / [1.0, PEAK, PEAK, PEAK], amounts, atol=5e-6)
    assert result.chi2_reduced[0] < 1e-6


@given(a_A=st.floats(LOW_A + 0.02, HIGH_A - 0.02), shift_A=st.floats(-0.015, 0.015))
def test_the_refined_lattice_parameter_moves_with_the_true_one(a_A, shift_A):
    # Law: one to one, on patterns with the same noise; shapes change by 2 % over 15 mÅ (positions
    # against channels), which mixes at most that share of the noise, 0.3 esd, anew.
    clean = drawn([a_A, a_A + shift_A])
    result = refined(clean + AMOUNTS @ model().linear, relative=1e-4)
    assert result.a_A[1] - result.a_A[0] == pytest.approx(shift_A, abs=1e-7)


@given(amounts=st.tuples(*[st.floats(-1.0, 1.0)] * 4), voxel=st.integers(0, 19))
def test_linear_patterns_may_be_added_without_effect(amounts, voxel):
    # Law: they are projected out. Rounding of what is added to single precision (6e-8 of 2 PEAK)
    # is noise like any other, and less than 1e-4 of the noise here.
    _, patterns, variance = noisy(20, seed=1, relative=0.02)
    added = (np.array(amounts) * [1.0, PEAK, PEAK, PEAK]) @ model().linear
    pair = np.stack([patterns[voxel], patterns[voxel] + added])
    result = refined(pair, variance=np.stack([variance[voxel]] * 2))
    assert result.a_A[1] == pytest.approx(result.a_A[0], abs=1e-4 * result.a_esd_A[0])
    assert result.scale[1] == pytest.approx(result.scale[0], abs=1e-4 * result.scale_esd[0])
    assert result.chi2_reduced[1] == pytest.approx(result.chi2_reduced[0], rel=1e-4)
    np.testing.assert_allclose(result.a_esd_A[1], result.a_esd_A[0], rtol=1e-4)


@pytest.mark.parametrize("factor", [0.25, 8.0])
def test_data_times_a_factor_give_the_scale_times_it(factor):
    # Law, exact in binary arithmetic for powers of two; the start may round otherwise.
    _, patterns, variance = noisy(40, seed=2, relative=0.02)
    one, other = (
        refined(patterns * f, variance=variance * f**2) for f in (1.0, factor)
    )  # fmt: skip
    np.testing.assert_allclose(other.a_A, one.a_A, rtol=0, atol=1e-10)
    np.testing.assert_allclose(other.a_esd_A, one.a_esd_A, rtol=1e-8)
    np.testing.assert_allclose(other.scale, factor * one.scale, rtol=1e-8)
    np.testing.assert_allclose(other.scale_esd, factor * one.scale_esd, rtol=1e-8)
    np.testing.assert_allclose(other.chi2_reduced, one.chi2_reduced, rtol=1e-8)
    np.testing.assert_allclose(other.linear, factor * one.linear, rtol=1e-6, atol=1e-9 * PEAK)


def test_a_larger_variance_gives_larger_uncertainties_and_nothing_else():
    # Law: weights matter only relative to each other; esd ∝ √v, χ² ∝ 1/v.
    _, patterns, variance = noisy(40, seed=2, relative=0.02)
    one, other = refined(patterns, variance=variance), refined(patterns, variance=4.0 * variance)
    np.testing.assert_allclose(other.a_A, one.a_A, rtol=0, atol=1e-10)
    np.testing.assert_allclose(other.scale, one.scale, rtol=1e-8)
    np.testing.assert_allclose(other.a_esd_A, 2.0 * one.a_esd_A, rtol=1e-8)
    np.testing.assert_allclose(other.scale_esd, 2.0 * one.scale_esd, rtol=1e-8)
    np.testing.assert_allclose(other.chi2_reduced, one.chi2_reduced / 4.0, rtol=1e-8)


@pytest.mark.parametrize("n_terms", [1, 2, 3, 6])
@pytest.mark.parametrize("fixed", [True, False])
def test_uncertainties_are_those_of_full_least_squares(n_terms, fixed):
    # Independent code path: (JᵀWJ)⁻¹ of all parameters, J by central differences of exact patterns
    # (step 1e-4 Å, error (1e-4/1e-2)²/6 = 2e-5 in a direction that counts to second order only).
    # Very unequal weights, so that flanks do not balance and a and scale are correlated.
    own = model(n_terms, fixed)
    _, patterns, variance = noisy(6, seed=3, relative=0.001)
    variance *= np.random.default_rng(4).lognormal(0.0, 1.0, variance.shape)
    result = refined(patterns, variance=variance, model=own)
    assert (result.status == Status.CONVERGED).all()
    for voxel in range(6):
        a_A, scale = result.a_A[voxel], result.scale[voxel]
        before, here, after = drawn([a_A - 1e-4, a_A, a_A + 1e-4])
        jacobian = np.vstack([scale * (after - before) / 2e-4, here, own.linear])
        weight = 1.0 / variance[voxel].astype(np.float32).astype(float)
        size = np.sqrt((jacobian**2 * weight).sum(axis=1))
        unit = jacobian / size[:, None]
        covariance = np.linalg.inv((unit * weight) @ unit.T) / np.outer(size, size)
        esd = np.sqrt(np.diag(covariance))
        assert abs(covariance[0, 1]) > 0.01 * esd[0] * esd[1]
        assert result.a_esd_A[voxel] == pytest.approx(esd[0], rel=1e-4)
        assert result.scale_esd[voxel] == pytest.approx(esd[1], rel=1e-4)


def test_the_optimum_is_that_of_full_non_linear_least_squares():
    # Independent package: scipy, on all parameters at once, with exact patterns instead of
    # templates. The cubic's slope errs by h³f″″/12, 1e-4 of the slope: 1e-4 of an esd of 0.2 mÅ.
    _, patterns, variance = noisy(4, seed=4, relative=2e-3)
    patterns = patterns.astype(np.float32).astype(float)
    result = refined(patterns, variance=variance)
    assert result.a_esd_A.max() < 2e-4
    unit = np.array([1.0, PEAK, PEAK, PEAK])
    for voxel in range(4):
        root_weight = 1.0 / np.sqrt(variance[voxel])
        target = patterns[voxel]

        def residual(p, target=target, root_weight=root_weight):
            fit = p[1] * drawn(p[0])[0] + (p[2:] * unit) @ model().linear
            return (fit - target) * root_weight

        start = [result.a_A[voxel] + 3e-3, 1.0, *(AMOUNTS / unit)]
        fit = least_squares(residual, start, x_scale=[1e-3, 1, 1, 1, 1, 1], diff_step=1e-7,
                            ftol=1e-15, xtol=1e-15, gtol=1e-15)  # fmt: skip
        assert result.a_A[voxel] == pytest.approx(fit.x[0], abs=1e-7)
        assert result.scale[voxel] == pytest.approx(fit.x[1], rel=1e-6)
        np.testing.assert_allclose(result.linear[voxel] / unit, fit.x[2:], atol=1e-5)
        dof = GEOMETRY.n_channels - 6
        assert result.chi2_reduced[voxel] == pytest.approx(2.0 * fit.cost / dof, rel=1e-5)


def test_uncertainties_cover_the_noise():
    # Statistics: z of N voxels has mean 0 ± 1/√N and standard deviation 1 ± 1/√(2N), χ²/dof has
    # mean 1 ± √(2/(N dof)); each bound has a false-alarm probability of 1e-7. What is not linear
    # adds (esd/width)², 1e-3 here.
    n = 3000
    a_A, patterns, variance = noisy(n, seed=5, relative=0.01)
    result = refined(patterns, variance=variance, workers=None)
    assert (result.status == Status.CONVERGED).all()
    assert np.median(result.a_esd_A) < 4e-4
    for z in ((result.a_A - a_A) / result.a_esd_A, (result.scale - 0.8) / result.scale_esd):
        assert abs(z.mean()) < FIVE_SIGMA / np.sqrt(n) + 1e-3
        assert abs(z.std() - 1.0) < FIVE_SIGMA / np.sqrt(2 * n) + 1e-3
    dof = GEOMETRY.n_channels - 6
    assert abs(result.chi2_reduced.mean() - 1.0) < FIVE_SIGMA * np.sqrt(2 / (n * dof))


@pytest.mark.parametrize("scale", [0.02, 1.0, 50.0])
def test_every_lattice_parameter_of_the_range_is_found(scale):
    # Truth: what made the patterns. Starting on a grid, no part of the range is out of reach.
    a_A = np.arange(LOW_A + 5e-4, HIGH_A, 1.7e-3)
    result = refined(scale * drawn(a_A) + AMOUNTS @ model().linear, relative=1e-4)
    assert (result.status == Status.CONVERGED).all()
    np.testing.assert_allclose(result.a_A, a_A, rtol=0, atol=1e-6)


@pytest.mark.parametrize("offset", [-12.0, -5.0, 0.37, 7.0, 12.0])
def test_the_search_does_not_depend_on_where_it_starts(offset):
    # Law: from anywhere within a peak's width (12 mÅ; the search starts within 2) one optimum.
    _, patterns, variance = noisy(200, seed=6, relative=0.02)
    result = refined(patterns, variance=variance)
    best = (result.a_A - LOW_A) / SPACING_A
    values = np.full((200, N_VALUES + 4), np.nan)
    status = np.zeros(200, np.int8)
    refine_voxels(
        patterns.astype(np.float32), variance.astype(np.float32), model().templates,
        model().linear, best + offset, SPACING_A, 0.0, values, status,
    )  # fmt: skip
    assert (status == Status.CONVERGED).all()
    # two searches end within 1e-7 Å each; at a template, where the cubic has a kink of 1e-4 of its
    # slope, within that share of the esd
    assert np.abs(values[:, 0] - best).max() * SPACING_A < 2e-7 + 1e-4 * result.a_esd_A.max()


@given(
    position=st.floats(1.0, 199.0),
    slope=st.floats(-1e3, 1e3).filter(bool),
    newton=st.floats(-1e3, 1e3),
    last=st.floats(0.0, 200.0),
    last_slope=st.floats(-1e3, 1e3),
    below=st.floats(1e-3, 50.0),
    above=st.floats(1e-3, 50.0),
)
def test_steps_stay_where_the_maximum_is_known_to_be(
    position, slope, newton, last, last_slope, below, above
):
    # Law of bisection: of an interval with slopes pointing inwards the part uphill is kept, and
    # what is longer than the tolerance ends inside it. No step is longer than eight templates, or
    # half the interval.
    past = np.array([last, last_slope, position - below, position + above])
    step = _step(position, slope, newton, 1e-4, past)
    low, high = (position, position + above) if slope > 0.0 else (position - below, position)
    assert past.tolist() == [position, slope, low, high]
    assert abs(step) < 1e-4 or low < position + step < high
    assert abs(step) <= max(8.0, 0.5 * (high - low))


def test_a_voxel_without_bounds_on_its_noise_does_not_disturb_the_others():
    # Law: voxels are refined each for itself; infinite variance in one (and in the sample from
    # which common weights are taken) leaves it unmeasured and the rest as it was.
    _, patterns, variance = noisy(40, seed=14, relative=0.02)
    alone = refined(patterns[1:], variance=variance[1:])
    variance[0] = np.inf
    result = refined(patterns, variance=variance)
    assert result.status[0] == Status.NOT_MEASURED
    np.testing.assert_allclose(result.a_A[1:], alone.a_A, rtol=0, atol=2e-7)


@pytest.mark.parametrize(
    "hole", ["nan", "inf", "zero variance", "negative", "nan variance", "inf v"]
)
def test_channels_that_are_not_measured_do_not_count(hole):
    # Law: as if the model had no such channels. A fifth of them, a strong line's core included.
    a_A, patterns, variance = noisy(50, seed=7, relative=0.01)
    rng = np.random.default_rng(8)
    missing = rng.random(GEOMETRY.n_channels) < 0.2
    missing[np.argmax(drawn(8.2)[0])] = True
    kept = ~missing
    reduced = LatticeModel(model().a_A, model().templates[:, kept], model().linear[:, kept])
    expected = refined(patterns[:, kept], variance=variance[:, kept], model=reduced)
    bad_pattern = {"nan": np.nan, "inf": np.inf}
    bad_variance = {"zero variance": 0.0, "negative": -1.0, "nan variance": np.nan, "inf v": np.inf}
    patterns[:, missing] = bad_pattern.get(hole, 1e6)
    variance[:, missing] = bad_variance.get(hole, 1e-9 * PEAK**2)
    result = refined(patterns, variance=variance)
    np.testing.assert_allclose(result.a_A, expected.a_A, rtol=0, atol=2e-7)
    for name in ("a_esd_A", "scale", "scale_esd", "chi2_reduced"):
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=1e-5)
    assert np.abs((result.a_A - a_A) / result.a_esd_A).max() < 6.0


def test_single_voxels_with_holes_on_a_high_background_are_found():
    # Truth: what made them. Holes differ from voxel to voxel, so that the common start grid does
    # not know them; the background is ten times the peak.
    rng = np.random.default_rng(9)
    a_A = rng.uniform(LOW_A + 2e-3, HIGH_A - 2e-3, 200)
    patterns = drawn(a_A) + 10.0 * PEAK * model().linear[1] + 3.0 * PEAK * model().linear[2]
    patterns[rng.random(patterns.shape) < 0.15] = np.nan
    patterns[:50, :40] = np.nan
    patterns[50:100, -40:] = np.nan
    result = refined(patterns, variance=np.full(patterns.shape, (1e-3 * PEAK) ** 2))
    assert (result.status == Status.CONVERGED).all()
    # single precision: 6e-8 of 13 PEAK against a slope of PEAK per 10 mÅ
    np.testing.assert_allclose(result.a_A, a_A, rtol=0, atol=1e-6)


def all_nan(result, voxels):
    fields = (result.a_A, result.a_esd_A, result.scale, result.scale_esd, result.chi2_reduced)
    return all(np.isnan(f[voxels]).all() for f in (*fields, result.linear))


def test_voxels_without_an_answer_say_so_and_carry_no_number():
    # By construction, each kind once; the last is good and must not suffer from its neighbours.
    good = drawn(8.2)[0] + AMOUNTS @ model().linear
    cases = {
        "negative": (-good, Status.NO_MATERIAL),
        "no counts": (np.zeros_like(good), Status.NO_MATERIAL),
        "background alone": (model().linear[1] * PEAK, Status.NO_MATERIAL),
        "fixed phase alone": (model().linear[0], Status.NO_MATERIAL),
        "too little": (0.04 * good, Status.NO_MATERIAL),
        "below the range": (drawn(LOW_A - 0.006)[0], Status.AT_LIMIT),
        "above the range": (drawn(HIGH_A + 0.006)[0], Status.AT_LIMIT),
        "nothing measured": (np.full_like(good, np.nan), Status.NOT_MEASURED),
        "good": (good, Status.CONVERGED),
    }
    patterns = np.stack([pattern for pattern, _ in cases.values()])
    expected = np.array([status for _, status in cases.values()])
    variance = np.full(patterns.shape, (1e-3 * PEAK) ** 2)
    result = refined(patterns, variance=variance, min_scale=0.05)
    assert dict(zip(cases, result.status, strict=True)) == dict(zip(cases, expected, strict=True))
    assert all_nan(result, expected != Status.CONVERGED)
    assert result.a_A[-1] == pytest.approx(8.2, abs=1e-6)
    barely = refined(0.04 * good[None], variance=variance[:1], min_scale=0.0)
    assert barely.status[0] == Status.CONVERGED


@pytest.mark.parametrize(("n_used", "status"), [(11, Status.NOT_MEASURED), (12, Status.CONVERGED)])
def test_a_voxel_needs_eight_channels_more_than_linear_patterns(n_used, status):
    # Rule of the docstring, with four linear patterns; the channels around the strongest line.
    top = int(np.argmax(drawn(8.2)[0]))
    pattern = drawn(8.2) + AMOUNTS @ model().linear
    variance = np.zeros_like(pattern)
    variance[0, top - 6 : top - 6 + n_used] = (1e-5 * PEAK) ** 2
    assert refined(pattern, variance=variance).status[0] == status


def test_noise_alone_makes_no_lattice_parameter():
    # Statistics: some twenty independent lattice parameters, each above five esd with a
    # probability of 2.9e-7: 0.012 of 2000 voxels on average, more than three with 1e-9.
    rng = np.random.default_rng(10)
    patterns = AMOUNTS @ model().linear + 0.1 * PEAK * rng.normal(size=(2000, GEOMETRY.n_channels))
    result = refined(patterns, variance=np.full(patterns.shape, (0.1 * PEAK) ** 2), workers=None)
    assert np.sum(result.status == Status.CONVERGED) <= 3
    assert np.sum(result.status == Status.NO_MATERIAL) >= 1997


def test_faint_material_is_refined_or_refused_but_never_lost():
    # Law: a maximum exists in every bounded range, so every search ends; what is refined near the
    # limit of significance has z of order one: above 8 with a probability below 1e-12 each.
    a_A, patterns, variance = noisy(1500, seed=11, relative=0.4)
    result = refined(patterns, variance=variance, workers=None)
    counts = np.bincount(result.status, minlength=5)
    assert counts[Status.NOT_CONVERGED] == 0
    assert counts[Status.CONVERGED] > 100
    assert counts[Status.NO_MATERIAL] > 10
    found = result.status == Status.CONVERGED
    assert (result.scale[found] >= 5.0 * result.scale_esd[found]).all()
    assert np.abs((result.a_A - a_A) / result.a_esd_A)[found].max() < 8.0


def test_templates_that_do_not_change_cannot_tell_the_lattice_parameter():
    # Limit: no derivative, no information; not a number that was made up.
    still = LatticeModel(model().a_A, np.repeat(model().templates[:1], 201, 0), model().linear)
    result = refined(drawn(LOW_A), model=still)
    assert result.status[0] == Status.NOT_CONVERGED
    assert all_nan(result, [0])


@pytest.mark.parametrize("workers", [2, 3, None])
def test_results_do_not_depend_on_the_number_of_workers(workers):
    _, patterns, variance = noisy(333, seed=12, relative=0.1)
    one, other = (refined(patterns, variance=variance, workers=w) for w in (1, workers))
    for name in ("a_A", "a_esd_A", "scale", "scale_esd", "chi2_reduced", "linear", "status"):
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name))


def test_voxels_do_not_depend_on_their_order():
    # Law: each for itself. The start may differ by rounding, the optimum by 1e-7 Å.
    _, patterns, variance = noisy(100, seed=13, relative=0.02)
    order = np.random.default_rng(0).permutation(100)
    one = refined(patterns, variance=variance)
    other = refined(patterns[order], variance=variance[order])
    np.testing.assert_allclose(other.a_A, one.a_A[order], rtol=0, atol=2e-7)


def test_no_voxels_no_results():
    result = refined(np.zeros((0, GEOMETRY.n_channels)))
    assert result.a_A.shape == (0,)
    assert result.linear.shape == (0, 4)


def altered(**changes):
    fields = {"a_A": model().a_A, "templates": model().templates, "linear": model().linear}
    return LatticeModel(**(fields | changes))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (altered(templates=model().templates[:, :-1]), "same channels"),
        (altered(linear=model().linear[:, :-1]), "same channels"),
        (altered(a_A=model().a_A[:7], templates=model().templates[:7]), "at least 8 templates"),
        (altered(a_A=model().a_A[:-1]), "one for each lattice parameter, not 201 for 200"),
        (altered(a_A=model().a_A ** 2), "equal steps"),
        (altered(a_A=model().a_A[::-1]), "equal steps"),
        (altered(linear=model().linear[[0, 1, 2, 1]]), "cannot be told apart"),
        (altered(linear=model().linear * [[0.0], [1.0], [1.0], [1.0]]), "cannot be told apart"),
    ],
)
def test_models_that_cannot_be_fitted_are_refused(wrong, rule):
    with pytest.raises(InputError, match=rule):
        refined(drawn(8.2), model=wrong)


def test_patterns_and_variance_must_agree():
    with pytest.raises(InputError, match="same channels"):
        refined(drawn([8.2, 8.21]), variance=np.ones((1, GEOMETRY.n_channels)))
