"""Weights of the direct method where countable crystallites make the rings of a ray disagree."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from inverse.direct_rings import disagreement, fluctuation_of, ring_bounds, weighed_by_rings
from inverse.direct_shapes import Shapes, channel_weights, shapes_of
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
    gap = np.where(np.abs(x - 82.0) < 4.5, 0.0, two)  # not measured: parted in its middle
    np.testing.assert_array_equal(ring_bounds(gap), [0, 82, 200])
    tie = np.exp(-0.5 * ((x - 50.0) / 9.0) ** 2) + np.exp(-0.5 * ((x - 111.0) / 9.0) ** 2)
    np.testing.assert_array_equal(ring_bounds(tie), [0, 80, 200])
    faint = two + 0.02 * np.exp(-0.5 * ((x - 170.0) / 9.0) ** 2)
    np.testing.assert_array_equal(ring_bounds(faint), [0, 80, 200])


def test_countable_crystallites_are_found_by_their_rings():
    # Truth: Poisson numbers of mean g s have the relative variance 1/(g s). Squared steps of n
    # rays, of a ring against the others' mean, scatter, relatively, by sqrt(3/n) (steps share a ray
    # with the next), and by a tenth more as few crystallites (5 at least) are not normal: 6 σ.
    sinogram = rays(5, grains=True)
    found = fluctuation_of(sinogram, model=MODEL, a_A=A_MIDDLE)
    strength = np.sum(OWN**2, axis=1)  # of noise alike in all channels the variance is 1/strength
    shares = strength / strength.sum()
    own = 1.0 / GRAINS_PER_UM
    both = own + (own @ shares**2 - own * shares**2) / (1.0 - shares) ** 2
    scatter = 1.1 * np.sqrt(3.0 / (59 * 50)) * both
    assert (np.abs(found.per_path_um - own) < 6.0 * scatter).all()
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


def drawn_paths(n_rings: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Paths and photon variances by every ring, (angle, offset, ring), and a bad ray or two."""
    rng = np.random.Generator(np.random.Philox(12))
    paths = np.array([20.0, 25.0, 15.0, 30.0])[:n_rings] + 4.0 * rng.standard_normal(
        (7, 5, n_rings)
    )
    paths[3, 2] = -1.5  # counts for nothing in the mean path
    return paths, rng.uniform(0.5, 2.0, paths.shape) * np.array([0.2, 0.9, 0.4, 1.6])[:n_rings]


def by_loops(paths: np.ndarray, noise: np.ndarray, ring: int) -> float:
    """The right side of the module's formula for one ring of paths of equal strength."""
    others = [j for j in range(paths.shape[2]) if j != ring]
    precision = np.array([1.0 / noise[..., j].mean() for j in others])
    share = precision / precision.sum()
    mean = sum(share[n] * paths[..., j] for n, j in enumerate(others))
    own_noise = noise[..., ring] + sum(share[n] ** 2 * noise[..., j] for n, j in enumerate(others))
    pooled = 1.0 / noise.mean(axis=(0, 1))
    pooled /= pooled.sum()
    d = paths[..., ring] - mean
    above = below = 0.0
    for k in range(1, paths.shape[0]):
        for i in range(paths.shape[1]):
            above += 0.5 * (d[k, i] - d[k - 1, i]) ** 2 - own_noise.mean()
            below += paths[k, i] @ pooled
    return above / below


def test_disagreement_is_that_of_neighbouring_projections_without_their_noise():
    # Definition: τ_h and ⟨s⟩ written out, ray by ray, and the linear equations solved by numpy;
    # rings of equal strength. Rounding.
    paths, noise = drawn_paths()
    bounds = np.arange(5)
    equal = paths * paths[..., :1].sum() / paths.sum(axis=(0, 1))
    for its_noise in (noise, 1e-9 * noise):
        found = disagreement(bounds, equal, its_noise)
        precision = 1.0 / its_noise.mean(axis=(0, 1))
        weights = np.where(np.eye(4, dtype=bool), 0.0, precision)
        weights /= weights.sum(axis=1)[:, None]
        right = [by_loops(equal, its_noise, ring) for ring in range(4)]
        expected = np.linalg.solve(np.eye(4) + weights**2, right)
        assert min(expected) > 0.0
        np.testing.assert_allclose(found.per_path_um, expected, rtol=1e-7)
        kept = np.maximum(equal @ precision / precision.sum(), 0.0)
        assert found.path_um == pytest.approx(np.sum(kept**2) / np.sum(kept), rel=1e-12)
        assert found.bounds is bounds


def test_a_ring_fainter_than_the_model_has_it_does_not_disagree():
    # Truth: noise alone; rings are compared after they are made equally strong, their noise with
    # them. What is left is its scatter, 6 σ of 6 sqrt(3/n).
    rng = np.random.Generator(np.random.Philox(31))
    strength, sigma = np.array([1.0, 0.5, 1.0, 2.0]), 0.3
    paths = 20.0 * strength + sigma * rng.standard_normal((200, 30, 4))
    found = disagreement(np.arange(5), paths, np.full(paths.shape, sigma**2))
    scaled = sigma**2 / strength**2
    limit = 6.0 * np.sqrt(3.0 / (199 * 30)) * 2.0 * scaled.max() / 20.0
    assert (found.per_path_um < limit).all()


def test_one_projection_tells_nothing():
    # Limit: there is no neighbour to compare it with.
    found = disagreement(np.arange(4), np.ones((1, 5, 3)), np.full((1, 5, 3), 0.1))
    assert (found.per_path_um == 0.0).all()


def test_more_noise_than_disagreement_is_no_disagreement():
    # Limit: a variance estimated below zero is none.
    paths, noise = drawn_paths()
    assert (disagreement(np.arange(5), paths, 1e3 * noise).per_path_um == 0.0).all()


def test_projections_count_in_the_order_of_their_angles():
    # Law: the same projections, listed in another order, are neighbours of the same ones.
    sinogram = rays(13, grains=True, n_angles=12, n_offsets=6)
    order = np.random.Generator(np.random.Philox(3)).permutation(12)
    shuffled = replace(
        sinogram,
        values=sinogram.values[order],
        variance=sinogram.variance[order],
        angles_rad=sinogram.angles_rad[order],
    )
    one, other = (fluctuation_of(s, model=MODEL, a_A=A_MIDDLE) for s in (sinogram, shuffled))
    np.testing.assert_allclose(other.per_path_um, one.per_path_um, rtol=1e-5)
    assert one.per_path_um.min() > 0.0


def test_rings_are_those_of_the_nearest_template():
    # Definition; an a between templates stands for the nearest, one beyond them for the last.
    sinogram = rays(14, grains=True, n_angles=4, n_offsets=6)
    for a_A, node in ((A_A[0] - 0.1, 0), (A_A[40] + 1e-4, 40), (A_A[41] - 1e-4, 41)):
        found = fluctuation_of(sinogram, model=MODEL, a_A=a_A)
        expected = ring_bounds(MODEL.templates[node] * channel_weights(sinogram))
        np.testing.assert_array_equal(found.bounds, expected)
    low, high = (ring_bounds(MODEL.templates[node]) for node in (0, -1))
    assert np.any(low != high)


def test_two_rings_tell_nothing_and_three_do():
    # Definition: of two, neither is known to be the odd one; a third one tells.
    sinogram = rays(15, grains=True, n_angles=6, n_offsets=6)
    for n, told in ((2, False), (3, True)):
        model = LatticeModel(A_A, pattern(A_A)[:, :n].sum(axis=1), MODEL.linear)
        found = fluctuation_of(sinogram, model=model, a_A=A_MIDDLE)
        assert found.bounds.size == n + 1
        assert bool((found.per_path_um > 0.0).any()) is told
        assert (found.path_um > 0.0) is told


def test_without_noise_nothing_is_weighed():
    # Limit: a variance of zero everywhere leaves no shares to compare rings by.
    sinogram = rays(16, grains=True, n_angles=4, n_offsets=6)
    silent = replace(sinogram, variance=np.zeros_like(sinogram.variance))
    found = fluctuation_of(silent, model=MODEL, a_A=A_MIDDLE)
    assert (found.per_path_um == 0.0).all()
    assert found.path_um == 0.0


def test_a_channel_that_was_not_measured_is_left_out():
    # Law: between lines there is nothing but background, so 6 channels of 400 lost there change a
    # ring's path by their share of the information, a few per cent; a NaN used would spread to all.
    sinogram = rays(17, grains=True, n_angles=12, n_offsets=20)
    values, variance = sinogram.values.copy(), sinogram.variance.copy()
    values[..., 94:100], variance[..., 94:100] = np.nan, np.nan
    one = fluctuation_of(sinogram, model=MODEL, a_A=A_MIDDLE)
    other = fluctuation_of(
        replace(sinogram, values=values, variance=variance), model=MODEL, a_A=A_MIDDLE
    )
    np.testing.assert_allclose(other.per_path_um, one.per_path_um, rtol=0.05)
    assert other.path_um == pytest.approx(one.path_um, rel=0.01)


def test_weights_are_those_of_the_photons_and_of_the_rings():
    # Definition: C = 1·(photon noise) + Σ τ_h·⟨s⟩·⟨P_h(a)·P_h(a)ᵀ⟩, ring by ring and lattice
    # parameter by lattice parameter. Single precision.
    sinogram = rays(18, grains=True, n_angles=6, n_offsets=12)
    given = shapes(sinogram, n=8)
    found = fluctuation_of(sinogram, model=MODEL, a_A=A_MIDDLE)
    a_A = np.array([8.19, 8.2, 8.2, 8.213])
    back = given.from_channels[:, :8].astype(float)
    covariance = np.mean(np.sum(back**2, axis=0) * VARIANCE) * np.eye(8)
    for ring, tau in enumerate(found.per_path_um):
        inside = slice(found.bounds[ring], found.bounds[ring + 1])
        for a in a_A:
            p = MODEL.templates[np.argmin(np.abs(A_A - a)), inside] @ back[inside]
            covariance += tau * found.path_um * np.outer(p, p) / a_A.size
    expected = given.whitened(covariance)
    weighed = weighed_by_rings(given, found, sinogram=sinogram, model=MODEL, a_A=a_A)
    scale = np.abs(expected.curve).max()
    np.testing.assert_allclose(weighed.curve, expected.curve, atol=1e-4 * scale)
    assert np.abs(weighed.curve - given.curve).max() > 0.01 * scale  # the test can fail


def test_a_faint_ring_joins_the_next_above_and_the_last_one_below():
    # Closed form: far Gaussians of one width hold power as their heights squared: 0.1² = 1 % is
    # kept, 0.03² = 0.09 % is less than 0.3 %.
    x = np.arange(300.0)

    def lines(*heights: float) -> np.ndarray:
        places = 50.0 + 60.0 * np.arange(len(heights))
        t = (x[:, None] - places) / 9.0
        return np.exp(-0.5 * t**2) @ np.array(heights)

    assert ring_bounds(lines(1.0, 0.1, 1.0, 0.1)).size == 5
    middle = lines(1.0, 0.03, 1.0)
    lowest = 50 + int(np.argmin(middle[50:110]))
    np.testing.assert_array_equal(ring_bounds(middle), [0, lowest, 300])
    np.testing.assert_array_equal(ring_bounds(lines(1.0, 0.03)), [0, 300])
    np.testing.assert_array_equal(ring_bounds(lines(0.03, 1.0)), [0, 300])


def test_what_was_found_of_the_rings_does_not_change():
    # Law: arrays have no one truth value, so records of them are equal only to themselves.
    one, other = (disagreement(np.arange(5), *drawn_paths()) for _ in range(2))
    assert one != other
    with pytest.raises(FrozenInstanceError):
        one.path_um = 0.0
