"""The share of the half turn each projection stands for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inverse.geometry import angle_weights


def half_turn(n_angles):
    return np.arange(n_angles) * np.pi / n_angles


def test_weights_of_angles_add_up_to_half_a_turn():
    """Closed forms: π/N for 180° and 360°; ends of a scan of 0° to 180° are one projection."""
    for turns in (1, 2):
        for n_angles in (90, 91):
            weights = angle_weights(0.3 - turns * half_turn(n_angles))
            np.testing.assert_allclose(weights.sum(), np.pi)
            if turns == 1 or n_angles % 2:
                np.testing.assert_allclose(weights, np.pi / n_angles)
    ends = angle_weights(np.linspace(0, np.pi, 46))
    np.testing.assert_allclose(ends[1:-1], np.pi / 45)
    np.testing.assert_allclose(ends[[0, -1]].sum(), np.pi / 45)


@given(seed=st.integers(0, 1000))
def test_uneven_angles_are_weighted_by_their_gaps(seed):
    """Definition: half of the gaps to both neighbours, in any order, modulo 180°."""
    rng = np.random.default_rng(seed)
    angles = np.sort(half_turn(30) + rng.uniform(-0.02, 0.02, 30))
    following = np.append(angles[1:], angles[0] + np.pi) - angles
    expected = 0.5 * (following + np.roll(following, 1))
    order = rng.permutation(30)
    turned = angles + np.pi * rng.integers(-1, 2, 30)
    np.testing.assert_allclose(angle_weights(turned[order]), expected[order], rtol=1e-9)
