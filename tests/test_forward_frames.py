"""Frames: against pattern mode, pyFAI's angles, laws and statistics."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from forward.conditions import ideal_conditions
from forward.faults import DetectorFaults
from forward.frame_scan import QUIET_COUNTS_PER_PHOTON, FrameScanner
from forward.frames import expected_photons, frame_model, line_tables
from forward.grains import Grains
from forward.instrument import Unknowns, true_instrument
from forward.philox import stream_key
from forward.projection import exit_corrected, expected_line
from forward.sensor import attenuation_per_um
from forward.settings import Effects
from forward.virtual import prepare
from inverse.integration import Integration
from inverse.pixel_bins import pixel_bins, pyfai_integrator
from phantoms.particle import Particle
from phantoms.sample import Sample
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

BEAM = Beam(flux_per_s=1e12)
FULL = Detector()
SMALL = Detector(name="Pilatus300k")  # 619 × 487 pixels of 172 µm, two gaps of 17 rows
GEOMETRY = Geometry(n_channels=512, two_theta_min_deg=2.5, two_theta_max_deg=10.0)
SCAN = Scan(n_offsets=3, step_um=2.0, n_angles=2)
QUIET = Effects(noise=False, charge_sharing=False, dead_time=False)
COUNTED = Effects(charge_sharing=False, dead_time=False, grains=False)
PARTICLES = (
    Particle(centre_um=(0.0, 200.0, 0.0), diameter_um=40.0, x=0.9),
    Particle(centre_um=(5.0, -100.0, 0.0), diameter_um=30.0, x=0.8),
)
KEY = stream_key(1)


def prepared(
    *, particles=PARTICLES, detector=SMALL, geometry=GEOMETRY, effects=QUIET, frames=True,
    beam=BEAM, **unknowns,
):  # fmt: skip
    ranges = {name: (value, value) for name, value in unknowns.items()}
    truth = true_instrument(
        Unknowns(**ranges), beam=beam, detector=detector, geometry=geometry, seed=0
    )
    return prepare(
        Sample(tuple(particles)), beam=beam, detector=detector, geometry=geometry, truth=truth,
        effects=effects, frames=frames,
    )  # fmt: skip


def model_of(*, faults=None, grains=None, **more):
    faults = faults or DetectorFaults()
    return frame_model(prepared(**more), grains=grains or Grains(), faults=faults, seed=1)


def tables_of(model, *, scan=SCAN, seed=1):
    conditions = ideal_conditions(scan, beam=model.virtual.beam)
    return line_tables(model, scan=scan, conditions=conditions, line=0, seed=seed, scan_number=0)


def mean_frame(model, *, offset=1):
    return expected_photons(model, tables_of(model), offset, key=KEY, frame=offset).astype(float)


def pattern(geometry, **more):
    """Photons per radian of whole rings by pattern mode, times the efficiency."""
    virtual = prepared(frames=False, geometry=geometry, detector=FULL, **more)
    conditions = ideal_conditions(SCAN, beam=BEAM)
    expected = expected_line(virtual, scan=SCAN, conditions=conditions, line=0)
    exit_corrected(virtual, expected.counts, offsets_um=SCAN.offsets_um, angle_rad=0.0)
    share = virtual.library.gain * geometry.channel_width_rad / FULL.efficiency
    return expected.counts[1].astype(float) / share


class Integrated:
    """Means over the pixels of each channel, in double precision."""

    def __init__(self, frame, geometry, *, detector=FULL, sensor_parallax=True):
        integration = Integration(sensor_parallax=sensor_parallax)
        bins = pixel_bins(geometry, detector=detector, beam=BEAM, integration=integration)
        pyfai = pyfai_integrator(
            geometry, detector=detector, beam=BEAM, sensor_parallax=sensor_parallax
        )
        angle = np.asarray(pyfai.center_array(unit="2th_rad", scale=False)).ravel()
        self.two_theta = angle[bins.pixel]
        self.n_pixels = np.diff(bins.start)
        self.channel = np.repeat(np.arange(bins.n_channels), self.n_pixels)
        self.weight, self.bins = bins.weight.astype(float), bins
        self.value = self.mean(frame.ravel()[bins.pixel] / self.weight) * bins.ring_factor

    def mean(self, per_pixel):
        total = np.bincount(self.channel, self.weight * per_pixel)
        return total / np.bincount(self.channel, self.weight)

    def of(self, curve):
        """What this integration makes of photons per radian given as a function of 2θ."""
        return self.mean(curve(self.two_theta) / np.sin(self.two_theta)) * np.sin(
            self.bins.two_theta_rad
        )


def lattice_shift_A(seen, reference, slope):
    """Least-squares change of lattice parameter from one pattern to another very like it.

    ``slope`` is the reference's derivative by 2θ; a larger lattice moves lines inwards by
    2 tanθ/a. Differences in height and those symmetric about lines do not count.
    """
    by_lattice = slope * 2.0 * np.tan(0.5 * GEOMETRY.two_theta_rad) / 8.2
    by_lattice -= reference * (by_lattice @ reference) / (reference @ reference)
    scale = (seen @ reference) / (reference @ reference)
    return (seen / scale - reference) @ by_lattice / (by_lattice @ by_lattice)


def across_channels(curve):
    """Mean of J′ over each channel."""
    centre, half = GEOMETRY.two_theta_rad, 0.5 * GEOMETRY.channel_width_rad
    return (curve(centre + half) - curve(centre - half)) / (2.0 * half)


def derivatives(curve, two_theta, *, h=1e-5):
    """J′ and J″ of a curve."""
    below, here, above = (curve(two_theta + step) for step in (-h, 0.0, h))
    return (above - below) / (2.0 * h), (above - 2.0 * here + below) / h**2


def smooth_curve(**more):
    """Pattern mode's photons per radian as a function of 2θ, from channels eight times as narrow.

    Their box of width w adds w²/12 of variance, w²/24 of the second derivative: taken off. They
    reach as far as the detector does, so that the same lines leave their tails.
    """
    geometry = Geometry(two_theta_min_deg=2.4, two_theta_max_deg=15.3, n_channels=7000)
    spline = CubicSpline(geometry.two_theta_rad, pattern(geometry, **more))
    return lambda t: spline(t) - geometry.channel_width_rad**2 / 24.0 * spline(t, 2)


POSES = {
    "upright": {},
    "tilted": {"tilt1_mrad": 4.0, "tilt2_mrad": -3.0, "centre1_px": 1.3, "centre2_px": -20.7},
}


def posed(pose):
    ranges = {name: (value, value) for name, value in POSES[pose].items()}
    return true_instrument(
        Unknowns(**ranges), beam=BEAM, detector=FULL, geometry=GEOMETRY, seed=0
    ).geometry


NODE_RAD = 172e-6 / 0.7 / 8.0


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("sensor", [False, True])
def test_frames_integrate_to_what_pattern_mode_says(pose, sensor):
    # Two ways to the same numbers: pattern mode's curve, read at pyFAI's angle of every pixel and
    # averaged over the pixels of a channel, against the frame averaged over the same pixels. Left:
    # interpolation between nodes, h²/12 of J″ at a node and random from pixel to pixel, of which
    # five times that over the root of their number is allowed; single precision of a pixel's place
    # among n nodes, n 6e-8 h of the slope, random too; and rings moved outwards by ε = 1/(µD),
    # 2.2e-4 of their radius, and back: ε for the ring's length, and up to 2ε for tails that a line
    # takes along as a whole. Against the truth of the sensor that is a matter of height alone.
    effects = QUIET.model_copy(update={"sensor_parallax": sensor})
    geometry = posed(pose)
    frame = mean_frame(model_of(detector=FULL, effects=effects, **POSES[pose]))
    seen = Integrated(frame, geometry, sensor_parallax=sensor)
    curve = smooth_curve(effects=effects)
    expected = seen.of(curve)
    moved = 1e-6 / (attenuation_per_um(BEAM.energy_keV) * 0.7) if sensor else 0.0
    around = GEOMETRY.two_theta_rad[:, None] + np.linspace(-0.6, 0.6, 9) * (
        GEOMETRY.channel_width_rad
    )
    bent = np.abs(derivatives(curve, around)[1]).max(axis=1)
    random = NODE_RAD**2 / 12.0 * bent / np.sqrt(seen.n_pixels)
    bound = (3.1 * moved + 1e-5) * expected + 5.0 * random + 2e-6 * expected.max()
    assert np.all(np.abs(seen.value - expected) < bound)
    assert np.median(bound / expected) < 2e-3
    # a ring's place: as much of the lattice parameter as 1e-4 of a pixel at (400)
    shift_A = lattice_shift_A(seen.value, expected, across_channels(curve))
    assert abs(shift_A) < 3e-6


def test_integrated_frames_have_pattern_modes_lattice_parameter():
    # The same with pattern mode's own channels: what pixels' middles fall into a channel moves its
    # mean angle and spread from those of a box, by moments m1 and m2 − c²/12 that are known. To
    # third order in (c/σ), of random sign from channel to channel, nothing is left.
    seen = Integrated(mean_frame(model_of(detector=FULL)), GEOMETRY)
    curve, centre = smooth_curve(), GEOMETRY.two_theta_rad
    away = seen.two_theta - centre[seen.channel]
    first, second = seen.mean(away), seen.mean(away**2) - GEOMETRY.channel_width_rad**2 / 12.0
    slope, bent = derivatives(curve, centre)
    as_boxes = seen.value - slope * first - 0.5 * bent * second
    plain, mean_slope = pattern(GEOMETRY), across_channels(curve)
    assert abs(lattice_shift_A(as_boxes, plain, mean_slope)) < 1e-5
    # middles of pixels alone, left in: a tenth of a thousandth of an ångström at most
    assert abs(lattice_shift_A(seen.value, plain, mean_slope)) < 1e-4


def test_the_sensor_makes_rings_larger():
    # Published: 2.6e-4 at 0.6 m and 50 keV (PHYSICS 4), so 2.23e-4 at 0.7 m, a smaller by as much
    # times cosα cos²θ cos2θ, 0.95 to 0.99 on these lines.
    straight, oblique = (
        Integrated(
            mean_frame(model_of(detector=FULL, effects=QUIET.model_copy(update=effect))),
            GEOMETRY, sensor_parallax=False,
        )
        for effect in ({"sensor_parallax": False}, {})
    )  # fmt: skip
    slope = across_channels(smooth_curve())
    shift_A = lattice_shift_A(oblique.value, straight.value, slope)
    assert shift_A / 8.2 == pytest.approx(-2.23e-4 * 0.97, rel=0.03)


def test_wrong_centre_and_tilt_blur_what_the_right_ones_resolve():
    # The test above can fail: rings integrated about a place 20 pixels off are no rings.
    frame = mean_frame(model_of(detector=FULL, **POSES["tilted"]))
    right, wrong = (Integrated(frame, g).value for g in (posed("tilted"), GEOMETRY))
    assert wrong.max() < 0.5 * right.max()


def test_two_samples_add_where_nothing_is_absorbed():
    # Law: without attenuation, and without the air they share, single precision.
    effects = QUIET.model_copy(update={"attenuation": False, "diffuse": False})
    whole = mean_frame(model_of(effects=effects))
    parts = [mean_frame(model_of(particles=[p], effects=effects)) for p in PARTICLES]
    np.testing.assert_allclose(sum(parts), whole, atol=3e-5 * whole.max())
    assert min(part.sum() for part in parts) > 0.1 * whole.sum()


@pytest.mark.parametrize("factor", [1e-3, 20.0])
def test_frames_are_proportional_to_photons(factor):
    # Law: everything scattered is. Single precision.
    one = mean_frame(model_of())
    other = mean_frame(model_of(beam=BEAM.model_copy(update={"flux_per_s": 1e12 * factor})))
    np.testing.assert_allclose(other, factor * one, rtol=3e-6)


def test_moving_the_poni_moves_the_frame():
    # Law: a detector moved by whole pixels within its plane records the same, moved.
    pixel_m = 172e-6
    frames = []
    for rows, columns in ((0, 0), (40, -30)):
        geometry = GEOMETRY.model_copy(
            update={
                "poni1_m": (300.5 + rows) * pixel_m,
                "poni2_m": (200.5 + columns) * pixel_m,
                "rot1_rad": 0.003,
            }
        )
        frames.append(mean_frame(model_of(geometry=geometry)))
    here, there = frames[0][:-40, 30:], frames[1][40:, :-30]
    live = (here > 0.0) & (there > 0.0)  # gaps do not move
    assert live.sum() > 200_000
    # a pixel's place among 4000 nodes in single precision: 2.4e-4 of a node, 6e-5 of a peak's
    # height at its steepest
    np.testing.assert_allclose(there[live], here[live], atol=1e-4 * here.max(), rtol=1e-5)


def noisy(*, effects=COUNTED, faults=None, seed=7, scan_number=0, **more):
    model = model_of(effects=effects, faults=faults, **more)
    return FrameScanner(
        model, scan=SCAN, conditions=ideal_conditions(SCAN, beam=model.virtual.beam), seed=seed,
        scan_number=scan_number,
    )  # fmt: skip


SPOTTY = tuple(p.model_copy(update={"grain_um": 0.3}) for p in PARTICLES)


def test_a_frame_depends_on_seed_scan_and_place_alone():
    # Law: any order, any number of threads, any scanner: the same bits; other seeds, scans and
    # exposures: others. All effects on, grains and zingers included.
    effects = Effects()
    faults = DetectorFaults(flat_rms=0.02, n_hot=5, hot_per_s=1e3, zinger_per_s=50.0)
    settings = {"effects": effects, "faults": faults, "particles": SPOTTY}
    scanner = noisy(**settings)
    order = [4, 0, 5, 2, 1, 3]
    frames = {index: scanner.frame(index) for index in order}
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(noisy(**settings).frame, range(6)))
    for index in range(6):
        np.testing.assert_array_equal(again[index], frames[index])
    for other in range(1, 6):
        assert (frames[0] != frames[other]).mean() > 0.1
    assert (noisy(**settings, seed=8).frame(0) != frames[0]).mean() > 0.1
    assert (noisy(**settings, scan_number=1).frame(0) != frames[0]).mean() > 0.1


def test_counts_are_poisson_and_independent():
    # Statistics: over N pixels of λ > 5, Σ (n − λ)²/λ has mean N and variance Σ (2 + 1/λ); the
    # correlation of residuals of two frames, and of neighbours within one, has variance 1/N. At
    # 5.5 standard deviations each of five false alarms has a probability of 4e-8.
    scanner = noisy()
    tables = tables_of(scanner.model, seed=7)
    residuals = []
    for index in (0, 1):
        expected = expected_photons(scanner.model, tables, index, key=KEY, frame=index)
        counts = scanner.frame(index)
        live = scanner.model.pixels.live
        np.testing.assert_array_equal(counts[~live], -1)
        assert not counts[live & (expected == 0.0)].any()  # behind the beam stop
        expected = np.maximum(expected.astype(float), 1e-30)
        used = live & (expected > 5.0)
        residual = np.where(used, (counts - expected) / np.sqrt(expected), 0.0)
        n = used.sum()
        assert n > 1000
        variance = 2.0 * n + np.sum(1.0 / expected[used])
        assert abs(np.sum(residual**2) - n) < 5.5 * np.sqrt(variance)
        pairs = used[:, 1:] & used[:, :-1]
        neighbours = residual[:, 1:] * residual[:, :-1]
        assert abs(neighbours.sum()) < 5.5 * np.sqrt(pairs.sum())
        residuals.append((residual, used))
    (one, used), (two, also) = residuals
    assert abs((one * two).sum()) < 5.5 * np.sqrt((used & also).sum())


def test_frames_without_noise_are_means_in_small_parts_of_a_photon():
    # Definition: 1024 counts to a photon, rounded; gaps −1, known dead pixels −2.
    faults = DetectorFaults(n_known_dead=20)
    scanner = noisy(effects=QUIET, faults=faults)
    frame = scanner.frame(1)
    expected = mean_frame(scanner.model)
    live = scanner.model.pixels.live & ~scanner.model.state.known_dead
    assert scanner.counts_per_photon == QUIET_COUNTS_PER_PHOTON == 1024
    assert np.abs(frame - 1024.0 * expected)[live].max() <= 0.5 + 1e-6 * 1024.0 * expected.max()
    assert set(np.unique(frame[~scanner.model.pixels.live])) == {-1}
    assert (frame == -2).sum() == 20
    assert scanner.transmitted(0) == pytest.approx(tables_of(scanner.model).transmitted)


def test_bright_frames_without_noise_end_at_the_counters_end():
    # Definition: 2²⁰ − 1 counts, times 1024.
    scanner = noisy(effects=QUIET, beam=BEAM.model_copy(update={"flux_per_s": 1e16}))
    frame = scanner.frame(1)
    assert frame.max() == (2**20 - 1) * 1024
    assert frame.min() == -1


def test_transmitted_photons_are_poisson_and_reproducible():
    # Statistics: six draws of large mean, each within 6 standard deviations (false alarm 1e-8).
    scanner, again = noisy(), noisy()
    again.frame(4)  # whatever was made before
    every = scanner.all_transmitted()
    np.testing.assert_array_equal(again.all_transmitted(), every)
    assert every.shape == (2, 3)
    expected = tables_of(scanner.model).transmitted
    assert np.all(np.abs(every[0] - expected) < 6.0 * np.sqrt(expected))
    assert np.all(every == np.rint(every))
    assert (noisy(seed=8).all_transmitted() != every).all()


def test_many_grains_are_a_smooth_ring():
    # Limit: where all rings are drawn smooth, and as many grains reflect as on average, the frame
    # is that without grains, parallax included. Single precision.
    smooth = mean_frame(model_of(effects=QUIET.model_copy(update={"grains": False})))
    rings = mean_frame(model_of(particles=SPOTTY))
    np.testing.assert_allclose(rings, smooth, atol=1e-5 * smooth.max())


def test_mean_of_frames_with_spots_is_the_smooth_frame():
    # Statistics: sums over 24 regions of the frame, over 240 exposures of the same ray, against
    # those of the smooth frame in units of the observed standard error: 6 of them for 239 degrees
    # of freedom is a false alarm of 8e-9, 2e-7 for all regions.
    n = 240
    scan = Scan(n_offsets=n, step_um=1e-6, n_angles=1)
    grains = Grains(dense_per_pixel=50.0)
    effects = Effects(charge_sharing=False, dead_time=False)
    model = model_of(particles=SPOTTY, effects=effects, grains=grains)
    tables = tables_of(model, scan=scan)
    rows = np.linspace(0, 619, 7).astype(int)[:-1]
    columns = np.linspace(0, 487, 5).astype(int)[:-1]

    def regions(frame):
        by_row = np.add.reduceat(frame.astype(float), rows, axis=0)
        return np.add.reduceat(by_row, columns, axis=1)

    sums = np.array(
        [regions(expected_photons(model, tables, k, key=KEY, frame=k)) for k in range(n)]
    )
    quiet = model_of(particles=SPOTTY, effects=QUIET, grains=grains)
    smooth_tables = tables_of(quiet, scan=scan)
    smooth = regions(expected_photons(quiet, smooth_tables, 0, key=KEY, frame=0))
    error = sums.std(axis=0, ddof=1) / np.sqrt(n)
    assert np.all(np.abs(sums.mean(axis=0) - smooth) < 6.0 * error + 1e-4 * smooth)
    assert np.median(error / smooth) < 0.03  # the test can fail
    assert np.median(error / smooth) > 1e-5  # and there are spots
    # numbers of grains: Poisson of the mean that the path gives, 6 standard deviations
    drawn, mean = tables.grains.sum(axis=1), tables.mean_grains.sum(axis=1)
    assert mean.min() > 100.0
    assert abs(drawn.sum() - mean.sum()) < 6.0 * np.sqrt(mean.sum())
    assert drawn.var(ddof=1) == pytest.approx(mean.mean(), rel=6.0 * np.sqrt(2.0 / n))


def test_charge_that_is_shared_stays_on_the_detector():
    # Law: what one pixel loses to another the frame keeps, but for what misses the threshold or
    # counts twice: the response says by how much the whole changes. At gaps and rims charge is
    # lost; rims and gaps are 2·487·3 + … of 2.9e5 pixels: a per cent of the shared tenth.
    effects = QUIET.model_copy(update={"charge_sharing": True})
    model = model_of(effects=effects)
    scanner = FrameScanner(model, scan=SCAN, conditions=ideal_conditions(SCAN, beam=BEAM), seed=0)
    frame, expected = scanner.frame(1), mean_frame(model)
    live = model.pixels.live
    per_photon = model.response.single.sum() + model.response.double.sum()
    total = frame[live].sum(dtype=float) / 1024.0
    assert total == pytest.approx(expected[live].sum() * per_photon, rel=5e-3)


def test_each_exposure_has_its_own_exit_factors():
    # Definition: a frame over that of photons which leave straight on is row times column factor of
    # its own offset. Single precision.
    scan = Scan(n_offsets=3, step_um=120.0, n_angles=1)
    solid = (Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=300.0, x=0.9),)
    model = model_of(particles=solid)
    straight = model_of(particles=solid, effects=QUIET.model_copy(update={"exit_path": False}))
    rows, columns = model.virtual.surroundings.frame_factors(
        scan.offsets_um, 0.0, slope_row=model.pixels.slope_row,
        slope_column=model.pixels.slope_column,
    )  # fmt: skip
    for offset in range(3):
        frame, plain = (
            expected_photons(m, tables_of(m, scan=scan), offset, key=KEY, frame=offset)
            for m in (model, straight)
        )
        seen = plain > 0.0
        product = rows[offset][:, None] * columns[offset]
        np.testing.assert_allclose(
            (frame / np.maximum(plain, 1e-30))[seen], product[seen], rtol=1e-6
        )
    # the right half of the detector is shielded by what lies to the right of a ray on the left
    assert columns[0, -1] < 1.0 - 1e-3 < 1.0 + 1e-3 < columns[0, 0]
    assert columns[2, -1] > 1.0 + 1e-3
