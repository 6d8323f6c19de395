"""Parameters that all voxels share, against what the patterns were drawn with."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from inverse.model import Instrument, chebyshev_background, draw_patterns, lattice_lines
from inverse.recipe import Calibration, Profile
from inverse.refine import LatticeModel, Status, refine
from inverse.shared import Shared, fitted_patterns, refine_shared
from xrdct.crystal import load_crystal
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=300, two_theta_min_deg=2.5, two_theta_max_deg=10.5)
INSTRUMENT = Instrument(
    BEAM, GEOMETRY, Calibration(profile=Profile(U_deg2=2e-3, W_deg2=3e-4), distance_m=0.7)
)
GRID_A = 8.15 + 1e-3 * np.arange(81)
BACKGROUND = chebyshev_background(GEOMETRY.n_channels, n_terms=3)
TRUTH = Shared(crystallite_size_nm=150.0, strain=6e-4, b_iso_change_A2=0.3)
N_USED = 200
"""Voxels from which shared parameters are learnt, at the most."""


def drawn(a_A, shared):
    lines = lattice_lines(load_crystal("LiMn2O4"), a_A, beam=BEAM, geometry=GEOMETRY)
    return draw_from(lines, shared)


def draw_from(lines, shared):
    return draw_patterns(
        lines, instrument=INSTRUMENT, crystallite_size_nm=shared.crystallite_size_nm,
        strain=shared.strain, b_iso_change_A2=shared.b_iso_change_A2,
    )  # fmt: skip


@lru_cache
def grid_lines():
    return lattice_lines(load_crystal("LiMn2O4"), GRID_A, beam=BEAM, geometry=GEOMETRY)


def build(shared):
    return LatticeModel(a_A=GRID_A, templates=draw_from(grid_lines(), shared), linear=BACKGROUND)


def measured(shared, *, n_voxels=400, relative=0.02, seed=0, scale=0.7):
    rng = np.random.default_rng(seed)
    several_A = rng.uniform(8.165, 8.215, 40)
    phase = np.resize(drawn(several_A, shared), (n_voxels, GEOMETRY.n_channels))
    clean = scale * phase + 0.1 * phase.max()
    variance = relative**2 * phase.max() * clean
    patterns = clean + rng.normal(size=clean.shape) * np.sqrt(variance)
    return patterns.astype(np.float32), variance.astype(np.float32), np.resize(several_A, n_voxels)


def learnt(patterns, variance, *, start, **more):
    return refine_shared(patterns, variance=variance, build=build, start=start, workers=1, **more)


def parameters(shared):
    """In what least squares is linear: squared strain (1e-6), 1/size (1/100 nm), ΔB (Å²)."""
    return np.array(
        [(shared.strain * 1e3) ** 2, 100.0 / shared.crystallite_size_nm, shared.b_iso_change_A2]
    )


def expected_covariance(variance, a_A, *, scale=0.7):
    """Covariance of the shared parameters with each voxel's own a, scale and background free.

    Central differences of exact patterns; the voxels' own parameters are projected out one voxel
    at a time.
    """
    lines = lattice_lines(load_crystal("LiMn2O4"), a_A, beam=BEAM, geometry=GEOMETRY)
    here, step = parameters(TRUTH), 1e-3
    slopes = []
    for unit in np.eye(3) * step:
        ahead, behind = (
            Shared(100.0 / p[1], np.sqrt(p[0]) * 1e-3, p[2]) for p in (here + unit, here - unit)
        )
        slopes.append(scale * (draw_from(lines, ahead) - draw_from(lines, behind)) / (2 * step))
    phase, moved = drawn(a_A, TRUTH), drawn(a_A + 1e-4, TRUTH)
    information = np.zeros((3, 3))
    for voxel in range(len(a_A)):
        root_weight = 1.0 / np.sqrt(variance[voxel].astype(float))
        own = np.vstack([phase[voxel], moved[voxel] - phase[voxel], BACKGROUND]) * root_weight
        basis, _ = np.linalg.qr(own.T)
        common = np.array([slope[voxel] for slope in slopes]) * root_weight
        common = common - (common @ basis) @ basis.T
        information += common @ common.T
    return np.linalg.inv(information)


@pytest.mark.parametrize(
    "start",
    [TRUTH, Shared(200.0, 0.0), Shared(50.0, 0.0), Shared(900.0, 2e-3, -0.5)],
    ids=["truth", "default", "small crystallites", "strained"],
)
def test_what_the_patterns_were_drawn_with_is_found(start):
    # Truth: the drawn parameters; bound: 5.33 σ (false alarm 1e-7) of an independent least-squares
    # covariance of the 200 voxels used. All hold the same, so which are used hardly matters.
    patterns, variance, a_A = measured(TRUTH, seed=1)
    found = parameters(learnt(patterns, variance, start=start)) - parameters(TRUTH)
    covariance = expected_covariance(variance[:40], a_A[:40]) * 40 / N_USED
    assert (np.abs(found) < 5.33 * np.sqrt(np.diag(covariance))).all()
    # and the three together: χ² with 3 degrees of freedom exceeds 36.4 with 6e-8
    assert found @ np.linalg.solve(covariance, found) < 36.4


def test_the_start_does_not_matter():
    # Law: one minimum. Starts choose other voxels (by a scale refined with wrong widths), so the
    # noise of half of them may differ: √2 σ, times 5.33 (false alarm 1e-7).
    patterns, variance, a_A = measured(TRUTH, seed=3)
    sigma = np.sqrt(np.diag(expected_covariance(variance[:40], a_A[:40]) * 40 / N_USED))
    near, far = (learnt(patterns, variance, start=s) for s in (TRUTH, Shared(60.0, 3e-3, 0.8)))
    assert (np.abs(parameters(near) - parameters(far)) < 5.33 * np.sqrt(2.0) * sigma).all()


def test_strain_is_found_from_none():
    # Limit: broadening is quadratic in strain, so at zero its derivative vanishes, and a search in
    # strain itself would not see which way to go. Noise of 0.1 %: strain within 2 %.
    truth = Shared(crystallite_size_nm=300.0, strain=2e-4, b_iso_change_A2=-0.2)
    patterns, variance, _ = measured(truth, relative=1e-3)
    found = learnt(patterns, variance, start=Shared(200.0, 0.0))
    assert found.strain == pytest.approx(truth.strain, rel=0.02)
    assert found.crystallite_size_nm == pytest.approx(truth.crystallite_size_nm, rel=0.01)
    assert found.b_iso_change_A2 == pytest.approx(truth.b_iso_change_A2, abs=0.01)


def test_no_strain_is_found_to_be_none():
    # Limit: a parameter at its bound. 0.1 % noise; strain² then is below (5e-5)², a fortieth of
    # what broadens the instrument's narrowest line by a per cent.
    truth = Shared(crystallite_size_nm=100.0, strain=0.0)
    patterns, variance, _ = measured(truth, relative=1e-3)
    found = learnt(patterns, variance, start=Shared(200.0, 1e-3))
    assert found.strain < 5e-5
    assert found.crystallite_size_nm == pytest.approx(100.0, rel=0.01)


@pytest.mark.parametrize("n_voxels", [0, 7])
def test_too_few_voxels_leave_the_start(n_voxels):
    # Rule of the docstring: eight.
    patterns, variance, _ = measured(TRUTH, n_voxels=40)
    start = Shared(123.0, 4e-4, 0.1)
    assert learnt(patterns[:n_voxels], variance[:n_voxels], start=start) is start
    empty = np.zeros_like(patterns)
    assert learnt(empty, variance, start=start) is start
    empty[:n_voxels] = patterns[:n_voxels]
    assert learnt(empty, variance, start=start) is start


def test_eight_voxels_are_enough():
    patterns, variance, _ = measured(TRUTH, n_voxels=8, relative=1e-3)
    found = learnt(patterns, variance, start=Shared(200.0, 0.0))
    assert found.crystallite_size_nm == pytest.approx(TRUTH.crystallite_size_nm, rel=0.02)
    assert found.strain == pytest.approx(TRUTH.strain, rel=0.03)


def test_a_few_hot_voxels_do_not_set_the_standard():
    # Law: outliers of scale must not make everything else look empty.
    patterns, variance, _ = measured(TRUTH, relative=2e-3)
    patterns[:5] *= 1000.0
    variance[:5] *= 1e6
    start = Shared(50.0, 2e-3)
    found = learnt(patterns, variance, start=start)
    assert found.crystallite_size_nm == pytest.approx(TRUTH.crystallite_size_nm, rel=0.02)


@pytest.mark.parametrize("start", [Shared(60.0, 2e-3), Shared(200.0, 0.0)])
def test_voxels_at_the_limits_of_the_range_do_not_upset_the_fit(start):
    # Truth: the drawn parameters. Half of the voxels lie within 0.3 mÅ of the end of the range:
    # refined with a little more or less width, they converge or run into the limit.
    patterns, variance, _ = measured(TRUTH, relative=2e-3)
    near_A = GRID_A[-1] - 1e-4 * np.arange(1, 4)
    phase = np.resize(drawn(near_A, TRUTH), patterns[::2].shape)
    rng = np.random.default_rng(6)
    clean = 0.7 * phase + 0.1 * phase.max()
    variance[::2] = 4e-6 * phase.max() * clean
    patterns[::2] = clean + rng.normal(size=clean.shape) * np.sqrt(variance[::2])
    found = learnt(patterns, variance, start=start)
    assert found.crystallite_size_nm == pytest.approx(TRUTH.crystallite_size_nm, rel=0.02)
    assert found.strain == pytest.approx(TRUTH.strain, rel=0.03)


def test_channels_that_are_not_measured_do_not_count():
    # Law: NaN in a channel, whatever its variance, is a channel without weight.
    patterns, variance, _ = measured(TRUTH, n_voxels=60, seed=4)
    masked_patterns, masked_variance = patterns.copy(), variance.copy()
    masked_patterns[:, 10:40] = np.nan
    masked_variance[:, 10:40] = 0.0
    expected = learnt(patterns, masked_variance, start=TRUTH)
    found = learnt(masked_patterns, variance, start=TRUTH)
    np.testing.assert_allclose(parameters(found), parameters(expected), rtol=1e-6)
    everything = learnt(patterns, variance, start=TRUTH)
    assert (np.abs(parameters(everything) - parameters(expected)) > 1e-3).any()


def test_the_number_of_workers_does_not_matter():
    patterns, variance, _ = measured(TRUTH, n_voxels=100, seed=5)
    one, two = (
        refine_shared(patterns, variance=variance, build=build, start=TRUTH, workers=w)
        for w in (1, 2)
    )
    assert one == two


def test_fitted_patterns_are_those_of_the_refined_parameters():
    # Truth: patterns drawn at exactly the refined parameters; cubic interpolation of templates
    # errs by 3/128 (1 mÅ/σ)⁴ · 3 of the height, 2e-5 for the narrowest line's σ = 8 mÅ. NaN where
    # nothing converged.
    patterns, variance, _ = measured(TRUTH, n_voxels=20)
    patterns[3] = np.nan
    patterns[7] = 0.0
    model = build(TRUTH)
    result = refine(patterns, variance=variance, model=model)
    fitted = fitted_patterns(model, result)
    good = result.status == Status.CONVERGED
    assert np.flatnonzero(~good).tolist() == [3, 7]
    assert np.isnan(fitted[~good]).all()
    exact = result.scale[good, None] * drawn(result.a_A[good], TRUTH)
    exact += result.linear[good] @ BACKGROUND
    assert np.abs(fitted[good] - exact).max() < 2e-5 * exact.max()
    weighted = (patterns - fitted)[good] ** 2 / variance[good]
    np.testing.assert_allclose(
        weighted.sum(axis=1) / (300 - 5), result.chi2_reduced[good], rtol=1e-5
    )


def test_a_start_beyond_the_limits_is_moved_inside():
    # Rule: sizes up to 100 µm, strains up to 1 %; a start outside must not stop the fit.
    patterns, variance, _ = measured(TRUTH, relative=2e-3)
    found = learnt(patterns, variance, start=replace(TRUTH, crystallite_size_nm=1e9))
    assert found.crystallite_size_nm == pytest.approx(TRUTH.crystallite_size_nm, rel=0.02)
