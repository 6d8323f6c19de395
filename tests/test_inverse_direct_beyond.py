"""The direct fit's first steps: what lies beyond the view alone, all else as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import inverse.direct_course
from inverse.direct_course import BEYOND_SHARE, Course
from inverse.direct_fit import Problem, State, _objective, fit
from inverse.direct_prior import bending_of
from inverse.direct_settings import Direct
from inverse.direct_subpixel import parts_of
from inverse.geometry import field_of_view
from tests.test_inverse_direct import N_OFFSETS, problem_of, smooth_particle

RANGE_A = (8.19, 8.23)
N_ANGLES = 24


def full_disc(problem: Problem) -> State:
    """Particles of two kinds of grey everywhere, also where the view ends."""
    grid = problem.projector.grid
    wave = np.sin(0.9 * grid.x_um) * np.cos(0.7 * grid.y_um)
    return State(np.clip(0.5 + 0.8 * wave, 0.0, 1.0), 8.21 + 0.008 * np.cos(0.3 * grid.x_um))


def level_outside(problem: Problem, true: State) -> State:
    beyond = problem.beyond_view()
    return State(np.where(beyond, 0.4, true.amount), np.where(beyond, 8.21, true.a_A))


def wide_problem() -> tuple[Problem, State]:
    """Rays of a sample half as wide again as the view, without noise."""
    problem = problem_of(n_angles=N_ANGLES, radius_um=16.0)
    true = full_disc(problem)
    return replace(problem, measured=problem.shown(true)), true


@pytest.mark.parametrize("axis_um", [-1.3, 0.0, 0.4])
def test_beyond_the_view_is_what_the_field_of_view_leaves_out(axis_um):
    # Truth: the field of view that maps end with.
    problem = problem_of(radius_um=16.0).about(axis_um)
    grid = problem.projector.grid
    seen = field_of_view(N_OFFSETS, n_offsets=N_OFFSETS, step_um=1.0, axis_offset_um=axis_um)
    image = grid.image(problem.beyond_view())
    np.testing.assert_array_equal(image[seen], 0.0)
    np.testing.assert_array_equal(image[~seen], 1.0)
    assert np.all(problem.beyond_view()[np.hypot(grid.x_um, grid.y_um) > N_OFFSETS / 2.0])
    assert grid.margin > 0


def test_pixels_that_are_not_moved_stay_and_the_others_come_to_rest():
    # Law: at its end no derivative by a moved amount or lattice parameter is left, except where an
    # amount is at its limit; steps end when the objective falls by less than 2e-9 of itself.
    problem, true = wide_problem()
    start, beyond = level_outside(problem, true), problem.beyond_view()
    settings = Direct(bias="none")
    ended = fit(
        problem, start=start, settings=settings, n_iterations=2000, a_range_A=RANGE_A,
        moved=beyond,
    )  # fmt: skip
    for now, before in ((ended.amount, start.amount), (ended.a_A, start.a_A)):
        np.testing.assert_allclose(now[~beyond], before[~beyond], rtol=1e-12)
        assert np.all(now[beyond] != before[beyond])
    bending = bending_of(problem.image(start.amount, empty=0.0))
    value, *slopes = _objective(problem, start, bending, settings)
    rest, *left = _objective(problem, ended, bending, settings)
    assert rest < value
    within = beyond & (ended.amount > 0.0) & (ended.amount < 1.0)
    for slope, at_rest in zip(slopes, left, strict=True):
        assert np.linalg.norm(at_rest[within]) < 1e-2 * np.linalg.norm(slope[within])


def course_of(n_iterations: int) -> Course:
    settings = Direct(bias="none", n_iterations=n_iterations)
    return Course(settings, RANGE_A, finds_axis=False, step_taken=lambda: None)


@pytest.mark.parametrize("radius_um", [9.0, 16.0])
def test_beyond_the_view_goes_first_where_there_is_anything(monkeypatch, radius_um):
    problem = problem_of(n_angles=N_ANGLES, radius_um=radius_um)
    state = smooth_particle(problem)
    asked = []

    def taken(problem, *, start, n_iterations, moved, **_further):
        asked.append((n_iterations, moved))
        return start

    monkeypatch.setattr(inverse.direct_course, "fit", taken)
    angles = np.pi * np.arange(N_ANGLES) / N_ANGLES
    course_of(60).followed(parts_of(problem, n=1, angles_rad=angles), state, None, None)
    if problem.beyond_view().any():
        n_first, moved = asked.pop(0)
        assert n_first == round(60 * BEYOND_SHARE)
        np.testing.assert_array_equal(moved, problem.beyond_view())
    assert [moved for _, moved in asked] == [None] * 4
    assert sum(n for n, _ in asked) == 60
    assert problem.beyond_view().any() == (radius_um > 10.0)


def test_what_lies_beyond_is_not_made_good_at_the_end_of_the_view():
    # Truth: the planted sample, which the pixels in view start with, over a full turn.
    problem, true = wide_problem()
    start = level_outside(problem, true)
    grid = problem.projector.grid
    rim = ~problem.beyond_view() & (np.hypot(grid.x_um, grid.y_um) > 8.0) & (true.amount > 0.9)
    angles = np.pi * np.arange(N_ANGLES) / N_ANGLES
    parts = parts_of(problem, n=1, angles_rad=angles)
    course = course_of(20)
    reached = course.followed(parts, start, None, None).state
    at_once = fit(
        problem, start=start, settings=course.settings, n_iterations=20 + 2, a_range_A=RANGE_A
    )  # fmt: skip

    def error_A(state: State) -> float:
        return float(np.sqrt(np.mean((state.a_A - true.a_A)[rim] ** 2)))

    assert error_A(reached) < error_A(at_once)
