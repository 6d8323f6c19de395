"""The error of a map from its own roughness: closed forms and laws."""

import numpy as np
import pytest

from inverse.roughness import amount_error, full_patches, lattice_error_A, rough_error

N = 200
Y, X = np.indices((N, N)).astype(float)
EVERYWHERE = np.ones((N, N), bool)
EVERYWHERE[:2] = EVERYWHERE[-2:] = EVERYWHERE[:, :2] = EVERYWHERE[:, -2:] = False


def test_independent_errors_give_their_standard_deviation():
    # Closed form: Σk²/36 = 1. The median of |r| over n patches, of which about n/9 are independent,
    # has a relative standard deviation of 1.17/√(n/9) = 1.8 %: 5.3 σ for 1e-7.
    noise = np.random.default_rng(3).normal(0.0, 0.7, (N, N))
    assert rough_error(noise, patches=EVERYWHERE) == pytest.approx(0.7, rel=5.3 * 0.018)


def test_errors_that_reach_twice_as_far_need_twice_the_distance():
    # Law: a map whose every pixel stands four times, 2 × 2, is the map of half as many pixels: the
    # same operator at twice the distance sees the same errors. One in four patches is independent.
    noise = np.kron(np.random.default_rng(5).normal(0.0, 0.7, (N // 2, N // 2)), np.ones((2, 2)))
    inner = np.zeros((N, N), bool)
    inner[4:-4, 4:-4] = True
    found = rough_error(noise, patches=inner, apart=4)
    assert found == pytest.approx(0.7, rel=5.3 * 0.036)
    once = rough_error(noise[::2, ::2], patches=inner[::2, ::2], apart=2)
    assert found == pytest.approx(once, rel=5.3 * 0.036)


def test_smooth_surfaces_have_no_roughness():
    # Law: p(x) + q(y) + c·x·y is annihilated, whatever p and q.
    surface = np.sin(X / 3.0) + 1e-3 * Y**3 + 0.02 * X * Y + 8.2
    assert rough_error(surface, patches=EVERYWHERE) < 1e-9


def test_a_border_between_particles_does_not_count():
    # Two plateaus 40 mÅ apart with a gap between them: patches stop short of the gap.
    a_A = np.where(X < 100, 8.20, 8.24)
    amount = np.where(np.abs(X - 100) < 2, 0.0, 0.9)
    a_A[amount == 0.0] = np.nan
    assert not full_patches(amount)[:, 97:103].any()
    assert np.nanmax(lattice_error_A(a_A, amount=amount)) < 1e-12


def test_error_of_the_lattice_grows_where_there_is_less_material():
    noise = np.random.default_rng(4).normal(0.0, 1e-3, (N, N))
    amount = np.full((N, N), 0.8)
    amount[:, :20] = 0.2
    error_A = lattice_error_A(8.2 + noise, amount=amount)
    assert error_A[100, 10] == pytest.approx(4.0 * error_A[100, 100])
    assert error_A[100, 100] == pytest.approx(1e-3, rel=0.1)


def test_small_particles_are_judged_by_narrower_patches():
    # Closed form: independent errors have the same roughness at any distance. Particles of 4 × 4
    # pixels hold no patch of 5 × 5, but four of 3 × 3: 2500 of these in all, a tenth independent,
    # so that the median of |r| has a relative standard deviation of 1.17/√250 = 7 %; 5.3 σ.
    noise = np.random.default_rng(6).normal(0.0, 1e-3, (N, N))
    amount = np.where((X % 8 < 4) & (Y % 8 < 4), 0.8, 0.0)
    assert not full_patches(amount).any()
    error_A = lattice_error_A(np.where(amount > 0.0, 8.2 + noise, np.nan), amount=amount)
    assert error_A[1, 1] == pytest.approx(1e-3, rel=5.3 * 0.075)


def test_too_few_patches_tell_nothing():
    amount = np.full((N, N), np.nan)
    assert amount_error(amount) == 0.0
    assert amount_error(np.zeros((N, N))) == 0.0
    amount[50:56, 50:56] = 0.5
    assert amount_error(amount) == 0.0
