"""Spherical diffusion: against finite volumes, conservation, and its limits in time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from phantoms.diffusion import SHORT_FOURIER, CurrentSpan, deviation, sphere_response
from xrdct.errors import InputError

RADIUS_UM, D = 9.0, 0.02
SPANS = (
    CurrentSpan(start_s=0.0, stop_s=1600.0, rate_per_h=0.4),
    CurrentSpan(start_s=2900.0, stop_s=4500.0, rate_per_h=0.3),
    CurrentSpan(start_s=5000.0, stop_s=5200.0, rate_per_h=-0.5),
)
TIMES_S = (800.0, 1600.0, 2200.0, 4500.0, 5150.0, 6000.0)


def finite_volumes(edges: np.ndarray, diffusivity: float, times_s, spans, rtol=1e-9):
    """x less its mean, as means over shells, shape (time, cell), by an integrator of ODEs.

    ``edges`` are relative radii. The sphere starts uniform.
    """
    r = RADIUS_UM * edges
    volume, middle = np.diff(r**3) / 3.0, 0.5 * (r[1:] + r[:-1])
    coupling = r[1:-1] ** 2 * diffusivity / np.diff(middle)
    n_cells = volume.size
    i = np.arange(n_cells - 1)
    matrix = np.zeros((n_cells, n_cells))
    matrix[i, i + 1], matrix[i + 1, i] = coupling / volume[:-1], coupling / volume[1:]
    matrix[np.diag_indices(n_cells)] = -matrix.sum(axis=1)
    inflow = np.zeros(n_cells)
    inflow[-1] = RADIUS_UM**3 / 3.0 / volume[-1]

    x, found = np.zeros(n_cells), []
    stops_s = sorted({0.0, *times_s, *(t for s in spans for t in (s.start_s, s.stop_s))})
    for begin, end in pairwise(stops_s):
        per_s = sum(s.rate_per_h / 3600.0 for s in spans if s.start_s <= begin < s.stop_s)
        run = solve_ivp(
            lambda _, now, per_s=per_s: matrix @ now + per_s * inflow, (begin, end), x,
            method="BDF", jac=matrix, rtol=rtol, atol=1e-3 * rtol,
        )  # fmt: skip
        x = run.y[:, -1]
        found += [x - x @ volume / volume.sum()] if end in times_s else []
    return np.array(found)


def response(r_over_R: np.ndarray, diffusivity: float, times_s, spans) -> np.ndarray:
    return np.array([
        deviation(r_over_R, time_s=t, radius_um=RADIUS_UM, diffusivity_um2_per_s=diffusivity,
                  spans=spans)
        for t in times_s
    ])  # fmt: skip


def test_series_agrees_with_finite_volumes():
    # Independent: the method of lines. It is of second order: from 60 to 120 cells its error falls
    # to a quarter, so that what is left at 120 is below the difference of the two, both taken at
    # the same places (the mean of two cells' middles, another second-order step).
    coarse, fine = (finite_volumes(np.linspace(0.0, 1.0, n + 1), D, TIMES_S, SPANS)
                    for n in (60, 120))  # fmt: skip
    middles = (np.arange(60) + 0.5) / 60
    paired = 0.5 * (fine[:, ::2] + fine[:, 1::2])
    found = response(middles, D, TIMES_S, SPANS)
    error = np.abs(coarse - paired).max()
    assert error < 2e-4  # else the comparison says little: x changes by 0.3
    assert np.abs(paired - found).max() < error
    assert np.ptp(found, axis=1).max() > 0.03


@pytest.mark.parametrize("diffusivity", [1e-6, 1e-4])
def test_short_times_agree_with_finite_volumes(diffusivity):
    # Independent, as above, in a layer of eight diffusion lengths √(Dt) below the surface, with one
    # cell for the rest, which nothing reaches: τ = 2e-3 and 2e-5 as the current stops. Means of
    # cells are compared, by Gauss-Legendre in ours. The lines are of second order: two of them
    # tell the error and, extrapolated, leave a tenth of it at most.
    spans, times_s = SPANS[:1], (1600.0, 1700.0)
    layer = 8.0 * np.sqrt(diffusivity * times_s[-1]) / RADIUS_UM
    edges = [np.linspace(1.0 - layer, 1.0, n + 1) for n in (40, 80)]
    coarse, fine = (
        finite_volumes(np.concatenate([[0.0], e]), diffusivity, times_s, spans, rtol=1e-7)[:, 1:]
        for e in edges
    )
    volume = np.diff(edges[1] ** 3).reshape(40, 2)
    paired = (fine.reshape(2, 40, 2) * volume).sum(axis=2) / volume.sum(axis=1)
    node, weight = np.polynomial.legendre.leggauss(6)
    rho = edges[0][:-1, None] + 0.5 * layer / 40 * (1.0 + node)
    found = response(rho.ravel(), diffusivity, times_s, spans).reshape(2, 40, 6)
    found = (found * weight * rho**2).sum(axis=2) / (weight * rho**2).sum(axis=1)
    error = np.abs(coarse - paired).max()
    assert error < 0.01 * np.ptp(found)
    assert np.abs(paired + (paired - coarse) / 3.0 - found).max() < 0.1 * error
    # Closed form: nothing has reached the core, so that it lacks all that has flowed.
    core = response(np.array([0.0, 0.3]), diffusivity, times_s, spans)
    np.testing.assert_allclose(core, -0.4 * 1600.0 / 3600.0, rtol=1e-12)


@pytest.mark.parametrize("diffusivity", [1e-6, 1e-8, 1e-10, 1e-20])
def test_the_core_waits_however_slow_diffusion_is(diffusivity):
    # Closed form: at exp(−R²/4Dt) of nothing the centre keeps what it had, and lacks the 0.4 that
    # the sphere took up; 30 s after the current the surface has x = ∫ v R/3 / √(π D (t − s)) ds
    # above the core, that of a half-space, less 1 + √τ-th of it (first order of curvature).
    span = [CurrentSpan(start_s=0.0, stop_s=3600.0, rate_per_h=0.4)]
    core, surface = deviation(
        [0.0, 1.0], time_s=3630.0, radius_um=5.0, diffusivity_um2_per_s=diffusivity, spans=span
    )
    assert core == pytest.approx(-0.4, rel=1e-9)
    flux = 0.4 / 3600.0 * 5.0 / 3.0
    plane = 2.0 * flux * (np.sqrt(3630.0) - np.sqrt(30.0)) / np.sqrt(np.pi * diffusivity)
    tau = diffusivity * 3630.0 / 25.0
    assert surface - core == pytest.approx(plane, rel=2.0 * np.sqrt(tau) + 1e-9)


@pytest.mark.parametrize("border", [SHORT_FOURIER, 1e-6])
def test_forms_meet_at_their_borders(border):
    # Law: s is smooth in τ. Across the border of two forms, one part in 1e9 apart, it moves by
    # 1e-9 τ |ds/dτ| at most, and |ds/dτ| < 3 + 1.1/√(πτ), the surface's; 1e-6 is where the
    # difference of two functions becomes a Taylor series of its step.
    rho = 1.0 - np.sqrt(border) * np.linspace(0.0, 6.0, 61)
    below, above = (sphere_response(rho, fourier=border * f) for f in (1.0 - 5e-10, 1.0 + 5e-10))
    slope = 3.0 + 1.1 / np.sqrt(np.pi * border)
    np.testing.assert_allclose(below, above, rtol=0.0, atol=1e-9 * border * slope + 1e-15)
    assert np.ptp(below) > 0.5 * np.sqrt(border)


@given(fourier=st.floats(1e-3, 20.0))
def test_mean_of_the_response_vanishes(fourier):
    # Law: conservation. Gauss-Legendre with 200 nodes is exact for the terms that count at
    # τ ≥ 1e-3 (64 of them, wavelengths above 1/32); rounding is left.
    node, weight = np.polynomial.legendre.leggauss(200)
    rho = 0.5 + 0.5 * node
    mean = (0.5 * weight * 3.0 * rho**2 * sphere_response(rho, fourier=fourier)).sum()
    assert abs(mean) < 1e-12


def test_steady_shape_is_a_parabola():
    # Limit: the first term has died to exp(−20.19 · 3) = 5e-27.
    rho = np.linspace(0.0, 1.0, 101)
    np.testing.assert_allclose(sphere_response(rho, fourier=3.0), rho**2 / 2 - 0.3, atol=1e-15)


def test_short_times_are_those_of_a_plane():
    # Limit: the surface of a half-space rises by 2 √(τ/π), that of a sphere by τ more; the next
    # order of the expansion is τ^1.5 times a number of order 1 (2/3 · 2/√π for the sphere).
    for fourier in (1e-5, 1e-4, 1e-3):
        surface = 3.0 * fourier + float(sphere_response(1.0, fourier=fourier))
        expected = 2.0 * np.sqrt(fourier / np.pi) + fourier
        assert surface == pytest.approx(expected, abs=2.0 * fourier**1.5 + 1e-12)


def test_a_resting_sphere_becomes_flat():
    # Limit: at τ = 3 after the current nothing of the gradient is left (5e-27).
    later_s = SPANS[-1].stop_s + 3.0 * RADIUS_UM**2 / D
    rho = np.linspace(0.0, 1.0, 33)
    assert np.abs(response(rho, D, [later_s], SPANS)).max() < 1e-13


def test_before_the_current_nothing_moves():
    span = [CurrentSpan(start_s=100.0, stop_s=200.0, rate_per_h=1.0)]
    assert (response(np.linspace(0.0, 1.0, 33), D, [50.0, 100.0], span) == 0.0).all()


def test_surface_leads_while_lithium_enters():
    rho = np.linspace(0.0, 1.0, 33)
    moved = deviation(rho, time_s=800.0, radius_um=RADIUS_UM, diffusivity_um2_per_s=D, spans=SPANS)
    assert (np.diff(moved) > 0.0).all()


def test_radii_are_taken_together():
    # Law: what holds for one sphere holds for it among others.
    rho, radii = np.linspace(0.0, 1.0, 5), np.array([2.0, 9.0])
    both = deviation(
        rho, time_s=900.0, radius_um=radii[:, None], diffusivity_um2_per_s=D, spans=SPANS
    )
    for values, radius in zip(both, radii, strict=True):
        one = deviation(rho, time_s=900.0, radius_um=radius, diffusivity_um2_per_s=D, spans=SPANS)
        np.testing.assert_allclose(values, one, atol=1e-15)


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match=r"stop_s \(1\) must lie after start_s \(2\)"):
        CurrentSpan(start_s=2.0, stop_s=1.0, rate_per_h=1.0)
    with pytest.raises(InputError, match="r_over_R must lie between 0 and 1"):
        sphere_response(1.5, fourier=1.0)
    with pytest.raises(InputError, match="diffusivity and radius must be positive"):
        deviation(0.5, time_s=1.0, radius_um=0.0, diffusivity_um2_per_s=D, spans=SPANS)
