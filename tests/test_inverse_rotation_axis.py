"""The rotation axis found in the data, on discs of known projections and in the simulator."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from forward.motion import Motion
from inverse.alignment import AlignmentMethod
from inverse.centre_of_mass import centre_of_mass_fit, is_whole_in_view
from inverse.contrast import contrast_weights, line_contrast
from inverse.opposites import opposite_pairs
from inverse.positions import on_set_points
from inverse.rotation_axis import about_rotation_axis, rotation_axis
from inverse.sharpness import independent_parts, shifted
from inverse.sinogram import Sinogram, sinogram_of
from phantoms.library import Electrode
from validation.experiment import Experiment
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.scan import Scan

AXIS_UM = 3.37


def packed_discs(*, within, seed=1, radii=(2.0, 6.0)):
    """Discs that do not overlap, (disc, 3) of x, y and radius, in a circle of radius ``within``."""
    rng = np.random.Generator(np.random.Philox(seed))
    discs = np.empty((0, 3))
    for _ in range(2500):
        radius, turn = rng.uniform(*radii), rng.uniform(0, 2 * np.pi)
        x, y = (within - radius) * np.sqrt(rng.uniform()) * np.array([np.cos(turn), np.sin(turn)])
        if (np.hypot(discs[:, 0] - x, discs[:, 1] - y) > discs[:, 2] + radius).all():
            discs = np.vstack([discs, [x, y, radius]])
    return discs


def projected(discs, *, angles_rad, offsets_um, width_um=1.0):
    """Closed form: chords averaged over a beam of ``width_um``, (angle, offset)."""
    total = np.zeros(np.broadcast_shapes(offsets_um.shape, (angles_rad.size, 1)))
    for x, y, r in discs:
        t = offsets_um - (x * np.cos(angles_rad) + y * np.sin(angles_rad))[:, None]
        low, high = (np.clip(t + side, -r, r) for side in (-0.5 * width_um, 0.5 * width_um))
        area = [u * np.sqrt(r * r - u * u) + r * r * np.arcsin(u / r) for u in (low, high)]
        total += (area[1] - area[0]) / width_um
    return total


def scanned(discs, *, n_offsets, n_angles, turn=np.pi, axis_um=AXIS_UM, noise=0.0, angles=None):
    """A sinogram of the discs with one line on a smooth background, seen beside the middle."""
    angles = turn * np.arange(n_angles) / n_angles if angles is None else angles
    offsets = np.arange(n_offsets) - 0.5 * (n_offsets - 1)
    # A point is seen at t + axis offset, so the ray at t passes it at t − axis offset.
    lines = projected(discs, angles_rad=angles, offsets_um=np.array(offsets - axis_um)[None])
    rng = np.random.Generator(np.random.Philox(5))
    lines += noise * lines.mean() * rng.standard_normal(lines.shape)
    profile = np.zeros(41)
    profile[20] = 1.0
    background = 5.0 + 0.02 * np.arange(41)
    values = lines[..., None] * profile + background
    return Sinogram(
        values=values.astype(np.float32),
        variance=np.ones(values.shape, np.float32),
        transmission=np.exp(-1e-3 * lines),
        angles_rad=angles,
        step_um=1.0,
        axis_offset_um=0.0,
        two_theta_rad=np.linspace(0.1, 0.2, 41),
        distance_m=0.7,
    )


def test_the_signal_is_of_the_lines_alone():
    # Closed form: a background that is straight over 2θ, whatever its height, cancels.
    discs = packed_discs(within=25.0)
    sinogram = scanned(discs, n_offsets=61, n_angles=20)
    expected = projected(
        discs, angles_rad=sinogram.angles_rad, offsets_um=sinogram.offsets_um[None] - AXIS_UM
    )
    np.testing.assert_allclose(line_contrast(sinogram), expected, atol=2e-5)
    assert contrast_weights(sinogram).sum() == pytest.approx(0.0, abs=1e-12)


def test_a_sinogram_without_a_channel_is_refused():
    sinogram = scanned(packed_discs(within=25.0), n_offsets=61, n_angles=20)
    empty = replace(sinogram, values=np.full_like(sinogram.values, np.nan))
    with pytest.raises(InputError, match="no measured channel"):
        line_contrast(empty)


def test_centre_of_mass_is_exact_and_takes_no_notice_of_a_bad_projection():
    # Closed form: the mean offset of a projection is that of the sample's centre of mass. A beam as
    # wide as the step makes sums exact, but for the place within a step, which averages out.
    discs = packed_discs(within=25.0)
    sinogram = scanned(discs, n_offsets=81, n_angles=60)
    lines = line_contrast(sinogram)
    assert is_whole_in_view(lines)
    lines[17, 70] += 400.0
    lines[40] = lines[40, ::-1]
    found = centre_of_mass_fit(
        lines, offsets_um=sinogram.offsets_um, angles_rad=sinogram.angles_rad,
        basis=np.ones((60, 1)),
    )  # fmt: skip
    assert found.coefficients_um[0] == pytest.approx(AXIS_UM, abs=0.005)
    assert rotation_axis(
        sinogram, method=AlignmentMethod.CENTRE_OF_MASS
    ).offset_um == pytest.approx(AXIS_UM, abs=1e-3)


def test_the_axis_of_a_smooth_blob_is_that_of_its_centre_of_mass():
    # Closed form: a Gaussian is a Gaussian from every side. It has no edge that could be sharper.
    sinogram = scanned(packed_discs(within=25.0), n_offsets=81, n_angles=60)
    t = sinogram.offsets_um - AXIS_UM - 4.0 * np.cos(sinogram.angles_rad)[:, None]
    values = sinogram.values.copy()
    values[..., 20] = values[..., 19] + 0.02 + np.exp(-0.5 * (t / 7.0) ** 2)
    found = rotation_axis(replace(sinogram, values=values))
    assert found.method is AlignmentMethod.CENTRE_OF_MASS
    assert found.offset_um == pytest.approx(AXIS_UM, abs=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_axis_of_a_window_is_found_by_sharpness(seed):
    # The requirement, 0.05 µm, on closed-form projections: a window of 121 rays in a sample twice
    # as wide, with 2 % of noise. Half of the sample is never seen whole.
    discs = packed_discs(within=110.0, seed=seed)
    sinogram = scanned(discs, n_offsets=121, n_angles=120, noise=0.02)
    assert not is_whole_in_view(line_contrast(sinogram))
    found = rotation_axis(sinogram)
    assert found.method is AlignmentMethod.SHARPNESS
    assert found.offset_um == pytest.approx(AXIS_UM, abs=0.05)
    assert about_rotation_axis(sinogram).axis_offset_um == found.offset_um


@pytest.mark.parametrize("axis_um", [-6.2, 0.0, 3.37])
@pytest.mark.parametrize("n_angles", [120, 121])
def test_opposite_projections_show_the_axis(axis_um, n_angles):
    # Closed form: p(ω + π, t) = p(ω, 2a − t). With an odd number the opposite of a projection lies
    # halfway between two others, which is right on the average over all.
    discs = packed_discs(within=110.0)
    sinogram = scanned(
        discs, n_offsets=121, n_angles=n_angles, turn=2 * np.pi, axis_um=axis_um, noise=0.02
    )
    found = rotation_axis(sinogram)
    assert found.method is AlignmentMethod.OPPOSITES
    assert found.offset_um == pytest.approx(axis_um, abs=0.02)


def test_pairs_are_opposite():
    # Written out: of eight uniform angles, k and k + 4; measured angles in any order.
    angles = np.arange(8) * np.pi / 4
    order = np.array([3, 0, 6, 1, 7, 2, 5, 4])
    pairs = opposite_pairs(angles[order] + 20 * np.pi)
    difference = pairs.opposite(angles[order]) - angles[order][pairs.one]
    np.testing.assert_allclose(np.abs(difference), np.pi, atol=1e-6)
    assert pairs.one.size == 4
    for n_angles in (1, 2, 3, 4, 8):  # half a turn, of however few angles, has no opposites
        assert opposite_pairs(np.arange(n_angles) * np.pi / n_angles) is None


def test_opposites_are_refused_over_half_a_turn():
    sinogram = scanned(packed_discs(within=25.0), n_offsets=61, n_angles=20)
    with pytest.raises(InputError, match="360°"):
        rotation_axis(sinogram, method=AlignmentMethod.OPPOSITES)


def test_an_axis_out_of_reach_or_without_features_is_refused():
    # The sample is wider than the window, so that there is no centre of mass to fall back on.
    discs = packed_discs(within=110.0)
    sinogram = scanned(discs, n_offsets=121, n_angles=60, axis_um=15.0)
    with pytest.raises(InputError, match=r"clearly sharpest.*sinogram\.axis_search_um"):
        rotation_axis(sinogram, search_um=5.0)
    uniform = scanned(np.array([[0.0, 0.0, 500.0]]), n_offsets=121, n_angles=60)
    with pytest.raises(InputError, match="image must"):
        rotation_axis(uniform)


@pytest.mark.parametrize("n_offsets", [2, 3])
def test_an_image_of_a_pixel_cannot_be_made_sharp(n_offsets):
    wide = packed_discs(within=30.0)
    with pytest.raises(InputError, match=f"wider than the {n_offsets} offsets"):
        rotation_axis(scanned(wide, n_offsets=n_offsets, n_angles=8), search_um=1.0)


@pytest.mark.parametrize("n_angles", [1, 2])
@pytest.mark.parametrize("within", [12.0, 60.0])
def test_the_axis_and_the_samples_place_need_three_projections(n_angles, within):
    # a + x·cos ω + y·sin ω has three unknowns, whether or not the sample is in view.
    sinogram = scanned(packed_discs(within=within), n_offsets=41, n_angles=n_angles)
    with pytest.raises(InputError, match=f"3 unknowns, for which {n_angles} projections"):
        rotation_axis(sinogram)


def test_shifts_are_band_limited():
    # Closed form: a cosine that fits the mirrored projection is moved exactly, and not made weaker.
    n = 40
    wave = lambda t: np.cos(np.pi * 7 * (t + 0.5) / n)  # noqa: E731
    lines = wave(np.arange(n))[None]
    for shift in (-1.3, 0.5, 2.0):
        moved = shifted(lines, np.array([[shift]]))[0, :, 0]
        np.testing.assert_allclose(moved, wave(np.arange(n) + shift), atol=1e-6)


def test_parts_of_functions_are_independent_of_a_moving_sample():
    # Definition: what the amounts of the parts make, and what the coefficients make, differ by a
    # shift of the sample only; parts blur alike.
    angles = np.sort(np.random.Generator(np.random.Philox(1)).uniform(0, np.pi, 50))
    u = np.linspace(-1, 1, 50)
    basis = np.stack([np.ones(50), u, u**2], axis=1)
    parts, to_coefficients = independent_parts(basis, angles_rad=angles)
    motion = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(parts.T @ motion, 0.0, atol=1e-10)
    np.testing.assert_allclose(np.ptp(np.sum(parts**2, axis=0)), 0.0, atol=1e-10)
    amounts = np.array([0.3, -2.0, 1.0])
    difference = parts @ amounts - basis @ to_coefficients @ amounts
    left = difference - motion @ np.linalg.lstsq(motion, difference, rcond=None)[0]
    np.testing.assert_allclose(left, 0.0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [31, 32, 33])
@pytest.mark.parametrize(("turn_deg", "n_angles"), [(180.0, 240), (360.0, 240)])
def test_the_axis_of_a_simulated_window(seed, turn_deg, n_angles):
    # The requirement, 0.05 µm, from the simulator with noise, spotty rings, jittering stages and a
    # run-out: a window of 161 µm in an electrode of 400 µm.
    motion = Motion(axis_offset_um=-AXIS_UM, jitter_um=0.05, encoder_noise_um=0.01, wobble_um=0.05)
    experiment = Experiment(
        sample=Electrode(diameter_um=400.0, grain_um=0.2),
        scan=Scan(n_offsets=161, step_um=1.0, n_angles=n_angles, angle_range_deg=turn_deg),
        motion=motion,
        seed=seed,
    )
    geometry = experiment.geometry.model_copy(update={"n_channels": 128})
    raw = simulate(experiment.model_copy(update={"geometry": geometry})).raw
    sinogram = on_set_points(
        sinogram_of(raw),
        offsets_um=raw.readings.encoder_offset_um,
        rotations_rad=raw.readings.encoder_rotation_rad,
    )
    assert rotation_axis(sinogram).offset_um == pytest.approx(AXIS_UM, abs=0.05)


def test_a_found_axis_does_not_change():
    found = rotation_axis(scanned(packed_discs(within=25.0), n_offsets=61, n_angles=20))
    with pytest.raises(FrozenInstanceError):
        found.offset_um = 0.0
