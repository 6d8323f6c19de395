"""The beam's blur against closed forms, its definition and its adjoint."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from inverse.beam import blur_taps, blur_variance
from inverse.projector import back_project, project
from xrdct.errors import InputError

SINGLE = float(np.finfo(np.float32).eps)
FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))


def grid(n, step_um):
    return (np.arange(n) - 0.5 * (n - 1)) * step_um


@given(variance=st.floats(0.0, 50.0))
def test_a_blur_has_sum_one_its_variance_and_no_negative_weight(variance):
    """Closed form: moments of the discrete Gaussian; tails of 1e-7 are cut, at m² < 50·v + 50."""
    taps = blur_taps(np.array([variance]))[0].astype(float)
    place = np.arange(taps.size) - taps.size // 2
    assert taps.min() >= 0.0
    np.testing.assert_allclose(taps.sum(), 1.0, atol=4 * SINGLE)
    np.testing.assert_allclose(taps, taps[::-1], atol=SINGLE)
    tolerance = 1e-7 * (50 * variance + 50) + 8 * SINGLE * variance
    np.testing.assert_allclose((taps * place**2).sum(), variance, atol=tolerance)


def test_two_blurs_make_one_of_the_summed_variance():
    """Law: the semigroup of the discrete Gaussian; cut tails and rounding of ~20 terms."""
    one, two, both = (blur_taps(np.array([v]))[0] for v in (0.7, 1.9, 2.6))
    together = np.convolve(one, two)
    spare = (together.size - both.size) // 2
    expected = np.pad(both, (spare, together.size - both.size - spare))
    np.testing.assert_allclose(together, expected, atol=3e-7)


def test_a_beam_of_one_step_leaves_next_to_nothing_to_blur():
    """Closed form: σ² = 0.1803 steps² less 1/12 less c²/6, at 0°, 45° and 30°."""
    variance = blur_variance(np.deg2rad([0.0, 45.0, 30.0, 120.0]), fwhm_um=3.0, step_um=3.0)
    beam = 1 / (8 * np.log(2))
    expected = [0.0, beam - 1 / 12 - 1 / 12, 0.0, 0.0]
    np.testing.assert_allclose(variance, expected, atol=1e-12)
    wide = blur_variance(np.array([0.0]), fwhm_um=6.0, step_um=3.0)
    np.testing.assert_allclose(wide, 4 * beam - 1 / 12 - 1 / 6, rtol=1e-12)


def voxel_averages(position, *, x, y, sigma):
    """Averages of exp(−r²/2σ²) over the squares of a grid of step 1, by the error function."""

    def along(centre):
        upper = erf((position - centre + 0.5) / (np.sqrt(2) * sigma))
        lower = erf((position - centre - 0.5) / (np.sqrt(2) * sigma))
        return sigma * np.sqrt(np.pi / 2) * (upper - lower)

    return along(y)[:, None] * along(x)[None, :]


@pytest.mark.parametrize("fwhm", [4.0, 6.0])
def test_projections_of_a_gaussian_have_the_width_that_the_beam_sees(fwhm):
    """Closed form: a Gaussian of σ seen by one of σ_b is a Gaussian of √(σ² + σ_b²).

    Along the grid every ray passes on pixels, nothing is interpolated, and the variance of c²/6
    that is allowed for it is missing: an error of ½·(1/6)·max|p″| = p_max/(12·s²), s² the total
    variance. At other angles rays pass anywhere between pixels, and it averages out. The discrete
    Gaussian of variance v has the fourth cumulant v: (v/24)·max|p⁗| = v·p_max/(8·s⁴). A twentieth
    of the first is granted to everything else. Without its blur the projection would be too high
    by σ_b²/2s² > 8 %; the bound is below 0.6 %.
    """
    sigma, x, y, n = 4.0, 3.3, -5.2, 81
    beam = fwhm / FWHM_PER_SIGMA
    angles = np.linspace(0.0, np.pi, 23)
    image = voxel_averages(grid(n, 1.0), x=x, y=y, sigma=sigma)[:, :, None]
    seen = project(image, angles_rad=angles, n_offsets=n, step_um=1.0, beam_fwhm_um=fwhm)[..., 0]
    total = sigma**2 + beam**2
    distance = grid(n, 1.0)[None, :] - (x * np.cos(angles) + y * np.sin(angles))[:, None]
    height = sigma**2 * np.sqrt(2 * np.pi / total)
    exact = height * np.exp(-0.5 * distance**2 / total)
    variance = blur_variance(angles, fwhm_um=fwhm, step_um=1.0)
    along_grid = np.isclose(np.sin(2 * angles), 0.0)
    interpolation = height / (12 * total)
    bound = interpolation * np.where(along_grid, 1.05, 0.05) + variance * height / (8 * total**2)
    assert np.all(np.abs(seen - exact).max(axis=1) < bound)
    bare = project(image, angles_rad=angles, n_offsets=n, step_um=1.0)[..., 0]
    assert np.abs(bare - exact).max() > 0.08 * height


def test_a_blurred_projection_is_the_convolution_of_a_wider_one():
    """Definition: rays beside the window are read too, so nothing is lost at its ends."""
    rng = np.random.default_rng(2)
    image = rng.uniform(size=(19, 19, 3)).astype(np.float32)
    angles = np.array([0.0, 0.4, 1.2, 2.0])
    taps = blur_taps(blur_variance(angles, fwhm_um=5.0, step_um=2.0))
    reach = taps.shape[1] // 2
    bare = project(image, angles_rad=angles, n_offsets=9 + 2 * reach, step_um=2.0)
    seen = project(image, angles_rad=angles, n_offsets=9, step_um=2.0, beam_fwhm_um=5.0)
    for a in range(angles.size):
        for c in range(3):
            expected = np.convolve(bare[a, :, c], taps[a], mode="valid")
            np.testing.assert_allclose(seen[a, :, c], expected, rtol=40 * SINGLE)


@given(
    fwhm=st.floats(0.0, 12.0),
    axis=st.floats(-20.0, 20.0),
    n_offsets=st.integers(2, 12),
    seed=st.integers(0, 10**6),
)
def test_back_projection_is_the_adjoint_with_a_beam(fwhm, axis, n_offsets, seed):
    """Law: ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩, within the rounding of the largest sums."""
    rng = np.random.default_rng(seed)
    scan = {
        "angles_rad": rng.uniform(-7, 7, 5),
        "step_um": 1.5,
        "axis_offset_um": axis,
        "beam_fwhm_um": fwhm,
    }
    image = rng.normal(size=(9, 9, 66)).astype(np.float32)
    lines = rng.normal(size=(5, n_offsets, 66)).astype(np.float32)
    projected = project(image, n_offsets=n_offsets, **scan).astype(float)
    returned = back_project(lines, size=9, **scan).astype(float)
    forth = (projected * lines).sum(axis=(0, 1))
    back = (image * returned).sum(axis=(0, 1))
    largest = project(np.abs(image), n_offsets=n_offsets, **scan) * np.abs(lines)
    rounding = 80 * SINGLE * largest.astype(float).sum(axis=(0, 1))
    assert np.all(np.abs(forth - back) <= rounding)


@pytest.mark.parametrize("fwhm", [-1.0, np.nan, 101.0])
def test_beams_that_are_no_width_are_refused(fwhm):
    with pytest.raises(InputError, match="beam_fwhm_um must be between 0 and 100 steps"):
        project(np.ones((4, 4, 1)), angles_rad=[0.0], n_offsets=4, step_um=1.0, beam_fwhm_um=fwhm)
