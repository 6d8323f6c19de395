"""Le Bail's method, against Pawley's, closed forms for single lines, and the twin's cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from forward.calibrant import Calibrant, measure_calibrant
from forward.instrument import Unknowns, true_instrument
from forward.settings import Accuracy, Effects
from inverse.le_bail import fit_le_bail
from inverse.model import Instrument, chebyshev_background, draw_patterns, phase_lines
from inverse.pawley import fit_pawley
from inverse.pawley_recipe import FreePhase, Pawley, StructuredPhase
from inverse.pawley_result import FitStatus
from inverse.recipe import Calibration, Profile
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance

BEAM, DETECTOR, GEOMETRY = Beam(), Detector(), Geometry()
PROFILE = Profile(U_deg2=2e-3, W_deg2=4e-4)
INSTRUMENT = Instrument(BEAM, GEOMETRY, Calibration(profile=PROFILE, distance_m=0.7))
FALSE_ALARM = 1e-8


def free(crystal, **more):
    known = {"space_group": crystal.space_group, "cell_A_deg": crystal.cell_A_deg}
    return FreePhase(name=crystal.name, **(known | {"crystallite_size_nm": 1e5} | more))


def inside(phase):
    """Which lines lie whole in the pattern."""
    return phase.two_theta_deg < GEOMETRY.two_theta_max_deg - 0.2


def drawn(*crystals, amounts=(1.0,)):
    """The inverse side's own pattern of nearly Gaussian lines on a background, in counts."""
    lines = phase_lines(crystals, beam=BEAM, geometry=GEOMETRY)
    patterns = draw_patterns(lines, instrument=INSTRUMENT, crystallite_size_nm=1e5, strain=0.0)
    pattern = np.array(amounts) @ patterns
    background = [0.05, -0.02, 0.01] @ chebyshev_background(GEOMETRY.n_channels, n_terms=3)
    return 1e4 * (pattern / pattern.max() + background)


def both(counts, phases, *, variance=None, **more):
    chosen = Pawley(phases=phases, **more)
    variance = counts if variance is None else variance
    return tuple(
        fit(counts, variance=variance, settings=chosen, instrument=INSTRUMENT)
        for fit in (fit_pawley, fit_le_bail)
    )


@pytest.mark.parametrize("name", ["CeO2", "LaB6", "LiMnO2-ortho"])
def test_both_methods_agree_where_there_is_no_noise(name):
    # Law: the pattern that both can make is a fixed point of either. A cycle that changes
    # intensities by less than 1e-4, half of what is left or more, is that near to it.
    crystal = load_crystal(name)
    pawley, le_bail = both(drawn(crystal.scaled(1.0005)), (free(crystal),))
    assert pawley.phases[0].status == le_bail.phases[0].status == FitStatus.CONVERGED
    np.testing.assert_allclose(le_bail.phases[0].cell_A_deg, pawley.phases[0].cell_A_deg, rtol=1e-6)
    kept = inside(pawley.phases[0])
    found, expected = (fit.phases[0].intensity[kept] for fit in (le_bail, pawley))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())


def test_noise_parts_the_methods_as_far_as_their_weights_differ():
    # Truth: on lines apart, both are linear in the counts and right in the mean. Pawley's estimate
    # has the least variance of all such, so it is not correlated with the difference, whose
    # variance is that of the two apart: Σ w² v/(Σ w P)² less 1/Σ P²/v with v the counts' variance.
    # The cell is held; what the background is off by, both have.
    crystal = load_crystal("CeO2")
    expected = drawn(crystal)
    rng, n = np.random.default_rng(4), 40
    found = []
    for _ in range(n):
        pawley, le_bail = both(
            rng.poisson(expected).astype(float), (free(crystal, refine_cell=False),),
            variance=expected,
        )  # fmt: skip
        found.append(le_bail.phases[0].intensity - pawley.phases[0].intensity)
    phase = pawley.phases[0]
    distance = np.rad2deg(GEOMETRY.two_theta_rad) - phase.two_theta_deg[:, None]
    weight = np.maximum(1.0 - (distance / (3.0 * phase.fwhm_deg[:, None])) ** 2, 0.0) ** 2
    sigma = phase.fwhm_deg[:, None] / np.sqrt(8.0 * np.log(2.0))
    half_deg = 0.5 * np.rad2deg(GEOMETRY.channel_width_rad)
    share = norm.cdf(distance + half_deg, scale=sigma) - norm.cdf(distance - half_deg, scale=sigma)
    gaussian = share / GEOMETRY.channel_width_rad
    least = 1.0 / (gaussian**2 @ (1.0 / expected))
    difference = (weight**2 @ expected) / np.sum(weight * gaussian, axis=1) ** 2 - least
    kept = inside(phase)
    z = np.array(found)[:, kept] / np.sqrt(difference[kept])
    # What the background's own uncertainty adds is given 5 % of the spread.
    count = z.size
    assert abs(z.mean()) < norm.isf(0.5 * FALSE_ALARM) / np.sqrt(n)  # lines share a background
    assert abs(z.std() - 1.0) < 0.05 + norm.isf(0.5 * FALSE_ALARM) / np.sqrt(2 * count)


def test_lines_that_coincide_stay_equal():
    # Law: what is shared out in proportion keeps proportions, and lines start equal. 100 and 001
    # of a tetragonal phase whose cell is a cube.
    crystal = load_crystal("LaB6")
    phase = free(crystal, space_group="P 4/m m m", refine_cell=False)
    _, fit = both(drawn(crystal), (phase,), share_within=0.0)
    found = fit.phases[0]
    pair = [found.line_names.index(name) for name in ("1 0 0", "0 0 1")]
    assert found.intensity[pair[0]] == pytest.approx(found.intensity[pair[1]], rel=1e-9)
    assert found.intensity[pair[0]] > 0.0


@settings(max_examples=8)
@given(errors=st.tuples(*[st.floats(-0.004, 0.004)] * 3), seed=st.integers(0, 2**31))
def test_the_cell_of_a_free_phase_beside_a_known_one(errors, seed):
    # Truth: the cells that made the pattern; the start is off by up to 0.4 %. Le Bail's cells are
    # some 0.3 uncertainties from Pawley's, which noise takes beyond 6 once in 5e8.
    crystal = load_crystal("LiMnO2-ortho")
    expected = drawn(crystal, load_crystal("LiMn2O4"), amounts=(0.3, 0.7))
    counts = np.random.default_rng(seed).poisson(expected).astype(float)
    lengths = np.array(crystal.cell_A_deg[:3]) * (1.0 + np.array(errors))
    phase = free(crystal, cell_A_deg=(*lengths.tolist(), 90.0, 90.0, 90.0))
    known = StructuredPhase(name="spinel", crystal="LiMn2O4", crystallite_size_nm=1e5)
    chosen = Pawley(phases=(phase, known))
    fit = fit_le_bail(counts, variance=expected, settings=chosen, instrument=INSTRUMENT)
    found = fit.phases[0]
    assert found.status == FitStatus.CONVERGED
    assert np.all(found.intensity[inside(found)] >= 0.0)
    z = (found.cell_A_deg[:3] - crystal.cell_A_deg[:3]) / found.cell_esd[:3]
    assert np.all(np.abs(z) < 7.0)


def test_a_simulated_disc_tells_both_the_same_distance():
    # Truth: the twin's distance, to the 1 ppm that its physical line differs from the model's.
    truth = true_instrument(
        Unknowns(distance_ppm=(200.0, 200.0)), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY,
        seed=0,
    )  # fmt: skip
    measured = measure_calibrant(
        Calibrant(crystal="LaB6", crystallite_size_nm=800.0), beam=BEAM, detector=DETECTOR,
        geometry=GEOMETRY, truth=truth, effects=Effects(noise=False), accuracy=Accuracy(), seed=0,
    )  # fmt: skip
    acceptance = ring_acceptance(GEOMETRY, detector=DETECTOR, polarisation=BEAM.polarisation)
    gain = np.where(acceptance > 0.0, 1.0 / np.maximum(acceptance, 1e-9), 0.0)
    phase = free(load_crystal("LaB6"), refine_cell=False, crystallite_size_nm=800.0)
    fits = both(
        measured.counts * gain, (phase,), variance=measured.counts * gain**2, refine_distance=True,
        refine_widths=("U", "W"),
    )  # fmt: skip
    for fit in fits:
        assert fit.values[0] == pytest.approx(200.0, abs=1.0)


def test_nothing_to_share_out():
    _, fit = both(np.zeros(1024), (free(load_crystal("Si")),), variance=np.ones(1024))
    assert fit.phases[0].status == FitStatus.NO_LINES
    assert np.all(fit.phases[0].intensity[inside(fit.phases[0])] == 0.0)


def test_what_cannot_be_fitted_is_refused():
    chosen = Pawley(phases=(free(load_crystal("Si")),))
    with pytest.raises(InputError, match="need the geometry's 1024 channels"):
        fit_le_bail(np.ones(9), variance=np.ones(9), settings=chosen, instrument=INSTRUMENT)
