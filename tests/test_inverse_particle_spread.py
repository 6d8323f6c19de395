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
