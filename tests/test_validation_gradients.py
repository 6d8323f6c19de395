"""Slopes of particles against planted ones: closed forms, and noise of known size."""

import numpy as np
import pytest

from validation.gradients import mean_slope, offset_and_gain, particle_slopes
from xrdct.errors import InputError

PLANTED = (-0.02, -0.005, 0.0, 0.005, 0.02)


def particles(n, *, seed=0):
    """Maps of n particles in rows of 40 voxels: number, and depth over radius; none in the last."""
    rng = np.random.Generator(np.random.Philox(seed))
    number = np.broadcast_to(np.arange(n + 1)[:, None], (n + 1, 40)).copy()
    number[-1] = -1
    return number, rng.uniform(0.05, 1.0, (n + 1, 40))


def found_slopes(planted, *, recovered, number, depth, fewest_voxels=12):
    """Slopes for a = 8.2 + (number in mÅ) + planted·u, recovered as a function of the true map."""
    true = 8.2 + 1e-3 * number + planted * depth
    return particle_slopes(
        recovered(true),
        true_A=true,
        relative_depth=depth,
        particle=number,
        region=number >= 0,
        fewest_voxels=fewest_voxels,
    )


def test_slopes_gain_and_offset_of_a_map_that_is_linear_in_the_truth():
    # Closed form: a map of 0.9·a + 3 mÅ·u has the slope 0.9·planted + 3 mÅ in every particle, with
    # no scatter, whatever the particles' levels. Rounding: 8.2 Å in double precision.
    number, depth = particles(7)
    levels = []
    for planted in PLANTED[:3]:
        slopes = found_slopes(
            planted, recovered=lambda a: 0.9 * a + 0.003 * depth, number=number, depth=depth
        )
        np.testing.assert_array_equal(slopes.particle, np.arange(7))
        np.testing.assert_allclose(slopes.true_A, planted, atol=1e-13)
        np.testing.assert_allclose(slopes.recovered_A, 0.9 * planted + 0.003, atol=1e-13)
        np.testing.assert_allclose(slopes.weight, 40 * depth[:-1].var(axis=1))
        levels.append(slopes)
    offset, gain = offset_and_gain(levels)
    assert gain.value == pytest.approx(0.9, abs=1e-11)
    assert offset.value == pytest.approx(0.003, abs=1e-13)
    assert gain.esd < 1e-11
    assert offset.esd < 1e-13


def test_a_slope_is_that_of_the_line_through_a_particle():
    # Independent package: numpy's polynomial fit, particle by particle; NaN voxels take no part.
    rng = np.random.Generator(np.random.Philox(1))
    number, depth = particles(5)
    noise = 1e-3 * rng.standard_normal(depth.shape)
    noise[rng.random(depth.shape) < 0.2] = np.nan
    slopes = found_slopes(0.01, recovered=lambda a: a + noise, number=number, depth=depth)
    for i in range(5):
        used = np.isfinite(noise[i])
        recovered = 8.2 + 0.01 * depth[i] + noise[i]
        fitted = np.polyfit(depth[i][used], recovered[used], 1)[0]
        assert slopes.recovered_A[i] == pytest.approx(fitted, abs=1e-13)
        assert slopes.true_A[i] == pytest.approx(0.01, abs=1e-13)


def test_particles_with_too_few_voxels_have_no_slope():
    # Definition; and a particle that lacks one at one level has no gain.
    number, depth = particles(4)
    hole = np.zeros(depth.shape)
    hole[2, 11:] = np.nan
    slopes = found_slopes(0.01, recovered=lambda a: a + hole, number=number, depth=depth)
    np.testing.assert_array_equal(slopes.particle, [0, 1, 3])
    whole = found_slopes(0.0, recovered=lambda a: a, number=number, depth=depth)
    bent = found_slopes(0.0, recovered=lambda a: a + hole, number=number, depth=depth)
    assert offset_and_gain([slopes, whole]) == offset_and_gain([slopes, bent])


def test_uncertainties_are_the_scatter_of_repeated_noise():
    # Statistics: independent noise of 2 mÅ on every voxel of 30 particles at every level; the mean
    # slope then has the variance σ²/Σ weight. 300 repeats: the variance of their means is known to
    # √(2/299) = 8 %, the mean of the stated ones, each from 30 particles, to √(2/29/300) = 2 %:
    # five times 8.5 %. Means lie within five of their standard errors.
    rng = np.random.Generator(np.random.Philox(2))
    number, depth = particles(30)
    found = []
    for _ in range(300):
        levels = []
        for planted in PLANTED:
            noise = 2e-3 * rng.standard_normal(depth.shape)
            levels.append(
                found_slopes(
                    planted, recovered=lambda a, e=noise: a + e, number=number, depth=depth
                )
            )
        slope = mean_slope(levels[1].recovered_A, weight=levels[1].weight)
        offset, gain = offset_and_gain(levels)
        found.append([(slope.value, slope.esd), (offset.value, offset.esd), (gain.value, gain.esd)])
    values, esds = np.moveaxis(np.array(found), 2, 0)
    variance = values.var(axis=0, ddof=1)
    np.testing.assert_allclose(np.mean(esds**2, axis=0) / variance, 1.0, atol=0.43)
    assert variance[0] == pytest.approx(2e-3**2 / levels[1].weight.sum(), rel=5 * 0.082)
    error = (values.mean(axis=0) - [-0.005, 0.0, 1.0]) / np.sqrt(variance / 300)
    assert np.abs(error).max() < 5


def test_what_determines_no_line_is_refused():
    number, depth = particles(3)
    level = found_slopes(0.01, recovered=lambda a: a, number=number, depth=depth)
    with pytest.raises(InputError, match="at least 2 particles, not 1"):
        mean_slope(np.ones(1), weight=np.ones(1))
    with pytest.raises(InputError, match="at least 2 planted differences, not 1"):
        offset_and_gain([level])
    with pytest.raises(InputError, match="planted differences that differ"):
        offset_and_gain([level, level])
