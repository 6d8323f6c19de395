"""Compressed patterns: what is kept, what is lost, and that reconstructing commutes with it."""

from functools import lru_cache

import numpy as np
import pytest

from inverse.compression import compression, ray_noise, residual
from inverse.iteration import scan_rays
from inverse.recipe import Recipe
from inverse.reconstruct import filtered_back_projection
from inverse.recover import model_builder
from inverse.refine import LatticeModel, refine
from inverse.shared import Shared
from inverse.sinogram import sinogram_of
from inverse.sirt import sirt
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

N_CHANNELS = 300


def generator(seed):
    return np.random.Generator(np.random.Philox(seed))


def peaks(n_channels=N_CHANNELS):
    """Twelve peaks that stretch apart with the lattice parameter, on a sloping background."""
    a_A = np.linspace(8.0, 8.2, 101)
    channel = np.arange(n_channels)
    centre = np.linspace(20, n_channels - 20, 12)[:, None] * (8.1 / a_A)[None, :]
    strength = np.linspace(3, 1, 12)[:, None, None]
    shape = np.exp(-0.5 * ((channel - centre[..., None]) / 2.5) ** 2)
    linear = np.stack([np.ones(n_channels), np.linspace(-1, 1, n_channels)])
    return LatticeModel(a_A=a_A, templates=(strength * shape).sum(axis=0), linear=linear)


def lines_of(model, *, seed=0, shape=(30, 21), noise=0.5):
    """Rays that are mixtures of the model's patterns in noise whose level differs between rays."""
    rng = generator(seed)
    amounts = rng.dirichlet(np.ones(len(model.a_A)), shape) * rng.uniform(20, 60, (*shape, 1))
    backgrounds = rng.uniform(1, 3, (*shape, len(model.linear)))
    clean = amounts @ model.templates + backgrounds @ model.linear
    sigma = noise * np.linspace(0.5, 2.0, clean.shape[2]) * rng.uniform(0.5, 1.5, (*shape, 1))
    return clean, clean + sigma * rng.standard_normal(clean.shape), np.square(sigma)


@lru_cache(maxsize=1)
def scan():
    """A scan with all effects: two particles of different lithiation, 41 × 64 points."""
    particles = (
        Particle(centre_um=(-6.0, 2.0, 0.0), diameter_um=16.0, x=0.9),
        Particle(centre_um=(9.0, -4.0, 0.0), diameter_um=12.0, x=0.4),
    )
    experiment = Experiment(
        sample=ParticleList(particles=particles),
        scan=Scan(n_offsets=41, step_um=1.0, n_angles=64),
        geometry=Geometry(n_channels=700, two_theta_min_deg=2.5, two_theta_max_deg=12.0),
        beam=Beam(flux_per_s=1e11),
    )
    raw = simulate(experiment).raw
    recipe = Recipe.model_validate(raw.recipe)
    shared = Shared(recipe.phase.crystallite_size_nm, recipe.phase.strain)
    return sinogram_of(raw), model_builder(raw, recipe)(shared)


def test_the_model_s_patterns_come_back_to_within_the_stated_loss():
    """Definition, at lattice parameters between those of the grid too: any mixture of templates and
    background, whitened, loses no more than the loss of each, and noise nothing of these."""
    model = peaks()
    clean, noisy, variance = lines_of(model)
    for loss in (0.1, 0.01, 0.001):
        built = compression(noisy, variance=variance, model=model, loss=loss)
        assert built.loss <= loss
        returned = built.expand(built.compress(clean))
        lost = np.linalg.norm((clean - returned) / built.noise, axis=2)
        # The background is kept exactly; of the rest no ray holds more than 60 µm.
        longest = 60 * np.linalg.norm(model.templates / built.noise, axis=1).max()
        assert lost.max() <= loss * longest + 1e-5 * longest
    assert len(built.whitened) < 70


def test_fewer_coefficients_are_kept_where_more_may_be_lost():
    model = peaks()
    _, noisy, variance = lines_of(model)
    sizes = [
        len(compression(noisy, variance=variance, model=model, loss=loss).whitened)
        for loss in (0.3, 0.1, 0.03, 0.01)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_reconstructions_commute_with_expansion():
    """Law: both are linear, one over rays, one over channels. Single precision over 64 angles."""
    sinogram, model = scan()
    built = compression(sinogram.values, variance=sinogram.variance, model=model)
    coefficients = built.compress(sinogram.values)
    more = {"angles_rad": sinogram.angles_rad, "step_um": sinogram.step_um}
    rays = scan_rays(sinogram.values.shape, **more)
    for method in (
        lambda lines: filtered_back_projection(lines, **more).values,
        lambda lines: sirt(lines, rays=rays, iterations=5).values,
    ):
        after = built.expand(method(coefficients))
        before = method(built.expand(coefficients))
        scale = np.nanmax(np.abs(before), axis=(0, 1))
        np.testing.assert_array_less(np.nanmax(np.abs(after - before), axis=(0, 1)), 1e-4 * scale)


def test_the_refined_lattice_parameter_moves_by_less_than_a_twentieth_of_its_esd():
    """Law (Schwarz; module docstring), on simulated data with all effects, grains and noise: the
    same voxels refined from all channels, from expanded and from bare coefficients, with the same
    weights. The root mean square over the voxels, and nearly all of them one by one."""
    sinogram, model = scan()
    more = {"angles_rad": sinogram.angles_rad, "step_um": sinogram.step_um}
    built = compression(sinogram.values, variance=sinogram.variance, model=model)
    full = filtered_back_projection(sinogram.values, **more).values
    images = filtered_back_projection(built.compress(sinogram.values), **more).values
    noise = ray_noise(built, sinogram.variance)[..., None]
    of_pixel = filtered_back_projection(noise, variance=noise, **more).variance
    seen = np.isfinite(images[..., 0])
    spread = np.repeat(of_pixel[seen], images.shape[2], axis=1)
    whitened = of_pixel[seen] * np.square(built.noise).astype(np.float32)
    whole = refine(full[seen], variance=whitened, model=model, min_scale=0.2)
    expanded = refine(built.expand(images[seen]), variance=whitened, model=model, min_scale=0.2)
    bare = refine(images[seen], variance=spread, model=built.model(model), min_scale=0.2)
    for fit in (expanded, bare):
        both = (whole.status == 0) & (fit.status == 0)
        assert np.count_nonzero(both) > 200
        assert np.count_nonzero(both) >= 0.99 * np.count_nonzero(whole.status == 0)
        shift = (fit.a_A - whole.a_A)[both] / whole.a_esd_A[both]
        assert np.sqrt(np.mean(shift**2)) < 1 / 20
        assert np.mean(np.abs(shift) < 3 / 20) > 0.99
        np.testing.assert_allclose(fit.a_esd_A[both], whole.a_esd_A[both], rtol=0.02)


def test_coefficients_have_the_stated_variance():
    """Law of large numbers: noise alone, 630 rays: the variance over the rays of coefficient over
    its stated deviation is 1 ± √(2/630); 5 σ of about 40. Where all channels share the level of
    their ray, each coefficient's variance is the ray's."""
    model = peaks()
    _, noisy, variance = lines_of(model)
    clean_noise = np.sqrt(variance) * generator(3).standard_normal(variance.shape)
    built = compression(noisy, variance=variance, model=model)
    stated = built.compress_variance(variance)
    ratio = np.mean(np.square(built.compress(clean_noise)) / stated, axis=(0, 1))
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / 630)
    np.testing.assert_allclose(
        stated, np.repeat(ray_noise(built, variance)[..., None], stated.shape[2], 2), rtol=1e-4
    )


def test_the_residual_of_noise_is_one_and_of_a_foreign_phase_is_not():
    """χ² by degree of freedom: 1 ± √(2/dof) in each ray (5 σ), ± √(2/630) in each channel (5 σ);
    a peak that the model does not contain shows in its channel, and in the mean of the rays."""
    model = peaks()
    _, noisy, variance = lines_of(model)
    built = compression(noisy, variance=variance, model=model, loss=1e-3)
    left = residual(built, noisy, variance=variance)
    assert left.uncertainty == pytest.approx(np.sqrt(2 / (N_CHANNELS - len(built.whitened))))
    assert np.abs(left.of_rays - 1).max() < 5.5 * left.uncertainty
    assert np.nanmax(np.abs(left.of_channels - 1)) < 5.5 * np.sqrt(2 / 630)
    noisy[..., 150:154] += 1.0
    left = residual(built, noisy, variance=variance)
    assert 148 <= int(np.nanargmax(left.of_channels)) <= 156
    assert left.of_rays.mean() > 1 + 5 * left.uncertainty / np.sqrt(630)


def test_a_search_finds_what_the_model_does_not_contain_and_nothing_in_noise():
    """Definition: one more direction for one foreign pattern; none in noise (5 σ: one in 1e6)."""
    model = peaks()
    _, noisy, variance = lines_of(model, shape=(60, 50))
    quiet = compression(noisy, variance=variance, model=model, search=True)
    assert len(quiet.whitened) == quiet.n_model
    amount = generator(5).uniform(0, 6, (60, 50, 1))
    foreign = np.exp(-0.5 * ((np.arange(N_CHANNELS) - 151) / 2.0) ** 2)
    built = compression(noisy + amount * foreign, variance=variance, model=model, search=True)
    assert len(built.whitened) == built.n_model + 1
    white = foreign / built.noise
    kept = built.whitened.T @ (built.whitened @ white)
    assert np.linalg.norm(white - kept) < 0.1 * np.linalg.norm(white)
    np.testing.assert_allclose(
        built.whitened @ built.whitened.T, np.eye(len(built.whitened)), atol=1e-6
    )


def test_channels_without_numbers_stay_nan_and_take_no_part():
    model = peaks()
    _, noisy, variance = lines_of(model)
    noisy[..., 40:50] = np.nan
    variance[..., 40:50] = np.nan
    built = compression(noisy, variance=variance, model=model)
    coefficients = built.compress(noisy)
    assert np.isfinite(coefficients).all()
    expanded = built.expand(coefficients)
    assert np.isnan(expanded[..., 40:50]).all()
    assert np.isfinite(np.delete(expanded, np.s_[40:50], axis=2)).all()
    again = built.compress(expanded)
    np.testing.assert_allclose(again, coefficients, atol=1e-4 * np.abs(coefficients).max())
    assert np.isnan(residual(built, noisy, variance=variance).of_channels[45])
    noisy[3, 4] = np.nan
    coefficients = built.compress(noisy)
    assert np.isnan(coefficients[3, 4]).all()
    assert np.isnan(coefficients).sum() == len(built.whitened)
    noisy[5, 6, 100] = np.nan
    with pytest.raises(InputError, match="but 1 hold them in some"):
        built.compress(noisy)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"variance": np.ones((30, 21, 5))}, "variance must have the shape"),
        ({"model": None}, "must have a model, or search the data"),
        ({"model": peaks(100)}, "the model must have the 300 channels"),
        ({"variance": np.zeros((30, 21, N_CHANNELS))}, "must have channels that hold numbers"),
        ({"loss": 0.0}, "loss must be above 0 and below 1, not 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, rule):
    model = peaks()
    _, noisy, variance = lines_of(model)
    with pytest.raises(InputError, match=rule):
        compression(noisy, **({"variance": variance, "model": model} | change))
