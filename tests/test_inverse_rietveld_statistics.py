"""Statistics of Rietveld refinements of one phase, of counts made by the engine's own model.

Tests that draw say how many: a mean over n draws is known to 1/√n standard uncertainties, a
standard deviation to 1/√(2n) of itself; limits are 5.33 of these (false alarm 1e-7 each), or stated
figures with as much room.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from inverse.refine import Status
from inverse.rietveld import refine_patterns
from tests.rietveld_patterns import SPINEL, bound_of, drawn, expected_counts, model_of, spinel


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
