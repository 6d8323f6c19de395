"""Iterative methods against dense algebra, fixed points and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.cgls import cgls
from inverse.iteration import scan_rays
from inverse.poisson import poisson_reconstruction
from inverse.projector import project
from inverse.sirt import sirt
from xrdct.errors import InputError

SINGLE = float(np.finfo(np.float32).eps)
METHODS = {"sirt": sirt, "cgls": cgls, "poisson": poisson_reconstruction}


def half_turn(n_angles):
    return np.arange(n_angles) * np.pi / n_angles


def dense(n, angles, *, size=None, fwhm=0.0):
    """A as a matrix (ray, pixel), a pixel at a time; its own truth is test_inverse_projector."""
    side = n if size is None else size
    pixels = np.eye(side * side, dtype=np.float32).reshape(side, side, -1)
    matrix = project(pixels, angles_rad=angles, n_offsets=n, step_um=1.0, beam_fwhm_um=fwhm)
    return matrix.reshape(-1, side * side).astype(float)


def small(*, n=7, n_angles=15, n_channels=3, seed=0, **more):
    """A well-posed system, for n = 7 of condition number 43, and data that do not fit it."""
    rng = np.random.default_rng(seed)
    angles = half_turn(n_angles)
    lines = rng.uniform(1.0, 9.0, size=(n_angles, n, n_channels)).astype(np.float32)
    rays = scan_rays(lines.shape, angles_rad=angles, step_um=1.0, **more)
    return lines, rays, dense(n, angles)


def shown(values, rays):
    return values[rays.shown].astype(float)


def as_images(solution, rays, n_channels):
    return solution.reshape(*rays.shown.shape, n_channels)[rays.shown]


def weights_of(rays, seed=1):
    return np.random.default_rng(seed).uniform(0.2, 3.0, rays.weights.shape)


@pytest.mark.parametrize("weighted", [False, True])
def test_cgls_tends_to_the_least_squares_solution(weighted):
    """Independent algebra: numpy.linalg.lstsq of the dense system, weighted by √w.

    Conjugate gradients end after as many steps as there are pixels, but for rounding, which the
    condition number, squared in the normal equations, multiplies: 43²·3·eps·|x|.
    """
    lines, rays, matrix = small()
    weights = weights_of(rays) if weighted else np.ones(rays.weights.shape)
    rays = scan_rays(lines.shape, angles_rad=half_turn(15), step_um=1.0, weights=weights)
    root = np.sqrt(weights).ravel()[:, None]
    expected = np.linalg.lstsq(root * matrix, root * lines.reshape(-1, 3), rcond=None)[0]
    found = cgls(lines, rays=rays, iterations=80)
    tolerance = 3 * np.linalg.cond(root * matrix) ** 2 * SINGLE * np.abs(expected).max()
    np.testing.assert_allclose(
        shown(found.values, rays), as_images(expected, rays, 3), atol=tolerance
    )


@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_cgls_is_the_best_of_its_krylov_space(iterations):
    """Definition: after k steps the least squares over Σ_j c_j·(AᵀwA)^j·Aᵀwb, j < k, the c_j the
    same for all channels. Solved densely in double precision."""
    lines, rays, matrix = small()
    weights = weights_of(rays)
    rays = scan_rays(lines.shape, angles_rad=half_turn(15), step_um=1.0, weights=weights)
    w = weights.ravel()[:, None]
    data = lines.reshape(-1, 3).astype(float)
    spanning = [matrix.T @ (w * data)]
    for _ in range(iterations - 1):
        spanning.append(matrix.T @ (w * (matrix @ spanning[-1])))
    design = np.stack([(np.sqrt(w) * (matrix @ v)).ravel() for v in spanning], axis=1)
    scale = np.linalg.norm(design, axis=0)
    amounts = np.linalg.lstsq(design / scale, (np.sqrt(w) * data).ravel(), rcond=None)[0] / scale
    expected = sum(c * v for c, v in zip(amounts, spanning, strict=True))
    found = cgls(lines, rays=rays, iterations=iterations)
    np.testing.assert_allclose(
        shown(found.values, rays), as_images(expected, rays, 3), atol=1e-4 * np.abs(expected).max()
    )


def test_cgls_repeats_the_same_linear_operator_given_its_steps():
    """Law: with the steps of one sinogram any other is treated linearly.

    Rounding: single precision over the sums of 6 iterations.
    """
    lines, rays, _ = small(n_channels=2)
    steps = cgls(lines, rays=rays, iterations=6).steps
    first, second = np.random.default_rng(5).normal(size=(2, *lines.shape)).astype(np.float32)

    def image(sinogram):
        return shown(cgls(sinogram, rays=rays, iterations=6, steps=steps).values, rays)

    difference = image(2 * first - 3 * second) - (2 * image(first) - 3 * image(second))
    assert np.abs(difference).max() < 1e-4 * np.abs(image(first)).max()
    np.testing.assert_array_equal(
        image(lines), shown(cgls(lines, rays=rays, iterations=6).values, rays)
    )


def test_cgls_of_many_channels_takes_its_steps_from_mixtures_of_them():
    """Law: the misfit of every channel falls in every iteration, though the steps are not its own.

    150 channels of different structure: more than a block.
    """
    rng = np.random.default_rng(8)
    angles = half_turn(30)
    images = rng.uniform(size=(15, 15, 150)) * rng.uniform(0.1, 10, 150)
    lines = project(images, angles_rad=angles, n_offsets=15, step_um=1.0)
    rays = scan_rays(lines.shape, angles_rad=angles, step_um=1.0)
    found = cgls(lines, rays=rays, iterations=10)
    assert np.all(np.diff(found.misfit[0], axis=0) < 0.0)
    assert np.all(found.misfit[0, -1] < 1e-3 * found.misfit[0, 0])


def test_sirt_iterates_as_defined():
    """Definition, in dense algebra and double precision, with weights and relaxation."""
    lines, rays, matrix = small()
    weights = weights_of(rays)
    rays = scan_rays(lines.shape, angles_rad=half_turn(15), step_um=1.0, weights=weights)
    w = weights.ravel()
    by_ray, by_pixel = w / matrix.sum(axis=1), 1 / (matrix.T @ w)
    image, misfit = np.zeros((49, 3)), []
    for _ in range(5):
        rest = lines.reshape(-1, 3) - matrix @ image
        misfit.append((w[:, None] * rest**2).sum(axis=0))
        image += 1.3 * by_pixel[:, None] * (matrix.T @ (by_ray[:, None] * rest))
    found = sirt(lines, rays=rays, iterations=5, relaxation=1.3)
    np.testing.assert_allclose(
        shown(found.values, rays), as_images(image, rays, 3), rtol=200 * SINGLE
    )
    np.testing.assert_allclose(found.misfit[0], misfit, rtol=400 * SINGLE)


def test_sirt_tends_to_its_fixed_point():
    """Fixed point: Aᵀ·R·(b − A·x) = 0, least squares in the norm of R, by numpy.linalg.lstsq.

    On 9 pixels, 1500 iterations shrink the slowest part, of eigenvalue 0.0125, to exp(−19).
    """
    lines, rays, matrix = small(n=3)
    root = np.sqrt(1 / matrix.sum(axis=1))[:, None]
    expected = np.linalg.lstsq(root * matrix, root * lines.reshape(-1, 3), rcond=None)[0]
    by_pixel = 1 / matrix.sum(axis=0)
    slowest = np.linalg.eigvals(by_pixel[:, None] * (matrix.T @ (root**2 * matrix))).real.min()
    assert np.exp(-1500 * slowest) < 1e-6
    found = sirt(lines, rays=rays, iterations=1500)
    np.testing.assert_allclose(
        shown(found.values, rays), as_images(expected, rays, 3), atol=1e-4 * np.abs(expected).max()
    )


@given(a=st.floats(-5, 5), b=st.floats(-5, 5), seed=st.integers(0, 1000))
def test_sirt_is_linear(a, b, seed):
    """Law; rounding of 4 iterations of sums over 15 rays and 7 pixels."""
    _, rays, _ = small()
    first, second = np.random.default_rng(seed).normal(size=(2, 15, 7, 3))

    def image(sinogram):
        return shown(sirt(sinogram, rays=rays, iterations=4).values, rays)

    difference = image(a * first + b * second) - (a * image(first) + b * image(second))
    assert np.abs(difference).max() < 100 * SINGLE * (abs(a) + abs(b) + 1)


def test_sirt_can_be_kept_from_negative_values():
    lines, rays, _ = small()
    lines[:, 3] = 0.0
    free = shown(sirt(lines, rays=rays, iterations=20).values, rays)
    kept = shown(sirt(lines, rays=rays, iterations=20, nonnegative=True).values, rays)
    assert free.min() < 0.0
    assert kept.min() == 0.0


def test_poisson_iterates_as_defined():
    """Definition, in dense algebra and double precision, with weights and background."""
    lines, rays, matrix = small()
    weights = weights_of(rays)
    behind = np.random.default_rng(3).uniform(0.1, 2.0, lines.shape)
    rays = scan_rays(lines.shape, angles_rad=half_turn(15), step_um=1.0, weights=weights)
    w, known = weights.ravel()[:, None], behind.reshape(-1, 3)
    data = lines.reshape(-1, 3).astype(float)
    image = ((w * (data - known)).sum(axis=0) / (w[:, 0] @ matrix.sum(axis=1)))[None].repeat(49, 0)
    for _ in range(6):
        mean = matrix @ image + known
        likelihood = (w * (data * np.log(mean) - mean)).sum(axis=0)
        image *= (matrix.T @ (w * data / mean)) / (matrix.T @ w)
    found = poisson_reconstruction(lines, rays=rays, iterations=6, background=behind)
    np.testing.assert_allclose(
        shown(found.values, rays), as_images(image, rays, 3), rtol=400 * SINGLE
    )
    np.testing.assert_allclose(found.log_likelihood[-1], likelihood, rtol=400 * SINGLE)


@given(seed=st.integers(0, 10**6), mean=st.floats(0.05, 30.0))
def test_poisson_climbs_stays_positive_and_keeps_the_counts(seed, mean):
    """Laws of expectation maximisation: L rises in every iteration; no value is negative; after
    each, the projections hold as many counts as were measured, Σ w·A·x = Σ w·y. In counts as few
    as 0.05 a ray. Likelihoods are sums of 105 rays in single precision."""
    lines, rays, matrix = small()
    lines = np.random.default_rng(seed).poisson(mean, lines.shape).astype(np.float32)
    found = poisson_reconstruction(lines, rays=rays, iterations=15)
    size = np.abs(found.log_likelihood).max(axis=0) + lines.sum(axis=(0, 1))
    assert np.all(np.diff(found.log_likelihood, axis=0) > -200 * SINGLE * size)
    assert shown(found.values, rays).min() >= 0.0
    wide = scan_rays(lines.shape, angles_rad=half_turn(15), step_um=1.0, size=9)
    more = poisson_reconstruction(lines, rays=wide, iterations=15)
    assert shown(more.values, wide).min() >= 0.0
    whole = np.where(rays.shown[..., None], found.values, 0.0).reshape(49, -1)
    assert np.all(
        (matrix @ whole).sum(axis=0) <= lines.sum(axis=(0, 1)) * (1 + 200 * SINGLE)
    )  # the corners, which are not shown, hold the rest


def test_subsets_climb_faster():
    """Law (Hudson and Larkin): with n subsets an early iteration does the work of about n."""
    rng = np.random.default_rng(4)
    angles = half_turn(24)
    truth = rng.uniform(size=(11, 11, 2))
    lines = project(truth, angles_rad=angles, n_offsets=11, step_um=1.0)
    rays = scan_rays(lines.shape, angles_rad=angles, step_um=1.0)

    def misfit(iterations, n_subsets):
        found = poisson_reconstruction(lines, rays=rays, iterations=iterations, n_subsets=n_subsets)
        return found.misfit[0, -1]

    assert np.all(misfit(4, 8) < misfit(16, 1))
    assert np.all(misfit(4, 8) > misfit(64, 1))


@pytest.mark.parametrize("method", METHODS)
def test_a_quarter_turn_turns_any_image(method):
    """Law: the grid maps onto itself and the projections are those of 90° on, seen from behind
    beyond 180°. Noise as data, a beam of three steps. Rounding of 5 iterations over 20 rays, which
    the quotients of CGLS multiply."""
    lines = np.random.default_rng(3).uniform(1, 2, size=(20, 9, 2)).astype(np.float32)
    turned = np.roll(lines, 10, axis=0)
    turned[:10] = turned[:10, ::-1]
    rays = scan_rays(lines.shape, angles_rad=half_turn(20), step_um=1.0, beam_fwhm_um=3.0)
    straight = METHODS[method](lines, rays=rays, iterations=5).values
    image = METHODS[method](turned, rays=rays, iterations=5).values
    expected = np.rot90(straight, k=-1, axes=(0, 1))
    rounding = {"cgls": 3000}.get(method, 300) * SINGLE
    np.testing.assert_allclose(image, expected, atol=rounding * np.nanmax(np.abs(straight)))


@pytest.mark.parametrize("method", METHODS)
def test_a_disc_returns_its_constant(method):
    """Closed form: line integrals 2c·√(R² − t²). The first iterations approach c in the interior
    (2 pixels from the edge); many more would fit the stairs of pixels along the edge, which no
    image does. A tenth of c: half a pixel at either end of a chord of 20.
    """
    n, radius, constant = 31, 11.0, 3.0
    offset = np.arange(n) - 0.5 * (n - 1)
    chord = 2 * constant * np.sqrt(np.maximum(radius**2 - offset**2, 0.0))
    lines = np.broadcast_to(chord[None, :, None], (48, n, 1))
    rays = scan_rays(lines.shape, angles_rad=half_turn(48), step_um=1.0)
    inside = np.hypot(offset[:, None], offset[None, :]) < radius - 2
    errors = []
    for iterations in {"cgls": (2, 8), "sirt": (10, 80), "poisson": (5, 20)}[method]:
        image = METHODS[method](lines, rays=rays, iterations=iterations).values[..., 0]
        errors.append(np.abs(image[inside] / constant - 1).max())
    assert errors[1] < errors[0]
    assert errors[1] < 0.1


def test_a_grid_beyond_the_window_explains_what_crosses_it():
    """Limit: a disc wider than the window, off its centre. On the window's own grid no image fits
    the rays, on one that holds the disc some do: 20 iterations leave less than 1 % of the misfit.
    The middle of the window is far better then, though not exact: truncated rays leave a smooth
    part of it undetermined.
    """
    n, radius, x = 21, 18.0, 6.0
    angles = half_turn(60)
    offset = np.arange(n) - 10.0
    distance = offset[None, :] - x * np.cos(angles)[:, None]
    lines = (2 * np.sqrt(np.maximum(radius**2 - distance**2, 0.0)))[..., None]
    scan = {"angles_rad": angles, "step_um": 1.0}
    close = cgls(lines, rays=scan_rays(lines.shape, **scan), iterations=20)
    wide = cgls(lines, rays=scan_rays(lines.shape, size=51, **scan), iterations=20)
    assert close.values.shape == wide.values.shape == (n, n, 1)
    assert wide.misfit[0, -1, 0] < 0.01 * close.misfit[0, -1, 0]
    middle = np.hypot(offset[:, None], offset[None, :]) < 5
    error = [np.abs(found.values[middle, 0] - 1).max() for found in (close, wide)]
    assert error[1] < 0.3 * error[0]


@pytest.mark.parametrize("method", METHODS)
def test_unmeasured_channels_stay_nan_and_unused_rays_are_not_read(method):
    """Definition: NaN in a whole channel, or in rays of weight 0; nothing else changes a bit."""
    lines = np.random.default_rng(6).uniform(1, 2, size=(12, 9, 5)).astype(np.float32)
    weights = np.ones((12, 9))
    weights[3, 4] = weights[7] = 0.0
    rays = scan_rays(lines.shape, angles_rad=half_turn(12), step_um=1.0, weights=weights)
    whole = METHODS[method](lines[..., [0, 1, 3, 4]], rays=rays, iterations=3)
    spoilt = lines.copy()
    spoilt[..., 2] = np.nan
    spoilt[weights == 0.0] = np.nan
    before = spoilt.copy()
    found = METHODS[method](spoilt, rays=rays, iterations=3)
    assert np.all(np.isnan(found.values[..., 2]))
    assert np.all(np.isnan(found.misfit[..., 2]))
    np.testing.assert_allclose(found.values[..., [0, 1, 3, 4]], whole.values, rtol=1e-5)
    assert np.all(np.isnan(found.values[~rays.shown]))
    np.testing.assert_array_equal(spoilt, before)
    spoilt[5, 5, 1] = np.nan
    with pytest.raises(InputError, match="channel 1 lacks 1 of 98"):
        METHODS[method](spoilt, rays=rays, iterations=1)


@pytest.mark.parametrize("method", METHODS)
def test_neither_threads_nor_other_channels_change_a_bit(method):
    """Law: blocks are independent, and the order of additions is fixed."""
    rng = np.random.default_rng(7)
    lines = rng.uniform(1, 2, size=(70, 11, 130)).astype(np.float32)
    rays = scan_rays(lines.shape, angles_rad=half_turn(70), step_um=1.0, beam_fwhm_um=2.5)
    more = {"steps": cgls(lines, rays=rays, iterations=3).steps} if method == "cgls" else {}
    for part in (slice(0, 130), slice(0, 64)):
        one = METHODS[method](lines[..., part], rays=rays, iterations=3, workers=1, **more)
        for workers in (2, 5):
            again = METHODS[method](
                lines[..., part], rays=rays, iterations=3, workers=workers, **more
            )
            np.testing.assert_array_equal(again.values, one.values)
    whole = METHODS[method](lines, rays=rays, iterations=3, **more)
    np.testing.assert_array_equal(whole.values[..., :64], one.values)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"size": 8}, "size must exceed the 7 offsets by an even number"),
        ({"size": 5}, "size must exceed the 7 offsets by an even number"),
        ({"weights": -np.ones((15, 7))}, "weights must be a finite number, not negative"),
        ({"weights": np.ones((15, 8))}, "weights must be a finite number"),
        ({"angles_rad": half_turn(14)}, "one angle per projection"),
        ({"mask": np.ones((6, 6), bool)}, "mask must be boolean"),
    ],
)
def test_rays_that_do_not_fit_are_refused(change, rule):
    with pytest.raises(InputError, match=rule):
        scan_rays((15, 7, 3), **({"angles_rad": half_turn(15), "step_um": 1.0} | change))


@pytest.mark.parametrize(
    ("method", "change", "rule"),
    [
        (sirt, {"iterations": 0}, "iterations must be at least 1, not 0"),
        (sirt, {"relaxation": 2.0}, "relaxation must be above 0 and below 2, not 2"),
        (sirt, {"records": np.ones((15, 7))}, "records must have the axes"),
        (cgls, {"sinogram": np.ones((15, 8, 3))}, r"must have the rays \(15, 7\)"),
        (cgls, {"steps": (1,)}, "there are 1 steps for 2 iterations"),
        (poisson_reconstruction, {"n_subsets": 16}, "n_subsets must be between 1 and the 15"),
        (poisson_reconstruction, {"background": np.ones((15, 7, 2))}, "background must have"),
        (poisson_reconstruction, {"background": -np.ones((15, 7, 1))}, "must not be negative"),
        (poisson_reconstruction, {"sinogram": -np.ones((15, 7, 3))}, "must not be negative"),
    ],
)
def test_what_does_not_fit_is_refused(method, change, rule):
    lines, rays, _ = small()
    given_ = {"sinogram": lines, "rays": rays, "iterations": 2} | change
    if "steps" in change:
        given_["steps"] = cgls(lines, rays=rays, iterations=1).steps
    with pytest.raises(InputError, match=rule):
        method(given_.pop("sinogram"), **given_)
