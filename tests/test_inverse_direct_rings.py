"""Weights of the direct method where countable crystallites make the rings of a ray disagree."""

from __future__ import annotations

import numpy as np
import pytest

from inverse.direct_rings import disagreement, fluctuation_of, ring_bounds, weighed_by_rings
from inverse.direct_shapes import Shapes, shapes_of
from inverse.refine import LatticeModel
from inverse.sinogram import Sinogram

N_CHANNELS = 400
LINES = np.array([60.0, 130.0, 210.0, 290.0, 350.0])
HEIGHTS = np.array([1.0, 0.6, 0.8, 0.5, 0.7])
GRAINS_PER_UM = np.array([6.0, 2.0, 4.0, 1.0, 3.0])
A_A = 8.16 + 5e-4 * np.arange(161)
A_MIDDLE = 8.20
VARIANCE = 1e-3


def pattern(a_A: np.ndarray) -> np.ndarray:
    """One Gaussian for each line, which moves with the lattice parameter, (a, line, channel)."""
    place = LINES * (1.0 - 20.0 * (a_A[:, None] / A_MIDDLE - 1.0))
    t = (np.arange(N_CHANNELS) - place[..., None]) / 4.0
    return HEIGHTS[:, None] * np.exp(-0.5 * t**2)


MODEL = LatticeModel(
    a_A=A_A,
    templates=pattern(A_A).sum(axis=1),
    linear=np.stack([np.ones(N_CHANNELS), np.linspace(-1.0, 1.0, N_CHANNELS)]),
)
OWN = pattern(np.array([A_MIDDLE]))[0]


def rays(seed: int, *, grains: bool, n_angles: int = 60, n_offsets: int = 50) -> Sinogram:
    """Rays of 5 to 40 µm through a phase of one lattice parameter, over a background, with noise.

    Ring 3 is as much stronger than the others as a second phase may make it, alike at all angles.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    path = np.linspace(5.0, 40.0, n_offsets)
    mean = GRAINS_PER_UM * np.broadcast_to(path[:, None], (n_angles, n_offsets, LINES.size))
    shown = (rng.poisson(mean) if grains else mean) / GRAINS_PER_UM
    shown[..., 3] *= 1.0 + 0.2 * np.sin(np.linspace(0.0, 6.0, n_offsets))
    noise = np.sqrt(VARIANCE) * rng.standard_normal((n_angles, n_offsets, N_CHANNELS))
    values = shown @ OWN + 2.0 + noise
    return Sinogram(
        values=values.astype(np.float32),
        variance=np.full(values.shape, VARIANCE, np.float32),
        transmission=np.ones((n_angles, n_offsets)),
        angles_rad=np.pi * np.arange(n_angles) / n_angles,
        step_um=1.0,
        axis_offset_um=0.0,
        two_theta_rad=np.deg2rad(3.0 + 0.02 * np.arange(N_CHANNELS)),
        distance_m=0.7,
    )


def shapes(sinogram: Sinogram, n: int = 16) -> Shapes:
    return shapes_of(
        MODEL, sinogram=sinogram, n_fixed=0, a_min_A=8.18, a_max_A=8.22, n_coefficients=n
    )


def test_rings_are_parted_in_the_middle_between_equal_lines():
    # Truth: two equal Gaussians are lowest midway between; a faint third joins the next stronger.
    x = np.arange(200.0)
    two = np.exp(-0.5 * ((x - 50.0) / 9.0) ** 2) + np.exp(-0.5 * ((x - 110.0) / 9.0) ** 2)
    np.testing.assert_array_equal(ring_bounds(two), [0, 80, 200])
    faint = two + 0.02 * np.exp(-0.5 * ((x - 170.0) / 9.0) ** 2)
    np.testing.assert_array_equal(ring_bounds(faint), [0, 80, 200])


def test_countable_crystallites_are_found_by_their_rings():
    # Truth: Poisson numbers of mean g s have the relative variance 1/(g s). To each ring's own
    # comes that of the mean it is set against, which is worked out here. Squared steps of n rays
    # scatter, relatively, by sqrt(3/n) (steps share a ray with the next), and by a tenth more as
    # few crystallites (5 at least) are not normal.
    sinogram = rays(5, grains=True)
    found = fluctuation_of(sinogram, model=MODEL, a_A=A_MIDDLE)
    strength = np.sum(OWN**2, axis=1)  # of noise alike in all channels the variance is 1/strength
    shares = strength / strength.sum()
    own = 1.0 / GRAINS_PER_UM
    of_others = (own @ shares**2 - own * shares**2) / (1.0 - shares) ** 2
    n_rays = 59 * 50
    np.testing.assert_allclose(
        found.per_path_um, own + of_others, rtol=6.0 * np.sqrt(3.0 * 1.2 / n_rays) + 0.03
    )  # 6 σ, and 3 % for how well a background of two terms and tails keep lines apart
    path = np.linspace(5.0, 40.0, 50)
    assert found.path_um == pytest.approx(np.sum(path**2) / np.sum(path), rel=0.02)


def test_rings_of_many_crystallites_agree_whatever_else_the_sample_holds():
    # Truth: nothing but noise differs from projection to projection, and that is taken off; what is
    # left is its scatter, below 6 sqrt(3/n) of it.
    sinogram = rays(6, grains=False)
    found = fluctuation_of(sinogram, model=MODEL, a_A=A_MIDDLE)
    noise = VARIANCE / np.sum(OWN**2, axis=1)
    limit = 6.0 * np.sqrt(3.0 / (59 * 50)) * (noise + noise.max()) / 22.5
    assert (found.per_path_um <= limit).all()


def test_too_few_rings_tell_nothing():
    # Truth: a ring is set against the mean of others, of which there are none.
    one = LatticeModel(A_A, pattern(A_A)[:, 0], MODEL.linear)
    found = fluctuation_of(rays(7, grains=True, n_angles=4), model=one, a_A=A_MIDDLE)
    assert (found.per_path_um == 0.0).all()


def test_a_ring_that_is_not_there_does_not_fluctuate():
    # Truth: no path, nothing to fluctuate; a division by it would make NaN.
    paths = np.ones((5, 4, 3))
    paths[..., 2] = -1e-3
    found = disagreement(np.array([0, 1, 2, 3]), paths, np.full(paths.shape, 1e-6))
    assert found.per_path_um[2] == 0.0
    assert np.isfinite(found.per_path_um).all()


def test_shapes_of_rings_that_agree_stay_as_they_are():
    # Truth: C is a multiple of 1, and the strength is kept. Single precision.
    sinogram = rays(8, grains=False, n_angles=6)
    given = shapes(sinogram)
    found = disagreement(np.array([0, 200, 400]), np.ones((3, 4, 2)), np.full((3, 4, 2), 0.1))
    same = weighed_by_rings(given, found, sinogram=sinogram, model=MODEL, a_A=np.array([A_MIDDLE]))
    np.testing.assert_allclose(same.curve, given.curve, atol=2e-6 * np.abs(given.curve).max())


def test_whitening_makes_errors_alike_and_keeps_the_strength():
    # Truth: the definition: Mᵀ·C·M is a multiple of 1 for errors of covariance C mapped by M.
    given = shapes(rays(9, grains=False, n_angles=6), n=12)
    rng = np.random.Generator(np.random.Philox(7))
    root = rng.standard_normal((12, 12))
    changed = given.whitened(root @ root.T)
    mapping = np.linalg.lstsq(
        given.curve[:, :12].astype(float), changed.curve[:, :12].astype(float), rcond=None
    )[0]
    mapped = mapping.T @ (root @ root.T) @ mapping
    np.testing.assert_allclose(mapped / mapped[0, 0], np.eye(12), atol=2e-2)
    assert changed.strength == pytest.approx(given.strength, rel=1e-5)


def test_weighed_shapes_find_the_lattice_parameter_with_the_least_variance():
    # Truth: Gauss and Markov: no linear estimate scatters less than that by least squares over
    # whitened shapes, so it scatters less than over the shapes as they were. The logarithm of the
    # ratio of two variances of n draws scatters by 2/sqrt(n) (less, as the draws are the same): 6 σ
    sinogram = rays(10, grains=True, n_angles=400, n_offsets=50)
    given = shapes(sinogram)
    found = fluctuation_of(sinogram, model=MODEL, a_A=A_MIDDLE)
    weighed = weighed_by_rings(
        given, found, sinogram=sinogram, model=MODEL, a_A=np.array([A_MIDDLE])
    )

    def shift_variance(used: Shapes) -> float:
        node = int(np.argmin(np.abs(used.a_A - A_MIDDLE)))
        slope = (used.curve[node + 1] - used.curve[node - 1]) / (used.a_A[2] - used.a_A[0])
        design = np.stack([used.curve[node], slope], axis=1).astype(float)
        rows = used.coefficients(sinogram.values[:, 30]).astype(float)
        amount, moved = np.linalg.lstsq(design, rows.T, rcond=None)[0]
        return float(np.var(moved / amount))

    before, after = shift_variance(given), shift_variance(weighed)
    assert np.log(before / after) > 6.0 * 2.0 / np.sqrt(400)
