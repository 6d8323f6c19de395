"""Rays measured off their set-points: interpolated back, with their variance."""

from dataclasses import replace

import numpy as np
import pytest

from forward.motion import Motion
from inverse.positions import TAPS, interpolation_taps, on_set_points
from inverse.sinogram import Sinogram, sinogram_of
from phantoms.library import Electrode
from validation.experiment import Experiment
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.scan import Scan


def measured(function, offsets_um, *, variance=1.0):
    """A sinogram of one channel that is ``function`` of the offset, measured at ``offsets_um``."""
    values = function(offsets_um)[..., None].astype(np.float32)
    n_angles = values.shape[0]
    return Sinogram(
        values=values,
        variance=np.full(values.shape, variance, np.float32),
        transmission=np.exp(-0.01 * function(offsets_um)),
        angles_rad=np.arange(n_angles) * np.pi / n_angles,
        step_um=1.0,
        axis_offset_um=0.25,
        two_theta_rad=np.array([0.1]),
        distance_m=0.7,
    )


def jittered(rms_um, *, n_angles=5, n_offsets=61, seed=1):
    rng = np.random.Generator(np.random.Philox(seed))
    offsets = np.arange(n_offsets) - 0.5 * (n_offsets - 1)
    return offsets + rms_um * rng.uniform(-np.sqrt(3), np.sqrt(3), (n_angles, n_offsets))


def test_rays_in_place_are_left_alone():
    # Limit: nothing to interpolate, not even rounding.
    offsets = jittered(0.0)
    sinogram = measured(np.cos, offsets)
    moved = on_set_points(sinogram, offsets_um=offsets)
    np.testing.assert_array_equal(moved.values, sinogram.values)
    np.testing.assert_array_equal(moved.variance, sinogram.variance)
    np.testing.assert_allclose(moved.transmission, sinogram.transmission, rtol=1e-14)
    np.testing.assert_array_equal(moved.angles_rad, sinogram.angles_rad)
    assert moved.axis_offset_um == sinogram.axis_offset_um


def test_a_cubic_is_met_exactly_and_depth_with_it():
    # Closed form: four points determine a cubic. float32 numbers up to 3e4·2e-3 = 60.
    def cubic(t):
        return 1e-3 * (t - 3.0) * (t + 5.0) * (t - 11.0) + 50.0

    offsets = jittered(0.25)
    moved = on_set_points(measured(cubic, offsets), offsets_um=offsets)
    inside = (moved.offsets_um >= offsets.min(axis=1).max()) & (
        moved.offsets_um <= offsets.max(axis=1).min()
    )
    expected = cubic(moved.offsets_um)[inside]
    np.testing.assert_allclose(moved.values[:, inside, 0], np.tile(expected, (5, 1)), rtol=2e-6)
    depth = -np.log(moved.transmission[:, inside])
    np.testing.assert_allclose(depth, 0.01 * np.tile(expected, (5, 1)), rtol=1e-11)


def test_the_error_is_of_fourth_order_in_the_step():
    # Law: halving the step of a smooth function divides the error by 2⁴; 12 leaves room for the
    # next order.
    errors = []
    for wavelength in (16.0, 32.0):
        offsets = jittered(0.25, n_angles=40)
        wave = lambda t, w=wavelength: np.sin(2 * np.pi * t / w + 0.3)  # noqa: E731
        moved = on_set_points(measured(wave, offsets), offsets_um=offsets)
        error = moved.values[:, 3:-3, 0] - wave(moved.offsets_um[3:-3])
        errors.append(np.sqrt(np.mean(error**2)))
    assert errors[0] > 12.0 * errors[1] > 0.0


def test_variance_is_that_of_repeated_noise():
    # Statistics: the variance of n normal numbers is known to √(2/n), here 1 % of 20 000 draws;
    # 5.5σ over 61 rays: false alarm < 1e-5.
    rng = np.random.Generator(np.random.Philox(2))
    offsets = jittered(0.25, n_angles=1)
    sinogram = measured(np.cos, offsets, variance=4.0)
    n = 20_000
    noisy = replace(
        sinogram,
        values=rng.normal(0.0, 2.0, (1, 61, n)).astype(np.float32),
        variance=np.full((1, 61, n), 4.0, np.float32),
        two_theta_rad=np.linspace(0.1, 0.2, n),
    )
    moved = on_set_points(noisy, offsets_um=offsets)
    found = moved.values[0].var(axis=1)
    np.testing.assert_allclose(found, moved.variance[0, :, 0], rtol=5.5 * np.sqrt(2 / n))
    assert moved.variance.min() < 3.0


def test_set_points_beyond_the_rays_take_the_outermost():
    # Definition.
    offsets = jittered(0.0) * 0.9
    sinogram = measured(np.cos, offsets)
    moved = on_set_points(sinogram, offsets_um=offsets)
    np.testing.assert_array_equal(moved.values[:, :3, 0], np.tile(sinogram.values[:, :1, 0], 3))
    np.testing.assert_array_equal(moved.values[:, -3:, 0], np.tile(sinogram.values[:, -1:, 0], 3))


def test_rays_that_nearly_coincide_do_not_amplify_noise():
    # Bound: the weights of a straight line lie between 0 and 1.
    nodes = jittered(0.0)
    nodes[:, 30] = nodes[:, 29] + 1e-6
    taps = interpolation_taps(nodes, set_points_um=jittered(0.0)[0] + 0.5, step_um=1.0)
    np.testing.assert_allclose(taps.weight.sum(axis=2), 1.0, rtol=1e-12)
    assert np.abs(taps.weight).max() < 1.5
    assert taps.weight.shape[2] == TAPS


@pytest.mark.parametrize("n_offsets", [2, 3])
def test_few_rays_are_interpolated_by_what_they_determine(n_offsets):
    # Closed form: a polynomial of degree n − 1 through n points.
    offsets = jittered(0.1, n_offsets=n_offsets)
    power = n_offsets - 1
    moved = on_set_points(measured(lambda t: (t + 4.0) ** power, offsets), offsets_um=offsets)
    clipped = np.clip(moved.offsets_um, offsets[:, :1], offsets[:, -1:])
    np.testing.assert_allclose(moved.values[..., 0], (clipped + 4.0) ** power, rtol=1e-6)


def test_measured_rotations_replace_the_angles():
    offsets = jittered(0.0)
    turned = np.arange(5) * 0.6 + 0.01
    moved = on_set_points(measured(np.cos, offsets), offsets_um=offsets, rotations_rad=turned)
    np.testing.assert_array_equal(moved.angles_rad, turned)


def test_an_unmeasured_channel_stays_so_and_leaves_the_others():
    offsets = jittered(0.2)
    sinogram = measured(np.cos, offsets)
    both = replace(
        sinogram,
        values=np.concatenate([sinogram.values, np.full((5, 61, 1), np.nan, np.float32)], axis=2),
        variance=np.full((5, 61, 2), 1.0, np.float32),
        two_theta_rad=np.array([0.1, 0.2]),
    )
    moved = on_set_points(both, offsets_um=offsets)
    alone = on_set_points(sinogram, offsets_um=offsets)
    assert np.isnan(moved.values[..., 1]).all()
    np.testing.assert_array_equal(moved.values[..., :1], alone.values)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda x: x[:, ::-1], "must rise"),
        (lambda x: np.where(x > 0.5, x + 1.5, x), "no gap of more than 2 steps"),
        (lambda x: x[:-1], "shape"),
        (lambda x: np.where(x == 0.0, np.nan, x), "finite"),
    ],
)
def test_impossible_offsets_are_refused(change, rule):
    offsets = jittered(0.0)
    with pytest.raises(InputError, match=rule):
        on_set_points(measured(np.cos, offsets), offsets_um=change(offsets))


def test_a_jittered_scan_comes_near_one_measured_in_place():
    # Independent: the simulator measures the same electrode with and without jitter. 0.05 µm of it,
    # under a beam of one step, leaves an error of about a third of a per cent of the signal's
    # spread where no correction leaves over 1 %; the rest is what four points cannot tell.
    scan = Scan(n_offsets=61, step_um=1.0, n_angles=20)
    still = Experiment(sample=Electrode(diameter_um=50.0, volume_fraction=0.45), scan=scan, seed=3)
    still = still.model_copy(
        update={"effects": still.effects.model_copy(update={"noise": False, "grains": False})}
    )
    shaken = still.model_copy(update={"motion": Motion(jitter_um=0.05)})
    expected, raw = sinogram_of(simulate(still).raw), simulate(shaken).raw
    moved = on_set_points(sinogram_of(raw), offsets_um=raw.readings.encoder_offset_um)
    used = expected.measured_channels

    def error(sinogram):
        one, other = (s.values[:, 2:-2, used].sum(axis=2) for s in (sinogram, expected))
        return np.std(one - other) / np.std(other)

    assert error(moved) < 0.005
    assert error(sinogram_of(raw)) > 2.5 * error(moved)
