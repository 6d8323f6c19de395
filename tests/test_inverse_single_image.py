"""Few channels, one at a time, give what a block of channels gives."""

import numpy as np
import pytest

from inverse.filters import filter_matrix, stored_matrix, variance_filter_matrix
from inverse.geometry import angle_weights, axis_position, field_of_view
from inverse.interpolation import pixel_chunks, ray_table
from inverse.reconstruct import filtered_back_projection
from inverse.single_image import add_channel

SINGLE = float(np.finfo(np.float32).eps)


@pytest.mark.parametrize("n_angles", [24, 25, 27])
@pytest.mark.parametrize(("n", "axis", "size"), [(31, 0.0, 31), (30, 1.3, 33), (31, -0.4, 12)])
def test_agrees_with_the_explicit_operator(n, axis, size, n_angles):
    """R, from its definition by numpy's interpolation, and R∘R, for noise; see reconstruct.

    Tolerance: single precision over n_angles · n terms of no more than π/n_angles · ¼ · max|p|.
    """
    rng = np.random.default_rng(n + n_angles)
    angles = np.arange(n_angles) * np.pi / n_angles + 0.2
    lines = rng.normal(size=(n_angles, n)).astype(np.float32)
    position = axis_position(n, step_um=1.0, axis_offset_um=axis)
    measured = field_of_view(size, n_offsets=n, step_um=1.0, axis_offset_um=axis)
    matrix = filter_matrix(n, step_um=1.0)
    plan = {
        "rays": ray_table(angles, weight=angle_weights(angles)),
        "axis_row": 1.0 + position,
        "chunks": pixel_chunks(measured),
    }
    values, variance = np.zeros((2, size * size), np.float32)
    add_channel(lines, stored_matrix(matrix), image=values, **plan)
    squares = stored_matrix(variance_filter_matrix(matrix))
    add_channel(lines**2, squares, image=variance, **plan)

    x, y = np.meshgrid(np.arange(size) - (size - 1) / 2, np.arange(size) - (size - 1) / 2)
    expected, expected_variance = np.zeros((2, size, size))
    for angle, line in zip(angles, lines.astype(float), strict=True):
        t = x * np.cos(angle) + y * np.sin(angle) + position
        columns = [np.interp(t, np.arange(n), matrix[:, j]) * np.pi / n_angles for j in range(n)]
        expected += np.tensordot(line, columns, 1)
        expected_variance += np.tensordot(line**2, np.square(columns), 1)
    atol = n * SINGLE * np.pi * np.abs(lines).max() / 4
    np.testing.assert_allclose(values.reshape(size, size)[measured], expected[measured], atol=atol)
    np.testing.assert_allclose(
        variance.reshape(size, size)[measured], expected_variance[measured], rtol=n * SINGLE
    )
    assert np.all(values.reshape(size, size)[~measured] == 0)


def test_threads_do_not_change_a_bit_and_a_block_agrees():
    """Law; the block's order of additions differs: single precision over 90 · 61 terms."""
    rng = np.random.default_rng(6)
    angles = np.arange(90) * np.pi / 90
    lines = rng.normal(size=(90, 61)).astype(np.float32)
    matrix = stored_matrix(filter_matrix(61, step_um=1.0))
    measured = field_of_view(61, n_offsets=61, step_um=1.0)
    images = []
    for workers in (1, 2, 5):
        image = np.zeros(61 * 61, np.float32)
        add_channel(
            lines, matrix, rays=ray_table(angles, weight=angle_weights(angles)), axis_row=31.0,
            chunks=pixel_chunks(measured), image=image, workers=workers,
        )  # fmt: skip
        images.append(image)
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    # More channels than few, so that the comparison is with the block, whatever it is that calls.
    block = filtered_back_projection(
        np.repeat(lines[:, :, None], 20, axis=2), angles_rad=angles, step_um=1.0
    ).values[:, :, 3]
    atol = 61 * SINGLE * np.pi * np.abs(lines).max() / 4
    np.testing.assert_allclose(images[0].reshape(61, 61)[measured], block[measured], atol=atol)


def test_a_nan_ray_makes_the_image_nan():
    """Law: every pixel reads every projection."""
    angles = np.arange(10) * np.pi / 10
    lines = np.ones((10, 17), np.float32)
    lines[4, 3] = np.nan
    image = np.zeros(17 * 17, np.float32)
    measured = field_of_view(17, n_offsets=17, step_um=1.0)
    add_channel(
        lines, stored_matrix(filter_matrix(17, step_um=1.0)), axis_row=9.0, image=image,
        rays=ray_table(angles, weight=angle_weights(angles)), chunks=pixel_chunks(measured),
    )  # fmt: skip
    assert np.all(np.isnan(image.reshape(17, 17)[measured]))
