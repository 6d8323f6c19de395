"""Patterns of states and of rays: against direct evaluation, laws and the independent-atom rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import voigt_profile

from forward.instrument import Unknowns, true_instrument
from forward.parallax import ring_shift_rad
from forward.projection import expected_projection
from forward.resolution import ring_widths
from forward.settings import Accuracy, Effects
from forward.simulate import simulate_scan
from forward.virtual import prepare
from phantoms.particle import Particle, RadialLaw, Shell
from phantoms.sample import Sample
from phantoms.stoichiometry import lattice, spinel_crystal
from xrdct.conversion import two_theta_rad
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.reflections import powder_reflections
from xrdct.scan import Scan
from xrdct.scattering import ring_power_per_m

BEAM, DETECTOR = Beam(), Detector()
GEOMETRY = Geometry(n_channels=512, two_theta_min_deg=2.5, two_theta_max_deg=10.0)
QUIET = Effects(
    noise=False, diffuse=False, attenuation=False, parallax=False, sensor_parallax=False
)
SCAN = Scan(n_offsets=11, step_um=1.0, n_angles=4)


def prepared(particles, *, effects=QUIET, beam=BEAM, accuracy=None, geometry=GEOMETRY):
    truth = true_instrument(Unknowns(), beam=beam, detector=DETECTOR, geometry=geometry, seed=0)
    return prepare(
        Sample(tuple(particles)), beam=beam, detector=DETECTOR, geometry=geometry, truth=truth,
        effects=effects, accuracy=accuracy,
    )  # fmt: skip


def ball(*, centre=(0.0, 0.0, 0.0), diameter_um=10.0, x=0.9, **more):
    return Particle(centre_um=centre, diameter_um=diameter_um, x=x, **more)


def channel_profile(two_theta_rad, *, position_rad, widths, channel_width_rad):
    """Mean of a Voigt line over boxes of a pixel and of a channel, by quadrature (three nodes each,
    exact to the fifth moment): another way than the characteristic function of the model."""
    nodes, weights = np.polynomial.legendre.leggauss(3)
    sigma, gamma = widths.gaussian_sigma_rad[0], widths.lorentzian_hwhm_rad[0]
    profile = np.zeros(two_theta_rad.size)
    for pixel_node, pixel_weight in zip(nodes, weights, strict=True):
        for node, weight in zip(nodes, weights, strict=True):
            shift = 0.5 * (pixel_node * widths.pixel_rad[0] + node * channel_width_rad)
            distance = two_theta_rad - position_rad + shift
            profile += 0.25 * pixel_weight * weight * voigt_profile(distance, sigma, gamma)
    return profile


def direct_pattern(x, *, displacement_um=0.0, stretch=1.0, geometry=GEOMETRY):
    """Counts per photon of one spinel, line by line at its exact apparent angle: no states."""
    a_A = float(lattice(x, y=0.0).a_low_A) * stretch
    crystal = spinel_crystal(x=x, y=0.0, a_A=a_A)
    lines = powder_reflections(crystal, energy_keV=BEAM.energy_keV, d_min_A=1.2)
    power = ring_power_per_m(
        lines, cell_volume_A3=crystal.volume_A3, wavelength_A=BEAM.wavelength_A
    )
    angle = two_theta_rad(lines.d_A, wavelength_A=BEAM.wavelength_A)
    total = np.zeros(geometry.n_channels)
    for line, q in zip(angle, power, strict=True):
        widths = ring_widths(
            np.array([line]), beam=BEAM, distance_m=geometry.distance_m, pixel_um=DETECTOR.pixel_um,
            crystallite_size_nm=200.0, strain=0.0,
        )  # fmt: skip
        shift = ring_shift_rad(
            line, displacement_um=displacement_um, distance_m=geometry.distance_m
        )
        total += q * channel_profile(
            geometry.two_theta_rad, position_rad=line + shift, widths=widths,
            channel_width_rad=geometry.channel_width_rad,
        )  # fmt: skip
    acceptance = ring_acceptance(geometry, detector=DETECTOR, polarisation=BEAM.polarisation)
    gain = DETECTOR.efficiency * acceptance * geometry.channel_width_rad * 1e-6
    return total * gain


def lattice_shift_A(pattern, reference):
    """Least-squares change of lattice parameter from one pattern to another very like it.

    The slope dI/da = −(2 tanθ/a) dI/d2θ is taken from the reference itself, so that symmetric
    differences (in width or height) do not count as a shift.
    """
    angle = GEOMETRY.two_theta_rad
    slope = np.gradient(reference, GEOMETRY.channel_width_rad) * -2.0 * np.tan(0.5 * angle) / 8.2
    slope -= reference * (slope @ reference) / (reference @ reference)
    scale = (pattern @ reference) / (reference @ reference)
    return (pattern / scale - reference) @ slope / (slope @ slope)


@pytest.mark.parametrize("x", [0.801, 0.8437, 0.9123, 0.99])
def test_states_reproduce_the_pattern_of_any_lattice(x):
    # Truth: the same pattern computed line by line at the exact lattice parameter. Linear mixing
    # of states 1.2 mÅ apart must not shift it by 1e-5 Å.
    virtual = prepared([ball(x=x)])
    counts = expected_projection(virtual, scan=SCAN, angle_rad=0.0).counts[5].astype(float)
    reference = direct_pattern(x)
    assert abs(lattice_shift_A(counts, reference)) < 1e-5
    # amplitudes: 10 µm chord, blurred by the beam (R − σ²/R…): below 1e-2 of it; photons N0
    photons = BEAM.flux_per_s * SCAN.exposure_s
    assert counts.sum() / photons == pytest.approx(10.0 * reference.sum(), rel=1.5e-2)


@pytest.mark.parametrize("displacement_um", [-480.0, -150.0, 300.0, 480.0])
def test_parallax_is_that_of_every_line_evaluated_at_its_displacement(displacement_um):
    # Truth: the exact ring shift atan((1 − s/D) tan 2θ) of every line. At angle 0 the beam runs
    # along y, so a particle at y = s is displaced by s towards the detector.
    effects = QUIET.model_copy(update={"parallax": True})
    virtual = prepared([ball(centre=(0.0, displacement_um, 0.0))], effects=effects)
    counts = expected_projection(virtual, scan=SCAN, angle_rad=0.0).counts[5].astype(float)
    reference = direct_pattern(0.9, displacement_um=displacement_um)
    assert abs(lattice_shift_A(counts, reference)) < 1e-5
    # line by line too: what is left is the broadening by two linear interpolations between states,
    # at most h²/2 of second moment where h = 1.2 mÅ, against the sharpest line's σ² of (7.4 mÅ)²:
    # 1.3 % in σ², half of that in height
    scale = counts.sum() / reference.sum()
    assert np.max(np.abs(counts / scale - reference)) < 6.5e-3 * reference.max()


def test_parallax_of_many_particles_along_one_ray():
    # Truth: sum of line-by-line patterns of every particle at its own displacement.
    positions = (-450.0, -220.0, -30.0, 110.0, 390.0)
    contents = (0.85, 0.9, 0.95, 0.88, 0.99)
    effects = QUIET.model_copy(update={"parallax": True})
    particles = [ball(centre=(0.0, s, 0.0), x=x) for s, x in zip(positions, contents, strict=True)]
    counts = expected_projection(prepared(particles, effects=effects), scan=SCAN, angle_rad=0.0)
    reference = sum(
        direct_pattern(x, displacement_um=s) for s, x in zip(positions, contents, strict=True)
    )
    assert abs(lattice_shift_A(counts.counts[5].astype(float), reference)) < 1e-5


def test_halving_every_accuracy_changes_nothing_that_matters():
    # Limit: results converge; the lattice parameter seen must not move by 1e-5 Å. The outermost
    # rays see little more than one layer, over which a changes by 0.3 mÅ: a quarter of that.
    law = RadialLaw(core=0.98, surface=0.82)
    particles = [ball(x=law, centre=(0.4, 0.0, 1.0)), ball(x=law, centre=(0.0, 200.0, 0.0))]
    effects = QUIET.model_copy(update={"parallax": True})
    fine = Accuracy(
        state_spacing=7.5e-5, layer_um=0.02, profile_step_um=0.05, n_heights=11,
        voigt_reach_deg=0.7,
    )  # fmt: skip
    usual, finer = (
        expected_projection(prepared(particles, effects=effects, accuracy=a), scan=SCAN,
                            angle_rad=0.3).counts.astype(float)
        for a in (Accuracy(), fine)
    )  # fmt: skip
    for row in range(SCAN.n_offsets):
        limit_A = 1e-5 if 1 < row < 9 else 7e-5
        assert abs(lattice_shift_A(usual[row], finer[row])) < limit_A
    assert usual.sum() == pytest.approx(finer.sum(), rel=1e-3)


@given(
    flux=st.floats(1e8, 1e13), exposure=st.floats(1e-3, 1.0), x=st.floats(0.0, 1.0),
)  # fmt: skip
def test_expected_counts_scale_with_photons(flux, exposure, x):
    # Law: linear in the number of photons.
    base = prepared([ball(x=x)], beam=Beam(flux_per_s=1e11))
    other = prepared([ball(x=x)], beam=Beam(flux_per_s=flux))
    scan = SCAN.model_copy(update={"exposure_s": exposure})
    one = expected_projection(base, scan=SCAN, angle_rad=0.0).counts
    two = expected_projection(other, scan=scan, angle_rad=0.0).counts
    factor = flux * exposure / (1e11 * SCAN.exposure_s)
    np.testing.assert_allclose(two, one * factor, rtol=1e-5, atol=1e-6 * two.max())


def test_two_samples_give_the_sum_of_their_patterns_where_nothing_is_absorbed():
    # Law: without attenuation scattering is additive, shells and second phases included.
    shell = Shell(phase="Li2MnO3", thickness_um=1.0, weight_fraction=0.3)
    first = ball(centre=(2.0, -9.0, 0.0), x=RadialLaw(core=0.95, surface=0.85), shells=(shell,))
    second = ball(centre=(-2.0, 9.0, 0.0), x=0.35)
    effects = QUIET.model_copy(update={"parallax": True, "diffuse": False})
    both, one, two = (
        expected_projection(prepared(p, effects=effects), scan=SCAN, angle_rad=0.2).counts
        for p in ([first, second], [first], [second])
    )
    np.testing.assert_allclose(both, one + two, rtol=1e-4, atol=1e-5 * both.max())


def test_nothing_in_the_beam_gives_air_scattering_alone():
    # Law: an empty sample shows the background, in full transmission.
    effects = Effects(noise=False)
    virtual = prepared([], effects=effects)
    expected = expected_projection(virtual, scan=SCAN, angle_rad=0.0)
    photons = BEAM.flux_per_s * SCAN.exposure_s
    np.testing.assert_allclose(expected.counts, np.tile(virtual.air * photons, (11, 1)), rtol=1e-5)
    np.testing.assert_array_equal(expected.transmitted, photons)


def test_transmission_is_exponential_in_the_path():
    # Closed form: exp(−µL); µ(LiMn2O4, 50 keV) = 4.81 /cm (PHYSICS 3; xraylib tables, 2 %).
    effects = Effects(noise=False, beam_size=False)
    virtual = prepared([ball(diameter_um=200.0, x=1.0)], effects=effects)
    expected = expected_projection(virtual, scan=SCAN, angle_rad=0.0)
    transmission = expected.transmitted[5] / (BEAM.flux_per_s * SCAN.exposure_s)
    assert -np.log(transmission) == pytest.approx(4.81e-4 * 200.0, rel=0.02)


def test_counts_are_poisson_draws_of_the_expectation():
    # Statistics: Σ (n − λ)²/λ over N channels is χ² with N degrees of freedom: 5.3 σ is a false
    # alarm of 1e-7. Channels with λ > 20 only.
    quiet = prepared([ball()], effects=Effects(noise=False))
    noisy = prepared([ball()], effects=Effects())
    expected = simulate_scan(quiet, scan=SCAN, seed=5).counts
    counts = simulate_scan(noisy, scan=SCAN, seed=5).counts
    usable = expected > 20.0
    chi2 = np.sum((counts[usable] - expected[usable]) ** 2 / expected[usable])
    n = usable.sum()
    kurtosis = np.mean(1.0 / expected[usable])  # of a Poisson variable, adds to the variance of χ²
    assert abs(chi2 - n) < 5.3 * np.sqrt(n * (2.0 + kurtosis))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_same_seed_same_counts_on_any_number_of_threads(workers):
    virtual = prepared([ball()], effects=Effects())
    one = simulate_scan(virtual, scan=SCAN, seed=9, workers=1)
    other = simulate_scan(virtual, scan=SCAN, seed=9, workers=workers)
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.transmitted, other.transmitted)
    assert (simulate_scan(virtual, scan=SCAN, seed=10).counts != one.counts).any()


def test_distance_error_shifts_all_rings_as_the_tangent():
    # Closed form: from distance D(1 + δ) a ring appears at atan((1 + δ) tan 2θ), like a lattice
    # smaller by δ cos²θ cos2θ.
    unknowns = Unknowns(distance_ppm=(300.0, 300.0))
    truth = true_instrument(unknowns, beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, seed=0)
    virtual = prepare(
        Sample((ball(),)), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, truth=truth,
        effects=QUIET,
    )  # fmt: skip
    counts = expected_projection(virtual, scan=SCAN, angle_rad=0.0).counts[5].astype(float)
    moved = direct_pattern(0.9, displacement_um=-300.0 * 0.7)
    assert abs(lattice_shift_A(counts, moved)) < 1e-5


def test_more_than_one_plane_is_refused():
    with pytest.raises(InputError, match="one plane at a time"):
        simulate_scan(prepared([ball()]), scan=SCAN.model_copy(update={"n_planes": 2}), seed=0)
