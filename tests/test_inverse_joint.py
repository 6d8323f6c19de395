"""The joint estimate against dense algebra, exact images and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inverse.grids import graded_grid
from inverse.joint import joint_estimate
from inverse.joint_filter import joint_filter
from inverse.joint_problem import RayData, ray_density, split_rays
from inverse.joint_variance import left_out_per_um, model_error_variance, noise_variance
from inverse.neighbours import neighbours
from inverse.strips import strip_projector
from xrdct.errors import InputError

GRID = graded_grid(9, step_um=1.0, rings=((1, 5.0), (2, 12.0)))
N_PIXELS = GRID.x_um.size


def projectors(n_angles=9):
    """A window of 11 steps of 1 µm, and thin lines 4 µm apart that see all."""
    angles = np.pi * np.arange(n_angles) / n_angles
    window = strip_projector(GRID, angles_rad=angles, n_offsets=11, step_um=1.0, beam_fwhm_um=1.0)
    coarse = strip_projector(
        GRID, angles_rad=angles + 0.1, n_offsets=9, step_um=4.0, beam_fwhm_um=1.0
    )
    return window, coarse


def dense(projector):
    """The projector as a matrix, (angle · offset, pixel)."""
    return projector.forward(np.eye(N_PIXELS)).reshape(-1, N_PIXELS).astype(float)


def normal_matrices(scans, smoothing_um):
    """AᵀWA and λL of the module's formula."""
    data = sum(
        dense(s.projector).T @ (s.weight.ravel()[:, None] * dense(s.projector)) for s in scans
    )
    usual = np.median(ray_density(scans)[GRID.pixels_of(0)])
    return data, 2.0 * usual * smoothing_um**3 * neighbours(GRID).matrix().toarray()


def random_scans(rng, n_channels=3):
    return [
        RayData(
            p,
            rng.normal(size=(*p.shape, n_channels)).astype(np.float32),
            rng.uniform(0.5, 2.0, p.shape).astype(np.float32),
        )
        for p in projectors()
    ]


def test_reaches_the_minimum():
    """Definition: the minimum of the sum of squares by dense algebra in double precision.

    Conjugate gradients end below 1e-3 of the image after as many steps as they take here; single
    precision on a matrix of condition 1e4 leaves 6e-8·1e4.
    """
    scans = random_scans(np.random.default_rng(1))
    data, rough = normal_matrices(scans, 0.6)
    right = sum(
        dense(s.projector).T @ (s.weight[..., None] * s.values).reshape(-1, 3) for s in scans
    )
    exact = np.linalg.solve(data + rough, right)
    found = joint_estimate(scans, smoothing_um=0.6, held_out_share=0.0, max_steps=60).values
    assert np.abs(found - exact).max() < 1e-3 * np.abs(exact).max()


def test_starts_from_rings_of_uniform_density():
    """Closed form: an image that is uniform among pixels of a size is found without any step."""
    image = np.where(GRID.edge_um > 1.5, 0.3, 0.7)[:, None] * np.array([1.0, -2.0])
    scans = [RayData(p, p.forward(image), np.ones(p.shape, np.float32)) for p in projectors()]
    found = joint_estimate(scans, smoothing_um=0.6, max_steps=0)
    assert found.step == 0
    np.testing.assert_allclose(found.values, image, atol=1e-4)


def test_rays_of_an_image_of_the_grid_give_it_back():
    """Limit: exact rays, little roughness and enough angles determine a smooth image.

    Dense algebra puts the pull of the roughness at 0.006 at the rim of the finest pixels and 0.001
    inside; 60 steps leave 0.002.
    """
    x, y = GRID.x_um, GRID.y_um
    image = np.stack([1.0 + 0.01 * x * y, 0.5 - 0.002 * (x**2 + y**2)], axis=1)
    scans = [
        RayData(p, p.forward(image), np.ones(p.shape, np.float32)) for p in projectors(n_angles=40)
    ]
    found = joint_estimate(scans, smoothing_um=0.1, held_out_share=0.0, max_steps=60)
    fine = GRID.pixels_of(0)
    np.testing.assert_allclose(found.values[fine], image[fine], atol=0.01)
    inner = np.hypot(x[fine], y[fine]) < 4.0
    np.testing.assert_allclose(found.values[fine][inner], image[fine][inner], atol=0.003)


def test_channels_are_estimated_alike_and_linearly():
    """Law: the estimate of a·y is a times that of y, whatever the other channels hold."""
    scans = random_scans(np.random.default_rng(2), n_channels=2)
    scaled = [RayData(s.projector, s.values * np.float32([1.0, -8.0]), s.weight) for s in scans]
    options = {"smoothing_um": 0.6, "held_out_share": 0.0, "max_steps": 8}
    plain = joint_estimate(scans, **options).values
    other = joint_estimate(scaled, **options).values
    # Powers of two scale exactly; steps are chosen channel by channel.
    np.testing.assert_allclose(other, plain * [1.0, -8.0], rtol=1e-5, atol=1e-6)


def test_does_not_depend_on_threads():
    """Law: the order of the additions is fixed."""
    scans = random_scans(np.random.default_rng(3))
    one, three = (joint_estimate(scans, smoothing_um=0.6, workers=w).values for w in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_rays_without_weight_are_not_read():
    """Law: what a ray of weight zero holds, be it NaN, changes nothing."""
    rng = np.random.default_rng(4)
    scans = random_scans(rng)
    blind = []
    for s in scans:
        weight = np.where(rng.random(s.weight.shape) < 0.2, 0.0, s.weight).astype(np.float32)
        empty = np.where(weight[..., None] > 0.0, s.values, np.nan).astype(np.float32)
        full = np.where(weight[..., None] > 0.0, s.values, 7.0).astype(np.float32)
        blind.append((RayData(s.projector, empty, weight), RayData(s.projector, full, weight)))
    found = [joint_estimate([pair[i] for pair in blind], smoothing_um=0.6).values for i in (0, 1)]
    np.testing.assert_array_equal(*found)


def test_steps_end_when_held_out_rays_are_told_no_better():
    """Definition of the rule: the image of the least held-out misfit, long before the last step.

    Pure noise: no image tells held-out rays better than the first few, so that without the rule
    the fit, which has more unknowns than rays, would take all its 60 steps.
    """
    scans = random_scans(np.random.default_rng(5))
    found = joint_estimate(scans, smoothing_um=0.1, held_out_share=0.2, max_steps=60)
    assert found.held_out.size - 1 < 60
    assert found.step == np.argmin(found.held_out)
    assert found.misfit[-1].mean() < found.misfit[0].mean()


def test_reports_the_misfits_of_the_image_it_returns():
    """Definition: residuals of the returned image, on rays fitted and held out, formed afresh."""
    x, y = GRID.x_um, GRID.y_um
    image = (np.cos(0.9 * x) * np.sin(0.7 * y))[:, None]
    scans = [RayData(p, p.forward(image), np.full(p.shape, 4.0, np.float32)) for p in projectors()]
    found = joint_estimate(scans, smoothing_um=0.3, held_out_share=0.2, max_steps=15, seed=3)
    assert found.step > 2
    kept, held = split_rays(scans, 0.2, 3)
    residual = [s.values - s.projector.forward(found.values) for s in scans]
    squares, number = 0.0, 0
    for k, scan in enumerate(kept):
        fitted = scan.weight > 0.0
        misfit = np.sqrt(4.0 * np.mean(residual[k][fitted] ** 2))
        assert misfit == pytest.approx(found.misfit[found.step, k], rel=1e-3)
        squares += 4.0 * np.sum(residual[k][held[k] > 0.0] ** 2)
        number += np.count_nonzero(held[k])
    assert np.sqrt(squares / number) == pytest.approx(found.held_out[found.step], rel=1e-3)


def test_a_ray_is_either_fitted_or_held_out():
    """Definition, and the share: binomial, 5.5 standard deviations of some 180 rays (4e-8)."""
    scans = random_scans(np.random.default_rng(9))
    kept, held = split_rays(scans, 0.3, seed=1)
    for scan, fitted, out in zip(scans, kept, held, strict=True):
        assert not np.any((fitted.weight > 0.0) & (out > 0.0))
        np.testing.assert_array_equal(fitted.weight + out, scan.weight)
    number = sum(np.count_nonzero(out) for out in held)
    total = sum(scan.weight.size for scan in scans)
    assert abs(number - 0.3 * total) < 5.5 * np.sqrt(0.21 * total)


def test_parallax_is_undone():
    """Closed form: rays of x·(1 + s·P) by the projector of moments; x returns.

    Two rounds after the first leave the third power of the parallax at the rim, 12 µm · 0.02/µm:
    0.24³ = 1.4 % of a channel of order one, beside the 0.01 that any round may leave (see above).
    """
    x, y = GRID.x_um, GRID.y_um
    image = np.stack([1.0 + 0.01 * x * y, 0.5 - 0.002 * (x**2 + y**2)], axis=1)
    turn = np.array([[0.0, 0.02], [-0.01, 0.0]])
    scans = [
        RayData(
            p, p.forward(image) + p.moment().forward(image @ turn), np.ones(p.shape, np.float32)
        )
        for p in projectors(n_angles=40)
    ]
    options = {"smoothing_um": 0.1, "held_out_share": 0.0, "max_steps": 60}
    fine = GRID.pixels_of(0)
    undone = joint_estimate(scans, parallax_per_um=turn, **options).values[fine]
    ignored = joint_estimate(scans, **options).values[fine]
    np.testing.assert_allclose(undone, image[fine], atol=0.025)
    assert np.abs(ignored - image[fine]).max() > 0.1


def test_moment_is_the_place_along_the_beam():
    """Definition s = −x sin ω + y cos ω: single pixels, against the ratio of both projections."""
    window, _ = projectors()
    pixel = int(np.argmax((GRID.x_um == 2.0) & (GRID.y_um == -3.0)))
    image = np.zeros((N_PIXELS, 1))
    image[pixel] = 1.0
    angles = np.pi * np.arange(9) / 9
    s_um = -2.0 * np.sin(angles) - 3.0 * np.cos(angles)
    plain, moment = window.forward(image)[..., 0], window.moment().forward(image)[..., 0]
    np.testing.assert_allclose(moment, plain * s_um[:, None], atol=1e-5)


def test_roughness_of_planes_and_jumps():
    """Closed form: ∫|∇x|² of a plane of slope g is g² times the area of the pairs' cells.

    On one lattice every pair of neighbours stands for one cell: roughness = g_x²·pairs along x +
    g_y²·pairs along y, times step². A constant has none, on any grid.
    """
    grid = graded_grid(6, step_um=0.5, rings=((1, 4.0),))
    linked = neighbours(grid)
    matrix = linked.matrix()
    plane = 3.0 * grid.x_um - 2.0 * grid.y_um
    along_x = np.abs(grid.y_um[linked.first] - grid.y_um[linked.second]) < 1e-9
    expected = 0.25 * (9.0 * along_x.sum() + 4.0 * (~along_x).sum())
    assert plane @ (matrix @ plane) == pytest.approx(expected, rel=1e-5)
    assert np.abs(neighbours(GRID).matrix() @ np.ones(N_PIXELS)).max() < 1e-5


def test_pairs_share_their_whole_side():
    """Closed form: pixels inside the disc have all of their perimeter among their pairs."""
    linked = neighbours(GRID)
    middle = 0.5 * (GRID.edge_um[linked.first] + GRID.edge_um[linked.second])
    shared = linked.conductance * middle
    perimeter = np.bincount(linked.first, shared, N_PIXELS)
    perimeter += np.bincount(linked.second, shared, N_PIXELS)
    inner = np.hypot(GRID.x_um, GRID.y_um) < 8.0
    np.testing.assert_allclose(perimeter[inner], 4.0 * GRID.edge_um[inner])


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_filter_is_symmetric_and_positive(seed):
    """Law of a preconditioner, without which conjugate gradients need not converge."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, N_PIXELS, 1)).astype(np.float32)
    approximate = joint_filter(
        GRID, density=rng.uniform(1.0, 20.0, N_PIXELS), usual_density=9.0, roughness=5.0,
        beam_fwhm_um=1.0,
    )  # fmt: skip
    forth, back = a * approximate.apply(b), b * approximate.apply(a)
    assert abs(float(forth.sum() - back.sum())) < 1e-4 * float(np.abs(forth).sum())
    assert (a * approximate.apply(a)).sum() > 0.0


def test_noise_variance_is_that_of_dense_algebra():
    """Closed form diag(N⁻¹·AᵀWA·N⁻¹); mean over pixels of 400 probes.

    A pixel's mean square over n probes has relative standard deviation √(2/n) = 0.071; 5.5 of them
    for each of some 200 pixels: false alarm 200 · 4e-8 = 1e-5 at most.
    """
    scans = random_scans(np.random.default_rng(6))
    data, rough = normal_matrices(scans, 0.6)
    inverse = np.linalg.inv(data + rough)
    exact = np.diag(inverse @ data @ inverse)
    found = noise_variance(scans, smoothing_um=0.6, n_probes=400, max_steps=60)
    assert np.all(np.abs(found / exact - 1.0) < 5.5 * np.sqrt(2.0 / 400))


def test_what_large_pixels_leave_out_of_white_noise():
    """Closed form: a row of c cells less c times the mean of c² has variance c·σ²·(1 − 1/c).

    10⁴ pixels of 4 × 4 with 8 lines each: the relative standard deviation of the mean square is
    below √(2·8/8e4) = 0.014 even if all lines of a pixel were one; 5.5 of them (4e-8).
    """
    rng = np.random.default_rng(7)
    image = rng.normal(scale=0.3, size=(400, 400, 1))
    found = left_out_per_um(image, factor=4, step_um=0.5)
    assert found[0] == pytest.approx(0.09 * 0.5 * (1 - 1 / 4), rel=5.5 * 0.0142)
    flat = np.repeat(np.repeat(image[:100, :100], 4, axis=0), 4, axis=1)
    assert left_out_per_um(flat, factor=4, step_um=0.5)[0] < 1e-25
    window, _ = projectors()
    length = window.forward(1.0 * (GRID.edge_um[:, None] > 1.5))[..., 0]
    np.testing.assert_allclose(model_error_variance(window, [0.0, 0.2]), 0.2 * length, rtol=1e-5)


def test_what_does_not_fit_is_refused():
    """The docstrings' rules, each broken alone."""
    scans = random_scans(np.random.default_rng(8))
    window = scans[0]
    with pytest.raises(InputError, match="at least one scan"):
        joint_estimate([], smoothing_um=1.0)
    with pytest.raises(InputError, match="smoothing_um"):
        joint_estimate(scans, smoothing_um=0.0)
    with pytest.raises(InputError, match="held_out_share"):
        joint_estimate(scans, smoothing_um=1.0, held_out_share=1.0)
    with pytest.raises(InputError, match="start must"):
        joint_estimate(scans, smoothing_um=1.0, start=np.zeros((3, 3)))
    with pytest.raises(InputError, match="parallax_per_um"):
        joint_estimate(scans, smoothing_um=1.0, parallax_per_um=np.zeros((2, 2)))
    with pytest.raises(InputError, match="one grid"):
        joint_estimate([window, RayData(window.projector, window.values[..., :2], window.weight)],
                       smoothing_um=1.0)  # fmt: skip
    with pytest.raises(InputError, match="on the rays"):
        RayData(window.projector, window.values[:, 1:], window.weight)
    with pytest.raises(InputError, match="weight must"):
        RayData(window.projector, window.values, -window.weight)
    with pytest.raises(InputError, match="values must be numbers"):
        RayData(window.projector, window.values * np.float32(np.nan), window.weight)
    with pytest.raises(InputError, match="without NaN"):
        left_out_per_um(np.full((8, 8, 1), np.nan), factor=2, step_um=1.0)
    with pytest.raises(InputError, match="one number per pixel size"):
        model_error_variance(window.projector, [1.0])
