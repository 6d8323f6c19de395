"""Statistics of Rietveld refinements of counts: their weights, mixtures, and simulated patterns.

Tests that draw say how many: a mean over n draws is known to 1/√n standard uncertainties, a
standard deviation to 1/√(2n) of itself; limits are 5.33 of these (false alarm 1e-7 each), or stated
figures with as much room.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import uniform_filter1d

from forward.calibrant import Calibrant, measure_calibrant
from forward.instrument import Unknowns, true_instrument
from forward.projection import expected_projection
from forward.settings import Accuracy, Effects
from forward.virtual import prepare
from inverse.calibrate import calibrate
from inverse.quantify import weight_fractions
from inverse.recipe import Calibration, Profile
from inverse.refine import Status
from inverse.rietveld import calculated, design, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from phantoms.particle import Particle, Shell
from phantoms.sample import Sample
from phantoms.stoichiometry import lattice
from xrdct.crystal import load_crystal
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.scan import Scan

BEAM, DETECTOR, GEOMETRY = Beam(), Detector(), Geometry()
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, W_deg2=5e-4, X_deg=0.01), distance_m=GEOMETRY.distance_m
)
SPINEL, ROCKSALT = "LiMn2O4", "LiMnO2-rocksalt"
MINOR = {"Li2MnO3": 0.04, ROCKSALT: 0.20, "Li0.5Mn2O4": 0.10}
"""Weight fractions beside the spinel."""
MIXTURE = (SPINEL, *MINOR)
WANTED = np.array([1.0 - sum(MINOR.values()), *MINOR.values()])
FIVE_SIGMA = 5.33
ON_THE_SPINEL = 8.245 / 2.0 / 4.13
"""Factor of the rock salt's cell with which all of its lines lie on lines of the spinel."""


@lru_cache
def model_of(*phases, calibration=CALIBRATION):
    return rietveld_model(
        Rietveld(phases=phases), beam=BEAM, geometry=GEOMETRY, calibration=calibration
    )


def spinel(**more):
    return RietveldPhase(crystal=SPINEL, **more)


def mixture(*, rocksalt_start=1.0):
    starts = {ROCKSALT: rocksalt_start}
    return model_of(
        *(RietveldPhase(crystal=name, cell_start=starts.get(name, 1.0)) for name in MIXTURE)
    )


def volumes_of(weights, *, rocksalt_start=1.0):
    """Volume fractions of the mixture, from weights and X-ray densities."""
    density = np.array([load_crystal(name).density_g_per_cm3 for name in MIXTURE])
    density[MIXTURE.index(ROCKSALT)] /= rocksalt_start**3
    shares = weights / density
    return shares / shares.sum()


def expected_counts(model, scales, *, peak, background):
    """Mean counts, at most ``peak`` above the background, and what they are divided by."""
    pattern = np.array(scales) @ model.patterns(model.slots)
    per_unit = peak / pattern.max()
    return per_unit * pattern + background, per_unit


def drawn(mean, *, n, seed):
    return np.random.default_rng(seed).poisson(mean, (n, mean.size)).astype(np.float64)


def bound_of(model, scales, *, mean, per_unit):
    """Cramér–Rao: the least covariance of unbiased estimates from these counts."""
    values = np.concatenate(
        [scales, [float(p.result(np.array(p.start))) for p in model.parameters]]
    )
    values = np.concatenate([values, np.zeros(len(model.background))])
    rows = design(model, values)
    return np.linalg.inv(rows / (mean / per_unit**2) @ rows.T)


# -- variance of counts ----------------------------------------------------------------------------


def biases(model, counts, variance, per_unit, background):
    """Mean errors of scale, cell and background in their Cramér–Rao bounds, and the result."""
    result = refine_patterns(counts / per_unit, variance=variance / per_unit**2, model=model)
    assert (result.status == Status.CONVERGED).all()
    mean, _ = expected_counts(model, [0.7], peak=0.7 * PEAK, background=background)
    bound = np.sqrt(np.diag(bound_of(model, [0.7], mean=mean, per_unit=per_unit)))[:3]
    truth = np.array([0.7, 8.245, background / per_unit])
    return (result.values[:, :3] - truth).mean(axis=0) / bound, result


PEAK = 300.0


@pytest.mark.parametrize("background", [2.0, 10.0, 100.0])
def test_variance_from_counts_is_biased_and_from_the_fit_is_not(background):
    # Neyman's weights 1/counts favour what fluctuated down: the background comes out low by one
    # count, or 1/√counts of a channel's own standard deviation over all of its channels, and the
    # scale with it where few channels are free of lines. Half a count already at 2. With the
    # variance of the refined pattern instead (started from counts averaged over 15 channels, which
    # are hardly correlated with a channel's own noise), nothing is left.
    model, n = model_of(spinel()), 4000
    mean, per_unit = expected_counts(model, [0.7], peak=0.7 * PEAK, background=background)
    counts = drawn(mean, n=n, seed=3)
    limit = FIVE_SIGMA / np.sqrt(n)
    neyman, _ = biases(model, counts, np.maximum(counts, 1.0), per_unit, background)
    assert abs(neyman[1]) < limit  # lines are symmetric: the lattice parameter does not care
    assert neyman[2] < -1.0
    smooth = np.maximum(uniform_filter1d(counts, 15, axis=1), 0.5)
    _, first = biases(model, counts, smooth, per_unit, background)
    fitted, second = biases(
        model, counts, np.maximum(calculated(first) * per_unit, 0.3), per_unit, background
    )
    assert (np.abs(fitted) < limit + 0.01).all()
    mean_bound = bound_of(model, [0.7], mean=mean, per_unit=per_unit)
    assert_allclose(
        np.var(second.values[:, :2], axis=0), np.diag(mean_bound)[:2], rtol=FIVE_SIGMA / 44.0
    )  # √(2/4000) = 1/44.7


# -- the mixture of four ---------------------------------------------------------------------------


def fractions_of(result, *, rocksalt_start=1.0):
    crystals = {name: load_crystal(name) for name in MIXTURE}
    crystals[ROCKSALT] = crystals[ROCKSALT].scaled(rocksalt_start)
    return weight_fractions(
        result.values, names=result.names, crystals=crystals, covariance=result.covariance
    )


@pytest.mark.parametrize("rocksalt_start", [1.0, ON_THE_SPINEL], ids=["beside", "on"])
@pytest.mark.parametrize(
    "n", [400, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.share])]
)
def test_weight_fractions_of_four_phases(n, rocksalt_start):
    # Truth: the weights that made the patterns, with the rock salt's lines 0.2 % beside some of the
    # spinel's, or right on them (a = 8.245 Å of both, as it were). Least squares choose among the k
    # cell parameters of a phase those that make its scale large, S² by k esd² on average, so that a
    # scale is k/2 esd²/S too large: 0.12 esd for the monoclinic phase (S = 16 esd), 2e-4 of weight,
    # and less for others. Its cell moves lines by a tenth of a width, which is not linear either:
    # another 15 % are allowed for its spread.
    model = mixture(rocksalt_start=rocksalt_start)
    volumes = volumes_of(WANTED, rocksalt_start=rocksalt_start)
    mean, per_unit = expected_counts(model, volumes, peak=3000.0, background=60.0)
    counts = drawn(mean, n=n, seed=4)
    variance = np.broadcast_to(mean / per_unit**2, counts.shape)
    result = refine_patterns(counts / per_unit, variance=variance, model=model, covariance=True)
    good = result.status == Status.CONVERGED
    assert good.mean() > 0.999
    result = replace(
        result, values=result.values[good], esd=result.esd[good],
        covariance=result.covariance[good],
    )  # fmt: skip
    fractions = fractions_of(result, rocksalt_start=rocksalt_start)
    esd = np.sqrt(np.einsum("vpp->vp", fractions.covariance))
    z = (fractions.values - WANTED) / esd
    bound = np.diag(bound_of(model, volumes, mean=mean, per_unit=per_unit))[:4]
    chosen = 0.5 * model.n_cell * np.sqrt(bound) / volumes
    drawn_limit = FIVE_SIGMA / np.sqrt(n)
    excess = (result.values[:, :4].mean(axis=0) - volumes) / np.sqrt(bound)
    assert (excess > -drawn_limit).all()
    assert (excess < chosen + drawn_limit).all()
    assert (np.abs(z.mean(axis=0)) < chosen.max() + drawn_limit).all()
    assert (np.abs(z.std(axis=0) - 1.0) < 0.02 + FIVE_SIGMA / np.sqrt(2 * n)).all()
    names = [name for name in model.names if name.endswith("_A")]
    for name in names:
        found = (result.of(name) - result.model.slots[_slot(model, name)]) / result.esd_of(name)
        assert abs(found.mean()) < 0.03 + drawn_limit, name
        spread = 0.15 if "Li2MnO3" in name else 0.03
        assert abs(found.std() - 1.0) < spread + FIVE_SIGMA / np.sqrt(2 * n), name
    limit = max(0.1, FIVE_SIGMA * np.sqrt(2.0 / n))
    assert_allclose(np.var(result.values[:, :4], axis=0), bound, rtol=limit)
    assert (esd.mean(axis=0) < 0.01).all()


def _slot(model, name):
    return next(p.slots[0] for p in model.parameters if p.name == name)


def test_phases_in_traces_are_not_overestimated():
    # Truth: 0.3 % of a phase whose scale is known to 0.4 %: half of the draws come out at zero or
    # below five esd, and have no cell; the mean of all, negative ones cut off, is that of a
    # truncated normal distribution, σ (φ(t) + t Φ(t)) with t = truth/σ.
    from scipy.stats import norm

    model, n = model_of(spinel(), RietveldPhase(crystal="Li2MnO3")), 4000
    scales = np.array([0.7, 0.003])
    mean, per_unit = expected_counts(model, scales, peak=2000.0, background=60.0)
    bound = bound_of(model, scales, mean=mean, per_unit=per_unit)
    counts = drawn(mean, n=n, seed=6)
    variance = np.broadcast_to(mean / per_unit**2, counts.shape)
    result = refine_patterns(counts / per_unit, variance=variance, model=model)
    still = model_of(spinel(), RietveldPhase(crystal="Li2MnO3", cell="fixed"))
    sigma = np.sqrt(np.diag(bound_of(still, scales, mean=mean, per_unit=per_unit))[1])
    # Two in a thousand make five esd of noise and a trace by the choice of four cell parameters.
    assert np.isnan(result.of("Li2MnO3.a_A")).mean() > 0.995
    scale = result.of("Li2MnO3.scale")[result.status == Status.CONVERGED]
    assert scale.size > 0.998 * n
    expected = sigma * (norm.pdf(0.003 / sigma) + 0.003 / sigma * norm.cdf(0.003 / sigma))
    assert sigma > np.sqrt(bound[1, 1]) * 0.5
    limit = 0.05 * expected + FIVE_SIGMA * sigma / np.sqrt(n)
    assert scale.mean() == pytest.approx(expected, abs=limit)


# -- patterns of the simulation --------------------------------------------------------------------

QUIET = Effects(
    noise=False, diffuse=False, attenuation=False, parallax=False, sensor_parallax=False,
    grains=False,
)  # fmt: skip
COARSE = Accuracy(layer_um=20.0, profile_step_um=2.0)
"""A uniform ball of a millimetre needs no fine layers."""
DIAMETER_UM = 1000.0


@lru_cache
def true_one():
    return true_instrument(
        Unknowns(distance_ppm=(150.0, 150.0)), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY,
        seed=0,
    )  # fmt: skip


@lru_cache
def gain():
    """What turns counts into the model's units, zero where the detector sees nothing."""
    acceptance = ring_acceptance(GEOMETRY, detector=DETECTOR, polarisation=BEAM.polarisation)
    seen = acceptance > 0.0
    return seen / (acceptance + ~seen) / (DETECTOR.efficiency * GEOMETRY.channel_width_rad)


@lru_cache
def calibrated():
    """The instrument as LaB6 shows it, as in validation.calibration."""
    pattern = measure_calibrant(
        Calibrant(), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, truth=true_one(),
        effects=QUIET, accuracy=Accuracy(), seed=0, sensor_corrected=False,
    )  # fmt: skip
    scale = gain() / pattern.transmitted
    return calibrate(
        pattern.counts * scale, variance=np.maximum(pattern.counts, 1.0) * scale**2,
        calibrant=load_crystal("LaB6"), beam=BEAM, geometry=GEOMETRY, crystallite_size_nm=1000.0,
    )  # fmt: skip


@lru_cache
def simulated(x, *, mixed):
    """Pattern per µm of the ray through the middle of a ball, in the model's units."""
    shells = tuple(
        Shell(phase=name, thickness_um=0.5 * DIAMETER_UM, weight_fraction=weight)
        for name, weight in (MINOR.items() if mixed else ())
    )
    ball = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=DIAMETER_UM, x=x, shells=shells)
    virtual = prepare(
        Sample((ball,)), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, truth=true_one(),
        effects=QUIET, accuracy=COARSE, sensor_corrected=False,
    )  # fmt: skip
    seen = expected_projection(
        virtual, scan=Scan(n_offsets=3, step_um=1.0, n_angles=2), angle_rad=0.0
    )
    per_um = seen.counts[1] / seen.transmitted[1] / seen.path_um[1].sum()
    return per_um.astype(np.float64) * gain()


def refined_counts(x, *, mixed, n, peak, background, seed=0):
    """Refine Poisson counts of a simulated pattern; None for n: its mean."""
    names = MIXTURE if mixed else (SPINEL,)
    phases = (spinel(search=True), *(RietveldPhase(crystal=name) for name in names[1:]))
    model = model_of(*phases, calibration=calibrated())
    pattern = simulated(x, mixed=mixed)
    per_unit = peak / pattern.max()
    mean = per_unit * pattern + background
    counts = mean[None] if n is None else drawn(mean, n=n, seed=seed)
    variance = np.broadcast_to(mean / per_unit**2, counts.shape)
    result = refine_patterns(counts / per_unit, variance=variance, model=model, covariance=True)
    assert (result.status == Status.CONVERGED).all()
    return result


@pytest.mark.parametrize("x", [1.0, 0.9, 0.83])
def test_simulated_lattice_parameters(x):
    # Truth: the law a(x) of the simulation, which convolves pixel, bandwidth, divergence and size
    # where we fit a calibrated pseudo-Voigt. The calibrated distance is known to 5 ppm; symmetric
    # shapes that differ do not move lines. 2e-5 Å are 2.5 ppm. The scale is the volume fraction:
    # one, but for tails that are left out beyond 1.5° and η of a pseudo-Voigt for a box, together
    # below 1 %.
    a_A = float(lattice(np.array(x), y=np.array(0.0)).a_low_A)
    clean = refined_counts(x, mixed=False, n=None, peak=1e4, background=50.0)
    assert clean.of(f"{SPINEL}.a_A")[0] == pytest.approx(a_A, abs=5e-5)
    assert clean.of(f"{SPINEL}.scale")[0] == pytest.approx(1.0, abs=0.01)
    n = 2000
    noisy = refined_counts(x, mixed=False, n=n, peak=500.0, background=20.0, seed=7)
    z = (noisy.of(f"{SPINEL}.a_A") - a_A) / noisy.esd_of(f"{SPINEL}.a_A")
    assert abs(z.mean()) < 0.1 + FIVE_SIGMA / np.sqrt(n)
    assert abs(z.std() - 1.0) < 0.02 + FIVE_SIGMA / np.sqrt(2 * n)
    assert np.mean(noisy.chi2_reduced) == pytest.approx(1.0, abs=0.02)


def test_simulated_weight_fractions():
    # Truth: the weights that the simulated ball is made of. Without noise, 0.0015 for shapes that
    # differ (a line is 0.7 % stronger in our shape, whichever phase it is of); with noise, that on
    # top of 5.33 standard uncertainties of the mean.
    clean = refined_counts(1.0, mixed=True, n=None, peak=1e4, background=50.0)
    assert_allclose(fractions_of(clean).values[0], WANTED, atol=1.5e-3)
    assert clean.values[0, :4].sum() == pytest.approx(1.0, abs=0.01)
    n = 400
    noisy = refined_counts(1.0, mixed=True, n=n, peak=2000.0, background=50.0, seed=8)
    fractions = fractions_of(noisy)
    esd = np.sqrt(np.einsum("vpp->vp", fractions.covariance))
    error = np.abs(fractions.values.mean(axis=0) - WANTED)
    assert (error < 1.5e-3 + FIVE_SIGMA * esd.mean(axis=0) / np.sqrt(n)).all()
    z = (fractions.values - fractions.values.mean(axis=0)) / esd
    assert (np.abs(z.std(axis=0) - 1.0) < 0.02 + FIVE_SIGMA / np.sqrt(2 * n)).all()
    for name, truth in ((f"{SPINEL}.a_A", 8.245), (f"{ROCKSALT}.a_A", 4.13)):
        offset = (noisy.of(name) - truth) / noisy.esd_of(name)
        assert abs(offset.mean()) < 0.1 + FIVE_SIGMA / np.sqrt(n)
