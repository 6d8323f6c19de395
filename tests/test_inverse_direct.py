"""The direct method: its model of the rays, its derivatives, penalties, and what it recovers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inverse.direct_fit import Problem, State, _objective, fit
from inverse.direct_prior import (
    amount_roughness,
    bending_of,
    lattice_roughness,
    rounded_absolute,
)
from inverse.direct_settings import Direct
from inverse.direct_shapes import Shapes
from inverse.grids import graded_grid
from inverse.strips import strip_projector

N_OFFSETS = 21
A_MIN_A, SPACING_A, N_NODES = 8.18, 1e-3, 61


def bell_shapes() -> Shapes:
    """Shapes of one Gaussian line that moves with the lattice parameter, padded to 16."""
    a_A = A_MIN_A + SPACING_A * np.arange(N_NODES)
    place = np.linspace(A_MIN_A - 0.02, a_A[-1] + 0.02, 12)
    curve = np.exp(-0.5 * ((a_A[:, None] - place) / 0.012) ** 2)
    padded = np.pad(curve, ((0, 0), (0, 4))).astype(np.float32)
    return Shapes(a_A=a_A, curve=padded, from_channels=np.eye(16, dtype=np.float32))


def problem_of(
    *, n_angles: int = 24, parallax_per_um: float = 2e-5, radius_um: float = 10.0
) -> Problem:
    grid = graded_grid(N_OFFSETS, step_um=1.0, rings=((1, radius_um),))
    margin = max(0, grid.margin)
    side = N_OFFSETS + 2 * margin
    angles = np.pi * np.arange(n_angles) / n_angles
    projector = strip_projector(
        grid, angles_rad=angles, n_offsets=N_OFFSETS, step_um=1.0, beam_fwhm_um=1.0
    )
    return Problem(
        projector=projector,
        shapes=bell_shapes(),
        measured=np.zeros((n_angles, N_OFFSETS, 16), np.float32),
        parallax_per_um=parallax_per_um,
        image_index=(grid.low + margin) * side + grid.left + margin,
        side=side,
        workers=1,
    )


def random_state(problem: Problem, seed: int) -> State:
    rng = np.random.Generator(np.random.Philox(seed))
    n_pixels = problem.projector.grid.x_um.size
    return State(rng.uniform(0.1, 0.9, n_pixels), rng.uniform(8.195, 8.225, n_pixels))


def smooth_particle(problem: Problem) -> State:
    """A disc off the centre, with 20 mÅ from its middle to its edge."""
    grid = problem.projector.grid
    r_um = np.hypot(grid.x_um - 1.5, grid.y_um + 0.5)
    amount = np.clip(6.5 - r_um, 0.0, 1.0) * 0.9
    return State(amount, 8.220 - 0.020 * np.minimum(r_um / 6.5, 1.0) ** 2)


def test_shown_is_the_strip_projection_of_each_pixels_shapes():
    # Truth: the linear strip projector, applied to shapes interpolated with numpy. No parallax.
    problem = problem_of(parallax_per_um=0.0)
    state = random_state(problem, 1)
    curve = problem.shapes.curve
    drawn = np.stack(
        [np.interp(state.a_A, problem.shapes.a_A, curve[:, k]) for k in range(curve.shape[1])], 1
    )
    expected = problem.projector.forward(state.amount[:, None] * drawn)
    shown = problem.shown(state)
    # Single precision: positions to 1e-7·60 nodes, of shapes that change by 8 % a node.
    np.testing.assert_allclose(shown, expected, atol=2e-5 * float(expected.max()))


def test_parallax_moves_a_pixel_by_its_place_along_the_beam():
    # Truth: the definition. One pixel at (x, 0), seen along y (ω = 0) lies at s = 0, and after a
    # quarter turn (ω = 90°) at s = −x: its pattern is that of a·(1 − κ·x).
    problem = problem_of(n_angles=2, parallax_per_um=3e-5)
    grid = problem.projector.grid
    pixel = int(np.argmin(np.hypot(grid.x_um - 8.0, grid.y_um)))
    amount = np.zeros(grid.x_um.size)
    amount[pixel] = 1.0
    a_A = 8.2104
    shown = problem.shown(State(amount, np.full(amount.size, a_A))).sum(axis=1)
    for angle, moved_A in ((0, a_A), (1, a_A * (1.0 - 3e-5 * 8.0))):
        expected = [np.interp(moved_A, problem.shapes.a_A, c) for c in problem.shapes.curve.T]
        # The strips of one projection hold the whole pixel, 1 µm², to the cut of the beam's tails.
        np.testing.assert_allclose(shown[angle], expected, atol=1e-3)


@pytest.mark.parametrize("n_angles", [1, 24])
def test_derivatives_are_those_of_the_objective(n_angles):
    # Truth: central differences of the objective itself along random directions. Positions are
    # kept in the middle of the nodes' intervals: the curve has kinks at its nodes.
    problem = problem_of(n_angles=n_angles)
    other = random_state(problem, 2)
    problem = replace(problem, measured=problem.shown(other), parallax_per_um=0.0)
    state = random_state(problem, 3)
    node = np.floor((state.a_A - A_MIN_A) / SPACING_A)
    state = State(state.amount, A_MIN_A + SPACING_A * (node + 0.5))
    settings = Direct(amount_smoothness=0.3, lattice_smoothness=0.7)
    bending = bending_of(problem.image(state.amount, empty=0.0))
    _, by_amount, by_lattice = _objective(problem, state, bending, settings)
    rng = np.random.Generator(np.random.Philox(4))
    unit_A = problem.shapes.answering_A
    step = 2e-3
    for _ in range(3):
        u, v = rng.choice((-1.0, 1.0), (2, state.amount.size))
        values = [
            _objective(
                problem,
                State(state.amount + side * step * u, state.a_A + side * step * v * unit_A),
                bending,
                settings,
            )[0]
            for side in (1.0, -1.0)
        ]
        slope = (values[0] - values[1]) / (2.0 * step)
        expected = float(by_amount @ u + by_lattice @ v)
        # Differences of third order in the step, relative to a typical slope; single precision.
        scale = float(np.sqrt(np.sum(by_amount**2) + np.sum(by_lattice**2)))
        assert abs(slope - expected) < 0.01 * scale


def test_penalties_know_no_gradient_and_no_gap():
    # Truth: a plane has no curvature, whatever its slope; where w vanishes nothing counts.
    y, x = np.mgrid[0:9, 0:11].astype(float)
    plane = 0.3 * x - 0.7 * y
    full = bending_of(np.ones((9, 11)))
    value, slope = lattice_roughness(plane, bending=full, answering_A=0.015)
    assert value == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(slope, 0.0, atol=1e-7)
    amount = np.ones((9, 11))
    amount[:, 5] = 0.0
    step = np.where(x > 5, 1.0, 0.0)
    step[:, 5] = 17.0
    value, _ = lattice_roughness(step, bending=bending_of(amount), answering_A=0.015)
    assert value == 0.0


def test_roughness_of_a_step_is_its_height():
    # Truth: total variation of a step of one pixel's edge: δ·(√(δ² + 1) − δ) per row.
    image = np.zeros((4, 6))
    image[:, 3:] = 1.0
    value, _ = amount_roughness(image)
    assert value == pytest.approx(4.0 * 0.05 * (np.sqrt(0.05**2 + 1.0) - 0.05))
    h, derivative = rounded_absolute(np.array([-2.0, 0.0, 2.0]), 0.5)
    np.testing.assert_allclose(h, 0.5 * (np.sqrt(0.25 + np.array([4.0, 0.0, 4.0])) - 0.5))
    np.testing.assert_allclose(derivative[[0, 2]], [-derivative[2], derivative[2]])


def test_rays_of_the_model_itself_are_explained_and_the_gradient_found():
    # Truth: the state that made the rays. Whole sample in view, angles enough, parallax on.
    problem = problem_of(n_angles=40)
    truth = smooth_particle(problem)
    problem = replace(problem, measured=problem.shown(truth))
    start = State(np.full(truth.amount.size, 0.4), np.full(truth.amount.size, 8.211))
    settings = Direct(amount_smoothness=0.0, lattice_smoothness=0.0)
    found = fit(problem, start=start, settings=settings, n_iterations=300, a_range_A=(8.19, 8.23))
    full = truth.amount > 0.85
    assert full.sum() > 80
    # Nothing but convergence is left: below 0.2 mÅ of a 20 mÅ gradient.
    assert np.sqrt(np.mean((found.a_A - truth.a_A)[full] ** 2)) < 2e-4
    assert np.sqrt(np.mean((found.amount - truth.amount)[full] ** 2)) < 0.01


def test_what_lies_outside_the_view_takes_its_own_share():
    # Truth: as above, with a second particle beyond the window's rays at most angles. Pixels that
    # reach to it recover the window; without them it must be explained inside, wrongly: the error
    # at least doubles.
    wide = problem_of(n_angles=40, radius_um=22.0)
    grid = wide.projector.grid
    inside = smooth_particle(wide)
    beyond = np.hypot(grid.x_um - 16.0, grid.y_um) < 4.0
    truth = State(np.where(beyond, 0.9, inside.amount), np.where(beyond, 8.200, inside.a_A))
    measured = wide.shown(truth)
    settings = Direct()

    def error_A(problem: Problem) -> float:
        n_pixels = problem.projector.grid.x_um.size
        start = State(np.full(n_pixels, 0.4), np.full(n_pixels, 8.211))
        found = fit(
            replace(problem, measured=measured), start=start, settings=settings,
            n_iterations=150, a_range_A=(8.19, 8.23),
        )  # fmt: skip
        known = problem.projector.grid.image(found.a_A)
        true_A, amount = grid.image(truth.a_A), grid.image(truth.amount)
        full = amount > 0.85
        return float(np.sqrt(np.mean((known - true_A)[full & np.isfinite(known)] ** 2)))

    narrow = problem_of(n_angles=40, radius_um=10.0)
    assert error_A(wide) < 0.5 * error_A(narrow)


def test_threads_do_not_change_the_result():
    # Truth: the order of additions is fixed, so results are equal bit by bit.
    problem = problem_of()
    state = random_state(problem, 5)
    shown = problem.shown(state)
    two = replace(problem, workers=2)
    assert np.array_equal(shown, two.shown(state))
    for one, other in zip(problem.slopes(shown, state), two.slopes(shown, state), strict=True):
        assert np.array_equal(one, other)


def test_lattice_parameters_stay_within_their_range():
    # Truth: the bounds asked for, of rays whose own lattice parameters lie up to 10 mÅ beyond.
    problem = problem_of(n_angles=40)
    truth = smooth_particle(problem)
    problem = replace(problem, measured=problem.shown(truth))
    start = State(np.full(truth.amount.size, 0.4), np.full(truth.amount.size, 8.205))
    a_range_A = (8.200, 8.210)
    found = fit(problem, start=start, settings=Direct(), n_iterations=60, a_range_A=a_range_A)
    assert found.a_A.min() >= a_range_A[0]
    assert found.a_A.max() <= a_range_A[1]
    # The middle, at 8.215 Å and more, is held at the end of the range.
    middle = truth.a_A > 8.215
    assert middle.sum() > 20
    np.testing.assert_allclose(found.a_A[middle & (truth.amount > 0.8)], a_range_A[1], atol=1e-9)


def test_few_steps_come_near_to_where_many_lead():
    # Truth: where twenty times the steps lead. Of a penalty a hundred times as stiff as misfits,
    # 4e-5 of the way is left after 30 steps, and was 3e-3 with plain unknowns: 1e-4 parts the two.
    problem = problem_of(n_angles=40)
    problem = replace(problem, measured=problem.shown(smooth_particle(problem)))
    given = Direct(amount_smoothness=0.02, lattice_smoothness=20.0)
    full = smooth_particle(problem).amount
    start = State(full, np.where(full > 0.0, 8.211, 8.205) + random_state(problem, 9).amount * 8e-3)
    bending = bending_of(problem.image(start.amount, empty=0.0))

    def value(n_iterations: int) -> float:
        found = fit(
            problem, start=start, settings=given, n_iterations=n_iterations, a_range_A=(8.18, 8.24)
        )
        return _objective(problem, found, bending, given)[0]

    first = _objective(problem, start, bending, given)[0]
    least = value(600)
    assert value(30) - least < 1e-4 * (first - least)
