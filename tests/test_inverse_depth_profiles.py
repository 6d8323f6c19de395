"""Profiles by depth: planted laws come back, uncertainties are what they say."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from inverse.depth_blur import blur_sigma_um
from inverse.depth_profiles import DepthAverages, depth_profiles, scale_of_halves
from inverse.reconstruct import filtered_back_projection
from inverse.region_settings import Regions
from inverse.segment import Particles, particles_of
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


def seen_through(sigma, own, laws):
    """A map of laws (base, slope by depth) of every particle, blurred on its own fine grid."""
    inside = own.fine >= 0
    base, slope = np.transpose(laws)
    law = np.where(inside, base[own.fine] + slope[own.fine] * own.fine_depth_um, 0.0)
    middle = (slice(own.finer // 2, None, own.finer),) * 2
    moment, weight = (
        gaussian_filter(image, sigma * own.finer, mode="constant")[middle]
        for image in (law, inside.astype(float))
    )
    return moment / np.maximum(weight, 1e-12)


TOUCHING = ((-5.0, 0.0, 8.0), (7.0, 0.0, 3.6))


def blurred_touching(sigma=0.6):
    """A straight law in the larger of two particles, a neighbour 0.05 above it of known mean."""
    own = particles(*TOUCHING)
    number = int(np.argmax(own.area_um2))
    laws = [(8.25, 0.0)] * 2
    laws[number] = (8.2, 0.003)
    a_A = seen_through(sigma, own, laws)
    return np.where(own.label == 1 - number, 8.25, a_A), own, number


def test_a_known_blur_is_taken_off():
    # Law: the inverse of the same blur on the same grid, exact for straight laws and neighbours of
    # a known mean; without blur a shell has a0 + g·d̄, d̄ its mean depth.
    a_A, own, number = blurred_touching()
    found = [
        depth_profiles(a_A, particles=own, step_um=1.0, settings=settings, only=(number,))[0]
        for settings in (DepthAverages(), DepthAverages(blur_um=0.6, correct_blur=True))
    ]
    true = 8.2 + 0.003 * found[0].depth_um
    assert np.abs(found[0].value - true).max() > 1e-4
    np.testing.assert_allclose(found[1].value, true, atol=1e-11)
    assert found[1].slope_per_um == pytest.approx(0.003, rel=1e-9)


def strip(half_width):
    """One particle between two straight lines x = ±half_width, as a segmentation has it."""
    finer = 5
    fine = (np.arange(finer * N) + 0.5) / finer - 0.5 * N
    fine_depth = np.broadcast_to(np.maximum(half_width - np.abs(fine), 0.0), (fine.size,) * 2)
    depth = np.broadcast_to(half_width - np.abs(LINE), (N, N))
    return Particles(
        label=np.where(depth > 0.0, 0, -1), depth_um=np.where(depth > 0.0, depth, np.nan),
        area_um2=np.array([2.0 * half_width * N]), whole=np.array([True]),
        fine=np.where(fine_depth > 0.0, 0, -1), fine_depth_um=fine_depth, finer=finer,
    )  # fmt: skip


def test_blur_of_a_strip_is_taken_off():
    # By quadrature on a grid a thousand times finer than voxels: the blurred law of a strip with
    # straight borders. The correction's grid has steps h of a fifth of a voxel, whose sums err the
    # most at the kink in the strip's middle: by g·h²/4 times the Gaussian's height 1/(σ√(2π)). For
    # shells one voxel thick M has c = E(1 − |z|)₊ on its diagonal, z normal of σ voxels, and 1 − c
    # beside it, so that M⁻¹ amplifies by no more than 1/(2c − 1) (Varah 1975).
    sigma, g, half_width = 0.6, 0.003, 8.3
    own = strip(half_width)
    t = (np.arange(16600) + 0.5) * 1e-3 - half_width
    kernel = np.exp(-0.5 * ((LINE[:, None] - t) / sigma) ** 2)
    law = 8.2 + g * (half_width - np.abs(t))
    a_A = np.broadcast_to(kernel @ law / np.maximum(kernel.sum(axis=1), 1e-30), (N, N))
    c = 2.0 * norm.cdf(1.0 / sigma) - 1.0
    c -= sigma * np.sqrt(2.0 / np.pi) * (1.0 - np.exp(-0.5 / sigma**2))
    tolerance = g * 0.2**2 / 4.0 / (sigma * np.sqrt(2.0 * np.pi)) / (2.0 * c - 1.0)
    plain, mended = (
        depth_profiles(a_A, particles=own, step_um=1.0, settings=settings)[0]
        for settings in (DepthAverages(), DepthAverages(blur_um=sigma, correct_blur=True))
    )
    true = 8.2 + g * plain.depth_um
    assert np.abs(plain.value - true).max() > 5.0 * tolerance
    np.testing.assert_allclose(mended.value, true, atol=tolerance)


@pytest.mark.parametrize("correct", [False, True])
def test_a_blurred_slope_lies_within_its_total_uncertainty(correct):
    # Closed form: blur moves the slope by b, which the correction of an exact map finds (the tests
    # above). Noise n of an esd s = |b|/10 is added. Left in, the error is b + n, and esd_total is
    # √(s² + (b + n′)²) with the noise n′ that the correction adds, of an esd of about s/2, as
    # corrected slopes have one of 1.1 s: √(1.1² − 1). The error exceeds 2 esd_total only where
    # |n − 2n′| > 10 s, seven times its esd of √2 s; it is more than 4 s but for |n| > 6 s.
    # Corrected, the error n + n′ has an esd of 1.1 s, and half of |b + n′| is near 5 s: it exceeds
    # twice that at nine esds. All these are rarer than 1e-8.
    a_A, own, number = blurred_touching()
    settings = DepthAverages(blur_um=0.6, correct_blur=correct, correlation="none")
    (exact,) = depth_profiles(
        a_A, particles=own, step_um=1.0, esd=np.full((N, N), 1e-3), only=(number,),
        settings=settings.model_copy(update={"correct_blur": False}),
    )  # fmt: skip
    b = abs(exact.slope_per_um - 0.003)
    assert np.hypot(exact.slope_esd_per_um, b) == pytest.approx(exact.slope_esd_total_per_um)
    esd = np.full((N, N), 1e-3 * 0.1 * b / exact.slope_esd_per_um)
    rng = np.random.default_rng(3)
    for _ in range(20):
        (found,) = depth_profiles(
            a_A + esd * rng.standard_normal((N, N)), particles=own, step_um=1.0, esd=esd,
            settings=settings, only=(number,),
        )  # fmt: skip
        error = abs(found.slope_per_um - 0.003)
        assert error <= 2.0 * found.slope_esd_total_per_um
        if correct:
            assert error < SIGMA_1E8 * found.slope_esd_per_um
            assert found.slope_esd_total_per_um > found.slope_esd_per_um
        else:
            assert error > 4.0 * found.slope_esd_per_um
        deepest = found.core_minus_surface / found.slope_per_um
        assert found.core_minus_surface_esd_total == pytest.approx(
            deepest * found.slope_esd_total_per_um
        )


def test_blur_that_is_left_in_adds_to_the_total_uncertainty():
    # By the definition: all of what the correction would change, in quadrature.
    a_A, own, number = blurred_touching()
    esd = np.full((N, N), 1e-4)
    common = {"particles": own, "step_um": 1.0, "esd": esd, "only": (number,)}
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
    rise = mended.slope_per_um - left.slope_per_um
    assert plain.slope_esd_total_per_um == plain.slope_esd_per_um
    for found, part in ((left, 1.0), (mended, 0.5)):
        assert found.slope_esd_total_per_um == pytest.approx(
            np.hypot(found.slope_esd_per_um, part * rise)
        )


PHASES = 30


@lru_cache(maxsize=1)
def noise_images(per_phase=50):
    """Back projections of white noise, (image, y, x), and their standard deviation, (y, x).

    The correlation that is taken for granted is the mean over where a voxel's middle falls between
    two rays. With every angle that changes, but near the axis little; so the axis is moved through
    all such phases. Angles are enough up to radii of 90/π voxels, 29.
    """
    rng = np.random.default_rng(7)
    angles_rad = np.arange(90) * np.pi / 90
    images = np.concatenate([
        np.moveaxis(filtered_back_projection(
            rng.standard_normal((90, 91, per_phase)).astype(np.float32), angles_rad=angles_rad,
            step_um=1.0, axis_offset_um=(phase + 0.5) / PHASES - 0.5, size=N,
        ).values, 2, 0) for phase in range(PHASES)
    ]).astype(float)  # fmt: skip
    return images, np.full((N, N), np.sqrt(np.mean(images**2)))


CORRECTED = DepthAverages(blur_um=0.59, correct_blur=True)


@pytest.mark.parametrize("settings", [DepthAverages(), CORRECTED])
def test_results_scatter_by_their_uncertainty(settings):
    # Statistics: back projected white noise on a known profile, n draws. The scatter over esd of a
    # normal quantity has the standard error 1/√(2n), times 5.73 for 1e-8. Where blur is corrected
    # the noise that this amplifies must be in the esds, or they were 1.6 to 2.9 times too small.
    images, esd = noise_images()
    images = images[:: 3 if settings.correct_blur else 1]
    circle = (3.2, -2.3, 9.0)
    own = particles(circle)
    a_A = 8.2 + 0.002 * depth_in(*circle)
    drawn = [
        depth_profiles(
            a_A + 1e-3 * image, particles=own, step_um=1.0, esd=1e-3 * esd, settings=settings
        )[0]
        for image in images
    ]
    bound = SIGMA_1E8 / np.sqrt(2.0 * len(images))
    for name, esd_name in (
        ("value", "esd"), ("ratio", "ratio_esd"), ("slope_per_um", "slope_esd_per_um"),
        ("mean", "mean_esd"), ("core_minus_surface", "core_minus_surface_esd"),
    ):  # fmt: skip
        values = np.array([getattr(p, name) for p in drawn])
        assert np.all(np.abs(values.std(axis=0) / getattr(drawn[0], esd_name) - 1.0) < bound), name


def test_correction_costs_noise_in_shells_and_hardly_any_in_the_slope():
    # By the figures that the module states, from the covariance alone.
    own, esd = particles((3.2, -2.3, 9.0)), np.ones((N, N))
    a_A = np.full((N, N), 8.2)
    (plain,) = depth_profiles(a_A, particles=own, step_um=1.0, esd=esd)
    (mended,) = depth_profiles(a_A, particles=own, step_um=1.0, esd=esd, settings=CORRECTED)
    cost = mended.esd / plain.esd
    assert 1.5 < cost[0] < 1.8
    assert np.all((cost[1:] > 2.0) & (cost[1:] < 3.0))
    assert 1.05 < mended.slope_esd_per_um / plain.slope_esd_per_um < 1.2
    neighbours = np.diag(mended.covariance, 1) / (mended.esd[1:] * mended.esd[:-1])
    np.testing.assert_allclose(neighbours, -0.7, atol=0.05)


def test_taking_voxels_as_independent_is_wrong_by_as_much_as_is_said():
    # Law, by the same images: the mean of a disc of noise is more certain than of independent
    # voxels, the reason for the correlation, by as much as that says; both within 5.73/√(2n).
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
    bound = SIGMA_1E8 / np.sqrt(2.0 * len(images))
    assert scatter < (1.0 - bound) * found["none"]
    assert abs(scatter / found["ramp"] - 1.0) < bound


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
    # Statistics: errors k times as large as stated give k. The mean of z² over K shells, of
    # correlations ρ, has the variance 2·Σρ²/K²; over n images that is divided by n, and half the
    # relative error of a square is that of its root. Ten images of every phase.
    images, esd = noise_images()
    own = particles(*ONE)
    profiles = depth_profiles(np.full((N, N), 8.2), particles=own, step_um=1.0, esd=1e-3 * esd)
    scales = [
        scale_of_halves(3e-3 * image, profiles=profiles, particles=own) for image in images[::5]
    ]
    (profile,) = profiles
    correlation = profile.covariance / np.outer(profile.esd, profile.esd)
    error = 0.5 * np.sqrt(2.0 * np.mean(correlation**2) / len(scales))
    found = np.sqrt(np.mean(np.square(scales)))
    assert found == pytest.approx(3.0, rel=SIGMA_1E8 * error)


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
    # Voxel by voxel: middles of voxels, less the half of one to the border.
    places = [np.argwhere(own.label == n) for n in (number, 1 - number)]
    away = np.hypot(*np.moveaxis(places[0][:, None] - places[1], 2, 0)).min(axis=1) - 0.5
    (counted,) = depth_profiles(
        a_A, particles=own, step_um=1.0, only=(number,),
        settings=DepthAverages(clear_of_others_um=2.0, edges_um=(0.0, 99.0)),
    )  # fmt: skip
    assert counted.n_voxels == [np.sum(away >= 2.0)]


def test_the_mean_is_of_all_voxels_whatever_the_depths():
    # Law: LPmean and its esd are those of the particle, and so are ratio and esd of a shell that
    # two choices of depths share; shells asked for are told of, others are not.
    rng = np.random.default_rng(5)
    a_A, esd = 8.2 + 0.01 * rng.standard_normal((N, N)), 0.01 * (1.0 + rng.random((N, N)))
    own = particles(*ONE)
    whole, *parts = (
        depth_profiles(
            a_A, particles=own, step_um=1.0, esd=esd, settings=DepthAverages(edges_um=edges)
        )[0]
        for edges in (None, (0.0, 1.0), (2.0, 3.0, 4.0))
    )
    inside = own.label == 0
    assert whole.mean == pytest.approx(a_A[inside].mean(), abs=1e-13)
    for part, shells in zip(parts, (slice(0, 1), slice(2, 4)), strict=True):
        np.testing.assert_array_equal(part.edges_um, whole.edges_um[shells])
        assert part.mean == pytest.approx(whole.mean, abs=1e-13)
        assert part.mean_esd == pytest.approx(whole.mean_esd)
        np.testing.assert_allclose(part.ratio, whole.ratio[shells], rtol=1e-13)
        np.testing.assert_allclose(part.ratio_esd, whole.ratio_esd[shells])
    assert np.isnan(parts[0].slope_per_um)
    rise = np.diff(whole.value[2:4]) / np.diff(whole.depth_um[2:4])
    assert parts[1].slope_per_um == pytest.approx(rise[0])


def test_particles_too_shallow_for_the_depths_asked_for_are_left_out():
    # By the rule: the smaller of two ends at 3.6 µm.
    own = particles(*TOUCHING)
    profiles = depth_profiles(
        np.full((N, N), 8.2), particles=own, step_um=1.0,
        settings=DepthAverages(edges_um=(5.0, 7.0), blur_um=0.6, correct_blur=True),
    )  # fmt: skip
    assert [p.particle for p in profiles] == [int(np.argmax(own.area_um2))]
    assert profiles[0].ratio == pytest.approx([1.0], abs=1e-12)


def test_particles_that_are_wanted_have_the_profiles_they_have_among_all():
    # Law: what is computed has no part in what is found, neighbours that mix included.
    a_A, own, _ = blurred_touching()
    settings = DepthAverages(blur_um=0.6, correct_blur=True)
    common = {"particles": own, "step_um": 1.0, "settings": settings}
    both = depth_profiles(a_A, **common)
    assert len(both) == 2
    for profile in both:
        (alone,) = depth_profiles(a_A, only=(profile.particle,), **common)
        np.testing.assert_array_equal(alone.value, profile.value)
    assert depth_profiles(a_A, only=(), **common) == ()
    with pytest.raises(InputError, match="less than 2, not 2"):
        depth_profiles(a_A, only=(0, 2), **common)


def test_particles_that_are_cut_or_small_have_no_profile():
    # By the rules.
    circles = ((-12.0, 0.0, 9.5), (8.0, 0.0, 1.2), (6.0, 10.0, 5.0))
    own = particles(*circles)
    number = own.label[N // 2 + 10, N // 2 + 6]
    for only in (None, range(3), (number,)):
        profiles = depth_profiles(np.full((N, N), 8.2), particles=own, step_um=1.0, only=only)
        assert [profile.particle for profile in profiles] == [number]


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
    with pytest.raises(ValidationError, match="depth_edges_um"):
        DepthAverages(edges_um=(2.0, 1.0))
