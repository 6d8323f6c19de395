"""The kernels of the ramp filters and the padding, against integrals and limits."""

import numpy as np
import pytest
from scipy.integrate import quad

from inverse.filters import (
    COLUMNS,
    KERNELS,
    PADDINGS,
    filter_matrix,
    filter_projections,
    stored_matrix,
    variance_filter_matrix,
)
from inverse.interpolation import CHANNEL_BLOCK
from inverse.reconstruct import filtered_back_projection
from xrdct.errors import InputError


@pytest.mark.parametrize("filter_name", sorted(KERNELS))
def test_kernels_are_the_transforms_of_their_windows(filter_name):
    """Definition: ∫|f|·window(f)·cos(2πfk) df over |f| ≤ ½, by quadrature."""
    windows = {
        "ramp": np.ones_like,
        "shepp-logan": np.sinc,
        "cosine": lambda f: np.cos(np.pi * f),
        "hamming": lambda f: 0.54 + 0.46 * np.cos(2 * np.pi * f),
        "hann": lambda f: np.cos(np.pi * f) ** 2,
    }
    distance = np.arange(12.0)
    expected = [
        2 * quad(lambda f, k=k: f * windows[filter_name](f) * np.cos(2 * np.pi * f * k), 0, 0.5)[0]
        for k in distance
    ]
    np.testing.assert_allclose(KERNELS[filter_name](distance), expected, atol=1e-12)


@pytest.mark.parametrize("n", [25, 101])
def test_edges_continue_a_sample_wider_than_the_scan(n):
    """Closed form: of a constant 1, the ramp leaves its tail beyond the length L continued.

    Σ 2/(π²k²) over odd k > L is 1/(π²L) to a relative (1/L)², L = n/2 without padding and 3n/2
    with it, and the sum over angles multiplies by π: the middle tends to zero as L grows.
    """
    sinogram = np.ones((4, n, 1))
    for padding, length in (("zero", n / 2), ("edge", 3 * n / 2)):
        image = filtered_back_projection(
            sinogram, angles_rad=np.arange(4) * np.pi / 4, step_um=2.0, padding=padding
        ).values
        middle = image[n // 2, n // 2, 0]
        # The odd k end within one step of L; single precision cancels 1/4 against its like.
        np.testing.assert_allclose(middle * 2.0, 1 / (np.pi * length), rtol=1 / length, atol=1e-6)


@pytest.mark.parametrize("filter_name", sorted(KERNELS))
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("n", [1, 2, 13, 16])
def test_a_filtered_projection_is_its_convolution_with_the_kernel(n, padding, filter_name):
    """Definition: Σ_j r(i − j) p_j, p continued by n steps of zeros, or of its edge values."""
    projection = np.random.Generator(np.random.Philox(n)).standard_normal(n)
    mode = {"zero": "constant", "edge": "edge"}[padding]
    kernel = KERNELS[filter_name](np.abs(np.arange(-3.0 * n, 3 * n + 1)))
    convolved = np.convolve(np.pad(projection, n, mode=mode), kernel)
    matrix = filter_matrix(n, step_um=0.5, filter_name=filter_name, padding=padding)
    np.testing.assert_allclose(matrix @ projection, convolved[4 * n : 5 * n] / 0.5, atol=1e-13)


def test_projections_are_filtered_by_a_ramp_continued_at_its_edges_unless_told():
    # Definition of the defaults.
    given = filter_matrix(9, step_um=1.0, filter_name="ramp", padding="edge")
    np.testing.assert_array_equal(filter_matrix(9, step_um=1.0), given)


def test_variances_of_interpolated_values_are_their_squared_weights():
    """Definition: ((1 − f)·F_i + f·F_{i+1})², element by element; the last has none to follow."""
    matrix = filter_matrix(7, step_um=0.5)
    squares = variance_filter_matrix(matrix)
    following = np.vstack([matrix[1:], np.zeros((1, 7))])
    for f in (0.0, 0.3, 0.5, 1.0):
        found = (1 - f) ** 2 * squares[::2] + 2 * f * (1 - f) * squares[1::2]
        found[:-1] += f**2 * squares[2::2]
        weights = (1 - f) * matrix + f * following
        np.testing.assert_allclose(found, weights**2, atol=1e-15)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 40])
def test_a_stored_matrix_is_filled_up_with_as_few_columns_as_it_must(n):
    # Definition: single precision, zeros up to the next whole multiple of 2·COLUMNS.
    matrix = np.random.Generator(np.random.Philox(n)).standard_normal((5, n))
    stored = stored_matrix(matrix)
    assert stored.shape == (5, 2 * COLUMNS * int(np.ceil(n / (2 * COLUMNS))))
    np.testing.assert_array_equal(stored[:, :n], matrix.astype(np.float32))
    assert not stored[:, n:].any()
    assert stored.flags.c_contiguous


@pytest.mark.parametrize("rows", ["ramp", "dense", "gaps"])
@pytest.mark.parametrize(("n", "n_channels"), [(5, 1), (16, CHANNEL_BLOCK), (45, 37)])
def test_blocks_of_projections_are_multiplied_by_the_matrix(n, n_channels, rows):
    """Law: the product in double precision; rounding of n terms is below n·2⁻²³ of their sizes."""
    rng = np.random.Generator(np.random.Philox(n))
    matrix = filter_matrix(n, step_um=1.0) if rows == "ramp" else rng.standard_normal((n + 3, n))
    if rows == "gaps":
        matrix[:, rng.permutation(n)[: n // 2]] = 0.0
        matrix[1] = 0.0
    part = rng.standard_normal((3, n, n_channels)).astype(np.float32)
    filtered = np.full((3, len(matrix) + 2, CHANNEL_BLOCK), 7.0, np.float32)
    filter_projections(part, stored_matrix(matrix), filtered)
    sizes = np.abs(matrix) @ np.abs(part.astype(float))
    found = filtered[:, 1:-1]
    assert np.all(np.abs(found[..., :n_channels] - matrix @ part) <= n * 2.0**-23 * sizes)
    assert not found[..., n_channels:].any()
    assert np.all(filtered[:, [0, -1]] == 7.0)  # rows beside the product are left alone


def test_fewer_projections_than_a_group_leave_the_rest_alone():
    # Definition: the last group of a scan is seldom full.
    filtered = np.full((4, 5, CHANNEL_BLOCK), 7.0, np.float32)
    part = np.ones((2, 3, 1), np.float32)
    filter_projections(part, stored_matrix(np.eye(3)), filtered)
    assert np.all(filtered[2:] == 7.0)
    np.testing.assert_array_equal(filtered[:2, 1:-1, 0], 1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"filter_name": "ram-lak"}, "filter_name must be one of ramp, .*, not 'ram-lak'"),
        ({"padding": "wrap"}, "padding must be one of zero, edge, not 'wrap'"),
    ],
)
def test_filters_that_do_not_exist_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        filter_matrix(5, step_um=1.0, **arguments)
