"""The direct method's stated uncertainty against the scatter of repeated measurements."""

import numpy as np
import pytest

from forward.settings import Effects
from inverse.recipe import Recipe
from inverse.recover import recover
from tests.test_inverse_direct_in_view import in_view_experiment
from validation.steps import simulate
from xrdct.instrument import Beam

QUIET = Effects(noise=False, grains=False, motion=False, flux=False)
BEAM = Beam(flux_per_s=1e9)
N_DRAWS = 40
APPROXIMATION = 0.2
"""The stated uncertainty is right to a fifth: in view by errors against the truth (docs/limits.md),
and as halves of a scan tell the spread of as few pixels as 30 (inverse/direct_scale.py)."""
SIGMAS = 6.0
"""Student's t of 39 degrees of freedom exceeds it by chance once in two million times."""


@pytest.mark.slow
@pytest.mark.parametrize("n_angles", [42, 30])
def test_stated_scatter_is_that_of_repeated_noise(n_angles):
    # Truth: the standard deviation over scans that differ in photon noise alone, which is more than
    # five times the error of one without. 42 angles determine the sample, so that pixels are
    # divided; 30 do not. How well either side of the ratio is known, the standard error of its mean
    # square over draws tells. Measured: 1.12 and 1.01.
    experiment = in_view_experiment().model_copy(update={"effects": QUIET, "beam": BEAM})
    scan = experiment.scan.model_copy(update={"n_angles": n_angles})
    without = [simulate(experiment.model_copy(update={"seed": seed})).raw for seed in (1, 2)]
    np.testing.assert_array_equal(without[0].counts, without[1].counts)
    experiment = experiment.model_copy(update={"effects": QUIET.model_copy(update={"noise": True})})
    asked = {"reconstruction": {"method": "direct"}, "direct": {"bias": "none"}}
    a_A, stated_A = [], []
    for seed in range(1, N_DRAWS + 1):
        simulated = simulate(experiment.model_copy(update={"scan": scan, "seed": seed}))
        recipe = Recipe.model_validate(simulated.raw.recipe).model_dump() | asked
        maps = recover(simulated.raw, recipe=Recipe.model_validate(recipe))
        a_A.append(maps.a_A)
        stated_A.append(maps.a_esd_total_A)
    full = (simulated.truth.volume_fraction > 0.9) & np.isfinite(a_A).all(axis=0)
    assert full.sum() > 80
    values = np.array(a_A)[:, full]
    found = np.mean((values - values.mean(axis=0)) ** 2, axis=1) * N_DRAWS / (N_DRAWS - 1)
    stated = np.mean(np.array(stated_A)[:, full] ** 2, axis=1)
    ratio = np.sqrt(stated.mean() / found.mean())
    apart = [each.std(ddof=1) / each.mean() / np.sqrt(N_DRAWS) for each in (stated, found)]
    assert ratio == pytest.approx(1.0, abs=APPROXIMATION + SIGMAS * 0.5 * ratio * np.hypot(*apart))
