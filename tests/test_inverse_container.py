"""The container of the sample: found in a wide scan, taken out of all, and nothing but it."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import median_filter

from forward.cell import cell_library
from forward.settings import Effects
from inverse.absorption import attenuation_map, corrected_for_absorption
from inverse.chain import prepared_sinogram
from inverse.recipe import Recipe
from inverse.reconstruct import filtered_back_projection
from inverse.sinogram import Sinogram, sinogram_of
from inverse.surroundings import (
    air_pattern,
    container_of,
    housing_mask,
    without_constant,
    without_container,
)
from inverse.truncation import without_outside
from phantoms.cell import Cell
from phantoms.cell_materials import substance_names
from phantoms.library import Electrode
from validation.experiment import Experiment
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Geometry
from xrdct.scan import Scan

CHANNELS = np.arange(120)
HALO = 1.0 + np.exp(-0.5 * ((CHANNELS - 50) / 12.0) ** 2)
LINES = sum(20.0 * np.exp(-0.5 * ((CHANNELS - c) / 1.4) ** 2) for c in (20, 47, 90))
COMPTON = 0.5 + 0.01 * CHANNELS


def scan(n=81, step=20.0, n_angles=60, *, wall=1.0):
    """Closed form: a disc of lines and of Compton scattering, 400 µm in radius, in a ring of halo
    up to 700 µm; without air."""
    t = (np.arange(n) - 0.5 * (n - 1)) * step
    inner, outer = (2.0 * np.sqrt(np.maximum(r**2 - t**2, 0.0)) for r in (400.0, 700.0))
    rows = inner[:, None] * (LINES + COMPTON) + wall * (outer - inner)[:, None] * HALO
    values = np.broadcast_to(rows, (n_angles, *rows.shape)).astype(np.float32)
    return Sinogram(
        values=values, variance=np.ones_like(values), transmission=np.ones(values.shape[:2]),
        angles_rad=np.arange(n_angles) * np.pi / n_angles, step_um=step, axis_offset_um=0.0,
        two_theta_rad=np.deg2rad(5.0 + 0.0127 * CHANNELS), distance_m=0.7,
    )  # fmt: skip


@lru_cache(maxsize=1)
def ring():
    return container_of(scan())


BETWEEN = np.less(LINES, 0.01 * LINES.max())


def test_a_window_loses_the_wall_and_nothing_else():
    """Closed form: the disc alone is left.

    Each of the four borders of the wall that a ray crosses is placed to a quarter of a pixel of
    20 µm: 20 µm of halo in a ray at most, if all err alike, and half of that in the mean if not. At
    the lines the mean pattern errs as below.
    """
    window = scan(101, 1.0, 30)
    left = without_container(window, ring())
    error = (left.values - scan(101, 1.0, 30, wall=0.0).values) / HALO
    assert np.abs(error[..., BETWEEN]).max() < 20.0
    assert np.abs(error.mean()) < 10.0
    assert np.abs(error).max() < 20.0 + 600.0 * streaks_in_the_mean()
    np.testing.assert_array_equal(left.variance, window.variance)


def streaks_in_the_mean():
    """Five standard errors of the mean over the wall, of what streaks of the lines change pixels.

    They go on over pixels; one in ten counts as independent.
    """
    wide = ring().ring
    wall = wide.values[housing_mask(wide)][:, ~BETWEEN]
    return 5.0 * wall.std(axis=0).max() / np.sqrt(len(wall) / 10)


def test_the_pattern_is_that_of_the_wall():
    """Closed form. Pixels of 20 µm overshoot at the borders of the wall, by 2 % in the mean."""
    found = ring().pattern.values
    np.testing.assert_allclose(found[BETWEEN], HALO[BETWEEN], rtol=0.02)
    np.testing.assert_allclose(found, HALO, rtol=0.02, atol=streaks_in_the_mean())


def test_what_is_taken_off_does_not_depend_on_the_window():
    """Law: of a·x + y it is a times that of x and that of y, less a times the container."""
    window = scan(41, 2.0, 20)
    rng = np.random.Generator(np.random.Philox(2))
    other = rng.normal(size=window.values.shape).astype(np.float32)
    both = without_container(replace(window, values=3.0 * window.values + other), ring()).values
    taken = window.values - without_container(window, ring()).values
    expected = 3.0 * window.values + other - taken
    np.testing.assert_allclose(both, expected, atol=1e-6 * np.abs(expected).max())


def test_twice_the_signal_is_twice_the_container():
    """Law, to single precision: the mask does not depend on the scale, amounts and pattern do."""
    single = scan()
    double = replace(single, values=2.0 * single.values)
    one, two = (
        single.values - without_container(single, found).values
        for found in (ring(), container_of(double))
    )
    np.testing.assert_allclose(two, 2.0 * one, atol=1e-4 * one.max())


def test_an_electrode_alone_has_no_container():
    """Truth: there is none. What it scatters broadly lies where its lines are."""
    assert container_of(scan(wall=0.0)) is None


def test_a_container_may_be_empty():
    """Truth: the ring alone; 20 µm are 4 × ¼ pixel of borders."""

    def wall(n, step):
        lines = scan(n, step).values - scan(n, step, wall=0.0).values
        return replace(scan(n, step), values=lines)

    left = without_container(wall(201, 1.0), container_of(wall(81, 20.0)))
    assert np.abs(left.values / HALO).max() < 20.0


def test_nothing_has_no_container():
    empty = replace(scan(), values=np.zeros_like(scan().values))
    assert container_of(empty) is None


BODY_UM, CHAMBER_UM = 400.0, 104.0


@lru_cache(maxsize=2)
def measured(*, cell=True, noise=False):
    """A window of 51 µm in an electrode of 100 µm, in a cell of PEEK; with wider scans."""
    housing = Cell(
        body_outer_um=BODY_UM,
        chamber_um=CHAMBER_UM,
        electrode_um=100.0,
        separator_thickness_um=60.0,
    )
    return simulate(
        Experiment(
            sample=Electrode(diameter_um=100.0, volume_fraction=0.45),
            cell=housing if cell else None,
            scan=Scan(n_offsets=51, step_um=1.0, n_angles=60),
            scans={
                "coarse": Scan(n_offsets=41, step_um=4.0, n_angles=41),
                "broad": Scan(n_offsets=55, step_um=10.0, n_angles=60),
            },
            geometry=Geometry(n_channels=500, two_theta_min_deg=2.0, two_theta_max_deg=8.0),
            effects=Effects(noise=noise),
            seed=411,
        )
    )


def prepared(simulated, *, names=("coarse", "broad"), **cut):
    recipe = Recipe.model_validate(dict(simulated.raw.recipe) | {"truncation": {"air": True} | cut})
    others = {name: simulated.others[name] for name in names}
    return prepared_sinogram(simulated.raw, others=others, recipe=recipe)


def image(sinogram, values, channels):
    """The window's image of some channels, (pixel, channel)."""
    found = filtered_back_projection(
        values[..., channels], angles_rad=sinogram.angles_rad, step_um=sinogram.step_um
    ).values
    return found[np.isfinite(found[..., 0])]


@lru_cache(maxsize=1)
def true_wall():
    """Closed form: the wall along each ray of the window; and where its peaks are."""
    raw = measured().raw
    library = cell_library(
        Cell(), two_theta_rad=raw.geometry.two_theta_rad, energy_keV=raw.beam.energy_keV,
        distance_m=raw.geometry.distance_m,
        peak_sigma_rad=np.full(raw.geometry.n_channels, 3e-4),
    )  # fmt: skip
    rows = np.flatnonzero(library.row_substance == substance_names().index("PEEK"))
    pattern = library.patterns_per_um[rows[rows.size // 2]]
    t = raw.scan.offsets_um
    outer, inner = (np.sqrt(0.25 * d**2 - t**2) for d in (BODY_UM, CHAMBER_UM))
    wall = (2.0 * (outer - inner))[:, None] * pattern
    peaks = pattern > 1.5 * median_filter(pattern, size=101)
    assert peaks.sum() > 20
    return np.broadcast_to(wall, (raw.scan.n_angles, *wall.shape)), peaks


def test_background_at_the_peaks_of_peek_falls():
    """Closed form: the wall's path through concentric cylinders times the forward side's pattern.

    The path of 296 µm has four borders, each placed to a quarter of a pixel of 10 µm,
    independently: 1.7 %. The pattern is known to 1 % (ways out), and the electrolyte in the gap of
    2 µm at either side counts for 1.4 %: less than 3 % may be left. Next to the spinel's (111), at
    2.98°, streaks of that line stay in the mean pattern, 5e-4 of its height or a tenth of the wall.
    """
    kept, left = prepared(measured()), prepared(measured(), container=True)
    wall, peaks = true_wall()
    taken = kept.values - left.values
    missed = image(kept, taken - wall, peaks).mean(axis=0) / image(kept, wall, peaks).mean(axis=0)
    beside = np.rad2deg(kept.two_theta_rad[peaks]) < 3.05
    assert np.abs(missed[~beside]).max() < 0.03
    assert np.abs(missed[beside]).max() < 0.13


def test_nothing_is_taken_off_twice():
    """Law: with or without a container, coarse and broad scan take off all that lies outside.

    What they show of the wall in pixels of 4 and 10 µm is placed as above: to 3 % of it, and to 1 %
    in the mean. Taken off twice it would be 100 %. Without the broad scan, and the three quarters
    of the wall that only it shows, the container stands in for it.
    """
    wall, peaks = true_wall()
    outside = prepared(measured(), method="coarse", use_broad=True)
    level = image(outside, wall, peaks).mean()

    def apart(**cut):
        found = prepared(measured(), method="coarse", **cut)
        return image(outside, found.values - outside.values, peaks).mean(axis=1) / level

    both, instead, without = (
        apart(container=True, use_broad=True), apart(container=True), apart(container=False)
    )  # fmt: skip
    assert np.sqrt(np.mean(both**2)) < 0.03
    assert abs(both.mean()) < 0.01
    assert abs(instead.mean()) < 0.01
    assert without.mean() > 0.5


def test_it_is_taken_off_after_air_and_absorption():
    """Truth: the order of the chain's text, by hand, with the broad scan as the widest."""
    simulated = measured()
    raws = [simulated.raw, simulated.others["coarse"], simulated.others["broad"]]
    made = Recipe.model_validate(
        dict(simulated.raw.recipe)
        | {
            "sinogram": {"absorption": True},
            "truncation": {"air": True, "container": True, "method": "coarse", "parallax": False},
        }
    )
    scans = [sinogram_of(raw, distance_m=made.calibration.distance_m) for raw in raws]
    air = air_pattern(scans[2])
    scans = [without_constant(scan, air) for scan in scans]
    map_ = attenuation_map(scans[2])
    scans = [corrected_for_absorption(scan, attenuation=map_) for scan in scans]
    container = container_of(scans[2])
    own, coarse, _ = (without_container(scan, container) for scan in scans)
    expected = without_outside(own, coarse=coarse, parallax=False)
    found = prepared_sinogram(simulated.raw, others=simulated.others, recipe=made)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.variance, expected.variance)


def test_an_electrode_without_a_container_loses_nothing():
    """Truth: there is none, and noise makes none either."""
    bare = measured(cell=False, noise=True)
    kept, left = prepared(bare), prepared(bare, container=True)
    np.testing.assert_array_equal(left.values, kept.values)


def test_a_wide_scan_is_needed():
    with pytest.raises(InputError, match="needs a linked scan named coarse or broad"):
        prepared(measured(), names=(), container=True)
    with pytest.raises(InputError, match=r"truncation\.air = true .*: At least 10 rays must"):
        prepared(measured(), names=("coarse",), container=True)
    with pytest.raises(ValidationError, match="container = true needs air = true"):
        Recipe.model_validate({"truncation": {"container": True}})
