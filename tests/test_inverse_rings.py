"""Lines through the ring between two circles, and its patterns as other scans see them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.parallax_shift import (
    NODE_CHANNELS,
    channel_edges,
    covered_channels,
    displaced_two_theta_rad,
    displacement_matrix,
    displacement_nodes_um,
)
from inverse.ray_sums import RayGeometry, RingGrid, add_ray_sums
from inverse.rings import Ring, add_ring, add_ring_variance, rays_of, ring_of
from tests.sinograms import DISTANCE_M, SINGLE, WIDTH_RAD, chord_in, sinogram
from xrdct.errors import InputError


def ray_sums(image, *, grid, angles, offsets, nodes=None):
    target = np.zeros((len(angles), len(offsets), image.shape[2]), np.float32)
    add_ray_sums(
        target, image, grid=grid, rays=RayGeometry(np.array(angles), np.array(offsets)),
        factor=1.0, nodes_um=nodes,
    )  # fmt: skip
    return target


# --- line integrals through a ring ---


@given(
    angle=st.floats(-7.0, 7.0),
    inner=st.floats(0.0, 250.0),
    step=st.floats(5.0, 40.0),
    n_nodes=st.integers(1, 5),
)
def test_a_uniform_ring_is_crossed_over_its_exact_length(angle, inner, step, n_nodes):
    """Closed form: chord of the outer circle less chord of the inner one, at any offset.

    Tolerance: single precision over the weights, which add up to at most 600 µm.
    """
    size = int(np.ceil(600.0 / step)) + 3
    grid = RingGrid(size, step, inner, 300.0)
    offsets = np.linspace(-310.0, 310.0, 63)
    nodes = np.linspace(-300.0, 300.0, n_nodes) if n_nodes > 1 else None
    image = np.ones((n_nodes, size * size, 1), np.float32)
    found = ray_sums(image, grid=grid, angles=[angle], offsets=offsets, nodes=nodes)[0, :, 0]
    expected = chord_in(300.0, offsets) - chord_in(inner, offsets)
    np.testing.assert_allclose(found, expected, atol=32 * SINGLE * 600.0)


def test_rings_that_share_a_circle_count_nothing_twice():
    """Law: inner disc and outer ring add up to the whole disc, for any image."""
    rng = np.random.Generator(np.random.Philox(1))
    image = rng.normal(size=(3, 31 * 31, 70)).astype(np.float32)
    scan = {"angles": rng.uniform(-7, 7, 9), "offsets": np.linspace(-160.0, 160.0, 97)}
    nodes = np.linspace(-150.0, 150.0, 3)
    parts = [
        ray_sums(image, grid=RingGrid(31, 10.0, *radii), nodes=nodes, **scan)
        for radii in ((0.0, 61.7), (61.7, 150.0), (0.0, 150.0))
    ]
    scale = 300.0 * np.abs(image).max()
    np.testing.assert_allclose(parts[0] + parts[1], parts[2], atol=64 * SINGLE * scale)


@pytest.mark.parametrize("step", [20.0, 10.0])
def test_fine_rays_see_coarse_pixels_as_what_they_stand_for(step):
    """Closed form of a Gaussian's projections, σ√(2π)·exp(−(t − t₀)²/2σ²), at 1 µm steps.

    Linear interpolation across rays errs by at most (step²/8)·max|f″| along each, in sum
    step²·√(2π)/(8σ); along the ray, as much again at most.
    """
    sigma, x, y = 60.0, 110.0, -70.0
    size = round(800.0 / step) + 1
    place = (np.arange(size) - 0.5 * (size - 1)) * step
    image = np.exp(-0.5 * ((place - x) ** 2 + (place[:, None] - y) ** 2) / sigma**2)
    angles, offsets = np.linspace(0.0, 3.0, 13), np.arange(-150.0, 151.0)
    found = ray_sums(
        image.reshape(1, -1, 1), grid=RingGrid(size, step, 0.0, 400.0), angles=angles,
        offsets=offsets,
    )[..., 0]  # fmt: skip
    middle = x * np.cos(angles) + y * np.sin(angles)
    exact = sigma * np.sqrt(2 * np.pi) * np.exp(-0.5 * ((offsets - middle[:, None]) / sigma) ** 2)
    assert np.abs(found - exact).max() < 2 * step**2 * np.sqrt(2 * np.pi) / (8 * sigma)


def test_threads_change_no_bit():
    """Law: a ray is summed by one thread, in one order."""
    rng = np.random.Generator(np.random.Philox(2))
    image = rng.normal(size=(2, 441, 130)).astype(np.float32)
    found = []
    for workers in (1, 3):
        target = np.zeros((11, 21, 130), np.float32)
        add_ray_sums(
            target, image, grid=RingGrid(21, 5.0, 12.0, 48.0), factor=-2.0, workers=workers,
            rays=RayGeometry(np.arange(11.0), np.linspace(-50, 50, 21)),
            nodes_um=np.array([-48.0, 48.0]),
        )  # fmt: skip
        found.append(target)
    np.testing.assert_array_equal(*found)


# --- patterns displaced along the beam, and on other channels ---


def gaussian_line(two_theta, centre, sigma):
    return np.exp(-0.5 * ((two_theta - centre) / sigma) ** 2)


@given(displacement=st.floats(-2000.0, 2000.0), centre=st.floats(20.0, 76.0))
def test_a_line_moves_to_where_geometry_puts_it(displacement, centre):
    """Closed form: v′(2θ′) = v(2θ)·d2θ/d2θ′ with tan2θ′ = tan2θ·(1 − s/D).

    A cubic spline through the sums errs by at most (5/384)·h⁴·max|v‴| (de Boor), so a channel by
    twice that over h; a Gaussian of σ = 2h has max|v‴| = 1.38/σ³. Point values stand for means
    over channels to h²/24·max|v″| on either side.
    """
    two_theta = np.deg2rad(9.0) + WIDTH_RAD * np.arange(96)
    place, sigma = two_theta[0] + centre * WIDTH_RAD, 2.0 * WIDTH_RAD
    matrix = displacement_matrix(
        two_theta, onto_rad=two_theta, measured=np.ones(96, bool), displacement_um=displacement,
        distance_m=DISTANCE_M,
    )  # fmt: skip
    found = matrix @ gaussian_line(two_theta, place, sigma)
    closer = 1.0 - 1e-6 * displacement / DISTANCE_M
    true = np.arctan(np.tan(two_theta) / closer)
    jacobian = (np.cos(true) / np.cos(two_theta)) ** 2 / closer
    expected = gaussian_line(true, place, sigma) * jacobian
    tolerance = 2 * (5 / 384) * 1.38 / 8.0 + 2 * (1 / 24) / 4.0
    assert np.abs(found - expected).max() < tolerance


@given(
    displacement=st.floats(-2000.0, 2000.0),
    n_onto=st.integers(20, 200),
    seed=st.integers(0, 99),
)
def test_photons_are_kept_on_other_channels(displacement, n_onto, seed):
    """Law: the integral over all channels stays, for any pattern with empty ends."""
    two_theta = np.deg2rad(5.0) + WIDTH_RAD * np.arange(120)
    span = (two_theta[0] + 5 * WIDTH_RAD, two_theta[-1] - 5 * WIDTH_RAD)
    onto = np.linspace(*span, n_onto)
    pattern = np.random.Generator(np.random.Philox(seed)).uniform(size=120)
    pattern[:20] = pattern[-20:] = 0.0
    matrix = displacement_matrix(
        two_theta, onto_rad=onto, measured=np.ones(120, bool), displacement_um=displacement,
        distance_m=DISTANCE_M,
    )  # fmt: skip
    before = pattern @ np.diff(channel_edges(two_theta))
    after = (matrix @ pattern) @ np.diff(channel_edges(onto))
    # The spline rings into the empty ends by 4⁻¹⁰ and less; single precision of 120 weights.
    assert after == pytest.approx(before, rel=1e-5)


def test_a_channel_that_was_not_measured_is_not_read():
    """Definition: neither a gap's content nor its neighbours across it matter."""
    two_theta = np.deg2rad(5.0) + WIDTH_RAD * np.arange(40)
    measured = np.ones(40, bool)
    measured[[0, 1, 20]] = False
    matrix = displacement_matrix(
        two_theta, onto_rad=two_theta + 0.4 * WIDTH_RAD, measured=measured, displacement_um=300.0,
        distance_m=DISTANCE_M,
    )  # fmt: skip
    assert not matrix[:, ~measured].any()
    assert not matrix[:20, 21:].any()
    assert not matrix[20:, :20].any()
    covered = covered_channels(two_theta, onto_rad=two_theta + 0.4 * WIDTH_RAD, measured=measured)
    np.testing.assert_array_equal(covered, measured)
    # A constant stays the constant it is, at the borders too, but for the stretch of the rings.
    np.testing.assert_allclose(matrix.sum(axis=1)[covered], 1.0, atol=1e-3)


def test_nodes_move_rings_by_less_than_stated():
    """Definition of the nodes, for the outermost channel."""
    two_theta = np.deg2rad(1.5) + WIDTH_RAD * np.arange(1024)
    nodes = displacement_nodes_um(two_theta, reach_um=800.0, distance_m=DISTANCE_M)
    assert nodes[0] == -800.0
    assert nodes[-1] == 800.0
    seen = [
        displaced_two_theta_rad(two_theta[-1], displacement_um=s, distance_m=DISTANCE_M)
        for s in nodes
    ]
    assert np.abs(np.diff(seen)).max() <= 1.01 * NODE_CHANNELS * WIDTH_RAD


# --- variance ---


def test_stated_variance_of_line_integrals():
    """Against 400 repeated scans of independent unit noise; the approximation is said to be 0.95.

    The empirical mean over 60 × 61 correlated rays, some 500 independent ones, each variance known
    to √(2/400) = 7 %, is known to 0.3 %. The interpolation between angles, which the approximation
    leaves out, is allowed 10 %.
    """
    rng = np.random.Generator(np.random.Philox(3))
    coarse = sinogram(rng.normal(size=(81, 81, 400)), step=20.0)
    roi = sinogram(np.zeros((60, 61, 400)), step=5.0)
    ring = ring_of(coarse, inner_um=150.0)
    found, stated = np.zeros(roi.values.shape, np.float32), np.zeros((60, 61, 2), np.float32)
    options = {"rays": rays_of(roi), "onto_rad": roi.two_theta_rad}
    add_ring(found, ring, distance_m=1.0, factor=1.0, parallax=False, **options)
    two = {"values": ring.values[:, :2], "variance": ring.variance[:, :2]}
    few = replace(ring, two_theta_rad=ring.two_theta_rad[:2], measured=ring.measured[:2], **two)
    add_ring_variance(stated, few, rays=rays_of(roi), onto_rad=few.two_theta_rad)
    assert found.var(axis=2).mean() / stated[..., 0].mean() == pytest.approx(0.95, abs=0.1)


def test_variance_on_merged_channels():
    """Closed form: the mean of two independent channels has half the variance of one."""
    two_theta = np.deg2rad(5.0) + WIDTH_RAD * np.arange(12)
    ring = Ring(
        values=np.zeros((71 * 71, 12), np.float32), variance=np.ones((71 * 71, 12), np.float32),
        grid=RingGrid(71, 20.0, 0.0, 700.0), two_theta_rad=two_theta,
        measured=np.ones(12, bool), n_angles=81,
    )  # fmt: skip
    rays = RayGeometry(np.array([0.3]), np.array([-50.0, 20.0]))
    single, merged = np.zeros((1, 2, 12), np.float32), np.zeros((1, 2, 6), np.float32)
    add_ring_variance(single, ring, rays=rays, onto_rad=two_theta)
    pairs = two_theta.reshape(6, 2).mean(axis=1)
    add_ring_variance(merged, ring, rays=rays, onto_rad=pairs)
    np.testing.assert_allclose(merged, 0.5 * single[..., ::2], rtol=1e-4)


def test_what_no_ring_can_be_made_of_is_refused():
    hole = sinogram(np.ones((10, 41, 2)), step=8.0)
    hole.values[3, 4, 1] = np.nan
    with pytest.raises(InputError, match="it has 2 with 1 missing"):
        ring_of(hole, inner_um=0.0)
    with pytest.raises(InputError, match="rising centres"):
        channel_edges(np.array([1.0]))
    with pytest.raises(InputError, match="smaller than the distance"):
        displaced_two_theta_rad(0.1, displacement_um=2e6, distance_m=1.0)
