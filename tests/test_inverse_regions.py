"""Mean patterns of regions and their variance, against the volume, the operator itself, and noise.

The linear operator of a small scan is known in full by what filtered back projection makes of every
ray alone; a mean's variance then is a sum that can be written down.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from inverse.filters import KERNELS
from inverse.geometry import angle_weights, field_of_view
from inverse.recipe import Recipe
from inverse.reconstruct import filtered_back_projection, reconstruct_counts
from inverse.regions import Rays, rays_of_counts, rays_of_sinogram, region_patterns
from inverse.sinogram import gains, sinogram_of
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.rawfile import RawScan
from xrdct.scan import Scan

STEP_UM = 0.7
SIGMA_1E8 = 5.73
"""Standard deviations that a normal variable exceeds once in 1e8."""


def rays_of(values, variances, *, angles_rad=None, **more):
    n_angles = values.shape[0]
    given = {
        "angles_rad": np.arange(n_angles) * np.pi / n_angles if angles_rad is None else angles_rad,
        "step_um": STEP_UM, "axis_offset_um": 0.0, "filter_name": "ramp", "padding": "edge",
    }  # fmt: skip
    return Rays(
        values=lambda angles, channels: values[angles, :, channels],
        variances=lambda angles, channels: variances[angles, :, channels],
        shape=values.shape, **(given | more),
    )  # fmt: skip


def volume_of(rays, *, size, variance=None):
    n_angles, _, n_channels = rays.shape
    every = slice(0, n_angles), slice(0, n_channels)
    return filtered_back_projection(
        rays.values(*every), angles_rad=rays.angles_rad, step_um=rays.step_um,
        filter_name=rays.filter_name, padding=rays.padding, size=size,
        axis_offset_um=rays.axis_offset_um,
        variance=None if variance is None else rays.variances(*every),
    )  # fmt: skip


def blocks(size, *, axis_offset_um=0.0, n_offsets=None):
    """Label blocks of 3 × 3 voxels in the field of view, with a gap between them."""
    iy, ix = np.mgrid[:size, :size]
    label = np.where((iy % 4 < 3) & (ix % 4 < 3), (iy // 4) * size + ix // 4, -1)
    view = field_of_view(
        size, n_offsets=n_offsets or size, step_um=STEP_UM, axis_offset_um=axis_offset_um
    )
    label[~view] = -1
    return np.unique(label, return_inverse=True)[1].reshape(label.shape) - 1


def means(label, volume):
    return np.stack([volume[label == k].mean(axis=0) for k in range(label.max() + 1)])


def lines(n_angles, n_offsets, n_channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n_angles, n_offsets, n_channels)).astype(np.float32)


@pytest.mark.parametrize("filter_name", sorted(KERNELS))
@pytest.mark.parametrize("padding", ["edge", "zero"])
@pytest.mark.parametrize(("n_angles", "axis_offset_um"), [(24, 0.0), (31, 0.45)])
def test_patterns_are_the_means_of_the_volume(filter_name, padding, n_angles, axis_offset_um):
    # Other code for the same sum: voxel by voxel, then averaged. Single precision: 2e-7 for each of
    # some 24·23 terms of either sign, of the size of the values themselves.
    n = 23
    values = lines(n_angles, n, 9)
    rays = rays_of(
        values, values, filter_name=filter_name, padding=padding, axis_offset_um=axis_offset_um
    )
    label = blocks(n, axis_offset_um=axis_offset_um)
    found = region_patterns(rays, label=label).values
    expected = means(label, volume_of(rays, size=n).values)
    assert np.abs(found - expected).max() < 2e-7 * np.sqrt(n_angles * n) * np.abs(expected).max()


def test_projections_wider_than_the_map_are_used_whole():
    # Law: as above, where rays were completed beyond the view.
    values = lines(20, 31, 5)
    rays = rays_of(values, values, padding="zero")
    label = blocks(21)
    expected = means(label, volume_of(rays, size=21).values)
    found = region_patterns(rays, label=label).values
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@lru_cache(maxsize=4)
def operator(n_angles, n_offsets, padding):
    """Return what each ray alone makes of every voxel, (iy, ix, ray)."""
    n_rays = n_angles * n_offsets
    alone = np.eye(n_rays, dtype=np.float32).reshape(n_angles, n_offsets, n_rays)
    rays = rays_of(alone, alone, padding=padding)
    return volume_of(rays, size=n_offsets).values.astype(float)


@pytest.mark.parametrize("padding", ["edge", "zero"])
def test_variance_is_that_of_the_operator(padding):
    # Closed form: var = Σ (mean over the region of the operator's element)² · variance of the ray.
    n_angles, n = 15, 14
    matrix = operator(n_angles, n, padding)
    label = blocks(n)
    weights = means(label, matrix)
    variances = lines(n_angles, n, 6, seed=1) + np.float32(0.1)
    rays = rays_of(variances, variances, padding=padding)
    expected = weights**2 @ variances.reshape(n_angles * n, 6).astype(float)
    found = region_patterns(rays, label=label).variance
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_variance_is_the_scatter_of_repeated_noise_and_the_naive_sum_is_not():
    # Statistics: channels are independent draws, so that the variance over n of them has the
    # relative standard error √(2/n); 5.73 of these once in 1e8, times 5 regions.
    # The sum of the voxels' variances over n² takes voxels as independent: of a square of 8 × 8
    # it is too large by more than a third, of a thin ring too small (fixed by the operator alone,
    # so that the bounds are what it is here, to 10 %).
    n_angles, n, n_draws = 40, 31, 3000
    rng = np.random.default_rng(7)
    spread = 0.5 + lines(n_angles, n, 1, seed=2)
    noise = (spread * rng.standard_normal((n_angles, n, n_draws))).astype(np.float32)
    variances = np.broadcast_to(spread**2, noise.shape)
    iy, ix = np.mgrid[:n, :n] - n // 2
    r = np.hypot(iy, ix)
    label = np.full((n, n), -1)
    shapes = {
        0: (abs(iy) <= 1) & (abs(ix + 9) <= 1),
        1: (r >= 5.5) & (r < 6.5),
        2: r < 4.0,
        3: (iy == -11) & (ix == 3),
        4: (iy >= 8) & (iy < 12) & (abs(ix) < 3),
    }
    for number, mask in shapes.items():
        label[mask & (label < 0)] = number
    rays = rays_of(noise, variances)
    found = region_patterns(rays, label=label)
    stated = found.variance[:, 0]
    np.testing.assert_allclose(
        found.values.var(axis=1), stated, rtol=SIGMA_1E8 * np.sqrt(2.0 / n_draws)
    )
    # Half the difference of the halves has the same variance, as each ray is in one of them.
    np.testing.assert_allclose(
        found.half_difference.var(axis=1), stated, rtol=SIGMA_1E8 * np.sqrt(2.0 / n_draws)
    )
    one = rays_of(noise[..., :1], variances[..., :1])
    voxels = volume_of(one, size=n, variance=True).variance[..., 0]
    naive = np.array([voxels[label == k].sum() / np.sum(label == k) ** 2 for k in shapes])
    ratio = stated / naive
    assert ratio[3] == pytest.approx(1.0, rel=1e-4)  # of a single voxel nothing is summed
    assert ratio[1] > 1.1
    assert ratio[2] < 0.7


def test_half_difference_is_even_less_odd():
    # Law of linearity: rays of the even projections alone make half the difference as large as the
    # whole, those of the odd ones as large but negative, and both together their sum.
    n_angles, n = 24, 21
    same = np.broadcast_to(lines(1, n, 4), (n_angles, n, 4)).copy()
    label = blocks(n)
    found = region_patterns(rays_of(same, same), label=label)
    alone = same.copy()
    alone[1::2] = 0.0
    even = region_patterns(rays_of(alone, alone), label=label)
    np.testing.assert_allclose(even.half_difference, even.values, atol=1e-6)
    odd = region_patterns(rays_of(same - alone, same), label=label)
    np.testing.assert_allclose(odd.half_difference, -odd.values, atol=1e-6)
    np.testing.assert_allclose(
        found.half_difference, even.half_difference + odd.half_difference, atol=1e-5
    )


def test_uneven_angles_keep_their_shares():
    # Law: halves are scaled so that either stands for the whole half turn.
    angles = np.sort(np.random.default_rng(3).uniform(0.0, np.pi, 33))
    angles = 0.8 * np.arange(33) * np.pi / 33 + 0.2 * angles
    values = np.ones((33, 15, 1), np.float32)
    values[0::2] *= 2.0
    shares = angle_weights(angles)
    label = np.full((15, 15), -1)
    label[7, 7] = 0
    found = region_patterns(rays_of(values, values, angles_rad=angles), label=label)
    one = region_patterns(rays_of(np.ones_like(values), values, angles_rad=angles), label=label)
    even = shares[0::2].sum() / np.pi
    # All rays alike, so that every projection adds its share of the same value at the axis.
    assert found.values[0, 0] / one.values[0, 0] == pytest.approx(1.0 + even, rel=1e-5)
    assert found.half_difference[0, 0] / one.values[0, 0] == pytest.approx(0.5, rel=1e-4)


def test_threads_do_not_change_the_result():
    values = lines(16, 25, 8)
    label = blocks(25)
    one, two = (region_patterns(rays_of(values, values), label=label, workers=w) for w in (1, 3))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.variance, two.variance)


def test_a_channel_that_was_not_measured_stays_alone():
    values = lines(16, 25, 8)
    label = blocks(25)
    whole = region_patterns(rays_of(values, values), label=label)
    values[..., 3] = np.nan
    found = region_patterns(rays_of(values, values), label=label)
    assert np.all(np.isnan(found.values[:, 3]))
    others = np.arange(8) != 3
    np.testing.assert_allclose(found.values[:, others], whole.values[:, others], rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda label: label[:-1], "must be a square map"),
        (lambda label: np.where(label == 2, -1, label), "2 is not in it"),
        (lambda label: np.where(np.arange(label.size).reshape(label.shape) == 0, 0, label),
         "not seen by every projection"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(change, rule):
    values = lines(16, 21, 3)
    with pytest.raises(InputError, match=rule):
        region_patterns(rays_of(values, values), label=change(blocks(21)))


def raw_scan():
    geometry = Geometry(n_channels=40, two_theta_min_deg=2.0, two_theta_max_deg=12.0)
    scan = Scan(n_offsets=21, step_um=STEP_UM, n_angles=18)
    rng = np.random.default_rng(8)
    counts = rng.poisson(200.0, (18, 21, 40)).astype(np.int32)
    transmitted = rng.uniform(1e6, 2e6, (18, 21))
    return RawScan(
        scan=scan, beam=Beam(), detector=Detector(), geometry=geometry, counts=counts,
        monitor=2.0 * transmitted, transmitted=transmitted, recipe=Recipe().model_dump(mode="json"),
    )  # fmt: skip


@pytest.mark.parametrize("with_variance", [False, True])
def test_counts_and_their_sinogram_are_the_same_rays(with_variance):
    # Other code: counts normalised while they are back projected, averaged voxel by voxel.
    raw = raw_scan()
    if with_variance:
        raw = replace(raw, counts=raw.counts.astype(np.float32), variance=1.5 * raw.counts + 3.0)
    label = blocks(21)
    recipe = Recipe()
    one = region_patterns(rays_of_counts(raw, recipe=recipe), label=label)
    other = region_patterns(rays_of_sinogram(sinogram_of(raw), recipe=recipe), label=label)
    ray_gain, channel_gain = gains(raw)
    volume = reconstruct_counts(
        raw.counts, ray_gain=ray_gain, channel_gain=channel_gain, angles_rad=raw.scan.angles_rad,
        step_um=STEP_UM, variance=raw.variance,
    )  # fmt: skip
    used = channel_gain > 0.0
    expected = means(label, volume.values)[:, used]
    for found in (one, other):
        np.testing.assert_array_equal(np.isnan(found.values[0]), ~used)
        np.testing.assert_allclose(
            found.values[:, used], expected, atol=1e-5 * np.abs(expected).max()
        )
        np.testing.assert_allclose(found.variance[:, used], one.variance[:, used], rtol=1e-5)
