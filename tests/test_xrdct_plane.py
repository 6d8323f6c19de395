"""Directions and places on a tilted detector, against pyFAI and closed forms."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyFAI.detectors import detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from forward.instrument import Unknowns, true_instrument
from xrdct.instrument import Beam, Detector, Geometry, detector_plane, ring_acceptance
from xrdct.plane import Plane, place_m, sight

PIXEL_M = 172e-6
SMALL = Detector(name="Pilatus100k")  # 195 × 487 pixels of 172 µm without gaps

poses = st.builds(
    Plane,
    distance_m=st.floats(0.1, 3.0),
    poni1_m=st.floats(-0.05, 0.08),
    poni2_m=st.floats(-0.05, 0.12),
    rot1_rad=st.floats(-0.6, 0.6),
    rot2_rad=st.floats(-0.6, 0.6),
    rot3_rad=st.floats(-3.1, 3.1),
)


def middles(detector):
    rows, columns = detector.shape
    return (np.arange(rows)[:, None] + 0.5) * PIXEL_M, (np.arange(columns) + 0.5) * PIXEL_M


@given(plane=poses)
@settings(max_examples=15)
def test_every_pixel_is_seen_where_pyfai_sees_it(plane):
    # Independent package: pyFAI at double precision, of the same PONI parameters.
    pyfai = AzimuthalIntegrator(
        dist=plane.distance_m, poni1=plane.poni1_m, poni2=plane.poni2_m, rot1=plane.rot1_rad,
        rot2=plane.rot2_rad, rot3=plane.rot3_rad, detector=detector_factory("Pilatus100k"),
    )  # fmt: skip
    seen = sight(plane, *middles(SMALL))
    two_theta = pyfai.center_array(unit="2th_rad", scale=False)
    # A pixel at the direct beam has 2θ = atan2(h, z) with h → 0: absolute, not relative, rounding.
    np.testing.assert_allclose(seen.two_theta_rad, two_theta, atol=1e-12)
    azimuth = pyfai.center_array(unit="chi_rad", scale=False)
    away = two_theta > 1e-6
    turn = np.angle(np.exp(1j * (seen.azimuth_rad - azimuth)))
    assert np.abs(turn[away]).max() < 1e-9
    # pyFAI gives the solid angle over that at normal incidence, L³/R³
    np.testing.assert_allclose(seen.cos_incidence**3, pyfai.solidAngleArray(SMALL.shape), rtol=1e-6)
    np.testing.assert_allclose(seen.range_m, plane.distance_m / seen.cos_incidence, rtol=1e-14)


@given(plane=poses, p1=st.floats(-0.1, 0.4), p2=st.floats(-0.1, 0.4))
def test_place_is_the_inverse_of_sight(plane, p1, p2):
    # Law: a place seen in a direction lies where that direction meets the plane. Rounding grows
    # with the range over the distance, at most 6 for these poses, and once more on the slope.
    seen = sight(plane, p1, p2)
    back1, back2 = place_m(plane, seen.two_theta_rad, seen.azimuth_rad)
    assert back1 == pytest.approx(p1, abs=1e-12)
    assert back2 == pytest.approx(p2, abs=1e-12)


@given(plane=poses, two_theta=st.floats(0.0, 0.4), azimuth=st.floats(-3.1, 3.1))
def test_sight_is_the_inverse_of_place(plane, two_theta, azimuth):
    # The other way round; directions that leave the plane behind have no place.
    place = place_m(plane, two_theta, azimuth)
    direction = np.array(
        [
            np.sin(two_theta) * np.sin(azimuth),
            np.sin(two_theta) * np.cos(azimuth),
            np.cos(two_theta),
        ]
    )
    if plane.rotation[:, 2] @ direction <= 0.05:
        return
    seen = sight(plane, *place)
    assert seen.two_theta_rad == pytest.approx(two_theta, abs=1e-10)
    if two_theta > 1e-3:
        assert np.exp(1j * seen.azimuth_rad) == pytest.approx(np.exp(1j * azimuth), abs=1e-7)


def test_directions_away_from_the_plane_meet_it_nowhere():
    # Geometry: a plane turned by rot1 has its normal at 2θ = rot1; what leaves at more than 90°
    # from it never arrives.
    plane = Plane(distance_m=1.0, poni1_m=0.0, poni2_m=0.0, rot1_rad=1.0)
    normal = plane.rotation[:, 2]
    azimuth = float(np.arctan2(normal[0], normal[1]))
    near = place_m(plane, 1.0, azimuth)
    assert near == pytest.approx((0.0, 0.0), abs=1e-12)
    grazing = np.deg2rad(90.0) - 1.0
    for beyond in (grazing + 1e-6, grazing + 0.5):
        assert np.isnan(place_m(plane, beyond, azimuth + np.pi)).all()
    assert np.isfinite(place_m(plane, grazing - 1e-3, azimuth + np.pi)).all()


@given(two_theta=st.floats(0.0, 1.2), azimuth=st.floats(-3.1, 3.1), distance=st.floats(0.1, 5.0))
def test_upright_detector_shows_circles(two_theta, azimuth, distance):
    # Closed form: r = D tan2θ around the foot of the perpendicular, at azimuth χ from the columns.
    plane = Plane(distance_m=distance, poni1_m=0.3, poni2_m=-0.2)
    p1, p2 = place_m(plane, two_theta, azimuth)
    radius = distance * np.tan(two_theta)
    assert p1 == pytest.approx(0.3 + radius * np.sin(azimuth), abs=1e-12)
    assert p2 == pytest.approx(-0.2 + radius * np.cos(azimuth), abs=1e-12)


def test_solid_angles_of_a_patch_add_up():
    # Closed form: a rectangle a × b seen from distance d on its corner's normal subtends
    # atan(ab/(d √(a² + b² + d²))); the midpoint sum over n² parts is right to 1/n² of relative
    # curvature, (a/d)²/(24 n²)·15.
    a, b, d, n = 0.1, 0.2, 0.3, 200
    plane = Plane(distance_m=d, poni1_m=0.0, poni2_m=0.0)
    steps = (np.arange(n) + 0.5) / n
    seen = sight(plane, (a * steps)[:, None], b * steps)
    total = np.sum(a * b / n**2 * seen.cos_incidence / seen.range_m**2)
    exact = np.arctan(a * b / (d * np.sqrt(a**2 + b**2 + d**2)))
    assert total == pytest.approx(exact, rel=15.0 * (b / d) ** 2 / 24.0 / n**2)


def test_detector_stands_upright_about_its_middle_unless_told():
    # Definition of the defaults: half of 1679 × 1475 pixels of 172 µm.
    plane = detector_plane(Geometry(), Detector())
    assert plane.poni1_m == pytest.approx(0.5 * 1679 * PIXEL_M, rel=1e-12)
    assert plane.poni2_m == pytest.approx(0.5 * 1475 * PIXEL_M, rel=1e-12)
    np.testing.assert_array_equal(plane.rotation, np.eye(3))
    moved = detector_plane(Geometry(poni1_m=0.0, poni2_m=-0.1, rot2_rad=0.2), Detector())
    assert (moved.poni1_m, moved.poni2_m, moved.rot2_rad) == (0.0, -0.1, 0.2)


@given(
    nominal=st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05), st.floats(-3.0, 3.0)),
    tilt=st.tuples(st.floats(-100.0, 100.0), st.floats(-100.0, 100.0)),
    centre=st.tuples(st.floats(-100.0, 100.0), st.floats(-100.0, 100.0)),
    ppm=st.floats(-1e4, 1e4),
)
def test_unknown_tilt_leaves_the_direct_beam_in_its_place(nominal, tilt, centre, ppm):
    # Definition: the direct beam (2θ = 0) meets the true detector at its nominal place plus the
    # stated pixels, whatever tilt and distance do.
    rot1, rot2, rot3 = nominal
    geometry = Geometry(rot1_rad=rot1, rot2_rad=rot2, rot3_rad=rot3, poni1_m=0.12)
    unknowns = Unknowns(
        distance_ppm=(ppm, ppm), tilt1_mrad=(tilt[0],) * 2, tilt2_mrad=(tilt[1],) * 2,
        centre1_px=(centre[0],) * 2, centre2_px=(centre[1],) * 2,
    )  # fmt: skip
    truth = true_instrument(unknowns, beam=Beam(), detector=SMALL, geometry=geometry, seed=0)
    before = place_m(detector_plane(geometry, SMALL), 0.0, 0.0)
    after = place_m(detector_plane(truth.geometry, SMALL), 0.0, 0.0)
    for axis in (0, 1):
        assert after[axis] - before[axis] == pytest.approx(centre[axis] * PIXEL_M, abs=1e-13)
    assert truth.geometry.distance_m == pytest.approx(0.7 * (1.0 + 1e-6 * ppm), rel=1e-15)
    assert truth.geometry.rot1_rad - rot1 == pytest.approx(1e-3 * tilt[0], abs=1e-15)
    assert truth.geometry.rot2_rad - rot2 == pytest.approx(1e-3 * tilt[1], abs=1e-15)
    assert truth.geometry.rot3_rad == rot3
    np.testing.assert_array_equal(truth.geometry.two_theta_rad, geometry.two_theta_rad)


def test_without_unknowns_the_true_geometry_is_the_nominal_one():
    truth = true_instrument(Unknowns(), beam=Beam(), detector=SMALL, geometry=Geometry(), seed=3)
    assert detector_plane(truth.geometry, SMALL) == detector_plane(Geometry(), SMALL)


def channels(**more):
    """Rings of 18 to 62 pixels' radius, which the small detector holds whole about its middle."""
    return Geometry(two_theta_min_deg=0.25, two_theta_max_deg=0.88, n_channels=40, **more)


@pytest.mark.parametrize(("tilt", "turn"), [(0.0, 0.0), (0.1, 0.0), (-0.2, 1.3)])
def test_whole_rings_are_seen_whole_under_any_tilt(tilt, turn):
    # Closed form: ½(1 + cos²2θ) for every ring that the detector holds whole, polarised or not.
    geometry = channels(rot3_rad=turn)
    unknowns = Unknowns(tilt1_mrad=(1e2 * tilt,) * 2, tilt2_mrad=(-5e1 * tilt,) * 2)
    held = true_instrument(unknowns, beam=Beam(), detector=SMALL, geometry=geometry, seed=0)
    for polarisation in (0.0, 0.98):
        acceptance = ring_acceptance(held.geometry, detector=SMALL, polarisation=polarisation)
        whole = 0.5 * (1.0 + np.cos(geometry.two_theta_rad) ** 2)
        np.testing.assert_allclose(acceptance, whole, rtol=1e-6)


@pytest.mark.parametrize("polarisation", [0.0, 0.98, -0.5])
def test_beam_on_edge_or_corner_shows_half_or_quarter_rings(polarisation):
    # Closed form: over a quarter or half turn ∫ cos2χ vanishes, so ¼ or ½ of ½(1 + cos²2θ), to
    # within one of the 4096 azimuths at each end.
    corner = channels(poni1_m=0.0, poni2_m=0.0)
    edge = channels(poni1_m=0.0, poni2_m=0.5 * 487 * PIXEL_M)
    for geometry, part in ((corner, 0.25), (edge, 0.5)):
        acceptance = ring_acceptance(geometry, detector=SMALL, polarisation=polarisation)
        whole = 0.5 * (1.0 + np.cos(geometry.two_theta_rad) ** 2)
        np.testing.assert_allclose(acceptance, part * whole, atol=2.0 / 4096)


def test_quarter_turn_about_the_beam_swaps_the_polarisation():
    # Law: turning the detector by rot3 = 90° about the beam is turning the polarisation, p → −p.
    # Rings at 10 to 20° reach past its long sides, where P differs by p sin²2θ from top to side.
    close = Geometry(distance_m=0.1, two_theta_min_deg=10.0, two_theta_max_deg=20.0, n_channels=32)
    turned = close.model_copy(
        update={
            "rot3_rad": 0.5 * np.pi,
            "poni1_m": 0.5 * 195 * PIXEL_M,
            "poni2_m": 0.5 * 487 * PIXEL_M,
        }
    )
    here, there, swapped = (
        ring_acceptance(geometry, detector=SMALL, polarisation=p)
        for geometry, p in ((close, 0.9), (turned, -0.9), (turned, 0.9))
    )
    np.testing.assert_allclose(there, here, atol=4.0 / 4096)
    assert np.abs(swapped - here).max() > 20.0 / 4096  # the test can fail


@pytest.mark.parametrize(
    "pose",
    [
        {"poni1_m": 0.01, "poni2_m": -0.02},
        {"rot1_rad": 0.05, "rot2_rad": -0.03, "rot3_rad": 0.4, "poni2_m": 0.06},
    ],
)
def test_acceptance_is_what_pixels_subtend_of_the_ring(pose):
    # Independent package: Σ P ΔΩ over pixels of a wide channel, angles and solid angles by pyFAI,
    # over 2π sin2θ Δ2θ. A pixel counts whole where its middle falls: across the two edges of a
    # channel some √N of N pixels along each are misplaced, in units of a pixel's solid angle;
    # five standard deviations of that (uniform within a pixel, σ = 1/√12) are allowed, and the
    # azimuths that the sum over 4096 misplaces at the detector's sides, one for each end of an arc.
    geometry = Geometry(two_theta_min_deg=1.0, two_theta_max_deg=6.0, n_channels=20, **pose)
    plane = detector_plane(geometry, SMALL)
    pyfai = AzimuthalIntegrator(
        dist=plane.distance_m, poni1=plane.poni1_m, poni2=plane.poni2_m, rot1=plane.rot1_rad,
        rot2=plane.rot2_rad, rot3=plane.rot3_rad, detector=detector_factory("Pilatus100k"),
    )  # fmt: skip
    solid = pyfai.solidAngleArray(SMALL.shape) * PIXEL_M**2 / plane.distance_m**2
    weight = solid * pyfai.polarization(SMALL.shape, factor=0.98)
    two_theta = pyfai.center_array(unit="2th_rad", scale=False)
    edges = np.deg2rad(np.linspace(1.0, 6.0, 21))
    ring = 2.0 * np.pi * np.sin(geometry.two_theta_rad) * geometry.channel_width_rad
    summed = np.histogram(two_theta, edges, weights=weight)[0] / ring
    acceptance = ring_acceptance(geometry, detector=SMALL, polarisation=0.98)
    radius_px = plane.distance_m * np.tan(geometry.two_theta_rad) / PIXEL_M
    misplaced = 5.0 * np.sqrt(2.0 * 2.0 * np.pi * radius_px / 12.0)
    bound = misplaced * solid.max() / ring + 4.0 / 4096
    assert np.all(np.abs(summed - acceptance) < bound)
    assert acceptance.max() > 30.0 * bound.min()  # the test can fail


def test_planes_are_compared_by_value_and_sights_are_not():
    # Law: numbers have one truth value, arrays have not. Neither record changes.
    plane = Plane(distance_m=1.0, poni1_m=0.1, poni2_m=0.2)
    assert plane == Plane(distance_m=1.0, poni1_m=0.1, poni2_m=0.2)
    assert len({plane, Plane(1.0, 0.1, 0.2), Plane(1.0, 0.1, 0.3)}) == 2
    with pytest.raises(FrozenInstanceError):
        plane.distance_m = 2.0
    seen = sight(plane, 0.1, 0.2)
    assert seen != sight(plane, 0.1, 0.2)
    with pytest.raises(FrozenInstanceError):
        seen.range_m = seen.two_theta_rad


def test_a_detector_that_is_told_no_rotation_stands_upright():
    # Definition of the defaults: the normal is the beam, rows are vertical.
    np.testing.assert_array_equal(Plane(1.0, 0.0, 0.0).rotation, np.eye(3))
