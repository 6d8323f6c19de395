"""What pixels share, refined from the rays of a direct fit, and the fit's stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inverse.direct_course import Course
from inverse.direct_fit import Problem, State
from inverse.direct_problem import Rays, problem_of
from inverse.direct_settings import Direct
from inverse.direct_shared import curve_of, shared_by_rays
from inverse.direct_subpixel import parts_of
from inverse.refine import LatticeModel
from inverse.shared import Shared
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


def problem_by(rays: Rays, shared: Shared, radius_um: float = 10.0) -> Problem:
    return problem_of(
        rays.sinogram, rays.shapes(shared), radius_um=radius_um, beam_fwhm_um=1.0, workers=1
    )


def rays_of(values: np.ndarray) -> Rays:
    settings = Direct(crystallites=False, n_iterations=40, bias="none")
    return Rays(sinogram_of(values), build, 0, (8.18, 8.22), np.array([8.20]), settings)


@pytest.fixture(scope="module")
def scan() -> tuple[Rays, State]:
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


@pytest.mark.parametrize(("amounts", "moved_A"), [(1.0, 0.0), (0.8, 0.0), (1.0, 3e-4)])
def test_shared_parameters_come_from_the_rays(scan, amounts, moved_A):
    # Truth: rays made with TRUE, no noise. Steps converge on it, whatever common factor and common
    # shift the state still has; what the ridge leaves of each step shrinks with them. A shift of
    # 0.3 mÅ moves lines by 0.16 channels at most, of a variance of 9: 0.003 in squares, of order
    # 0.003/0.04 in the parameters that widen line 1 by 0.04 each.
    rays, true = scan
    state = State(amounts * true.amount, true.a_A + moved_A)
    shared, problem = WRONG, problem_by(rays, WRONG)
    for _ in range(12):
        shared = rays.refined(problem, state, shared)
        problem = rays.reduced(problem, shared)
    limit = 0.02 if moved_A == 0.0 else 0.1
    assert (distance(shared) < limit).all()
    assert (distance(WRONG) > 0.2).all()


def test_at_the_truth_nothing_is_moved(scan):
    # Truth: the misfit is rounding, of numbers in single precision.
    rays, state = scan
    found = rays.refined(problem_by(rays, TRUE), state, TRUE)
    assert (distance(found) < 2e-3).all()


def test_rays_without_material_say_nothing():
    # Truth: what no pixel shows cannot be told, and stays.
    rays = rays_of(np.full((N_ANGLES, N_OFFSETS, N_CHANNELS), 0.3))
    problem = problem_by(rays, WRONG)
    empty = np.zeros(problem.projector.grid.x_um.size)
    found = shared_by_rays(problem, State(empty, empty + 8.2), build=build, shared=WRONG)
    assert found.strain == pytest.approx(WRONG.strain)
    assert found.crystallite_size_nm == pytest.approx(WRONG.crystallite_size_nm)
    assert found.b_iso_change_A2 == pytest.approx(WRONG.b_iso_change_A2)


def test_shared_parameters_keep_their_limits(scan):
    # Truth: no lines are narrower than those without strain, of crystallites of 100 µm.
    rays, state = scan
    narrow = replace(TRUE, strain=0.0, crystallite_size_nm=1e5)
    few = replace(problem_by(rays, narrow), measured=-problem_by(rays, TRUE).measured)
    found = shared_by_rays(few, state, build=build, shared=narrow)
    assert found.strain >= 0.0
    assert 0.0 < found.crystallite_size_nm <= 1e5
    assert np.isfinite(found.b_iso_change_A2)


def test_a_curve_is_the_models_patterns_by_the_shapes(scan):
    # Truth: the shapes' own curve, of the model that they were made of.
    rays, _ = scan
    shapes = rays.shapes(TRUE)
    scale = np.abs(shapes.curve).max()
    np.testing.assert_allclose(
        curve_of(build(TRUE), shapes), shapes.curve, atol=2e-6 * N_CHANNELS**0.5 * scale
    )


def followed(scan, *, by_rays):
    rays, true = scan
    problem = problem_by(rays, WRONG)
    taken = []
    course = Course(rays.settings, rays.a_range_A, lambda: taken.append(1))
    parts = parts_of(problem, n=1, angles_rad=ANGLES, axis_offset_um=0.0)
    start = State(0.7 * true.amount, np.full_like(true.a_A, 8.20))
    return course.followed(parts, start, WRONG, rays if by_rays else None), true, len(taken)


def test_the_fit_with_its_own_widths_is_nearer_to_the_truth(scan):
    # Truth: the planted lattice parameters. With widths and ring ratios that are wrong throughout,
    # a fit is farther from them than with those it finds itself.
    kept, true, _ = followed(scan, by_rays=False)
    found, _, taken = followed(scan, by_rays=True)
    inside = true.amount > 0.85

    def rms(reached):
        return np.sqrt(np.mean((reached.state.a_A - true.a_A)[inside] ** 2))

    assert kept.shared == WRONG
    assert (distance(found.shared) < 0.5 * distance(WRONG)).all()
    assert rms(found) < rms(kept)
    assert found.parts.problem.measured is not kept.parts.problem.measured
    assert taken <= 40  # steps, shared out to the stages
