"""The compiled search of a Rietveld refinement, against scipy and laws that least squares obey."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError
from scipy.optimize import least_squares, nnls

from inverse.recipe import Calibration, Profile
from inverse.refine import Status
from inverse.rietveld import calculated, design, refine_patterns
from inverse.rietveld_linear import inverse, nonnegative, solved
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=640, two_theta_min_deg=2.0, two_theta_max_deg=11.0)
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, W_deg2=5e-4, X_deg=0.01), distance_m=GEOMETRY.distance_m
)
SPINEL, ROCKSALT = "LiMn2O4", "LiMnO2-rocksalt"
ONE = (RietveldPhase(crystal=SPINEL),)
TWO = (
    RietveldPhase(crystal=SPINEL, size="voxel", strain="voxel", strain_value=6e-4),
    RietveldPhase(crystal=ROCKSALT),
)
MANY = (
    RietveldPhase(
        crystal=SPINEL, size="voxel", strain="voxel", strain_value=6e-4, b_iso="voxel",
        occupancy="voxel", occupancy_site="Li1",
    ),
    RietveldPhase(crystal="Li2MnO3", strain="=LiMn2O4"),
    RietveldPhase(crystal=ROCKSALT, cell="fixed", size="=LiMn2O4"),
)  # fmt: skip
CASES = {
    "one phase": ({"phases": ONE}, (0.7,)),
    "two": ({"phases": TWO}, (0.6, 0.2)),
    "three with ties": ({"phases": MANY}, (0.5, 0.25, 0.15)),
    "zero": ({"phases": ONE, "zero": "voxel"}, (0.7,)),
    "no background": ({"phases": TWO, "n_background": 0}, (0.6, 0.2)),
    "many terms": ({"phases": ONE, "n_background": 12}, (0.7,)),
}


@lru_cache
def model_of(phases=ONE, **more):
    more.setdefault("n_background", 4)
    settings = Rietveld(phases=phases, **more)
    return rietveld_model(settings, beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION)


def clean_of(model, scales, *, offset=0.0):
    """A pattern at the start parameters, cells larger by ``offset``, and its typical peak."""
    slots = model.slots.copy()
    for parameter in model.parameters:
        if parameter.is_of_cell:
            slots[list(parameter.slots)] *= 1.0 + offset
    pattern = np.array(scales) @ model.patterns(slots)
    peak = pattern.max()
    if len(model.background):
        pattern += (
            np.array([0.1, -0.03, 0.01, *[0.0] * 9])[: len(model.background)]
            * peak
            @ (model.background)
        )
    return pattern, peak


def noisy(model, scales, *, n=3, relative=0.01, seed=0, offset=3e-4):
    """Patterns with Gaussian noise of known variance, very unequal between channels."""
    rng = np.random.default_rng(seed)
    clean, peak = clean_of(model, scales, offset=offset)
    variance = relative**2 * peak * (np.abs(clean) + 0.02 * peak)
    variance = variance * rng.lognormal(0.0, 0.7, (n, clean.size))
    return clean + rng.normal(size=variance.shape) * np.sqrt(variance), variance


def numbers_of(model, values):
    """Values of one pattern as the refinement's own numbers."""
    numbers, first = values.copy(), len(model.settings.phases)
    for j, parameter in enumerate(model.parameters):
        numbers[first + j] = parameter.number(values[first + j])
    return numbers


def full_least_squares(model, pattern, variance, start):
    """Scipy's least squares of all numbers at once, slopes by central differences.

    Independent of variable projection, of the compiled slopes and of the compiled algebra.
    """
    n_phases, n_free = len(model.settings.phases), len(model.parameters)
    usable = (variance > 0.0) & np.isfinite(variance) & np.isfinite(pattern)
    weight = 1.0 / np.sqrt(variance[usable])
    low = np.full(len(start), -np.inf)
    high = np.full(len(start), np.inf)
    low[:n_phases] = 0.0
    low[n_phases : n_phases + n_free] = [p.low for p in model.parameters]
    high[n_phases : n_phases + n_free] = [p.high for p in model.parameters]

    def shapes(x):
        slots = model.slots.copy()
        for parameter, number in zip(model.parameters, x[n_phases:], strict=False):
            slots[list(parameter.slots)] = number
        return model.patterns(slots)[:, usable] * weight

    def residual(x):
        linear = x[n_phases + n_free :] @ model.background[:, usable] * weight
        return x[:n_phases] @ shapes(x) + linear - pattern[usable] * weight

    def jacobian(x):
        rows = np.empty((len(x), usable.sum()))
        rows[:n_phases] = shapes(x)
        rows[n_phases + n_free :] = model.background[:, usable] * weight
        for j in range(n_phases, n_phases + n_free):
            step = np.zeros(len(x))
            step[j] = 2e-5 * max(abs(x[j]), 0.05) if "zero" not in model.names[j] else 2e-6
            sides = (x[:n_phases] @ shapes(x + sign * step) for sign in (1.0, -1.0))
            rows[j] = np.subtract(*sides) / (2.0 * step[j])
        return rows.T

    return least_squares(
        residual, np.clip(start, low + 1e-9, high), jac=jacobian, bounds=(low, high),
        x_scale="jac", xtol=1e-12, ftol=1e-14, gtol=1e-14,
    )  # fmt: skip


# -- algebra ---------------------------------------------------------------------------------------


def random_system(seed, n, kind):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n + 6, n)) + (1.5 if seed % 2 else 0.0)
    if kind == "equal" and n > 1:
        columns[:, -1] = columns[:, 0]
    if kind == "sum" and n > 2:
        columns[:, 1] = columns[:, 0] + columns[:, 2]
    if kind == "nearly" and n > 1:
        columns[:, -1] = columns[:, 0] + 1e-3 * columns[:, -1]
    if kind == "zero":
        columns[:, 0] = 0.0
    if kind == "rank":
        columns = columns[:, : n // 2 + 1] @ np.abs(rng.normal(size=(n // 2 + 1, n)))
    columns *= 10.0 ** rng.uniform(-3.0, 3.0, n)
    right = rng.normal(size=n + 6) * 10.0 ** rng.uniform(-2.0, 4.0)
    if seed % 3 == 0:
        right += columns @ np.maximum(rng.normal(size=n), 0.0)
    return columns, right


@pytest.mark.parametrize("kind", ["any", "equal", "sum", "nearly", "zero", "rank"])
def test_nonnegative_least_squares_are_those_of_scipy(kind):
    # Truth: Lawson & Hanson in scipy. Where columns are mixtures of others the amounts are not
    # unique, but the misfit is: to the 1e-11 below which a column counts as a mixture.
    for seed in range(200):
        n = 1 + seed % 8
        columns, right = random_system(seed, n, kind)
        amount, positive = np.empty(n), np.empty(n, bool)
        nonnegative(columns.T @ columns, columns.T @ right, amount, positive, np.empty((n, n)))
        expected, misfit = nnls(columns, right, maxiter=500)
        assert (amount >= 0.0).all()
        assert (amount[~positive] == 0.0).all()
        own = np.linalg.norm(columns @ amount - right)
        assert own**2 <= misfit**2 + 1e-9 * right @ right
        if kind == "any":
            assert_allclose(amount, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


@given(n=st.integers(1, 12), seed=st.integers(0, 1000), held=st.integers(0, 11))
def test_solutions_and_inverses_are_those_of_numpy(n, seed, held):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n + 3))
    matrix = root @ root.T * np.outer(*[10.0 ** rng.uniform(-4.0, 4.0, n)] * 2)
    chosen = np.ones(n, bool)
    chosen[held % n] = n == 1
    own = np.ix_(chosen, chosen)
    right = rng.normal(size=n)
    answer = right.copy()
    assert solved(matrix, chosen, np.empty((n, n)), answer)
    limit = 1e-13 * np.linalg.cond(matrix[own] / np.sqrt(np.outer(*[np.diag(matrix)[chosen]] * 2)))
    expected = np.linalg.solve(matrix[own], right[chosen])
    units = np.sqrt(np.diag(matrix)[chosen])
    assert_allclose(answer[chosen] * units, expected * units, rtol=1e-7, atol=limit * 1e3)
    assert (answer[~chosen] == 0.0).all()
    result = np.empty((n, n))
    inverse(matrix, chosen.copy(), result)
    assert_allclose(
        result[own] * np.outer(units, units), np.linalg.inv(matrix[own]) * np.outer(units, units),
        rtol=1e-7, atol=limit * 1e3,
    )  # fmt: skip
    assert np.isnan(result[~chosen]).all()


def test_what_is_a_mixture_has_no_uncertainty():
    # Truth: a column that is the sum of two others has no variance of its own; nothing is made up.
    root = np.random.default_rng(3).normal(size=(4, 9))
    root[3] = root[0] + root[1]
    result, chosen = np.empty((4, 4)), np.ones(4, bool)
    inverse(root @ root.T, chosen, result)
    assert_array_equal(chosen, [True, True, True, False])
    assert np.isnan(result[3]).all()
    assert_allclose(result[:3, :3], np.linalg.inv((root @ root.T)[:3, :3]), rtol=1e-8)


# -- refinement against full least squares ---------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_values_and_covariance_are_those_of_full_least_squares(case):
    # Independent code path (see full_least_squares). The search ends within 1e-3 esd, what slopes
    # leave out moves the end by some 1e-3 esd more, and esds by its share of DᵀD, below 1e-3.
    settings, scales = CASES[case]
    model = model_of(**settings)
    patterns, variance = noisy(model, scales, relative=0.004, seed=len(case))
    result = refine_patterns(patterns, variance=variance, model=model, covariance=True)
    assert (result.status == Status.CONVERGED).all()
    n_phases, n_free = len(model.settings.phases), len(model.parameters)
    for row in range(len(patterns)):
        numbers = numbers_of(model, result.values[row])
        fit = full_least_squares(model, patterns[row], variance[row], numbers)
        covariance = np.linalg.inv(fit.jac.T @ fit.jac)
        esd = np.sqrt(np.diag(covariance))
        assert np.abs((numbers - fit.x) / esd).max() < 0.02
        slopes = np.ones(len(numbers))
        for j, parameter in enumerate(model.parameters, start=n_phases):
            slopes[j] = parameter.slope(numbers[j : j + 1], np.zeros(1))[0]
        expected = covariance * np.outer(slopes, slopes)
        assert_allclose(result.esd[row], np.sqrt(np.diag(expected)), rtol=2e-3)
        units = np.outer(result.esd[row], result.esd[row])
        assert_allclose(result.covariance[row] / units, expected / units, atol=3e-3)
        freedom = GEOMETRY.n_channels - n_phases - n_free - len(model.background)
        assert result.chi2_reduced[row] == pytest.approx(2.0 * fit.cost / freedom, rel=1e-5)


def test_esd_is_the_root_of_the_covariance_on_request():
    model = model_of(MANY)
    patterns, variance = noisy(model, (0.5, 0.25, 0.15))
    with_it = refine_patterns(patterns, variance=variance, model=model, covariance=True)
    without = refine_patterns(patterns, variance=variance, model=model)
    assert without.covariance is None
    assert_array_equal(with_it.values, without.values)
    assert_array_equal(with_it.esd, without.esd)
    assert_allclose(np.sqrt(np.einsum("vii->vi", with_it.covariance)), with_it.esd, rtol=1e-12)
    assert_allclose(with_it.covariance, with_it.covariance.transpose(0, 2, 1), rtol=1e-9)


def test_uncertainties_follow_from_the_design():
    # Truth: (D Σ⁻¹ Dᵀ)⁻¹ with the design that the module shows to the outside.
    model = model_of(TWO)
    patterns, variance = noisy(model, (0.6, 0.2), relative=0.002)
    result = refine_patterns(patterns, variance=variance, model=model)
    for row in range(len(patterns)):
        rows = design(model, result.values[row])
        bound = np.linalg.inv((rows / variance[row]) @ rows.T)
        assert_allclose(result.esd[row], np.sqrt(np.diag(bound)), rtol=2e-3)


def test_calculated_patterns_leave_the_residuals_of_chi2():
    model = model_of(MANY)
    patterns, variance = noisy(model, (0.5, 0.25, 0.15))
    result = refine_patterns(patterns, variance=variance, model=model)
    chi2 = np.sum((patterns - calculated(result)) ** 2 / variance, axis=1)
    freedom = GEOMETRY.n_channels - len(model.names)
    assert_allclose(result.chi2_reduced, chi2 / freedom, rtol=1e-6)
    assert_allclose(result.r_wp, np.sqrt(chi2 / np.sum(patterns**2 / variance, axis=1)), rtol=1e-6)


@pytest.mark.parametrize("scales", [(0.6, 0.2), (0.2, 0.6), (0.02, 0.9)])
@pytest.mark.parametrize("size_shape", ["lorentzian", "gaussian"])
@pytest.mark.parametrize("strain_shape", ["lorentzian", "gaussian"])
def test_what_the_model_made_is_recovered(scales, size_shape, strain_shape):
    # Truth: the numbers that made the pattern, from a start away from them: without noise the
    # search ends within 1e-3 esd (of the variance stated), and what slopes leave out acts on
    # nothing, as there are no residuals.
    shapes = {"size_shape": size_shape, "strain_shape": strain_shape}
    free = {"size": "voxel", "strain": "voxel", **shapes}
    model = model_of((RietveldPhase(crystal=SPINEL, **free), RietveldPhase(crystal=ROCKSALT)))
    truth = np.array([8.258, 120.0, 9e-4, 4.127])
    slots = model.slots.copy()
    for parameter, value in zip(model.parameters, truth, strict=True):
        slots[list(parameter.slots)] = parameter.number(value)
    pattern = np.array(scales) @ model.patterns(slots)
    variance = 1e-6 * pattern.max() * (pattern + 0.1 * pattern.max())
    result = refine_patterns(pattern[None], variance=variance[None], model=model)
    assert result.status[0] == Status.CONVERGED
    found, esd = result.values[0, :6], result.esd[0, :6]
    assert (np.abs(found - [*scales, *truth]) < 5e-3 * esd).all()
    assert result.chi2_reduced[0] < 1e-4


# -- laws ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2.0**-40, 0.25, 2.0**60])
def test_data_times_a_factor_give_scales_times_it(factor):
    # Law; exact in binary arithmetic but for products that are rounded where units differ (scales
    # beside a cell), so that 1e-6 esd are allowed for the end of a search.
    model = model_of(TWO)
    patterns, variance = noisy(model, (0.6, 0.2))
    one = refine_patterns(patterns, variance=variance, model=model)
    other = refine_patterns(patterns * factor, variance=variance * factor**2, model=model)
    assert_array_equal(one.status, other.status)
    scaling = np.array(
        [factor if "scale" in name or "background" in name else 1.0 for name in model.names]
    )
    assert (np.abs(other.values / scaling - one.values) < 1e-6 * one.esd).all()
    assert_allclose(other.esd / scaling, one.esd, rtol=1e-6)
    assert_allclose(other.chi2_reduced, one.chi2_reduced, rtol=1e-8)


def test_a_larger_variance_gives_larger_uncertainties_and_nothing_else():
    # Law: χ² ∝ 1/v, esd ∝ √v; steps and damping are in units of both.
    model = model_of(TWO)
    patterns, variance = noisy(model, (0.6, 0.2))
    one = refine_patterns(patterns, variance=variance, model=model)
    other = refine_patterns(patterns, variance=4.0 * variance, model=model)
    assert (np.abs(other.values - one.values) < 5e-3 * one.esd).all()
    assert_allclose(other.esd, 2.0 * one.esd, rtol=1e-4)
    assert_allclose(other.chi2_reduced, one.chi2_reduced / 4.0, rtol=1e-5)


@given(amounts=st.tuples(*[st.floats(-1.0, 1.0)] * 4))
def test_background_may_be_added_without_effect(amounts):
    # Law: background terms are projected out.
    model = model_of()
    patterns, variance = noisy(model, (0.7,), n=1)
    added = np.array(amounts) * clean_of(model, (0.7,))[1]
    one = refine_patterns(patterns, variance=variance, model=model, workers=1)
    other = refine_patterns(
        patterns + added @ model.background, variance=variance, model=model, workers=1
    )
    assert (np.abs(other.values[0, :2] - one.values[0, :2]) < 1e-6 * one.esd[0, :2]).all()
    assert_allclose(other.values[0, 2:] - one.values[0, 2:], added, atol=1e-6 * one.esd[0, 2])


def test_single_and_double_precision_agree():
    # Single precision rounds a pattern by 6e-8 of itself, y/σ = 250 at most, to 1.5e-5 σ.
    model = model_of(TWO)
    patterns, variance = noisy(model, (0.6, 0.2))
    both = [
        refine_patterns(patterns.astype(kind), variance=variance.astype(kind), model=model)
        for kind in (np.float32, np.float64)
    ]
    assert (np.abs(both[0].values - both[1].values) < 1e-3 * both[1].esd).all()
    assert_allclose(both[0].esd, both[1].esd, rtol=1e-5)


def test_counts_may_be_whole_numbers():
    model = model_of()
    clean, peak = clean_of(model, (0.7,))
    counts = np.random.default_rng(5).poisson(500.0 / peak * clean)[None]
    both = [
        refine_patterns(counts.astype(kind), variance=np.maximum(counts, 1), model=model)
        for kind in (np.int64, np.float64)
    ]
    assert_array_equal(both[0].values, both[1].values)


def test_nothing_depends_on_the_number_of_workers_or_on_other_patterns():
    # Law, to the last bit: every pattern is refined alone.
    model = model_of(TWO)
    patterns, variance = noisy(model, (0.6, 0.2), n=70)
    whole = refine_patterns(patterns, variance=variance, model=model, workers=1)
    for workers in (2, 5):
        again = refine_patterns(patterns, variance=variance, model=model, workers=workers)
        for field in ("values", "esd", "chi2_reduced", "r_wp", "status"):
            assert_array_equal(getattr(again, field), getattr(whole, field))
    order = np.random.default_rng(2).permutation(70)[:9]
    few = refine_patterns(patterns[order], variance=variance[order], model=model)
    assert_array_equal(few.values, whole.values[order])


def test_channels_without_data_do_not_count():
    # Law: NaN, no variance, infinite variance and a hole in both say the same: nothing. And the
    # answer is that of least squares over the rest.
    model = model_of()
    patterns, variance = noisy(model, (0.7,), n=1)
    gone = np.zeros(GEOMETRY.n_channels, bool)
    gone[[5, 77, 78, 79, 300]] = True
    gone[400:420] = True
    ways = []
    for value, v in ((np.nan, 1.0), (1.0, 0.0), (1e9, np.inf), (1.0, np.nan), (np.inf, -1.0)):
        ways.append((np.where(gone, value, patterns), np.where(gone, v, variance)))
    results = [refine_patterns(y, variance=v, model=model) for y, v in ways]
    for result in results[1:]:
        assert_array_equal(result.values, results[0].values)
        assert_array_equal(result.esd, results[0].esd)
        assert_array_equal(result.chi2_reduced, results[0].chi2_reduced)
    fit = full_least_squares(model, *(each[0] for each in ways[0]), results[0].values[0])
    assert (np.abs(results[0].values[0] - fit.x) < 0.02 * results[0].esd[0]).all()


def test_fixed_parameters_stay_and_nothing_else_is_done_to_them():
    # Truth: with all fixed what is left is non-negative least squares.
    phases = tuple(RietveldPhase(crystal=name, cell="fixed") for name in (SPINEL, ROCKSALT))
    model = model_of(phases)
    assert model.parameters == ()
    patterns, variance = noisy(model, (0.6, 0.0), offset=0.0)
    result = refine_patterns(patterns, variance=variance, model=model)
    for row in range(3):
        weight = 1.0 / np.sqrt(variance[row])
        shapes, terms = model.patterns(model.slots) * weight, model.background * weight
        signed = np.concatenate([shapes, terms, -terms])
        amounts, misfit = nnls(signed.T, patterns[row] * weight)
        assert_allclose(result.values[row, :2], amounts[:2], rtol=1e-6, atol=1e-9)
        freedom = GEOMETRY.n_channels - 6
        assert result.chi2_reduced[row] == pytest.approx(misfit**2 / freedom, rel=1e-8)


# -- ties, limits, absent phases -------------------------------------------------------------------


def test_tied_parameters_are_one():
    # Law: values are equal by construction, there are fewer of them, and the least χ² under the
    # tie is that of a refinement in which both move together (full_least_squares does so).
    free, tied = ({"strain": "voxel"}, {"strain": f"={SPINEL}"})
    leader = RietveldPhase(crystal=SPINEL, strain="voxel", strain_value=8e-4)
    both = model_of((leader, RietveldPhase(crystal=ROCKSALT, strain_value=8e-4, **free)))
    one = model_of((leader, RietveldPhase(crystal=ROCKSALT, **tied)))
    assert set(both.names) - set(one.names) == {f"{ROCKSALT}.strain"}
    assert len(one.parameters[1].slots) == 2
    patterns, variance = noisy(both, (0.6, 0.3), relative=0.003)
    apart = refine_patterns(patterns, variance=variance, model=both)
    together = refine_patterns(patterns, variance=variance, model=one)
    esd = together.esd_of(f"{SPINEL}.strain")
    assert (esd < apart.esd_of(f"{SPINEL}.strain")).all()
    freedom = GEOMETRY.n_channels - len(one.names)
    gained = together.chi2_reduced * freedom - apart.chi2_reduced * (freedom - 1)
    assert (gained > -1e-3).all()
    for row in range(3):
        numbers = numbers_of(one, together.values[row])
        fit = full_least_squares(one, patterns[row], variance[row], numbers)
        assert 2.0 * fit.cost == pytest.approx(together.chi2_reduced[row] * freedom, rel=1e-5)


def test_a_tied_cell_moves_with_its_leader():
    # Truth: the pattern of two spinels of the same cell; what differs is the size alone.
    phases = (
        RietveldPhase(crystal=SPINEL, name="coarse"),
        RietveldPhase(crystal=SPINEL, name="fine", cell="=coarse", crystallite_size_nm=12.0),
    )
    model = model_of(phases)
    slots = model.slots.copy()
    slots[list(model.parameters[0].slots)] = 8.251
    pattern = np.array([0.4, 0.3]) @ model.patterns(slots)
    variance = np.full((1, pattern.size), (1e-4 * pattern.max()) ** 2)
    result = refine_patterns(pattern[None], variance=variance, model=model)
    assert result.names[:3] == ("coarse.scale", "fine.scale", "coarse.a_A")
    assert_allclose(result.values[0, :3], [0.4, 0.3, 8.251], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phases": (*ONE, *ONE)}, "two phases are called"),
        ({"phases": (*ONE, RietveldPhase(crystal="Al", strain="=Si"))}, "the other phases are"),
        ({"phases": (RietveldPhase(crystal="Al", strain="=Al"),)}, "the other phases are"),
        (
            {
                "phases": (
                    RietveldPhase(crystal="Al", strain="=Si"),
                    RietveldPhase(crystal="Si", strain="=Li"),
                    RietveldPhase(crystal="Li"),
                )
            },
            "itself tied",
        ),
        (
            {
                "phases": (
                    RietveldPhase(crystal="Al", size="=Si", size_shape="gaussian"),
                    RietveldPhase(crystal="Si"),
                )
            },
            "same size_shape",
        ),
    ],
)
def test_impossible_ties_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Rietveld(**settings)


def test_cells_of_other_symmetry_cannot_be_tied():
    with pytest.raises(InputError, match="symmetry leaves a_A and a_A, c_A free"):
        model_of((RietveldPhase(crystal="Al", cell="=graphite"), RietveldPhase(crystal="graphite")))


@pytest.mark.parametrize("cell", ["fixed", "shared", "=Al"])
def test_a_search_needs_a_cell_of_its_own(cell):
    with pytest.raises(ValidationError, match='search needs cell = "voxel"'):
        RietveldPhase(crystal=SPINEL, search=True, cell=cell)


def test_an_occupancy_needs_a_site():
    with pytest.raises(ValidationError, match="needs occupancy_site"):
        RietveldPhase(crystal=SPINEL, occupancy="voxel")
    with pytest.raises(InputError, match="must be a site of LiMn2O4"):
        model_of((RietveldPhase(crystal=SPINEL, occupancy="voxel", occupancy_site="Ti"),))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_cell_beyond_its_range_is_at_the_limit(sign):
    # Truth: the pattern is of a cell 0.3 % from the start, of which 0.2 % are allowed.
    model = model_of((RietveldPhase(crystal=SPINEL, cell_range=0.002),))
    clean, peak = clean_of(model, (0.7,), offset=0.003 * sign)
    variance = np.full((1, clean.size), (0.01 * peak) ** 2)
    result = refine_patterns(clean[None], variance=variance, model=model)
    assert result.status[0] == Status.AT_LIMIT
    assert np.isnan(result.values).all()


def test_a_width_at_its_limit_is_a_result():
    # Truth: a pattern without strain but for noise, half of whose best strains lie below zero:
    # there the answer is zero, with what one standard uncertainty would make as uncertainty.
    model = model_of((RietveldPhase(crystal=SPINEL, strain="voxel"),))
    still = model_of((RietveldPhase(crystal=SPINEL),))
    patterns, variance = noisy(still, (0.7,), n=40)
    result = refine_patterns(patterns, variance=variance, model=model)
    strain, esd = (each(f"{SPINEL}.strain") for each in (result.of, result.esd_of))
    assert (result.status == Status.CONVERGED).all()
    assert np.isfinite(strain).all()
    assert (esd > 0.0).all()
    # Binomial: fewer than 5 or more than 35 of 40 with p = ½ has a probability of 2e-7.
    assert 5 <= np.sum(strain == 0.0) <= 35
    assert (strain < 6.0 * esd).all()


@pytest.mark.parametrize("relative", [0.003, 0.03])
def test_a_phase_that_is_not_there_has_no_parameters(relative):
    # Truth: patterns of one phase, refined with two. The absent one's scale is zero or noise, in
    # the half of patterns where least squares is not negative; it never passes five esd (1e-6
    # each). Its cell and widths are not made up, and the main phase is as if refined alone.
    free = {"size": "voxel", "strain": "voxel"}
    main = RietveldPhase(crystal=SPINEL)
    model = model_of((main, RietveldPhase(crystal="Li2MnO3", **free)))
    alone = model_of((main,))
    patterns, variance = noisy(alone, (0.7,), n=60, relative=relative, seed=7)
    result = refine_patterns(patterns, variance=variance, model=model)
    single = refine_patterns(patterns, variance=variance, model=alone)
    assert (result.status == Status.CONVERGED).all()
    scale, esd = result.of("Li2MnO3.scale"), result.esd_of("Li2MnO3.scale")
    assert (scale < 5.0 * esd).all()
    own = [name for name in model.names if name.startswith("Li2MnO3") and "scale" not in name]
    for name in own:
        assert np.isnan(result.of(name)).all()
        assert np.isnan(result.esd_of(name)).all()
    assert np.isfinite(result.of(f"{SPINEL}.a_A")).all()
    zero = scale == 0.0
    # Binomial as above: 60 of p = ½ within 9 to 51, but for 1e-8.
    assert 9 <= zero.sum() <= 51
    moved = (result.of(f"{SPINEL}.a_A") - single.of(f"{SPINEL}.a_A"))[zero]
    assert (np.abs(moved) < 5e-3 * single.esd_of(f"{SPINEL}.a_A")[zero]).all()
    # The scale of a phase that is held at its start is a linear estimate, truncated at zero.
    assert np.std(scale[~zero] / esd[~zero]) < 1.3


@pytest.mark.parametrize("others", [0.0, 0.3])
def test_material_needs_five_standard_uncertainties(others):
    # Truth: scales far above and far below five esd.
    model = model_of((*ONE, RietveldPhase(crystal=ROCKSALT)))
    clean, peak = clean_of(model, (0.7, others))
    rng = np.random.default_rng(4)
    for scale, expected in ((1.0, Status.CONVERGED), (0.0, Status.NO_MATERIAL)):
        variance = np.full((20, clean.size), (0.05 * peak) ** 2)
        patterns = scale * clean + rng.normal(size=variance.shape) * 0.05 * peak
        result = refine_patterns(patterns, variance=variance, model=model)
        assert (result.status == expected).all()
        assert np.isnan(result.values).all() == (expected != Status.CONVERGED)


def test_less_than_the_smallest_scale_is_no_material():
    model = model_of()
    patterns, variance = noisy(model, (0.7,))
    for least, expected in ((0.6, Status.CONVERGED), (0.8, Status.NO_MATERIAL)):
        result = refine_patterns(patterns, variance=variance, model=model, min_scale=least)
        assert (result.status == expected).all()


def test_patterns_with_too_few_channels_are_not_measured():
    # Rule: eight channels more than parameters, here 2 + 4.
    model = model_of()
    patterns, variance = noisy(model, (0.7,), n=2)
    for count in (13, 14):
        few = np.zeros(variance.shape)
        few[:, 10 : 10 + 40 * count : 40] = variance[:, 10 : 10 + 40 * count : 40]
        status = refine_patterns(patterns, variance=few, model=model).status
        assert ((status == Status.NOT_MEASURED) == (count == 13)).all()


def test_wrong_shapes_and_names_are_refused():
    model = model_of()
    patterns, variance = noisy(model, (0.7,))
    for y, v in ((patterns, variance[:2]), (patterns[:, 1:], variance[:, 1:]), (patterns[0],) * 2):
        with pytest.raises(InputError, match="must both have the shape"):
            refine_patterns(y, variance=v, model=model)
    result = refine_patterns(patterns, variance=variance, model=model)
    with pytest.raises(InputError, match="no refined parameter is called 'b_A'"):
        result.of("b_A")


def test_no_patterns_give_no_results():
    model = model_of((RietveldPhase(crystal=SPINEL, search=True),))
    nothing = np.zeros((0, GEOMETRY.n_channels))
    result = refine_patterns(nothing, variance=nothing, model=model, covariance=True)
    assert result.values.shape == (0, len(model.names))
    assert calculated(result).shape == nothing.shape


@pytest.mark.parametrize(
    "free",
    [
        {"size": "voxel", "crystallite_size_nm": 2.0},
        {"size": "voxel", "crystallite_size_nm": 1e7},
        {"strain": "voxel", "strain_value": 0.02},
    ],
)
def test_a_start_beyond_the_limits_is_moved_to_them(free):
    # Truth: an ordinary pattern, whatever the start.
    model = model_of((RietveldPhase(crystal=SPINEL, **free),))
    for parameter in model.parameters:
        assert parameter.low <= model.slots[parameter.slots[0]] <= parameter.high
    patterns, variance = noisy(model_of(), (0.7,), n=1)
    result = refine_patterns(patterns, variance=variance, model=model)
    assert result.status[0] == Status.CONVERGED
    assert result.of(f"{SPINEL}.a_A")[0] == pytest.approx(8.245 * 1.0003, abs=1e-3)


@pytest.mark.parametrize("stretch", [1.0, 0.9973, 0.9945])
def test_two_lattices_that_fall_together_are_one(stretch):
    # Truth: patterns of a single lattice, refined with two that start 0.55 % apart, at either start
    # or halfway. Where both end at the same cell neither scale is known, but their sum is: one is
    # dropped, and the other is the lattice there is.
    phases = (
        RietveldPhase(crystal=SPINEL),
        RietveldPhase(crystal=SPINEL, name="smaller", cell_start=0.9945),
    )
    patterns, variance = noisy(model_of(), (0.7,), n=40, offset=stretch - 1.0, seed=5)
    model = model_of(phases)
    result = refine_patterns(patterns, variance=variance, model=model)
    assert (result.status == Status.CONVERGED).all()
    cells, esds = (
        np.stack([each(f"{name}.a_A") for name in (SPINEL, "smaller")], axis=1)
        for each in (result.of, result.esd_of)
    )
    told = np.isfinite(cells)
    assert (told.sum(axis=1) == 1).all()
    assert (np.abs(cells[told] - 8.245 * stretch) < 6.0 * esds[told]).all()
    total = result.values[:, :2].sum(axis=1)
    assert_allclose(total, 0.7, atol=6.0 * result.esd[:, :2].max())
