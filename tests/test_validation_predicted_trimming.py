"""The bias of trimming against the analysis of noise-free scans, closed forms and drawn grains."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from forward.philox import stream_key
from inverse.integration import Integration
from inverse.reconstruct import reconstruct_counts
from inverse.recover import recover
from tests.gradient_particle import small
from validation.bounds import predict
from validation.bounds_optics import _COARSE, Rays, prepare_optics
from validation.experiment import ParticleList
from validation.predicted_grains import answers_of
from validation.predicted_trimming_bias import _refined, trimming_of
from validation.predicted_trimming_grains import SpottyRays
from validation.predicted_trimming_patterns import (
    TrimmedPatterns,
    _drawn_squares,
    trimmed_patterns,
)
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Beam

SIGMAS = 5.73
"""Of a normal variable: passed by chance once in 1e8."""


def trimmed(*, flux_per_s=1e12, grain_um=None, method="trimmed_5_5"):
    """The small experiment, bright, by an integration that trims."""
    plain = small(beam=Beam(flux_per_s=flux_per_s))
    particle = plain.sample.particles[0].model_copy(update={"grain_um": grain_um})
    recipe = plain.recipe.model_copy(update={"integration": Integration(method=method)})
    return plain.model_copy(
        update={"sample": ParticleList(particles=(particle,)), "recipe": recipe}
    )


@lru_cache(maxsize=4)
def optics(grain_um=None):
    return prepare_optics(trimmed(grain_um=grain_um))


@lru_cache(maxsize=1)
def noise_free():
    """A scan of spots as the simulator expects it, with the accuracy that predictions have."""
    experiment = trimmed(grain_um=0.05)
    quiet = experiment.effects.model_copy(update={"noise": False})
    return simulate(experiment.model_copy(update={"accuracy": _COARSE, "effects": quiet}))


@lru_cache(maxsize=1)
def maps():
    return recover(noise_free().raw)


@lru_cache(maxsize=1)
def all_voxels():
    """Expected patterns of every voxel in view, in the order of maps."""
    offsets_um = trimmed().scan.offsets_um
    iy, ix = np.nonzero(maps().status >= 0.0)
    seen = np.hypot(offsets_um[iy], offsets_um[ix]) <= offsets_um[-1] * (1.0 + 1e-12)
    iy, ix = iy[seen], ix[seen]
    found = trimmed_patterns(
        optics(0.05), scan=trimmed().scan, x_um=offsets_um[ix], y_um=offsets_um[iy]
    )
    return iy, ix, found


# Patterns


def test_expected_patterns_are_the_reconstruction_of_a_noise_free_scan():
    # Truth: the analysis's own back projection, and variance, of the simulator's expectation; in
    # single precision. Trimming takes something off: patterns by the plain mean are others.
    raw, (iy, ix, found) = noise_free().raw, all_voxels()
    image = reconstruct_counts(
        raw.counts, ray_gain=1.0 / raw.transmitted, channel_gain=optics(0.05).channel_gain,
        angles_rad=raw.scan.angles_rad, step_um=raw.scan.step_um, variance=raw.variance,
    )  # fmt: skip
    top = np.abs(found.kept).max()
    assert found.kept == pytest.approx(image.values[iy, ix], abs=1e-5 * top)
    assert found.variance == pytest.approx(image.variance[iy, ix], rel=1e-3)
    assert np.abs(found.plain - found.kept).max() > 0.01 * top


def test_scatter_of_stated_variances_is_that_of_drawn_ones():
    # Truth: values drawn as u·Poisson(m/u) and the variance that goes with them, v/m times the
    # value, summed with W². A standard deviation of n values scatters by 1/√(2n), somewhat more
    # where they are skew: their kurtosis is below 1 for the 20 rays here.
    rng, n = np.random.default_rng(5), 20_000
    mean, unit = rng.uniform(0.5, 3.0, size=20), rng.uniform(0.5, 2.0, size=20)
    weights = rng.normal(size=20)
    drawn = unit * rng.poisson(mean / unit, size=(n, 20))
    stated = (unit * drawn) @ weights**2
    variance, one = (unit * mean)[:, None], np.ones((20, 1))
    rays = Rays(variance, counts=mean[:, None], kept=mean[:, None], photons=one[:, 0], path_um=one)
    squares = weights**4 @ _drawn_squares(rays, one)
    expected = np.sqrt(squares[0]) / (weights**2 @ variance)[0]
    assert stated.std() / stated.mean() == pytest.approx(
        expected, rel=1.5 * SIGMAS / np.sqrt(2 * n)
    )


def test_the_share_that_is_not_known_is_that_of_weights():
    # By hand: weights 4 and 1 of channels that are known and are not, then all of nothing.
    variance = np.array([[0.25, 1.0, 0.0], [0.0, 0.0, 0.0]])
    scatter = np.array([[0.5, 2.0, 0.0], [0.0, 0.0, 0.0]])
    nothing = np.zeros((2, 3))
    found = TrimmedPatterns(nothing, nothing, variance, scatter, np.zeros((0, 0, 0), np.float32))
    assert found.unknown_share == pytest.approx(0.5 * (0.2 + 1.0))


# Bias


def test_the_refinement_of_expected_patterns_is_that_of_the_noise_free_scan():
    # Truth: the whole analysis of the simulator's expectation, shared parameters and all. Single
    # precision, and where the search for shared parameters stops, leave 1e-6 Å.
    iy, ix, patterns = all_voxels()
    _, found = _refined(optics(0.05), patterns.kept, patterns.variance)
    expected = maps().a_A[iy, ix]
    assert np.array_equal(np.isfinite(found.a_A), np.isfinite(expected))
    seen = np.isfinite(expected)
    assert seen.sum() > 60
    assert found.a_A[seen] == pytest.approx(expected[seen], abs=2e-6)
    # There was something to predict.
    _, plain = _refined(optics(0.05), patterns.plain, patterns.variance)
    assert np.nanmax(np.abs(found.a_A - plain.a_A)) > 2e-5


def test_of_many_counts_and_no_spots_nothing_is_biased():
    # Limit: pixels of a smooth ring that spread evenly about their mean have the same trimmed mean.
    # What counting adds falls with 1/λ, from 1e12 to 1e15 photons by a thousand.
    bright = predict(trimmed(flux_per_s=1e15), n_voxels=20)
    some = predict(trimmed(), n_voxels=20)
    assert bright.typical_A["trimming"] < 0.1 * some.typical_A["trimming"]
    assert some.bias_A == pytest.approx(
        some.blur_A + some.parallax_A + some.truncation_A + some.trimming_A
    )


def test_the_plain_mean_has_no_such_bias():
    # Definition.
    found = predict(small(), n_voxels=20)
    assert not found.trimming_A.any()
    assert found.typical_A["trimming"] == 0.0


# Crystallites


def test_grains_without_trimming_are_those_of_the_plain_mean():
    # Law: k = w = 1 leaves Σ path (R · p)²/(g s), linear in the path.
    plain = replace(optics(0.05), statistics=None)
    levers = np.random.default_rng(1).normal(size=(2, plain.channel_gain.size))
    path_um = np.random.default_rng(2).uniform(0.0, 5.0, (3, plain.virtual.grid.n_states))
    rings, seen = plain.rings.rings, plain.rings.seen.astype(float)
    each = answers_of(plain, levers) ** 2 / (rings.grains_per_um * seen)
    expected = path_um[:, rings.state] @ each.T
    found = SpottyRays.of(plain, levers).variance(path_um.astype(np.float32))
    assert found == pytest.approx(expected, rel=1e-4)


def test_grains_of_trimmed_rings_scatter_as_drawn_ones_do():
    # Truth: rings drawn and trimmed by the forward side, 4000 exposures of one ray. Its lines have
    # some 40 grains: the first order is right to a few per cent. A variance of n values, nearly
    # normal, scatters by √(2/n).
    found, n = optics(0.2), 4000
    path_um = 0.5 * found.rays(trimmed().scan, 0).path_um[12:13]
    lever = found.slope_at(np.array([8.05]))
    expected = SpottyRays.of(found, lever).variance(path_um)[0, 0]
    patterns = np.zeros((n, found.channel_gain.size), np.float32)
    every = np.repeat(path_um, n, axis=0)
    replace(found.rings, noise=True).add_to(
        patterns, path_um=every, moment_um2=np.zeros_like(every), photons=np.ones(n),
        key=stream_key(411, 0), first_frame=0, statistics=found.statistics,
    )  # fmt: skip
    answers = (patterns * found.channel_gain) @ lever[0]
    assert np.var(answers) == pytest.approx(expected, rel=SIGMAS * np.sqrt(2 / n) + 0.05)
    # There was something to trim.
    whole = SpottyRays.of(replace(found, statistics=None), lever).variance(path_um)[0, 0]
    assert whole > 1.5 * expected


# Refusals


@pytest.mark.parametrize(
    ("flux_per_s", "told"), [(1e9, "nothing"), (6e11, "is not that of their counts")]
)
def test_counts_too_few_are_refused(flux_per_s, told):
    # Limit: of a few photons to a ring nothing is kept; of some more, most rays say zero ± zero.
    with pytest.raises(InputError, match=told):
        predict(trimmed(flux_per_s=flux_per_s), n_voxels=20)


def test_voxels_of_which_nothing_is_left_are_left_out():
    # Law: all of a prediction is finite, and of one length. Outside the particle, 10 µm from its
    # middle, nothing is to be found.
    found = predict(trimmed(grain_um=0.2), optics=optics(0.2), n_voxels=40)
    assert all(np.isfinite(getattr(found, f"{name}_A")).all() for name in found.typical_A)
    assert found.row.size == found.trimming_A.size == found.weight_fraction_noise.shape[0] > 0
    x_um, y_um = np.append(found.column - 10.0, -8.0), np.append(found.row - 10.0, 1.0)
    told = trimming_of(optics(0.2), scan=trimmed().scan, x_um=x_um, y_um=y_um)
    assert np.isnan(told.bias_A[-1])
    assert np.isnan(told.grains_A[-1])
    assert np.isfinite(told.bias_A[:-1]).mean() > 0.5
