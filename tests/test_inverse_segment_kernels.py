"""Flooding and depths of whole maps, against independent packages and one particle at a time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from skimage.morphology import reconstruction

from inverse.segment_depth import own_depth
from inverse.segment_flood import flooded


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (40, 50), (9, 10, 11)])
def test_flooding_is_morphological_reconstruction(shape):
    # Independent package: scikit-image, which sorts pixels. Both only pick heights that are there,
    # so nothing may differ. Few heights make plateaus, many make none.
    rng = np.random.default_rng(1)
    for steps in (3, 10**6):
        for lowered_by in (0.4, 2.0):
            height = 1.0 + rng.integers(0, steps, shape) * (3.0 / steps)
            height[rng.random(shape) < 0.2] = 0.0
            start = np.maximum(height - lowered_by, 0.0)
            np.testing.assert_array_equal(flooded(start, height), reconstruction(start, height))


def test_flooding_follows_a_winding_way():
    # By hand: a spiral, flooded from its inner end, is full; two sweeps do not reach it all.
    spiral = np.array([
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 1, 0, 1],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ], float)  # fmt: skip
    start = np.zeros(spiral.shape)
    start[4, 2] = 0.5
    np.testing.assert_array_equal(flooded(start, spiral), 0.5 * spiral)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (45, 31)])
def test_depths_are_distances_to_another_number(shape):
    # Independent package: SciPy's transform of each number alone, with nothing around the map.
    # Both take roots of whole squares, so nothing may differ.
    rng = np.random.default_rng(2)
    points = rng.random((12, 2)) * shape
    way = np.indices(shape)[:, :, :, None] - points.T[:, None, None, :]
    labels = np.argmin((way**2).sum(axis=0), axis=-1).astype(np.int32)
    labels[rng.random(shape) < 0.01] = 0
    expected = np.zeros(shape)
    for number in range(1, 12):
        own = np.pad(labels == number, 1)
        inside = distance_transform_edt(own)[1:-1, 1:-1]
        expected += np.where(inside > 0.0, inside - 0.5, 0.0)
    np.testing.assert_array_equal(own_depth(labels), expected)
