"""Geometry from a calibrant's frame, against where the simulated detector truly stood.

The true 2θ of a pixel is that of the photons that the simulator counts in it on average, from its
own geometry and its own law of absorption in the sensor; pyFAI has no part in it.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from forward.conditions import ideal_conditions
from forward.faults import DetectorFaults
from forward.frames import expected_photons, frame_model, line_tables, recorded_counts
from forward.grains import Grains
from forward.instrument import Unknowns, true_instrument
from forward.philox import stream_key
from forward.sensor import parallax_mean_um
from forward.settings import Effects
from forward.virtual import prepare
from inverse.calibrate_geometry import calibrate_geometry
from inverse.pixel_bins import pyfai_integrator
from phantoms.particle import Particle, Shell
from phantoms.sample import Sample
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, detector_plane
from xrdct.plane import place_m, sight
from xrdct.scan import Scan

BEAM, DETECTOR, NOMINAL = Beam(), Detector(), Geometry()
UNKNOWNS = Unknowns(
    distance_ppm=(-300.0, 300.0),
    centre1_px=(-5.0, 5.0),
    centre2_px=(-5.0, 5.0),
    tilt1_mrad=(-5.0, 5.0),
    tilt2_mrad=(-5.0, 5.0),
)
FAULTS = DetectorFaults(
    flat_rms=0.02, n_known_dead=50, n_unknown_dead=20, n_hot=50, hot_per_s=1e4, zinger_per_s=20.0
)
PIXEL_M = 172e-6


@lru_cache(maxsize=4)
def _measured(crystal="LaB6", seed=1, *, sensor_parallax=True, exposure_s=10.0, faults=None):
    """Return the true geometry and the frame of a 50 µm sphere."""
    filling = Shell(phase=crystal, thickness_um=50.0, weight_fraction=1.0)
    sphere = Particle(
        centre_um=(0.0, 0.0, 0.0), diameter_um=50.0, shells=(filling,), crystallite_size_nm=1000.0
    )
    truth = true_instrument(UNKNOWNS, beam=BEAM, detector=DETECTOR, geometry=NOMINAL, seed=seed)
    virtual = prepare(
        Sample((sphere,)), beam=BEAM, detector=DETECTOR, geometry=NOMINAL, truth=truth,
        effects=Effects(sensor_parallax=sensor_parallax), frames=True,
    )  # fmt: skip
    model = frame_model(virtual, grains=Grains(), faults=faults or DetectorFaults(), seed=seed)
    scan = Scan(n_offsets=3, step_um=1.0, n_angles=1, exposure_s=exposure_s)
    tables = line_tables(
        model, scan=scan, conditions=ideal_conditions(scan, beam=BEAM), line=0, seed=seed,
        scan_number=0,
    )  # fmt: skip
    key = stream_key(seed, 0, 0)
    expected = expected_photons(model, tables, 1, key=key, frame=1)
    frame = recorded_counts(model, expected, exposure_s=exposure_s, key=key, frame=1)
    frame.flags.writeable = False
    return truth.geometry, frame


def _calibrated(frame, *, calibrant="LaB6", geometry=NOMINAL, sensor_parallax=True):
    crystal = load_crystal(calibrant) if isinstance(calibrant, str) else calibrant
    return calibrate_geometry(
        frame, calibrant=crystal, geometry=geometry, detector=DETECTOR, beam=BEAM,
        sensor_parallax=sensor_parallax,
    )  # fmt: skip


def _true_two_theta(geometry, *, sensor_parallax):
    plane = detector_plane(geometry, DETECTOR)
    rows, columns = (PIXEL_M * (np.arange(n) + 0.5) for n in DETECTOR.shape)
    entered = sight(plane, rows[:, None], columns).two_theta_rad
    if not sensor_parallax:
        return entered
    # Photons of 2θ count as if they had entered further out, by the mean displacement.
    two_theta = np.linspace(0.0, 0.4, 4001)
    outwards_m = 1e-6 * parallax_mean_um(
        two_theta, energy_keV=BEAM.energy_keV, sensor_um=DETECTOR.sensor_um
    )
    seen = two_theta + outwards_m * np.cos(two_theta) ** 2 / plane.distance_m
    return np.interp(entered, seen, two_theta)


def _errors_rad(found, true, *, sensor_parallax):
    """Return by how much the 2θ of every pixel is wrong, as an integration would have it."""
    integrator = pyfai_integrator(
        found, detector=DETECTOR, beam=BEAM, sensor_parallax=sensor_parallax
    )
    two_theta = integrator.center_array(unit="2th_rad", scale=False)
    return two_theta - _true_two_theta(true, sensor_parallax=sensor_parallax)


def _check(found, true, *, sensor_parallax=True, max_rad=6e-7):
    """Every pixel's 2θ is right within ``max_rad``, and what can be told of the parameters is."""
    errors = _errors_rad(found, true, sensor_parallax=sensor_parallax)
    assert np.abs(errors).max() < max_rad
    assert np.sqrt(np.mean(errors**2)) < 0.25 * max_rad
    assert abs(found.distance_m / true.distance_m - 1.0) < 2e-6
    centres = (place_m(detector_plane(g, DETECTOR), 0.0, 0.0) for g in (found, true))
    assert np.hypot(*np.subtract(*centres)) / PIXEL_M < 0.02
    refined = ("distance_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad")
    assert found.model_dump(exclude=set(refined)) == NOMINAL.model_dump(exclude=set(refined))


# Truth and tolerance of what follows: about 830 sectors, each located to 2.7e-3 px = 7e-7 rad with
# its floor, fix five parameters: 2θ is wrong by 7e-7 · √(5/830) = 5e-8 rad rms and by up to thrice
# that in the corners. Four times as much, 6e-7 and 1.5e-7 rms, never happens by chance; it is a
# fortieth of a pixel's hundredth. pyFAI's points alone miss it tenfold.


@pytest.mark.parametrize(("seed", "sensor_parallax"), [(1, True), (2, False)])
def test_every_pixel_gets_its_true_angle(seed, sensor_parallax):
    true, frame = _measured(seed=seed, sensor_parallax=sensor_parallax)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = _calibrated(frame, sensor_parallax=sensor_parallax)
    _check(found, true, sensor_parallax=sensor_parallax)
    # pyFAI shuffles with the generator that all share: it must be left as it was.
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.slow
def test_a_short_exposure_on_a_faulty_detector_is_enough():
    # 0.1 s: 400 counts in the tallest pixel. Sectors are then located to 0.017 px = 4e-6 rad, six
    # times worse than in the tests above: 2e-6 rad. Hot pixels and zingers stand in the frame.
    true, frame = _measured(seed=3, exposure_s=0.1, faults=FAULTS)
    assert 300 < np.percentile(frame, 99.99) < 500
    assert np.sum(frame == -2) == FAULTS.n_known_dead
    _check(_calibrated(frame), true, max_rad=2e-6)


@pytest.mark.slow
def test_ignoring_the_sensor_is_seen_in_the_distance():
    # Truth: PHYSICS 4. Where 2θ does not allow for depth, rings displaced outwards by 1/µ sin 2θ
    # are explained by a detector further away by cos 2θ/(µD): 2.3e-4 · cos 2θ with 160 µm at
    # 0.7 m, cos 2θ between 0.97 and 1 on this detector.
    true, frame = _measured(seed=1)
    found = _calibrated(frame, sensor_parallax=False)
    assert 0.96 * 2.29e-4 < found.distance_m / true.distance_m - 1.0 < 1.01 * 2.29e-4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(11, 16))
@pytest.mark.parametrize("sensor_parallax", [True, False])
def test_any_true_geometry_is_found(seed, sensor_parallax):
    true, frame = _measured(seed=seed, sensor_parallax=sensor_parallax)
    _check(
        _calibrated(frame, sensor_parallax=sensor_parallax), true, sensor_parallax=sensor_parallax
    )


@pytest.mark.slow
@pytest.mark.parametrize("crystal", ["CeO2", "Si"])
def test_other_calibrants_do_as_well(crystal):
    true, frame = _measured(crystal, 4, faults=FAULTS)
    _check(_calibrated(frame, calibrant=crystal), true)


@pytest.mark.slow
def test_the_same_frame_gives_the_same_geometry_to_the_bit():
    # Truth: nothing random is left; the second time starts with another state of the generator.
    _, frame = _measured(seed=1)
    first = _calibrated(frame)
    np.random.random(10)  # noqa: NPY002
    assert _calibrated(frame) == first


@pytest.mark.slow
def test_a_start_from_the_answer_changes_nothing():
    # Truth: a fixed point. What pyFAI's points leave is taken away wherever they started; the last
    # step is below 2e-4 px, and the one after it would be below 1e-2 of that: 5e-10 rad.
    true, frame = _measured(seed=1)
    found = _calibrated(frame)
    again = _calibrated(frame, geometry=found)
    errors = [_errors_rad(g, true, sensor_parallax=True) for g in (found, again)]
    assert np.abs(errors[0] - errors[1]).max() < 2e-8


@pytest.mark.parametrize("per_pixel", [0.0, 0.1, pytest.param(100.0, marks=pytest.mark.slow)])
def test_frames_without_rings_are_refused(per_pixel):
    # Truth: there are none. Points picked in windows that are a quarter of the rings' spacing wide
    # to either side, 7 to 25 px, scatter by 7/√3 = 4 px or more.
    counts = np.random.default_rng(5).poisson(per_pixel, DETECTOR.shape)
    frame = np.where(DETECTOR.live, counts, -1).astype(np.int32)
    expected = "finds 0" if per_pixel == 0.0 else r"scatter by \d"
    with pytest.raises(InputError, match=expected):
        _calibrated(frame)


def test_another_calibrant_is_refused():
    _, frame = _measured(seed=1)
    with pytest.raises(InputError, match="points on rings of Si must fit one geometry"):
        _calibrated(frame, calibrant="Si")


def test_a_scaled_cell_is_refused_for_the_distance_it_would_take():
    # Truth: rings of a cell 0.3 % too large are as wide from a detector 0.3 % further away.
    _, frame = _measured(seed=1)
    with pytest.raises(InputError, match=r"distance would change by 0\.003\d*, more than 0\.002"):
        _calibrated(frame, calibrant=load_crystal("LaB6").scaled(1.003))


@pytest.mark.slow
def test_a_distorted_cell_is_refused_for_its_rings():
    # Truth: with c 0.1 % too long, (002) and (004) of graphite, at 300 and 604 px, should stand
    # 0.3 and 0.6 px further in beside (100) and (110), which know no c. One distance cannot mend
    # it, and leaves a part of that.
    _, frame = _measured("graphite", 3)
    graphite = load_crystal("graphite")
    assert _calibrated(frame, calibrant=graphite).distance_m == pytest.approx(0.7, rel=5e-4)
    a_A, _, c_A, *angles_deg = graphite.cell_A_deg
    with pytest.raises(InputError, match=r"rings of graphite must fit .* deviate by 0\.[1-4]"):
        _calibrated(
            frame, calibrant=replace(graphite, cell_A_deg=(a_A, a_A, 1.001 * c_A, *angles_deg))
        )


@pytest.mark.slow
def test_a_nominal_centre_far_off_is_refused():
    # Truth: 60 px are more than a quarter of any two rings' spacing.
    _, frame = _measured(seed=1)
    far = Geometry(poni1_m=0.5 * 1679 * PIXEL_M + 60.0 * PIXEL_M)
    with pytest.raises(InputError, match="must fit one geometry"):
        _calibrated(frame, geometry=far)


def test_frames_of_another_shape_and_rings_off_the_detector_are_refused():
    frame = np.zeros(DETECTOR.shape, np.int32)
    with pytest.raises(InputError, match=r"must have the detector's shape \(1679, 1475\)"):
        _calibrated(frame[:-1])
    # From 15 m the corners look at 0.7°: LaB6 (100) is at 3.4°.
    with pytest.raises(InputError, match=r"at least 3 separate rings on the detector.* has 0"):
        _calibrated(frame, geometry=Geometry(distance_m=15.0))


@pytest.mark.slow
def test_rings_that_have_not_settled_are_refused(monkeypatch):
    # Truth: with four counts in the tallest pixel (1 ms) points are picked a pixel or so wrong, and
    # one pass over all pixels mends that but cannot know whether it was enough.
    monkeypatch.setattr("inverse.calibrate_geometry._PASSES", 1)
    _, frame = _measured(seed=6, exposure_s=0.001)
    told = r"must settle, but those of LaB6 still move by \d\.\d+ pixel after 1"
    with pytest.raises(InputError, match=told):
        _calibrated(frame)
