"""Rays refined first, then reconstructed: the same as the other order, and additive."""

from functools import lru_cache

import numpy as np
import pytest

from inverse.model import Instrument, chebyshev_background, draw_patterns, lattice_lines
from inverse.projector import project
from inverse.recipe import Calibration, Profile
from inverse.reconstruct import Reconstruction
from inverse.refine import LatticeModel, Status, refine
from inverse.shared import Shared
from inverse.sinogram import Sinogram
from inverse.sinogram_refinement import (
    additive_results,
    filtered,
    moment_functionals,
    refine_first,
    refined_by_moments,
    shared_first,
)
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM = Beam()
GEOMETRY = Geometry(n_channels=300, two_theta_min_deg=2.5, two_theta_max_deg=8.0)
INSTRUMENT = Instrument(
    BEAM, GEOMETRY, Calibration(profile=Profile(U_deg2=2e-3, W_deg2=5e-4), distance_m=0.7)
)
LOW_A, SPACING_A, N_TEMPLATES = 8.13, 1e-3, 151
N_LINEAR = 3
WIDTHS = Shared(crystallite_size_nm=150.0, strain=5e-4)


@lru_cache
def model(shared=WIDTHS):
    a_A = LOW_A + SPACING_A * np.arange(N_TEMPLATES)
    lines = lattice_lines(load_crystal("LiMn2O4"), a_A, beam=BEAM, geometry=GEOMETRY)
    templates = draw_patterns(
        lines,
        instrument=INSTRUMENT,
        crystallite_size_nm=shared.crystallite_size_nm,
        strain=shared.strain,
        b_iso_change_A2=shared.b_iso_change_A2,
    )
    linear = chebyshev_background(GEOMETRY.n_channels, n_terms=N_LINEAR)
    return LatticeModel(a_A=a_A, templates=templates, linear=linear)


PEAK = float(model().templates.max())


def voxels(n=24):
    """Images of template numbers and amounts: three discs and nothing, and a background."""
    y, x = np.mgrid[:n, :n] - 0.5 * (n - 1)
    number, amount = np.zeros((n, n), int), np.zeros((n, n))
    for cx, cy, radius, first in ((-4, 2, 4.5, 60), (5, 4, 4.0, 90), (1, -6, 4.0, 110)):
        r = np.hypot(x - cx, y - cy)
        number[r < radius] = np.round(first - 3 * r[r < radius]).astype(int)
        amount[r < radius] = 0.5
    background = 0.02 * PEAK * (np.hypot(x, y) < 11)
    return number, amount, background


def measured(*, variance=None, seed=0, noise=0.0):
    """Sinogram of these voxels by the projector, with the variance of each channel."""
    number, amount, background = voxels()
    patterns = amount[..., None] * model().templates[number]
    patterns += background[..., None] * model().linear[0]
    angles = np.arange(40) * np.pi / 40
    lines = project(patterns, angles_rad=angles, n_offsets=len(number), step_um=1.0)
    if variance is None:
        variance = (1e-3 * PEAK) ** 2 * np.ones(GEOMETRY.n_channels)
    rng = np.random.Generator(np.random.Philox(seed))
    lines = lines + noise * np.sqrt(variance) * rng.normal(size=lines.shape)
    return Sinogram(
        values=lines.astype(np.float32),
        variance=np.broadcast_to(variance, lines.shape).astype(np.float32),
        transmission=np.ones(lines.shape[:2]),
        angles_rad=angles,
        step_um=1.0,
        axis_offset_um=0.0,
        two_theta_rad=GEOMETRY.two_theta_rad,
        distance_m=0.7,
    )


def test_refining_and_reconstructing_commute():
    # law: both are linear; tolerance is that of single precision over 40 · 24 additions
    given = measured(noise=1.0)
    found = additive_results(given, model=model())
    first = filtered(given)(found.coefficients, found.variance)
    last = filtered(given)(given.values, given.variance)
    seen = np.isfinite(last.values[..., 0])
    expected = found.basis.compress(last.values[seen])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(first.values[seen], expected, atol=2e-6 * scale)
    assert first.variance is not None
    assert last.variance is not None
    np.testing.assert_allclose(
        first.variance[seen], found.basis.compress_variance(last.variance[seen]), rtol=1e-3
    )


def test_the_fit_of_both_orders_is_the_same():
    # closed form: where the variance of a voxel is one number times that of the channels, z keeps
    # all that least squares use; but for the loss, less than a hundredth of the esd
    channel = np.arange(GEOMETRY.n_channels)
    variance = (1e-3 * PEAK) ** 2 * (1.0 + 0.5 * np.cos(channel / 30.0))
    given = measured(variance=variance, noise=1.0)
    first, seen = refine_first(given, model=model(), min_scale=0.1, loss=1e-3)
    volume = filtered(given)(given.values, given.variance)
    assert volume.variance is not None
    last = refine(volume.values[seen], variance=volume.variance[seen], model=model(), min_scale=0.1)
    assert (first.status == last.status).mean() > 0.99
    both = (first.status == Status.CONVERGED) & (last.status == Status.CONVERGED)
    assert both.sum() > 100
    esd = last.a_esd_A[both]
    assert np.abs((first.a_A - last.a_A)[both] / esd).max() < 0.01
    np.testing.assert_allclose(first.a_esd_A[both], esd, rtol=1e-2)
    np.testing.assert_allclose(first.scale_esd[both], last.scale_esd[both], rtol=1e-2)
    assert np.abs((first.scale - last.scale)[both] / last.scale_esd[both]).max() < 0.01
    np.testing.assert_allclose(
        first.linear[both], last.linear[both], atol=1e-4 * np.abs(last.linear[both]).max()
    )


def test_moments_of_mixtures_add_up():
    # closed form: zeroth and first moment of any mixture, to the variance that λ trades for it
    given = measured()
    compressed = additive_results(given, model=model(), loss=1e-4).basis.model(model())
    position = (model().a_A - model().a_A.mean()) / 0.075
    linear, _ = np.linalg.qr(compressed.linear.T)
    phase = compressed.templates - (compressed.templates @ linear) @ linear.T
    u = moment_functionals(
        phase, moments=np.stack([np.ones_like(position), position]), noise=1e-9 * (phase**2).sum()
    )
    rng = np.random.Generator(np.random.Philox(1))
    for _mixture in range(20):
        amounts = rng.random(N_TEMPLATES) ** 8
        zeroth, first = u @ (amounts @ phase)
        assert zeroth == pytest.approx(amounts.sum(), rel=1e-3)
        assert first == pytest.approx(amounts @ position, abs=1e-3 * amounts.sum())


def z_of(patterns, given):
    basis = additive_results(given, model=model(), loss=1e-3).basis
    z = basis.compress(patterns)
    return z, np.ones_like(z), basis.model(model())


def test_moments_count_two_lattices_with_their_amounts():
    # closed form: the mean lattice parameter, by amount; a fit finds one of the two lattices. λ
    # weighs what functionals are wrong by against noise, so that they are wrong by less than it.
    given = measured()
    n = np.arange(30, 60)
    single = 0.5 * model().templates[n]
    mixed = 0.3 * model().templates[40:41] + 0.2 * model().templates[90:91] + model().linear[0]
    z, variance, compressed = z_of(np.concatenate([single, mixed, model().templates[90:91]]), given)
    fitted = refine(z, variance=variance, model=compressed)
    found = refined_by_moments(z, variance=variance, model=compressed, fitted=fitted)
    assert np.all(np.abs(found.a_A[:30] - model().a_A[n]) < found.a_esd_A[:30])
    assert np.all(np.abs(found.scale[:30] - 0.5) < found.scale_esd[:30])
    assert abs(found.a_A[30] - (LOW_A + SPACING_A * 60.0)) < found.a_esd_A[30] < 1e-3
    assert abs(found.scale[30] - 0.5) < found.scale_esd[30] < 0.01
    assert abs(fitted.a_A[30] - found.a_A[30]) > 5e-3


@pytest.mark.parametrize("estimate", ["fit", "moments"])
def test_uncertainties_are_those_of_repeated_noise(estimate):
    # law: over 2000 draws of white noise in z, errors have the stated standard deviation, to
    # 5.3/√(2·2000) of it; at either end of the range that occurs, where moments depend most
    given = measured()
    z, _, compressed = z_of(0.5 * model().templates[[40, 100]], given)
    rng = np.random.Generator(np.random.Philox(2))
    noisy = np.repeat(z, 2000, axis=0) + rng.normal(size=(4000, z.shape[1]))
    noisy, variance = noisy.astype(np.float32), np.ones(noisy.shape, np.float32)
    found = refine(noisy, variance=variance, model=compressed)
    if estimate == "moments":
        found = refined_by_moments(noisy, variance=variance, model=compressed, fitted=found)
    assert np.all(found.status == Status.CONVERGED)
    for part in (slice(0, 2000), slice(2000, 4000)):
        for result, esd in ((found.a_A, found.a_esd_A), (found.scale, found.scale_esd)):
            ratio = result[part].std() / np.median(esd[part])
            assert ratio == pytest.approx(1.0, abs=5.3 / np.sqrt(4000))
    # least squares have the least χ², which is 1 within 5.3·√(2/(20·2000)) for 20 z and more
    expected = pytest.approx(1.0, abs=0.04)
    assert found.chi2_reduced.mean() == expected or estimate == "moments"


def test_moments_reach_the_map():
    # truth: the middles of discs, noise-free. From 40 angles come streaks of some 5 % of the
    # amount of other discs, up to 60 mÅ away: 3 mÅ at worst, half of it as a rule.
    number, _, _ = voxels()
    found, seen = refine_first(measured(), model=model(), estimate="moments", min_scale=0.1)
    image = np.full(seen.shape, np.nan)
    image[seen] = found.a_A
    places = tuple(np.array([(13, 8), (14, 8), (13, 7), (15, 16), (16, 17), (6, 12)]).T)
    error_A = np.abs(image[places] - model().a_A[number[places]])
    assert error_A.max() < 6e-3
    assert np.median(error_A) < 2e-3


def test_other_models_can_be_spanned_as_well():
    # truth: no more than the loss of 2 % is missing, 2e-4 in the length of what is kept
    broad = model(Shared(50.0, 2e-3))
    given = measured()
    found = additive_results(given, model=model(), spanned=[broad])
    root = 1.0 / np.sqrt(given.variance[0, 0].astype(float))
    whole = broad.templates * root
    kept = found.basis.model(broad).templates
    np.testing.assert_allclose(
        np.linalg.norm(kept, axis=1), np.linalg.norm(whole, axis=1), rtol=2e-3
    )


def test_shared_widths_are_found_from_rays():
    # truth: the widths that the voxels were drawn with
    given = measured(noise=0.2)
    start = Shared(crystallite_size_nm=300.0, strain=2e-4)
    found = shared_first(given, build=model, start=start)
    assert found.strain == pytest.approx(WIDTHS.strain, rel=0.2)
    assert found.crystallite_size_nm == pytest.approx(WIDTHS.crystallite_size_nm, rel=0.2)


def test_a_ray_of_extreme_variance_does_not_set_the_weights():
    # law: weights are those of most rays; one of 960 that is uncertain in one channel may shift its
    # own voxels, and there is no noise to weigh, so that nothing else moves by a tenth of its esd
    given, other = measured(), measured()
    other.variance[7, 12, 100] *= 1e6
    basis, changed = (additive_results(s, model=model()).basis for s in (given, other))
    np.testing.assert_allclose(changed.noise, basis.noise, rtol=1e-6)
    first, _ = refine_first(given, model=model(), min_scale=0.1)
    second, _ = refine_first(other, model=model(), min_scale=0.1)
    both = np.isfinite(first.a_A) & np.isfinite(second.a_A)
    assert both.sum() > 100
    assert np.median(np.abs(second.a_A - first.a_A)[both] / first.a_esd_A[both]) < 0.1


def test_unmeasured_channels_do_not_count():
    # limit: a model that lacks those channels gives the same
    given = measured()
    given.values[..., 40:60] = np.nan
    given.variance[..., 40:60] = np.nan
    found, seen = refine_first(given, model=model(), min_scale=0.1)
    assert np.isfinite(found.a_A[found.status == Status.CONVERGED]).all()
    number, _, _ = voxels()
    image = np.full(seen.shape, np.nan)
    image[seen] = found.a_A
    assert image[13, 8] == pytest.approx(model().a_A[number[13, 8]], abs=2e-3)


def test_what_does_not_fit_is_refused():
    given = measured()
    short = LatticeModel(
        a_A=model().a_A, templates=model().templates[:, 1:], linear=model().linear[:, 1:]
    )
    with pytest.raises(InputError, match="300 channels of the sinogram, not 299"):
        additive_results(given, model=short)
    with pytest.raises(InputError, match="300 channels of the sinogram, not 299"):
        additive_results(given, model=model(), spanned=[short])
    with pytest.raises(InputError, match="'guess'"):
        refine_first(given, model=model(), estimate="guess")
    with pytest.raises(InputError, match="variances"):
        refine_first(given, model=model(), reconstruct=lambda v, _: Reconstruction(v, None))
