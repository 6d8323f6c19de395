"""Interlaced scans: two projections merge into one with half the step."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import erf

from inverse.interlace import at_half_steps
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


def disc_scan(scan, *, axis_um=0.0, interlaced=True):
    """The sinogram of a disc, and where its rays were measured."""
    shift_um = scan.shifts_um[:, None] if interlaced else np.zeros((scan.n_angles, 1))
    offsets = scan.offsets_um + shift_um
    lines = chords(offsets, scan.angles_rad, axis_um)
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
    # Closed form: the edge of a disc is a step; sampled at half the step its blur, a step wide
    # before, is at least 30 % less (half where the rays fall evenly), and its height stays.
    sinogram, offsets = disc_scan(scan, axis_um=axis_um)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    assert merged.step_um == 0.5
    assert merged.values.shape == ((91 if scan is FULL else 182), 121, 2)
    before, _ = edge_width_um(disc_scan(scan, axis_um=axis_um, interlaced=False)[0])
    after, height = edge_width_um(merged)
    assert before > 0.9
    assert after < 0.7 * before
    assert height == pytest.approx(1.0, abs=0.005)


def test_merged_opposites_are_the_rays_between():
    # Closed form: with the axis in the middle the opposite rays fall halfway between, where the
    # closed form gives what they show; only the outermost, beside the disc, are interpolated.
    sinogram, offsets = disc_scan(FULL)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    expected = chords(merged.offsets_um[None], merged.angles_rad, 0.0)
    np.testing.assert_allclose(merged.angles_rad, np.pi * np.arange(91) / 91, atol=1e-12)
    np.testing.assert_allclose(merged.values[..., 1], expected, atol=1e-4)
    np.testing.assert_allclose(-np.log(merged.transmission), 0.01 * expected, atol=1e-9)
    np.testing.assert_allclose(merged.variance, 0.04, rtol=1e-6)


def test_opposites_that_see_the_same_rays_are_left_to_neighbours():
    # Written out: with n_angles/2 even, opposite projections are both moved on or both not; all
    # remain. The mean of two neighbours has half the variance, and stands on every second ray.
    scan = FULL.model_copy(update={"n_angles": 184})
    sinogram, offsets = disc_scan(scan)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    np.testing.assert_array_equal(merged.angles_rad, scan.angles_rad)
    np.testing.assert_allclose(merged.variance[4, 10:-10:2], 0.04, rtol=1e-5)
    np.testing.assert_allclose(merged.variance[4, 11:-10:2], 0.02, rtol=1e-5)


def test_a_quarter_of_a_step_off_axis_interlaces_by_itself():
    # Closed form: mirrored about ¼ step, whole steps become half ones.
    scan = FULL.model_copy(update={"interlaced": False})
    sinogram, offsets = disc_scan(scan, axis_um=0.25)
    merged = at_half_steps(sinogram, offsets_um=offsets)
    expected = chords(merged.offsets_um[None], merged.angles_rad, 0.25)
    np.testing.assert_allclose(merged.values[..., 0], expected, atol=1e-4)


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
    # Independent: the same electrode scanned with half the step. Every ray of the interlaced scan
    # is one of the fine scan's, which is what the merged projections are to find again.
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
    one, other = (s.values[:, 1:-1, used].sum(axis=2) for s in (merged, expected))
    np.testing.assert_allclose(merged.angles_rad, expected.angles_rad, atol=1e-12)
    np.testing.assert_allclose(one, other, atol=1e-4 * other.max())
