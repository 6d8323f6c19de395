"""What pixels share, refined from the rays of a direct fit, and the fit's stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inverse.direct_course import Course
from inverse.direct_fit import Problem, State
from inverse.direct_problem import RayShapes, problem_of
from inverse.direct_settings import Direct
from inverse.direct_shared import curve_of, shared_by_rays, within_limits
from inverse.direct_subpixel import parts_of
from inverse.refine import LatticeModel
from inverse.shared import INSIDE, Shared
from inverse.sinogram import Sinogram

N_CHANNELS, N_OFFSETS, N_ANGLES = 240, 21, 24
LINES = np.array([30.0, 70.0, 120.0, 165.0, 215.0])
HEIGHTS = np.array([1.0, 0.6, 0.8, 0.5, 0.7])
A_A = 8.16 + 5e-4 * np.arange(161)
TRUE = Shared(crystallite_size_nm=150.0, strain=8e-4, b_iso_change_A2=0.4)
WRONG = Shared(crystallite_size_nm=220.0, strain=4e-4, b_iso_change_A2=-0.5)
ANGLES = np.pi * np.arange(N_ANGLES) / N_ANGLES


def build(shared: Shared) -> LatticeModel:
    """Five Gaussians that widen with strain and small crystallites, and weaken with B_iso."""
    strain2, inverse_size = (1e3 * shared.strain) ** 2, 100.0 / shared.crystallite_size_nm
    variance = 9.0 + (LINES / 60.0) ** 2 * strain2 + 2.0 * inverse_size
    area = HEIGHTS * np.exp(-shared.b_iso_change_A2 * LINES / 200.0)
    place = LINES * (1.0 - 20.0 * (A_A[:, None] / 8.20 - 1.0))
    t = np.arange(N_CHANNELS) - place[..., None]
    lines = area[:, None] * np.exp(-0.5 * t**2 / variance[:, None]) / np.sqrt(variance)[:, None]
    return LatticeModel(
        a_A=A_A, templates=lines.sum(axis=1),
        linear=np.stack([np.ones(N_CHANNELS), np.linspace(-1.0, 1.0, N_CHANNELS)]),
    )  # fmt: skip


def sinogram_of(values: np.ndarray) -> Sinogram:
    return Sinogram(
        values=values.astype(np.float32), variance=np.full(values.shape, 1e-4, np.float32),
        transmission=np.ones(values.shape[:2]), angles_rad=ANGLES, step_um=1.0,
        axis_offset_um=0.0, two_theta_rad=np.deg2rad(3.0 + 0.02 * np.arange(N_CHANNELS)),
        distance_m=1e6,
    )  # fmt: skip


def problem_by(rays: RayShapes, shared: Shared, radius_um: float = 10.0) -> Problem:
    return problem_of(rays, shared, radius_um=radius_um, beam_fwhm_um=1.0, workers=1)


def rays_of(values: np.ndarray) -> RayShapes:
    settings = Direct(crystallites=False, n_iterations=40, bias="none")
    return RayShapes(sinogram_of(values), build, 0, (8.18, 8.22), np.array([8.20]), settings)


@pytest.fixture(scope="module")
def scan() -> tuple[RayShapes, State]:
    """Rays of a disc whose lattice parameter rises by 20 mÅ across it, with its true widths."""
    blank = rays_of(np.zeros((N_ANGLES, N_OFFSETS, N_CHANNELS)))
    problem = problem_by(blank, TRUE)
    grid = problem.projector.grid
    amount = 0.9 * np.clip(7.5 - np.hypot(grid.x_um - 1.0, grid.y_um + 0.5), 0.0, 1.0)
    state = State(amount, 8.20 + 0.0013 * grid.x_um)
    model = build(TRUE)
    channels = np.eye(N_CHANNELS, dtype=np.float32)
    whole = replace(
        problem.shapes, a_A=A_A, curve=model.templates.astype(np.float32), from_channels=channels
    )
    values = replace(problem, shapes=whole, parallax_per_um=0.0).shown(state)
    return rays_of(values + 0.3), state


def distance(found: Shared) -> np.ndarray:
    """How far from the truth: squared strain in 1e-6, 1/size in 1/(100 nm), B_iso in Å²."""
    return np.abs(
        [1e6 * (found.strain**2 - TRUE.strain**2),
         100.0 / found.crystallite_size_nm - 100.0 / TRUE.crystallite_size_nm,
         found.b_iso_change_A2 - TRUE.b_iso_change_A2]
    )  # fmt: skip


@pytest.mark.parametrize("amounts", [1.0, 0.8])
def test_shared_parameters_come_from_the_rays(scan, amounts):
    # Truth: rays made with TRUE, no noise. Steps converge on it, whatever common factor the state
    # still has. The ridge leaves 1e-4/(1 − c²) of each step, where c is the cosine between two J_k:
    # with 1 − c² of 1e-3 at least a tenth, which twelve steps make 1e-12. What stays are shapes of
    # single precision: 1e-7 of patterns, over changes by a hundredth and 1e-3: of order 0.01.
    rays, true = scan
    state = State(amounts * true.amount, true.a_A)
    assert (distance(after_steps(rays, state)) < 0.02).all()
    assert (distance(WRONG) > 0.2).all()


def test_a_common_shift_of_lattice_parameters_is_not_taken_for_a_width(scan):
    # Law: to first order a shift is what the direction of a common change takes. To second order
    # 1 mÅ moves lines by 0.1 to 0.5 channels, s, which is as much as s² more of variance: 0.3 at
    # most, where strain makes (LINES/60)² = 13; 0.03 in squared strain. Without that direction
    # 1/size is off by a tenth.
    rays, true = scan
    strain2, inverse_size, b_iso = distance(after_steps(rays, State(true.amount, true.a_A + 1e-3)))
    assert strain2 < 0.03
    assert inverse_size < 0.02
    assert b_iso < 0.02


def after_steps(rays, state) -> Shared:
    shared, problem = WRONG, problem_by(rays, WRONG)
    for _ in range(12):
        shared = rays.refined(problem, state, shared)
        problem = rays.reduced(problem, shared)
    return shared


def test_at_the_truth_nothing_is_moved(scan):
    # Truth: the misfit is what single precision leaves, as above.
    rays, state = scan
    found = rays.refined(problem_by(rays, TRUE), state, TRUE)
    assert (distance(found) < 0.02).all()


@pytest.mark.parametrize("strain", [4e-4, 0.0])
@pytest.mark.parametrize("blank", [0.3, np.nan])
def test_rays_without_material_say_nothing(strain, blank):
    # Truth: what no pixel shows cannot be told, and stays.
    rays = rays_of(np.full((N_ANGLES, N_OFFSETS, N_CHANNELS), 0.3))
    problem = problem_by(rays, WRONG)
    empty = np.zeros(problem.projector.grid.x_um.size)
    measured = np.full_like(problem.measured, blank)
    given = replace(WRONG, strain=strain)
    found = shared_by_rays(
        replace(problem, measured=measured), State(empty, empty + 8.2), build=build, shared=given
    )
    assert found == given


def test_rays_that_are_no_numbers_change_nothing(scan):
    rays, state = scan
    problem = problem_by(rays, WRONG)
    measured = problem.measured.copy()
    measured[3, 4, 0] = np.nan
    found = rays.refined(replace(problem, measured=measured), state, WRONG)
    assert found == WRONG


def test_at_a_limit_the_others_are_best_there(scan):
    # Truth: rays of more strain than 1 %, the limit, from 1e-3 of which steps start: they end at
    # the limit (but for INSIDE), and crystallites as small as make good what strain may not.
    rays, true = scan
    shapes, wide = rays.shapes(TRUE), replace(TRUE, strain=0.0105)
    problem = problem_by(rays, TRUE)
    curve = curve_of(build(wide), shapes).astype(np.float32)
    shown = replace(problem, shapes=replace(shapes, curve=curve)).shown(true)
    near = replace(TRUE, strain=9.9e-3)
    at_limit = replace(
        problem, measured=shown,
        shapes=replace(shapes, curve=curve_of(build(near), shapes).astype(np.float32)),
    )  # fmt: skip
    found = shared_by_rays(at_limit, true, build=build, shared=near)
    assert found.strain == pytest.approx(np.sqrt(100.0 - INSIDE) * 1e-3)
    assert found.crystallite_size_nm < TRUE.crystallite_size_nm


def test_where_refinement_starts_lies_within_the_limits():
    # Truth: those of 1 % of strain, 5 nm, 4 Å²; inside them nothing is moved.
    outside = within_limits(Shared(crystallite_size_nm=3.0, strain=0.02, b_iso_change_A2=9.0))
    assert outside.crystallite_size_nm == pytest.approx(5.0, rel=1e-3)
    assert outside.strain == pytest.approx(0.01, rel=1e-3)
    assert outside.b_iso_change_A2 == pytest.approx(4.0, rel=1e-3)
    inside = within_limits(TRUE)
    assert inside.strain == pytest.approx(TRUE.strain)
    assert inside.crystallite_size_nm == pytest.approx(TRUE.crystallite_size_nm)
    assert inside.b_iso_change_A2 == TRUE.b_iso_change_A2


def test_a_curve_is_the_models_patterns_by_the_shapes(scan):
    # Truth: the shapes' own curve, of the model that they were made of.
    rays, _ = scan
    shapes = rays.shapes(TRUE)
    scale = np.abs(shapes.curve).max()
    np.testing.assert_allclose(
        curve_of(build(TRUE), shapes), shapes.curve, atol=2e-6 * N_CHANNELS**0.5 * scale
    )


def followed(scan, *, by_rays, n_iterations=40, n_parts=1):
    rays, true = scan
    problem = problem_by(rays, WRONG)
    taken = []
    settings = rays.settings.model_copy(update={"n_iterations": n_iterations})
    course = Course(settings, rays.a_range_A, finds_axis=False, step_taken=lambda: taken.append(1))
    parts = parts_of(problem, n=n_parts, angles_rad=ANGLES)
    start = State(0.7 * true.amount, np.full_like(true.a_A, 8.20))
    return course.followed(parts, start, WRONG, rays if by_rays else None), true, len(taken)


@pytest.mark.parametrize("n_parts", [1, 3])
def test_the_fit_with_its_own_widths_is_nearer_to_the_truth(scan, n_parts):
    # Truth: the planted lattice parameters. With widths and ring ratios that are wrong throughout,
    # a fit is farther from them than with those it finds itself.
    kept, true, _ = followed(scan, by_rays=False, n_parts=n_parts)
    found, _, _ = followed(scan, by_rays=True, n_parts=n_parts)
    inside = true.amount > 0.85

    def rms(reached):
        return np.sqrt(np.mean((reached.state.a_A - true.a_A)[inside] ** 2))

    assert kept.shared == WRONG
    assert (distance(found.shared) < distance(WRONG)).all()
    assert rms(found) < rms(kept)


@pytest.mark.parametrize("n", [1, 2, 3, 9, 13, 40])
def test_stages_take_no_more_steps_than_asked(scan, n):
    # Law: at most so many quasi-Newton steps.
    reached, _, taken = followed(scan, by_rays=True, n_iterations=n)
    assert 1 <= taken <= n
    assert np.isfinite(reached.state.a_A).all()


def test_the_steps_between_stages_hold_with_weights_by_ring(scan):
    # Law: without noise no ring disagrees by chance; weighed or not, widths come nearer the truth.
    rays, true = scan
    weighed = replace(rays, settings=Direct(crystallites=True, n_iterations=40, bias="none"))
    found, _, _ = followed((weighed, true), by_rays=True)
    assert (distance(found.shared) < distance(WRONG)).all()
