"""Trimmed means of Poisson counts: closed forms, published figures and direct simulation."""

import numpy as np
import pytest
from scipy import stats

from forward.poisson_trimming import trimmed_moments
from xrdct.errors import InputError

# Of 2000 pixels: mean counts, relative standard deviation of the plain mean, bias and relative
# standard deviation with 5 % and with 10 % cut from each end (reference table of the project,
# simulated; the standard deviations are relative to the mean counts).
REFERENCE = np.array(
    [
        [0.01, 0.22197, -1.0, 0.0, -1.0, 0.0],
        [0.02, 0.15791, -1.0, 0.0, -1.0, 0.0],
        [0.05, 0.10063, -0.96922, 0.054332, -1.0, 0.0],
        [0.1, 0.071048, -0.49743, 0.073376, -0.98856, 0.028353],
        [0.2, 0.049275, -0.27009, 0.047081, -0.49135, 0.052967],
        [0.5, 0.031848, -0.14776, 0.033007, -0.2663, 0.028136],
        [1.0, 0.022373, -0.081797, 0.023196, -0.12978, 0.021925],
        [2.0, 0.01601, -0.039623, 0.016656, -0.046784, 0.017657],
        [5.0, 0.01003, -0.012745, 0.010087, -0.018858, 0.010633],
        [10.0, 0.0070538, -0.0064637, 0.0071491, -0.0094889, 0.0072529],
        [20.0, 0.0050985, -0.0031567, 0.0051564, -0.0045689, 0.0052864],
        [50.0, 0.00319, -0.0012589, 0.0032404, -0.0018858, 0.0032914],
        [100.0, 0.0022393, -0.0005821, 0.0022587, -0.00089395, 0.0022918],
    ]
)
CUTS = [(0.05, 0.05), (0.1, 0.1), (0.0, 0.1), (0.25, 0.1)]


def moments(mean, n, cuts, spread=0.0):
    value, variance = trimmed_moments(
        mean, spread=spread, n_pixels=[n], lower=cuts[0], upper=cuts[1]
    )
    return float(value[0]), float(variance[0])


def simulated(mean, n, cuts, spread, trials, seed):
    """Trimmed means of ``trials`` sets of n pixels whose fixed means are spread evenly."""
    rng = np.random.default_rng(seed)
    means = mean * (1.0 + spread * (2.0 * (np.arange(n) + 0.5) / n - 1.0))
    counts = np.sort(rng.poisson(means, (trials, n)), axis=1)
    kept = counts[:, round(cuts[0] * n) : n - round(cuts[1] * n)]
    return np.median(counts, axis=1) if sum(cuts) == 1.0 else kept.mean(axis=1)


def reference_trials():
    """How many sets the table was made of, by the scatter of its plain mean: 1/√(2N) each."""
    exact = 1.0 / np.sqrt(2000.0 * REFERENCE[:, 0])
    return 1.0 / (2.0 * np.mean((REFERENCE[:, 1] / exact - 1.0) ** 2))


@pytest.mark.parametrize(("row", "cuts"), [(r, c) for r in REFERENCE for c in (0.05, 0.1)])
def test_reference_table_is_met_within_its_statistical_error(row, cuts):
    # Published: 5 standard errors of mean and standard deviation; false alarm < 1e-6 each. The
    # table's number of trials N comes out at about 6000; half of it allows for not knowing it.
    trials = 0.5 * reference_trials()
    bias, deviation = (row[2], row[3]) if cuts == 0.05 else (row[4], row[5])
    value, variance = moments(row[0], 2000, (cuts, cuts))
    own = np.sqrt(variance) / row[0]
    assert value / row[0] - 1.0 == pytest.approx(bias, abs=5.0 * own / np.sqrt(trials) + 1e-6)
    assert own == pytest.approx(deviation, rel=5.0 / np.sqrt(2.0 * trials), abs=1e-5)


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("mean", [0.02, 3.0, 500.0])
def test_without_trimming_it_is_the_plain_mean(mean, spread):
    # Closed form: λ and λ/n, whatever the spread.
    value, variance = moments(mean, 1000, (0.0, 0.0), spread)
    assert value == pytest.approx(mean, rel=1e-9)
    assert variance == pytest.approx(mean / 1000, rel=1e-7)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("mean", [0.6, 2.5, 17.0, 300.0])
def test_many_pixels_give_the_integral_of_quantiles(mean, cuts):
    # Closed form: ∫ F⁻¹ and the variance of the clipped count. With 1e10 pixels F is known to 5e-6,
    # so a step is shared out between two quantiles by chance where they meet: never here.
    k = np.arange(int(mean + 40.0 * np.sqrt(mean) + 40.0))
    kept = np.diff(np.clip(stats.poisson.cdf(k, mean), cuts[0], 1.0 - cuts[1]), prepend=cuts[0])
    low, high = stats.poisson.ppf([cuts[0], 1.0 - cuts[1]], mean)
    high = high if cuts[1] > 0.0 else np.inf
    clipped = np.clip(k, low, high)
    weight = stats.poisson.pmf(k, mean)
    influence = np.sum(weight * clipped**2) - np.sum(weight * clipped) ** 2
    value, variance = moments(mean, 1e10, cuts)
    assert value == pytest.approx(np.sum(kept * k) / (1.0 - sum(cuts)), rel=1e-7)
    assert variance * 1e10 == pytest.approx(influence / (1.0 - sum(cuts)) ** 2, rel=1e-4)


@pytest.mark.parametrize("mean", [0.05, 0.1, 0.3, 1.0, 6.0])
def test_few_pixels_give_the_binomial_mean(mean):
    # Exact: T = Σ clip(n(1 − β) − N_k, 0, m)/m with N_k binomial; the Edgeworth form leaves out
    # terms of 1/n, so that with 400 pixels 2 % of the noise is ample.
    n, cut = 400, 0.1
    m = n * (1.0 - 2.0 * cut)
    counts = np.arange(n + 1)
    exact = 0.0
    for k in range(40):
        clipped = np.clip(n * (1.0 - cut) - counts, 0.0, m)
        exact += stats.binom.pmf(counts, n, stats.poisson.cdf(k, mean)) @ clipped / m
    value, variance = moments(mean, n, (cut, cut))
    assert value == pytest.approx(exact, abs=0.02 * np.sqrt(mean / n))
    assert value == pytest.approx(exact, abs=0.02 * max(np.sqrt(variance), 1e-3 * mean))


@pytest.mark.parametrize("mean", [0.08, 0.1, 0.12])
def test_one_step_in_the_noise_gives_the_binomial_variance(mean):
    # Exact: hardly a kept pixel has two counts, so T = clip(n(1 − β) − N_0, 0, n(1 − β))/m.
    # Within two deviations of N_0 from the cut the Edgeworth form is good to 3 % with 400 pixels.
    n, cut = 400, 0.1
    full = n * (1.0 - cut)
    counts = np.arange(n + 1)
    weight = stats.binom.pmf(counts, n, stats.poisson.cdf(0, mean))
    clipped = np.clip(full - counts, 0.0, full) / full
    exact = np.sqrt(weight @ clipped**2 - (weight @ clipped) ** 2)
    assert np.sqrt(moments(mean, n, (0.0, cut))[1]) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mean", [0.08, 0.7, 7.0, 60.0])
@pytest.mark.parametrize("cuts", CUTS)
def test_spread_of_means_as_simulated(mean, spread, cuts):
    # Simulation: 2000 sets of 400 pixels; 5 standard errors of the mean and, with the fourth moment
    # found, of the standard deviation (false alarm < 1e-6 each); and 2 and 3 % of the noise for
    # what the expansion leaves out.
    trials = 2000
    drawn = simulated(mean, 400, cuts, spread, trials, seed=int(1000 * mean + 10 * spread))
    value, variance = moments(mean, 400, cuts, spread)
    sigma = np.sqrt(variance)
    assert value == pytest.approx(drawn.mean(), abs=(5.0 / np.sqrt(trials) + 0.02) * sigma)
    flatness = stats.kurtosis(drawn, fisher=False)
    error = np.sqrt((flatness - 1.0) / (4.0 * trials))
    assert sigma == pytest.approx(drawn.std(), rel=5.0 * error + 0.03)


def test_spread_does_not_count_as_noise():
    # Limit: many counts, means spread over (0, 2λ). Of the kept pixels, u in ±0.9, the Poisson
    # variance averages λ, and those cut off contribute nothing: n Var = 0.9 λ/0.9².
    _, variance = moments(5000.0, 1000, (0.05, 0.05), spread=1.0)
    assert variance * 1000 == pytest.approx(5000.0 / 0.9, rel=0.02)


@pytest.mark.parametrize("mean", [0.3, 1.0, 5.2, 88.3])
def test_many_pixels_give_the_median(mean):
    # Independent package: the median of the distribution.
    value, variance = moments(mean, 1e9, (0.5, 0.5))
    assert value == pytest.approx(stats.poisson.median(mean), abs=1e-6)
    assert variance < 1e-6


@pytest.mark.parametrize("spread", [0.0, 0.6])
@pytest.mark.parametrize("mean", [0.7, 2.67, 150.0])
def test_median_as_simulated(mean, spread):
    # Simulation of 401 pixels, an odd number, whose median is a count: see above.
    trials = 2000
    drawn = simulated(mean, 401, (0.5, 0.5), spread, trials, seed=int(100 * mean + spread))
    value, variance = moments(mean, 401, (0.5, 0.5), spread)
    sigma = np.sqrt(variance)
    assert value == pytest.approx(drawn.mean(), abs=(5.0 / np.sqrt(trials) + 0.02) * sigma)
    assert sigma == pytest.approx(drawn.std(), rel=5.0 / np.sqrt(trials) + 0.02)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lower": 0.6, "upper": 0.5}, "nor exceed one together, got 0.6 and 0.5"),
        ({"lower": -0.1}, "must not be negative"),
        ({"mean": 2e4}, "between 0 and 10000 counts, got 20000"),
        ({"spread": 1.5}, "between 0 and 1, got 1.5"),
    ],
)
def test_what_cannot_be_is_refused(given, words):
    usual = {"mean": 1.0, "spread": 0.0, "n_pixels": [100], "lower": 0.05, "upper": 0.05} | given
    with pytest.raises(InputError, match=words):
        trimmed_moments(usual.pop("mean"), **usual)
