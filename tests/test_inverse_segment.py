"""Particles and depths from maps: discs of known place and size must come back as what they are."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import binary_erosion

from inverse.region_settings import Regions
from inverse.segment import depth_regions, particles_of
from xrdct.errors import InputError

N = 61
STEP_UM = 0.5
FULL = 0.9


def discs(*circles, n=N, step_um=STEP_UM, full=FULL):
    """Volume fractions of discs (x, y, radius in µm), each voxel by 16 × 16 sub-points."""
    fine = (np.arange(16 * n) + 0.5) / 16 * step_um - 0.5 * n * step_um
    x, y = np.meshgrid(fine, fine)
    solid = np.zeros(x.shape, bool)
    for x0, y0, radius in circles:
        solid |= np.hypot(x - x0, y - y0) < radius
    shares = solid.reshape(n, 16, n, 16).mean(axis=(1, 3))
    return np.where(shares > 0.02, full * shares, np.nan)


def positions_um(n=N, step_um=STEP_UM):
    line = (np.arange(n) - 0.5 * (n - 1)) * step_um
    return np.meshgrid(line, line)


def found(amount, *, step_um=STEP_UM, measured=None, **settings):
    view = np.ones(amount.shape, bool) if measured is None else measured
    return particles_of(amount, measured=view, step_um=step_um, settings=Regions(**settings))


def test_depth_is_the_distance_to_the_surface_of_a_disc():
    # Closed form: R − r. Surfaces are found on a grid finer than voxels; the tolerance is that of a
    # third of a voxel: a sixth of it on either side, pixels' middles up to √2/2 of one off, and a
    # blur of 0.6 voxels, which moves a level of half height inwards by σ²/2R.
    radius_um = 6.0
    x, y = positions_um()
    particles = found(discs((1.3, -0.7, radius_um)))
    depth_um = radius_um - np.hypot(x - 1.3, y + 0.7)
    inside = particles.label == 0
    tolerance_um = (1 / 6 + np.sqrt(0.5) / 3) * STEP_UM + (0.6 * STEP_UM) ** 2 / (2 * radius_um)
    assert np.abs(particles.depth_um[inside] - depth_um[inside]).max() < tolerance_um
    np.testing.assert_array_equal(inside[np.abs(depth_um) > tolerance_um],
                                  (depth_um > 0.0)[np.abs(depth_um) > tolerance_um])  # fmt: skip
    assert np.all(np.isnan(particles.depth_um[~inside]))
    assert particles.diameter_um == pytest.approx([2 * radius_um], abs=2 * tolerance_um)


def test_discs_that_touch_are_two_and_those_that_merge_are_one():
    # Closed form: discs of radius R whose middles lie 2c apart have a neck of √(R² − c²) on either
    # side of the line between them; the rule is its share of R.
    radius_um = 5.0
    for half_um, expected in ((4.5, 2), (4.0, 2), (2.0, 1), (0.0, 1)):
        neck = np.sqrt(radius_um**2 - half_um**2) / radius_um
        assert (neck < 0.8 - 0.05, neck > 0.8 + 0.05) == (expected == 2, expected == 1)
        amount = discs((-half_um, 0.0, radius_um), (half_um, 0.0, radius_um))
        assert found(amount, neck=0.8).whole.size == expected, neck


def test_depth_ends_at_the_border_of_a_neighbour():
    # Law: discs that touch have surfaces of their own; on the line between their middles the depth
    # of a voxel is its distance to the point halfway.
    x, _ = positions_um()
    particles = found(discs((-4.0, 0.0, 4.5), (4.0, 0.0, 4.5)))
    assert particles.whole.size == 2
    row = N // 2
    near = (np.abs(x[row]) > 0.5) & (np.abs(x[row]) < 1.5)
    assert np.abs(particles.depth_um[row, near] - np.abs(x[row, near])).max() < 0.5 * STEP_UM
    assert set(particles.label[row, near & (x[row] < 0)]) == {particles.label[row, N // 2 - 8]}
    assert particles.label[row, N // 2 - 8] != particles.label[row, N // 2 + 8]


def test_a_quarter_turn_of_the_map_turns_the_result():
    # Law: nothing distinguishes directions; numbers of particles may differ.
    rng = np.random.default_rng(4)
    amount = discs((-6.0, 5.0, 4.0), (4.0, 4.0, 5.0), (1.0, -7.0, 3.5))
    amount = amount + rng.normal(0.0, 0.02, amount.shape)
    one, other = found(amount), found(np.rot90(amount).copy())
    np.testing.assert_array_equal(np.rot90(one.label) >= 0, other.label >= 0)
    np.testing.assert_allclose(np.rot90(one.depth_um), other.depth_um, atol=1e-12)
    np.testing.assert_array_equal(np.sort(one.area_um2), np.sort(other.area_um2))


def test_what_the_view_cuts_is_not_whole():
    # By construction: one disc inside the circle of the view, one across its edge, one across the
    # edge of the map.
    x, y = positions_um()
    amount = discs((0.0, 0.0, 4.0), (8.0, 8.0, 3.0), (-15.0, 0.0, 3.0))
    view = np.hypot(x, y) < 12.0
    for measured in (view, np.ones(view.shape, bool)):
        particles = found(np.where(measured, amount, np.nan), measured=measured)
        middle = particles.label[N // 2, N // 2]
        corner = particles.label[N // 2 + 16, N // 2 + 16]
        assert middle >= 0
        assert corner >= 0
        assert particles.whole[middle]
        assert particles.whole[corner] == (measured is not view)
        assert particles.whole.sum() == (1 if measured is view else 2)
    regions = depth_regions(particles, settings=Regions())
    assert set(regions.particle) == {middle, corner}


def test_holes_of_streaks_are_filled_and_pores_are_not():
    # By the rule: holes of up to five voxels. A pore of 3 µm has 28.
    amount = discs((0.0, 0.0, 10.0))
    amount[N // 2, N // 2 : N // 2 + 3] = np.nan
    x, y = positions_um()
    pore = np.hypot(x + 5.0, y) < 1.5
    particles = found(np.where(pore, np.nan, amount))
    assert np.all(particles.label[N // 2, N // 2 : N // 2 + 3] == 0)
    assert particles.label[N // 2, N // 2 - 10] == -1
    assert particles.depth_um[N // 2, N // 2] < 4.0  # to the pore, nearer than the outline


def test_shells_are_whole_micrometres_or_given_edges():
    # Closed form: the shell of a depth d is the largest k with edge_k ≤ d.
    amount = discs((-5.0, 5.0, 6.0), (7.0, -6.0, 5.0))
    particles = found(amount)
    inside = particles.label >= 0
    for given, edges in ((None, np.arange(8.0)), ((0.0, 1.5, 4.0), np.array([0.0, 1.5, 4.0]))):
        regions = depth_regions(particles, settings=Regions(depth_edges_um=given))
        shell = np.digitize(particles.depth_um[inside], edges) - 1
        kept = regions.label[inside] >= 0
        np.testing.assert_array_equal(regions.shell[regions.label[inside][kept]], shell[kept])
        np.testing.assert_array_equal(
            regions.particle[regions.label[inside][kept]], particles.label[inside][kept]
        )
        np.testing.assert_array_equal(
            regions.depth_um, np.stack([edges[regions.shell], edges[regions.shell + 1]], axis=1)
        )
        np.testing.assert_array_equal(
            regions.n_voxels, np.bincount(regions.label[regions.label >= 0])
        )
        deeper = particles.depth_um[inside] >= edges[-1]
        assert np.all(regions.label[inside][deeper] == -1)
        order = np.lexsort((regions.shell, regions.particle))
        np.testing.assert_array_equal(order, np.arange(order.size))


def test_small_particles_and_regions_of_few_voxels_are_left_out():
    # By the rules: sections below 4 µm, and shells of fewer voxels than asked for.
    particles = found(discs((-5.0, 5.0, 6.0), (8.0, -8.0, 1.5)))
    assert particles.whole.size == 2
    regions = depth_regions(particles, settings=Regions(smallest_section_um=4.0))
    assert set(regions.particle) == {int(np.argmax(particles.area_um2))}
    few = depth_regions(particles, settings=Regions(smallest_section_um=0.0, fewest_voxels=30))
    all_of_them = depth_regions(particles, settings=Regions(fewest_voxels=1))
    assert few.n_voxels.min() >= 30 > all_of_them.n_voxels.min()


def boundary_um(particles, number, x0, y0, radius, *, step_um):
    """Distances of the fine pixels on a particle's outline from a circle, signed."""
    fine = particles.fine == number
    rim = fine & ~binary_erosion(fine)
    n = fine.shape[0]
    line = (np.arange(n) - 0.5 * (n - 1)) * step_um / particles.finer
    y, x = np.nonzero(rim)
    return np.hypot(line[x] - x0, line[y] - y0) - radius


@pytest.mark.parametrize("full", [0.9, 0.6])
def test_outlines_are_found_to_a_fraction_of_a_voxel_whatever_the_amount(full):
    # Closed form: a disc; the outermost fine pixels' middles lie half of one inside of it, ±0.7.
    # A neighbour of half as much again sets the map's own full amount, not this particle's.
    amount = np.nan_to_num(discs((-5.0, 0.2, 6.0), full=full))
    amount = amount + np.nan_to_num(discs((8.0, 0.0, 5.0), full=0.9))
    particles = found(amount, threshold=0.5)
    number = particles.label[N // 2, N // 2 - 10]
    fine_um = STEP_UM / particles.finer
    distance = boundary_um(particles, number, -5.0, 0.2, 6.0, step_um=STEP_UM)
    assert abs(distance.mean() + 0.5 * fine_um) < 0.1 * STEP_UM
    assert np.abs(distance).max() < 0.5 * STEP_UM


def test_noise_on_outlines_is_smoothed():
    # Statistics: noise of a tenth moves a blurred edge of slope 1 per 1.5 voxels by 0.15 voxels
    # and more at any place; the mean distance along the outline is to be less than that.
    rng = np.random.default_rng(8)
    amount = np.nan_to_num(discs((0.2, -0.4, 9.0)))
    amount = amount + 0.1 * rng.standard_normal(amount.shape)
    particles = found(amount, threshold=0.5)
    number = int(np.argmax(particles.area_um2))
    distance = boundary_um(particles, number, 0.2, -0.4, 9.0, step_um=STEP_UM)
    offset = 0.5 * STEP_UM / particles.finer
    assert np.abs(distance + offset).mean() < 0.15 * STEP_UM
    assert particles.area_um2[number] == pytest.approx(np.pi * 81.0, rel=0.02)


def test_fine_and_coarse_labels_agree():
    # By the definition: a voxel is what its middle fine pixel is.
    particles = found(discs((-6.0, 5.0, 4.0), (4.0, 4.0, 5.0)))
    middle = (slice(particles.finer // 2, None, particles.finer),) * 2
    np.testing.assert_array_equal(particles.fine[middle], particles.label)
    inside = particles.label >= 0
    np.testing.assert_array_equal(
        particles.fine_depth_um[middle][inside], particles.depth_um[inside]
    )
    assert np.all(particles.fine_depth_um[particles.fine < 0] == 0.0)


@pytest.mark.parametrize("amount", [np.nan, 0.0])
def test_a_map_without_material_has_no_particle(amount):
    particles = found(np.full((11, 11), amount))
    assert particles.whole.size == 0
    assert np.all(particles.label == -1)
    assert depth_regions(particles, settings=Regions()).n_voxels.size == 0


def test_maps_of_different_shape_are_refused():
    with pytest.raises(InputError, match=r"\(5, 5\) and \(5, 4\)"):
        particles_of(
            np.zeros((5, 5)), measured=np.ones((5, 4), bool), step_um=1.0, settings=Regions()
        )


@pytest.mark.parametrize("edges", [(1.0,), (0.0, 2.0, 2.0), (-1.0, 2.0)])
def test_edges_that_are_no_shells_are_refused(edges):
    with pytest.raises(ValidationError, match="depth_edges_um"):
        Regions(depth_edges_um=edges)
