"""Every voxel refined with all phases: blocks, two lattices, residuals and memory.

Patterns are drawn from the refinement's own model at planted parameters, with normal noise of the
stated variance: what is tested is the bookkeeping around the engine and the decisions.
"""

import tracemalloc
from functools import lru_cache

import numpy as np
import pytest

import inverse.voxel_rietveld as voxel_rietveld
from inverse.model import Instrument
from inverse.quantify_refined import refined_weight_fractions
from inverse.recipe import Calibration
from inverse.refine import Status
from inverse.rietveld import calculated, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.voxel_images import rietveld_maps
from inverse.voxel_pairs import with_second
from inverse.voxel_residuals import ResidualSums, calculated_patterns
from inverse.voxel_rietveld import refine_voxels
from inverse.voxel_settings import VoxelRietveld
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

SPINEL, LAYERED = "LiMn2O4", "Li2MnO3"
SECOND = f"{SPINEL}-second"
GEOMETRY = Geometry(n_channels=400, two_theta_min_deg=2.5, two_theta_max_deg=9.0)
INSTRUMENT = Instrument(Beam(), GEOMETRY, Calibration(distance_m=GEOMETRY.distance_m))
MAIN = {"crystal": SPINEL, "cell_start": 0.987, "cell_range": 0.02, "search": True}
COUNTS = 3000.0
"""Of the strongest channel, over a background of 40."""


def settings(main=None, **more):
    phases = (MAIN | (main or {}), {"crystal": LAYERED, "cell": "fixed"})
    return VoxelRietveld.model_validate({"phases": phases, "n_background": 3} | more)


def model_of(chosen):
    return rietveld_model(
        chosen, beam=INSTRUMENT.beam, geometry=GEOMETRY, calibration=INSTRUMENT.calibration
    )


def drawn(chosen, planted, *, seed=1):
    """Return noisy patterns of planted values, {name: (voxel,)}, and their variance."""
    model = model_of(chosen)
    n = len(next(iter(planted.values())))
    values = np.zeros((n, len(model.names)))
    values[:, len(model.settings.phases) : len(model.names) - len(model.background)] = np.nan
    for name, column in planted.items():
        values[:, model.names.index(name)] = column
    exact = calculated_patterns(model, values)
    unit = exact.max() / COUNTS
    variance = (exact / unit + 40.0) * unit**2
    noise = np.random.default_rng(seed).normal(size=exact.shape)
    patterns = exact + np.sqrt(variance) * noise
    return patterns.astype(np.float32), variance.astype(np.float32)


def one_lattice(n, *, seed=0):
    rng = np.random.default_rng(seed)
    return {
        f"{SPINEL}.scale": rng.uniform(0.5, 0.9, n),
        f"{LAYERED}.scale": rng.uniform(0.05, 0.2, n),
        f"{SPINEL}.a_A": rng.uniform(8.05, 8.22, n),
    }


def refined(patterns, variance, chosen, **more):
    return refine_voxels(
        patterns, variance=variance, settings=chosen, crystal=SPINEL, instrument=INSTRUMENT, **more
    )


@lru_cache(maxsize=1)
def mixed():
    """60 voxels of one lattice, then 60 of two, whose smaller one has 20 to 50 %."""
    n = 60
    rng = np.random.default_rng(7)
    planted = {name: np.tile(column, 2) for name, column in one_lattice(n).items()}
    share = np.concatenate([np.zeros(n), rng.uniform(0.2, 0.5, n)])
    both = planted[f"{SPINEL}.scale"]
    planted[f"{SPINEL}.scale"] = both * (1.0 - share)
    planted[f"{SECOND}.scale"] = both * share
    planted[f"{SPINEL}.a_A"] = np.concatenate([planted[f"{SPINEL}.a_A"][:n], np.full(n, 8.14)])
    planted[f"{SECOND}.a_A"] = np.where(share > 0.0, 8.14 + rng.choice([-0.06, 0.07], 2 * n), 8.2)
    chosen = settings(second_lattice={"false_alarm": 1e-9, "least_share": 0.05}, covariance=True)
    patterns, variance = drawn(with_second(chosen, crystal=SPINEL), planted)
    return planted, share, patterns, variance, refined(patterns, variance, chosen)


def test_blocks_are_the_engine(monkeypatch):
    # Other code: all patterns in one call. Where a search begins depends on the block, by what all
    # its voxels weigh; it ends within 1e-3 standard uncertainties of the minimum, or, where only
    # single precision is left, twice that.
    monkeypatch.setattr(voxel_rietveld, "BLOCK", 16)
    chosen = settings(covariance=True)
    patterns, variance = drawn(chosen, one_lattice(50))
    table = refined(patterns, variance, chosen).table
    whole = refine_patterns(patterns, variance=variance, model=model_of(chosen), covariance=True)
    assert (whole.status == Status.CONVERGED).all()
    assert table.model.names == whole.names
    np.testing.assert_array_equal(table.status, whole.status)
    assert np.abs((table.values - whole.values) / whole.esd).max() < 2e-3
    np.testing.assert_allclose(table.esd, whole.esd, rtol=1e-2)
    np.testing.assert_allclose(table.r_wp, whole.r_wp, rtol=1e-5)
    np.testing.assert_allclose(table.chi2_reduced, whole.chi2_reduced, rtol=1e-5)
    diagonal = np.einsum("vii->vi", table.covariance)
    np.testing.assert_allclose(diagonal, table.esd**2, rtol=1e-5)
    fractions = refined_weight_fractions(whole)
    assert np.abs((table.weight_fraction - fractions.values) / fractions.esd).max() < 2e-3
    np.testing.assert_allclose(table.weight_fraction_esd, fractions.esd, rtol=1e-2)
    np.testing.assert_array_equal(table.substance, table.weight_fraction)


def test_what_voxels_share_is_refined_once(monkeypatch):
    # Law: as the engine refines it over the same patterns, whatever the blocks.
    monkeypatch.setattr(voxel_rietveld, "BLOCK", 16)
    chosen = settings({"strain": "shared"})
    planted = one_lattice(50)
    patterns, variance = drawn(settings({"strain_value": 4e-4}), planted)
    table = refined(patterns, variance, chosen).table
    whole = refine_patterns(patterns, variance=variance, model=model_of(chosen))
    assert table.shared == whole.shared
    value, esd = table.shared[f"{SPINEL}.strain"]
    assert abs(value - 4e-4) < 5.73 * esd  # false alarm 1e-8
    assert f"{SPINEL}.strain" not in table.model.names


def test_two_lattices_are_told_from_one():
    # Planted. False alarms: 1e-9 for each of 60. A second lattice of a fifth of the amount, three
    # line widths away, has some 50 standard uncertainties: none is missed.
    _, share, _, _, found = mixed()
    np.testing.assert_array_equal(found.decisions.decision, (share > 0.0).astype(float))
    one, two = share == 0.0, share > 0.0
    assert np.isnan(found.table.values[one, found.table.model.names.index(f"{SECOND}.a_A")]).all()
    assert (found.decisions.p_value[one] > 1e-9).all()
    assert (found.decisions.p_value[two] < 1e-9).all()
    assert np.isnan(found.table.share[one]).all()


def test_both_lattices_are_those_planted():
    # Planted, within 5.9 standard uncertainties: false alarm 4e-9 for each of 60, seven figures;
    # the mean of the squares of 60 normal numbers lies within 0.33 and 2.2 but for 1e-8.
    planted, share, _, _, found = mixed()
    table = found.table
    two = share > 0.0
    for name in (f"{SPINEL}.a_A", f"{SECOND}.a_A", f"{SPINEL}.scale", f"{SECOND}.scale",
                 f"{LAYERED}.scale"):  # fmt: skip
        column = table.model.names.index(name)
        z = ((table.values[:, column] - planted[name]) / table.esd[:, column])[two]
        if "second" in name or SPINEL in name:  # near halves may be exchanged
            z = z[share[two] < 0.45]
        assert np.abs(z).max() < 5.9
        assert 0.3 < np.mean(z**2) < 2.4
    total = planted[f"{SPINEL}.scale"] + planted[f"{SECOND}.scale"]
    mean_A = (
        planted[f"{SPINEL}.scale"] * planted[f"{SPINEL}.a_A"]
        + planted[f"{SECOND}.scale"] * planted[f"{SECOND}.a_A"]
    ) / total
    for column, expected in ((0, mean_A), (2, total)):
        z = (table.lattice[:, column] - expected) / table.lattice[:, column + 1]
        assert np.abs(z).max() < 5.9
        assert 0.3 < np.mean(z[two] ** 2) < 2.4
        assert 0.3 < np.mean(z[~two] ** 2) < 2.4
    z = ((table.share[:, 0] - share) / table.share[:, 1])[two & (share < 0.45)]
    assert np.abs(z).max() < 5.9
    assert 0.3 < np.mean(z**2) < 2.4


def test_mean_and_share_carry_the_covariance():
    # Closed form against central differences with the covariance that was kept, in single
    # precision: 1e-6 of an esd², differences of strongly correlated terms lose a factor of 100.
    table = mixed()[4].table
    names = [f"{SPINEL}.scale", f"{SECOND}.scale", f"{SPINEL}.a_A", f"{SECOND}.a_A"]
    places = [table.model.names.index(name) for name in names]
    functions = {
        0: lambda v: (v[0] * v[2] + v[1] * v[3]) / (v[0] + v[1]),
        2: lambda v: v[0] + v[1],
        4: lambda v: v[1] / (v[0] + v[1]),
    }
    rows = np.flatnonzero(np.isfinite(table.share[:, 0]))
    stated = np.concatenate([table.lattice, table.share], axis=1)
    for row in rows[:10]:
        values = table.values[row, places]
        covariance = table.covariance[row][np.ix_(places, places)].astype(float)
        for column, function in functions.items():
            slope = np.empty(4)
            for k in range(4):
                step = np.zeros(4)
                step[k] = 1e-5
                slope[k] = (function(values + step) - function(values - step)) / 2e-5
            assert stated[row, column] == pytest.approx(function(values), rel=1e-12)
            expected = np.sqrt(slope @ covariance @ slope)
            assert stated[row, column + 1] == pytest.approx(expected, rel=1e-3)


def test_lattices_of_a_crystal_are_one_substance():
    # Law: weight fractions of a crystal's lattices add up, and all of them to one.
    table = mixed()[4].table
    of_lattices = np.nansum(table.weight_fraction[:, :2], axis=1)
    np.testing.assert_allclose(table.substance[:, 0], of_lattices, atol=1e-12)
    np.testing.assert_allclose(table.substance.sum(axis=1), 1.0, atol=1e-12)
    # Of two shares that add up to one the errors are the same.
    np.testing.assert_allclose(table.substance_esd[:, 0], table.substance_esd[:, 1], rtol=1e-9)


def test_voxels_with_little_of_the_refined_phase_have_no_lattice_parameter():
    # By the docstring: held against the least amount, and against 5 standard uncertainties.
    planted = one_lattice(6)
    planted[f"{SPINEL}.scale"] = np.array([0.6, 0.04, 0.6, 0.0, 0.6, 0.06])
    patterns, variance = drawn(settings(), planted)
    table = refined(patterns, variance, settings()).table
    found = table.refinement(min_scale=0.05)
    there = np.array([True, False, True, False, True, True])
    np.testing.assert_array_equal(found.status == Status.CONVERGED, there)
    np.testing.assert_array_equal(found.status[~there], Status.NO_MATERIAL)
    for values in (found.a_A, found.a_esd_A, found.scale, found.scale_esd, found.chi2_reduced):
        np.testing.assert_array_equal(np.isfinite(values), there)
    assert np.isfinite(table.values[1, table.model.names.index(f"{LAYERED}.scale")])


def test_what_cannot_be_refined_is_not():
    # By definition: no number for a voxel without enough channels.
    planted = one_lattice(5)
    patterns, variance = drawn(settings(), planted)
    patterns[2, 12:] = np.nan
    found = refined(patterns, variance, settings(residuals="full", covariance=True))
    assert found.table.status[2] == Status.NOT_MEASURED
    for values in (found.table.values, found.table.covariance, found.residuals):
        assert np.isnan(values[2]).all()
        assert np.isfinite(values[[0, 1, 3, 4]]).all()
    assert np.isnan(found.residual_rms[2])


def test_patterns_are_drawn_as_the_engine_draws_them():
    # Other code: one pattern after the other.
    chosen = settings({"size": "voxel"})
    patterns, variance = drawn(settings(), one_lattice(8))
    whole = refine_patterns(patterns, variance=variance, model=model_of(chosen))
    expected = calculated(whole)
    found = calculated_patterns(whole.model, whole.values)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * expected.max())


def test_residuals_are_observed_less_calculated():
    # By definition, from the engine's own calculated patterns.
    chosen = settings(residuals="full")
    patterns, variance = drawn(chosen, one_lattice(40))
    variance[:, 7] = 0.0
    found = refined(patterns, variance, chosen)
    whole = refine_patterns(patterns, variance=variance, model=model_of(chosen))
    expected = patterns - calculated(whole)
    noise = np.sqrt(np.median(variance))
    np.testing.assert_allclose(found.residuals, expected, atol=0.02 * noise)
    used = np.arange(expected.shape[1]) != 7
    rms = np.sqrt(np.mean(found.residuals[:, used] ** 2, axis=1))
    np.testing.assert_allclose(found.residual_rms, rms, rtol=1e-5)
    mean = found.residuals.mean(axis=0)
    np.testing.assert_allclose(found.sums.mean[used], mean[used], atol=1e-5 * noise)
    squares = np.mean(found.residuals[:, used] ** 2 / variance[:, used], axis=0)
    np.testing.assert_allclose(found.sums.mean_square[used], squares, rtol=1e-5)
    assert np.isnan(found.sums.mean[7])
    assert np.isnan(found.sums.mean_square[7])


def test_sums_count_what_was_measured():
    # By hand.
    sums = ResidualSums(3)
    residuals = np.array([[1.0, -2.0, 3.0], [3.0, np.nan, 1.0]])
    rms = sums.add(residuals, np.array([[1.0, 4.0, 0.0], [4.0, 1.0, np.inf]]))
    np.testing.assert_allclose(rms, [np.sqrt(2.5), 3.0])
    np.testing.assert_allclose(sums.mean, [2.0, -2.0, np.nan])
    np.testing.assert_allclose(sums.mean_square, [(1.0 + 9.0 / 4.0) / 2.0, 1.0, np.nan])


def test_memory_grows_by_results_alone(monkeypatch):
    # Stated: 16 bytes per parameter and voxel and the columns of the table beside, some 230; half
    # as much again for what Python keeps of blocks. A copy of the patterns in single precision is
    # 1600 bytes per voxel, all covariances 288.
    monkeypatch.setattr(voxel_rietveld, "BLOCK", 64)
    chosen = settings()
    patterns, variance = drawn(chosen, one_lattice(1024))
    refined(patterns[:64], variance[:64], chosen)  # what is made once

    def peak(n):
        tracemalloc.start()
        found = refined(patterns[:n], variance[:n], chosen)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, found

    (few, _), (many, found) = peak(128), peak(1024)
    n_names = len(found.table.model.names)
    columns = 2 * n_names + 4 * 2 + 4 + 2 + 2 + 1 + 1  # of the table, all in double precision
    assert (many - few) / (1024 - 128) < 1.5 * 8 * columns


def test_maps_lie_where_voxels_are():
    # By definition: rows of the table in the order of measured pixels.
    _, share, _, _, found = mixed()
    measured = np.zeros((12, 12), bool)
    measured.ravel()[5:125] = True
    maps = rietveld_maps(found, measured=measured, apart=2)
    own = maps.phase(SPINEL).quantities
    assert list(own) == ["volume_fraction", "weight_fraction", "a_A"]
    np.testing.assert_array_equal(own["a_A"].value[measured], found.table.values[:, 3])
    np.testing.assert_array_equal(own["a_A"].esd[measured], found.table.esd[:, 3])
    assert np.isnan(own["a_A"].value[~measured]).all()
    np.testing.assert_array_equal(maps.second_lattice.decision[measured], share > 0.0)
    assert (maps.status[~measured] == Status.NOT_MEASURED).all()
    assert maps.covariance.shape == (120, 8, 8)
    assert [own.crystal for own in maps.substances] == [SPINEL, LAYERED]
    inflation = np.sqrt(np.maximum(found.table.chi2_reduced, 1.0))
    least = found.table.substance_esd[:, 1] * inflation
    assert (maps.substances[1].esd_total[measured] >= least).all()


def test_a_second_lattice_shares_all_but_cell_and_amount():
    # By the docstring.
    chosen = settings({"strain": "shared", "size": "voxel", "b_iso": "fixed"})
    both = with_second(chosen, crystal=SPINEL)
    assert [phase.label for phase in both.phases] == [SPINEL, SECOND, LAYERED]
    second = both.phases[1]
    assert (second.cell, second.strain, second.size) == ("voxel", f"={SPINEL}", f"={SPINEL}")
    assert second.b_iso == "fixed"
    # Its ties are those that a user may write.
    assert VoxelRietveld.model_validate(both.model_dump()).phases == both.phases
    names = model_of(both).names
    assert sum(name.endswith("size_nm") for name in names) == 1


def test_larger_lattice_comes_first():
    # By definition, also where the test found them the other way round.
    table = mixed()[4].table
    share = table.share[:, 0]
    assert (share[np.isfinite(share)] <= 0.5).all()
    assert table.main == (SPINEL, SECOND)


@pytest.mark.parametrize("n", [0, 3])
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_nothing_to_refine_is_no_error(n, value):
    # By definition: no number, no decision, and arrays of the shapes that the file wants.
    chosen = settings(second_lattice={}, covariance=True, residuals="full")
    patterns = np.full((n, GEOMETRY.n_channels), value, np.float32)
    found = refined(patterns, patterns + 1.0, chosen)
    nothing = Status.NO_MATERIAL if value == 0.0 else Status.NOT_MEASURED
    assert (found.table.status == nothing).all()
    assert np.isnan(found.table.values).all()
    assert np.isnan(found.decisions.decision).all()
    measured = np.zeros((2, 2), bool)
    measured.ravel()[:n] = True
    maps = rietveld_maps(found, measured=measured, apart=2)
    assert maps.covariance.shape == (0, 8, 8)
    assert maps.residuals.shape == (2, 2, GEOMETRY.n_channels)


def test_what_cannot_be_refined_is_refused():
    patterns = np.zeros((3, GEOMETRY.n_channels), np.float32)
    with pytest.raises(InputError, match="shared parameters cannot be refined"):
        refined(patterns, patterns + 1.0, settings({"strain": "shared"}))
    with pytest.raises(InputError, match="must hold the refined phase Si"):
        refine_voxels(
            patterns, variance=patterns + 1.0, settings=settings(), crystal="Si",
            instrument=INSTRUMENT,
        )  # fmt: skip
