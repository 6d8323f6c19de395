"""The share of the half turn each projection stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.geometry import (
    angle_weights,
    axis_position,
    checked_angles,
    checked_mask,
    checked_stack,
    field_of_view,
    pixel_positions,
)
from inverse.reconstruct import filtered_back_projection
from xrdct.errors import InputError


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


GOLDEN = np.mod(np.arange(144) * np.pi * (np.sqrt(5.0) - 1.0) / 2.0, np.pi)
RNG = np.random.Generator(np.random.Philox(4))
JITTERED = RNG.permutation(half_turn(144) + RNG.uniform(-0.5, 0.5, 144) * np.pi / 144)
DENSER_ONE_WAY = half_turn(144) + 0.3 * np.sin(2.0 * half_turn(144))


def image_of_a_disc(angles_rad, *, radius=18.0, centre=(5.0, -9.0), size=61):
    """Reconstruct a disc of height 1 from its chords; the image and the distance to its centre."""
    offsets = np.arange(size) - 0.5 * (size - 1)
    seen = centre[0] * np.cos(angles_rad) + centre[1] * np.sin(angles_rad)
    t = offsets - seen[:, None]
    low, high = np.clip(t - 0.5, -radius, radius), np.clip(t + 0.5, -radius, radius)
    area = [u * np.sqrt(radius**2 - u * u) + radius**2 * np.arcsin(u / radius) for u in (low, high)]
    chords = (area[1] - area[0])[..., None]
    image = filtered_back_projection(chords, angles_rad=angles_rad, step_um=1.0).values[..., 0]
    return image, np.hypot(offsets[None] - centre[0], offsets[:, None] - centre[1])


@pytest.mark.parametrize(
    "angles", [GOLDEN, JITTERED, DENSER_ONE_WAY, GOLDEN + np.pi * (np.arange(144) % 2)]
)
def test_a_disc_from_uneven_angles_is_a_disc(angles):
    """Closed form: one inside a disc, zero outside, as well as as many uniform angles show it.

    The trapezoid rule is right to second order in the gaps; equal weights would streak up to 14
    times as much (1.03, 1.17 and 14 times for the first three sets).
    """
    image, distance = image_of_a_disc(angles)
    uniform, _ = image_of_a_disc(half_turn(144))
    inside, outside = distance < 15.0, (distance > 21.0) & np.isfinite(image)
    np.testing.assert_allclose(image[inside], 1.0, atol=5e-3)
    assert abs(np.mean(image[outside])) < 1e-3
    assert np.std(image[outside]) < 1.03 * np.std(uniform[outside])


@pytest.mark.parametrize(
    "angles",
    [half_turn(90) * 170.0 / 180.0, np.delete(half_turn(90), np.arange(40, 44)), half_turn(90) / 2],
)
def test_a_limited_range_of_angles_is_refused(angles):
    """Definition: a gap of more than three mean gaps is one no full scan has."""
    with pytest.raises(InputError, match="gap of"):
        angle_weights(angles)


@pytest.mark.parametrize("shift_um", [0.0, 1.0, -1.0])
def test_a_pixel_counts_if_no_angle_moves_it_past_the_outermost_rays(shift_um):
    # Definition, angle by angle: |x cos ω + y sin ω + axis offset| ≤ 5 steps of ½ µm. A shift of
    # 2 steps leaves a circle of 3. Of the angles, those at which a pixel is furthest out are taken:
    # on a circle of radius 5 lies (3, 4), which counts.
    found = field_of_view(13, n_offsets=11, step_um=0.5, axis_offset_um=shift_um)
    x = 0.5 * (np.arange(13.0) - 6.0)
    furthest = np.abs(shift_um) + np.hypot(x[None], x[:, None])
    np.testing.assert_array_equal(found, furthest <= 2.5 + 1e-9)
    assert found[6 + 4, 6 + 3] == (shift_um == 0.0)
    assert found.any()


def test_without_an_axis_offset_the_axis_is_in_the_middle():
    # Written out: of four offsets, between the second and the third; pixels lie by halves.
    assert axis_position(4, step_um=2.0, axis_offset_um=0.0) == 1.5
    assert axis_position(4, step_um=2.0, axis_offset_um=-1.0) == 1.0
    np.testing.assert_array_equal(pixel_positions(4), [-1.5, -0.5, 0.5, 1.5])
    np.testing.assert_array_equal(pixel_positions(3), [-1.0, 0.0, 1.0])
    one = field_of_view(4, n_offsets=4, step_um=2.0)
    np.testing.assert_array_equal(
        one, field_of_view(4, n_offsets=4, step_um=2.0, axis_offset_um=0.0)
    )


def test_the_widest_gap_of_a_full_scan_is_three_mean_gaps():
    # Written out: n angles, evenly spaced but for one gap of 3 · 180°/n, or a little more.
    for n in (4, 12):
        gap = 3.0 * np.pi / n
        rest = (np.pi - gap) / (n - 1) * np.arange(n)
        assert angle_weights(rest * (1 + 1e-9)).sum() == pytest.approx(np.pi)
        with pytest.raises(InputError, match=r"gap of .*, 3 times the mean"):
            angle_weights(rest * (1 - 1e-4))


def test_arrays_that_are_as_they_should_be_are_taken():
    # Definition: whole numbers and floats of three axes; one angle per projection; no mask is all.
    for stack in (np.zeros((1, 1, 1)), np.zeros((2, 3, 4), np.uint16), np.zeros((3, 3, 1), int)):
        found = checked_stack(stack, name="image", axes="(iy, ix, channel)")
        assert found is stack
    assert checked_stack(np.zeros((3, 3, 2)), name="x", axes="", square=True).shape == (3, 3, 2)
    np.testing.assert_array_equal(checked_angles([1, 2], n_angles=2), [1.0, 2.0])
    assert checked_angles([0.5]).shape == (1,)
    np.testing.assert_array_equal(checked_mask(None, size=1), [[True]])
    mask = np.eye(2, dtype=bool)
    assert checked_mask(mask, size=2) is mask


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: axis_position(1, step_um=1.0, axis_offset_um=0.0), "at least 2 offsets, not 1"),
        (lambda: axis_position(2, step_um=0.0, axis_offset_um=0.0), "step_um must be positive"),
        (lambda: axis_position(2, step_um=np.inf, axis_offset_um=0.0), "and finite, not inf"),
        (lambda: axis_position(2, step_um=1.0, axis_offset_um=np.nan), "axis_offset_um must be"),
        (lambda: checked_angles([]), "list of finite angles"),
        (lambda: checked_angles(0.5), "list of finite angles"),
        (lambda: checked_angles([[0.5]]), "list of finite angles"),
        (lambda: checked_angles([0.5, np.nan]), "list of finite angles"),
        (lambda: checked_angles([0.5], n_angles=2), "one angle per projection: 1 for 2"),
        (lambda: checked_angles([0.5] * 3, n_angles=2), "one angle per projection: 3 for 2"),
        (lambda: checked_stack(np.zeros((2, 2)), name="x", axes="(a)"), r"x must be .* axes \(a\)"),
        (lambda: checked_stack(np.zeros((2, 2, 1, 1)), name="x", axes=""), "x must be an array"),
        (lambda: checked_stack(np.zeros((2, 0, 1)), name="x", axes=""), "x must be an array"),
        (lambda: checked_stack(np.zeros((1, 1, 1), bool), name="x", axes=""), "type bool"),
        (lambda: checked_stack(np.zeros((1, 1, 1), complex), name="x", axes=""), "type complex"),
        (
            lambda: checked_stack(np.zeros((2, 3, 1)), name="x", axes="", square=True),
            "as many rows as columns",
        ),
        (
            lambda: checked_stack(np.zeros((3, 2, 3)), name="x", axes="", square=True),
            "as many rows as columns",
        ),
        (lambda: checked_mask(None, size=0), "size must be at least 1, not 0"),
        (lambda: checked_mask(np.ones((2, 3), bool), size=2), "mask must be boolean"),
        (lambda: checked_mask(np.ones((2, 2)), size=2), "mask must be boolean"),
    ],
)
def test_geometry_that_cannot_be_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


@pytest.mark.parametrize("step_um", [0.3, 0.7, 1.2, 2.9])
def test_the_field_of_view_is_the_same_in_any_unit_of_length(step_um):
    # Law: only offsets over steps count, also where the quotient is rounded to below a whole.
    for half_steps in range(-9, 10):
        unit = field_of_view(11, n_offsets=11, step_um=1.0, axis_offset_um=0.5 * half_steps)
        offset_um = round(0.5 * half_steps * step_um, 3)
        found = field_of_view(11, n_offsets=11, step_um=step_um, axis_offset_um=offset_um)
        np.testing.assert_array_equal(found, unit)
