"""Spherical diffusion: against finite volumes, conservation, and its limits in time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from phantoms.diffusion import (
    CurrentSpan,
    content_table,
    deviation,
    mean_content,
    sphere_response,
)
from xrdct.errors import InputError

RADIUS_UM, D = 9.0, 0.02
SPANS = (
    CurrentSpan(start_s=0.0, stop_s=1600.0, rate_per_h=0.4),
    CurrentSpan(start_s=2900.0, stop_s=4500.0, rate_per_h=0.3),
    CurrentSpan(start_s=5000.0, stop_s=5200.0, rate_per_h=-0.5),
)
TIMES_S = (800.0, 1600.0, 2200.0, 4500.0, 5150.0, 6000.0)


def finite_volumes(n_cells: int) -> np.ndarray:
    """x at the middles of equal shells, shape (time, cell), by an integrator of ODEs."""
    edges = np.linspace(0.0, RADIUS_UM, n_cells + 1)
    volume = np.diff(edges**3) / 3.0
    coupling = edges[1:-1] ** 2 * D * n_cells / RADIUS_UM
    i = np.arange(n_cells - 1)
    matrix = np.zeros((n_cells, n_cells))
    matrix[i, i + 1], matrix[i + 1, i] = coupling / volume[:-1], coupling / volume[1:]
    matrix[np.diag_indices(n_cells)] = -matrix.sum(axis=1)
    inflow = np.zeros(n_cells)
    inflow[-1] = RADIUS_UM**3 / 3.0 / volume[-1]

    x, found = np.full(n_cells, 0.2), []
    stops_s = sorted({0.0, *TIMES_S, *(t for s in SPANS for t in (s.start_s, s.stop_s))})
    for begin, end in pairwise(stops_s):
        per_s = sum(s.rate_per_h / 3600.0 for s in SPANS if s.start_s <= begin < s.stop_s)
        run = solve_ivp(
            lambda _, now, per_s=per_s: matrix @ now + per_s * inflow, (begin, end), x,
            method="BDF", jac=matrix, rtol=1e-9, atol=1e-12,
        )  # fmt: skip
        x = run.y[:, -1]
        found += [x] if end in TIMES_S else []
    return np.array(found)


def series(r_over_R: np.ndarray) -> np.ndarray:
    return np.array([
        mean_content(time_s=t, start=0.2, spans=SPANS)
        + deviation(r_over_R, time_s=t, radius_um=RADIUS_UM, diffusivity_um2_per_s=D, spans=SPANS)
        for t in TIMES_S
    ])  # fmt: skip


def test_series_agrees_with_finite_volumes():
    # Independent: the method of lines. It is of second order: from 60 to 120 cells its error falls
    # to a quarter, so that what is left at 120 is below the difference of the two, both taken at
    # the same places (the mean of two cells' middles, another second-order step).
    coarse, fine = finite_volumes(60), finite_volumes(120)
    middles = (np.arange(60) + 0.5) / 60
    paired = 0.5 * (fine[:, ::2] + fine[:, 1::2])
    error = np.abs(coarse - paired).max()
    assert error < 2e-4  # else the comparison says little: x changes by 0.3
    assert np.abs(paired - series(middles)).max() < error
    assert np.ptp(series(middles), axis=1).max() > 0.03


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


def test_a_resting_sphere_becomes_flat_and_keeps_its_mean():
    # Limit and law: at τ = 3 after the current nothing of the gradient is left (5e-27).
    later_s = SPANS[-1].stop_s + 3.0 * RADIUS_UM**2 / D
    table = content_table(
        time_s=later_s, start=0.2, radius_um=RADIUS_UM, diffusivity_um2_per_s=D, spans=SPANS
    )
    charge = 0.4 * 1600.0 / 3600.0 + 0.3 * 1600.0 / 3600.0 - 0.5 * 200.0 / 3600.0
    np.testing.assert_allclose(table.value, 0.2 + charge, rtol=1e-13)


def test_before_the_current_nothing_moves():
    span = [CurrentSpan(start_s=100.0, stop_s=200.0, rate_per_h=1.0)]
    table = content_table(
        time_s=100.0, start=0.3, radius_um=5.0, diffusivity_um2_per_s=D, spans=span
    )
    assert set(table.value) == {0.3}


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
    with pytest.raises(InputError, match="a table needs at least two nodes, got 1"):
        content_table(
            time_s=1.0, start=0.0, radius_um=1.0, diffusivity_um2_per_s=D, spans=SPANS, n_nodes=1
        )
