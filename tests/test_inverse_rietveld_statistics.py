"""Statistics of Rietveld refinements of one phase, of counts made by the engine's own model.

Tests that draw say how many: a mean over n draws is known to 1/√n standard uncertainties, a
standard deviation to 1/√(2n) of itself; limits are 5.33 of these (false alarm 1e-7 each), or stated
figures with as much room.
"""

from functools import lru_cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from inverse.recipe import Calibration, Profile
from inverse.refine import Status
from inverse.rietveld import design, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.instrument import Beam, Geometry

BEAM, GEOMETRY = Beam(), Geometry()
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, W_deg2=5e-4, X_deg=0.01), distance_m=GEOMETRY.distance_m
)
SPINEL = "LiMn2O4"


@lru_cache
def model_of(*phases, calibration=CALIBRATION):
    return rietveld_model(
        Rietveld(phases=phases), beam=BEAM, geometry=GEOMETRY, calibration=calibration
    )


def spinel(**more):
    return RietveldPhase(crystal=SPINEL, **more)


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


@pytest.mark.parametrize(
    ("n", "bias", "spread"),
    [
        pytest.param(4000, 0.085, 0.06, id="few"),
        pytest.param(100_000, 0.02, 0.02, id="many", marks=[pytest.mark.slow, pytest.mark.share]),
    ],
)
def test_lattice_parameters_are_unbiased_and_as_uncertain_as_stated(n, bias, spread):
    # 100,000 draws: a bias of 0.02 esd and a spread of 2 % are 6.3 and 8.9 standard uncertainties
    # of what is measured (false alarms 3e-10 and 1e-18 if there is none); 4000: 5.4 each (1e-7).
    # Expected counts 500 at the highest channel over a background of 20, variance their mean.
    model = model_of(spinel())
    mean, per_unit = expected_counts(model, [0.7], peak=500.0, background=20.0)
    z = []
    for chunk in range(0, n, 4000):
        size = min(4000, n - chunk)
        counts = drawn(mean, n=size, seed=chunk)
        variance = np.broadcast_to(mean / per_unit**2, counts.shape)
        result = refine_patterns(counts / per_unit, variance=variance, model=model)
        assert (result.status == Status.CONVERGED).all()
        a_A, esd_A = result.of(f"{SPINEL}.a_A"), result.esd_of(f"{SPINEL}.a_A")
        scale, its_esd = result.of(f"{SPINEL}.scale"), result.esd_of(f"{SPINEL}.scale")
        z.append([(a_A - 8.245) / esd_A, (scale - 0.7) / its_esd])
    z = np.concatenate(z, axis=1)
    assert (np.abs(z.mean(axis=1)) < bias).all()
    assert (np.abs(z.std(axis=1) - 1.0) < spread).all()


def test_variance_is_that_of_cramer_and_rao():
    # The variance over n draws is known to √(2/n) = 1.6 %: 10 % are 6.3 of these (3e-10 each).
    model = model_of(spinel(size="voxel", strain="voxel", strain_value=8e-4))
    mean, per_unit = expected_counts(model, [0.7], peak=3000.0, background=100.0)
    bound = bound_of(model, [0.7], mean=mean, per_unit=per_unit)
    counts = drawn(mean, n=8000, seed=2)
    variance = np.broadcast_to(mean / per_unit**2, counts.shape)
    result = refine_patterns(counts / per_unit, variance=variance, model=model)
    assert_allclose(np.var(result.values, axis=0), np.diag(bound), rtol=0.1)
    assert_allclose(np.mean(result.esd**2, axis=0), np.diag(bound), rtol=0.02)
