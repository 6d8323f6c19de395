"""Signals that belong to no electrode: air, housing, electrolyte."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from forward.cell import cell_library
from forward.settings import Effects
from inverse.ray_sums import RingGrid
from inverse.rings import Ring, ring_of
from inverse.sinogram import Sinogram, sinogram_of
from inverse.surroundings import (
    Pattern,
    air_pattern,
    amounts_of,
    housing_mask,
    mean_pattern,
    sharp_and_broad,
    without_constant,
    without_pattern,
)
from phantoms.cell import Cell
from phantoms.cell_materials import substance_names
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Geometry
from xrdct.scan import Scan

CHANNELS = np.arange(120)
HALO = 1.0 + np.exp(-0.5 * ((CHANNELS - 50) / 12.0) ** 2)
LINES = sum(20.0 * np.exp(-0.5 * ((CHANNELS - c) / 1.4) ** 2) for c in (20, 47, 90))
AIR = 300.0 * np.exp(-CHANNELS / 60.0)


def scan(n=81, step=20.0, n_angles=60, *, housing=0.0):
    """Closed form: a disc of lines and halo, 400 µm in radius, in a ring of halo to 700 µm, in air.

    Air adds the same to every ray; the disc also holds ``housing`` of the ring's halo.
    """
    t = (np.arange(n) - 0.5 * (n - 1)) * step
    inner, outer = (2.0 * np.sqrt(np.maximum(r**2 - t**2, 0.0)) for r in (400.0, 700.0))
    halo = outer + (housing - 1.0) * inner
    values = inner[:, None] * LINES + halo[:, None] * HALO + AIR
    values = np.broadcast_to(values, (n_angles, *values.shape))
    depth = 2.4e-4 * inner + 2.6e-5 * outer
    return Sinogram(
        values=values.astype(np.float32), variance=np.ones(values.shape, np.float32),
        transmission=np.broadcast_to(np.exp(-depth), values.shape[:2]).copy(),
        angles_rad=np.arange(n_angles) * np.pi / n_angles, step_um=step, axis_offset_um=0.0,
        two_theta_rad=np.deg2rad(5.0 + 0.0127 * CHANNELS), distance_m=0.7,
    )  # fmt: skip


def test_air_is_what_rays_beside_the_sample_show():
    """Closed form; the mean of k rays of unit variance has the variance 1/k."""
    found = air_pattern(scan())
    np.testing.assert_allclose(found.values, AIR, rtol=1e-5)
    n_rays = 60 * 2 * int((800.0 - 700.0) / 20.0 + 1)
    np.testing.assert_allclose(found.variance, 1.0 / n_rays, rtol=1e-6)
    left = without_constant(scan(), found)
    np.testing.assert_allclose(left.values[:, [0, -1]], 0.0, atol=1e-3)
    np.testing.assert_allclose(left.variance, 1.0 + 1.0 / n_rays, rtol=1e-6)


def test_a_scan_within_the_sample_does_not_show_the_air():
    with pytest.raises(InputError, match=r"At least 10 rays must miss the sample .* not 0"):
        air_pattern(scan(n=41))


def test_lines_are_sharp_and_halos_are_not():
    """Definition. A Gaussian's area is σ√(2π) of its height.

    The running median over 15 channels takes at most what a line 1.4 channels wide (σ) has 3.5
    channels from its middle, 4 %, for broad.
    """
    sharp, broad = sharp_and_broad([LINES, HALO, LINES + HALO])
    area = 3 * 20.0 * 1.4 * np.sqrt(2 * np.pi)
    assert sharp[0] == pytest.approx(area, rel=0.05)
    assert abs(sharp[1]) < 0.01 * HALO.sum()
    assert broad[1] == pytest.approx(HALO.sum(), rel=0.01)
    assert sharp[2] + broad[2] == pytest.approx(LINES.sum() + HALO.sum(), rel=1e-12)
    seen = np.where(CHANNELS < 9, np.nan, HALO)
    assert sharp_and_broad([seen])[1][0] == pytest.approx(HALO[9:].sum(), rel=0.01)


def test_the_housing_is_found_where_it_is_alone():
    """Truth: the ring of 400 to 700 µm, a pixel or two within its borders; its pattern is HALO."""
    sinogram = scan()
    ring = ring_of(without_constant(sinogram, air_pattern(sinogram)), inner_um=0.0)
    mask = housing_mask(ring)
    place = (np.arange(81) - 40.0) * 20.0
    radius = np.hypot(place, place[:, None]).ravel()
    assert 410.0 < radius[mask].min() < 450.0
    assert 650.0 < radius[mask].max() < 700.0
    found = mean_pattern(ring, mask)
    np.testing.assert_allclose(found.values, HALO, rtol=0.03, atol=0.01 * LINES.max())
    only = housing_mask(ring, between_um=(500.0, 600.0))
    assert radius[only].min() >= 500.0
    assert radius[only].max() <= 600.0
    with pytest.raises(InputError, match="At least 5 pixels must hold the housing alone, not 0"):
        housing_mask(ring, between_um=(710.0, 790.0))


def test_missing_channels_stay_missing_in_a_mean():
    ring = Ring(
        values=np.ones((9, 3), np.float32), variance=np.full((9, 3), 4.0, np.float32),
        grid=RingGrid(3, 10.0, 0.0, 10.0), two_theta_rad=np.arange(1.0, 4.0),
        measured=np.array([True, False, True]), n_angles=10,
    )  # fmt: skip
    found = mean_pattern(ring, np.arange(9) < 4)
    np.testing.assert_array_equal(found.values, [1.0, np.nan, 1.0])
    np.testing.assert_array_equal(found.variance, [1.0, np.nan, 1.0])


def test_a_pattern_is_taken_out_wherever_it_is():
    """Truth: the disc alone. The halo is in the ring and, half as strong, within the disc.

    The coarse image blurs borders by part of a pixel of 20 µm, crossed four times; on average it
    keeps the amount.
    """
    sinogram = without_constant(scan(housing=0.5), air_pattern(scan()))
    ring = ring_of(sinogram, inner_um=0.0)
    halo, lines = (Pattern(p, 0.0 * p) for p in (HALO, LINES))
    amounts = amounts_of(ring, [halo, lines])
    middle = amounts.reshape(2, 81, 81)[:, 30:51, 30:51]
    np.testing.assert_allclose(middle[0], 0.5, atol=0.02)
    np.testing.assert_allclose(middle[1], 1.0, atol=0.02)
    left = without_pattern(sinogram, halo, amounts=amounts[0], ring=ring)
    inner = 2.0 * np.sqrt(np.maximum(400.0**2 - sinogram.offsets_um**2, 0.0))
    error = left.values - (inner[:, None] * LINES)
    assert error.std() < 20.0
    assert np.abs(error.mean()) < 2.0
    with pytest.raises(InputError, match="must have the 120 channels of the sinogram, not 7"):
        without_constant(sinogram, Pattern(np.ones(7), np.ones(7)))


@lru_cache(maxsize=1)
def simulated_cell():
    """A broad scan of the micro-cell in few channels, noise-free, with a particle in the middle."""
    return simulate(
        Experiment(
            sample=ParticleList(
                particles=(Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=600.0, x=0.9),)
            ),
            cell=Cell(),
            scan=Scan(n_offsets=81, step_um=50.0, n_angles=40),
            geometry=Geometry(n_channels=96, two_theta_min_deg=2.0, two_theta_max_deg=8.0),
            effects=Effects(noise=False),
        )
    )


def test_the_pattern_of_the_simulated_housing_comes_back():
    """Truth: the forward side's pattern of the body's polymer, per µm.

    Ways out change it by less than 1 % at 8°, parallax moves what is broad by less than it is wide.
    The particle's lines, a hundred times as high and seen from 40 angles, leave streaks in a few
    channels.
    """
    raw = simulated_cell().raw
    sinogram = sinogram_of(raw)
    ring = ring_of(without_constant(sinogram, air_pattern(sinogram)), inner_um=0.0)
    found = mean_pattern(ring, housing_mask(ring, between_um=(700.0, 1500.0))).values
    library = cell_library(
        Cell(), two_theta_rad=raw.geometry.two_theta_rad, energy_keV=raw.beam.energy_keV,
        distance_m=raw.geometry.distance_m,
        peak_sigma_rad=np.full(raw.geometry.n_channels, 3e-4),
    )  # fmt: skip
    polymer = library.row_substance == substance_names().index("PEEK")
    truth = library.patterns_per_um[polymer][int(polymer.sum()) // 2]
    error = np.abs(found / truth - 1.0)
    assert np.median(error) < 0.01
    assert np.mean(error < 0.02) > 0.85
    assert error.max() < 0.25


def test_a_pattern_keeps_no_reference_to_the_scan():
    """Steps are pure: the scan given is not changed."""
    sinogram = scan()
    before = replace(sinogram, values=sinogram.values.copy())
    without_constant(sinogram, air_pattern(sinogram))
    np.testing.assert_array_equal(sinogram.values, before.values)
