"""Rietveld refinement where a recipe asks too much: cells at limits, copies, what is degenerate.

A mean over n draws is known to 1/√n standard uncertainties, a standard deviation to 1/√(2n) of
itself; limits are 6 of these (false alarm 2e-9 each).
"""

from functools import lru_cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from inverse.model import chebyshev_background
from inverse.recipe import Calibration, Profile
from inverse.refine import Status
from inverse.rietveld import PhaseStatus, calculated, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=640, two_theta_min_deg=2.0, two_theta_max_deg=11.0)
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, W_deg2=5e-4, X_deg=0.01), distance_m=GEOMETRY.distance_m
)
SPINEL, ROCKSALT, MONOCLINIC = "LiMn2O4", "LiMnO2-rocksalt", "Li2MnO3"
START_A = 8.245
SIX = 6.0


@lru_cache
def model_of(*phases, **more):
    settings = Rietveld(phases=phases, n_background=4, **more)
    return rietveld_model(settings, beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION)


def spinel(**more):
    return RietveldPhase(crystal=SPINEL, **more)


def rocksalt(**more):
    return RietveldPhase(crystal=ROCKSALT, **more)


def counted(model, scales, *, factors=None, stretch=1.0, n=20, peak=3000.0, seed=411):
    """Poisson counts of a mixture on a flat background, and their variance, (n, channel) each.

    ``factors`` enlarge the first cell parameter of phases by their number.
    """
    slots = model.slots.copy()
    for p, factor in (factors or {}).items():
        slots[10 * p] *= factor
    slots[-1] *= stretch
    pattern = np.array(scales) @ model.patterns(slots)
    per_unit = peak / pattern.max()
    mean = per_unit * pattern + 50.0
    counts = np.random.default_rng(seed).poisson(mean, (n, mean.size)).astype(np.float64)
    return counts / per_unit, np.broadcast_to(mean / per_unit**2, counts.shape)


# -- cells at limits -------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_minor_phase_beyond_its_range_is_held_and_the_rest_kept(sign):
    # Law: a phase that is held is one whose cell the recipe fixes at the start. The search ends
    # within 0.01 esd · √χ² of the best, from either side.
    model = model_of(spinel(), rocksalt(cell_range=0.002), RietveldPhase(crystal=MONOCLINIC))
    held = model_of(spinel(), rocksalt(cell="fixed"), RietveldPhase(crystal=MONOCLINIC))
    patterns, variance = counted(model, (0.6, 0.15, 0.15), factors={1: 1.0 + 0.003 * sign})
    result = refine_patterns(patterns, variance=variance, model=model, covariance=True)
    expected = refine_patterns(patterns, variance=variance, model=held)
    assert (result.status == Status.CONVERGED).all()
    assert (result.phase_status[:, 1] == PhaseStatus.AT_LIMIT).all()
    assert (result.phase_status[:, [0, 2]] == PhaseStatus.REFINED).all()
    assert (expected.phase_status == PhaseStatus.REFINED).all()
    assert np.isnan(result.of(f"{ROCKSALT}.a_A")).all()
    assert np.isnan(result.esd_of(f"{ROCKSALT}.a_A")).all()
    for name in expected.names:
        difference = np.abs(result.of(name) - expected.of(name))
        limit = 0.02 * np.sqrt(expected.chi2_reduced) * expected.esd_of(name)
        assert (difference < limit).all(), name
        assert_allclose(result.esd_of(name), expected.esd_of(name), rtol=2e-3)
    # 14 parameters that are 0.02 esd off move a channel by 0.02 · √14 standard deviations at most
    apart = np.abs(calculated(result) - calculated(expected)) / np.sqrt(variance)
    assert (apart.max(axis=1) < 0.075 * np.sqrt(expected.chi2_reduced)).all()


def test_a_main_phase_beyond_its_range_says_so_of_the_whole():
    # Rule: without the most significant phase there is no telling what the pattern is.
    model = model_of(spinel(cell_range=0.002), rocksalt())
    patterns, variance = counted(model, (0.6, 0.1), factors={0: 1.003})
    result = refine_patterns(patterns, variance=variance, model=model)
    assert (result.status == Status.AT_LIMIT).all()
    assert np.isnan(result.values).all()
    assert (result.phase_status == PhaseStatus.NOT_REFINED).all()


def test_a_minor_phase_beside_a_fixed_main_one_is_held_too():
    model = model_of(spinel(cell="fixed"), rocksalt(cell_range=0.002))
    patterns, variance = counted(model, (0.6, 0.15), factors={1: 1.003})
    result = refine_patterns(patterns, variance=variance, model=model)
    assert (result.status == Status.CONVERGED).all()
    assert (result.phase_status == [PhaseStatus.REFINED, PhaseStatus.AT_LIMIT]).all()
    assert_allclose(result.of(f"{SPINEL}.scale"), 0.6, atol=0.06)


def test_every_phase_has_a_status():
    # Truth: what is there; noise never passes five esd (3e-7 each).
    model = model_of(spinel(), rocksalt(), RietveldPhase(crystal=MONOCLINIC, cell="fixed"))
    patterns, variance = counted(model, (0.6, 0.0, 0.2))
    patterns[3], patterns[4] = np.nan, 0.0
    result = refine_patterns(patterns, variance=variance, model=model)
    good = result.status == Status.CONVERGED
    assert_array_equal(np.flatnonzero(~good), [3, 4])
    assert (result.phase_status[~good] == PhaseStatus.NOT_REFINED).all()
    expected = [PhaseStatus.REFINED, PhaseStatus.WEAK, PhaseStatus.REFINED]
    assert (result.phase_status[good] == expected).all()


# -- phases that are copies ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copy",
    [
        {},
        {"cell": "fixed"},
        {"cell": "=LiMn2O4"},
        {"strain": "voxel", "strain_value": 6e-4},
        {"b_iso": "voxel"},
    ],
)
def test_phases_that_start_alike_are_refused(copy):
    # Rule: nothing parts them, as steps of both are the same: no scale of either is known.
    own = {name: value for name, value in copy.items() if name == "strain_value"}
    model = model_of(spinel(**own), spinel(name="copy", **copy))
    patterns, variance = counted(model_of(spinel()), (0.6,), n=1)
    with pytest.raises(InputError, match="LiMn2O4 and copy start with the same pattern"):
        refine_patterns(patterns, variance=variance, model=model)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"cell_start": 0.995}),
        ({}, {"cell": "=LiMn2O4", "crystallite_size_nm": 12.0}),
        ({"search": True}, {}),
        ({"search": True}, {"search": True}),
    ],
)
def test_phases_that_start_apart_are_refined(first, second):
    # Truth: two lattices 1 % apart, which the search tells as well, or sizes of 200 and 12 nm.
    model = model_of(spinel(**first), spinel(name="second", **second))
    sized = "crystallite_size_nm" in second
    factors = {} if sized else {0: 1.002, 1: 0.992 / second.get("cell_start", 1.0)}
    patterns, variance = counted(model, (0.4, 0.3), factors=factors)
    result = refine_patterns(patterns, variance=variance, model=model)
    assert (result.status == Status.CONVERGED).all()
    z = (np.sort(result.values[:, :2], axis=1) - [0.3, 0.4]) / result.esd[:, :2].max()
    assert (np.abs(z) < SIX).all()


# -- freedom that is nearly none -------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"zero": "voxel"}], ids=["distance", "distance and zero"])
@pytest.mark.parametrize("stretch", [1.0, 1.0005])
def test_distance_and_cell_together_are_found_with_large_uncertainties(more, stretch):
    # Truth: what the counts were drawn with. On 2–11° both scale tan2θ alike, but for the part
    # tan2θ/2 sinθ − 1 = 3θ²/2: correlated by more than 0.999, so that the esd of a is more than
    # 1/√(1 − 0.999²) = 22 times the one with the distance held. Full steps reach it.
    n = 100
    model = model_of(spinel(), distance="voxel", **more)
    patterns, variance = counted(model, (0.7,), factors={0: 1.0003}, stretch=stretch, n=n, peak=1e4)
    result = refine_patterns(patterns, variance=variance, model=model, covariance=True)
    assert (result.status == Status.CONVERGED).all()
    a_A, esd_A = result.of(f"{SPINEL}.a_A"), result.esd_of(f"{SPINEL}.a_A")
    held = refine_patterns(patterns, variance=variance, model=model_of(spinel()))
    assert (esd_A > 22.0 * held.esd_of(f"{SPINEL}.a_A")).all()
    z = (a_A - START_A * 1.0003) / esd_A
    assert abs(z.mean()) < SIX / np.sqrt(n)
    assert abs(z.std() - 1.0) < SIX / np.sqrt(2 * n)
    distance = GEOMETRY.distance_m * stretch
    z = (result.of("distance_m") - distance) / result.esd_of("distance_m")
    assert abs(z.mean()) < SIX / np.sqrt(n)


def test_no_background_terms_are_none():
    assert chebyshev_background(7, n_terms=0).shape == (0, 7)
    assert_allclose(chebyshev_background(7, n_terms=1), 1.0)
