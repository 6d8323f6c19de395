"""Bounds against closed forms, laws, and estimators whose scatter is measured."""

from functools import lru_cache

import numpy as np
import pytest

from forward.grains import Grains
from inverse.filters import filter_matrix
from inverse.maps import read_maps
from inverse.reconstruct import filtered_back_projection
from inverse.recover import recover
from inverse.refine import LatticeModel, refine
from tests.gradient_particle import small
from validation import bounds_rays
from validation.bounds import error_over_bound, predict, region_bound
from validation.bounds_fisher import bound, information, levers
from validation.bounds_optics import prepare_optics
from validation.bounds_raw import lengths_um
from validation.bounds_rays import Places, mean_power, projection_weights, uniform_variance
from validation.experiment import ParticleList
from validation.run import run
from validation.steps import simulate
from validation.truthfile import read_truth
from xrdct.errors import InputError
from xrdct.instrument import Beam
from xrdct.scan import Scan

SIGMAS = 5.73
"""Of a normal variable: passed by chance once in 1e8."""


@lru_cache(maxsize=1)
def optics():
    return prepare_optics(small())


def scan_of(**changes):
    return small().scan.model_copy(update=changes)


# Angles that stand for all


def test_the_power_of_interpolation_is_the_closed_form():
    # Closed form: that of `uniform_variance` for a voxel at the fraction f between two rays; 4096
    # taps miss 1/(4096 π²) of the ramp at frequency zero, and squares of the rest.
    scan = Scan(n_offsets=41, step_um=0.5, n_angles=1)
    for part in (0.0, 0.2, 0.5):
        place = np.array([0.5 * (3.0 + part)])
        found = mean_power(
            place, np.zeros(1), scan=scan, angles_rad=np.array([0.0]), filter_name="ramp"
        )
        expected = uniform_variance(scan=scan, ray_variance=1.0, fraction=part)
        assert np.pi**2 / scan.step_um**2 * found == pytest.approx(expected, rel=1e-4)
    # Its mean over places all along a step, by the midpoint rule.
    places = 0.5 * (np.arange(1000) + 0.5) / 1000
    every = mean_power(
        places, 0 * places, scan=scan, angles_rad=np.array([0.0]), filter_name="ramp"
    )
    assert every.mean() == pytest.approx(1 / 18 - 1 / (6 * np.pi**2), rel=1e-4)


def test_angles_looked_at_stand_for_all(monkeypatch):
    # Truth: the sum over all 180 angles. 48 of them hold 0 and 90° as often as all do, where rays
    # run along rows of voxels; without :func:`mean_power` noise would be 0.5 to 1.5 % too large.
    # What is left are rays whose variance changes with rotation.
    scan = scan_of(n_angles=180)
    some = predict(small(scan=scan), optics=optics())
    monkeypatch.setattr(bounds_rays, "_LOOKED_AT", 180)
    every = predict(small(scan=scan), optics=optics())
    assert some.typical_A["noise"] == pytest.approx(every.typical_A["noise"], rel=5e-3)
    assert some.noise_A == pytest.approx(every.noise_A, rel=0.03)


# Fisher information


def test_the_bound_of_a_gaussian_peak_is_the_known_one():
    # Closed form: the position of a peak A·G(x − x₀; σ) in noise of density n² per unit of x has
    # the variance 4 √π σ³ n²/A²; of N photons without background, Poisson, σ²/N. The sums over a
    # grid of σ/5 are those of integrals to 1e-15 (Poisson's summation), ±8σ leave out 1e-14.
    sigma, amplitude, noise = 1.7, 40.0, 0.3
    x = np.arange(-8 * sigma, 8 * sigma, sigma / 5)
    peak = amplitude * np.exp(-0.5 * (x / sigma) ** 2) / np.sqrt(2 * np.pi) / sigma
    slopes = np.stack([peak * x / sigma**2, peak / amplitude])[None]
    white = np.full((1, x.size), noise**2 / (x[1] - x[0]))
    found = bound(slopes, variance=white)[0]
    assert found[0, 0] == pytest.approx(4 * np.sqrt(np.pi) * sigma**3 * noise**2 / amplitude**2)
    assert found[1, 1] == pytest.approx(2 * np.sqrt(np.pi) * sigma * noise**2)
    counted = (peak * (x[1] - x[0]))[None]
    per_channel = slopes * (x[1] - x[0])
    photons = bound(per_channel, variance=counted)[0]
    assert photons[0, 0] == pytest.approx(sigma**2 / amplitude, rel=1e-9)
    assert photons[1, 1] == pytest.approx(amplitude, rel=1e-9)


def test_nuisance_costs_and_never_helps():
    # Law: (I⁻¹)_aa ≥ 1/I_aa, with equality for parameters that do not mix.
    rng = np.random.default_rng(1)
    slopes = rng.normal(size=(5, 4, 30))
    variance = rng.uniform(0.5, 2.0, size=(5, 30))
    joint = bound(slopes, variance=variance)
    alone = 1.0 / np.diagonal(information(slopes, variance=variance), axis1=1, axis2=2)
    assert np.all(np.diagonal(joint, axis1=1, axis2=2) > alone)
    # Law: levers answer each slope with its own parameter, and spread noise as the bound says.
    lever = levers(slopes, variance=variance)
    assert lever @ np.swapaxes(slopes, 1, 2) == pytest.approx(np.tile(np.eye(4), (5, 1, 1)))
    spread = (lever * variance[:, None]) @ np.swapaxes(lever, 1, 2)
    assert spread == pytest.approx(joint)


def test_channels_without_variance_tell_nothing():
    # Limit: leaving them out is the same.
    rng = np.random.default_rng(2)
    slopes, variance = rng.normal(size=(1, 3, 20)), rng.uniform(0.5, 2.0, size=(1, 20))
    variance[0, 5], variance[0, 6] = 0.0, np.nan
    kept = np.setdiff1d(np.arange(20), [5, 6])
    expected = bound(slopes[:, :, kept], variance=variance[:, kept])
    assert bound(slopes, variance=variance) == pytest.approx(expected)


def test_parameters_that_cannot_be_told_apart_are_refused():
    slopes = np.ones((1, 2, 10))
    with pytest.raises(InputError, match="told apart"):
        bound(slopes, variance=np.ones((1, 10)))
    with pytest.raises(InputError, match="does not change the pattern"):
        bound(np.zeros((1, 1, 10)), variance=np.ones((1, 10)))
    with pytest.raises(InputError, match="must be"):
        bound(slopes, variance=np.ones((1, 9)))


def test_the_refinement_reaches_the_bound_and_no_more():
    # Truth: scatter of 2000 fits of a peak on a background in normal noise, whose estimator is
    # asymptotically efficient. A variance of n normal values scatters by √(2/n).
    n, x = 2000, np.linspace(-6.0, 6.0, 120)
    a_A = np.linspace(-1.0, 1.0, 81)
    peaks = np.exp(-0.5 * (x[None, :] - a_A[:, None]) ** 2)
    background = np.stack([np.ones(x.size), x / 6.0])
    model = LatticeModel(a_A=a_A, templates=peaks, linear=background)
    variance = 0.02**2 * (1.0 + 0.5 * (x > 0.0))
    true = np.exp(-0.5 * x**2) + 0.3
    noisy = true + np.sqrt(variance) * np.random.default_rng(3).normal(size=(n, x.size))
    same = np.tile(variance, (n, 1)).astype(np.float32)
    found = refine(noisy.astype(np.float32), variance=same, model=model)
    slope = x * np.exp(-0.5 * x**2)
    slopes = np.concatenate([np.stack([slope, np.exp(-0.5 * x**2)]), background])[None]
    least = bound(slopes, variance=variance[None])[0]
    allowed = SIGMAS * np.sqrt(2.0 / n)
    assert np.var(found.a_A) / least[0, 0] == pytest.approx(1.0, abs=allowed)
    assert np.var(found.scale) / least[1, 1] == pytest.approx(1.0, abs=allowed)


# From rays to voxels


@pytest.mark.parametrize("filter_name", ["ramp", "hann"])
def test_weights_are_those_of_the_reconstruction(filter_name):
    # Truth: the reconstruction's own variance of rays that differ, in single precision.
    scan = scan_of(n_angles=40)
    rng = np.random.default_rng(4)
    variance = rng.uniform(0.5, 2.0, size=(40, 21, 1)).astype(np.float32)
    image = filtered_back_projection(
        np.zeros_like(variance), angles_rad=scan.angles_rad, step_um=1.0, filter_name=filter_name,
        variance=variance,
    ).variance[:, :, 0]  # fmt: skip
    iy, ix = np.nonzero(np.isfinite(image))
    places = Places.single(scan.offsets_um[ix], scan.offsets_um[iy])
    total = np.zeros(iy.size)
    for line, weights in projection_weights(
        places, scan=scan, filter_name=filter_name, padding="edge"
    ):
        total += weights**2 @ variance[line, :, 0]
    assert total == pytest.approx(image[iy, ix], rel=1e-4)


def test_variance_of_a_uniform_disc_is_the_closed_form():
    # Closed form (Parseval) of an endless filter; beyond 60 offsets 2e-7 of its power is left.
    # Voxels on a row see all fractions: the mean over them is the closed mean, to the scatter of
    # 48 · 40 nearly even fractions.
    scan = Scan(n_offsets=161, step_um=0.8, n_angles=48)
    places = Places.single(np.linspace(-15.0, 15.0, 40), np.full(40, 0.37))
    total, closed = np.zeros(40), np.zeros(40)
    for line, weights in projection_weights(places, scan=scan, filter_name="ramp", padding="zero"):
        angle = scan.angles_rad[line]
        across = (places.x_um * np.cos(angle) + places.y_um * np.sin(angle)) / 0.8
        fractions = across - np.floor(across)
        closed += [uniform_variance(scan=scan, ray_variance=3.0, fraction=f) for f in fractions]
        total += 3.0 * np.sum(weights**2, axis=1)
    assert total == pytest.approx(closed / 48, rel=1e-5)
    assert total.mean() == pytest.approx(uniform_variance(scan=scan, ray_variance=3.0), rel=0.02)


def test_power_of_the_filter_is_the_closed_form():
    # Closed form: ∫f² df = 1/12 and ∫f² cos 2πf df = −1/(2π²) over |f| ≤ ½.
    middle = filter_matrix(2001, step_um=1.0, padding="zero")[1000]
    assert np.sum(middle**2) == pytest.approx(1 / 12, rel=1e-6)
    assert np.sum(middle[1:] * middle[:-1]) == pytest.approx(-1 / (2 * np.pi**2), rel=1e-6)


def test_a_voxel_crosses_rays_by_its_area():
    # Law: Σ length · step is the voxel's area wherever it lies, for a beam wider than the step.
    places = Places.single(np.array([0.0, 3.3, -2.2]), np.array([0.0, 1.1, -4.0]))
    for angle in (0.0, 0.4, 2.0):
        lengths = lengths_um(
            places, scan=scan_of(), angle_rad=angle, beam_fwhm_um=1.5,
            weight=np.array([1.0, 0.5, 2.0]),
        )  # fmt: skip
        # Poisson's summation: a Gaussian of σ = 0.64 steps misses 2 exp(−2π²σ²) = 7e-4.
        assert lengths.sum(axis=1) == pytest.approx([1.0, 0.5, 2.0], rel=8e-4)


def test_interlaced_scans_are_refused():
    with pytest.raises(InputError, match="not interlaced"):
        predict(small(scan=scan_of(interlaced=True)), optics=optics())


# Laws of scaling


def noise_of(**changes):
    return predict(small(scan=scan_of(**changes)), optics=optics(), n_voxels=40)


def test_noise_falls_with_the_root_of_the_exposure():
    # Law: counting, without any background that does not scale along; bias stays what it is.
    once, often = noise_of(), noise_of(exposure_s=0.04)
    assert once.noise_A / often.noise_A == pytest.approx(2.0, rel=1e-4)
    assert once.raw_A / often.raw_A == pytest.approx(2.0, rel=1e-4)
    assert once.weight_fraction_noise / 2 == pytest.approx(often.weight_fraction_noise, rel=1e-4)
    assert often.bias_A == pytest.approx(once.bias_A, abs=1e-9)


def test_noise_falls_with_the_root_of_the_angles():
    # Law: N projections of like rays. The 48 looked at of 192 are the 48 there were. At 0 and 90°,
    # 2 of 48 and of 192, a voxel has 2.15 times the mean variance: 1.15 (2/48 − 2/192)/2 = 1.8 %,
    # and some more or less where small fractions repeat at other angles.
    few, many = noise_of(), noise_of(n_angles=192)
    assert few.noise_A / many.noise_A == pytest.approx(2.0, rel=0.025)
    assert few.raw_A / many.raw_A == pytest.approx(2.0, rel=1e-6)


def test_noise_rises_with_finer_steps():
    # Law: rays of the same counts a step h apart have variance ∝ 1/h² in the image; the amount and
    # rays of voxels at other places differ by a few per cent, as does what is blurred.
    wide, fine = noise_of(), noise_of(step_um=0.5, n_offsets=41)
    ratio = np.median(fine.noise_A) / np.median(wide.noise_A)
    assert ratio == pytest.approx(2.0, rel=0.1)


def test_no_linear_estimator_beats_the_raw_bound():
    # Law (Cramér and Rao for a linear estimator with the answer A): noise ≥ A · raw bound.
    found = noise_of()
    assert np.all((found.answer > 0.1) & (found.answer < 0.8))
    assert np.all(found.noise_A / found.answer > found.raw_A)


# Regions


def test_regions_far_apart_are_independent():
    # Law: two voxels that share no ray's neighbourhood: variances of the mean add, and so do
    # informations of a shared parameter. Their rays come within two steps at two of 48 angles.
    label = np.full((21, 21), -1)
    label[10, 8], label[10, 15] = 0, 1
    alone = region_bound(small(), label, optics=optics())
    label[10, 15] = 0
    both = region_bound(small(), label, optics=optics())
    expected = 0.5 * np.sqrt(np.sum(alone.a_A**2))
    assert both.a_A[0] == pytest.approx(expected, rel=0.05)
    assert 1 / both.raw_A[0] ** 2 == pytest.approx(np.sum(1 / alone.raw_A**2), rel=0.1)


def test_regions_without_material_or_out_of_view_are_refused():
    label = np.full((21, 21), -1)
    label[0, 0] = 0
    with pytest.raises(InputError, match="seen by every projection"):
        region_bound(small(), label, optics=optics())
    label[0, 0], label[2, 10] = -1, 0
    with pytest.raises(InputError, match="must hold some"):
        region_bound(small(), label, optics=optics())


# Against a simulation


def test_errors_of_a_noisy_scan_are_those_of_the_bound():
    # Truth: the simulator's noise. Some hundred voxels, of which neighbours share noise over about
    # two voxels, are as good as 60: a ratio of RMS scatters by 1/√120. Biases add 5 % at most.
    experiment = small(beam=Beam(flux_per_s=3e8))
    measured = simulate(experiment)
    maps = recover(measured.raw)
    found = error_over_bound(maps, measured.truth, experiment)
    assert found is not None
    assert found.n_voxels > 60
    assert found.error_over_bound == pytest.approx(1.0, abs=SIGMAS / np.sqrt(120) + 0.05)
    stated = maps.a_esd_noise_A[measured.truth.interior & np.isfinite(maps.a_A)]
    # The refinement's own esd, propagated from the counts: 4 % by the scatter of its weights.
    assert found.bound_A == pytest.approx(np.sqrt(np.mean(stated**2)), rel=0.05)


def test_grains_scatter_by_their_volume():
    # Law: M grains vary by 1/√M, and M goes with 1/volume: grains twice as large scatter by √8.
    # That smaller ones reflect over a wider angle is 0.4 % of M beside a mosaic of 5 mrad.
    def grains_A(grain_um):
        sample = small().sample.particles[0].model_copy(update={"grain_um": grain_um})
        experiment = small(sample=ParticleList(particles=(sample,)), grains=Grains(mosaic_mrad=5.0))
        return predict(experiment, n_voxels=20).grains_A

    fine, coarse = grains_A(1.0), grains_A(2.0)
    assert coarse / fine == pytest.approx(np.sqrt(8.0), rel=0.01)
    assert fine.min() > 0.0
    assert not noise_of().grains_A.any()


def test_the_scorecard_puts_the_error_beside_the_bound(tmp_path):
    # Definition: the same function of maps and truth; of a scan that it refuses, why.
    folder, plain = tmp_path / "out", small()
    metrics = run(plain, folder)
    known = read_truth(folder / "truth.h5")
    found = error_over_bound(read_maps(folder / "maps.h5"), known.on_grid_of(plain.scan), plain)
    assert metrics["bound"]["error_over_bound"] == pytest.approx(found.error_over_bound)
    interlaced = plain.scan.model_copy(update={"interlaced": True})
    told = run(plain.model_copy(update={"scan": interlaced}), tmp_path / "interlaced")
    assert "interlaced" in told["bound"]["refused"]
