"""Errors of the direct method from the two halves of a scan: by place, and of few pixels."""

from __future__ import annotations

import numpy as np

from inverse.direct_fit import Problem, State
from inverse.direct_scale import scale_of_halves, surrounded
from inverse.direct_shapes import Shapes
from inverse.grids import graded_grid
from inverse.sinogram import Sinogram
from inverse.strips import strip_projector

N_ANGLES, N_SHAPES = 8, 16


def problem_of(n_offsets: int, radius_um: float | None = None) -> Problem:
    """Rays of nothing: whatever is fitted to a half is given."""
    reach_um = 0.5 * n_offsets if radius_um is None else radius_um
    grid = graded_grid(n_offsets, step_um=1.0, rings=((1, reach_um),))
    margin = max(0, grid.margin)
    side = n_offsets + 2 * margin
    a_A = 8.18 + 1e-3 * np.arange(41)
    place = np.linspace(8.18, 8.22, N_SHAPES)
    return Problem(
        projector=strip_projector(
            grid, angles_rad=np.pi * np.arange(N_ANGLES) / N_ANGLES, n_offsets=n_offsets,
            step_um=1.0, beam_fwhm_um=1.0,
        ),
        shapes=Shapes(
            a_A, np.exp(-(((a_A[:, None] - place) / 0.01) ** 2)).astype(np.float32),
            np.eye(N_SHAPES, dtype=np.float32),
        ),
        measured=np.ones((N_ANGLES, n_offsets, N_SHAPES), np.float32), parallax_per_um=0.0,
        image_index=(grid.low + margin) * side + grid.left + margin, side=side, workers=1,
    )  # fmt: skip


def sinogram_of(n_offsets: int) -> Sinogram:
    blank = np.zeros((N_ANGLES, n_offsets, N_SHAPES), np.float32)
    return Sinogram(
        values=blank, variance=blank, transmission=np.ones((N_ANGLES, n_offsets)),
        angles_rad=np.zeros(N_ANGLES), step_um=1.0, axis_offset_um=0.0,
        two_theta_rad=np.linspace(0.1, 0.2, N_SHAPES), distance_m=0.7,
    )  # fmt: skip


def halves_of(problem: Problem, amount: np.ndarray, spread_A: np.ndarray, seed: int):
    """Return what fits halves: lattice parameters that differ by twice normal draws."""
    rng = np.random.Generator(np.random.Philox(seed))
    signs = iter((1.0, -1.0))
    change_A = spread_A * rng.standard_normal(amount.size)
    return lambda _half, _state: State(amount, 8.2 + next(signs) * change_A)


def disc(problem: Problem, radius_um: float) -> np.ndarray:
    grid = problem.projector.grid
    return np.where(np.hypot(grid.x_um, grid.y_um) < radius_um, 1.0, 0.0)


def test_pixels_of_the_middle_and_of_the_rim_have_errors_of_their_own():
    # Truth: planted spreads. 1.4826·median|v| of n normal values scatters by 1.17/√n of it, 6 σ.
    problem = problem_of(61)
    amount = disc(problem, 20.0)
    inside = surrounded(problem, amount > 0.5)
    fitted = halves_of(problem, amount, np.where(inside, 1e-3, 3e-3), 3)
    found = scale_of_halves(
        problem, State(amount, np.full(amount.size, 8.2)), sinogram=sinogram_of(61), fitted=fitted
    )
    for place, true_A in ((inside, 1e-3), (~inside & (amount > 0.5), 3e-3)):
        limit = 6.0 * 1.17 / np.sqrt(np.count_nonzero(place))
        np.testing.assert_allclose(found.lattice_A[place], true_A, rtol=limit)
        assert np.ptp(found.lattice_A[place]) == 0.0


def test_what_is_surrounded_by_full_pixels():
    # Truth: of a disc, the pixels whose eight neighbours lie in it too.
    problem = problem_of(31)
    amount = disc(problem, 8.0)
    grid = problem.projector.grid
    neighbours = [
        np.hypot(grid.x_um + dx, grid.y_um + dy) < 8.0 for dx in (-1, 0, 1) for dy in (-1, 0, 1)
    ]
    np.testing.assert_array_equal(
        surrounded(problem, amount > 0.5), np.logical_and.reduce(neighbours)
    )


def test_few_pixels_share_one_error():
    # Truth: 1.4826 times the median of all changes; what cannot be told from a handful is of all.
    problem = problem_of(21)
    amount = disc(problem, 3.5)
    assert 0 < np.count_nonzero(surrounded(problem, amount > 0.5)) < 30
    fitted = halves_of(problem, amount, np.full(amount.size, 2e-3), 5)
    state = State(amount, np.full(amount.size, 8.2))
    found = scale_of_halves(problem, state, sinogram=sinogram_of(21), fitted=fitted)
    drawn = 2e-3 * np.random.Generator(np.random.Philox(5)).standard_normal(amount.size)
    expected = 1.4826 * np.median(np.abs(drawn[amount > 0.5]))
    np.testing.assert_allclose(found.lattice_A, expected, rtol=1e-4)


def test_changes_count_by_amounts_and_in_view_alone():
    # Truth: lattice parameters of less material scatter as much more: times the amount, alike.
    # Beyond the view, where nothing is scored, they may scatter as they like.
    problem = problem_of(41, radius_um=30.0)
    grid = problem.projector.grid
    r_um = np.hypot(grid.x_um, grid.y_um)
    amount = np.where(grid.x_um > 0.0, 0.6, 1.0)
    spread_A = np.where(r_um > 20.5, 1.0, 1e-3) / amount
    fitted = halves_of(problem, amount, spread_A, 7)
    found = scale_of_halves(
        problem, State(amount, np.full(amount.size, 8.2)), sinogram=sinogram_of(41), fitted=fitted
    )
    inside = surrounded(problem, amount > 0.5)
    limit = 6.0 * 1.17 / np.sqrt(np.count_nonzero(r_um <= 20.5))
    np.testing.assert_allclose(found.lattice_A[inside], 1e-3, rtol=limit)
