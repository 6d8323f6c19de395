"""Depth in three dimensions: spheres of known place, and what a plane hides of them."""

from __future__ import annotations

import numpy as np
import pytest

from inverse.depth_in_3d import depth_in_3d, particles_in_3d, sphere_depth_um
from inverse.region_settings import Regions
from xrdct.errors import InputError

SHAPE = (13, 31, 31)
STEP_UM, PLANE_UM = 1.0, 2.0


def places(shape=SHAPE, finer=1):
    spacing = (PLANE_UM / finer, STEP_UM / finer, STEP_UM / finer)
    return np.meshgrid(
        *((np.arange(finer * n) - 0.5 * (finer * n - 1)) * s
          for n, s in zip(shape, spacing, strict=True)), indexing="ij",
    )  # fmt: skip


def below(x, y, z, radius, finer=1):
    pz, py, px = places(finer=finer)
    return radius - np.sqrt((px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2)


def filled(*spheres, finer=6):
    solid = np.any([below(*sphere, finer=finer) > 0.0 for sphere in spheres], axis=0)
    n_z, n_y, n_x = SHAPE
    return 0.9 * solid.reshape(n_z, finer, n_y, finer, n_x, finer).mean(axis=(1, 3, 5))


def found(amount, **settings):
    return particles_in_3d(
        amount, step_um=STEP_UM, plane_um=PLANE_UM, measured=np.ones(amount.shape, bool),
        settings=Regions(threshold=0.5, **settings),
    )  # fmt: skip


def test_depth_is_the_distance_to_the_surface_of_a_sphere():
    # Closed form: R − r. The surface is found to half a fine pixel in each direction, the longest
    # of which is a third of the planes' distance.
    sphere = (0.4, -0.7, 0.6, 8.0)
    particles = found(filled(sphere))
    depth = below(*sphere)
    inside = particles.label == 0
    assert np.abs(particles.depth_um[inside] - depth[inside]).max() < PLANE_UM / 3
    assert abs(np.mean(particles.depth_um[inside] - depth[inside])) < STEP_UM / 6
    clear = np.abs(depth) > PLANE_UM / 3
    np.testing.assert_array_equal(inside[clear], (depth > 0.0)[clear])
    np.testing.assert_allclose(particles.centre_um[0], sphere[:3], atol=0.1)
    assert particles.diameter_um[0] == pytest.approx(16.0, rel=0.02)
    assert particles.whole[0]


def test_spheres_that_touch_are_two():
    # Closed form: their neck has no radius.
    particles = found(filled((-5.5, 0.0, 0.0, 5.5), (5.5, 0.0, 0.0, 5.5)))
    assert particles.whole.size == 2
    np.testing.assert_allclose(np.sort(particles.centre_um[:, 0]), [-5.5, 5.5], atol=0.2)


def test_what_reaches_the_last_plane_is_not_whole():
    particles = found(filled((0.0, 0.0, 9.0, 6.0), (-9.0, -9.0, -3.0, 4.0)))
    assert sorted(particles.whole) == [False, True]


def test_a_stack_of_labels():
    # Closed form: a label map's surface is known to half a voxel's diagonal.
    sphere = (0.4, -0.7, 0.6, 8.0)
    true = below(*sphere)
    labels = np.where(true > 0.0, 5, -1)
    depth = depth_in_3d(labels, step_um=STEP_UM, plane_um=PLANE_UM)
    assert np.all(np.isnan(depth[labels < 0]))
    error = depth[labels >= 0] - true[labels >= 0]
    assert np.abs(error).max() < 0.5 * np.sqrt(2 * STEP_UM**2 + PLANE_UM**2)
    assert abs(error.mean()) < 0.25 * STEP_UM


def test_the_spacing_of_planes_counts():
    # Closed form: a slab of three planes with an empty plane on either side has a middle 3 planes
    # deep, less half of one on the way out: 1½ planes, whatever the step.
    labels = np.full((5, 9, 9), -1)
    labels[1:4] = 0
    for plane_um in (0.5, 2.0):
        depth = depth_in_3d(labels, step_um=100.0, plane_um=plane_um)
        assert depth[2, 4, 4] == pytest.approx(1.5 * plane_um)
        assert depth[1, 4, 4] == pytest.approx(0.5 * plane_um)


def test_a_sphere_seen_in_a_plane():
    # Closed form: at the equator nothing is hidden; elsewhere it agrees with the distance in space.
    d = np.linspace(0.0, 8.0, 9)
    np.testing.assert_allclose(sphere_depth_um(d, section_radius_um=8.0, height_um=0.0), d)
    r, h = 8.0, 6.0
    expected = 10.0 - np.sqrt(h**2 + (r - d) ** 2)
    for sign in (-1.0, 1.0):
        np.testing.assert_allclose(
            sphere_depth_um(d, section_radius_um=r, height_um=sign * h), expected
        )
    assert expected[-1] == pytest.approx(4.0)  # R − |h|
    slope = sphere_depth_um(np.array(1e-6), section_radius_um=r, height_um=h) / 1e-6
    assert slope == pytest.approx(r / 10.0, rel=1e-5)


def test_an_empty_stack_has_no_particle():
    particles = found(np.full(SHAPE, np.nan))
    assert particles.whole.size == 0
    assert np.all(particles.label == -1)


def test_hostile_inputs_are_refused():
    amount = np.zeros(SHAPE)
    common = {"settings": Regions(), "step_um": 1.0}
    with pytest.raises(InputError, match="one shape"):
        particles_in_3d(amount, measured=np.ones((2, 2, 2), bool), plane_um=1.0, **common)
    with pytest.raises(InputError, match="above zero"):
        particles_in_3d(amount, measured=amount == 0, plane_um=0.0, **common)
    with pytest.raises(InputError, match="three axes"):
        depth_in_3d(np.zeros((3, 3), int), step_um=1.0, plane_um=1.0)
    with pytest.raises(InputError, match="section_radius_um"):
        sphere_depth_um(np.array(1.0), section_radius_um=0.0, height_um=1.0)
