"""How thick material is: discs that fit into discs, strips and touching particles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inverse.thickness import disc_radius

ROOT = np.sqrt(2.0)


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    iy, ix = np.indices(shape)
    return np.hypot(iy - y, ix - x) <= radius


@pytest.mark.parametrize("radius", [1.5, 3.0, 5.0, 8.0, 13.0])
def test_disc_is_as_thick_as_itself(radius):
    # Truth: the disc is the largest in itself. Pixels add up to one, as distances are told from
    # centre to centre, and levels are a factor of √2 apart.
    material = disc((41, 41), 20.0, 20.0, radius)
    found = disc_radius(material)
    middle = disc((41, 41), 20.0, 20.0, 0.7 * radius)
    assert np.all(found[material] <= radius + 1.0)
    assert np.all(found[middle] >= radius / ROOT)
    np.testing.assert_array_equal(found[~material], 1.0)


def test_touching_particles_keep_their_own_thickness():
    # Truth: a disc of 3 beside one of 12; the far half of each is covered by no disc of the other.
    shape = (41, 61)
    small, large = disc(shape, 20.0, 8.0, 3.0), disc(shape, 20.0, 23.0, 12.0)
    found = disc_radius(small | large)
    assert np.all(found[small & (np.indices(shape)[1] < 8)] <= 4.0)
    assert np.all(found[large & disc(shape, 20.0, 25.0, 8.0)] >= 12.0 / ROOT)


def test_strip_is_half_as_thick_as_wide():
    # Truth: the definition; in a strip of 15 pixels it is 8 from the middle to the first empty one.
    material = np.zeros((41, 60), bool)
    material[13:28] = True
    np.testing.assert_allclose(disc_radius(material)[20, 15:45], 8.0)


def test_all_or_no_material_is_told():
    # Truth: nothing bounds the discs, or there is none.
    np.testing.assert_array_equal(disc_radius(np.ones((10, 16), bool)), np.inf)
    np.testing.assert_array_equal(disc_radius(np.zeros((10, 16), bool)), 1.0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0.2, 0.95))
def test_more_material_is_never_thinner_and_axes_are_alike(seed, share):
    # Truth: every disc in the lesser lies in the greater; a mirrored image has mirrored discs.
    rng = np.random.Generator(np.random.Philox(seed))
    less = rng.random((17, 23)) < share
    more = less | (rng.random((17, 23)) < rng.choice((0.2, 1.0)))
    found = disc_radius(less)
    assert np.all(disc_radius(more)[less] >= found[less])
    np.testing.assert_array_equal(disc_radius(less.T), found.T)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0.6, 0.98))
def test_radius_is_that_of_the_largest_disc_of_all(seed, share):
    # Truth: the definition, by trying every disc of every radius about every pixel.
    rng = np.random.Generator(np.random.Philox(seed))
    material = rng.random((11, 13)) < share
    material[0, 0] = False
    places = np.argwhere(np.ones_like(material))
    apart = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    reach = apart[:, ~material.reshape(-1)].min(axis=1)
    expected = np.ones(material.size)
    for radius in ROOT ** np.arange(1, 9):
        covered = (apart[:, reach >= radius * (1 - 1e-12)] < radius * (1 - 1e-12)).any(axis=1)
        expected[covered] = radius
    expected[~material.reshape(-1)] = 1.0
    np.testing.assert_allclose(disc_radius(material).reshape(-1), expected)
