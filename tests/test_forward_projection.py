"""Expected patterns of one projection: changing samples, conditions, grains and beam tails."""

import numpy as np
import pytest
from scipy.integrate import quad

from forward.chords import chord_profiles
from forward.conditions import ideal_conditions, scan_conditions
from forward.flux import BeamDecay
from forward.grain_rings import GrainRings
from forward.grains import Grains
from forward.instrument import TrueInstrument, Unknowns, true_instrument
from forward.motion import Motion
from forward.philox import stream_key
from forward.projection import exit_corrected, expected_line, expected_projection
from forward.settings import Accuracy, Effects
from forward.sinogram import project_angle
from forward.states import REFERENCE_A, state_grid
from forward.virtual import prepare
from phantoms.particle import Particle, RadialLaw
from phantoms.sample import Sample, radial_layers
from phantoms.stoichiometry import lattice
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan

BEAM, DETECTOR = Beam(), Detector()
GEOMETRY = Geometry(n_channels=256, two_theta_min_deg=2.5, two_theta_max_deg=10.0)
SCAN = Scan(n_offsets=11, step_um=1.0, n_angles=4)
TRUTH = true_instrument(Unknowns(), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, seed=0)
QUIET = Effects(noise=False)


def ball(*, x=0.9, diameter_um=10.0, centre=(0.0, 0.0, 0.0), **more):
    return Particle(centre_um=centre, diameter_um=diameter_um, x=x, **more)


def prepared(*particles, effects=QUIET, **more):
    return prepare(
        Sample(tuple(particles)), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, truth=TRUTH,
        effects=effects, **more,
    )  # fmt: skip


def discharging(time_s):
    """A sample that fills from x = 0.80 to 0.90 in 100 s, one particle twice as fast as the other.

    The lattice parameter is not linear in x, so the mixture between knots is not the sample of that
    time.
    """
    fill = 0.1 * time_s / 100.0
    return Sample(
        (
            ball(x=0.80 + fill, centre=(0.0, -150.0, 0.0)),
            ball(x=RadialLaw(core=0.8, surface=0.75 + 2.0 * fill), centre=(2.0, 250.0, 1.0)),
        )
    )


KNOTS = (0.0, 40.0, 100.0)


@pytest.fixture(scope="module")
def changing():
    return prepare(
        discharging(0.0), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, truth=TRUTH,
        effects=QUIET, times_s=KNOTS, sample_at=discharging,
    )  # fmt: skip


def seen_at(virtual, time_s, *, angle_rad=0.01):
    return expected_projection(virtual, scan=SCAN, angle_rad=angle_rad, time_s=time_s)


@pytest.mark.parametrize("time_s", KNOTS)
def test_at_a_knot_the_sample_is_that_of_its_time(time_s):
    # Law: a knot is the sample prepared at that time, on a larger grid of the same states. Single
    # precision, and the rounding of a state's place in it. Without what is a mean over all states
    # there are (diffuse scattering of the middle one, attenuation of the medium).
    effects = QUIET.model_copy(update={"diffuse": False, "exit_path": False})
    common = {
        "beam": BEAM, "detector": DETECTOR, "geometry": GEOMETRY, "truth": TRUTH,
        "effects": effects,
    }  # fmt: skip
    here = seen_at(prepare(discharging(time_s), **common), 0.0)
    together = prepare(discharging(0.0), **common, times_s=KNOTS, sample_at=discharging)
    there = seen_at(together, time_s)
    np.testing.assert_allclose(there.counts, here.counts, atol=1e-5 * here.counts.max())
    np.testing.assert_allclose(there.transmitted, here.transmitted, rtol=1e-6)
    assert there.path_um.sum() == pytest.approx(here.path_um.sum(), rel=1e-6)


def log_lattice(virtual):
    return np.concatenate(
        [
            np.log(REFERENCE_A) + virtual.grid.spacing * (f.first_node + np.arange(f.n_states))
            for f in virtual.grid.families
        ]
    )


def mean_log_lattice(virtual, expected):
    """Mean along every ray that crosses a µm or more."""
    path = expected.path_um.astype(float)
    path = path[path.sum(axis=1) > 1.0]
    assert len(path)
    return path @ log_lattice(virtual) / path.sum(axis=1)


@pytest.mark.parametrize("share", [0.0, 0.13, 0.5, 0.99])
@pytest.mark.parametrize("interval", [0, 1])
def test_between_knots_the_mean_lattice_is_linear_in_time(changing, share, interval):
    # Law: paths are mixed linearly and keep their sum, so the mean of ln a goes straight from one
    # knot's to the next's; single precision of the paths is 1e-7 of ln a's range in states, 2e-2.
    before, after = KNOTS[interval], KNOTS[interval + 1]
    time_s = before + share * (after - before)
    ends = [mean_log_lattice(changing, seen_at(changing, t)) for t in (before, after)]
    expected = (1.0 - share) * ends[0] + share * ends[1]
    there = seen_at(changing, time_s)
    np.testing.assert_allclose(mean_log_lattice(changing, there), expected, atol=1e-8)
    np.testing.assert_allclose(
        there.path_um.sum(axis=1), seen_at(changing, before).path_um.sum(axis=1), rtol=1e-5
    )
    assert np.abs(ends[1] - ends[0]).max() > 1e-4  # the sample does change


@pytest.mark.parametrize(("time_s", "knot_s"), [(-5.0, 0.0), (1e4, 100.0)])
def test_before_the_first_and_after_the_last_knot_nothing_changes(changing, time_s, knot_s):
    np.testing.assert_array_equal(
        seen_at(changing, time_s).counts, seen_at(changing, knot_s).counts
    )


def test_a_line_takes_place_at_its_own_time(changing):
    # Definition: the time of a projection is the mean of its exposures' middles (1 s each here).
    scan = SCAN.model_copy(update={"exposure_s": 1.0})
    conditions = scan_conditions(
        scan, beam=BEAM, motion=Motion(), flux=BeamDecay(), effects=QUIET, seed=0, start_s=30.0
    )
    for line in range(scan.n_angles):
        point_s = 1.0 + scan.dead_time_s
        middle_s = 30.5 + (line * scan.n_offsets + 0.5 * (scan.n_offsets - 1)) * point_s
        expected = expected_projection(
            changing, scan=scan, angle_rad=float(scan.angles_rad[line]), time_s=middle_s
        )
        seen = expected_line(changing, scan=scan, conditions=conditions, line=line)
        np.testing.assert_allclose(seen.counts, expected.counts, rtol=1e-5)


def test_conditions_move_rays_and_change_photons():
    # Definition: rays at t + offset of the axis + jitter, photons as the beam gives them.
    virtual = prepared(ball(), ball(centre=(3.0, 100.0, 0.0), x=0.8))
    conditions = scan_conditions(
        SCAN, beam=BEAM, motion=Motion(jitter_um=0.2, axis_offset_um=1.5, rotation_error_mrad=20.0),
        flux=BeamDecay(flicker_rms=0.1), effects=QUIET, seed=4,
    )  # fmt: skip
    line = 2
    seen = expected_line(virtual, scan=SCAN, conditions=conditions, line=line)
    photons = conditions.photons[line]
    assert np.ptp(photons) > 0.05 * photons.mean()
    for offset in range(SCAN.n_offsets):
        t = conditions.positions.true_offset_um[line, offset]
        assert abs(t - SCAN.offsets_um[offset] - 1.5) < 1.5  # 7 standard deviations
        alone = expected_projection(
            virtual, scan=SCAN, angle_rad=float(conditions.positions.true_rotation_rad[line]),
            offsets_um=np.array([t, t + 0.37]), photons=photons[[offset, offset]],
        )  # fmt: skip
        np.testing.assert_allclose(
            seen.counts[offset], alone.counts[0], rtol=1e-5, atol=1e-6 * seen.counts.max()
        )
        assert seen.transmitted[offset] == pytest.approx(alone.transmitted[0], rel=1e-7)


def test_switched_off_motion_and_flux_are_ideal_conditions():
    off = QUIET.model_copy(update={"motion": False, "flux": False})
    disturbed = scan_conditions(
        SCAN, beam=BEAM, motion=Motion(jitter_um=1.0), flux=BeamDecay(flicker_rms=0.3), effects=off,
        seed=1,
    )  # fmt: skip
    ideal = ideal_conditions(SCAN, beam=BEAM)
    np.testing.assert_array_equal(
        disturbed.positions.true_offset_um, ideal.positions.true_offset_um
    )
    np.testing.assert_array_equal(ideal.positions.true_offset_um[1], SCAN.offsets_um)
    np.testing.assert_array_equal(ideal.positions.true_rotation_rad, SCAN.angles_rad)
    np.testing.assert_array_equal(disturbed.photons, ideal.photons)
    np.testing.assert_allclose(ideal.photons, BEAM.flux_per_s * SCAN.exposure_s)


@pytest.mark.parametrize("along_um", [0.0, 480.0, -480.0])
@pytest.mark.parametrize("diffuse", [False, True])
def test_lines_kept_apart_add_up_to_the_pattern(along_um, diffuse):
    # Law: without noise as many grains reflect as on average; the lines that were kept apart must
    # complete the pattern, parallax included. Single precision. (Parallax takes photons from one
    # side of a line: what it takes is more than a pattern without its lines has.)
    patterns = []
    for grains in (False, True):
        effects = QUIET.model_copy(update={"grains": grains, "diffuse": diffuse})
        virtual = prepared(ball(centre=(0.0, along_um, 0.0), grain_um=0.2), effects=effects)
        assert bool(virtual.library.cores) is grains
        expected = expected_projection(virtual, scan=SCAN, angle_rad=0.0)
        GrainRings.of(virtual, Grains()).add_to(
            expected.counts, path_um=expected.path_um, moment_um2=expected.moment_um2,
            photons=expected.transmitted,
            key=stream_key(1), first_frame=0,
        )  # fmt: skip
        exit_corrected(virtual, expected.counts, offsets_um=SCAN.offsets_um, angle_rad=0.0)
        patterns.append(expected.counts.astype(float))
    smooth, parted = patterns
    np.testing.assert_allclose(parted, smooth, atol=3e-6 * smooth.max())
    assert parted.min() >= 0.0


def test_cores_hold_most_of_their_lines():
    # Stated: 95 % or more of a line of usual crystallites (a Lorentzian leaves more outside).
    # Truth: the same library without lines kept apart.
    effects = QUIET.model_copy(update={"diffuse": False, "parallax": False})
    apart = prepared(ball(grain_um=0.2), effects=effects)
    whole = prepared(ball(grain_um=0.2), effects=effects.model_copy(update={"grains": False}))
    held = sum(
        core.values_per_um[core.values_per_um.shape[0] // 2].sum() for core in apart.library.cores
    )
    total = whole.library.pattern_per_um[apart.grid.n_states // 2].sum()
    rest = apart.library.pattern_per_um[apart.grid.n_states // 2]
    assert held / total > 0.94  # 1 % and a half of the total are tails of lines off the channels
    assert rest.min() >= 0.0
    assert held + rest.sum() == pytest.approx(total, rel=1e-5)
    # cubic, 511 and 333 being one line
    assert {core.multiplicity for core in apart.library.cores} <= {6, 8, 12, 24, 32, 48}


def tailed(fraction, fwhm_um, **more):
    unknowns = Unknowns(tail_fraction=(fraction, fraction), tail_um=(fwhm_um, fwhm_um))
    return true_instrument(unknowns, beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, seed=0)


def chords(radius_um, truth, *, height_um=0.0, effects=QUIET, step_um=0.05, reach_um=30.0):
    """Path of one sphere against the ray's offset, all states summed."""
    sample = Sample((ball(diameter_um=2.0 * radius_um, centre=(0.0, 0.0, height_um)),))
    accuracy = Accuracy()
    layers = radial_layers(sample, layer_um=accuracy.layer_um)
    grid = state_grid(sample, layers=layers, spacing=accuracy.state_spacing, margin=0.0)
    profiles = chord_profiles(
        sample, layers=layers, grid=grid, truth=truth, effects=effects, accuracy=accuracy
    )
    offsets_um = np.arange(-radius_um - reach_um, radius_um + reach_um, step_um)
    rays = project_angle(
        profiles, centres_um=sample.centres_um, angle_rad=0.0, offsets_um=offsets_um,
        n_states=grid.n_states, states_per_um=0.0,
    )  # fmt: skip
    return offsets_um, rays.path_um.sum(axis=1, dtype=float) * step_um


def test_without_a_share_tails_change_nothing():
    plain, none = tailed(0.0, 20.0), TrueInstrument(BEAM, GEOMETRY, 1.0, 1.0)
    np.testing.assert_array_equal(chords(5.0, plain)[1], chords(5.0, none)[1])
    off = QUIET.model_copy(update={"beam_tails": False})
    np.testing.assert_array_equal(
        chords(5.0, tailed(0.3, 20.0), effects=off)[1], chords(5.0, none)[1]
    )


@pytest.mark.parametrize(("fraction", "fwhm_um"), [(0.0, 5.0), (0.1, 10.0), (0.4, 6.0)])
def test_tails_have_the_moments_of_the_mixture(fraction, fwhm_um):
    # Closed forms for a sphere larger than the beam is high: over heights z and offsets t with
    # variances s² = (1 − f) s_c² + f s_t² (and E z⁴ = 3 (…)), a disc of ρ² = R² − z² has area πρ²
    # and second moment πρ⁴/4 + s² πρ². Gauss–Hermite of five nodes is exact to z⁹. Taps end at
    # five sigma (6e-7 of the tail) and profiles are in single precision.
    radius = 20.0
    core, tail = BEAM.width_um / FWHM_PER_SIGMA, fwhm_um / FWHM_PER_SIGMA
    second = (1.0 - fraction) * core**2 + fraction * tail**2
    fourth = 3.0 * ((1.0 - fraction) * core**4 + fraction * tail**4)
    area = np.pi * (radius**2 - second)
    spread = np.pi * (
        0.25 * (radius**4 - 2.0 * radius**2 * second + fourth) + second * area / np.pi
    )
    t, path = chords(radius, tailed(fraction, fwhm_um))
    assert path.sum() == pytest.approx(area, rel=2e-6)
    assert path @ t**2 == pytest.approx(spread, rel=2e-5)
    assert path @ t == pytest.approx(0.0, abs=1e-5 * spread / radius)


@pytest.mark.parametrize(("radius_um", "height_um"), [(4.0, 0.0), (4.0, 9.0), (2.0, 3.0)])
@pytest.mark.parametrize("fwhm_um", [10.0, 20.0])
def test_tails_higher_than_the_particle_see_it_as_it_is(radius_um, height_um, fwhm_um):
    # Truth: quadrature of π(R² − (z − h)²)₊ over the Gaussian. Tails are a background: 2 % of what
    # they see will do.
    truth = tailed(0.5, fwhm_um)
    sigma = fwhm_um / FWHM_PER_SIGMA

    def seen(sigma):
        def disc(z):
            weight = np.exp(-0.5 * (z / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
            return np.pi * max(radius_um**2 - (z - height_um) ** 2, 0.0) * weight

        return quad(disc, height_um - radius_um, height_um + radius_um, points=[0.0])[0]

    by_core = seen(BEAM.height_um / FWHM_PER_SIGMA)
    total = chords(radius_um, truth, height_um=height_um, reach_um=50.0)[1].sum()
    assert total - 0.5 * by_core == pytest.approx(0.5 * seen(sigma), rel=0.02)


def test_porous_mixture_of_states_conserves_the_mean():
    # Law: a ray's mean ln a is that of the particle's layers, whatever the beam's tails blur: the
    # whole sphere's mean is that of its volume for a beam wider and higher than it. Here uniform.
    virtual = prepared(ball(x=0.87))
    expected = expected_projection(virtual, scan=SCAN, angle_rad=0.0)
    exact = np.log(float(lattice(0.87, y=0.0).a_low_A))
    # single precision of paths times the range of ln a over the states
    np.testing.assert_allclose(mean_log_lattice(virtual, expected), exact, atol=2e-8)
