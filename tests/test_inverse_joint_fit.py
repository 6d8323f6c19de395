"""The joint method: coefficients, weights, smoothing and uncertainties on a planted sample."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from inverse.compression import ray_noise
from inverse.grids import graded_grid
from inverse.joint_basis import model_in, parallax_per_um, strongest_shapes
from inverse.joint_fit import JointFit, joint_fit
from inverse.joint_scans import FINE_REACH, joint_scans, window_grid
from inverse.joint_settings import Joint
from inverse.joint_smoothing import filtered_misfit, smoothing_by_held_out
from inverse.lanes import LANES
from inverse.model import Instrument, chebyshev_background, draw_patterns, lattice_lines
from inverse.parallax_shift import displacement_matrix
from inverse.reach import sample_reach
from inverse.recipe import Calibration, Profile
from inverse.reconstruct import filtered_back_projection
from inverse.refine import LatticeModel, refine
from inverse.sinogram import Sinogram
from inverse.sinogram_refinement import additive_results
from inverse.strips import strip_projector
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=500, two_theta_min_deg=2.5, two_theta_max_deg=8.0)
INSTRUMENT = Instrument(
    BEAM, GEOMETRY, Calibration(profile=Profile(U_deg2=2e-3, W_deg2=5e-4), distance_m=0.7)
)
N_LINEAR = 3
RADIUS_UM = 30.0
N_WINDOW = 25


@lru_cache
def model():
    a_A = 8.10 + 1e-3 * np.arange(181)
    lines = lattice_lines(load_crystal("LiMn2O4"), a_A, beam=BEAM, geometry=GEOMETRY)
    templates = draw_patterns(lines, instrument=INSTRUMENT, crystallite_size_nm=200.0, strain=2e-4)
    linear = chebyshev_background(GEOMETRY.n_channels, n_terms=N_LINEAR)
    return LatticeModel(a_A=a_A, templates=templates, linear=linear)


def planted(x_um, y_um):
    """Amount and lattice parameter at places: discs of 5 to 6 µm radius on a ring and within it,
    20 mÅ from their middle to their edge."""
    amount, a_A = np.zeros(x_um.shape), np.full(x_um.shape, 8.2)
    turns = 2.0 * np.pi * np.arange(9) / 9
    places = [(0.0, 0.5, 5.5), *((22.0 * np.cos(t), 22.0 * np.sin(t), 6.0) for t in turns)]
    places += [(10.5 * np.cos(t + 0.3), 10.5 * np.sin(t + 0.3), 5.0) for t in turns[::2][:4]]
    for k, (cx, cy, radius) in enumerate(places):
        r = np.hypot(x_um - cx, y_um - cy) / radius
        inside = (r < 1.0) & (amount == 0.0)
        amount[inside] = 0.9
        a_A[inside] = 8.19 + 4e-3 * (k % 5) + 0.02 * (1.0 - r[inside] ** 2)
    return amount, a_A


@lru_cache
def exact(n_offsets, step_um, n_angles):
    """Line integrals (angle, offset, channel) of the planted sample from pixels of half a step."""
    grid = graded_grid(2 * N_WINDOW, step_um=0.5, rings=((1, RADIUS_UM),))
    amount, a_A = planted(grid.x_um, grid.y_um)
    number = np.rint((a_A - model().a_A[0]) / 1e-3).astype(int)
    patterns = amount[:, None] * model().templates[number]
    patterns += 0.05 * model().templates.max() * model().linear[0]
    projector = strip_projector(
        grid, angles_rad=angles(n_angles), n_offsets=n_offsets, step_um=step_um, beam_fwhm_um=1.0
    )
    return projector.forward(patterns)


def angles(n_angles):
    return np.pi * np.arange(n_angles) / n_angles


def sinogram(n_offsets, step_um, n_angles, *, noise=0.0, seed=0):
    """The scan with white noise, in units of half a per cent of the strongest line times 10 µm."""
    lines = exact(n_offsets, step_um, n_angles)
    sigma = 0.05 * model().templates.max() * max(noise, 1e-2)
    rng = np.random.Generator(np.random.Philox(seed))
    draws = sigma * rng.standard_normal(lines.shape) if noise > 0.0 else 0.0
    return Sinogram(
        values=(lines + draws).astype(np.float32),
        variance=np.full(lines.shape, sigma**2, np.float32),
        transmission=np.ones(lines.shape[:2]),
        angles_rad=angles(n_angles),
        step_um=step_um,
        axis_offset_um=0.0,
        two_theta_rad=GEOMETRY.two_theta_rad,
        distance_m=0.7,
    )


def window(**noise):
    return sinogram(N_WINDOW, 1.0, 48, **noise)


def coarse(**noise):
    return sinogram(19, 4.0, 24, **noise)


@lru_cache
def shapes(noise=1.0):
    return strongest_shapes(additive_results(window(noise=noise), model=model()), n_linear=N_LINEAR)


def scans(noise=1.0, outer_pixel_steps=2, own=None, width_um=2.0 * RADIUS_UM):
    return joint_scans(
        own or window(noise=noise), others=[coarse(noise=noise, seed=1)], shapes=shapes(noise),
        outer_pixel_steps=outer_pixel_steps, width_um=width_um, beam_fwhm_um=1.0,
    )  # fmt: skip


def turn(noise=1.0):
    return parallax_per_um(shapes(noise), two_theta_rad=GEOMETRY.two_theta_rad, distance_m=0.7)


def fitted(noise=1.0, *, others=True, seed=0, **settings) -> JointFit:
    return joint_fit(
        window(noise=noise, seed=seed), others=[coarse(noise=noise, seed=seed + 1)] * others,
        model=model(), settings=Joint(**settings), beam_fwhm_um=1.0, min_scale=0.05,
        width_um=2.0 * RADIUS_UM,
    )  # fmt: skip


def full_voxels(measured):
    """Voxels whose whole neighbourhood is one disc, (iy, ix), and the lattice in the middle."""
    y, x = np.mgrid[:N_WINDOW, :N_WINDOW] - 0.5 * (N_WINDOW - 1)
    inside = measured.copy()
    for dx, dy in ((0.0, 0.0), (1.2, 0.0), (-1.2, 0.0), (0.0, 1.2), (0.0, -1.2)):
        inside &= planted(x + dx, y + dy)[0] > 0.0
    return inside, planted(x, y)[1]


def spread_out(fit, values):
    image = np.full(fit.measured.shape, np.nan)
    image[fit.measured] = values
    return image


def test_shapes_know_nothing_of_the_background():
    """Definition: orthonormal, whole registers, and orthogonal to the weighted background."""
    found = shapes()
    n = len(found.whitened)
    assert n % LANES == 0
    np.testing.assert_allclose(found.whitened @ found.whitened.T, np.eye(n), atol=1e-9)
    background = model().linear / found.noise
    background /= np.linalg.norm(background, axis=1, keepdims=True)
    assert np.abs(found.whitened @ background.T).max() < 1e-9


def test_few_shapes_tell_the_lattice_parameter():
    """Closed form: patterns of the model, any background; a returns to a tenth of the spacing.

    Between templates four-point interpolation is better than that for a table this fine.
    """
    numbers = np.arange(60, 130, 7)
    patterns = 0.4 * model().templates[numbers] + 3.0 * model().linear[1] * model().templates.max()
    z = shapes().compress(patterns)
    found = refine(z, variance=np.full_like(z, 1e-6), model=model_in(shapes(), model()))
    np.testing.assert_allclose(found.a_A, model().a_A[numbers], atol=1e-4)
    np.testing.assert_allclose(found.scale, 0.4, rtol=1e-3)


def test_parallax_moves_coefficients_as_it_moves_patterns():
    """Definition: coefficients of the displaced pattern, over the size of the change.

    The second order left out is half the relative change itself, 3 % at 100 µm, and the directions
    not kept hold no more than that of patterns that occur.
    """
    two_theta = GEOMETRY.two_theta_rad
    pattern = model().templates[90]
    z = shapes().compress(pattern)
    for s_um in (-100.0, 100.0):
        moved = displacement_matrix(
            two_theta, onto_rad=two_theta, measured=np.ones(two_theta.size, bool),
            displacement_um=s_um, distance_m=0.7,
        ) @ pattern  # fmt: skip
        change = shapes().compress(moved) - z
        told = s_um * (z @ turn())
        assert np.linalg.norm(told - change) < 0.1 * np.linalg.norm(change)


def test_parallax_enlarges_the_lattice_parameter():
    """Closed form (PHYSICS 4): a pattern from s nearer to the detector has smaller rings, as a cell
    larger by δa/a = s/D·cos²θ·cos2θ, which lies between 0.985 and 1 of s/D here.

    The spline through channels of lines 2.7 channels wide moves them by 3 to 4 % less.
    """
    for number in (90, 110):
        z = shapes().compress(model().templates[number])
        moved = (z + 100.0 * (z @ turn()))[None].astype(np.float32)
        found = refine(moved, variance=np.full_like(moved, 1e-6), model=model_in(shapes(), model()))
        change = found.a_A[0] / model().a_A[number] - 1.0
        assert 0.93 < change / (100e-6 / 0.7) < 1.01


def test_pixels_reach_as_far_as_the_sample():
    """Definition of the grid: fine out to FINE_REACH of the window, then wider, to the edge."""
    own = window()
    grid = window_grid(own, reach_um=RADIUS_UM, outer_pixel_steps=3)
    np.testing.assert_array_equal(grid.sizes_um, [1.0, 3.0])
    r = np.hypot(grid.x_um, grid.y_um)
    assert r.max() > RADIUS_UM - 3.0
    wide = r[grid.edge_um > 1.5]
    assert wide.min() > FINE_REACH * 0.5 * N_WINDOW
    assert window_grid(own, reach_um=RADIUS_UM, outer_pixel_steps=1).sizes_um.tolist() == [1.0]
    assert window_grid(own, reach_um=15.0, outer_pixel_steps=3).sizes_um.tolist() == [1.0]
    # A window wider than the sample keeps its own pixels.
    narrow = window_grid(own, reach_um=5.0, outer_pixel_steps=2)
    assert np.isfinite(narrow.image(narrow.x_um)[N_WINDOW // 2]).all()


def test_a_scan_that_is_wide_enough_tells_how_far_the_sample_reaches():
    """Truth: the planted discs end 28 µm from the axis. To a step of the scan that shows them."""
    found = sample_reach(coarse()).radius_um
    assert 28.0 <= found <= 28.0 + 2.0 * 4.0


def test_transmission_tells_it_where_no_scan_sees_the_edge():
    """Closed form: transmission of a disc of radius R, exp(−2µ√(R² − t²))."""
    own = window()
    chord = np.sqrt(40.0**2 - own.offsets_um**2)
    disc = np.broadcast_to(np.exp(-0.004 * chord), own.transmission.shape)
    found = sample_reach(replace(own, transmission=disc)).radius_um
    assert found == pytest.approx(40.0 + own.step_um, rel=1e-6)
    with pytest.raises(InputError, match="width must be given"):
        sample_reach(own)


def test_rays_weigh_by_photons_and_by_what_wide_pixels_leave_out():
    """Definition: 1/weight less the noise is proportional to the path in wide pixels."""
    found = scans()
    grid = found.grid
    wide = (grid.edge_um > 1.5).astype(float)[:, None]
    per_um = []
    measured = (window(noise=1.0), coarse(noise=1.0))
    for rays, noise, scan in zip(found.rays, found.noise, measured, strict=True):
        used = rays.weight > 0.0
        path = rays.projector.forward(wide)[..., 0]
        np.testing.assert_allclose(noise[used], ray_noise(shapes(), scan.variance)[used], rtol=1e-5)
        more = 1.0 / rays.weight[used] - noise[used]
        crossing = path[used] > 1.0
        per_um.append(more[crossing] / path[used][crossing])
        assert (np.abs(more[path[used] < 1e-6]) < 1e-5).all()
    together = np.concatenate(per_um)
    np.testing.assert_allclose(together, together.mean(), rtol=1e-3)
    assert together.mean() > 0.0


def test_rays_that_miss_every_pixel_count_for_nothing():
    found = scans(width_um=40.0)
    beyond = np.abs(coarse().offsets_um) > 25.0
    assert (found.rays[1].weight[:, beyond] == 0.0).all()
    assert (found.rays[1].weight[:, ~beyond] > 0.0).any()


def test_half_the_projections_are_those_projections():
    """Definition: a scan of every other angle has the rays of the whole one there."""
    found = scans()
    image = np.random.default_rng(0).normal(size=(found.grid.x_um.size, 2))
    for start in (0, 1):
        for half, whole in zip(found.half(start), found.rays, strict=True):
            np.testing.assert_array_equal(
                half.projector.forward(image), whole.projector.forward(image)[start::2]
            )
            np.testing.assert_array_equal(half.values, whole.values[start::2])


def chosen(noise):
    found = scans(noise)
    return smoothing_by_held_out(
        found.rays, noise=found.noise[0], step_um=1.0, parallax_per_um=turn(noise)
    )


def test_more_noise_is_smoothed_more():
    """Law of the rule, and its definition: the longest length as good as the best to 2 %."""
    lengths = []
    for noise in (0.3, 20.0, 200.0):
        found = chosen(noise)
        lengths.append(found.length_um)
        good = found.misfit <= max(1.02 * found.misfit.min(), found.misfit.min())
        assert found.length_um == found.tried_um[good].max()
    assert lengths[0] < lengths[1] < lengths[2]


def test_noise_alone_leaves_no_misfit():
    """Expectation: M of white noise is zero, whatever its variance from ray to ray.

    M sums 12 waves of 4000 independent (ray, channel) pairs' projections; its relative standard
    deviation is below that of a single wave, √(1/(8·500)) = 0.016 of the expected noise; 5.5 of it.
    """
    rng = np.random.default_rng(3)
    noise = rng.uniform(0.5, 2.0, (8, N_WINDOW))
    lines = np.sqrt(noise)[..., None] * rng.standard_normal((8, N_WINDOW, 500))
    taken_off = filtered_misfit(np.zeros((8, N_WINDOW, 500), np.float32), noise=noise)
    found = filtered_misfit(lines.astype(np.float32), noise=noise)
    assert taken_off < 0.0
    assert abs(found) < 5.5 * 0.016 * abs(taken_off)


def test_the_unit_of_the_data_does_not_change_the_smoothing():
    """Law: values times c with weights over c² are the same scan in another unit."""
    found = scans(3.0)
    scaled = [replace(s, values=4.0 * s.values, weight=s.weight / 16.0) for s in found.rays]
    other = smoothing_by_held_out(
        scaled, noise=16.0 * found.noise[0], step_um=1.0, parallax_per_um=turn(3.0)
    )
    assert other.length_um == chosen(3.0).length_um


def test_is_better_than_back_projection():
    """Truth: the planted lattice parameter, with the sample continuing outside the window."""
    own = window(noise=1.0)
    fit = fitted()
    voxels, a_A = full_voxels(fit.measured)
    image = filtered_back_projection(
        own.values, variance=own.variance, angles_rad=own.angles_rad, step_um=1.0
    )
    plain = refine(image.values[fit.measured], variance=image.variance[fit.measured], model=model())
    errors = [
        np.sqrt(np.nanmean((spread_out(fit, found.a_A) - a_A)[voxels] ** 2))
        for found in (plain, fit.refined)
    ]
    assert voxels.sum() > 60
    assert errors[1] < 0.8 * errors[0]


def test_a_scan_of_the_surroundings_helps():
    """Truth: the planted amount. Rays of the window alone leave its level open."""
    errors = []
    for others in (False, True):
        fit = fitted(others=others, smoothing_um=0.5)
        voxels, _ = full_voxels(fit.measured)
        errors.append(np.nanmean(np.abs(spread_out(fit, fit.refined.scale) - 0.9)[voxels]))
    assert errors[1] < errors[0]


def test_errors_are_of_the_size_that_is_told():
    """Truth: the planted lattice parameter. Halves differ by the errors that projections do not
    share: within a factor of two of all of them is what the approximation claims."""
    fit = fitted(noise=3.0)
    voxels, a_A = full_voxels(fit.measured)
    error = (spread_out(fit, fit.refined.a_A) - a_A)[voxels]
    told = fit.lattice_error_A / spread_out(fit, fit.refined.scale)[voxels]
    assert 0.5 < np.nanstd(error / told) < 2.0


@pytest.mark.slow
def test_noise_is_that_of_repeated_scans():
    """Truth: the spread of the lattice parameter over scans that differ by their noise.

    32 scans give each voxel's variance to √(2/31) = 0.25. Errors reach over some four voxels, so
    that the mean over 100 of them is good to 0.05, and the eight draws behind the stated one, in
    neighbourhoods of 15 × 15, to √(2/(8·225/4)) = 0.07: 5.5 of both together are 0.47.
    """
    found = [fitted(noise=3.0, seed=10 * k, smoothing_um=0.7) for k in range(32)]
    voxels, _ = full_voxels(found[0].measured)
    a_A = np.stack([spread_out(fit, fit.refined.a_A)[voxels] for fit in found])
    esd_A = np.stack([spread_out(fit, fit.refined.a_esd_A)[voxels] for fit in found])
    told = np.nanmean(np.nanvar(a_A, axis=0, ddof=1)) / np.nanmean(esd_A**2)
    assert 1.0 - 0.47 < told < 1.0 + 0.47


def test_refuses_scans_of_other_channels_and_too_few_projections():
    own = window(noise=1.0)
    other = coarse(noise=1.0)
    moved = replace(other, two_theta_rad=other.two_theta_rad + 1e-4)
    with pytest.raises(InputError, match="share their channels"):
        joint_scans(own, others=[moved], shapes=shapes(), outer_pixel_steps=2, width_um=None,
                    beam_fwhm_um=1.0)  # fmt: skip
    few = scans(own=sinogram(N_WINDOW, 1.0, 20, noise=1.0))
    with pytest.raises(InputError, match="at least 24 projections, not 20"):
        smoothing_by_held_out(few.rays, noise=few.noise[0], step_um=1.0, parallax_per_um=turn())
