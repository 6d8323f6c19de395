"""Where the direct fit sees the rotation axis: told by its misfit, and put right on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inverse.direct_axis import _TAKEN_ON, axis_change_um
from inverse.direct_course import Course
from inverse.direct_fit import Problem, State
from inverse.direct_settings import Direct
from inverse.direct_subpixel import parts_of
from inverse.strips import strip_projector
from tests.test_inverse_direct import N_OFFSETS, problem_of, smooth_particle

N_ANGLES = 24


def angles_rad(turn_deg: float) -> np.ndarray:
    return np.deg2rad(turn_deg) * np.arange(N_ANGLES) / N_ANGLES


def problem_over(turn_deg: float) -> Problem:
    """The problem of the direct method's tests, its angles over so many degrees."""
    problem = problem_of(n_angles=N_ANGLES)
    given = problem.projector
    projector = strip_projector(
        given.grid, angles_rad=angles_rad(turn_deg), n_offsets=N_OFFSETS, step_um=1.0,
        beam_fwhm_um=1.0,
    )  # fmt: skip
    return replace(problem, projector=projector)


def particle_seen(axis_um: float, *, turn_deg: float = 180.0) -> tuple[Problem, State]:
    """A problem that has the axis in the middle, with noise-free rays about another."""
    problem = problem_over(turn_deg)
    state = smooth_particle(problem)
    return replace(problem, measured=problem.about(axis_um).shown(state)), state


def lengthening(turn_deg: float) -> float:
    """Closed form of the step's: q = 1 − ⟨1, shifts⟩² for angles that count alike."""
    angles = angles_rad(turn_deg)
    shifts = np.linalg.qr(np.stack([np.cos(angles), np.sin(angles)], axis=1))[0]
    share = 1.0 - np.sum(shifts.sum(axis=0) ** 2) / N_ANGLES
    return 1.0 + _TAKEN_ON * (1.0 - share)


@pytest.mark.parametrize("axis_um", [-0.7, 0.0, 3.37])
def test_a_projector_about_another_axis_is_the_one_made_there(axis_um):
    # Truth: the projector made with that axis from the beginning.
    projector = problem_of(n_angles=5).projector
    made = strip_projector(
        projector.grid, angles_rad=np.pi * np.arange(5) / 5, n_offsets=N_OFFSETS, step_um=1.0,
        beam_fwhm_um=1.0, axis_offset_um=axis_um,
    )  # fmt: skip
    moved = projector.about(axis_um)
    assert made.axis_offset_um == pytest.approx(axis_um, abs=1e-12)
    assert moved.axis_offset_um == pytest.approx(axis_um, abs=1e-12)
    image = np.random.Generator(np.random.Philox(7)).uniform(size=(projector.grid.x_um.size, 1))
    # Single precision of sums of about twenty pixels.
    np.testing.assert_allclose(moved.forward(image), made.forward(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("turn_deg", [180.0, 230.0, 360.0])
@pytest.mark.parametrize("axis_um", [-0.05, 0.02, 0.1])
def test_the_misfit_of_the_true_sample_tells_the_axis(axis_um, turn_deg):
    # Truth: the planted axis, all of which the misfit of the true state holds, and the step's own
    # lengthening. Differences over a quarter of a step of lines 2 steps wide (pixel and beam) err
    # by (1/4)²/6 of their third derivative, 1 to 3 %, and the linear misfit likewise; projections
    # of a disc off the axis count alike to a few per cent.
    problem, state = particle_seen(axis_um, turn_deg=turn_deg)
    expected = lengthening(turn_deg) * axis_um
    assert axis_change_um(problem, state) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("turn_deg", "share"), [(60.0, 0.00176), (120.0, 0.0323), (150.0, 0.0856)])
def test_angles_that_do_not_tell_the_axis_leave_it(turn_deg, share):
    # Closed form: what cos and sin leave of a constant over that range, for many angles.
    many = np.deg2rad(turn_deg) * (np.arange(2000) + 0.5) / 2000
    shifts = np.linalg.qr(np.stack([np.cos(many), np.sin(many)], axis=1))[0]
    assert 1.0 - np.sum(shifts.sum(axis=0) ** 2) / 2000 == pytest.approx(share, rel=0.01)
    problem, state = particle_seen(0.1, turn_deg=turn_deg)
    assert axis_change_um(problem, state) == 0.0


@pytest.mark.parametrize("n_angles", [1, 2])
def test_one_or_two_projections_tell_no_axis(n_angles):
    # Law: two functions of two angles are every function of them.
    problem = problem_of(n_angles=n_angles)
    state = smooth_particle(problem)
    shown = replace(problem, measured=problem.about(0.1).shown(state))
    assert axis_change_um(shown, state) == 0.0


def test_misfits_are_weighed_with_the_filter():
    # Truth: a misfit that is the same in all rays of a projection, as of a background that was
    # taken off too faintly, is next to nothing behind the ramp filter, and would move the axis by
    # tenths of a step without it where the sample is seen to one side.
    problem, state = particle_seen(0.0)
    more = np.linspace(0.0, 1.0, N_ANGLES, dtype=np.float32)[:, None, None]
    tilted = np.linspace(-1.0, 1.0, N_OFFSETS, dtype=np.float32)[:, None]
    added = 0.1 * float(problem.measured.max()) * more * tilted
    drawn = replace(problem, measured=problem.measured + added)
    unfiltered = replace(drawn)
    unfiltered.__dict__["_filter"] = np.eye(N_OFFSETS, dtype=np.float32)
    assert abs(axis_change_um(drawn, state)) < 0.5 * abs(axis_change_um(unfiltered, state))


def test_an_axis_is_never_moved_by_more_than_a_quarter_step_at_a_time():
    problem, state = particle_seen(0.6)
    assert axis_change_um(problem, state) == 0.25
    problem, state = particle_seen(-0.6)
    assert axis_change_um(problem, state) == -0.25


@pytest.mark.parametrize(("x_um", "y_um"), [(0.1, 0.0), (0.0, 0.1), (-0.07, 0.07)])
def test_a_displaced_sample_moves_no_axis(x_um, y_um):
    # Law: displacements like cos ω and sin ω are the sample's. The difference that stands for the
    # slope errs by up to 3 % (above), by angle differently, of 0.1 µm. Not told apart, that would
    # move an axis by 0.08 µm.
    problem, state = particle_seen(0.0)
    grid = problem.projector.grid
    moved = replace(grid, x_um=grid.x_um + x_um, y_um=grid.y_um + y_um)
    elsewhere = replace(problem, projector=replace(problem.projector, grid=moved))
    shifted = replace(problem, measured=elsewhere.shown(state))
    assert abs(axis_change_um(shifted, state)) < 0.003


def test_where_nothing_is_shown_or_known_the_axis_stays():
    problem, state = particle_seen(0.1)
    assert axis_change_um(problem, replace(state, amount=np.zeros_like(state.amount))) == 0.0
    unknown = replace(problem, measured=np.full_like(problem.measured, np.nan))
    assert axis_change_um(unknown, state) == 0.0


@pytest.mark.parametrize("turn_deg", [180.0, 360.0])
@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("axis_um", [-0.08, 0.06])
def test_the_fit_puts_the_axis_right(axis_um, n_parts, turn_deg):
    # Truth: the planted axis, and the same fit of rays about the right one. Kept wrong, it leaves
    # the state displaced by 4/π of it over 180°, where the planted gradient makes an error of
    # 3 mÅ/µm, and blurs it over 360°.
    problem, true = particle_seen(axis_um, turn_deg=turn_deg)
    start = State(0.7 * true.amount, np.full_like(true.a_A, 8.205))
    inside = true.amount > 0.85

    def ended(problem: Problem, *, finds_axis: bool) -> tuple[float, float]:
        course = Course(
            Direct(n_iterations=60, lattice_smoothness=0.01, amount_smoothness=0.01),
            (8.185, 8.235), finds_axis=finds_axis, step_taken=lambda: None,
        )  # fmt: skip
        parts = parts_of(problem, n=n_parts, angles_rad=angles_rad(turn_deg))
        if n_parts > 1:
            shown = parts.about(axis_um if problem.measured is given else 0.0).shown(true)
            parts = replace(parts, problem=replace(problem, measured=shown))
        reached = course.followed(parts, start, None, None)
        error_A = (reached.state.a_A - true.a_A)[inside]
        return reached.parts.projector.axis_offset_um, float(np.sqrt(np.mean(error_A**2)))

    given = problem.measured
    right = replace(problem, measured=problem.shown(true))
    (found_um, rms_A), (kept_um, wrong_A) = (ended(problem, finds_axis=f) for f in (True, False))
    _, best_A = ended(right, finds_axis=False)
    assert kept_um == pytest.approx(0.0, abs=1e-12)
    # From three steps, of which each leaves at most a half.
    assert found_um == pytest.approx(axis_um, abs=abs(axis_um) / 8)
    assert rms_A < 0.5 * (wrong_A + best_A)
