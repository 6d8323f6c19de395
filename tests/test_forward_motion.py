"""Motion: order and times of the exposures, true and read positions."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from pydantic import ValidationError

from forward.motion import Motion, acquisition_order, point_times_s, positions
from xrdct.scan import Scan

SCAN = Scan(n_offsets=4, step_um=2.0, n_angles=3, exposure_s=1.0, dead_time_s=0.25, line_gap_s=10.0)
WIDE = Scan(n_offsets=500, step_um=1.0, n_angles=400, angle_range_deg=360.0)


def test_unidirectional_lines_all_run_forwards():
    # Closed form: 1.25 s a point, 4 · 1.25 + 10 s a line.
    expected = np.arange(3)[:, None] * 15.0 + np.arange(4) * 1.25
    np.testing.assert_allclose(point_times_s(SCAN), expected, rtol=1e-14)
    np.testing.assert_array_equal(acquisition_order(SCAN), np.arange(12))


def test_zigzag_turns_every_second_line_round():
    # Written out by hand.
    scan = SCAN.model_copy(update={"order": "zigzag"})
    expected = [[0.0, 1.25, 2.5, 3.75], [18.75, 17.5, 16.25, 15.0], [30.0, 31.25, 32.5, 33.75]]
    np.testing.assert_allclose(point_times_s(scan), expected, rtol=1e-14)
    np.testing.assert_array_equal(acquisition_order(scan), [0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11])


@pytest.mark.parametrize("order", ["zigzag", "unidirectional"])
def test_order_sorts_the_times(order):
    # Definition: time grows along the order, each exposure beginning after the last has ended.
    scan = WIDE.model_copy(update={"order": order})
    in_order = point_times_s(scan).ravel()[acquisition_order(scan)]
    assert np.diff(in_order).min() >= scan.exposure_s
    assert sorted(acquisition_order(scan)) == list(range(scan.n_points))


def test_a_scan_without_gaps_lasts_its_beam_time():
    # Limit: the last exposure and its dead time end the scan.
    end_s = point_times_s(WIDE).max() + WIDE.exposure_s + WIDE.dead_time_s
    assert end_s == pytest.approx(WIDE.beam_time_s, rel=1e-12)


def test_perfect_stages_go_where_they_are_asked_to():
    # Limit: every error zero.
    where = positions(Motion(), scan=SCAN, seed=1)
    for offsets in (where.true_offset_um, where.encoder_offset_um):
        np.testing.assert_array_equal(offsets, np.tile(SCAN.offsets_um, (3, 1)))
    for rotation in (where.true_rotation_rad, where.encoder_rotation_rad):
        np.testing.assert_array_equal(rotation, SCAN.angles_rad)


def test_wobble_is_a_shifted_sample():
    # Closed form: moving all of the sample by −w (sin φ, cos φ), at whatever rotation, raises by
    # x cos ω + y sin ω, (x, y) = w (sin φ, cos φ), the distance of the beam from any point in it.
    motion = Motion(wobble_um=3.0, wobble_phase_deg=35.0, axis_offset_um=-7.0)
    where = positions(motion, scan=WIDE, seed=1)
    phase = np.deg2rad(35.0)
    x, y = 3.0 * np.sin(phase), 3.0 * np.cos(phase)
    shift = x * np.cos(WIDE.angles_rad) + y * np.sin(WIDE.angles_rad) - 7.0
    expected = WIDE.offsets_um + shift[:, None]
    np.testing.assert_allclose(where.true_offset_um, expected, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(where.encoder_offset_um[5], WIDE.offsets_um)


def test_errors_have_the_stated_size_and_the_encoder_sees_the_stage():
    # Law: RMS of n normal draws is σ within 5σ/√(2n); false alarm < 1e-6 each.
    motion = Motion(
        jitter_um=0.3, encoder_noise_um=0.05, rotation_error_mrad=2.0, encoder_noise_mrad=0.5
    )
    where = positions(motion, scan=WIDE, seed=3)
    errors = [
        (where.true_offset_um - WIDE.offsets_um, 0.3),
        (where.encoder_offset_um - where.true_offset_um, 0.05),
        (1e3 * (where.true_rotation_rad - WIDE.angles_rad), 2.0),
        (1e3 * (where.encoder_rotation_rad - where.true_rotation_rad), 0.5),
    ]
    for error, rms in errors:
        relative = 5.0 / np.sqrt(2.0 * error.size)
        assert np.sqrt(np.mean(error**2)) == pytest.approx(rms, rel=relative)
        assert abs(error.mean()) < 5.0 * rms / np.sqrt(error.size)


def test_errors_are_independent_of_each_other():
    # Law: correlation of n independent pairs is below 5/√n; false alarm < 1e-6.
    motion = Motion(jitter_um=1.0, encoder_noise_um=1.0)
    where = positions(motion, scan=WIDE, seed=4)
    jitter = (where.true_offset_um - WIDE.offsets_um).ravel()
    noise = (where.encoder_offset_um - where.true_offset_um).ravel()
    for one, other in ((jitter, noise), (jitter[:-1], jitter[1:])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5.0 / np.sqrt(one.size)


def test_switching_one_error_on_leaves_the_others():
    # Law: each effect has draws of its own.
    alone = positions(Motion(jitter_um=0.3), scan=WIDE, seed=5)
    both = positions(Motion(jitter_um=0.3, rotation_error_mrad=1.0), scan=WIDE, seed=5)
    np.testing.assert_array_equal(alone.true_offset_um, both.true_offset_um)


def test_seed_and_scan_number_name_the_draw():
    motion = Motion(jitter_um=0.3)
    drawn = [
        positions(motion, scan=SCAN, seed=seed, scan_number=number).true_offset_um
        for seed, number in ((1, 0), (1, 0), (2, 0), (1, 1))
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.any(drawn[0] == drawn[2])
    assert not np.any(drawn[0] == drawn[3])


def test_a_drift_grows_with_time_and_no_encoder_sees_it():
    # Closed form: v τ, from the start of the experiment; the third line begins after 30 s.
    motion = Motion(drift_um_per_h=-3600.0)
    where = positions(motion, scan=SCAN, seed=1)
    moved = where.true_offset_um - SCAN.offsets_um
    np.testing.assert_allclose(moved, -point_times_s(SCAN), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(where.encoder_offset_um, np.tile(SCAN.offsets_um, (3, 1)))
    later = positions(motion, scan=SCAN, seed=1, start_s=100.0)
    np.testing.assert_allclose(later.true_offset_um, where.true_offset_um - 100.0, atol=1e-12)


def test_without_drift_nothing_moves_by_a_bit():
    # Law: zero is added.
    motion = Motion(jitter_um=0.3, axis_offset_um=1.3, wobble_um=0.1)
    one = positions(motion, scan=WIDE, seed=5)
    other = positions(motion, scan=WIDE, seed=5, start_s=1e4)
    np.testing.assert_array_equal(one.true_offset_um, other.true_offset_um)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(5, spawn_key=(0x6D6F74, 0))))
    stage_um = WIDE.offsets_um + 0.3 * rng.standard_normal((400, 500))
    expected = stage_um + (1.3 + 0.1 * np.sin(WIDE.angles_rad))[:, None]
    np.testing.assert_array_equal(one.true_offset_um, expected)


def test_stages_follow_an_interlaced_scan():
    # Written out: the second line lies half a step of 2 µm further.
    scan = SCAN.model_copy(update={"interlaced": True})
    where = positions(Motion(), scan=scan, seed=1)
    for offsets in (where.true_offset_um, where.encoder_offset_um):
        np.testing.assert_array_equal(offsets - SCAN.offsets_um, [[0.0] * 4, [1.0] * 4, [0.0] * 4])


def test_a_scan_alone_is_number_zero():
    # Definition: scans count from 0, and a call that names none is of the first.
    motion = Motion(jitter_um=0.3)
    alone = positions(motion, scan=SCAN, seed=1)
    first = positions(motion, scan=SCAN, seed=1, scan_number=0)
    np.testing.assert_array_equal(alone.true_offset_um, first.true_offset_um)


def test_one_turn_of_the_wobbles_phase_either_way_is_allowed():
    # Law: phases are periodic, so −360°, 0° and 360° place the run-out alike; 2π rounds to 4e-16.
    motions = [Motion(wobble_um=2.0, wobble_phase_deg=turn) for turn in (-360.0, 0.0, 360.0)]
    offsets = [positions(motion, scan=SCAN, seed=1).true_offset_um for motion in motions]
    np.testing.assert_allclose(offsets[0], offsets[1], atol=1e-14)
    np.testing.assert_allclose(offsets[2], offsets[1], atol=1e-14)


def test_positions_are_one_record_each_that_does_not_change():
    # Law: arrays have no one truth value, so records of them are equal only to themselves.
    where = positions(Motion(), scan=SCAN, seed=1)
    assert where != positions(Motion(), scan=SCAN, seed=1)
    assert where in {where}
    with pytest.raises(FrozenInstanceError):
        where.true_rotation_rad = where.encoder_rotation_rad


@pytest.mark.parametrize(
    "key",
    ["jitter_um", "encoder_noise_um", "wobble_um", "rotation_error_mrad", "encoder_noise_mrad"],
)
def test_an_amplitude_below_zero_is_refused(key):
    # Limit: an RMS is a root, and a negative amplitude of the run-out is another phase.
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Motion(**{key: -1e-9})


def test_stages_err_in_nothing_unless_told():
    # Definition of the defaults.
    assert set(Motion().model_dump().values()) == {0.0}


def test_a_slow_drift_is_a_drift():
    # Closed form: 9 µm/h is 0.0025 µm/s; the last point is taken after 33.75 s.
    where = positions(Motion(drift_um_per_h=9.0), scan=SCAN, seed=1)
    moved = where.true_offset_um - SCAN.offsets_um
    np.testing.assert_allclose(moved, 0.0025 * point_times_s(SCAN), rtol=0, atol=1e-12)
    assert moved[-1, -1] == pytest.approx(0.0025 * 33.75, rel=1e-9)
