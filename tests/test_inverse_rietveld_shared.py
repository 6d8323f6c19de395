"""Parameters that all patterns share, against what made the patterns and one big least squares."""

from functools import lru_cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import least_squares

from inverse.recipe import Calibration, Profile
from inverse.refine import Status
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from inverse.rietveld_shared import shared_parameters
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=640, two_theta_min_deg=2.0, two_theta_max_deg=11.0)
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, W_deg2=5e-4, X_deg=0.01), distance_m=GEOMETRY.distance_m
)
SPINEL, ROCKSALT = "LiMn2O4", "LiMnO2-rocksalt"
FIVE_SIGMA = 5.33
"""A Gaussian variable leaves ±5.33 σ with a probability of 1e-7."""


@lru_cache
def model_of(*phases, **more):
    more.setdefault("n_background", 3)
    settings = Rietveld(phases=phases, **more)
    return rietveld_model(settings, beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION)


def spinel(**more):
    return RietveldPhase(crystal=SPINEL, **more)


CASES = {
    "strain": (model_of(spinel(strain="shared", strain_value=4e-4)), {"LiMn2O4.strain": 7e-4}),
    "size and strain": (
        model_of(spinel(strain="shared", size="shared", strain_value=4e-4)),
        {"LiMn2O4.strain": 7e-4, "LiMn2O4.size_nm": 130.0},
    ),
    "b_iso": (model_of(spinel(b_iso="shared")), {"LiMn2O4.b_iso_change_A2": 0.35}),
    "zero": (model_of(spinel(), zero="shared"), {"zero_deg": 0.004}),
    "distance": (
        model_of(spinel(cell="shared"), RietveldPhase(crystal="Al", cell="fixed"),
                 distance="shared"),
        {"distance_m": 0.7004, "LiMn2O4.a_A": 8.251},
    ),
    "occupancy": (
        model_of(spinel(occupancy="shared", occupancy_site="Mn1")), {"LiMn2O4.occupancy": 0.93}
    ),
    "tied": (
        model_of(spinel(strain="shared", strain_value=4e-4),
                 RietveldPhase(crystal=ROCKSALT, strain="=LiMn2O4")),
        {"LiMn2O4.strain": 7e-4},
    ),
}  # fmt: skip


def patterns_of(model, truth, *, n, seed, relative=0.02):
    """Noisy patterns with these shared results, each with scales and cells of its own."""
    rng = np.random.default_rng(seed)
    numbers = [float(p.number(np.array(truth[p.name]))) for p in model.shared]
    held = model.with_shared(np.array(numbers))
    slots = np.tile(held.slots, (n, 1))
    for parameter in model.parameters:
        slots[:, list(parameter.slots)] *= 1.0 + 5e-4 * rng.normal(size=(n, 1))
    scales = rng.uniform(0.3, 0.9, (n, len(model.settings.phases)))
    clean = np.array([s @ held.patterns(own) for s, own in zip(scales, slots, strict=True)])
    peak = clean.max()
    clean += 0.1 * peak
    variance = relative**2 * peak * clean
    return clean + rng.normal(size=clean.shape) * np.sqrt(variance), variance


@pytest.mark.parametrize("case", CASES)
def test_shared_values_are_recovered(case):
    # Truth: the numbers that made the patterns, within 5.33 standard uncertainties; which are those
    # of the sum of what each pattern tells (next test), and small enough to mean something.
    model, truth = CASES[case]
    patterns, variance = patterns_of(model, truth, n=60, seed=len(case))
    result = refine_patterns(patterns, variance=variance, model=model)
    assert (result.status == Status.CONVERGED).all()
    assert set(result.shared) == set(truth)
    for name, (value, esd) in result.shared.items():
        assert abs(value - truth[name]) < FIVE_SIGMA * esd, name
        assert 0.0 < esd < 0.1 * abs(truth[name]), name
    assert np.mean(result.chi2_reduced) == pytest.approx(1.0, abs=0.05)


def one_big_fit(model, patterns, variance, start_own, start_shared):
    """Scipy's least squares of all patterns at once, slopes by differences; returns (x, esd)."""
    n_phases, n_own, n_shared = (
        len(model.settings.phases), len(model.parameters), len(model.shared)
    )  # fmt: skip
    n_terms = len(model.background)
    per = n_phases + n_own + n_terms
    weight = 1.0 / np.sqrt(variance)

    def residuals(x):
        held = model.with_shared(x[-n_shared:])
        out = []
        for row, own in enumerate(x[:-n_shared].reshape(-1, per)):
            slots = held.slots.copy()
            for parameter, number in zip(
                model.parameters, own[n_phases : n_phases + n_own], strict=True
            ):
                slots[list(parameter.slots)] = number
            pattern = own[:n_phases] @ held.patterns(slots)
            pattern += own[n_phases + n_own :] @ model.background
            out.append((pattern - patterns[row]) * weight[row])
        return np.concatenate(out)

    scale = np.abs(np.concatenate([start_own.ravel(), start_shared]))
    units = np.maximum(scale, 1e-3 * scale.max()) * 1e-2
    units[:-n_shared].reshape(-1, per)[:, n_phases + n_own :] = np.abs(
        start_own[:, n_phases + n_own :]
    ).max()
    fit = least_squares(
        lambda x: residuals(x * units), np.concatenate([start_own.ravel(), start_shared]) / units,
        jac="3-point", xtol=1e-11, ftol=1e-14, gtol=1e-14, diff_step=1e-4,
    )  # fmt: skip
    esd = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac))) * units
    return fit.x * units, esd


@pytest.mark.parametrize("case", ["strain", "size and strain", "b_iso", "tied"])
def test_a_few_patterns_are_refined_as_in_one_big_fit(case):
    # Independent: all numbers of three patterns in one least squares. The search for shared ones
    # ends within 1e-2 of their uncertainty; esds are those of least squares times √χ², where above
    # one.
    model, truth = CASES[case]
    patterns, variance = patterns_of(model, truth, n=3, seed=3, relative=0.004)
    result = refine_patterns(patterns, variance=variance, model=model)
    numbers = np.array([float(p.number(np.array(result.shared[p.name][0]))) for p in model.shared])
    own = result.values.copy()
    x, esd = one_big_fit(model, patterns, variance, own, numbers)
    n_shared = len(model.shared)
    inflation = np.sqrt(max(1.0, result.chi2_reduced.mean()))
    for parameter, number, expected, spread in zip(
        model.shared, numbers, x[-n_shared:], esd[-n_shared:], strict=True
    ):
        assert abs(number - expected) < 0.03 * spread
        slope = abs(float(parameter.slope(np.array([number]), np.zeros(1))[0]))
        assert result.shared[parameter.name][1] == pytest.approx(
            slope * spread * inflation, rel=5e-3
        )
    moved = np.abs(own.ravel() - x[:-n_shared]) / esd[:-n_shared]
    assert moved.max() < 0.05


def test_uncertainties_of_shared_values_cover():
    # Statistics over 400 sets of six patterns: z has mean 0 ± 1/√400 and standard deviation
    # 1 ± 1/√800, each within 5.33 of these (1e-7); esds are larger by √χ² where that is above one,
    # by half a per cent here.
    model, truth = CASES["size and strain"]
    n = 400
    z = []
    for seed in range(n):
        patterns, variance = patterns_of(model, truth, n=6, seed=1000 + seed, relative=0.01)
        found = shared_parameters(patterns, variance, model=model, workers=1).results
        z.append([(found[name][0] - truth[name]) / found[name][1] for name in truth])
    z = np.array(z)
    assert (np.abs(z.mean(axis=0)) < FIVE_SIGMA / np.sqrt(n) + 0.05).all()
    assert (np.abs(z.std(axis=0) - 1.0) < FIVE_SIGMA / np.sqrt(2 * n)).all()


def test_patterns_are_refined_with_the_shared_values():
    # Law: what comes out is what a model with these values fixed gives.
    model, truth = CASES["strain"]
    patterns, variance = patterns_of(model, truth, n=20, seed=5)
    result = refine_patterns(patterns, variance=variance, model=model)
    strain = result.shared["LiMn2O4.strain"][0]
    fixed = model_of(spinel(strain_value=strain))
    again = refine_patterns(patterns, variance=variance, model=fixed)
    assert (np.abs(again.values - result.values) < 5e-3 * result.esd).all()
    assert result.names == fixed.names


def test_shared_values_do_not_depend_on_workers():
    model, truth = CASES["size and strain"]
    patterns, variance = patterns_of(model, truth, n=30, seed=6)
    one = refine_patterns(patterns, variance=variance, model=model, workers=1)
    two = refine_patterns(patterns, variance=variance, model=model, workers=2)
    assert one.shared == two.shared
    assert_array_equal(one.values, two.values)


def test_patterns_without_material_say_nothing_of_what_is_shared():
    # Law: noise, holes and emptiness beside good patterns change nothing.
    model, truth = CASES["strain"]
    patterns, variance = patterns_of(model, truth, n=12, seed=8)
    rng = np.random.default_rng(0)
    empty = rng.normal(size=(4, patterns.shape[1])) * np.sqrt(variance[:4])
    hole = np.full((2, patterns.shape[1]), np.nan)
    alone = refine_patterns(patterns, variance=variance, model=model)
    mixed = refine_patterns(
        np.concatenate([empty, patterns, hole]),
        variance=np.concatenate([variance[:4], variance, variance[:2]]), model=model,
    )  # fmt: skip
    value, esd = alone.shared["LiMn2O4.strain"]
    assert mixed.shared["LiMn2O4.strain"][0] == pytest.approx(value, abs=0.02 * esd)
    assert (mixed.status[:4] == Status.NO_MATERIAL).all()
    assert (mixed.status[-2:] == Status.NOT_MEASURED).all()


def test_a_phase_missing_from_half_of_the_patterns_shares_its_strain():
    # Truth: the strain of the patterns that hold the phase; the others' scales are near zero.
    rocksalt = RietveldPhase(crystal=ROCKSALT, strain="shared", strain_value=4e-4)
    model = model_of(spinel(), rocksalt)
    truth = {f"{ROCKSALT}.strain": 9e-4}
    patterns, variance = patterns_of(model, truth, n=20, seed=9)
    without, its_variance = patterns_of(model_of(spinel()), {}, n=20, seed=10)
    result = refine_patterns(
        np.concatenate([patterns, without]), variance=np.concatenate([variance, its_variance]),
        model=model,
    )  # fmt: skip
    value, esd = result.shared[f"{ROCKSALT}.strain"]
    assert abs(value - 9e-4) < FIVE_SIGMA * esd
    assert (result.status == Status.CONVERGED).all()
    scale = result.of(f"{ROCKSALT}.scale")
    assert (scale[20:] < FIVE_SIGMA * result.esd_of(f"{ROCKSALT}.scale")[20:]).all()
    assert_allclose(result.of("LiMn2O4.a_A")[20:], 8.245, rtol=3e-3)


def test_nothing_to_learn_from_is_refused():
    model, _ = CASES["strain"]
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(5, GEOMETRY.n_channels))
    for patterns in (noise, np.full(noise.shape, np.nan)):
        with pytest.raises(InputError, match="shared parameters cannot be refined"):
            refine_patterns(patterns, variance=np.ones(noise.shape), model=model)
