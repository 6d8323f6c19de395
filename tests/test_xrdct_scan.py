"""Scans: uniform or given angles, interlaced offsets, presets."""

import numpy as np
import pytest
from pydantic import ValidationError

from xrdct.scan import SCAN_PRESETS, Scan

UNIFORM = Scan(n_offsets=5, step_um=2.0, n_angles=6)
GOLDEN_DEG = tuple(float(a) for a in np.mod(np.arange(55) * 180.0 * (np.sqrt(5) - 1) / 2, 180.0))


def test_uniform_angles_begin_at_zero_and_leave_out_the_end():
    # Written out.
    np.testing.assert_allclose(np.rad2deg(UNIFORM.angles_rad), [0, 30, 60, 90, 120, 150])
    np.testing.assert_array_equal(UNIFORM.offsets_um, [-4, -2, 0, 2, 4])
    np.testing.assert_array_equal(
        UNIFORM.projection_offsets_um, np.tile(UNIFORM.offsets_um, (6, 1))
    )


def test_given_angles_are_taken_as_they_are():
    scan = Scan(n_offsets=5, step_um=2.0, angles_deg=[90.0, 0.0, -45.0])
    assert scan.n_angles == 3
    np.testing.assert_allclose(scan.angles_rad, [np.pi / 2, 0.0, -np.pi / 4])
    assert Scan.model_validate_json(scan.model_dump_json()) == scan


def test_given_angles_replace_those_of_a_preset():
    scan = Scan(preset="roi", angles_deg=GOLDEN_DEG)
    assert (scan.n_angles, scan.n_offsets, scan.step_um) == (55, 351, 1.0)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"angles_deg": [0.0, 1.0], "n_angles": 3}, "must be the number of angles_deg"),
        ({"angles_deg": [0.0, 1.0], "angle_range_deg": 360.0}, "exclude each other"),
        ({"angles_deg": []}, "at least 1"),
        ({"angles_deg": [0.0, 400.0]}, "less than or equal to 360"),
        ({"angles_deg": [0.0, float("nan")]}, "finite"),
    ],
)
def test_contradicting_angles_are_refused(given, rule):
    with pytest.raises(ValidationError, match=rule):
        Scan(n_offsets=5, step_um=1.0, **given)


def test_every_other_projection_of_an_interlaced_scan_lies_between():
    # Written out.
    scan = UNIFORM.model_copy(update={"interlaced": True})
    np.testing.assert_array_equal(scan.shifts_um, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(scan.projection_offsets_um[3], [-3, -1, 1, 3, 5])
    np.testing.assert_array_equal(scan.offsets_um, UNIFORM.offsets_um)
    assert scan.beam_time_s == UNIFORM.beam_time_s


def test_alias_free_diameters_of_the_study():
    # PHYSICS section 4: 2·N·step/π.
    expected = {"roi": 223, "roi_degraded": 159, "coarse": 1031, "broad": 2546}
    for name, diameter_um in expected.items():
        assert SCAN_PRESETS[name].alias_free_diameter_um == pytest.approx(diameter_um, abs=0.5)


@pytest.mark.parametrize("angle_range_deg", [180.0, 360.0])
def test_the_widest_gap_of_given_angles_decides_the_alias_free_diameter(angle_range_deg):
    # Limit: uniform angles, given one by one, are as good as uniform ones; an outlier is not.
    scan = Scan(n_offsets=5, step_um=2.0, n_angles=36, angle_range_deg=angle_range_deg)
    angles = np.rad2deg(scan.angles_rad)
    given = Scan(n_offsets=5, step_um=2.0, angles_deg=angles.tolist())
    assert given.alias_free_diameter_um == pytest.approx(scan.alias_free_diameter_um, rel=1e-9)
    half = np.sort(np.unique(np.round(angles % 180.0, 9)))
    without_one = Scan(n_offsets=5, step_um=2.0, angles_deg=np.delete(half, 3).tolist())
    assert without_one.alias_free_diameter_um == pytest.approx(
        0.5 * scan.alias_free_diameter_um, rel=1e-9
    )


def test_opposite_angles_count_modulo_half_a_turn():
    # Written out: 0°, 90°, 225° and 315° lie every 45°.
    scan = Scan(n_offsets=5, step_um=2.0, angles_deg=[0.0, 90.0, 225.0, 315.0])
    assert scan.alias_free_diameter_um == pytest.approx(2.0 * 2.0 / (np.pi / 4.0))
