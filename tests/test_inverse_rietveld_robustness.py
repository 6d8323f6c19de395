"""Rietveld refinement of patterns that are not as the model has them: right, or with a reason.

Standard uncertainties are multiplied here with √χ² where that is above one, as the engine does
where it judges whether a phase is there. A Gaussian variable leaves ±6 σ with a probability of
2e-9, which is the false-alarm probability of each example.
"""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from inverse.model import chebyshev_background
from inverse.recipe import Calibration, Profile
from inverse.refine import Status
from inverse.rietveld import calculated, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from inverse.rietveld_search import searched_start
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=640, two_theta_min_deg=2.0, two_theta_max_deg=11.0)
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, W_deg2=5e-4, X_deg=0.01), distance_m=GEOMETRY.distance_m
)
SPINEL, ROCKSALT, MONOCLINIC, HALF = "LiMn2O4", "LiMnO2-rocksalt", "Li2MnO3", "Li0.5Mn2O4"
START_A = 8.245
OFFSET_A = 0.05
SIX = 6.0
WIDTHS = {"size": "voxel", "strain": "voxel"}
MODELS = {
    "spinel": (SPINEL,),
    "spinel with widths": (SPINEL,),
    "two": (SPINEL, ROCKSALT),
    "three": (SPINEL, ROCKSALT, MONOCLINIC),
    "three with widths": (SPINEL, ROCKSALT, MONOCLINIC),
}


@lru_cache
def model_of(kind="spinel", n_background=5, cell_range=0.01):
    free = WIDTHS if "widths" in kind else {}
    phases = [
        RietveldPhase(crystal=name, search=name == SPINEL, **free,
                      cell_range=cell_range if name == SPINEL else 0.01)
        for name in MODELS[kind]
    ]  # fmt: skip
    return rietveld_model(
        Rietveld(phases=phases, n_background=n_background), beam=BEAM, geometry=GEOMETRY,
        calibration=CALIBRATION,
    )  # fmt: skip


@lru_cache
def everything():
    """What patterns are made with."""
    names = (SPINEL, ROCKSALT, MONOCLINIC, HALF)
    phases = tuple(RietveldPhase(crystal=name) for name in names)
    return rietveld_model(
        Rietveld(phases=phases), beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION
    )


def clean_pattern(a_A, scales, *, amounts=(0.1,)):
    """A pattern, background in its peak's units, and the peak."""
    model = everything()
    slots = model.slots.copy()
    slots[0] = a_A
    pattern = np.array(scales) @ model.patterns(slots)
    peak = pattern.max()
    background = np.array(amounts) @ chebyshev_background(pattern.size, n_terms=len(amounts))
    background -= min(background.min() - 0.02, 0.0)
    return pattern + background * peak, peak


def measured(a_A, scales, *, relative, seed, amounts=(0.1,)):
    """The same with noise of known variance, (1, channel) each."""
    clean, peak = clean_pattern(a_A, scales, amounts=amounts)
    variance = relative**2 * peak * clean
    noise = np.random.default_rng(seed).normal(size=clean.size) * np.sqrt(variance)
    return (clean + noise)[None], variance[None]


def inflated(result):
    return np.sqrt(np.maximum(result.chi2_reduced, 1.0))[:, None]


def check_honest(result):
    """Raise unless the rules hold that every result obeys."""
    converged = result.status == Status.CONVERGED
    assert np.isin(result.status, [int(s) for s in Status]).all()
    for field in (result.values, result.esd):
        assert np.isnan(field[~converged]).all()
        assert not np.isinf(field).any()
    n_phases = len(result.model.settings.phases)
    scales, esds = result.values[converged, :n_phases], result.esd[converged, :n_phases]
    assert (scales >= 0.0).all()
    assert np.isfinite(result.chi2_reduced[converged]).all()
    significance = scales / (esds * inflated(result)[converged])
    assert (np.nanmax(significance, axis=1, initial=0.0) >= 5.0 * (1 - 1e-9)).all()
    for p, phase in enumerate(result.model.settings.phases):
        told = np.isfinite(result.of(f"{phase.label}.a_A")[converged])
        assert (significance[told, p] >= 5.0 * (1 - 1e-9)).all()
        # what a phase shows far above its uncertainty is told
        assert told[significance[:, p] > 12.0].all()
    known = np.isfinite(result.values[converged]) & ~np.isfinite(result.esd[converged])
    assert not known.any()


offsets = st.floats(-OFFSET_A, OFFSET_A)
seeds = st.integers(0, 2**31)
noises = st.sampled_from([1e-3, 0.01, 0.05, 0.2])


@given(
    offset_A=offsets, relative=noises, seed=seeds, kind=st.sampled_from(sorted(MODELS)),
    amounts=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=5),
)  # fmt: skip
def test_any_start_leads_to_the_cell(offset_A, relative, seed, kind, amounts):
    # Truth: the cell that made the pattern, 0.6 % from the start at most: two to three line widths
    # at the largest angles.
    patterns, variance = measured(
        START_A + offset_A, (0.7, 0.0, 0.0, 0.0), relative=relative, seed=seed, amounts=amounts
    )
    result = refine_patterns(patterns, variance=variance, model=model_of(kind), workers=1)
    check_honest(result)
    assert result.status[0] == Status.CONVERGED
    error = result.of(f"{SPINEL}.a_A")[0] - START_A - offset_A
    assert abs(error) < SIX * result.esd_of(f"{SPINEL}.a_A")[0] * inflated(result)[0, 0]


@given(
    offset_A=st.floats(-0.35, 0.35), relative=st.sampled_from([0.01, 0.1]), seed=seeds,
    others=st.tuples(st.floats(0.0, 0.3), st.floats(0.0, 0.3)),
)  # fmt: skip
def test_the_search_covers_the_whole_range(offset_A, relative, seed, others):
    # Truth: as above, over 4 % of the cell, where lines meet those of other indices.
    patterns, variance = measured(
        START_A + offset_A, (0.6, *others, 0.0), relative=relative, seed=seed
    )
    model = model_of("three", cell_range=0.045)
    result = refine_patterns(patterns, variance=variance, model=model, workers=1)
    check_honest(result)
    if result.status[0] == Status.CONVERGED:
        error = result.of(f"{SPINEL}.a_A")[0] - START_A - offset_A
        assert abs(error) < SIX * result.esd_of(f"{SPINEL}.a_A")[0] * inflated(result)[0, 0]
    else:
        # a third phase of some per cent, half visible, may end at its limit: it says so
        assert result.status[0] == Status.AT_LIMIT


@given(
    offset_A=offsets, relative=noises, seed=seeds, n_model=st.integers(0, 9),
    amounts=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=9),
    kind=st.sampled_from(["spinel", "two"]),
)  # fmt: skip
def test_a_wrong_number_of_background_terms(offset_A, relative, seed, n_model, amounts, kind):
    # Truth: as above. A background of too few terms leaves χ² up to thousands; waves of its size
    # have no preferred side of a line, and √χ² covers what they do.
    patterns, variance = measured(
        START_A + offset_A, (0.7, 0.0, 0.0, 0.0), relative=relative, seed=seed, amounts=amounts
    )
    model = model_of(kind, n_background=n_model)
    result = refine_patterns(patterns, variance=variance, model=model, workers=1)
    check_honest(result)
    if result.status[0] == Status.CONVERGED:
        error = result.of(f"{SPINEL}.a_A")[0] - START_A - offset_A
        assert abs(error) < SIX * result.esd_of(f"{SPINEL}.a_A")[0] * inflated(result)[0, 0]
    if n_model >= len(amounts):
        assert result.status[0] == Status.CONVERGED


@given(
    offset_A=offsets, relative=noises, seed=seeds,
    others=st.tuples(*[st.floats(0.0, 0.4)] * 3), kind=st.sampled_from(sorted(MODELS)),
)  # fmt: skip
def test_phases_missing_from_the_model(offset_A, relative, seed, others, kind):
    # Truth: as above, if none is missing. Lines of a missing phase on the flanks of the spinel's
    # pull these: by a fraction of a line's width Γ (0.025°, 19 mÅ of a at the largest angles), half
    # at most as long as the spinel is the larger part; and a second spinel that widths make room
    # for pulls towards the mean of both. √χ² does not cover that: what pulls most is what a change
    # of the cell explains.
    patterns, variance = measured(
        START_A + offset_A, (0.7, *others), relative=relative, seed=seed
    )  # fmt: skip
    result = refine_patterns(patterns, variance=variance, model=model_of(kind), workers=1)
    check_honest(result)
    if not np.isfinite(result.of(f"{SPINEL}.a_A")[0]):
        return
    error = result.of(f"{SPINEL}.a_A")[0] - START_A - offset_A
    esd = result.esd_of(f"{SPINEL}.a_A")[0] * inflated(result)[0, 0]
    there = dict(zip((ROCKSALT, MONOCLINIC, HALF), others, strict=True))
    is_whole = not any(share for name, share in there.items() if name not in MODELS[kind])
    pull_A = others[2] / (0.7 + others[2]) * abs(START_A + offset_A - 8.1529)
    assert abs(error) < (SIX * esd if is_whole else max(SIX * esd, 0.0095 + pull_A))


@given(
    offset_A=offsets, relative=noises, seed=seeds, height=st.floats(0.01, 1.0),
    place=st.floats(0.0, 1.0), width=st.floats(1.0, 6.0),
)  # fmt: skip
def test_an_unknown_peak(offset_A, relative, seed, height, place, width):
    # Truth: as above. A peak of another substance, as high as the highest line at most: on the
    # flank of a line it pulls it, by no more than half a width.
    patterns, variance = measured(
        START_A + offset_A, (0.7, 0.0, 0.0, 0.0), relative=relative, seed=seed
    )
    _, peak = clean_pattern(START_A, (0.7, 0.0, 0.0, 0.0))
    channel = np.arange(GEOMETRY.n_channels)
    extra = height * peak * np.exp(-0.5 * ((channel - place * channel[-1]) / width) ** 2)
    result = refine_patterns(
        patterns + extra, variance=variance + relative**2 * peak * extra, model=model_of(),
        workers=1,
    )  # fmt: skip
    check_honest(result)
    if result.status[0] == Status.CONVERGED:
        error = abs(result.of(f"{SPINEL}.a_A")[0] - START_A - offset_A)
        esd = result.esd_of(f"{SPINEL}.a_A")[0] * inflated(result)[0, 0]
        assert error < SIX * esd or (error < 0.0095 and result.chi2_reduced[0] > 1.5)


@given(
    seed=seeds, offset_A=offsets,
    holes=st.lists(st.integers(0, GEOMETRY.n_channels - 1), min_size=1, max_size=400),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
)  # fmt: skip
def test_channels_without_numbers(seed, offset_A, holes, value):
    # Truth: as above, with what is left: from one channel missing to most of them.
    patterns, variance = measured(
        START_A + offset_A, (0.7, 0.0, 0.0, 0.0), relative=0.01, seed=seed
    )
    patterns[0, holes] = value
    result = refine_patterns(patterns, variance=variance, model=model_of(), workers=1)
    check_honest(result)
    assert result.status[0] == Status.CONVERGED
    error = result.of(f"{SPINEL}.a_A")[0] - START_A - offset_A
    assert abs(error) < SIX * result.esd_of(f"{SPINEL}.a_A")[0]


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_nothing_at_all(kind):
    # Rule: no numbers are not measured; zeros and flat patterns hold no material.
    model, shape = model_of(kind), (4, GEOMETRY.n_channels)
    cases = (
        (np.full(shape, np.nan), np.ones(shape), Status.NOT_MEASURED),
        (np.ones(shape), np.full(shape, np.nan), Status.NOT_MEASURED),
        (np.ones(shape), np.zeros(shape), Status.NOT_MEASURED),
        (np.zeros(shape), np.ones(shape), Status.NO_MATERIAL),
        (np.full(shape, 5.0), np.ones(shape), Status.NO_MATERIAL),
        (np.full(shape, -5.0), np.ones(shape), Status.NO_MATERIAL),
    )
    for patterns, variance, expected in cases:
        for kind_of_number in (np.float32, np.float64):
            result = refine_patterns(
                patterns.astype(kind_of_number), variance=variance.astype(kind_of_number),
                model=model, covariance=True,
            )  # fmt: skip
            check_honest(result)
            assert (result.status == expected).all()
            assert np.isnan(calculated(result)).all()


@given(seed=seeds, relative=st.floats(0.01, 10.0), kind=st.sampled_from(sorted(MODELS)))
def test_noise_holds_no_material(seed, relative, kind):
    # Truth: nothing there. The search takes the best of some twenty cells, whose scale is at most 4
    # to 5 esd but for 1e-5; the cell's own refinement adds a little.
    rng = np.random.default_rng(seed)
    peak = clean_pattern(START_A, (0.7, 0.0, 0.0, 0.0))[1]
    variance = np.full((1, GEOMETRY.n_channels), (relative * peak) ** 2)
    noise = rng.normal(size=variance.shape) * np.sqrt(variance)
    result = refine_patterns(noise, variance=variance, model=model_of(kind), workers=1)
    check_honest(result)
    assert result.status[0] == Status.NO_MATERIAL


@given(
    seed=seeds, offset_A=offsets, depth=st.floats(0.0, 3.0), period=st.floats(8.0, 60.0),
    scale=st.floats(-1.0, 1.0),
)  # fmt: skip
def test_negative_patterns_and_ringing(seed, offset_A, depth, period, scale):
    # Truth: what a filtered back projection leaves beside a particle: a pattern of either sign
    # under waves along the channels. Least squares has no preference for positive data.
    rng = np.random.default_rng(seed)
    clean, peak = clean_pattern(START_A + offset_A, (0.7, 0.0, 0.0, 0.0), amounts=(0.02,))
    sigma = 0.02 * peak
    waves = depth * sigma * np.sin(2.0 * np.pi * np.arange(clean.size) / period)
    pattern = scale * clean + waves - 2.0 * sigma + rng.normal(size=clean.size) * sigma
    variance = np.full((1, clean.size), sigma**2)
    result = refine_patterns(pattern[None], variance=variance, model=model_of("two"), workers=1)
    check_honest(result)
    if scale <= 0.0:
        # nothing positive of the spinel: what waves look like is not told as its cell
        assert np.isnan(result.of(f"{SPINEL}.a_A")[0]) or result.chi2_reduced[0] > 1.1
    elif result.status[0] == Status.CONVERGED and np.isfinite(result.of(f"{SPINEL}.a_A")[0]):
        error = result.of(f"{SPINEL}.a_A")[0] - START_A - offset_A
        assert abs(error) < SIX * result.esd_of(f"{SPINEL}.a_A")[0] * inflated(result)[0, 0]
    if scale > 0.2 and depth < 1.0:
        assert result.status[0] == Status.CONVERGED


@pytest.mark.parametrize("factor", [1e-140, 1e-60, 1e-30, 1e-9, 1e9, 1e30, 1e60, 1e140])
@pytest.mark.parametrize("kind", ["spinel", "three with widths"])
def test_huge_and_small_numbers(factor, kind):
    # Law: units do not matter, as long as squares can be written down.
    model = model_of(kind)
    patterns, variance = measured(8.22, (0.6, 0.2, 0.15, 0.0), relative=0.01, seed=1)
    one = refine_patterns(patterns, variance=variance, model=model)
    other = refine_patterns(patterns * factor, variance=variance * factor**2, model=model)
    check_honest(other)
    assert_array_equal(one.status, other.status)
    n_phases = len(model.settings.phases)
    assert_allclose(other.values[:, :n_phases] / factor, one.values[:, :n_phases], rtol=1e-5)
    assert_allclose(other.of(f"{SPINEL}.a_A"), one.of(f"{SPINEL}.a_A"), rtol=1e-8)


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("kind_of_number", [np.float32, np.float64])
def test_numbers_beyond_what_can_be_written_down(factor, kind_of_number):
    # Rule: no exception, no warning, no made-up value.
    patterns, variance = measured(8.22, (0.7, 0.0, 0.0, 0.0), relative=0.01, seed=1)
    with np.errstate(over="ignore", under="ignore"):
        patterns = (patterns * factor).astype(kind_of_number)
        variance = (variance * np.float64(factor) ** 2).astype(kind_of_number)
    result = refine_patterns(patterns, variance=variance, model=model_of())
    check_honest(result)
    if result.status[0] == Status.CONVERGED:
        assert result.of(f"{SPINEL}.a_A")[0] == pytest.approx(8.22, abs=1e-3)


def test_a_few_bad_patterns_do_not_spoil_the_others():
    # Law: every pattern is refined alone. Only the search weighs channels with the mean variance.
    model = model_of("two")
    rows = [measured(8.23, (0.6, 0.2, 0.0, 0.0), relative=0.01, seed=seed) for seed in range(6)]
    patterns, variance = (np.concatenate(each) for each in zip(*rows, strict=True))
    alone = refine_patterns(patterns, variance=variance, model=model)
    bad = np.stack([np.full(patterns.shape[1], v) for v in (np.nan, 0.0, -1.0, 1e30, np.inf)])
    mixed = refine_patterns(
        np.concatenate([bad[:3], patterns, bad[3:]]),
        variance=np.concatenate([variance[:3], variance, variance[:2]]), model=model,
    )  # fmt: skip
    check_honest(mixed)
    assert (alone.status == Status.CONVERGED).all()
    error = np.abs(mixed.values[3:9] - alone.values)
    assert (error < 5e-3 * alone.esd).all()


def test_a_start_by_search_is_within_a_line_of_the_truth():
    # Truth: 200 cells over the range. Half a line's width between cells of the bank, and a parabola
    # between: within a fifth of a width (4 mÅ), where lines of the rock salt are taken off too.
    rng = np.random.default_rng(3)
    cells = START_A + rng.uniform(-0.08, 0.08, 200)
    rows = [measured(a, (0.5, 0.2, 0.2, 0.0), relative=0.01, seed=i) for i, a in enumerate(cells)]
    patterns, variance = (np.concatenate(each) for each in zip(*rows, strict=True))
    model = model_of("three")
    start = searched_start(patterns, variance, model=model)
    place = [p.name for p in model.parameters].index(f"{SPINEL}.a_A")
    assert np.abs(start[:, place] - cells).max() < 0.004
    others = np.delete(start, place, axis=1)
    assert_array_equal(others, np.tile(np.delete(model.start, place), (200, 1)))
