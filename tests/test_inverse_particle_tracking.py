"""The same particles in several maps: permutations, symmetry, and what chance would do."""

import numpy as np
import pytest

from inverse.particle_tracking import deviates, persistence, same_particles, tracks
from xrdct.errors import InputError

SIGMAS = 5.73
"""Of a normal quantity, with a false alarm of 1e-8."""


@pytest.fixture
def label():
    """Return a map of nine squares of 6 × 6 voxels, two apart."""
    found = np.full((30, 30), -1)
    for n in range(9):
        y, x = 8 * (n // 3) + 2, 8 * (n % 3) + 2
        found[y : y + 6, x : x + 6] = n
    return found


def renumbered(label, order):
    """Return the map with particle n called order[n]."""
    return np.where(label >= 0, np.asarray(order)[label], -1)


def test_renumbered_particles_are_the_same(label):
    """Truth: the permutation; a shift of one voxel of six leaves 0.71 of what both cover."""
    order = np.random.default_rng(1).permutation(9)
    for other in (renumbered(label, order), np.roll(renumbered(label, order), 1, axis=0)):
        pairs = same_particles(label, other)
        assert pairs.tolist() == [[n, order[n]] for n in range(9)]
        assert sorted(same_particles(other, label).tolist()) == sorted(pairs[:, ::-1].tolist())


def test_what_moves_too_far_is_another(label):
    """Truth: shifted by three voxels of six, squares share a third of what both cover."""
    assert same_particles(label, np.roll(label, 3, axis=1)).size == 0
    assert same_particles(label, np.full_like(label, -1)).shape == (0, 2)


def test_tracks_are_of_particles_in_every_map(label):
    """Truth: the one that is missing in one map is lost, the others keep their numbers."""
    order = np.random.default_rng(2).permutation(9)
    without = np.where(label == 4, -1, label)
    found = tracks([label, renumbered(label, order), without])
    kept = [n for n in range(9) if n != 4]
    assert found.tolist() == [[n, order[n], n] for n in kept]
    assert tracks([without]).tolist() == [[n] for n in kept]


def test_outliers_deviate_if_they_are_known_well():
    """Truth: planted at 6 standard deviations of normal values, of which 3 in 1000 are beyond 3."""
    rng = np.random.default_rng(3)
    values = rng.normal(0.0, 1.0, (400, 1))
    values[7] = 12.0
    found = deviates(values, esd=np.zeros_like(values))
    assert found[7]
    # Binomial, 399 of 0.0027, and the median's own error: more than 20 in 1e-8 or less.
    assert found.sum() <= 20
    assert not deviates(values, esd=np.full_like(values, 5.0)).any()


def test_the_same_ones_persist():
    """Truth: by hand; 2 of 10 in each of three maps, always the same, by chance a fifth."""
    deviating = np.zeros((10, 3), bool)
    deviating[[2, 5]] = True
    found = persistence(deviating)
    assert (found.share, found.by_chance, found.n) == (1.0, pytest.approx(0.2), 4)


def test_chance_is_found_as_such():
    """Truth: random choices; the mean excess is zero and its scatter the stated one."""
    rng = np.random.default_rng(4)
    excess, stated = [], []
    for _ in range(3000):
        deviating = np.stack(
            [rng.permutation(30) < number for number in (6, 4, 9)], axis=1
        )  # fmt: skip
        found = persistence(deviating)
        excess.append(found.share - found.by_chance)
        stated.append(found.esd)
    assert abs(np.mean(excess)) < SIGMAS * np.std(excess) / np.sqrt(3000)
    assert np.mean(stated) == pytest.approx(np.std(excess), rel=SIGMAS / np.sqrt(2 * 3000))


def test_where_nothing_deviates_nothing_is_said():
    """Truth: a share of none."""
    found = persistence(np.zeros((5, 3), bool))
    assert np.isnan(found.share)
    assert found.n == 0


def test_maps_that_do_not_fit_are_refused(label):
    """Truth: places are compared voxel by voxel."""
    with pytest.raises(InputError, match="shape"):
        same_particles(label, label[1:])
    with pytest.raises(InputError, match="no map"):
        tracks([])
