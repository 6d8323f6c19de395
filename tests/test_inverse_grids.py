"""Pixels of several sizes, and strips through them, against definitions and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.grids import graded_grid
from inverse.strips import footprint_um, strip_projector
from xrdct.errors import InputError

SINGLE = float(np.finfo(np.float32).eps)
SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
ANGLES = np.deg2rad([0.0, 17.0, 45.0, 90.0, 131.0, 179.9])
TABULATED = 3e-4
"""Largest error of a weight over the largest weight: a tail cut at 3.5 σ leaves at most the share
of the profile beyond it, 2.3e-4, where a box's side stands; linear interpolation on 24 nodes per σ
of a smoothed box, whose second derivative is below 0.242/σ², adds (1/24)²/8·0.242 = 5e-5."""

rings = st.sampled_from([((1, 9.0),), ((1, 5.0), (2, 14.0)), ((1, 4.0), (3, 11.0), (6, 25.0))])


@given(n_pixels=st.integers(1, 12), rings=rings, step_um=st.floats(0.2, 5.0))
def test_pixels_tile_the_disc_without_overlap(n_pixels, rings, step_um):
    """Definition: each point of the disc lies in one pixel only, not larger than its ring's."""
    scaled = [(side, radius * step_um) for side, radius in rings]
    grid = graded_grid(n_pixels, step_um=step_um, rings=scaled)
    rng = np.random.default_rng(n_pixels)
    radius = rings[-1][1] * step_um * np.sqrt(rng.random(300))
    angle = rng.uniform(0, 2 * np.pi, 300)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    half = 0.5 * grid.edge_um
    inside = (np.abs(x[:, None] - grid.x_um) < half) & (np.abs(y[:, None] - grid.y_um) < half)
    assert np.all(inside.sum(axis=1) == 1)
    limit = np.select([radius < reach for _, reach in scaled], [s * step_um for s, _ in rings])
    assert np.all(grid.edge_um[inside.argmax(axis=1)] <= limit * (1 + 1e-12))


@given(n_pixels=st.integers(1, 40), rings=rings)
def test_image_shows_the_pixel_at_each_place(n_pixels, rings):
    """Definition of the image's positions: cells show a value that is linear in the position."""
    grid = graded_grid(n_pixels, step_um=0.7, rings=[(s, 0.7 * r) for s, r in rings])
    image = grid.image(np.stack([grid.x_um, grid.y_um, 0.5 * grid.edge_um], axis=1))
    place = (np.arange(n_pixels) - 0.5 * (n_pixels - 1)) * 0.7
    covered = np.isfinite(image[..., 0])
    radius = np.hypot(place[:, None], place[None, :])
    assert np.all(covered[radius < 0.7 * rings[-1][1]])
    away_x, away_y = np.abs(image[..., 0] - place), np.abs(image[..., 1] - place[:, None])
    within = image[..., 2] * (1 + 1e-9)
    assert np.all((away_x < within)[covered] & (away_y < within)[covered])


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("size_um", [0.5, 1.0, 7.0])
def test_footprint_is_the_mean_path_of_the_beam(size_um, angle):
    """Definition by brute force: points of the square, spread over the beam's profile.

    200² points in cells of p/200: the midpoint rule's error for a shadow smoothed over σ is below
    (p/200)²/σ²/24, below 4e-4 of the largest weight here.
    """
    sigma = 0.3
    cells = (np.arange(200) + 0.5) / 200 * size_um - 0.5 * size_um
    x, y = np.meshgrid(cells, cells)
    t = (x * np.cos(angle) + y * np.sin(angle)).ravel()
    distance = np.linspace(-0.8 * size_um - 4 * sigma, 0.8 * size_um + 4 * sigma, 23)
    bell = np.exp(-0.5 * ((distance[:, None] - t) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    brute = bell.mean(axis=1) * size_um**2
    exact = footprint_um(distance, size_um=size_um, angle_rad=angle, sigma_um=sigma)
    np.testing.assert_allclose(exact, brute, atol=4e-4 * size_um * np.sqrt(2))


def small_projector(**changes):
    geometry = {
        "angles_rad": ANGLES, "n_offsets": 23, "step_um": 1.0, "beam_fwhm_um": 1.0,
        "axis_offset_um": 0.3,
    }  # fmt: skip
    grid = graded_grid(9, step_um=1.0, rings=((1, 5.0), (2, 11.0), (4, 20.0)))
    return strip_projector(grid, **(geometry | changes))


@pytest.mark.parametrize("step_um", [1.0, 0.31, 6.0])
def test_projects_as_the_footprint_says(step_um):
    """Definition: every weight of every pixel and ray, to the error of the table (TABULATED)."""
    projector = small_projector(step_um=step_um)
    grid = projector.grid
    offsets = (np.arange(23) - 11) * step_um - 0.3
    matrix = projector.forward(np.eye(grid.x_um.size))
    for a, angle in enumerate(ANGLES):
        t = grid.x_um * np.cos(angle) + grid.y_um * np.sin(angle)
        weights = np.concatenate([
            footprint_um(
                offsets[:, None] - t[grid.pixels_of(k)], size_um=float(size), angle_rad=angle,
                sigma_um=SIGMA_PER_FWHM,
            )
            for k, size in enumerate(grid.sizes_um)
        ], axis=1)  # fmt: skip
        error = TABULATED * grid.edge_um * np.sqrt(2)
        assert np.all(np.abs(matrix[a] - weights) <= error)


@given(
    seed=st.integers(0, 10**6), n_offsets=st.integers(2, 30), n_channels=st.integers(1, 17),
    step_um=st.floats(0.2, 20.0), fwhm_um=st.floats(0.2, 3.0), axis_um=st.floats(-30.0, 30.0),
)  # fmt: skip
def test_adjoint_is_the_transpose(seed, n_offsets, n_channels, step_um, fwhm_um, axis_um):
    """Law: ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩ for every channel, within the rounding of its largest sums."""
    rng = np.random.default_rng(seed)
    projector = small_projector(
        angles_rad=rng.uniform(-7, 7, 5), n_offsets=n_offsets, step_um=step_um,
        beam_fwhm_um=fwhm_um, axis_offset_um=axis_um,
    )  # fmt: skip
    n_pixels = projector.grid.x_um.size
    image = rng.normal(size=(n_pixels, n_channels)).astype(np.float32)
    lines = rng.normal(size=(5, n_offsets, n_channels)).astype(np.float32)
    forth = (projector.forward(image).astype(float) * lines).sum(axis=(0, 1))
    back = (projector.adjoint(lines).astype(float) * image).sum(axis=0)
    largest = projector.forward(np.abs(image)).astype(float) * np.abs(lines)
    rounding = (n_pixels + 5 * n_offsets) * SINGLE * largest.sum(axis=(0, 1))
    assert np.all(np.abs(forth - back) <= rounding)


def test_every_ray_set_conserves_the_amount():
    """Closed form: ∫ w dd = p²; the trapezoid rule over steps below σ is exact to rounding."""
    projector = small_projector(n_offsets=201, step_um=0.4)
    edge = projector.grid.edge_um
    total = projector.forward(np.ones((edge.size, 1)))[..., 0].sum(axis=1) * 0.4
    np.testing.assert_allclose(total, (edge**2).sum(), rtol=TABULATED)


def test_large_pixels_are_the_sum_of_small_ones():
    """Law: a square of equal values, in pixels of one step or of four; errors as TABULATED."""
    small = strip_projector(
        graded_grid(8, step_um=1.0, rings=((1, 20.0),)),
        angles_rad=ANGLES, n_offsets=41, step_um=1.0, beam_fwhm_um=1.0,
    )  # fmt: skip
    mixed = strip_projector(
        graded_grid(8, step_um=1.0, rings=((1, 2.0), (2, 8.0), (4, 20.0))),
        angles_rad=ANGLES, n_offsets=41, step_um=1.0, beam_fwhm_um=1.0,
    )  # fmt: skip
    rng = np.random.default_rng(5)
    # Large pixels that stick out of the disc of small ones are left empty.
    outermost = np.hypot(mixed.grid.x_um, mixed.grid.y_um) + mixed.grid.edge_um / np.sqrt(2)
    values = np.where(outermost < 20.0, rng.uniform(size=mixed.grid.x_um.size), 0.0)
    half = 0.5 * mixed.grid.edge_um
    x, y = small.grid.x_um[:, None], small.grid.y_um[:, None]
    inside = (np.abs(x - mixed.grid.x_um) < half) & (np.abs(y - mixed.grid.y_um) < half)
    spread = inside.astype(float) @ values
    length = small.forward(np.ones((spread.size, 1)))
    gap = small.forward(spread[:, None]) - mixed.forward(values[:, None])
    assert np.all(np.abs(gap) <= 5 * TABULATED * length + 1e-5)


def test_wide_steps_see_thin_lines():
    """Law: rays 20 steps apart are every twentieth of those one step apart."""
    every = small_projector(n_offsets=61, step_um=0.5)
    twentieth = small_projector(n_offsets=4, step_um=10.0)
    image = np.random.default_rng(3).uniform(size=(every.grid.x_um.size, 2))
    # Offsets −15, −5, 5, 15 µm are numbers 0, 20, 40, 60 of −15 … 15 in halves.
    fine, coarse = every.forward(image)[:, ::20], twentieth.forward(image)
    length = every.forward(np.ones((image.shape[0], 1)))[:, ::20]
    assert np.all(np.abs(fine - coarse) <= 5 * TABULATED * length + 1e-5)


def test_result_does_not_depend_on_threads():
    """Law: the order of the additions is fixed."""
    projector = small_projector()
    rng = np.random.default_rng(4)
    image = rng.normal(size=(projector.grid.x_um.size, 5))
    lines = rng.normal(size=(*projector.shape, 5))
    np.testing.assert_array_equal(
        projector.forward(image, workers=1), projector.forward(image, workers=3)
    )
    np.testing.assert_array_equal(
        projector.adjoint(lines, workers=1), projector.adjoint(lines, workers=3)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rings": ((2, 5.0),)}, "start at 1"),
        ({"rings": ((1, 5.0), (2, 9.0), (3, 12.0))}, "multiples"),
        ({"rings": ((1, 5.0), (2, 5.0))}, "grow"),
        ({"rings": ()}, "start at 1"),
        ({"n_pixels": 0}, "positive"),
        ({"step_um": np.nan}, "positive"),
    ],
)
def test_impossible_grids_are_refused(change, words):
    """The docstring's rules, each broken alone."""
    given_values = {"n_pixels": 9, "step_um": 1.0, "rings": ((1, 5.0), (2, 9.0))} | change
    with pytest.raises(InputError, match=words):
        graded_grid(given_values.pop("n_pixels"), **given_values)


def test_arrays_that_do_not_fit_are_refused():
    """The docstrings' rules, each broken alone."""
    projector = small_projector()
    with pytest.raises(InputError, match="image must be"):
        projector.forward(np.zeros((3, 2)))
    with pytest.raises(InputError, match="sinogram must be"):
        projector.adjoint(np.zeros((6, 22, 2)))
    with pytest.raises(InputError, match="beam_fwhm_um"):
        small_projector(beam_fwhm_um=0.0)
