"""Histograms and shares of windows: counted by hand, and their errors by drawing."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import ndtr

from inverse.lattice_histogram import FORBIDDEN_WINDOWS_A, Histogram, lattice_histograms
from inverse.region_settings import Regions
from inverse.segment import particles_of
from xrdct.errors import InputError

N = 60
SIGMA_1E8 = 5.73
ALONE = Histogram(correlation="none")


def test_bins_and_windows_hold_what_lies_in_them():
    # By hand: four voxels with their amounts, one without lattice parameter, one without material.
    a_A = np.array([[8.1001, 8.1003, 8.19], [8.25, np.nan, 8.1]])
    amount = np.array([[0.5, 1.0, 0.25], [0.25, 1.0, 0.0]])
    (found,) = lattice_histograms(a_A, amount=amount, step_um=2.0, settings=ALONE)
    assert found.particle == -1
    assert found.area_um2.sum() == pytest.approx(4.0 * 2.0)
    assert found.area_um2[0] == pytest.approx(4.0 * 1.5)
    np.testing.assert_allclose(found.share, [1.5 / 2.0, 0.25 / 2.0])
    np.testing.assert_array_equal(found.windows_A, FORBIDDEN_WINDOWS_A)
    assert np.all(np.isnan(found.share_esd))
    assert found.edges_A[0] <= 8.1001 < found.edges_A[1]
    assert found.edges_A[-2] <= 8.25 < found.edges_A[-1] + 1e-12


def test_particles_add_up_to_the_material_in_them():
    # Law: histograms add.
    line = np.arange(N) - 0.5 * (N - 1)
    radius = [np.hypot(line - x, line[:, None]) for x in (-14.0, 14.0)]
    amount = np.where((radius[0] < 9.0) | (radius[1] < 11.0), 0.9, 0.0)
    own = particles_of(amount, measured=np.ones((N, N), bool), step_um=1.0, settings=Regions())
    a_A = 8.2 + 0.01 * np.random.default_rng(1).standard_normal((N, N))
    used = own.label >= 0
    whole, *parts = lattice_histograms(
        a_A, amount=amount, step_um=1.0, particles=own, used=used, settings=ALONE
    )
    assert [p.particle for p in parts] == [0, 1]
    np.testing.assert_allclose(whole.area_um2, parts[0].area_um2 + parts[1].area_um2)


def test_the_uncertainty_of_a_share_is_its_scatter():
    # Statistics: materials at 8.07 and 8.10 Å with noise of 8 mÅ; the true share is known by the
    # normal distribution. Scatter over esd: 5.73/√(2n) for n = 800 draws. The esd is reckoned from
    # places that are noisy themselves, which makes it larger: up to 20 %, and not smaller.
    rng = np.random.default_rng(3)
    place = np.where(np.arange(400).reshape(20, 20) % 4 == 0, 8.10, 8.07)
    esd = np.full(place.shape, 0.008)
    settings = Histogram(correlation="none", windows_A=(FORBIDDEN_WINDOWS_A[0],))
    shares, esds, spills = [], [], []
    for _ in range(800):
        (found,) = lattice_histograms(
            place + esd * rng.standard_normal(place.shape), amount=np.ones(place.shape),
            step_um=1.0, esd_A=esd, settings=settings,
        )  # fmt: skip
        shares.append(found.share[0])
        esds.append(found.share_esd[0])
        spills.append(found.spill[0])
    low, high = FORBIDDEN_WINDOWS_A[0]
    chance = ndtr((high - place) / 0.008) - ndtr((low - place) / 0.008)
    n = len(shares)
    assert np.mean(shares) == pytest.approx(
        chance.mean(), abs=SIGMA_1E8 * np.std(shares) / np.sqrt(n)
    )
    ratio = np.std(shares) / np.mean(esds)
    assert 0.8 - SIGMA_1E8 / np.sqrt(2 * n) < ratio < 1.0 + SIGMA_1E8 / np.sqrt(2 * n)
    # Closed form: one more dose of noise is noise of √2 times its size.
    twice = ndtr((high - place) / 0.008 / np.sqrt(2)) - ndtr((low - place) / 0.008 / np.sqrt(2))
    assert np.mean(spills) == pytest.approx(
        (twice - chance).mean(), abs=SIGMA_1E8 * np.std(spills) / np.sqrt(n)
    )


def test_noise_is_taken_off_the_share():
    # By construction: no material lies in the window, a tenth of an esd and more away from it;
    # noise puts a fifth there. The estimate is consistent, slowly: it must take most of that off.
    rng = np.random.default_rng(5)
    place = np.where(rng.random((50, 50)) < 0.5, 8.066, 8.155)
    esd = np.full(place.shape, 0.012)
    settings = Histogram(correlation="none", windows_A=(FORBIDDEN_WINDOWS_A[0],), deconvolve=True)
    (found,) = lattice_histograms(
        place + esd * rng.standard_normal(place.shape), amount=np.ones(place.shape), step_um=1.0,
        esd_A=esd, settings=settings,
    )  # fmt: skip
    assert found.share[0] > 0.15
    assert found.deconvolved[0] < 0.3 * found.share[0]
    # And leaves alone what is there: half of the material in the middle of the window.
    place = np.where(rng.random((50, 50)) < 0.5, 8.11, 8.03)
    (found,) = lattice_histograms(
        place + esd * rng.standard_normal(place.shape), amount=np.ones(place.shape), step_um=1.0,
        esd_A=esd, settings=settings,
    )  # fmt: skip
    assert found.deconvolved[0] == pytest.approx(np.mean(place > 8.1), abs=0.02)


def test_correlated_errors_make_a_share_less_certain():
    # Law: with all voxels of a patch off together there are fewer independent ones.
    a_A, esd = np.full((20, 20), 8.076), np.full((20, 20), 0.01)
    common = {"amount": np.ones((20, 20)), "step_um": 1.0, "esd_A": esd}
    (alone,) = lattice_histograms(a_A, settings=ALONE, **common)
    (together,) = lattice_histograms(a_A, settings=Histogram(correlation=3.0), **common)
    assert together.share_esd[0] > 3.0 * alone.share_esd[0]


def test_hostile_inputs_are_refused():
    a_A = np.full((4, 4), 8.1)
    with pytest.raises(InputError, match=r"amount must have the shape \(4, 4\)"):
        lattice_histograms(a_A, amount=np.ones((3, 4)), step_um=1.0)
    with pytest.raises(InputError, match="no voxel"):
        lattice_histograms(a_A, amount=np.zeros((4, 4)), step_um=1.0)
    with pytest.raises(ValidationError, match="windows_A must rise"):
        Histogram(windows_A=((8.2, 8.1),))
