"""Sample parallax against its closed forms and limits."""

import numpy as np
import pytest

from forward.parallax import mean_scaling, residual_shift_per_um, ring_shift_rad

TWO_THETA = np.deg2rad(np.linspace(2.0, 15.0, 5))


@pytest.mark.parametrize("two_theta_rad", [0.0, 0.1, 0.3])
def test_scaling_of_one_angle_is_its_closed_form(two_theta_rad):
    # Truth: κ = cos²θ cos 2θ, with cos²θ = (1 + cos 2θ)/2. Rounding.
    cos = np.cos(two_theta_rad)
    assert mean_scaling(np.array([two_theta_rad])) == pytest.approx(
        0.5 * (1 + cos) * cos, rel=1e-14
    )


def test_scaling_of_a_pattern_is_the_mean_over_its_channels():
    # Truth: ∫ ½(1 + cos t) cos t dt = ½ sin t + ¼ t + ⅛ sin 2t; the midpoint rule of 1000 channels
    # errs by (t₂ − t₁)²/24e6 of the second derivative, at most 2: below 1e-8.
    edges = np.deg2rad([2.0, 15.0])
    width = (edges[1] - edges[0]) / 1000
    middles = edges[0] + width * (np.arange(1000) + 0.5)
    low, high = 0.5 * np.sin(edges) + 0.25 * edges + 0.125 * np.sin(2.0 * edges)
    assert mean_scaling(middles) == pytest.approx((high - low) / (edges[1] - edges[0]), abs=1e-8)


def test_what_scaling_leaves_over_is_the_exact_shift_less_that_of_the_cell():
    # Truth: −δ2θ/s for small s, less 2κ tan θ/D. 1 µm at 0.7 m: second order is 1.4e-6 of it.
    exact = ring_shift_rad(TWO_THETA, displacement_um=1.0, distance_m=0.7)
    cell = -2.0 * 0.9 * np.tan(0.5 * TWO_THETA) * 1e-6 / 0.7
    found = residual_shift_per_um(TWO_THETA, distance_m=0.7, scaling=0.9)
    np.testing.assert_allclose(found, exact - cell, atol=3e-6 * np.abs(exact).max())


def test_scaling_by_one_angles_own_share_leaves_nothing_over_there():
    # Law: κ makes both shifts of its own angle agree.
    one = np.array([0.2])
    left = residual_shift_per_um(one, distance_m=0.7, scaling=mean_scaling(one))
    assert abs(left[0]) < 1e-20
