"""Stripes of a sinogram: planted ones are removed, a sinogram without any is left as it is."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy.ndimage import median_filter

from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.sinogram import Sinogram, sinogram_of
from inverse.stripes import _running_median, stripe_gains, without_stripes
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

N_ANGLES, N_OFFSETS, N_CHANNELS = 120, 81, 40
NOISE = 0.01


def sinogram(values, *, variance):
    values = np.asarray(values, np.float32)
    return Sinogram(
        values=values,
        variance=np.broadcast_to(np.float32(variance), values.shape).copy(),
        transmission=np.ones(values.shape[:2]),
        angles_rad=np.arange(len(values)) * np.pi / len(values),
        step_um=1.0,
        axis_offset_um=0.0,
        two_theta_rad=np.linspace(0.05, 0.2, values.shape[2]),
        distance_m=0.7,
    )


def electrode(seed, *, noise=NOISE):
    """Discs with lines of their own places, on scattering that is smooth in every way."""
    rng = np.random.Generator(np.random.Philox(seed))
    omega = np.arange(N_ANGLES)[:, None] * np.pi / N_ANGLES
    t, channel = np.arange(N_OFFSETS) - 0.5 * (N_OFFSETS - 1), np.arange(N_CHANNELS)
    values = (1.0 + 0.2 * np.cos(t / 30.0))[:, None] * (1.0 + 0.3 * channel / N_CHANNELS)
    values = np.repeat(values[None], N_ANGLES, axis=0)
    for _disc in range(150):
        x, y = rng.uniform(-60.0, 60.0, 2)
        radius, line = rng.uniform(1.0, 6.0), rng.uniform(18.0, 22.0)
        distance = t - x * np.cos(omega) - y * np.sin(omega)
        chord = np.sqrt(np.maximum(radius**2 - distance**2, 0.0))
        values += 0.02 * chord[:, :, None] * np.exp(-((channel - line) ** 2) / 8.0)
    values += noise * rng.normal(size=values.shape)
    return sinogram(values, variance=noise**2), rng


def planted(clean, *, projection=None, offset=None):
    gain = np.ones(clean.values.shape[:2])
    if projection is not None:
        gain *= projection[:, None]
    if offset is not None:
        gain *= offset
    return replace(clean, values=(clean.values * gain[:, :, None]).astype(np.float32))


def test_a_sinogram_without_stripes_is_left_alone():
    # At four standard errors 201 rays have 201 · 6e-5 false alarms on average, ten times that where
    # the error is itself estimated (eight parts, pooled): more than 4 with 1e-6.
    clean, _ = electrode(1)
    gains = stripe_gains(clean)
    assert (gains.projection != 1.0).sum() + (gains.offset != 1.0).sum() <= 4
    # what passes is small: below the noise of one channel of one ray
    assert max(np.ptp(gains.projection), np.ptp(gains.offset)) < 0.2 * NOISE


def test_planted_gains_are_recovered():
    # truth: planted; the two standard errors are those stated, 5.3 leave out 1e-7
    clean, _ = electrode(2)
    projection, offset = np.ones(N_ANGLES), np.ones(N_OFFSETS)
    projection[[0, 40, 41, 100]] = [1.02, 0.99, 0.98, 1.01]
    offset[[5, 30, 50, 51, 80]] = [1.01, 0.99, 1.01, 1.02, 1.02]
    gains = stripe_gains(planted(clean, projection=projection, offset=offset))
    assert np.abs(gains.projection[1:] / projection[1:] - 1.0).max() < 5.3 * gains.projection_esd
    assert np.abs(gains.offset[1:-1] / offset[1:-1] - 1.0).max() < 5.3 * gains.offset_esd
    # at an end the curve is extrapolated: by a quadratic through the 10 on one side
    assert np.abs(gains.projection[0] / projection[0] - 1.0) < 12.0 * gains.projection_esd
    assert np.abs(gains.offset[-1] / offset[-1] - 1.0) < 12.0 * gains.offset_esd
    assert max(gains.projection_esd, gains.offset_esd) < 1e-3


def test_dense_stripes_lose_all_but_their_smooth_part():
    # truth: planted. What a quadratic over 21 rays makes of white gains, √0.11 of them, stays; its
    # second differences are those of the weights of the fit, below a tenth of the gains'.
    clean, rng = electrode(3)
    offset = np.exp(0.01 * rng.normal(size=N_OFFSETS))
    gains = stripe_gains(planted(clean, offset=offset))
    left = np.log(gains.offset / offset)
    assert left.std() < 1.5 * np.sqrt(0.11) * 0.01
    assert np.diff(left, 2)[5:-5].std() < 0.1 * np.diff(np.log(offset), 2)[5:-5].std()


def test_gains_do_not_depend_on_the_unit():
    # law: a gain is relative
    clean, _ = electrode(4)
    offset = np.ones(N_OFFSETS)
    offset[40] = 1.03
    given = planted(clean, offset=offset)
    other = replace(given, values=given.values * np.float32(2.0**20))
    np.testing.assert_allclose(stripe_gains(other).offset, stripe_gains(given).offset, rtol=1e-6)


def test_gains_are_divided_out_with_their_uncertainty():
    # law: var(y/g) = var y/g² + y² σ_g² to first order; channels that are not measured stay so
    clean, _ = electrode(5)
    clean.values[..., 3] = np.nan
    clean.variance[..., 3] = np.nan
    offset = np.ones(N_OFFSETS)
    offset[40] = 1.05
    given = planted(clean, offset=offset)
    gains = stripe_gains(given)
    found = without_stripes(given)
    assert np.isnan(found.values[..., 3]).all()
    assert np.isfinite(np.delete(found.values, 3, axis=2)).all()
    ray, g = given.values[60, 40, 10], gains.projection[60] * gains.offset[40]
    assert found.values[60, 40, 10] == pytest.approx(ray / g, rel=1e-6)
    expected = NOISE**2 / g**2 + (ray / g * gains.offset_esd) ** 2
    assert found.variance[60, 40, 10] == pytest.approx(expected, rel=1e-2)


def test_empty_rays_have_no_gain():
    # limit: beside a sample in empty space, nothing can be compared
    t = np.arange(N_OFFSETS) - 0.5 * (N_OFFSETS - 1)
    lines = 2 * np.sqrt(np.maximum(20.0**2 - t**2, 0.0))
    values = np.repeat(lines[None, :, None], N_ANGLES, axis=0) * np.ones(N_CHANNELS)
    offset = np.ones(N_OFFSETS)
    offset[45] = 1.02
    gains = stripe_gains(planted(sinogram(values, variance=1.0), offset=offset))
    assert np.all(np.isfinite(gains.offset))
    assert np.all(gains.offset[np.abs(t) >= 20] == 1.0)
    assert np.all(gains.projection == pytest.approx(1.0, abs=1e-5))


def permuted_columns(seed):
    """Every offset has the same values, in an order of its own."""
    rng = np.random.Generator(np.random.Philox(seed))
    values = rng.permuted(
        np.repeat(rng.normal(size=(N_ANGLES, 1, 3)), N_OFFSETS, axis=1), axis=0
    ).astype(np.float32)
    return sinogram(values, variance=1.0), rng


def test_sorting_leaves_equal_distributions_and_removes_any_stripe():
    # closed form: the median of equal ranks is that rank; one offset of 21 does not move it,
    # whatever rising function of its values it holds
    clean, _ = permuted_columns(6)
    np.testing.assert_array_equal(without_stripes(clean, method="sorting").values, clean.values)
    values = clean.values.copy()
    values[:, 30] = 1.5 * values[:, 30] + 0.7
    values[:, 50] = values[:, 50] ** 3
    found = without_stripes(replace(clean, values=values), method="sorting", workers=2)
    np.testing.assert_array_equal(found.values, clean.values)


def test_sorting_keeps_unmeasured_channels():
    clean, _ = permuted_columns(7)
    clean.values[..., 1] = np.nan
    found = without_stripes(clean, method="sorting")
    np.testing.assert_array_equal(found.values, clean.values)


@lru_cache(maxsize=1)
def few_particles():
    """Four particles, a detector without stripes."""
    places = (((0.0, 0.0), 9.0), ((8.0, 2.0), 6.0), ((-5.0, -7.0), 5.5), ((-5.0, 6.0), 5.0))
    particles = [
        Particle(centre_um=(*xy, 0.0), diameter_um=wide, x={"core": 0.98, "surface": 0.85})
        for xy, wide in places
    ]
    return simulate(
        Experiment(
            sample=ParticleList(particles=tuple(particles)), seed=1,
            scan=Scan(n_offsets=31, step_um=1.0, n_angles=48), beam=Beam(flux_per_s=1e11),
            geometry=Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
        ),
        workers=1,
    )  # fmt: skip


@lru_cache(maxsize=3)
def few_rms_mA(stripes):
    """Interior RMS error of their maps."""
    raw = few_particles().raw
    recipe = Recipe.model_validate(dict(raw.recipe) | {"sinogram": {"stripes": stripes}})
    maps = recover(raw, recipe=recipe, workers=1)
    return 1e3 * lattice_metrics(maps, few_particles().truth)["interior"]["rms_A"]


def over_noise(stripes):
    """Change of a sinogram without stripes over its noise, RMS of all measured values."""
    before = sinogram_of(few_particles().raw)
    change = without_stripes(before, method=stripes).values - before.values
    known = before.variance > 0.0
    return float(np.sqrt(np.mean(change[known] ** 2 / before.variance[known])))


def test_gains_leave_few_particles_without_stripes_about_alone():
    # Definition: values change by less than their noise, and what is added to the error of maps is
    # less than what there is, √2 in quadrature. (With four particles, rays of one offset do stand
    # out by chance of where these lie; measured: 0.2 of the noise, 0.90 mÅ for 0.84.)
    assert over_noise("gains") < 1.0
    assert few_rms_mA("gains") < np.sqrt(2.0) * few_rms_mA("none")


def test_sorting_does_not():
    # The same limits, so that nobody takes it for a precaution (measured: 29 times the noise,
    # 4.8 mÅ).
    assert over_noise("sorting") > 1.0
    assert few_rms_mA("sorting") > np.sqrt(2.0) * few_rms_mA("none")


@pytest.mark.parametrize("reach", [2, 10, 39])
def test_running_median(reach):
    # independent package: scipy, with mirrored ends, with ties
    rng = np.random.Generator(np.random.Philox(8))
    values = rng.integers(0, 30, N_OFFSETS).astype(np.float32)
    found, part = np.empty(N_OFFSETS, np.float32), np.empty(2 * reach + 1, np.float32)
    _running_median(values, reach, part, found)
    np.testing.assert_array_equal(found, median_filter(values, 2 * reach + 1, mode="mirror"))


@pytest.mark.parametrize(("window", "method"), [(4, "gains"), (3, "sorting"), (83, "sorting")])
def test_windows_that_are_none_are_refused(window, method):
    clean, _ = permuted_columns(9)
    with pytest.raises(InputError, match=f"window .* not {window}"):
        without_stripes(clean, method=method, window=window)


def test_unknown_methods_are_refused():
    clean, _ = permuted_columns(9)
    with pytest.raises(InputError, match="'wavelet'"):
        without_stripes(clean, method="wavelet")
