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


def test_points_and_beam_time_of_several_planes():
    # Written out: 3 planes of 6 lines of 5 points, 1.25 s a point and 10 s more after each line.
    scan = Scan(
        n_offsets=5, step_um=2.0, n_angles=6, n_planes=3, plane_step_um=2.0, exposure_s=1.0,
        dead_time_s=0.25, line_gap_s=10.0,
    )  # fmt: skip
    assert scan.n_points == 90
    assert scan.beam_time_s == pytest.approx(90 * 1.25 + 18 * 10.0, rel=1e-14)
    assert scan.width_um == 10.0


def test_presets_are_the_scans_of_the_study():
    # Published: offsets, step in µm, angles and planes of its Methods; all over 180° at 10 ms.
    published = {
        "broad": (81, 50.0, 80, 1),
        "coarse": (81, 20.0, 81, 1),
        "coarse_degraded": (151, 10.0, 120, 1),
        "roi": (351, 1.0, 350, 1),
        "roi_degraded": (251, 1.0, 250, 1),
        "volume": (101, 2.0, 100, 20),
    }
    assert {
        name: (scan.n_offsets, scan.step_um, scan.n_angles, scan.n_planes)
        for name, scan in SCAN_PRESETS.items()
    } == published
    assert all((s.angle_range_deg, s.exposure_s) == (180.0, 0.01) for s in SCAN_PRESETS.values())
    assert SCAN_PRESETS["volume"].plane_step_um == 2.0
    assert not any(scan.interlaced for scan in SCAN_PRESETS.values())


@pytest.mark.parametrize(
    ("key", "least"),
    [
        ("n_offsets", 2), ("n_angles", 1), ("n_planes", 1), ("plane_step_um", 0.0),
        ("dead_time_s", 0.0), ("line_gap_s", 0.0), ("angles_deg", [-360.0]), ("step_um", 1e-9),
        ("exposure_s", 1e-9), ("angle_range_deg", 1e-9),
    ],
)  # fmt: skip
def test_the_least_a_scan_can_be_is_allowed_and_less_is_refused(key, least):
    # Limit: two offsets have a step between them, one angle and plane are a scan, pauses may be
    # nothing; a step, an exposure and a turn have some length, however small.
    rest = {"n_offsets": 5, "step_um": 1.0} | ({} if key == "angles_deg" else {"n_angles": 3})
    assert Scan(**rest | {key: least})
    less = {"angles_deg": [-361.0], "step_um": 0.0, "exposure_s": 0.0, "angle_range_deg": 0.0}
    with pytest.raises(ValidationError, match="greater than"):
        Scan(**rest | {key: less.get(key, least - 1 if key[:2] == "n_" else -1e-9)})


def test_a_scan_pauses_after_points_alone_unless_told():
    # Definition of the defaults: 10 ms and 0.95 ms for each of 30 points, in one plane, over 180°.
    assert UNIFORM.beam_time_s == pytest.approx(30 * 0.01095, rel=1e-14)
    assert (UNIFORM.n_points, UNIFORM.angle_range_deg, UNIFORM.plane_step_um) == (30, 180.0, 0.0)
    assert UNIFORM.order == "unidirectional"
    np.testing.assert_array_equal(UNIFORM.shifts_um, np.zeros(6))


def test_hundreds_of_angles_may_be_given():
    # Law: as many are measured as given, one by one, and in their order.
    angles = np.mod(np.arange(700) * 137.508, 360.0)
    scan = Scan(n_offsets=5, step_um=2.0, n_angles=700, angles_deg=angles.tolist())
    np.testing.assert_allclose(np.rad2deg(scan.angles_rad), angles, rtol=1e-14)
