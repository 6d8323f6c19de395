"""Statistics of Rietveld refinements of counts that the model made: their weights, and mixtures.

Patterns of the simulation: tests/test_inverse_refinement_truth.py.

Tests that draw say how many: a mean over n draws is known to 1/√n standard uncertainties, a
standard deviation to 1/√(2n) of itself; limits are 5.33 of these (false alarm 1e-7 each), or stated
figures with as much room.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from inverse.quantify import weight_fractions
from inverse.refine import Status
from inverse.rietveld import refine_patterns
from inverse.rietveld_recipe import RietveldPhase
from inverse.rietveld_reweighted import refine_reweighted
from tests.rietveld_patterns import (
    FIVE_SIGMA,
    SPINEL,
    bound_of,
    drawn,
    expected_counts,
    model_of,
    spinel,
)
from xrdct.crystal import load_crystal

ROCKSALT = "LiMnO2-rocksalt"
MINOR = {"Li2MnO3": 0.04, ROCKSALT: 0.20, "Li0.5Mn2O4": 0.10}
"""Weight fractions beside the spinel."""
MIXTURE = (SPINEL, *MINOR)
WANTED = np.array([1.0 - sum(MINOR.values()), *MINOR.values()])
ON_THE_SPINEL = 8.245 / 2.0 / 4.13
"""Factor of the rock salt's cell with which all of its lines lie on lines of the spinel."""


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


# -- variance of counts ----------------------------------------------------------------------------


PEAK = 300.0


@pytest.mark.parametrize("background", [2.0, 10.0, 100.0])
def test_variance_from_counts_is_biased_and_from_the_fit_is_not(background):
    # Neyman's weights 1/counts favour what fluctuated down: the background comes out low by one
    # count, or 1/√counts of a channel's own standard deviation over all of its channels, and the
    # scale with it where few channels are free of lines. Half a count already at 2. With the
    # variance of the refined pattern instead, nothing is left, and the least variance is reached.
    model, n = model_of(spinel()), 4000
    mean, per_unit = expected_counts(model, [0.7], peak=0.7 * PEAK, background=background)
    counts = drawn(mean, n=n, seed=3)
    patterns, variance = counts / per_unit, np.maximum(counts, 1.0) / per_unit**2
    bound = np.diag(bound_of(model, [0.7], mean=mean, per_unit=per_unit))[:3]
    truth = np.array([0.7, 8.245, background / per_unit])

    def biases(result):
        assert (result.status == Status.CONVERGED).all()
        return (result.values[:, :3] - truth).mean(axis=0) / np.sqrt(bound)

    limit = FIVE_SIGMA / np.sqrt(n)
    neyman = biases(refine_patterns(patterns, variance=variance, model=model))
    assert abs(neyman[1]) < limit  # lines are symmetric: the lattice parameter does not care
    assert neyman[2] < -1.0
    per_count = np.full(mean.size, 1.0 / per_unit)
    second = refine_reweighted(patterns, variance=variance, per_count=per_count, model=model)
    assert (np.abs(biases(second)) < limit + 0.01).all()
    assert_allclose(
        np.var(second.values[:, :2], axis=0), bound[:2], rtol=FIVE_SIGMA / 44.0
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
