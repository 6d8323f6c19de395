"""Refinements of the simulation's patterns, on instruments drawn from ranges they are not told.

The truth is what the simulation was given: `benchmarks.refinement_trials`. Means over n draws are
known to 1/√n standard uncertainties, standard deviations to 1/√(2n) and variances to √(2/n) of
themselves; limits are 5.33 of these (false alarm 1e-7 each) beside what is stated.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from benchmarks.refinement_statistics import compared, quantities, true_quantities
from benchmarks.refinement_trials import EFFECTS, SPINEL, Trial, drawn_truth, refined
from benchmarks.refinement_truth import PEAK_FOUR, PEAK_ONE, low_count_biases
from inverse.refine import Status
from inverse.rietveld import refine_patterns
from inverse.rietveld_reweighted import refine_reweighted
from tests.rietveld_patterns import FIVE_SIGMA, drawn, expected_counts, model_of, spinel
from xrdct.errors import InputError

SLOW = [pytest.mark.slow, pytest.mark.share]
LOST = 1e-3
"""Patterns that may not converge: χ² steps where a line's window moves on by a channel."""
BEYOND_SECOND_ORDER = 0.02
"""Bias by noise, in esd, that theory to second order may leave out."""


# -- one phase -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_instrument_and_microstructure_are_found(seed):
    # Without noise. The calibrated distance is good to a few ppm, which is 3e-5 Å; a pseudo-Voigt
    # stands for a Voigt function to 1 % of its area, and widths, as in Thompson, Cox & Hastings.
    trial = Trial(drawn_truth(seed))
    truth, found = trial.truth, refined(trial, peak=PEAK_ONE)
    assert found.of(f"{SPINEL}.a_A")[0] == pytest.approx(truth.a_A, abs=3e-5)
    assert found.of(f"{SPINEL}.scale")[0] == pytest.approx(1.0, abs=0.01)
    assert found.shared[f"{SPINEL}.size_nm"][0] == pytest.approx(truth.size_nm, rel=0.05)
    # Strain adds in quadrature to twice its width: 5 % of the sum.
    strain = found.shared[f"{SPINEL}.strain"][0]
    assert strain**2 == pytest.approx(truth.strain**2, abs=0.05 * (1e-3) ** 2)
    assert found.chi2_reduced[0] < 0.01


@pytest.mark.parametrize(
    ("n", "bias", "spread", "variance"),
    [
        pytest.param(4000, 0.085, 0.06, 0.12, id="few"),
        pytest.param(100_000, 0.02, 0.02, 0.1, id="many", marks=SLOW),
    ],
)
def test_lattice_parameters_are_unbiased_by_noise_and_efficient(n, bias, spread, variance):
    # 100,000 draws: bias, spread and variance allowed are 6.3, 8.9 and 22 standard uncertainties of
    # what is measured (false alarms below 1e-9); 4000: 5.4 each (1e-7).
    found = compared(Trial(drawn_truth(3)), peak=PEAK_ONE, n=n)
    assert found.n_failed < LOST * n
    assert abs(found.noise_bias[0]) < bias
    assert abs(found.spread[0] - 1.0) < spread
    assert abs(found.variance[0] - 1.0) < variance
    assert 1e3 * abs(found.offset[0] * found.esd[0]) < 0.03  # mÅ, as above


# -- the mixture of four ---------------------------------------------------------------------------


@pytest.mark.parametrize("a_A", [8.205, 8.245], ids=["beside", "on"])
@pytest.mark.parametrize("n", [300, pytest.param(10_000, marks=SLOW)])
def test_weight_fractions_are_unbiased_within_their_uncertainty(n, a_A):
    # Rock salt 2.9 and 0.8 px beside the spinel's (400). The model's own error stays below the
    # standard uncertainty at these counts; the bias by noise is that of theory.
    found = compared(Trial(drawn_truth(4, a_A=a_A), mixed=True), peak=PEAK_FOUR, n=n)
    assert found.n_failed <= LOST * n
    limit = FIVE_SIGMA / np.sqrt(n)
    assert (np.abs(found.offset) < 1.0).all()
    excess = found.noise_bias - found.expected_bias
    assert (np.abs(excess) < BEYOND_SECOND_ORDER + limit).all()
    weights = np.array(["weight" in name for name in found.names])
    assert (np.abs(found.spread - 1.0) < np.where(weights, 0.02, 0.05) + limit / np.sqrt(2)).all()
    assert (np.abs(found.variance - 1.0) < 0.1 + limit * np.sqrt(2)).all()


@lru_cache
def offsets_wt(*, size_nm, b_iso_factor):
    """Weight fractions without noise less the true ones, in %."""
    truth = drawn_truth(4, a_A=8.245)
    truth = replace(
        truth, size_nm=size_nm, instrument=replace(truth.instrument, b_iso_factor=b_iso_factor)
    )
    trial = Trial(truth, mixed=True, effects=EFFECTS.model_copy(update={"diffuse": False}))
    found = quantities(trial, refined(trial, peak=PEAK_FOUR)).values[0]
    return 100.0 * (found - true_quantities(trial))[-4:]


def test_errors_of_weights_are_those_of_the_pseudo_voigt_and_of_displacements():
    # A line without Lorentzian part is a Gaussian to both sides but for boxes, so that nothing is
    # left, to 0.02 wt %, where displacements are the crystals' own. With broadening by size the
    # pseudo-Voigt differs by 1 % of a line's height, which other phases' lines take up.
    sharp = np.abs(offsets_wt(size_nm=1e4, b_iso_factor=1.0))
    assert (sharp < 0.02).all()
    assert np.abs(offsets_wt(size_nm=150.0, b_iso_factor=1.0)).max() > 2.0 * sharp.max()
    # One ΔB for all phases is not a factor of all B: mostly the rock salt's amount tells.
    rocksalt = np.abs(offsets_wt(size_nm=1e4, b_iso_factor=1.2))[2]
    assert 0.02 < rocksalt < 0.5


# -- low counts ------------------------------------------------------------------------------------


def test_observed_counts_bias_and_the_fit_s_variance_does_not():
    # Neyman: a count is low by one where it weighs as much, so that the background is by about one
    # count, many of its standard uncertainties. True weights are unbiased but for second order.
    trial, n = Trial(drawn_truth(5)), 2000
    model = replace(refined(trial, peak=PEAK_ONE).model, shared=())
    biases = low_count_biases(trial, model, peak=300.0, background=10.0, n=n)
    observed, reweighted, true = biases
    limit = FIVE_SIGMA / np.sqrt(n)
    assert (np.abs(true) < BEYOND_SECOND_ORDER + limit).all()
    assert observed[2] < -3.0
    assert (np.abs(reweighted[:2]) < BEYOND_SECOND_ORDER + limit).all()
    assert abs(reweighted[2]) < 0.1 + limit
    low = low_count_biases(trial, model, peak=300.0, background=1.0, n=n)
    assert low[0, 0] < -0.5
    assert abs(low[1, 0]) < BEYOND_SECOND_ORDER + limit


def few_counts(n=3):
    model = model_of(spinel())
    mean, per_unit = expected_counts(model, [0.7], peak=200.0, background=5.0)
    counts = drawn(mean, n=n, seed=9)
    return model, counts / per_unit, np.maximum(counts, 1.0) / per_unit**2, 1.0 / per_unit


def test_a_pattern_without_noise_stays_what_it_is():
    # Limit: its own variance is that of the fit already.
    model = model_of(spinel())
    mean, per_unit = expected_counts(model, [0.7], peak=200.0, background=5.0)
    pattern, variance = (mean / per_unit)[None], (mean / per_unit**2)[None]
    once = refine_patterns(pattern, variance=variance, model=model)
    again = refine_reweighted(
        pattern, variance=variance, per_count=np.full(mean.size, 1.0 / per_unit), model=model
    )
    np.testing.assert_allclose(again.values, once.values, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(again.esd, once.esd, rtol=1e-4)


def test_channels_without_data_stay_without():
    # Whatever stands in them, the second time as well.
    model, patterns, variance, unit = few_counts()
    per_count = np.full(patterns.shape, unit)
    patterns[:, 100:140], variance[:, 100:140] = np.nan, 0.0
    found = refine_reweighted(patterns, variance=variance, per_count=per_count, model=model)
    patterns[:, 100:140] = 1e6
    other = refine_reweighted(
        patterns, variance=variance, per_count=per_count, model=model, covariance=True
    )
    np.testing.assert_array_equal(found.values, other.values)
    assert np.isfinite(found.values).all()
    assert found.covariance is None
    assert other.covariance is not None


def test_a_value_of_a_count_that_does_not_fit_is_refused():
    model, patterns, variance, _ = few_counts()
    with pytest.raises(InputError, match=r"per_count must have the shape .*, but has \(7,\)"):
        refine_reweighted(patterns, variance=variance, per_count=np.ones(7), model=model)


def test_variance_of_patterns_that_do_not_converge_stays():
    # No material in the first pattern: the second time it is not found either, and others are as
    # they are without it.
    model, patterns, variance, unit = few_counts()
    per_count = np.full(patterns.shape[1], unit)
    alone = refine_reweighted(patterns[1:], variance=variance[1:], per_count=per_count, model=model)
    patterns[0] = unit
    found = refine_reweighted(patterns, variance=variance, per_count=per_count, model=model)
    assert found.status[0] != Status.CONVERGED
    np.testing.assert_allclose(found.values[1:], alone.values, rtol=1e-9)
