"""Label maps by lattice parameter and by depth."""

from __future__ import annotations

import numpy as np
import pytest

from inverse.lattice_regions import depth_parts, lattice_regions
from inverse.region_settings import Regions
from inverse.segment import particles_of
from xrdct.errors import InputError

N = 41
LINE = np.arange(N) - 0.5 * (N - 1)


def three_populations():
    """Lattice parameters about 8.10, 8.16 and 8.22 Å in thirds of rows, and which they are."""
    which = np.repeat(np.arange(3), 10)[:, None] * np.ones(30, int)
    noise = 0.004 * np.random.default_rng(1).standard_normal(which.shape)
    return 8.10 + 0.06 * which + noise, which


def test_given_thresholds_divide_as_they_say():
    # By the definition.
    a_A, which = three_populations()
    a_A[0, 0], amount = np.nan, np.ones(a_A.shape)
    amount[0, 1] = 0.0
    found = lattice_regions(a_A, amount=amount, thresholds_A=(8.13, 8.19))
    expected = which.copy()
    expected[0, :2] = -1
    np.testing.assert_array_equal(found.label, expected)
    np.testing.assert_array_equal(found.n_voxels, [298, 300, 300])
    np.testing.assert_allclose(found.mean_A, [8.10, 8.16, 8.22], atol=0.002)
    np.testing.assert_array_equal(found.edges_A[1], [8.13, 8.19])


def test_otsu_finds_populations_that_are_apart():
    # By construction: populations lie fifteen standard deviations apart.
    a_A, which = three_populations()
    found = lattice_regions(a_A, amount=np.ones(a_A.shape))
    np.testing.assert_array_equal(found.label, which)


def test_equal_volumes():
    # By the definition: each region has a third of the material, but for a voxel.
    a_A, _ = three_populations()
    amount = 0.5 + np.random.default_rng(2).random(a_A.shape)
    found = lattice_regions(a_A, amount=amount, rule="volume")
    shares = np.bincount(found.label.ravel(), amount.ravel()) / amount.sum()
    np.testing.assert_allclose(shares, 1 / 3, atol=2 * amount.max() / amount.sum())


def disc():
    depth = 9.0 - np.hypot(LINE - 0.3, LINE[:, None])
    return particles_of(
        np.where(depth > 0, 0.9, 0.0), measured=np.ones((N, N), bool), step_um=1.0,
        settings=Regions(),
    )  # fmt: skip


def test_four_depths_of_a_disc():
    # Closed form: equally thick rings of a disc have areas 7 : 5 : 3 : 1; equal areas are equal,
    # but for voxels of the same depth, of which a circle has at most a dozen.
    particles = disc()
    thick = depth_parts(particles, fewest_voxels=1)
    np.testing.assert_allclose(
        thick.n_voxels / thick.n_voxels.sum(), np.array([7, 5, 3, 1]) / 16, atol=0.06
    )
    np.testing.assert_array_equal(thick.shell, np.arange(4))
    np.testing.assert_allclose(np.diff(thick.depth_um, axis=1)[:, 0], thick.depth_um[0, 1])
    alike = depth_parts(particles, by="area")
    np.testing.assert_allclose(alike.n_voxels, alike.n_voxels.mean(), atol=12)  # of one depth
    for parts in (thick, alike):
        inside = parts.label >= 0
        np.testing.assert_array_equal(inside, particles.label >= 0)
        depth = particles.depth_um[inside]
        edges = parts.depth_um[parts.label[inside]]
        assert np.all((depth >= edges[:, 0] - 1e-12) & (depth <= edges[:, 1] + 1e-12))


def test_parts_of_few_voxels_are_left_out_and_labels_stay_dense():
    particles = disc()
    parts = depth_parts(particles, n_parts=9, fewest_voxels=20)
    assert parts.n_voxels.min() >= 20
    assert len(parts.n_voxels) < 9
    np.testing.assert_array_equal(np.unique(parts.label), np.arange(-1, len(parts.n_voxels)))


def test_hostile_inputs_are_refused():
    a_A, _ = three_populations()
    full = np.ones(a_A.shape)
    with pytest.raises(InputError, match="must rise"):
        lattice_regions(a_A, amount=full, thresholds_A=(8.2, 8.1))
    with pytest.raises(InputError, match="no voxel lies in region 2"):
        lattice_regions(a_A, amount=full, thresholds_A=(8.2, 9.0))
    with pytest.raises(InputError, match="amount must have the shape"):
        lattice_regions(a_A, amount=full[1:])
    with pytest.raises(InputError, match="no voxel has both"):
        lattice_regions(a_A, amount=0.0 * full)
    with pytest.raises(InputError, match="at least two"):
        lattice_regions(a_A, amount=full, n_regions=1)
    with pytest.raises(InputError, match="rule must be"):
        lattice_regions(a_A, amount=full, rule="best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one part"):
        depth_parts(disc(), n_parts=0)
    with pytest.raises(InputError, match="no particle 7"):
        depth_parts(disc(), chosen=[7])
