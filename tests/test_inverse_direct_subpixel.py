"""Structure within the pixels of the direct method, and the error that all rays share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inverse.direct_bias import bootstrap_bias_A, local_scale
from inverse.direct_fit import Problem, State, fit
from inverse.direct_settings import Direct
from inverse.direct_shapes import Shapes
from inverse.direct_subpixel import Parts, parts_of
from inverse.grids import PixelGrid, graded_grid
from inverse.strips import strip_projector

N_OFFSETS, N_ANGLES = 21, 40
RADIUS_UM, RANGE_A = 10.0, (8.19, 8.23)
ANGLES_RAD = np.pi * np.arange(N_ANGLES) / N_ANGLES


def bell_shapes() -> Shapes:
    """Shapes of one Gaussian line that moves with the lattice parameter, padded to 16."""
    a_A = 8.18 + 1e-3 * np.arange(61)
    place = np.linspace(8.16, a_A[-1] + 0.02, 12)
    curve = np.exp(-0.5 * ((a_A[:, None] - place) / 0.012) ** 2)
    padded = np.pad(curve, ((0, 0), (0, 4))).astype(np.float32)
    return Shapes(a_A=a_A, curve=padded, from_channels=np.eye(16, dtype=np.float32))


def problem_on(grid: PixelGrid) -> Problem:
    """Rays a micrometre apart through the pixels of any grid."""
    margin = max(0, grid.margin)
    side = grid.n_pixels + 2 * margin
    return Problem(
        projector=strip_projector(
            grid, angles_rad=ANGLES_RAD, n_offsets=N_OFFSETS, step_um=1.0, beam_fwhm_um=1.0
        ),
        shapes=bell_shapes(),
        measured=np.zeros((N_ANGLES, N_OFFSETS, 16), np.float32),
        parallax_per_um=2e-5,
        image_index=(grid.low + margin) * side + grid.left + margin,
        side=side,
        workers=1,
    )


def coarse_parts(n: int = 3) -> Parts:
    problem = problem_on(graded_grid(N_OFFSETS, step_um=1.0, rings=((1, RADIUS_UM),)))
    return parts_of(problem, n=n, angles_rad=ANGLES_RAD)


def sums(parts: Parts, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Mean amount of the parts of each pixel, and the mean lattice parameter of the material."""
    split = [part for _, part in parts.states(state)]
    amount = np.sum([part.amount for part in split], axis=0)
    moment = np.sum([part.amount * part.a_A for part in split], axis=0)
    return amount / len(split), moment / np.maximum(amount, 1e-12)


def disc_on(grid: PixelGrid) -> State:
    """A disc off the centre with 20 mÅ from its middle to its edge."""
    r_um = np.hypot(grid.x_um - 1.3, grid.y_um + 0.6)
    edge_um = float(grid.sizes_um[0])
    amount = np.clip((6.5 - r_um) / edge_um + 0.5, 0.0, 1.0)
    return State(amount, 8.220 - 0.020 * np.minimum(r_um / 6.5, 1.0) ** 2)


def test_parts_keep_the_amount_and_the_mean_lattice_parameter():
    # Truth: conservation. Amounts to the bisection's 2^-24 of at most 1 + 4 slopes, a to rounding.
    parts = coarse_parts()
    rng = np.random.Generator(np.random.Philox(1))
    n_pixels = parts.problem.image_index.size
    state = State(rng.uniform(0.0, 1.0, n_pixels), rng.uniform(8.195, 8.225, n_pixels))
    amount, mean_A = sums(parts, state)
    np.testing.assert_allclose(amount, state.amount, atol=2e-6)
    some = state.amount > 0.01
    np.testing.assert_allclose(mean_A[some], state.a_A[some], atol=1e-12)


def test_a_plane_is_continued_within_pixels_and_a_straight_edge_is_sharp():
    # Truth: closed form. a = 8.21 + 1e-3·x in a slab that ends in the middle of the pixels x = 2.
    parts = coarse_parts()
    grid = parts.problem.projector.grid
    amount = np.where(grid.x_um < 1.5, 1.0, np.where(grid.x_um < 2.5, 0.5, 0.0))
    state = State(amount, 8.21 + 1e-3 * grid.x_um)
    inside = np.hypot(grid.x_um, grid.y_um) < 8.0
    edge, full = inside & (amount == 0.5), inside & (grid.x_um < 1.0)
    for (x, _y), part in parts.states(state):
        np.testing.assert_allclose(part.a_A[full], state.a_A[full] + 1e-3 * x, atol=1e-12)
        # Thirds of a half-full pixel: the first full, the next half full, the last empty.
        np.testing.assert_allclose(part.amount[edge], 0.5 - 0.5 * np.sign(x), atol=2e-6)


def test_an_undivided_pixel_leaves_nothing_out():
    # Truth: identity. One part is the pixel itself: its footprint, amount and lattice parameter.
    parts = coarse_parts(n=1)
    state = disc_on(parts.problem.projector.grid)
    shown = parts.problem.shown(state)
    np.testing.assert_allclose(parts.shown(state), shown, atol=3e-6 * float(shown.max()))
    assert parts.corrected(state) is parts.problem


def test_correction_brings_rays_of_a_finer_sample_closer_to_the_truth():
    # Truth: a disc with a gradient on pixels of 0.25 µm, projected by the strip projector, against
    # its means over pixels of 1 µm. Without penalties what is left is the pixels' box, and the
    # correction must take away more than half of it.
    parts = coarse_parts()
    grid = parts.problem.projector.grid
    fine = problem_on(graded_grid(4 * N_OFFSETS, step_um=0.25, rings=((1, RADIUS_UM),)))
    sample = disc_on(fine.projector.grid)
    cells = [
        fine.image(values, empty=0.0).reshape(fine.side // 4, 4, -1, 4).mean(axis=(1, 3))
        for values in (sample.amount, sample.amount * sample.a_A)
    ]
    apart = (cells[0].shape[0] - N_OFFSETS) // 2
    middle = slice(apart, apart + N_OFFSETS)
    amount, moment = (cell[middle, middle] for cell in cells)
    rays = replace(parts.problem, measured=fine.shown(sample))
    parts = replace(parts, problem=rays)
    n_pixels = grid.x_um.size
    settings = Direct(amount_smoothness=0.0, lattice_smoothness=0.0)

    def fitted(problem: Problem, start: State) -> State:
        return fit(problem, start=start, settings=settings, n_iterations=60, a_range_A=RANGE_A)

    def error_A(state: State) -> float:
        full = (amount > 0.99) & np.isfinite(grid.image(state.a_A))
        error = grid.image(state.a_A)[full] - moment[full] / amount[full]
        return float(np.sqrt(np.mean(error**2)))

    boxes = fitted(rays, State(np.full(n_pixels, 0.4), np.full(n_pixels, 8.211)))
    boxes = fitted(rays, boxes)
    state = boxes
    for _ in range(2):
        state = fitted(parts.corrected(state), state)
    assert error_A(state) < 0.5 * error_A(boxes)


def test_local_scale_is_the_change_of_the_material_about():
    # Truth: closed form. A constant is its own root mean square, and empty pixels do not count.
    amount = np.zeros((12, 12))
    amount[:, :6] = 0.8
    change = np.where(amount > 0.0, -3e-4, 7.0)
    scale = local_scale(change, amount=amount)
    np.testing.assert_allclose(scale[:, :7], 3e-4, rtol=1e-6)
    assert np.all(scale[:, 8:] < 1e-12)


@pytest.mark.parametrize("moved_A", [0.0, 4e-4])
def test_bootstrap_tells_by_how_much_the_second_fit_is_off(moved_A):
    # Truth: the definition, with a fit that is off by a known amount, and is shown the parts' rays.
    parts = coarse_parts()
    state = disc_on(parts.problem.projector.grid)
    seen = []

    def again(measured: np.ndarray) -> State:
        seen.append(measured)
        return State(state.amount, state.a_A + moved_A)

    bias_A = bootstrap_bias_A(parts, state, again=again)
    np.testing.assert_allclose(bias_A[state.amount > 0.5], moved_A, rtol=1e-6, atol=1e-12)
    assert np.array_equal(seen[0], parts.shown(state))


def test_settings_in_view_take_the_place_of_the_others():
    # Truth: the definition; what has no value of its own in view stays.
    given = Direct(lattice_smoothness=0.7, lattice_smoothness_in_view=0.3, n_iterations=9)
    settled = given.in_view()
    assert (settled.lattice_smoothness, settled.n_iterations) == (0.3, 9)
    assert settled.parts == given.parts_in_view
    assert (given.widths, settled.widths) == ("rays", "voxels")
