"""How many crystallites make a ring, against counting them and against Poisson's law."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial.transform import Rotation
from scipy.stats import norm, poisson

from forward.grains import (
    Grains,
    acceptance_rad,
    beam_area_um2,
    grain_counts,
    grains_per_um3,
    spot_profile_per_px,
    spot_reach_px,
)
from forward.philox import stream_key
from xrdct.instrument import Beam

SIGMA = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


def test_spots_per_pixel_of_the_electrode():
    # Truth: PHYSICS 5, 0.4 and 0.13 spots per ring pixel, given to one and two digits.
    two_theta = np.deg2rad([2.98496, 6.89685])
    density = np.array(
        [
            grains_per_um3(0.2, multiplicity=m, theta_rad=0.5 * angle, acceptance_rad=1e-3)
            for m, angle in zip((8, 6), two_theta, strict=True)
        ]
    )
    spots = 500.0 * density / (2.0 * np.pi * 0.6 * np.tan(two_theta) / 172e-6)
    assert spots[0] == pytest.approx(0.4, abs=0.05)
    assert spots[1] == pytest.approx(0.13, abs=0.005)


def test_share_of_crystallites_that_reflect():
    # Truth: random orientations, counted. The eight (111) normals of a cubic crystal, the beam
    # along z; 5.5 sigma, false alarm 4e-8. Two normals of one crystal rarely reflect together, and
    # then as a pair (n and -n reflect at different orientations), so the count is nearly Poisson.
    theta, acceptance, n = 0.06, 0.02, 200_000
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(
        3.0
    )
    turned = Rotation.random(n, random_state=np.random.default_rng(5)).as_matrix() @ corners.T
    angle = np.arcsin(-turned[:, 2])  # a plane reflects when its normal is at 90° + θ to the beam
    seen = np.count_nonzero(np.abs(angle - theta) < 0.5 * acceptance)
    diameter = (6.0 / np.pi) ** (1.0 / 3.0)  # one grain in 1 µm³
    mean = n * grains_per_um3(diameter, multiplicity=8, theta_rad=theta, acceptance_rad=acceptance)
    assert abs(seen - mean) < 5.5 * np.sqrt(mean)


def test_beam_area_is_that_of_the_variance():
    # Truth: 1 / ∫I² of a Gaussian profile, by quadrature in each direction.
    beam = Beam(width_um=0.7, height_um=2.0)
    squares = [
        quad(lambda x, f=fwhm: norm.pdf(x, scale=f * SIGMA) ** 2, -np.inf, np.inf)[0]
        for fwhm in (0.7, 2.0)
    ]
    assert beam_area_um2(beam) == pytest.approx(1.0 / np.prod(squares), rel=1e-7)


def test_acceptance_adds_in_quadrature():
    # Truth: each contribution alone has a width of its own, of which the participation width
    # (∫f)²/∫f² of a Gaussian is taken; together the root of the sum of squares. Crystallites of
    # 1 mm add nothing.
    theta, f = np.array([0.02, 0.11]), norm(scale=SIGMA).pdf
    width = 1.0 / quad(lambda x: f(x) ** 2, -np.inf, np.inf)[0]
    given = {"grain_um": 1e3, "grains": Grains()}
    divergent = acceptance_rad(theta, beam=Beam(divergence_mrad=0.4, bandwidth=0.0), **given)
    np.testing.assert_allclose(divergent, width * 4e-4, rtol=1e-4)
    # Bragg's law: a crystal turned by δ reflects photons of energy E(1 + δ/tanθ)
    broad = acceptance_rad(theta, beam=Beam(divergence_mrad=0.0, bandwidth=2e-3), **given)
    np.testing.assert_allclose(broad, width * 2e-3 * np.tan(theta), rtol=1e-3)
    both = acceptance_rad(
        theta, beam=Beam(divergence_mrad=0.4, bandwidth=2e-3), grain_um=1e3,
        grains=Grains(mosaic_mrad=1.5),
    )  # fmt: skip
    expected = np.sqrt(divergent**2 + broad**2 + (width * 1.5e-3) ** 2)
    np.testing.assert_allclose(both, expected, rtol=1e-4)


def test_small_crystallites_reflect_over_a_wide_range():
    # Closed form: the reciprocal lattice point of a crystallite is K/L wide, seen from the origin
    # at the distance 1/d under K d/L.
    beam = Beam(divergence_mrad=0.0, bandwidth=0.0)
    d_A = 4.76
    theta = np.arcsin(beam.wavelength_A / (2.0 * d_A))
    found = acceptance_rad(theta, grain_um=0.2, beam=beam, grains=Grains())
    assert found == pytest.approx(1.5053 * 0.9 * d_A / 2000.0, rel=1e-4)


@pytest.mark.parametrize("expected", [0.05, 2.0, 40.0])
def test_numbers_of_grains_are_poisson(expected):
    # Truth: Poisson's law. χ² over classes of at least 20 expected; false alarm 1e-7: a normal
    # approximation of χ² (Wilson-Hilferty) at 5.2 sigma.
    n = 40_000
    mean = np.full((4, 100, n // 400), expected, np.float32)
    counts = grain_counts(mean, stream_key(11), first_frame=3).ravel().astype(int)
    law = n * poisson.pmf(np.arange(200), expected)
    kept = np.flatnonzero(law >= 20.0)
    seen = np.bincount(counts, minlength=200)
    seen = np.append(seen[kept], n - seen[kept].sum())
    law = np.append(law[kept], n - law[kept].sum())
    dof = seen.size - 1
    chi2 = np.sum((seen - law) ** 2 / np.maximum(law, 1.0))
    z = ((chi2 / dof) ** (1.0 / 3.0) - 1.0 + 2.0 / (9.0 * dof)) / np.sqrt(2.0 / (9.0 * dof))
    assert z < 5.2


def test_draws_depend_on_the_frame_alone():
    # Truth: a frame's grains are a function of key and frame number.
    mean = np.random.default_rng(1).uniform(0.0, 60.0, (30, 5, 7)).astype(np.float32)
    whole = grain_counts(mean, stream_key(9))
    np.testing.assert_array_equal(
        grain_counts(mean[10:20], stream_key(9), first_frame=10), whole[10:20]
    )
    assert not np.array_equal(grain_counts(mean, stream_key(8)), whole)


@pytest.mark.parametrize("fwhm_px", [0.4, 1.5, 3.0])
def test_spot_profile_is_the_mean_over_a_pixel(fwhm_px):
    # Truth: a Gaussian averaged over a pixel by quadrature; its integral is one, of which less
    # than 1e-3 lies beyond the reach.
    for t in (0.0, -0.3, 0.8, 2.4):
        expected = quad(lambda u: norm.pdf(u, scale=fwhm_px * SIGMA), t - 0.5, t + 0.5)[0]
        assert spot_profile_per_px(t, fwhm_px=fwhm_px) == pytest.approx(expected, abs=1e-9)
    reach = spot_reach_px(fwhm_px)
    inside = quad(lambda t: spot_profile_per_px(t, fwhm_px=fwhm_px), -reach, reach, points=[0.0])[0]
    assert 1.0 - 1e-3 < inside < 1.0
