"""Interlaced scans: two projections merge into one with half the step."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import erf

from inverse.interlace import at_half_steps, half_step_scan
from inverse.positions import interpolated, interpolation_taps
from inverse.reconstruct import filtered_back_projection
from inverse.sinogram import Sinogram, sinogram_of
from phantoms.library import Electrode
from validation.experiment import Experiment
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.scan import Scan

RADIUS, CENTRE, BEAM_UM = 20.3, (3.1, -2.2), 0.3
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def chords(offsets_um, angles_rad, axis_um):
    """Closed form: a disc under a beam narrower than the step, (angle, offset)."""
    seen = axis_um + CENTRE[0] * np.cos(angles_rad) + CENTRE[1] * np.sin(angles_rad)
    t = offsets_um - seen[:, None]
    low, high = (np.clip(t + side, -RADIUS, RADIUS) for side in (-0.5 * BEAM_UM, 0.5 * BEAM_UM))
    area = [u * np.sqrt(RADIUS**2 - u * u) + RADIUS**2 * np.arcsin(u / RADIUS) for u in (low, high)]
    return (area[1] - area[0]) / BEAM_UM


BLOB, SIGMA_UM = 5.0, 4.0
SMOOTH = 1e-4 * BLOB
"""What merging adds to a blob. A cubic between nodes a step apart, read a quarter of a step from
one, errs by 0.0171·h⁴p⁗; that of the partner is the same half a step on, so that 0.0171·½h⁵ times
the fifth derivative is left, 5.8/σ⁵ at most: 5e-5 of the height for a σ of four steps."""


def blob(offsets_um, angles_rad, axis_um):
    """Closed form: a Gaussian blob, (angle, offset)."""
    seen = axis_um + CENTRE[0] * np.cos(angles_rad) + CENTRE[1] * np.sin(angles_rad)
    return BLOB * np.exp(-0.5 * ((offsets_um - seen[:, None]) / SIGMA_UM) ** 2)


def disc_scan(scan, *, axis_um=0.0, interlaced=True, shape=chords):
    """The sinogram of a disc, or another shape, and where its rays were measured."""
    shift_um = scan.shifts_um[:, None] if interlaced else np.zeros((scan.n_angles, 1))
    offsets = scan.offsets_um + shift_um
    lines = shape(offsets, scan.angles_rad, axis_um)
    values = np.repeat(lines[..., None], 2, axis=2).astype(np.float32)
    return Sinogram(
        values=values,
        variance=np.full_like(values, 0.04),
        transmission=np.exp(-0.01 * lines),
        angles_rad=scan.angles_rad,
        step_um=scan.step_um,
        axis_offset_um=axis_um,
        two_theta_rad=np.array([0.1, 0.2]),
        distance_m=0.7,
    ), offsets


def edge_width_um(sinogram):
    """FWHM of the blur of the reconstructed edge, and the height, from a fitted error function."""
    image = filtered_back_projection(
        sinogram.values, angles_rad=sinogram.angles_rad, step_um=sinogram.step_um,
        axis_offset_um=sinogram.axis_offset_um,
    ).values[..., 0]  # fmt: skip
    x = (np.arange(len(image)) - 0.5 * (len(image) - 1)) * sinogram.step_um
    beyond = np.hypot(x[None] - CENTRE[0], x[:, None] - CENTRE[1]) - RADIUS
    near = np.isfinite(image) & (np.abs(beyond) < 4.0)
    (sigma, height), _ = curve_fit(
        lambda d, s, h: 0.5 * h * (1.0 - erf(d / (s * np.sqrt(2.0)))),
        beyond[near], image[near], p0=[0.5, 1.0],
    )  # fmt: skip
    return FWHM_PER_SIGMA * sigma, height


FULL = Scan(n_offsets=61, step_um=1.0, n_angles=182, angle_range_deg=360.0, interlaced=True)
HALF = Scan(n_offsets=61, step_um=1.0, n_angles=182, interlaced=True)


@pytest.mark.parametrize("axis_um", [0.0, 0.12, 3.37])
@pytest.mark.parametrize("scan", [FULL, HALF])
def test_a_sharp_edge_gets_sharper(scan, axis_um):
    # Closed form: the edge of a disc is a step. Its blur, a step wide before, shrinks to the widest
    # gap between merged rays at most, ¾ of a step; its height stays.
    sinogram, offsets = disc_scan(scan, axis_um=axis_um)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    assert merged.step_um == 0.5
    assert merged.values.shape == ((91 if scan is FULL else 182), 121, 2)
    before, _ = edge_width_um(disc_scan(scan, axis_um=axis_um, interlaced=False)[0])
    after, height = edge_width_um(merged)
    assert before > 0.9
    assert after < 0.75 * before
    assert height == pytest.approx(1.0, abs=0.005)


def test_merged_opposites_are_the_rays_between():
    # Closed form: with the axis in the middle the opposite rays fall halfway between, where the
    # closed form gives what they show. The variance is 1 − 1/√(2π) + ½·1/(2√π) of a ray's, where
    # half of what a Gaussian smooths is exchanged.
    sinogram, offsets = disc_scan(FULL, shape=blob)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    expected = blob(merged.offsets_um[None], merged.angles_rad, 0.0)
    np.testing.assert_allclose(merged.angles_rad, np.pi * np.arange(91) / 91, atol=1e-12)
    np.testing.assert_allclose(merged.values[..., 1], expected, atol=SMOOTH)
    np.testing.assert_allclose(-np.log(merged.transmission), 0.01 * expected, atol=1e-9)
    kept = 1.0 - 1.0 / np.sqrt(2.0 * np.pi) + 0.25 / np.sqrt(np.pi)
    np.testing.assert_allclose(merged.variance[:, 2:-2], 0.04 * kept, rtol=1e-5)
    assert merged.distance_m == np.inf


def test_opposites_agree_on_what_is_smooth():
    # Definition: what one side shows more than the other, smooth along the offsets, is shared. A
    # slope and a level, which a Gaussian leaves as they are, go to rounding but for the ends.
    sinogram, offsets = disc_scan(FULL, shape=blob)
    from_behind = np.arange(FULL.n_angles) >= FULL.n_angles // 2
    more = np.where(from_behind[:, None], 0.3 + 0.01 * offsets, 0.0)[..., None]
    values = sinogram.values + more.astype(np.float32)
    merged = at_half_steps(replace(sinogram, values=values), offsets_um=offsets)
    plain = at_half_steps(sinogram, offsets_um=offsets)
    # Seen from behind, the slope runs the other way.
    half = 0.5 * (0.3 - 0.01 * plain.offsets_um)[:, None]
    apart = (merged.values - plain.values - half)[:, 10:-10]
    assert np.abs(apart).max() < 1e-5


def test_noise_of_merged_rays_is_stated():
    # Statistics: 3.3 million draws of white noise, so that the mean variance is known to 0.08 %.
    # Cubics in place of the Gaussian's integrals move it by 2 %, the ends of projections by 1 %;
    # another 1 % is 12 standard deviations.
    rng = np.random.Generator(np.random.Philox(11))
    sinogram, offsets = disc_scan(FULL)
    values = rng.normal(size=(*offsets.shape, 300)).astype(np.float32)
    noise = replace(
        sinogram, values=values, variance=np.ones_like(values), two_theta_rad=np.arange(1.0, 301.0)
    )
    merged = at_half_steps(noise, offsets_um=offsets)
    assert merged.values.var() == pytest.approx(merged.variance.mean(), rel=0.04)


def test_opposites_that_see_the_same_rays_are_left_to_neighbours():
    # Written out: with n_angles/2 even, opposite projections are both moved on or both not; all
    # remain. A ray of its own projection keeps its variance. The mean of two neighbours has half of
    # it, of which 1 − 2/√(2π) + 1/(2√π) are left, and gets 1/(2√π) of the ray's own.
    scan = FULL.model_copy(update={"n_angles": 184})
    sinogram, offsets = disc_scan(scan)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    np.testing.assert_array_equal(merged.angles_rad, scan.angles_rad)
    assert merged.distance_m == sinogram.distance_m
    np.testing.assert_allclose(merged.variance[4, 10:-10:2], 0.04, rtol=1e-5)
    centre, square = 1.0 / np.sqrt(2.0 * np.pi), 0.5 / np.sqrt(np.pi)
    between = 0.02 * (1.0 - 2.0 * centre + square) + 0.04 * square
    np.testing.assert_allclose(merged.variance[4, 11:-10:2], between, rtol=1e-5)


def test_neighbours_tell_detail_only():
    # Law: a projection of its own remains as it is, whatever smooth its neighbours show; here one
    # is twice as high. Of a blob of four steps the Gaussian leaves 1 − 1/√(1 + 1/16), 3 %.
    sinogram, offsets = disc_scan(HALF, shape=blob)
    values = sinogram.values.copy()
    values[::2] *= 2.0
    merged = at_half_steps(replace(sinogram, values=values), offsets_um=offsets)
    expected = 2.0 * blob(merged.offsets_um[None], merged.angles_rad[40:41], 0.0)
    apart = np.abs(merged.values[40, :, 0] - expected)
    assert apart[:, ::2].max() < SMOOTH
    assert apart.max() < 0.04 * BLOB


def test_a_quarter_of_a_step_off_axis_interlaces_by_itself():
    # Closed form: mirrored about ¼ step, whole steps become half ones.
    scan = FULL.model_copy(update={"interlaced": False})
    sinogram, offsets = disc_scan(scan, axis_um=0.25, shape=blob)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    expected = blob(merged.offsets_um[None], merged.angles_rad, 0.25)
    np.testing.assert_allclose(merged.values[..., 0], expected, atol=SMOOTH)


def test_half_the_step_over_the_same_width():
    # Definition; the outermost of both scans' offsets are the same.
    half = half_step_scan(FULL)
    assert (half.n_offsets, half.step_um, half.interlaced) == (121, 0.5, False)
    np.testing.assert_allclose(half.offsets_um[[0, -1]], FULL.offsets_um[[0, -1]])
    assert half_step_scan(half) is half


@pytest.mark.parametrize(
    ("scan", "rule"),
    [
        (HALF.model_copy(update={"interlaced": False}), "must interlace"),
        (FULL.model_copy(update={"interlaced": False}), "must interlace"),
    ],
)
def test_a_scan_that_does_not_interlace_is_refused(scan, rule):
    sinogram, offsets = disc_scan(scan)
    with pytest.raises(InputError, match=rule):
        at_half_steps(sinogram, offsets_um=offsets)


def test_neighbours_must_follow_each_other():
    sinogram, offsets = disc_scan(HALF)
    shuffled = replace(sinogram, angles_rad=np.mod(7 * sinogram.angles_rad, np.pi))
    with pytest.raises(InputError, match="must rise"):
        at_half_steps(shuffled, offsets_um=offsets)


def test_the_simulator_interlaces():
    # Independent: the same electrode scanned with half the step, by a beam as wide as the long
    # step. Merged rays are those of the fine scan, but for waves of about a step, of which the beam
    # shows 3 %: of what a cubic through the rays of one side misses, less than a tenth is left.
    scan = Scan(n_offsets=41, step_um=1.0, n_angles=10, angle_range_deg=360.0, interlaced=True)
    fine = Scan(n_offsets=81, step_um=0.5, n_angles=5)
    plain = Experiment(sample=Electrode(diameter_um=34.0, volume_fraction=0.45), scan=scan, seed=3)
    plain = plain.model_copy(
        update={
            "effects": plain.effects.model_copy(
                update={"noise": False, "grains": False, "parallax": False}
            )
        }
    )
    raw = simulate(plain).raw
    expected = sinogram_of(simulate(plain.model_copy(update={"scan": fine})).raw)
    merged = at_half_steps(sinogram_of(raw), offsets_um=raw.readings.encoder_offset_um)
    used = expected.measured_channels
    np.testing.assert_allclose(merged.angles_rad, expected.angles_rad, atol=1e-12)
    nodes = interpolation_taps(
        scan.projection_offsets_um, set_points_um=expected.offsets_um, step_um=scan.step_um
    )
    one_side = interpolated(sinogram_of(raw), taps=nodes)
    found, cubic, truth = (
        s.values[:5:2, 1:-1, used].sum(axis=2) for s in (merged, one_side, expected)
    )
    np.testing.assert_allclose(found, truth, atol=0.005 * truth.max())
    assert np.std(found - truth) < 0.1 * np.std(cubic - truth)
