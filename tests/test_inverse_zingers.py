"""Outliers of single rays: what is found, what is spared, and what replaces them."""

import numpy as np
import pytest

from inverse.sinogram import Sinogram
from inverse.zingers import _median_of_eight, _reach, without_zingers
from xrdct.errors import InputError

N_ANGLES, N_OFFSETS, N_CHANNELS = 60, 41, 50


def sinogram(values, *, variance=1.0, step_um=1.0):
    values = np.asarray(values, np.float32)
    return Sinogram(
        values=values,
        variance=np.broadcast_to(np.float32(variance), values.shape).copy(),
        transmission=np.ones(values.shape[:2]),
        angles_rad=np.arange(len(values)) * np.pi / len(values),
        step_um=step_um,
        axis_offset_um=0.0,
        two_theta_rad=np.linspace(0.05, 0.2, values.shape[2]),
        distance_m=0.7,
    )


def smooth_lines():
    angle, offset = np.arange(N_ANGLES)[:, None, None], np.arange(N_OFFSETS)[:, None]
    channel = np.arange(N_CHANNELS)
    return 100 + 5 * np.sin(angle / 15) + 5 * np.cos(offset / 8) + 20 * np.sin(channel / 9) ** 2


def noisy(seed):
    rng = np.random.Generator(np.random.Philox(seed))
    return smooth_lines() + rng.normal(size=(N_ANGLES, N_OFFSETS, N_CHANNELS)), rng


def disc_lines(centres_um, radii_um, *, n_angles=N_ANGLES, n_offsets=N_OFFSETS):
    """Chords of discs through rays without width, shape (angle, offset)."""
    omega = np.arange(n_angles)[:, None] * np.pi / n_angles
    t = np.arange(n_offsets) - 0.5 * (n_offsets - 1)
    lines = np.zeros((n_angles, n_offsets))
    for (x, y), radius in zip(centres_um, radii_um, strict=True):
        distance = t - x * np.cos(omega) - y * np.sin(omega)
        lines += 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0.0))
    return lines


def test_median_of_eight_is_the_median():
    # independent package: numpy, with ties and in every order of a few values
    rng = np.random.Generator(np.random.Philox(1))
    near = rng.integers(0, 12, (8, 20000)).astype(np.float32)
    found = np.empty(20000, np.float32)
    _median_of_eight(near, found)
    np.testing.assert_array_equal(found, np.median(near, axis=0))


def test_noise_is_left_alone():
    # σ is at least the stated one, the median of eight adds 0.17 of its variance: a value passes
    # with P(z > 8/√1.17) = 7e-14, any of 1.2e5 with 1e-8.
    values, _ = noisy(2)
    given = sinogram(values)
    cleaned, count = without_zingers(given, threshold_sigma=8.0)
    assert count == 0
    np.testing.assert_array_equal(cleaned.values, given.values)
    np.testing.assert_array_equal(cleaned.variance, given.variance)


def test_planted_zingers_are_found_and_replaced():
    # 100 σ are found at k = 8 unless eight neighbours seem to scatter by 12 σ, which takes three of
    # them beyond 6 σ. Replaced by a median of eight, whose error is 0.41 σ and the curvature of
    # the smooth part, below 0.1 σ: 1000 of them stay within 5.3 · 0.41 + 0.1 but for 1e-4.
    values, rng = noisy(3)
    angle, channel = np.meshgrid(np.arange(1, N_ANGLES, 3), np.arange(N_CHANNELS), indexing="ij")
    places = angle, rng.integers(0, N_OFFSETS, angle.shape), channel
    planted = values.copy()
    planted[places] += rng.choice([100.0, 1e5], angle.shape)
    given = sinogram(planted)
    cleaned, count = without_zingers(given, threshold_sigma=8.0)
    changed = cleaned.values != given.values
    assert count == changed.sum() == angle.size
    assert changed[places].all()
    error = cleaned.values[places] - smooth_lines()[places]
    assert np.abs(error).max() < 5.3 * 0.41 + 0.1
    # never more certain than the neighbours it repeats
    assert cleaned.variance[places].min() >= 1.0


def test_a_zinger_that_inflates_its_own_variance_is_found():
    # law: a value is judged by its neighbours, so its own variance says nothing
    values, _ = noisy(4)
    values[20, 20, 20] += 100.0
    given = sinogram(values)
    given.variance[20, 20, 20] = 1e6
    cleaned, count = without_zingers(given, threshold_sigma=8.0)
    assert count == 1
    assert cleaned.variance[20, 20, 20] < 50.0


def test_the_flanks_of_a_crystallites_line_go_with_its_top():
    # From its top on, a line is followed as far as it exceeds 4 σ (k/2), σ being 1.4 with the
    # scatter of eight neighbours: at its fourth channel, 8.1 ± 1.1, that holds for nine in ten;
    # fewer than 16 of 30 with 1e-8. Alone, where 11 are needed, hardly any of these were found.
    values, rng = noisy(5)
    channel = np.arange(N_CHANNELS)
    angles = np.arange(2, 47, 3)
    offsets = rng.integers(0, N_OFFSETS, angles.size)
    values[angles, offsets] += 60.0 * np.exp(-((channel - 25) ** 2) / 8)
    given = sinogram(values)
    cleaned, _ = without_zingers(given, threshold_sigma=8.0)
    changed = cleaned.values != given.values
    lines = changed[angles, offsets]
    assert lines[:, 22:29].all()
    assert lines[:, [21, 29]].sum() >= 16
    # no gap in any line, and nothing beside them
    assert np.all(np.abs(np.diff(lines.astype(int), axis=1)).sum(axis=1) == 2)
    assert lines.sum() == changed.sum()


@pytest.mark.parametrize("edge", [(0, 0), (0, 20), (N_ANGLES - 1, N_OFFSETS - 1), (30, 0)])
def test_zingers_at_the_ends_are_found(edge):
    # law: the ends of the scan have neighbours too
    values, _ = noisy(6)
    values[edge] += 200.0
    _, count = without_zingers(sinogram(values), threshold_sigma=8.0)
    assert count == N_CHANNELS


@pytest.mark.parametrize("radius_um", [1.5, 3.0, 8.0])
def test_sharp_discs_are_spared(radius_um):
    # law: matter shows again in the next projection, so that no ray through one disc is an outlier,
    # however small the stated variance
    rng = np.random.Generator(np.random.Philox(7))
    for _disc in range(50):
        centre = rng.uniform(-20.0, 20.0, (1, 2))
        lines = disc_lines(centre, [radius_um], n_angles=90)
        _, count = without_zingers(sinogram(lines[:, :, None], variance=1e-8), threshold_sigma=5.0)
        assert count == 0


def test_a_fast_disc_far_outside_is_spared():
    # law, as above: at 2.5 half windows from the axis a disc moves by several steps a projection
    lines = disc_lines([(0.0, 51.0)], [1.5])
    given = sinogram(lines[:, :, None], variance=1e-8)
    assert _reach(given) == 4
    assert without_zingers(given, threshold_sigma=5.0)[1] == 0


def test_unmeasured_channels_stay_so_and_threads_do_not_matter():
    values, _ = noisy(8)
    values[10, 10] += 100.0
    values[..., 7] = np.nan
    given = sinogram(values)
    one, count = without_zingers(given, threshold_sigma=8.0, workers=1)
    two, _ = without_zingers(given, threshold_sigma=8.0, workers=2)
    assert count == N_CHANNELS - 1
    assert np.isnan(one.values[..., 7]).all()
    assert np.isfinite(np.delete(one.values, 7, axis=2)).all()
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.variance, two.variance)


def test_without_noise_a_spike_is_still_a_spike():
    # limit: no variance and equal neighbours
    values = np.full((5, 5, 1), 3.0)
    values[2, 2] = 4.0
    cleaned, count = without_zingers(sinogram(values, variance=0.0), threshold_sigma=6.0)
    assert count == 1
    assert np.all(cleaned.values == 3.0)


@pytest.mark.parametrize("threshold", [0.0, -1.0, np.nan, np.inf])
def test_thresholds_that_are_none_are_refused(threshold):
    with pytest.raises(InputError, match="threshold_sigma"):
        without_zingers(sinogram(np.ones((5, 5, 1))), threshold_sigma=threshold)


def test_too_few_rays_are_refused():
    with pytest.raises(InputError, match="2 angles × 5 offsets"):
        without_zingers(sinogram(np.ones((2, 5, 1))))
