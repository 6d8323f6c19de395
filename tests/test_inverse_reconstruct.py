"""Filtered back projection against closed forms, laws, an explicit matrix and scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from skimage.transform import iradon

from inverse.filters import KERNELS, filter_matrix
from inverse.geometry import field_of_view
from inverse.reconstruct import filtered_back_projection, reconstruct_counts
from xrdct.errors import InputError

SINGLE = float(np.finfo(np.float32).eps)


def half_turn(n_angles):
    return np.arange(n_angles) * np.pi / n_angles


def grid(n, step_um):
    return (np.arange(n) - 0.5 * (n - 1)) * step_um


def gaussian_sinogram(angles, offsets, *, x, y, sigma, axis=0.0):
    """Line integrals of exp(−r²/2σ²) about (x, y): σ√(2π)·exp(−(t − t₀)²/2σ²)."""
    centre = x * np.cos(angles) + y * np.sin(angles) + axis
    profile = np.exp(-0.5 * ((offsets[None, :] - centre[:, None]) / sigma) ** 2)
    return (sigma * np.sqrt(2 * np.pi) * profile)[:, :, None]


def gaussian_image(positions, *, x, y, sigma):
    squared = (positions[None, :] - x) ** 2 + (positions[:, None] - y) ** 2
    return np.exp(-0.5 * squared / sigma**2)


def interpolation_bound(step_um, sigma):
    """Largest error that linear interpolation can make in the image of a Gaussian of height 1.

    With the filtered projection q, it is π·(step²/8)·max|q″| after the sum over angles, and
    max|q″| = ∫|f|(2πf)²·2πσ²·exp(−2π²σ²f²) df = 2/(πσ²). Sampling adds nothing: the spectrum at
    the Nyquist frequency is below exp(−π²σ²/2·step²) < 1e-30 where σ ≥ 4 steps.
    """
    return step_um**2 / (4 * sigma**2)


def explicit_operator(n, angles, step_um, *, filter_name, padding):
    """R (pixel, ray) from its definition, by another way: numpy's interpolation of the filter."""
    matrix = filter_matrix(n, step_um=step_um, filter_name=filter_name, padding=padding)
    x, y = np.meshgrid(grid(n, step_um), grid(n, step_um))
    operator = np.zeros((n * n, angles.size, n))
    for a, angle in enumerate(angles):
        t = (x * np.cos(angle) + y * np.sin(angle)).ravel()
        for j in range(n):
            operator[:, a, j] = np.pi / angles.size * np.interp(t, grid(n, step_um), matrix[:, j])
    return operator.reshape(n * n, -1)


def test_disc_returns_its_constant():
    """Closed form: a disc of constant c has the line integrals 2c·√(R² − t²).

    The ramp is a rule of spacing H = 2·step for an integral whose integrand, p/(πt²), ends like
    2c·√(2R(R − t)). Such a rule errs by |ζ(−½, ·)| ≤ 0.21 times H^1.5 times what stands before the
    root, so the image errs by 0.19·c·(H/R)^1.5 in the middle, and by no more than (R/(R − r))² ≤ 4
    times that at r ≤ R/2. It must shrink with the step.
    """
    radius, constant = 20.0, 3.0
    errors = []
    for step in (1.0, 0.5, 0.25):
        n = round(50 / step) + 1
        offsets = grid(n, step)
        chord = 2 * constant * np.sqrt(np.maximum(radius**2 - offsets**2, 0.0))
        angles = half_turn(2 * n)
        sinogram = np.broadcast_to(chord[None, :, None], (angles.size, n, 1))
        image = filtered_back_projection(sinogram, angles_rad=angles, step_um=step).values[:, :, 0]
        inside = np.hypot(offsets[:, None], offsets[None, :]) < radius / 2
        errors.append(np.abs(image[inside] / constant - 1).max())
        assert errors[-1] < 4 * 0.19 * (2 * step / radius) ** 1.5
    assert errors[2] < errors[1] < errors[0]


def test_gaussian_converges_with_the_square_of_the_step():
    """Closed form of image and sinogram; linear interpolation is of second order."""
    sigma, x, y = 6.0, 7.3, -4.6
    errors = []
    for step in (1.5, 0.75, 0.375):
        n = round(72 / step) + 1
        angles = half_turn(round(2 * n))
        sinogram = gaussian_sinogram(angles, grid(n, step), x=x, y=y, sigma=sigma)
        image = filtered_back_projection(sinogram, angles_rad=angles, step_um=step).values[:, :, 0]
        error = np.abs(image - gaussian_image(grid(n, step), x=x, y=y, sigma=sigma))
        errors.append(np.nanmax(error))
        assert errors[-1] < interpolation_bound(step, sigma)
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2.0, atol=0.2)


def test_a_point_appears_at_its_row_and_column():
    """Definition of the frame: image[iy, ix], t = x·cos ω + y·sin ω; even and odd widths."""
    for n in (30, 31):
        x, y = grid(n, 2.0)[22], grid(n, 2.0)[9]
        angles = half_turn(60)
        sinogram = gaussian_sinogram(angles, grid(n, 2.0), x=x, y=y, sigma=2.0)
        image = filtered_back_projection(sinogram, angles_rad=angles, step_um=2.0).values[:, :, 0]
        assert np.unravel_index(np.nanargmax(image), image.shape) == (9, 22)


@given(turn=st.integers(0, 47))
def test_rotating_the_sample_shifts_the_angles(turn):
    """Law: turned by k·Δω, a sample gives the projections of k angles before.

    Those before the first angle are seen from behind: mirrored, half a turn on.
    """
    n, n_angles, sigma = 41, 48, 4.0
    angles, offsets = half_turn(n_angles), grid(n, 1.0)
    sinogram = gaussian_sinogram(angles, offsets, x=6.0, y=3.0, sigma=sigma)
    turned = np.roll(sinogram, turn, axis=0)
    turned[:turn] = turned[:turn, ::-1]
    image = filtered_back_projection(turned, angles_rad=angles, step_um=1.0).values[:, :, 0]
    c, s = np.cos(angles[turn]), np.sin(angles[turn])
    expected = gaussian_image(offsets, x=6.0 * c - 3.0 * s, y=6.0 * s + 3.0 * c, sigma=sigma)
    assert np.nanmax(np.abs(image - expected)) < interpolation_bound(1.0, sigma)


def test_a_quarter_turn_turns_any_image():
    """Law, for noise: the grid maps onto itself, so images agree to rounding.

    Rounding: 40 angles of two single-precision terms each, of size below max|filtered|·π/40.
    """
    rng = np.random.default_rng(3)
    sinogram = rng.normal(size=(40, 21, 3))
    turned = np.roll(sinogram, 20, axis=0)
    turned[:20] = turned[:20, ::-1]
    straight = filtered_back_projection(sinogram, angles_rad=half_turn(40), step_um=1.0).values
    image = filtered_back_projection(turned, angles_rad=half_turn(40), step_um=1.0).values
    expected = np.rot90(straight, k=-1, axes=(0, 1))
    np.testing.assert_allclose(image, expected, atol=80 * SINGLE * np.nanmax(np.abs(straight)))


@given(a=st.floats(-5, 5), b=st.floats(-5, 5), seed=st.integers(0, 1000))
def test_linear(a, b, seed):
    """Law; rounding of 24 angles × 11 offsets of single-precision terms."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 24, 11, 2))

    def image(sinogram):
        return filtered_back_projection(sinogram, angles_rad=half_turn(24), step_um=0.5).values

    difference = image(a * first + b * second) - (a * image(first) + b * image(second))
    assert np.nanmax(np.abs(difference)) <= 264 * SINGLE * (abs(a) + abs(b))


@pytest.mark.parametrize("padding", ["zero", "edge"])
@pytest.mark.parametrize("filter_name", sorted(KERNELS))
def test_values_and_variance_are_the_explicit_matrix(filter_name, padding):
    """R, built from its definition, and R∘R; every ray a channel of its own gives all of R.

    Tolerance: single precision, over sums of no more than n_angles · n terms.
    """
    n, n_angles, step = 9, 6, 0.7
    angles = half_turn(n_angles)
    operator = explicit_operator(n, angles, step, filter_name=filter_name, padding=padding)
    units = np.eye(n_angles * n).reshape(n_angles, n, n_angles * n)
    result = filtered_back_projection(
        units,
        angles_rad=angles,
        step_um=step,
        filter_name=filter_name,
        padding=padding,
        variance=units,
    )
    inside = field_of_view(n, n_offsets=n, step_um=step)
    assert result.variance is not None
    expected = operator.reshape(n, n, -1)[inside]
    atol = 54 * SINGLE * np.abs(operator).max()
    np.testing.assert_allclose(result.values[inside], expected, atol=atol)
    atol = 54 * SINGLE * (operator**2).max()
    np.testing.assert_allclose(result.variance[inside], expected**2, atol=atol)


def test_scatter_of_many_noisy_scans_is_the_variance():
    """Statistics: (N − 1)·s²/σ² of N normal scans follows χ² with N − 1 degrees of freedom.

    False alarm at one of the pixels: below 1e-7 in all.
    """
    n, n_scans = 9, 3000
    rng = np.random.default_rng(11)
    angles = half_turn(8)
    variance = rng.uniform(0.5, 4.0, size=(8, n, 1))
    scans = rng.normal(scale=np.sqrt(variance), size=(8, n, n_scans))
    images = filtered_back_projection(scans, angles_rad=angles, step_um=1.0).values
    predicted = filtered_back_projection(
        scans[:, :, :1], angles_rad=angles, step_um=1.0, variance=variance
    ).variance
    assert predicted is not None
    inside = field_of_view(n, n_offsets=n, step_um=1.0)
    scatter = (images[inside].astype(float).var(axis=1, ddof=1) / predicted[inside][:, 0]) * (
        n_scans - 1
    )
    tail = 0.5e-7 / inside.sum()
    assert scatter.min() > chi2.ppf(tail, n_scans - 1)
    assert scatter.max() < chi2.isf(tail, n_scans - 1)


@pytest.mark.parametrize("n", [21, 47])
def test_agrees_with_scikit_image(n):
    """Independent package, channel by channel; its rows run against y, and its circle is ours.

    It pads to a power of two of at least 2n, so its circular filter too is exact. Both interpolate
    linearly. Tolerance: single precision over n · n_angles terms of at most (π/n_angles)·max|p|/4.
    """
    rng = np.random.default_rng(n)
    n_angles = 36
    sinogram = rng.normal(size=(n_angles, n, 3))
    image = filtered_back_projection(
        sinogram, angles_rad=half_turn(n_angles), step_um=1.0, padding="zero"
    ).values
    degrees = np.degrees(half_turn(n_angles))
    inside = field_of_view(n, n_offsets=n, step_um=1.0)
    tolerance = n * SINGLE * np.pi * np.abs(sinogram).max() / 4
    for channel in range(3):
        other = iradon(sinogram[:, :, channel].T, theta=degrees, filter_name="ramp", circle=True)
        difference = image[:, :, channel] - other[::-1]
        assert np.abs(difference[inside]).max() < tolerance
        assert np.all(np.isnan(image[~inside, channel]))
        assert np.all(other[::-1][~inside] == 0)


def test_counts_with_gains_are_their_product():
    """Law: value counts·g, Poisson variance counts·g²; integer counts, three blocks of channels.

    Tolerance: g is applied in single precision, before a sum of 12 · 15 terms.
    """
    rng = np.random.default_rng(5)
    counts = rng.poisson(30.0, size=(12, 15, 150)).astype(np.int32)
    ray_gain, channel_gain = rng.uniform(0.5, 2.0, (12, 15)), rng.uniform(0.1, 9.0, 150)
    gain = ray_gain[:, :, None] * channel_gain
    scan = {"angles_rad": half_turn(12), "step_um": 1.5}
    result = reconstruct_counts(counts, ray_gain=ray_gain, channel_gain=channel_gain, **scan)
    expected = filtered_back_projection(counts * gain, variance=counts * gain**2, **scan)
    assert result.variance is not None
    assert expected.variance is not None
    for ours, theirs in ((result.values, expected.values), (result.variance, expected.variance)):
        np.testing.assert_allclose(ours, theirs, atol=180 * SINGLE * np.nanmax(theirs))
    alone = reconstruct_counts(
        counts, ray_gain=ray_gain, channel_gain=channel_gain, with_variance=False, **scan
    )
    assert alone.variance is None
    np.testing.assert_array_equal(alone.values, result.values)


def test_neither_threads_nor_other_channels_change_a_bit():
    """Law: channels are independent, and the order of additions is fixed."""
    rng = np.random.default_rng(8)
    sinogram = rng.normal(size=(70, 19, 150)).astype(np.float32)
    scan = {"angles_rad": half_turn(70), "step_um": 1.0}
    variance = sinogram**2
    one = filtered_back_projection(sinogram, variance=variance, workers=1, **scan)
    for workers in (2, 5, None):
        many = filtered_back_projection(sinogram, variance=variance, workers=workers, **scan)
        np.testing.assert_array_equal(many.values, one.values)
        np.testing.assert_array_equal(many.variance, one.variance)
    few = filtered_back_projection(sinogram[:, :, 60:67], variance=variance[:, :, 60:67], **scan)
    np.testing.assert_array_equal(few.values, one.values[:, :, 60:67])
    np.testing.assert_array_equal(few.variance, one.variance[:, :, 60:67])


def test_not_measured_is_nan_and_the_mask_only_hides():
    """Definition: a pixel is measured between the outermost rays of all angles, and in the mask."""
    rng = np.random.default_rng(2)
    n = 20
    sinogram = rng.normal(size=(30, n, 2))
    scan = {"angles_rad": half_turn(30), "step_um": 3.0}
    whole = filtered_back_projection(sinogram, variance=sinogram**2, **scan)
    x, y = np.meshgrid(grid(n, 3.0), grid(n, 3.0))
    inside = np.hypot(x, y) <= 3.0 * (n - 1) / 2
    mask = rng.random((n, n)) < 0.3
    masked = filtered_back_projection(sinogram, variance=sinogram**2, mask=mask, **scan)
    for all_pixels, some in ((whole.values, masked.values), (whole.variance, masked.variance)):
        assert all_pixels is not None
        assert some is not None
        np.testing.assert_array_equal(np.isnan(all_pixels[:, :, 0]), ~inside)
        np.testing.assert_array_equal(np.isnan(some[:, :, 1]), ~(inside & mask))
        np.testing.assert_array_equal(some[inside & mask], all_pixels[inside & mask])


def test_a_nan_ray_makes_its_channel_nan_and_no_other():
    """Law: every pixel reads every projection, and no channel another."""
    sinogram = np.ones((20, 17, 3))
    sinogram[4, 3, 1] = np.nan
    values = filtered_back_projection(sinogram, angles_rad=half_turn(20), step_um=1.0).values
    inside = field_of_view(17, n_offsets=17, step_um=1.0)
    assert np.all(np.isnan(values[inside, 1]))
    assert np.all(np.isfinite(values[inside][:, [0, 2]]))


def test_a_full_turn_is_a_half_turn_seen_twice():
    """Law: opposite projections are mirror images, and every line counts once."""
    n, sigma = 41, 4.0
    sinogram = gaussian_sinogram(2 * half_turn(120), grid(n, 1.0), x=5.0, y=-6.0, sigma=sigma)
    image = filtered_back_projection(sinogram, angles_rad=2 * half_turn(120), step_um=1.0).values
    expected = gaussian_image(grid(n, 1.0), x=5.0, y=-6.0, sigma=sigma)
    assert np.nanmax(np.abs(image[:, :, 0] - expected)) < interpolation_bound(1.0, sigma)


def test_the_axis_may_lie_off_the_middle():
    """Closed form, all offsets shifted; the field of view ends at the nearer outermost ray."""
    n, sigma, axis = 61, 4.0, -7.25
    angles = half_turn(130)
    sinogram = gaussian_sinogram(angles, grid(n, 1.0), x=5.0, y=3.0, sigma=sigma, axis=axis)
    values = filtered_back_projection(
        sinogram, angles_rad=angles, step_um=1.0, axis_offset_um=axis
    ).values[:, :, 0]
    expected = gaussian_image(grid(n, 1.0), x=5.0, y=3.0, sigma=sigma)
    assert np.nanmax(np.abs(values - expected)) < interpolation_bound(1.0, sigma)
    x, y = np.meshgrid(grid(n, 1.0), grid(n, 1.0))
    np.testing.assert_array_equal(np.isnan(values), np.hypot(x, y) > 30 - 7.25)


@pytest.mark.parametrize("size", [11, 35])
def test_size_crops_or_frames_about_the_axis(size):
    """Law: pixels of the same place have the same value."""
    rng = np.random.default_rng(9)
    sinogram = rng.normal(size=(30, 23, 2))
    scan = {"angles_rad": half_turn(30), "step_um": 1.0}
    image = filtered_back_projection(sinogram, size=size, **scan).values
    whole = filtered_back_projection(sinogram, **scan).values
    margin = abs(23 - size) // 2
    inner = slice(margin, -margin)
    if size < 23:
        np.testing.assert_array_equal(image, whole[inner, inner])
    else:
        np.testing.assert_array_equal(image[inner, inner], whole)
        assert np.isnan(image).sum() == np.isnan(whole).sum() + 2 * (size**2 - 23**2)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"sinogram": np.ones((6, 5))}, "sinogram must be an array"),
        ({"sinogram": np.ones((6, 1, 2))}, "at least 2 offsets"),
        ({"sinogram": np.ones((6, 5, 0))}, "sinogram must be an array"),
        ({"sinogram": np.ones((6, 5, 2), complex)}, "sinogram must be an array"),
        ({"variance": np.ones((6, 5, 3))}, "variance must have the shape"),
        ({"angles_rad": half_turn(5)}, "one angle per projection"),
        ({"angles_rad": np.ones((6, 1))}, "list of finite angles"),
        ({"angles_rad": np.full(6, np.nan)}, "list of finite angles"),
        ({"angles_rad": half_turn(6) / 2}, "cover 180° or 360° evenly"),
        ({"step_um": 0.0}, "step_um must be positive"),
        ({"step_um": np.nan}, "step_um must be positive"),
        ({"axis_offset_um": np.inf}, "axis_offset_um must be finite"),
        ({"filter_name": "lanczos"}, "filter_name must be one of"),
        ({"padding": "mirror"}, "padding must be one of"),
        ({"size": 0}, "size must be at least 1"),
        ({"mask": np.ones((4, 5), bool)}, "mask must be boolean"),
        ({"mask": np.ones((5, 5))}, "mask must be boolean"),
    ],
)
def test_what_does_not_fit_is_refused(change, rule):
    scan = {"sinogram": np.ones((6, 5, 2)), "angles_rad": half_turn(6), "step_um": 1.0} | change
    with pytest.raises(InputError, match=rule):
        filtered_back_projection(scan.pop("sinogram"), **scan)


@pytest.mark.parametrize("name", ["ray_gain", "channel_gain"])
def test_gains_of_the_wrong_shape_are_refused(name):
    gains = {"ray_gain": np.ones((6, 5)), "channel_gain": np.ones(2)} | {name: np.ones((5, 6))}
    with pytest.raises(InputError, match="ray_gain and channel_gain must have the shapes"):
        reconstruct_counts(np.ones((6, 5, 2)), angles_rad=half_turn(6), step_um=1.0, **gains)
