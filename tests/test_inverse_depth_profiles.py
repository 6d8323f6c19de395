"""Profiles by depth: planted laws come back, uncertainties are what they say."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from inverse.depth_blur import blur_sigma_um
from inverse.depth_profiles import DepthAverages, depth_profiles, scale_of_halves
from inverse.reconstruct import filtered_back_projection
from inverse.region_settings import Regions
from inverse.segment import particles_of
from inverse.voxel_correlation import correlation_kernel, covariance_of_sums
from xrdct.errors import InputError

N = 41
LINE = np.arange(N) - 0.5 * (N - 1)
SIGMA_1E8 = 5.73


def discs(*circles, n=N, finer=16):
    """Shares of voxels in discs (x, y, radius), of one voxel's side as the unit."""
    fine = (np.arange(finer * n) + 0.5) / finer - 0.5 * n
    solid = np.zeros((fine.size, fine.size), bool)
    for x, y, radius in circles:
        solid |= np.hypot(fine - x, fine[:, None] - y) < radius
    return solid.reshape(n, finer, n, finer).mean(axis=(1, 3))


@lru_cache(maxsize=4)
def particles(*circles):
    amount = discs(*circles)
    return particles_of(
        amount, measured=np.ones(amount.shape, bool), step_um=1.0, settings=Regions(threshold=0.5)
    )


def depth_in(x, y, radius):
    return radius - np.hypot(LINE - x, LINE[:, None] - y)


ONE = ((0.2, -0.3, 9.0),)


def test_a_constant_map_has_a_ratio_of_exactly_one():
    # Law: whatever the voxels that count, the mean of a constant is it.
    for settings in (
        DepthAverages(), DepthAverages(voxels="inner"), DepthAverages(edges_um=(0.0, 2.5, 20.0)),
        DepthAverages(weights="amount"), DepthAverages(blur_um=0.6, correct_blur=True),
    ):  # fmt: skip
        (profile,) = depth_profiles(
            np.full((N, N), 8.2134567), particles=particles(*ONE), step_um=1.0,
            amount=discs(*ONE), settings=settings,
        )  # fmt: skip
        assert np.all(profile.ratio == 1.0)
        assert profile.slope_per_um == 0.0
        assert np.all(np.isnan(profile.esd))


def test_a_straight_law_of_depth_comes_back():
    # Closed form: a = a0 + g d has the slope g, and the mean of each shell is at its mean depth.
    # Depths are known to the fine grid, a tenth of a voxel.
    a_A = 8.2 + 0.002 * depth_in(*ONE[0])
    (profile,) = depth_profiles(a_A, particles=particles(*ONE), step_um=1.0)
    assert profile.slope_per_um == pytest.approx(0.002, rel=0.03)
    assert profile.core_minus_surface == pytest.approx(0.018, rel=0.05)
    np.testing.assert_allclose(profile.value, 8.2 + 0.002 * profile.depth_um, atol=2.5e-4)
    inside = particles(*ONE).label == 0
    assert profile.mean == pytest.approx(a_A[inside].mean(), abs=1e-12)
    np.testing.assert_array_equal(profile.edges_um[:, 0], np.arange(len(profile.value)))
    assert profile.n_voxels.sum() <= inside.sum()


def test_shells_hold_the_voxels_between_their_depths():
    # By the definition, voxel by voxel.
    a_A = 8.2 + 0.01 * np.random.default_rng(1).standard_normal((N, N))
    own = particles(*ONE)
    (profile,) = depth_profiles(
        a_A, particles=own, step_um=1.0, settings=DepthAverages(fewest_voxels=1)
    )
    shell = np.floor(own.depth_um)
    means = [a_A[shell == k].mean() for k in range(len(profile.value))]
    np.testing.assert_allclose(profile.value, means, atol=1e-12)
    np.testing.assert_allclose(profile.ratio, means / a_A[own.label == 0].mean(), atol=1e-12)


def test_a_quarter_turn_changes_nothing():
    # Law: nothing distinguishes directions.
    rng = np.random.default_rng(2)
    a_A = 8.2 + 0.01 * rng.standard_normal((N, N))
    esd = 0.01 * (1.0 + rng.random((N, N)))
    own = particles(*ONE)
    turned = replace(
        own, label=np.rot90(own.label), depth_um=np.rot90(own.depth_um), fine=np.rot90(own.fine),
        fine_depth_um=np.rot90(own.fine_depth_um),
    )  # fmt: skip
    settings = DepthAverages(blur_um=0.6, correct_blur=True)
    (one,) = depth_profiles(a_A, particles=own, step_um=1.0, esd=esd, settings=settings)
    (two,) = depth_profiles(
        np.rot90(a_A), particles=turned, step_um=1.0, esd=np.rot90(esd), settings=settings
    )
    for name in ("value", "esd", "ratio", "ratio_esd_total"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-9)
    assert one.slope_per_um == pytest.approx(two.slope_per_um)


def blurred_case(sigma):
    """A straight law in one disc, a neighbour 0.05 above it, seen with a Gaussian blur."""
    circles, finer = ((-5.0, 0.0, 8.0), (7.0, 0.0, 3.6)), 8
    fine = (np.arange(finer * N) + 0.5) / finer - 0.5 * N
    weight, moment = np.zeros((2, fine.size, fine.size))
    for (x, y, radius), base, slope in zip(circles, (8.2, 8.25), (0.003, 0.0), strict=True):
        d = radius - np.hypot(fine - x, fine[:, None] - y)
        weight += d > 0.0
        moment += (d > 0.0) * (base + slope * d)
    middle = finer // 2
    parts = []
    for image in (weight, moment):
        spread = gaussian_filter(image, sigma * finer)
        # A voxel's middle is the corner of four fine pixels.
        parts.append(
            0.25 * sum(
                spread[middle - a :: finer, middle - b :: finer][:N, :N]
                for a in (0, 1) for b in (0, 1)
            )
        )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(parts[0] > 0.02, parts[1] / parts[0], np.nan), particles(*circles)


def test_a_known_blur_is_taken_off():
    # Closed form: without blur a shell has a0 + g·d̄ (d̄ its mean depth). With it the outermost is
    # off by g·σ²·ln 2 or so; the correction is exact for straight laws, but for where the surface
    # is seen, to a tenth of a voxel.
    sigma = 0.6
    a_A, own = blurred_case(sigma)
    number = int(np.argmax(own.area_um2))
    found = []
    for settings in (DepthAverages(), DepthAverages(blur_um=sigma, correct_blur=True)):
        profiles = depth_profiles(a_A, particles=own, step_um=1.0, settings=settings)
        profile = next(p for p in profiles if p.particle == number)
        found.append(np.abs(profile.value - (8.2 + 0.003 * profile.depth_um))[0])
    assert found[0] > 5e-4
    assert found[1] < 0.3 * found[0]


def test_blur_that_is_left_in_adds_to_the_total_uncertainty():
    # By the definition: all of what the correction would change, in quadrature.
    a_A, own = blurred_case(0.6)
    esd = np.full((N, N), 1e-4)
    common = {"particles": own, "step_um": 1.0, "esd": esd}
    plain = depth_profiles(a_A, **common)[0]
    left = depth_profiles(a_A, settings=DepthAverages(blur_um=0.6), **common)[0]
    mended = depth_profiles(a_A, settings=DepthAverages(blur_um=0.6, correct_blur=True), **common)[
        0
    ]
    np.testing.assert_array_equal(plain.esd, plain.esd_total)
    np.testing.assert_array_equal(plain.value, left.value)
    change = mended.value - left.value
    np.testing.assert_allclose(left.esd_total, np.hypot(left.esd, change))
    np.testing.assert_allclose(mended.esd_total, np.hypot(mended.esd, 0.5 * change))


@lru_cache(maxsize=1)
def noise_images(n_images=1500):
    """Back projections of white noise, (image, y, x), and their standard deviation by voxel."""
    n_angles, n_offsets = 90, 61
    rng = np.random.default_rng(7)
    rays = rng.standard_normal((n_angles, n_offsets, n_images)).astype(np.float32)
    images = filtered_back_projection(
        rays, angles_rad=np.arange(n_angles) * np.pi / n_angles, step_um=1.0
    ).values
    edge = (n_offsets - N) // 2
    images = np.moveaxis(images[edge:-edge, edge:-edge], 2, 0).astype(float)
    return images, images.std(axis=0)


def test_means_of_shells_scatter_by_their_uncertainty():
    # Statistics: back projected white noise on a known profile, 1500 draws. The scatter over esd of
    # a normal quantity has the standard error 1/√(2n), times 5.73 for 1e-8: 0.105. To that comes
    # what the correlation leaves out, the finite number of angles and offsets: 0.12.
    images, esd = noise_images()
    circle = (3.2, -2.3, 9.0)
    own = particles(circle)
    a_A = 8.2 + 0.002 * depth_in(*circle)
    drawn = [
        depth_profiles(a_A + 1e-3 * image, particles=own, step_um=1.0, esd=1e-3 * esd)[0]
        for image in images
    ]
    bound = SIGMA_1E8 / np.sqrt(2.0 * len(images)) + 0.12
    for name, esd_name in (("value", "esd"), ("ratio", "ratio_esd"), ("slope_per_um",
                           "slope_esd_per_um"), ("mean", "mean_esd")):  # fmt: skip
        values = np.array([getattr(p, name) for p in drawn])
        assert np.all(np.abs(values.std(axis=0) / getattr(drawn[0], esd_name) - 1.0) < bound), name


def test_taking_voxels_as_independent_is_wrong_by_as_much_as_is_said():
    # Law, by the same images: the mean of a disc of noise is more certain than of independent
    # voxels, the reason for the correlation.
    images, esd = noise_images()
    inside = (particles(*ONE).label == 0).astype(float)
    weights = (inside / inside.sum())[None]
    scatter = (images * weights).sum(axis=(1, 2)).std()
    found = {
        name: float(np.sqrt(
            covariance_of_sums(weights, esd=esd, correlation=name, step_um=1.0)[0, 0]
        ))
        for name in ("ramp", "none")
    }  # fmt: skip
    assert scatter < 0.75 * found["none"]
    assert abs(scatter / found["ramp"] - 1.0) < SIGMA_1E8 / np.sqrt(2.0 * len(images)) + 0.12


def test_a_gaussian_correlation_of_a_given_length():
    # Closed form: ρ = exp(−r²/2ℓ²), and the variance of a sum of two voxels.
    kernel = correlation_kernel(2.0, step_um=0.5, reach=3)
    assert kernel[3, 3] == 1.0
    assert kernel[3, 5] == pytest.approx(np.exp(-0.5 * 0.5**2))
    weights = np.zeros((1, 5, 5))
    weights[0, 2, 1:3] = 1.0
    found = covariance_of_sums(weights, esd=np.full((5, 5), 2.0), correlation=1.0, step_um=1.0)
    assert found[0, 0] == pytest.approx(4.0 * (2.0 + 2.0 * np.exp(-0.5)))


def test_halves_tell_how_much_larger_errors_are():
    # Statistics: errors k times as large as stated give k, within 5.73/√(2n) of it for n shells,
    # which here are nearly independent; shells share rays, which doubles what is allowed.
    images, esd = noise_images()
    own = particles(*ONE)
    a_A = np.full((N, N), 8.2)
    profiles = depth_profiles(a_A, particles=own, step_um=1.0, esd=1e-3 * esd)
    scales = [scale_of_halves(3e-3 * image, profiles=profiles, particles=own)
              for image in images[:200]]  # fmt: skip
    n = 200 * len(profiles[0].value)
    assert np.sqrt(np.mean(np.square(scales))) == pytest.approx(
        3.0, rel=2.0 * SIGMA_1E8 / np.sqrt(2.0 * n) + 0.12
    )


def test_voxels_near_another_particle_can_be_left_out():
    # By the rule: nothing within 2 µm of the neighbour counts, everything else does.
    circles = ((-5.0, 0.0, 8.0), (7.0, 0.0, 3.6))
    own = particles(*circles)
    a_A = np.full((N, N), 8.2)
    number = int(np.argmax(own.area_um2))
    near = (own.label == number) & (np.hypot(LINE - 7.0, LINE[:, None]) < 3.6 + 1.5)
    assert near.any()
    a_A[near] = 9.0
    settings = DepthAverages(clear_of_others_um=2.0)
    profile = depth_profiles(a_A, particles=own, step_um=1.0, settings=settings)[number]
    np.testing.assert_allclose(profile.value, 8.2, atol=1e-12)


def test_particles_that_are_cut_or_small_have_no_profile():
    # By the rules.
    circles = ((-12.0, 0.0, 9.5), (8.0, 0.0, 1.2), (6.0, 10.0, 5.0))
    profiles = depth_profiles(np.full((N, N), 8.2), particles=particles(*circles), step_um=1.0)
    assert len(profiles) == 1


def test_blur_of_back_projection():
    # Closed form: variance of the beam's Gaussian, and of the triangle of linear interpolation.
    assert blur_sigma_um(2.0, step_um=1.0) == pytest.approx(np.sqrt(4 / (8 * np.log(2)) + 1 / 6))


def test_hostile_inputs_are_refused():
    own, a_A = particles(*ONE), np.full((N, N), 8.2)
    with pytest.raises(InputError, match=r"esd must have the shape \(41, 41\)"):
        depth_profiles(a_A, particles=own, step_um=1.0, esd=a_A[1:])
    with pytest.raises(InputError, match="needs a map of amounts"):
        depth_profiles(a_A, particles=own, step_um=1.0, settings=DepthAverages(weights="amount"))
    with pytest.raises(InputError, match="correlation must be"):
        depth_profiles(
            a_A, particles=own, step_um=1.0, esd=a_A, settings=DepthAverages(correlation="rampe")
        )
    with pytest.raises(InputError, match="positive length"):
        correlation_kernel(-1.0, step_um=1.0, reach=2)
    with pytest.raises(InputError, match="no shell"):
        scale_of_halves(a_A, profiles=(), particles=own)
    with pytest.raises(InputError, match="no voxel of particle 0"):
        depth_profiles(
            a_A, particles=own, step_um=1.0, settings=DepthAverages(edges_um=(30.0, 40.0))
        )
    with pytest.raises(ValidationError, match="depth_edges_um"):
        DepthAverages(edges_um=(2.0, 1.0))
