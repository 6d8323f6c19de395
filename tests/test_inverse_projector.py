"""The projector against its definition, closed forms and its adjoint."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.projector import back_project, project
from inverse.reconstruct import filtered_back_projection
from xrdct.errors import InputError

SINGLE = float(np.finfo(np.float32).eps)


def grid(n, step_um):
    return (np.arange(n) - 0.5 * (n - 1)) * step_um


def joseph(image, angles, n_offsets, step, axis):
    """The definition, ray by ray: rows (or columns) read by numpy's linear interpolation."""
    position = grid(image.shape[0], step)
    sinogram = np.zeros((angles.size, n_offsets))
    # A pixel of zeros on either side: beyond the last pixel a row falls off to zero.
    beyond = np.concatenate([[position[0] - step], position, [position[-1] + step]])
    for a, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        along_rows = abs(c) >= abs(s)
        for i, t in enumerate(grid(n_offsets, step) - axis):
            for k, place in enumerate(position):
                row = image[k] if along_rows else image[:, k]
                at = (t - place * s) / c if along_rows else (t - place * c) / s
                read = np.interp(at, beyond, np.concatenate([[0], row, [0]]), left=0, right=0)
                sinogram[a, i] += read * step / max(abs(c), abs(s))
    return sinogram


scans = st.fixed_dictionaries(
    {
        "size": st.integers(1, 13),
        "n_offsets": st.integers(2, 15),
        "n_angles": st.integers(1, 7),
        "seed": st.integers(0, 10**6),
        "step_um": st.floats(0.1, 20.0),
        "axis_offset_um": st.floats(-30.0, 30.0),
    }
)


@given(scan=scans)
def test_projects_as_defined(scan):
    """Definition (see joseph), for any grid, any angle, axis and beams beside the image.

    Tolerance: single precision over 2·size terms below step·√2 each, and offsets in double.
    """
    rng = np.random.default_rng(scan["seed"])
    step, axis = scan["step_um"], scan["axis_offset_um"]
    image = rng.uniform(size=(scan["size"], scan["size"], 2))
    angles = rng.uniform(-7, 7, scan["n_angles"])
    sinogram = project(
        image, angles_rad=angles, n_offsets=scan["n_offsets"], step_um=step, axis_offset_um=axis
    )
    tolerance = 4 * scan["size"] * SINGLE * step
    for channel in range(2):
        expected = joseph(image[:, :, channel], angles, scan["n_offsets"], step, axis)
        np.testing.assert_allclose(sinogram[:, :, channel], expected, atol=tolerance)


@given(scan=scans, masked=st.booleans())
def test_back_projection_is_the_adjoint(scan, masked):
    """Law: ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩ for every channel, within the rounding of its largest sums."""
    rng = np.random.default_rng(scan["seed"])
    size = scan["size"]
    mask = rng.random((size, size)) < 0.6 if masked else None
    geometry = {
        "angles_rad": rng.uniform(-7, 7, scan["n_angles"]),
        "step_um": scan["step_um"],
        "axis_offset_um": scan["axis_offset_um"],
        "mask": mask,
    }
    image = rng.normal(size=(size, size, 70)).astype(np.float32)
    lines = rng.normal(size=(scan["n_angles"], scan["n_offsets"], 70)).astype(np.float32)
    projected = project(image, n_offsets=scan["n_offsets"], **geometry).astype(float)
    returned = back_project(lines, size=size, **geometry).astype(float)
    forth = (projected * lines).sum(axis=(0, 1))
    back = (image * returned).sum(axis=(0, 1))
    largest = project(np.abs(image), n_offsets=scan["n_offsets"], **geometry) * np.abs(lines)
    rounding = (2 * size + 2 * scan["n_angles"]) * SINGLE * largest.astype(float).sum(axis=(0, 1))
    assert np.all(np.abs(forth - back) <= rounding)


def test_straight_projections_are_sums_of_columns_and_rows():
    """Closed form at 0°, where t = x, and at 90°, where t = y."""
    image = np.random.default_rng(1).integers(0, 9, (12, 12, 3)).astype(float)
    sinogram = project(image, angles_rad=[0.0, np.pi / 2], n_offsets=12, step_um=0.5)
    np.testing.assert_allclose(sinogram[0], 0.5 * image.sum(axis=0), rtol=12 * SINGLE)
    np.testing.assert_allclose(sinogram[1], 0.5 * image.sum(axis=1), rtol=12 * SINGLE)


@given(angle=st.floats(-np.pi, np.pi))
def test_a_ray_across_a_square_has_the_length_of_its_chord(angle):
    """Closed form: through the middle of a full square, width/max(|cos ω|, |sin ω|).

    It crosses every row between the centres of the outermost pixels, since |x| = |y·tan ω| ≤ |y|,
    and so reads 1 from each: no ripple.
    """
    n, step = 21, 3.0
    sinogram = project(np.ones((n, n, 1)), angles_rad=[angle], n_offsets=1 + 2 * 20, step_um=step)
    chord = n * step / max(abs(np.cos(angle)), abs(np.sin(angle)))
    np.testing.assert_allclose(sinogram[0, 20, 0], chord, rtol=2 * n * SINGLE)


def test_projections_of_a_gaussian_converge():
    """Closed form: σ√(2π)·exp(−(t − t₀)²/2σ²).

    Rows are interpolated with an error below (step²/8)·max|∂²f/∂x²| ≤ (step²/8σ²)·exp(−y²/2σ²),
    whose integral along the ray, no longer than √2 times its rows, is step²·√π/(4σ).
    """
    sigma, x, y = 5.0, 6.1, -3.3
    angles = np.linspace(0, 2 * np.pi, 37)
    centre = x * np.cos(angles) + y * np.sin(angles)
    errors = []
    for step in (1.0, 0.5):
        n = round(80 / step) + 1
        position = grid(n, step)
        squared = (position[None, :] - x) ** 2 + (position[:, None] - y) ** 2
        image = np.exp(-0.5 * squared / sigma**2)[:, :, None]
        sinogram = project(image, angles_rad=angles, n_offsets=n, step_um=step)[:, :, 0]
        distance = position[None, :] - centre[:, None]
        exact = sigma * np.sqrt(2 * np.pi) * np.exp(-0.5 * (distance / sigma) ** 2)
        errors.append(np.abs(sinogram - exact).max())
        assert errors[-1] < step**2 * np.sqrt(np.pi) / (4 * sigma)
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2.0, atol=0.2)


def test_reconstruction_returns_what_was_projected():
    """Law: both share one frame. A smooth image survives to the second order of the step.

    Height 1, σ = 4 steps: reconstruction errs by up to step²/4σ² (linear interpolation, twice that
    with the projector's), 0.031.
    """
    n, sigma = 61, 4.0
    position = grid(n, 1.0)
    squared = (position[None, :] - 9.0) ** 2 + (position[:, None] + 5.0) ** 2
    image = np.exp(-0.5 * squared / sigma**2)[:, :, None]
    angles = np.arange(120) * np.pi / 120
    sinogram = project(image, angles_rad=angles, n_offsets=n, step_um=1.0)
    returned = filtered_back_projection(sinogram, angles_rad=angles, step_um=1.0).values
    assert np.nanmax(np.abs(returned - image)) < 2 / (4 * sigma**2)


def test_pixels_outside_the_mask_are_neither_read_nor_written():
    """Definition; NaN outside the mask must not come through."""
    rng = np.random.default_rng(4)
    mask = rng.random((14, 14)) < 0.5
    image = np.where(mask[:, :, None], rng.normal(size=(14, 14, 2)), np.nan)
    scan = {"angles_rad": rng.uniform(0, 3, 9), "step_um": 1.0}
    sinogram = project(image, n_offsets=17, mask=mask, **scan)
    expected = project(np.nan_to_num(image), n_offsets=17, **scan)
    np.testing.assert_allclose(sinogram, expected, atol=28 * SINGLE * 4)
    masked = back_project(sinogram, size=14, mask=mask, **scan)
    whole = back_project(sinogram, size=14, **scan)
    assert np.all(masked[~mask] == 0)
    np.testing.assert_allclose(masked[mask], whole[mask], rtol=1e-6)


def test_neither_threads_nor_other_channels_change_a_bit():
    """Law: channels are independent, and the order of additions is fixed."""
    rng = np.random.default_rng(6)
    image = rng.normal(size=(15, 15, 150)).astype(np.float32)
    scan = {"angles_rad": np.arange(70) * np.pi / 70, "step_um": 1.0}
    sinogram = project(image, n_offsets=15, workers=1, **scan)
    returned = back_project(sinogram, workers=1, **scan)
    for workers in (2, 5, None):
        again = project(image, n_offsets=15, workers=workers, **scan)
        np.testing.assert_array_equal(again, sinogram)
        np.testing.assert_array_equal(back_project(sinogram, workers=workers, **scan), returned)
    few = project(image[:, :, 61:69], n_offsets=15, **scan)
    np.testing.assert_array_equal(few, sinogram[:, :, 61:69])
    np.testing.assert_array_equal(back_project(few, **scan), returned[:, :, 61:69])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"image": np.ones((6, 5, 2))}, "as many rows as columns"),
        ({"image": np.ones((6, 6))}, "image must be an array"),
        ({"n_offsets": 1}, "at least 2 offsets"),
        ({"angles_rad": 0.1}, "list of finite angles"),
        ({"step_um": -1.0}, "step_um must be positive"),
        ({"mask": np.ones((5, 5), bool)}, "mask must be boolean"),
    ],
)
def test_images_that_do_not_fit_are_refused(change, rule):
    scan = {"image": np.ones((6, 6, 2)), "angles_rad": [0.1], "n_offsets": 6, "step_um": 1.0}
    scan |= change
    with pytest.raises(InputError, match=rule):
        project(scan.pop("image"), **scan)


def test_sinograms_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="one angle per projection"):
        back_project(np.ones((3, 5, 2)), angles_rad=[0.1, 0.2], step_um=1.0)
    with pytest.raises(InputError, match="sinogram must be an array"):
        back_project(np.ones((3, 5)), angles_rad=[0.1, 0.2, 0.3], step_um=1.0)
