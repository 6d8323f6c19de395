"""Spreads between and within particles: closed forms, and what known errors must not add."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from inverse.particle_spread import particle_averages, spread_between, spread_within
from xrdct.errors import InputError

SIGMAS = 5.73
"""Of a normal quantity, with a false alarm of 1e-8."""


def test_without_errors_it_is_the_standard_deviation():
    """Truth: numpy."""
    means = np.random.default_rng(1).normal(8.1, 0.02, 17)
    found = spread_between(means, esd=np.zeros(17))
    assert found.value == pytest.approx(means.std(ddof=1), rel=1e-9)
    assert found.esd == 0.0


def test_errors_add_nothing_to_the_spread_between():
    """Truth: the planted spread; that of repetitions, and 2 % that squares of errors add to it."""
    rng = np.random.default_rng(2)
    true = rng.normal(0.0, 1.0, 40)
    errors = np.full(40, 0.1)
    found = [
        spread_between(true + rng.normal(0.0, errors), esd=errors) for _ in range(4000)
    ]  # fmt: skip
    squares = np.array([each.value**2 for each in found])
    expected = true.var(ddof=1)
    assert abs(squares.mean() - expected) < SIGMAS * squares.std() / np.sqrt(4000)
    scatter = np.std([each.value for each in found])
    stated = np.mean([each.esd for each in found])
    assert stated == pytest.approx(scatter, rel=SIGMAS / np.sqrt(2 * 4000) + 0.02)


@pytest.fixture
def field():
    """Return a disc in a map with a planted slope, and how its errors are correlated (µm)."""
    y, x = np.mgrid[:24, :24] - 11.5
    return np.hypot(x, y) < 9.0, 0.3 * x, 1.2


def test_correlated_errors_add_nothing_to_the_spread_within(field):
    """Truth: the planted spread. White noise filtered by σ = ℓ/√2 has the correlation of ℓ."""
    inside, planted, length = field
    rng = np.random.default_rng(3)
    found = []
    for _ in range(1500):
        noise = gaussian_filter(rng.normal(size=(24, 24)), length / np.sqrt(2.0), mode="wrap")
        noise *= length * np.sqrt(2.0 * np.pi)  # to a standard deviation of one
        found.append(
            spread_within(
                planted + 0.2 * noise, inside=inside, esd=np.full((24, 24), 0.2), step_um=1.0,
                correlation=length,
            )
        )  # fmt: skip
    squares = np.array([each.value**2 for each in found])
    expected = planted[inside].var(ddof=1)
    assert abs(squares.mean() - expected) < SIGMAS * squares.std() / np.sqrt(1500)
    scatter = np.std([each.value for each in found])
    stated = np.mean([each.esd for each in found])
    assert stated == pytest.approx(scatter, rel=SIGMAS / np.sqrt(2 * 1500) + 0.02)


def stated_variance(found):
    """Return the variance of the square that a spread and its esd were made of.

    Of a square p and its standard uncertainty V the esd is ½(√(p + V) − √max(p − V, 0)).
    """
    p, quarter = found.value**2, found.esd**2
    return (4.0 * quarter - p) ** 2 if 2.0 * quarter >= p else 4.0 * quarter * (p - quarter)


def stated_mean(draw, n_draws):
    """Return the mean of the variances stated of draws, and five sigmas of its own error."""
    stated = np.array([stated_variance(draw()) for _ in range(n_draws)])
    return stated.mean(), SIGMAS * stated.std() / np.sqrt(n_draws)


def test_variance_between_is_without_bias():
    """Truth: Var Σd² = 4 Σδ²e² + 2(n − 1)e⁴ of the noncentral χ², errors as large as the spread.

    n for n − 1 in the formula, and n − 1 of n errors in Σd², add 2e⁴ up.
    """
    rng, n, e = np.random.default_rng(6), 200, 0.3
    true = rng.normal(0.0, e, n)
    away = true - true.mean()
    expected = (4.0 * e**2 * away @ away + 2.0 * (n - 1) * e**4) / (n - 1) ** 2
    mean, five = stated_mean(
        lambda: spread_between(true + rng.normal(0.0, e, n), esd=np.full(n, e)), 400
    )
    assert abs(mean - expected) < five + 2.0 * e**4 / (n - 1) ** 2


def test_variance_of_nothing_but_errors():
    """Truth: 2e⁴/(n − 1) of the χ²; what is stated is never below it, and not much above.

    Stated is the larger of 4Y − 2n and 2n (e⁴/(n − 1)²), Y of χ² with n − 1 degrees: in the mean
    by 4 √(2(n − 1)) φ(0) more than 2n, as the mean of max(z, 0) is φ(0).
    """
    rng, n = np.random.default_rng(7), 400
    mean, five = stated_mean(lambda: spread_between(rng.normal(0.0, 1.0, n), esd=np.ones(n)), 400)
    least, above = 2.0 * n / (n - 1) ** 2, 4.0 * np.sqrt(2.0 * (n - 1)) / np.sqrt(2.0 * np.pi)
    assert mean >= least * (1.0 - 1e-9)
    assert mean < least + above / (n - 1) ** 2 + five


def test_variance_within_is_without_bias(field):
    """Truth: Var of a quadratic form of normal values, 4δᵀCδ + 2 tr(PCPC), P taking the mean off.

    Stated, in the mean, is 4δᵀCδ + 4 tr(CPCP) − 2 tr(CC), as far off as that; C in full.
    """
    inside, planted, length = field
    planted, e = 0.3 * planted, 0.4
    y, x = np.nonzero(inside)
    n = y.size
    apart = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    noise = e**2 * np.exp(-0.5 * apart / length**2)
    free = np.eye(n) - 1.0 / n
    away = free @ planted[inside]
    pcpc, cc = np.trace(free @ noise @ free @ noise), np.sum(noise**2)
    expected = 4.0 * away @ noise @ away + 2.0 * pcpc
    off = abs(2.0 * pcpc - 2.0 * cc)
    assert off < 0.1 * expected
    draws = np.random.default_rng(8).multivariate_normal(np.zeros(n), noise, 300, method="eigh")
    rows = iter(draws)

    def draw():
        values = np.zeros(inside.shape)
        values[inside] = planted[inside] + next(rows)
        return spread_within(
            values, inside=inside, esd=np.full(inside.shape, e), step_um=1.0, correlation=length
        )

    mean, five = stated_mean(draw, 300)
    assert abs(mean - expected / (n - 1) ** 2) < five + off / (n - 1) ** 2


def test_nothing_but_errors_has_no_spread(field):
    """Truth: the limit of a constant map: zero, with an uncertainty that is not zero."""
    inside, _, _ = field
    esd = np.full((24, 24), 0.2)
    found = spread_within(np.full((24, 24), 8.1), inside=inside, esd=esd, step_um=1.0)
    assert found.value == 0.0
    assert found.esd > 0.0


def test_one_value_has_no_spread():
    """Truth: a spread takes two."""
    assert np.isnan(spread_between(np.ones(1), esd=np.ones(1)).value)
    inside = np.eye(3) == 2.0
    assert np.isnan(
        spread_within(np.ones((3, 3)), inside=inside, esd=np.ones((3, 3)), step_um=1.0).esd
    )


def test_means_of_particles():
    """Truth: numpy, and σ/√n where errors are independent."""
    rng = np.random.default_rng(4)
    label = np.full((20, 30), -1)
    label[2:9, 3:12], label[11:19, 14:28] = 0, 3
    label[0, 0] = 1
    values = rng.normal(8.1, 0.01, label.shape)
    values[5, 5] = np.nan
    esd = np.full(label.shape, 0.004)
    every = particle_averages(
        values, label=label, esd=esd, step_um=1.0, correlation="none", inner=False
    )
    assert every.number.tolist() == [0, 3]  # one voxel is not enough
    assert every.n_voxels.tolist() == [62, 112]
    assert every.mean == pytest.approx([np.nanmean(values[label == n]) for n in (0, 3)])
    assert every.esd == pytest.approx(0.004 / np.sqrt(every.n_voxels))
    inner = particle_averages(values, label=label, esd=esd, step_um=1.0)
    assert inner.n_voxels.tolist() == [34, 72]  # 5 × 7 less one, 6 × 12


def test_maps_of_other_shapes_are_refused():
    """Truth: every voxel has one label and one esd."""
    values = np.ones((3, 3))
    with pytest.raises(InputError, match="label"):
        particle_averages(values, label=np.zeros((2, 3), int), esd=values, step_um=1.0)
    with pytest.raises(InputError, match="esd"):
        spread_within(values, inside=values > 0, esd=np.ones(3), step_um=1.0)
    with pytest.raises(InputError, match="length"):
        spread_between(np.ones(3), esd=np.ones(2))
