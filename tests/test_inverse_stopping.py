"""Stopping rules against their definitions, and against the best that could be done."""

import numpy as np
import pytest

from inverse.cgls import cgls
from inverse.iteration import Iterated, scan_rays
from inverse.mixtures import mixtures
from inverse.poisson import poisson_reconstruction
from inverse.projector import project
from inverse.sirt import sirt
from inverse.stopping import (
    Trial,
    channel_trial,
    held_out_rays,
    mixed_trial,
    ray_weights,
    stop_at_discrepancy,
    stop_at_held_out,
)
from xrdct.errors import InputError

N, N_ANGLES, N_CHANNELS = 41, 60, 40


def generator(seed):
    return np.random.Generator(np.random.Philox(seed))


def run_with(method, **more):
    def run(values, rays, iterations, records):
        return method(values, rays=rays, iterations=iterations, records=records, **more)

    return run


def scan(*, noise=3.0, unknown=0.0, seed=0):
    """Discs of different patterns, in noise; ``unknown`` is what the variance does not tell."""
    rng = generator(seed)
    angles = np.arange(N_ANGLES) * np.pi / N_ANGLES
    position = np.arange(N) - 0.5 * (N - 1)
    images = np.zeros((N, N, N_CHANNELS))
    for _ in range(12):
        x, y, radius = *rng.uniform(-11, 11, 2), rng.uniform(2, 6)
        inside = np.hypot(position[None, :] - x, position[:, None] - y) < radius
        images[inside] += rng.uniform(0, 1, N_CHANNELS)
    lines = project(images, angles_rad=angles, n_offsets=N, step_um=1.0).astype(float)
    of_channel = noise * rng.uniform(0.3, 1.5, N_CHANNELS)
    of_ray = rng.uniform(0.5, 1.5, (N_ANGLES, N, 1))
    sigma = of_channel * np.sqrt(of_ray)
    lines += np.hypot(sigma, unknown) * rng.standard_normal(lines.shape)
    variance = np.broadcast_to(sigma**2, lines.shape)
    rays = scan_rays(lines.shape, angles_rad=angles, step_um=1.0, weights=ray_weights(variance))
    return images, lines, variance, rays


def errors_after(method, iterations, images, lines, rays, of_channel):
    """Root-mean-square error of the images after each number of iterations, whitened as mixtures
    are."""
    errors = {}
    for k in iterations:
        error = (method(lines, rays=rays, iterations=k).values - images)[rays.shown] / of_channel
        errors[k] = np.sqrt(np.mean(np.square(error)))
    return errors


def fake(misfit):
    """A method whose misfit is given, (iteration,), the same for every trial."""

    def run(values, rays, iterations, records):
        history = np.asarray(misfit)[:iterations, None].repeat(values.shape[2], 1)
        return Iterated(values=values[:0], misfit=history[None])

    return run


def test_mixtures_keep_the_misfit_of_all_channels_on_average():
    """Closed form: E‖Σ ±b_c/s_c/√C‖² = mean of ‖b_c‖²/s_c² over the channels.

    One mixture varies by √2 of it at most (cross terms of random signs); 5 σ of 4000 mixtures.
    """
    rng = generator(1)
    lines = rng.normal(size=(3, 4, 25)) + np.linspace(0, 3, 25)
    scale = rng.uniform(0.5, 2.0, 25)
    mixed = mixtures(lines, n_mixtures=4000, scale=scale).astype(float)
    expected = np.square(lines / scale).sum(axis=(0, 1)).mean()
    found = np.square(mixed).sum(axis=(0, 1)).mean()
    assert abs(found / expected - 1) < 5 * np.sqrt(2 / 4000)


def test_the_variance_of_a_mixture_is_that_of_repeated_noise():
    """Law of large numbers: 64 mixtures × 400 repetitions, of which those of one repetition share
    their noise but not their signs. Standard deviation of a variance √(2/25600); 5 σ, 12 rays."""
    rng = generator(2)
    variance = rng.uniform(0.2, 3.0, size=(3, 4, 200)) * np.linspace(1, 9, 200)
    trial = mixed_trial(np.ones_like(variance), variance=variance)
    noise = np.sqrt(np.mean(variance, axis=(0, 1)))
    found = np.zeros((3, 4))
    for _ in range(400):
        lines = np.sqrt(variance) * rng.standard_normal(variance.shape)
        found += np.square(mixtures(lines, n_mixtures=64, scale=noise)).mean(axis=2) / 400
    np.testing.assert_allclose(found, trial.variance[..., 0], rtol=6 * np.sqrt(2 / 25600))


def test_channels_without_numbers_take_no_part():
    lines = generator(3).normal(size=(4, 5, 10))
    whole = mixtures(lines[..., :9], n_mixtures=8, scale=np.ones(9))
    lines[..., 9] = np.nan
    np.testing.assert_array_equal(mixtures(lines, n_mixtures=8, scale=np.ones(10)), whole)
    trial = channel_trial(lines, variance=np.abs(lines), n_trials=64)
    np.testing.assert_array_equal(trial.values, lines[..., :9].astype(np.float32))
    with pytest.raises(InputError, match="must have a channel that holds numbers"):
        mixtures(np.full((2, 3, 4), np.nan), n_mixtures=2)


def test_ray_weights_are_the_inverse_of_the_common_factor():
    """Closed form for a product; a ray without variance, or of NaN, has no weight."""
    rng = generator(4)
    of_ray, of_channel = rng.uniform(1, 5, (6, 7)), rng.uniform(1, 9, 30)
    variance = of_ray[..., None] * of_channel
    variance[2, 3] = 0.0
    variance[..., 5] = np.nan
    expected = 1 / of_ray
    expected[2, 3] = 0.0
    used = expected > 0
    expected /= expected[used].mean()
    np.testing.assert_allclose(ray_weights(variance), expected, rtol=1e-5)


def test_held_out_rays_are_a_fair_sample():
    """Binomial: 3 % of 120000 rays, ±5 σ; no column or row drawn more than chance allows
    (mean 10.5 of 350, and below 40: 9 σ); another seed, another set."""
    held = held_out_rays((350, 351), fraction=0.03)
    expected, sigma = 0.03 * held.size, np.sqrt(0.03 * 0.97 * held.size)
    assert abs(held.sum() - expected) < 5 * sigma
    assert held.sum(axis=0).max() < 40
    assert held.sum(axis=1).max() < 40
    other = held_out_rays((350, 351), fraction=0.03, seed=1)
    both = (held & other).sum()
    assert abs(both - 0.03**2 * held.size) < 5 * np.sqrt(0.03**2 * held.size)
    np.testing.assert_array_equal(held, held_out_rays((350, 351), fraction=0.03))
    with pytest.raises(InputError, match="must be between 0 and 1, not 0"):
        held_out_rays((3, 4), fraction=0.0)


def test_discrepancy_stops_where_the_misfit_first_is_noise():
    """Definition: 240 rays of weight 1 and variance 4, 10 trials: Σ w·v = 960, χ²/dof ± √(2/2400),
    0.029. After 3 iterations it is 1.02, the first within that."""
    rays = scan_rays((12, 20), angles_rad=np.arange(12) * np.pi / 12, step_um=1.0)
    values, variance = np.zeros((12, 20, 10), np.float32), np.full((12, 20, 1), 4.0, np.float32)
    misfit = 960 * np.array([9.0, 2.0, 1.05, 1.02, 0.9, 0.8])
    found = stop_at_discrepancy(fake(misfit), Trial(values, variance), rays=rays, max_iterations=5)
    assert (found.iterations, found.reached) == (3, True)
    np.testing.assert_allclose(found.uncertainty, np.sqrt(2 / 2400))
    np.testing.assert_allclose(found.misfit, misfit / 960)
    found = stop_at_discrepancy(fake(misfit), Trial(values, variance), rays=rays, max_iterations=2)
    assert (found.iterations, found.reached) == (2, False)


def test_held_out_rays_stop_where_they_are_predicted_best():
    """Definition; at the last iteration of the trial the rule has not been reached."""
    rays = scan_rays((12, 20), angles_rad=np.arange(12) * np.pi / 12, step_um=1.0)
    trial = Trial(np.zeros((12, 20, 2), np.float32), np.ones((12, 20, 1), np.float32))
    more = {"rays": rays, "fraction": 0.2}
    misfit = [9.0, 7.0, 5.0, 6.0, 4.0]
    found = stop_at_held_out(fake(misfit), trial, max_iterations=3, **more)
    assert (found.iterations, found.reached) == (2, True)
    found = stop_at_held_out(fake(misfit), trial, max_iterations=4, **more)
    assert (found.iterations, found.reached) == (4, False)


@pytest.mark.parametrize(
    ("method", "tried"), [(cgls, range(1, 15)), (sirt, (1, 6, 11, 18, 26, 38, 60))]
)
def test_both_rules_come_close_to_the_best_image(method, tried):
    """Limit: a right model and right variance. The rules know 64 mixtures, not the truth, and judge
    A·x, not x; the image they stop at is within 20 % of the least error that any number of
    iterations gives, where the first has more than twice that error, and the last 15 % more or
    more than twice."""
    images, lines, variance, rays = scan()
    of_channel = np.sqrt(variance.mean(axis=(0, 1)))
    trial = mixed_trial(lines, variance=variance)
    more = {"rays": rays, "max_iterations": tried[-1]}
    by_held = stop_at_held_out(run_with(method), trial, **more)
    by_noise = stop_at_discrepancy(run_with(method), trial, **more)
    assert by_held.reached
    assert by_noise.reached
    chosen = {by_held.iterations, by_noise.iterations}
    errors = errors_after(method, {*tried, *chosen}, images, lines, rays, of_channel)
    least = min(errors.values())
    assert errors[by_held.iterations] < 1.2 * least
    assert errors[by_noise.iterations] < 1.2 * least
    assert errors[1] > 2.0 * least
    assert errors[tried[-1]] > 1.15 * least


def test_held_out_rays_are_right_where_the_variance_is_not():
    """Limit: as much again of noise that no variance tells (grains). The discrepancy is never
    reached; held-out rays still find an image within 10 % of the best."""
    images, lines, variance, rays = scan(unknown=4.0)
    of_channel = np.sqrt(variance.mean(axis=(0, 1)))
    trial = mixed_trial(lines, variance=variance)
    more = {"rays": rays, "max_iterations": 14}
    by_held = stop_at_held_out(run_with(cgls), trial, **more)
    by_noise = stop_at_discrepancy(run_with(cgls), trial, **more)
    errors = errors_after(cgls, range(1, 15), images, lines, rays, of_channel)
    assert not by_noise.reached
    assert errors[by_held.iterations] < 1.1 * min(errors.values())
    assert errors[by_noise.iterations] > 2.0 * min(errors.values())


def test_the_poisson_method_is_stopped_on_channels():
    """Limit: Poisson counts of known gain; within 10 % of the least error of any iteration."""
    images, lines, _, _ = scan(noise=1e-3)
    gain = 0.5
    counts = generator(9).poisson(np.maximum(lines, 0.0) / gain) * gain
    rays = scan_rays(lines.shape, angles_rad=np.arange(N_ANGLES) * np.pi / N_ANGLES, step_um=1.0)
    trial = channel_trial(counts, variance=gain * counts + gain**2)
    run, method = run_with(poisson_reconstruction), poisson_reconstruction
    found = stop_at_held_out(run, trial, rays=rays, max_iterations=60, fraction=0.05)
    assert found.reached
    tried = {2, 6, 10, 14, 20, found.iterations, 60}
    errors = errors_after(method, tried, images, counts, rays, np.ones(N_CHANNELS))
    assert errors[found.iterations] < 1.1 * min(errors.values())
    assert errors[2] > 1.3 * min(errors.values())
    assert errors[60] > 1.3 * min(errors.values())


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="variance must have the shape"):
        mixed_trial(np.ones((3, 4, 5)), variance=np.ones((3, 4, 6)))
    rays = scan_rays((12, 20), angles_rad=np.arange(12) * np.pi / 12, step_um=1.0)
    trial = Trial(np.zeros((12, 20, 2), np.float32), np.zeros((12, 20, 1), np.float32))
    with pytest.raises(InputError, match="their variance is zero"):
        stop_at_discrepancy(fake([1.0, 1.0]), trial, rays=rays, max_iterations=1)
