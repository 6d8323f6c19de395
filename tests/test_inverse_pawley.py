"""Fits with free intensities, against patterns that the twin simulated and that the model made."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from forward.angles import AngleGrid
from forward.calibrant import Calibrant, measure_calibrant
from forward.instrument import Unknowns, true_instrument
from forward.line_profile import line_profiles
from forward.projection import expected_projection
from forward.resolution import Sensor, ring_widths
from forward.sensor import attenuation_per_um
from forward.settings import Accuracy, Effects
from forward.virtual import prepare
from inverse.calibrate import calibrate
from inverse.model import Instrument, chebyshev_background, draw_patterns, phase_lines
from inverse.pawley import fit_pawley
from inverse.pawley_recipe import FreePhase, Pawley, StructuredPhase
from inverse.pawley_result import FitStatus
from inverse.recipe import Calibration, Profile
from phantoms.particle import Particle, Shell
from phantoms.sample import Sample
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan

BEAM, DETECTOR, GEOMETRY = Beam(), Detector(), Geometry()
WIDE = Beam(divergence_mrad=1.0, bandwidth=4e-3)
"""Its divergence hides the box of a pixel, so that lines are nearly Gaussian, and its bandwidth
makes them grow with angle, so that U and W stay clear of zero."""
SIZE_NM = 800.0
FALSE_ALARM = 1e-8
MODEL_PROFILE = Profile(U_deg2=2e-3, W_deg2=4e-4, X_deg=0.005, Y_deg=0.003)
SPINEL_A = 8.245


def gain_of(transmitted, beam):
    """Factor from counts to photons of whole, unpolarised rings per radian."""
    acceptance = ring_acceptance(GEOMETRY, detector=DETECTOR, polarisation=beam.polarisation)
    seen = np.maximum(acceptance, 1e-9) * DETECTOR.efficiency * transmitted
    return np.where(acceptance > 0.0, 1.0 / seen, 0.0) / GEOMETRY.channel_width_rad


def truth_of(ppm, beam):
    return true_instrument(
        Unknowns(distance_ppm=(ppm, ppm)), beam=beam, detector=DETECTOR, geometry=GEOMETRY, seed=0
    )


@lru_cache(maxsize=8)
def disc(crystal, beam=BEAM, *, exposure_s, ppm=300.0):
    """Expected counts of a calibrant disc, and their gain."""
    measured = measure_calibrant(
        Calibrant(crystal=crystal, crystallite_size_nm=SIZE_NM, exposure_s=exposure_s), beam=beam,
        detector=DETECTOR, geometry=GEOMETRY, truth=truth_of(ppm, beam),
        effects=Effects(noise=False), accuracy=Accuracy(), seed=0,
    )  # fmt: skip
    return measured.counts, gain_of(measured.transmitted, beam)


@lru_cache(maxsize=8)
def mixture(crystal, *, weight_fraction, exposure_s, size_nm=150.0):
    """Expected counts of a spinel particle with ``crystal`` mixed in, and their gain."""
    sample = Sample(
        particles=(
            Particle(
                centre_um=(0.0, 0.0, 0.0), diameter_um=50.0, crystallite_size_nm=size_nm,
                shells=(
                    Shell(phase="unknown", thickness_um=25.0, weight_fraction=weight_fraction),
                ),
            ),
        ),
        crystals={"unknown": crystal},
    )  # fmt: skip
    virtual = prepare(
        sample, beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, truth=truth_of(0.0, BEAM),
        effects=Effects(noise=False), accuracy=Accuracy(),
    )  # fmt: skip
    scan = Scan(n_offsets=3, step_um=1.0, n_angles=1, exposure_s=exposure_s)
    made = expected_projection(virtual, scan=scan, angle_rad=0.0)
    return made.counts[1].astype(float), gain_of(float(made.transmitted[1]), BEAM)


def of_crystal(crystal, **more):
    """The crystal by its cell and space group alone."""
    known = {"space_group": crystal.space_group, "cell_A_deg": crystal.cell_A_deg}
    return FreePhase(name=crystal.name, **(known | more))


def calibrated(crystal, pattern, variance, beam=BEAM, **more):
    phase = of_crystal(crystal, refine_cell=False, crystallite_size_nm=SIZE_NM)
    chosen = Pawley(
        phases=(phase,), refine_distance=True, refine_widths=("U", "W"), start_error=0.0, **more
    )
    nominal = Instrument(beam, GEOMETRY, Calibration(distance_m=GEOMETRY.distance_m))
    return fit_pawley(pattern, variance=variance, settings=chosen, instrument=nominal)


def exact_fwhm_rad(two_theta_rad, beam):
    """Width of the twin's own line as recorded in pixels, from its characteristic function."""
    step, half = 1e-6, 3000
    widths = ring_widths(
        np.array([two_theta_rad]), beam=beam, distance_m=GEOMETRY.distance_m,
        pixel_um=DETECTOR.pixel_um, crystallite_size_nm=SIZE_NM, strain=0.0,
        sensor=Sensor(attenuation_per_um(beam.energy_keV), DETECTOR.sensor_um),
    )  # fmt: skip
    grid = AngleGrid(
        first_rad=two_theta_rad - step * half, step_rad=step, n_nodes=2 * half + 1, stretch=1.0,
        distance_m=GEOMETRY.distance_m, averaged=False,
    )  # fmt: skip
    position = np.array([two_theta_rad]) - widths.sensor_mean_rad
    profile = line_profiles(grid, position_rad=position, widths=widths, reach_rad=2.9e-3)[0][0]
    top = int(np.argmax(profile))
    low = np.interp(0.5 * profile[top], profile[: top + 1], grid.two_theta_rad[: top + 1])
    high = np.interp(-0.5 * profile[top], -profile[top:], grid.two_theta_rad[top:])
    return high - low, widths


def width_esd_deg(fit, phase):
    """Uncertainty of Γ, whose Gaussian part all but makes it, from that of U and W."""
    tangent = np.tan(np.deg2rad(0.5 * phase.two_theta_deg))
    slopes = np.stack([0.0 * tangent, tangent**2, np.ones_like(tangent)], axis=1)
    variance = np.einsum("li,ij,lj->l", slopes, fit.covariance, slopes)
    return np.sqrt(variance) / (2.0 * phase.fwhm_deg)


def standard(z):
    """Check mean and variance of independent z; ``FALSE_ALARM`` each, both sides together."""
    count = z.size
    assert abs(z.mean()) < norm.isf(0.5 * FALSE_ALARM) / np.sqrt(count)
    spread = (count - 1) * z.var(ddof=1)
    assert chi2.ppf(0.5 * FALSE_ALARM, count - 1) < spread
    assert spread < chi2.isf(0.5 * FALSE_ALARM, count - 1)


def misfit_of_proportion(found, covariance, expected):
    """χ² of ``found`` being proportional to ``expected``, the factor fitted."""
    inverse = np.linalg.inv(covariance)
    factor = (expected @ inverse @ found) / (expected @ inverse @ expected)
    left = found - factor * expected
    return left @ inverse @ left


@pytest.mark.parametrize("name", ["LaB6", "CeO2"])
def test_a_disc_tells_distance_and_widths_within_their_uncertainties(name):
    # Truth: the twin's distance and its line's own width at half maximum, physics and all. What the
    # model misses is below a third of an uncertainty; the rest is noise, of known statistics.
    crystal = load_crystal(name)
    counts, gain = disc(name, WIDE, exposure_s=2e-3)
    rng = np.random.default_rng(11)
    clean = calibrated(crystal, counts * gain, counts * gain**2, WIDE)
    lines = clean.phases[0]
    checked = [int(np.argmin(np.abs(lines.two_theta_deg - angle))) for angle in (5.0, 12.0)]
    exact = [np.rad2deg(exact_fwhm_rad(np.deg2rad(lines.two_theta_deg[i]), WIDE)[0])
             for i in checked]  # fmt: skip

    def deviations(fit):
        phase = fit.phases[0]
        widths = (phase.fwhm_deg[checked] - exact) / width_esd_deg(fit, phase)[checked]
        return np.array([(fit.values[0] - 300.0) / fit.esd[0], *widths])

    assert clean.names == ("distance_ppm", "U_deg2", "W_deg2")
    offset = deviations(clean)
    assert np.all(np.abs(offset) < 1.0 / 3.0)
    z = np.array(
        [
            deviations(calibrated(crystal, rng.poisson(counts) * gain, counts * gain**2, WIDE))
            for _ in range(30)
        ]
    )
    for column in (z - offset).T:
        standard(column)


def test_calibrate_finds_the_same():
    # Truth: the other implementation, numerical derivatives and intensities of either sign. The
    # searches end within a hundredth of an uncertainty, and lines beyond the pattern, which only
    # one of them keeps from being negative, matter less than a twentieth.
    crystal = load_crystal("LaB6")
    counts, gain = disc("LaB6", exposure_s=2e-3)
    noisy = np.random.default_rng(3).poisson(counts) * gain
    fit = calibrated(crystal, noisy, counts * gain**2)
    other = calibrate(
        noisy, variance=counts * gain**2, calibrant=crystal, beam=BEAM, geometry=GEOMETRY,
        crystallite_size_nm=SIZE_NM,
    )  # fmt: skip
    difference = fit.calibration.distance_m / other.distance_m - 1.0
    assert abs(1e6 * difference) < 0.05 * fit.esd[0]


@pytest.mark.parametrize("name", ["LaB6", "CeO2"])
def test_a_disc_of_the_default_beam_is_as_wide_as_a_gaussian_can_say(name):
    # Truth: the twin's line, a Gaussian under the box of a pixel. The Gaussian that fits such a
    # line best is narrower at half maximum than the line, whose top is flat, and wider than the one
    # with the same variance, whose tails are too strong. The Lorentzian width is that of the size.
    # Means over all lines, since the box narrows with angle, which U and W cannot say.
    counts, gain = disc(name, exposure_s=1.0)
    phase = calibrated(load_crystal(name), counts * gain, counts * gain**2).phases[0]
    inside = phase.two_theta_deg < GEOMETRY.two_theta_max_deg
    exact = [exact_fwhm_rad(angle, BEAM) for angle in np.deg2rad(phase.two_theta_deg[inside])]
    same_variance = FWHM_PER_SIGMA * np.mean(
        [np.sqrt(w.gaussian_sigma_rad**2 + w.pixel_rad**2 / 12.0) for _, w in exact]
    )
    found = np.deg2rad(phase.fwhm_deg[inside]).mean()
    assert same_variance < found < np.mean([width for width, _ in exact])


@pytest.mark.parametrize("name", ["LaB6", "CeO2"])
def test_intensities_of_a_disc_are_those_of_its_structure(name):
    # Truth: ring power from the atoms, times one factor. χ² over the lines that stand out, with
    # their covariance, is that of as many numbers less one for the factor.
    counts, gain = disc(name, WIDE, exposure_s=2e-3)
    rng = np.random.default_rng(12)
    crystal = load_crystal(name)
    powers = phase_lines([crystal], beam=WIDE, geometry=GEOMETRY)

    def misfit(pattern):
        fit = calibrated(crystal, pattern, counts * gain**2, WIDE)
        phase = fit.phases[0]
        kept = phase.two_theta_deg < GEOMETRY.two_theta_max_deg - 0.2
        expected = powers.power_per_um[: kept.size][kept]
        column = phase.column[kept]
        assert np.all(phase.intensity[kept] > 6.0 * phase.intensity_esd[kept])
        covariance = fit.coefficient_covariance[np.ix_(column, column)]
        return misfit_of_proportion(phase.intensity[kept], covariance, expected), kept.sum() - 1

    n, (missed, freedom) = 25, misfit(counts * gain)
    assert missed < freedom / 9.0
    total = sum(misfit(rng.poisson(counts) * gain)[0] for _ in range(n))
    assert chi2.ppf(0.5 * FALSE_ALARM, n * freedom) < total
    assert total < n * missed + chi2.isf(0.5 * FALSE_ALARM, n * freedom)


def unknown_crystal():
    """The layered orthorhombic phase in a cell that no table holds."""
    layered = load_crystal("LiMnO2-ortho")
    cell = (2.8176, 4.5612, 5.7793, 90.0, 90.0, 90.0)
    return layered.__class__(
        "unknown", cell, layered.space_group, layered.sites, layered.formula_units
    )


@lru_cache(maxsize=1)
def held_instrument():
    """The instrument as a disc of CeO2 tells it, to be held from there on."""
    counts, gain = disc("CeO2", exposure_s=1.0, ppm=0.0)
    fit = calibrated(load_crystal("CeO2"), counts * gain, counts * gain**2)
    return Instrument(BEAM, GEOMETRY, fit.calibration)


def beside_spinel(pattern, variance, *, cell, **more):
    chosen = Pawley(
        phases=(
            StructuredPhase(name="spinel", crystal="LiMn2O4", crystallite_size_nm=150.0),
            of_crystal(unknown_crystal(), cell_A_deg=cell, crystallite_size_nm=150.0),
        ),
        **more,
    )
    return fit_pawley(pattern, variance=variance, settings=chosen, instrument=held_instrument())


def off(crystal, errors):
    """The cell of a crystal with its lengths off by relative errors."""
    lengths = np.array(crystal.cell_A_deg[:3]) * (1.0 + np.asarray(errors))
    return (*lengths.tolist(), *crystal.cell_A_deg[3:])


def test_an_unknown_phase_is_found_beside_the_spinel():
    # Truth: the twin's cells, and ring powers from the atoms of which the fit knows nothing. The
    # start is off by 0.3 %: ten times a line's width at the far end. Statistics as above; lines
    # below 6 esd are left out, since none can be negative.
    crystal = unknown_crystal()
    counts, gain = mixture(crystal, weight_fraction=0.4, exposure_s=0.01)
    variance = np.maximum(counts, 1e-9) * gain**2
    truth = np.array([SPINEL_A, *crystal.cell_A_deg[:3]])
    start = off(crystal, (0.003, -0.003, 0.003))
    powers = phase_lines([crystal], beam=BEAM, geometry=GEOMETRY)

    def deviations(pattern):
        fit = beside_spinel(pattern, variance, cell=start)
        assert [phase.status for phase in fit.phases] == [FitStatus.CONVERGED] * 2
        return (fit.values - truth) @ np.linalg.solve(fit.covariance, fit.values - truth), fit

    missed, clean = deviations(counts * gain)
    assert missed < len(truth) / 9.0
    phase = clean.phase("unknown")
    alone = np.bincount(phase.column)[phase.column] == 1
    nearest = np.abs(np.deg2rad(phase.two_theta_deg)[:, None] - powers.angle_rad).argmin(axis=1)
    stands_out = alone & (phase.intensity > 6.0 * phase.intensity_esd)
    assert stands_out.sum() > 15
    expected = powers.power_per_um[nearest][stands_out]

    def misfit(fit):
        column = fit.phase("unknown").column[stands_out]
        covariance = fit.coefficient_covariance[np.ix_(column, column)]
        return misfit_of_proportion(fit.coefficients[column], covariance, expected)

    freedom = stands_out.sum() - 1
    assert misfit(clean) < freedom / 9.0
    n, rng = 12, np.random.default_rng(13)
    found = [deviations(rng.poisson(counts) * gain) for _ in range(n)]
    for values, unit, extra in (
        ([value for value, _ in found], len(truth), missed),
        ([misfit(fit) for _, fit in found], freedom, misfit(clean)),
    ):
        assert chi2.ppf(0.5 * FALSE_ALARM, n * unit) < sum(values)
        assert sum(values) < n * extra + chi2.isf(0.5 * FALSE_ALARM, n * unit)


def test_amount_and_size_of_the_known_phase_beside_an_unknown_one():
    # Truth: the twin's volume fraction along the chord of 50 µm, to the 1 % by which the profiles
    # of the two sides differ in area (the inverse side cuts tails at 1.5°); and its crystallites'
    # size, to the same share of the Lorentzian width.
    crystal = unknown_crystal()
    counts, gain = mixture(crystal, weight_fraction=0.4, exposure_s=1.0)
    chosen = Pawley(
        phases=(
            StructuredPhase(name="spinel", crystal="LiMn2O4", refine_size=True),
            of_crystal(crystal, refine_size=True),
        )
    )
    fit = fit_pawley(
        counts * gain, variance=np.maximum(counts, 1e-9) * gain**2, settings=chosen,
        instrument=held_instrument(),
    )  # fmt: skip
    spinel = load_crystal("LiMn2O4")
    volumes = np.array([0.6 / spinel.density_g_per_cm3, 0.4 / crystal.density_g_per_cm3])
    assert fit.phase("spinel").scale == pytest.approx(50.0 * volumes[0] / volumes.sum(), rel=0.01)
    for phase in fit.phases:
        assert phase.size_nm == pytest.approx(150.0, rel=0.02)


@settings(max_examples=10)
@given(errors=st.tuples(*[st.floats(-0.005, 0.005)] * 3), seed=st.integers(0, 2**31))
def test_a_start_that_is_half_a_per_cent_off_is_mended(errors, seed):
    # Truth: the twin's cell. Each z is off by 6 or more once in 5e8.
    crystal = unknown_crystal()
    counts, gain = mixture(crystal, weight_fraction=0.1, exposure_s=0.02)
    variance = np.maximum(counts, 1e-9) * gain**2
    noisy = np.random.default_rng(seed).poisson(counts) * gain
    fit = beside_spinel(noisy, variance, cell=off(crystal, errors))
    phase = fit.phase("unknown")
    assert phase.status == FitStatus.CONVERGED
    z = (phase.cell_A_deg[:3] - crystal.cell_A_deg[:3]) / phase.cell_esd[:3]
    assert np.all(np.abs(z) < 6.0 * np.sqrt(max(fit.chi2_reduced, 1.0)))


@settings(max_examples=10)
@given(errors=st.tuples(*[st.floats(-0.03, 0.03)] * 3), seed=st.integers(0, 2**31))
def test_a_start_too_far_off_gives_the_truth_or_a_flag(errors, seed):
    # Law: what calls itself converged is right; anything else has no cell.
    crystal = unknown_crystal()
    counts, gain = mixture(crystal, weight_fraction=0.1, exposure_s=0.02)
    variance = np.maximum(counts, 1e-9) * gain**2
    noisy = np.random.default_rng(seed).poisson(counts) * gain
    fit = beside_spinel(noisy, variance, cell=off(crystal, errors))
    phase = fit.phase("unknown")
    if phase.status != FitStatus.CONVERGED:
        assert np.isnan(phase.cell_A_deg).all()
        assert np.isfinite(fit.values).all()
        return
    z = (phase.cell_A_deg[:3] - crystal.cell_A_deg[:3]) / phase.cell_esd[:3]
    assert np.all(np.abs(z) < 6.0 * np.sqrt(max(fit.chi2_reduced, 1.0)))


def model_pattern(crystal, *, ppm=0.0, size_nm=200.0, strain=0.0):
    """The inverse side's own pattern on a background, in counts."""
    instrument = Instrument(
        BEAM, GEOMETRY,
        Calibration(profile=MODEL_PROFILE, distance_m=GEOMETRY.distance_m * (1.0 + 1e-6 * ppm)),
    )  # fmt: skip
    lines = phase_lines([crystal], beam=BEAM, geometry=GEOMETRY)
    pattern = draw_patterns(
        lines, instrument=instrument, crystallite_size_nm=size_nm, strain=strain
    )[0]
    background = [0.05, -0.02, 0.01] @ chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    return 1e4 * (pattern / pattern.max() + background), lines, 1e4 / pattern.max()


def fit_model(counts, phase, **more):
    instrument = Instrument(
        BEAM, GEOMETRY, Calibration(profile=MODEL_PROFILE, distance_m=GEOMETRY.distance_m)
    )
    chosen = Pawley(phases=(phase,), **more)
    return fit_pawley(counts, variance=np.abs(counts) + 1.0, settings=chosen, instrument=instrument)


@pytest.mark.parametrize("name", ["Si", "graphite", "LiMnO2-ortho", "Li2MnO3"])
def test_what_the_model_made_is_recovered(name):
    # Truth: cell, strain and line powers that made the pattern, drawn by other code. The search
    # ends when χ² changes by 1e-8 of itself; lines that share an intensity stand in for each other.
    crystal = load_crystal(name).scaled(1.001)
    counts, lines, unit = model_pattern(crystal, strain=8e-4)
    phase = of_crystal(load_crystal(name), refine_strain=True, strain=2e-4)
    fit = fit_model(counts, phase, share_within=0.0)
    found = fit.phases[0]
    assert found.status == FitStatus.CONVERGED
    np.testing.assert_allclose(found.cell_A_deg, crystal.cell_A_deg, rtol=1e-6)
    assert found.strain == pytest.approx(8e-4, rel=1e-3)
    total = lines.power_per_um[lines.angle_rad < GEOMETRY.two_theta_rad[-1]].sum() * unit
    inside = found.two_theta_deg < np.rad2deg(GEOMETRY.two_theta_rad[-1])
    assert np.nansum(found.intensity[inside]) == pytest.approx(total, rel=1e-3)
    np.testing.assert_allclose(fit.expected, counts, atol=1e-3 * counts.max() ** 0.5)


def test_a_width_that_starts_beyond_its_limits_is_found():
    # Truth as above: from crystallites of 2 nm, of which no line would be left.
    crystal = load_crystal("Si")
    counts, _, _ = model_pattern(crystal, size_nm=60.0)
    fit = fit_model(counts, of_crystal(crystal, crystallite_size_nm=2.0, refine_size=True))
    assert fit.phases[0].size_nm == pytest.approx(60.0, rel=1e-3)


def test_zero_and_distance_are_told_apart_from_each_other():
    # Truth: the shift and distance that made the pattern; moving the channels by a shift is exact.
    crystal = load_crystal("Si")
    counts, _, _ = model_pattern(crystal, ppm=500.0)
    shift_deg = 0.004
    moved = GEOMETRY.model_copy(
        update={
            "two_theta_min_deg": GEOMETRY.two_theta_min_deg + shift_deg,
            "two_theta_max_deg": GEOMETRY.two_theta_max_deg + shift_deg,
        }
    )
    instrument = Instrument(
        BEAM, moved, Calibration(profile=MODEL_PROFILE, distance_m=GEOMETRY.distance_m)
    )
    chosen = Pawley(
        phases=(of_crystal(crystal, refine_cell=False),), refine_distance=True, refine_zero=True
    )
    fit = fit_pawley(counts, variance=counts, settings=chosen, instrument=instrument)
    assert fit.zero_deg == pytest.approx(shift_deg, abs=1e-6)
    assert fit.calibration.distance_m == pytest.approx(0.7 * (1.0 + 5e-4), rel=1e-7)


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_lines_in_a_gap_are_not_measured_and_do_no_harm(hole):
    # Truth as above, with the line at 4.54° of silicon gone.
    crystal = load_crystal("Si")
    counts, _, _ = model_pattern(crystal.scaled(1.0005))
    angle_deg = np.rad2deg(GEOMETRY.two_theta_rad)
    broken = np.where(np.abs(angle_deg - 4.53) < 1.6, hole, counts)
    instrument = Instrument(
        BEAM, GEOMETRY, Calibration(profile=MODEL_PROFILE, distance_m=GEOMETRY.distance_m)
    )
    fit = fit_pawley(
        broken, variance=counts, settings=Pawley(phases=(of_crystal(crystal),)),
        instrument=instrument,
    )  # fmt: skip
    phase = fit.phases[0]
    assert phase.cell_A_deg[0] == pytest.approx(crystal.cell_A_deg[0] * 1.0005, rel=1e-7)
    gone = np.isnan(phase.intensity)
    assert gone.sum() == 1
    assert abs(phase.two_theta_deg[gone][0] - 4.53) < 0.01
    assert np.isfinite(phase.intensity_esd[~gone]).all()


def test_a_forbidden_intensity_stays_at_zero():
    # Truth: the atoms of silicon extinguish 222, which the space group allows. None comes out
    # negative, and noise makes that one positive by no more than 6 of its uncertainties (1e-9).
    crystal = load_crystal("Si")
    counts, _, _ = model_pattern(crystal)
    noisy = np.random.default_rng(5).poisson(counts).astype(float)
    phase = fit_model(noisy, of_crystal(crystal)).phases[0]
    absent = phase.line_names.index("2 2 2")
    assert np.all(phase.intensity >= 0.0)
    assert phase.intensity[absent] <= 6.0 * phase.intensity_esd[absent]
    shown = phase.intensity > 6.0 * phase.intensity_esd
    assert shown.sum() == np.sum(phase.two_theta_deg < GEOMETRY.two_theta_max_deg) - 1


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_taken_for_a_phase(seed):
    # False alarm 1e-6 each by the rule of the module: 3e-6.
    noise = np.random.default_rng(seed).poisson(400.0, 1024).astype(float)
    phase = fit_model(noise, of_crystal(load_crystal("LiMnO2-ortho"))).phases[0]
    assert phase.status in (FitStatus.NO_LINES, FitStatus.AT_LIMIT)
    assert np.isnan(phase.cell_A_deg).all()


def test_an_empty_pattern_has_no_phase():
    phase = fit_model(np.zeros(1024), of_crystal(load_crystal("Si"))).phases[0]
    assert phase.status == FitStatus.NO_LINES
    assert np.all(phase.intensity == 0.0)


def test_a_wrong_phase_is_a_misfit():
    # The lines of silicon are not those of a body-centred metal, wherever its cell goes.
    counts, _, _ = model_pattern(load_crystal("Si"))
    fit = fit_model(counts, of_crystal(load_crystal("Li")))
    assert fit.phases[0].status in (FitStatus.MISFIT, FitStatus.AT_LIMIT)
    assert fit.unexplained > 0.05


@pytest.mark.parametrize(
    ("pattern", "phase", "rule"),
    [
        (np.ones(1000), of_crystal(load_crystal("Si")), "need the geometry's 1024 channels"),
        (np.full(1024, np.nan), of_crystal(load_crystal("Si")), "usable channels, but .* has 0"),
        (np.ones(1024), of_crystal(load_crystal("Si"), space_group="F d -3 m"), "two settings"),
        (np.ones(1024), of_crystal(load_crystal("Si"), space_group="P 63/m m c"), "have the shape"),
        (np.ones(1024), FreePhase(name="tiny", space_group="F m m m",
                                  cell_A_deg=(1.7, 1.8, 1.9, 90.0, 90.0, 90.0)),
         "tiny needs at least 3 lines in the pattern, but has 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_refused(pattern, phase, rule):
    with pytest.raises(InputError, match=rule):
        fit_pawley(
            pattern, variance=np.ones(pattern.shape), settings=Pawley(phases=(phase,)),
            instrument=Instrument(BEAM, GEOMETRY, Calibration(distance_m=0.7)),
        )  # fmt: skip
