"""A drift of the sample across the beam, found and taken out again."""

import numpy as np
import pytest

from forward.motion import Motion
from inverse.alignment import AlignmentMethod
from inverse.drift import drift, straightened
from inverse.positions import on_set_points
from inverse.sinogram import Sinogram, sinogram_of
from phantoms.library import Electrode
from validation.experiment import Experiment
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.scan import Scan

AXIS_UM = 1.2


def packed_discs(*, within, seed=1):
    """Discs that do not overlap, (disc, 3) of x, y and radius, in a circle of radius ``within``."""
    rng = np.random.Generator(np.random.Philox(seed))
    discs = np.empty((0, 3))
    for _ in range(2500):
        radius, turn = rng.uniform(2.0, 6.0), rng.uniform(0, 2 * np.pi)
        x, y = (within - radius) * np.sqrt(rng.uniform()) * np.array([np.cos(turn), np.sin(turn)])
        if (np.hypot(discs[:, 0] - x, discs[:, 1] - y) > discs[:, 2] + radius).all():
            discs = np.vstack([discs, [x, y, radius]])
    return discs


def scanned(discs, *, displacement_um, n_offsets, n_angles, turn=np.pi, noise=0.0):
    """Closed form: chords averaged over a beam of a step, seen beside the axis and displaced."""
    angles = turn * np.arange(n_angles) / n_angles
    offsets = np.arange(n_offsets) - 0.5 * (n_offsets - 1)
    lines = np.zeros((n_angles, n_offsets))
    for x, y, r in discs:
        seen = x * np.cos(angles) + y * np.sin(angles) + AXIS_UM + displacement_um
        t = offsets - seen[:, None]
        low, high = np.clip(t - 0.5, -r, r), np.clip(t + 0.5, -r, r)
        area = [u * np.sqrt(r * r - u * u) + r * r * np.arcsin(u / r) for u in (low, high)]
        lines += area[1] - area[0]
    rng = np.random.Generator(np.random.Philox(5))
    lines += noise * lines.mean() * rng.standard_normal(lines.shape)
    values = np.zeros((n_angles, n_offsets, 5), np.float32)
    values[..., 2] = lines
    return Sinogram(
        values=values,
        variance=np.ones_like(values),
        transmission=np.exp(-1e-3 * lines),
        angles_rad=angles,
        step_um=1.0,
        axis_offset_um=0.0,
        two_theta_rad=np.linspace(0.1, 0.2, 5),
        distance_m=0.7,
    )


def harmful(displacement_um, angles_rad):
    """What a displacement is beside a shift of the sample and the axis, (angle,)."""
    harmless = np.stack([np.cos(angles_rad), np.sin(angles_rad), np.ones(angles_rad.size)], axis=1)
    fit = np.linalg.lstsq(harmless, displacement_um, rcond=None)[0]
    return displacement_um - harmless @ fit


def steady(total_um, n_angles):
    return np.linspace(-0.5, 0.5, n_angles) * total_um


def test_a_drift_of_a_sample_in_view_is_found_and_taken_out():
    # Closed form: a planted drift; the straightened sinogram is that of a sample at rest. Cubic
    # interpolation of chords under a beam of a step leaves 3 % of their spread.
    discs = packed_discs(within=25.0)
    planted = steady(4.0, 90)
    still, moved = (
        scanned(discs, displacement_um=d, n_offsets=81, n_angles=90) for d in (0 * planted, planted)
    )
    found = drift(moved)
    assert found.method is AlignmentMethod.CENTRE_OF_MASS
    assert found.axis_offset_um == pytest.approx(AXIS_UM, abs=0.01)
    np.testing.assert_allclose(found.displacement_um, planted, atol=0.02)
    straight = straightened(moved)
    assert straight.axis_offset_um == found.axis_offset_um

    def error(sinogram):
        expected = still.values[..., 2]
        return np.std(sinogram.values[..., 2] - expected) / np.std(expected)

    assert error(straight) < 0.03
    assert error(moved) > 0.1


@pytest.mark.parametrize("degree", [1, 3])
def test_a_drift_over_a_full_turn_is_found_from_opposites(degree):
    # Closed form: a window of 121 rays in a sample twice as wide, 2 % of noise. The mirrors of
    # pairs, 8 together, scatter by some hundredths of a step.
    planted = steady(5.0, 180) + (degree == 3) * 1.5 * np.linspace(-1, 1, 180) ** 2
    planted -= planted.mean()
    moved = scanned(
        packed_discs(within=110.0), displacement_um=planted, n_offsets=121, n_angles=180,
        turn=2 * np.pi, noise=0.02,
    )  # fmt: skip
    found = drift(moved, degree=degree)
    assert found.method is AlignmentMethod.OPPOSITES
    left = harmful(found.displacement_um - planted, moved.angles_rad)
    assert np.sqrt(np.mean(left**2)) < 0.05
    assert found.axis_offset_um == pytest.approx(AXIS_UM, abs=0.15)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_harmful_part_of_a_drift_in_a_window_is_found_by_sharpness(seed):
    # Closed form: over half a turn a steady drift is a shift of the sample but for 3.4 % of it that
    # blurs the image, 0.27 µm RMS of 8 µm. At most a fifth of it, 0.05 µm, may be left.
    planted = steady(8.0, 120)
    moved = scanned(
        packed_discs(within=110.0, seed=seed), displacement_um=planted, n_offsets=121,
        n_angles=120, noise=0.02,
    )  # fmt: skip
    before = harmful(planted, moved.angles_rad)
    assert np.sqrt(np.mean(before**2)) == pytest.approx(0.034 * 8.0, rel=0.05)
    found = drift(moved)
    assert found.method is AlignmentMethod.SHARPNESS
    left = harmful(found.displacement_um - planted, moved.angles_rad)
    assert np.sqrt(np.mean(left**2)) < 0.05
    assert found.axis_offset_um == pytest.approx(AXIS_UM, abs=0.05)


def test_a_sample_at_rest_is_left_there():
    # Limit: no drift.
    still = scanned(packed_discs(within=25.0), displacement_um=0.0, n_offsets=81, n_angles=90)
    np.testing.assert_allclose(drift(still).displacement_um, 0.0, atol=0.02)


def test_times_say_when_a_drift_acted():
    # Closed form: a pause in the middle of the scan, during which the sample moves on.
    times_s = np.arange(90) + 200.0 * (np.arange(90) >= 40)
    planted = 2e-2 * (times_s - times_s.mean())
    moved = scanned(packed_discs(within=25.0), displacement_um=planted, n_offsets=81, n_angles=90)
    of_points = times_s[:, None] + np.linspace(-0.4, 0.4, 81)
    of_points[1::2] = of_points[1::2, ::-1]
    for times in (times_s, of_points):
        found = drift(moved, times_s=times)
        np.testing.assert_allclose(found.displacement_um, planted, atol=0.02)
    assert np.abs(drift(moved).displacement_um - planted).max() > 0.5


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"degree": 0}, "degree must be"),
        ({"degree": 7}, "degree must be"),
        ({"times_s": np.zeros(20)}, "differ"),
        ({"times_s": np.arange(21.0)}, "one for each"),
        ({"times_s": np.full(20, np.nan)}, "finite"),
    ],
)
def test_impossible_times_and_degrees_are_refused(given, rule):
    still = scanned(packed_discs(within=25.0), displacement_um=0.0, n_offsets=81, n_angles=20)
    with pytest.raises(InputError, match=rule):
        drift(still, **given)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [31, 32, 33])
@pytest.mark.parametrize("turn_deg", [180.0, 360.0])
def test_a_simulated_drift_is_straightened(seed, turn_deg):
    # The simulator's drift, with noise, spotty rings and jitter, in a window of 161 µm in 400 µm:
    # what is left blurs the image by no more than the jitter of the stages does.
    scan = Scan(n_offsets=161, step_um=1.0, n_angles=240, angle_range_deg=turn_deg)
    hours = scan.beam_time_s / 3600.0
    experiment = Experiment(
        sample=Electrode(diameter_um=400.0, grain_um=0.2),
        scan=scan,
        motion=Motion(axis_offset_um=-AXIS_UM, drift_um_per_h=-8.0 / hours, jitter_um=0.05),
        seed=seed,
    )
    geometry = experiment.geometry.model_copy(update={"n_channels": 128})
    raw = simulate(experiment.model_copy(update={"geometry": geometry})).raw
    sinogram = on_set_points(sinogram_of(raw), offsets_um=raw.readings.encoder_offset_um)
    found = drift(sinogram, times_s=raw.readings.time_s)
    left = harmful(found.displacement_um - steady(8.0, 240), sinogram.angles_rad)
    assert np.sqrt(np.mean(left**2)) < 0.05
    assert found.axis_offset_um == pytest.approx(AXIS_UM + 4.0, abs=0.05)
    again = drift(straightened(sinogram, times_s=raw.readings.time_s), times_s=raw.readings.time_s)
    left = harmful(again.displacement_um, sinogram.angles_rad)
    assert np.sqrt(np.mean(left**2)) < 0.05
