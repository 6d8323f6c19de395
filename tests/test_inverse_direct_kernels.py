"""Kernels of the direct fit: blocks that no strip meets are passed over, and change nothing."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.direct_fit import Problem, State
from inverse.direct_kernels import BLOCK, _beside, circles_about
from inverse.direct_settings import Direct
from inverse.lanes import LANES, weighted_sum
from tests.test_inverse_direct import N_OFFSETS, problem_of, random_state
from tests.test_inverse_direct_shared import N_ANGLES, N_CHANNELS, TRUE, problem_by, rays_of


@numba.njit
def summed_rows(source, source_first, row, table, here, above, lower, upper, count):
    target = np.full(2 * LANES, np.float32(7.0))
    weighted_sum(
        target, np.uint64(4), source, source_first, row, table, here, above, lower, upper, count
    )
    return target


@given(st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_rows_are_summed_by_weights_between_two_rows_of_the_table(count, seed):
    # Truth: the same sum in numpy, in double precision. Rounding: each of at most 9 products and
    # sums of numbers below 1 errs by less than 2⁻²⁴ of a sum below 9.
    rng = np.random.Generator(np.random.Philox(seed))
    source, table = rng.uniform(size=250).astype(np.float32), rng.uniform(size=40)
    table, upper, row = table.astype(np.float32), np.float32(rng.uniform()), 24
    lower = np.float32(1.0) - upper
    whole = [np.uint64(n) for n in (5, row, 3, 20)]
    start, stride, here, above = whole
    found = summed_rows(source, start, stride, table, here, above, lower, upper, np.uint64(count))
    weights = float(lower) * table[3 : 3 + count] + float(upper) * table[23 : 23 + count]
    rows = np.array([source[5 + t * row : 5 + t * row + LANES] for t in range(count)], float)
    expected = weights @ rows if count else np.zeros(LANES)
    np.testing.assert_allclose(found[4 : 4 + LANES], expected, rtol=0.0, atol=40 * 9 * 2.0**-24)
    assert np.all(found[:4] == 7.0)
    assert np.all(found[4 + LANES :] == 7.0)


@given(st.integers(1, 3 * BLOCK), st.integers(0, 2**32 - 1))
def test_a_circle_holds_all_pixels_of_its_block(n_pixels, seed):
    rng = np.random.Generator(np.random.Philox(seed))
    x, y = rng.normal(scale=100.0, size=(2, n_pixels))
    circles = circles_about(x, y)
    assert len(circles) == -(-n_pixels // BLOCK)
    middle_x, middle_y, radius = circles[np.arange(n_pixels) // BLOCK].T
    assert np.all(np.hypot(x - middle_x, y - middle_y) <= radius)


class Unskipped(Problem):
    """A problem whose circles reach everywhere, so that every pixel is looked at."""

    @property
    def _circles(self) -> np.ndarray:
        circles = circles_about(*self._places)
        circles[:, 2] = np.inf
        return circles


def of_every_pixel(problem: Problem) -> Problem:
    return Unskipped(**vars(replace(problem)))


def test_blocks_beside_the_window_are_passed_over_and_nothing_is_lost():
    # Truth: what every pixel shows when none is passed over, to the last bit.
    problem = problem_of(radius_um=90.0)
    rays, table = problem.projector.rays[0], problem.projector.tables[0]
    circles = circles_about(*problem.projector.places(slice(None)))
    skipped = [
        _beside(c[0] * ray[0] + c[1] * ray[1] + ray[2], c[2], table.shape[2], N_OFFSETS)
        for ray in rays for c in circles
    ]  # fmt: skip
    assert np.mean(skipped) > 0.5
    state, every = random_state(problem, 5), of_every_pixel(problem)
    shown = problem.shown(state)
    assert shown.any()
    np.testing.assert_array_equal(shown, every.shown(state))
    for found, expected in zip(
        problem.slopes(shown, state), every.slopes(shown, state), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("parallax", [True, False])
def test_parallax_is_modelled_unless_the_settings_leave_it_out(parallax):
    # Truth: Bragg's law, δa/a = cos²θ·cos2θ/D per µm, between its values at both ends of the
    # pattern; and the same pixels without any.
    near = rays_of(np.zeros((N_ANGLES, N_OFFSETS, N_CHANNELS)))
    two_theta = near.sinogram.two_theta_rad
    scaling = np.cos(two_theta / 2.0) ** 2 * np.cos(two_theta)
    near = replace(
        near, sinogram=replace(near.sinogram, distance_m=0.3),
        settings=Direct(crystallites=False, parallax=parallax),
    )  # fmt: skip
    problem = problem_by(near, TRUE)
    n_pixels = problem.image_index.size
    state = State(np.ones(n_pixels), np.full(n_pixels, 8.20))
    level = replace(problem, parallax_per_um=0.0).shown(state)
    again = near.reduced(problem, TRUE)
    if parallax:
        low, high = (1e-6 * bound / 0.3 for bound in (scaling.min(), scaling.max()))
        assert low < problem.parallax_per_um < high
        assert again.parallax_per_um == problem.parallax_per_um
        assert not np.array_equal(problem.shown(state), level)
    else:
        assert again.parallax_per_um == problem.parallax_per_um == 0.0
        np.testing.assert_array_equal(problem.shown(state), level)
