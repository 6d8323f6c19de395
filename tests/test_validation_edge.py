"""The width of a disc's edge, against blurred discs in closed form and against known filters."""

import numpy as np
import pytest
from scipy.stats import ncx2

from inverse.reconstruct import filtered_back_projection
from validation.edge import HALF_WIDTH, disc_edge
from xrdct.errors import InputError

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
RADIUS, CENTRE, N = 30.0, (1.3, -0.7), 91
DISC = {"centre_um": CENTRE, "radius_um": RADIUS, "step_um": 1.0, "reach_um": 5.0}

SAMPLING = 2 * np.sqrt(2) * 0.57 * HALF_WIDTH / np.sqrt(2 * np.pi * RADIUS * 2 * HALF_WIDTH)
"""Two standard deviations, in steps, of a width from pixels that lie unevenly in their window.

A straight line through n pixels at random places d, |d| < b, takes ½v″·Σd³/Σd² for slope, which is
½v″·b·1.13/√n in the root mean square. A Gaussian edge has v″/v′ = l′/l = 1.18/σ at half maximum:
that moves either half maximum by 0.57·b/√n.
"""


def distances():
    position = np.arange(N) - 0.5 * (N - 1)
    return np.hypot(position[None, :] - CENTRE[0], position[:, None] - CENTRE[1])


def blurred_disc(sigma):
    """A disc convolved with a round Gaussian: P(|X| < R) for X normal about the pixel."""
    return ncx2.cdf((RADIUS / sigma) ** 2, 2, (distances() / sigma) ** 2)


def width_of(transfer):
    """FWHM of ∫ H(f)·cos(2πfx) df."""
    f = np.arange(0.5, 40_000.0) * 2e-4
    x = np.linspace(0.0, 3.0, 601)
    spread = np.array([np.sum(transfer(f) * np.cos(2 * np.pi * f * position)) for position in x])
    return 2 * np.interp(-0.5, -spread / spread[0], x)


@pytest.mark.parametrize("scale", [1.0, -0.3])
@pytest.mark.parametrize("sigma", [0.4, 0.6, 1.1])
def test_a_blurred_disc_has_the_width_of_its_blur(sigma, scale):
    # Closed form: the blur is the line spread function, moved inwards by the curvature of the edge,
    # σ²/2R; what comes next is smaller by σ/R. That of the function's own window is taken off.
    edge = disc_edge(scale * blurred_disc(sigma), **DISC)
    assert edge.fwhm_um == pytest.approx(FWHM_PER_SIGMA * sigma, abs=SAMPLING)
    assert edge.shift_um == pytest.approx(-(sigma**2) / (2 * RADIUS), abs=SAMPLING)
    total = edge.spread_per_um.sum() * (edge.r_um[1] - edge.r_um[0])
    assert total == pytest.approx(1.0, abs=0.005)  # it is a density, of unit area


def test_a_disc_larger_than_stated_has_its_edge_outside():
    # Definition.
    image = blurred_disc(0.6)
    shift_um = disc_edge(image, **DISC).shift_um
    shifted_um = disc_edge(image, **(DISC | {"radius_um": RADIUS - 0.5})).shift_um
    assert shifted_um - shift_um == pytest.approx(0.5, abs=1e-9)  # positions are 0.05 apart


def test_lengths_scale():
    # Law.
    image = blurred_disc(0.6)
    one = disc_edge(image, **DISC)
    lengths = {"radius_um": 2 * RADIUS, "step_um": 2.0, "reach_um": 10.0}
    other = disc_edge(image, centre_um=(2 * CENTRE[0], 2 * CENTRE[1]), **lengths)
    for name in ("fwhm_um", "fwhm_esd_um", "shift_um"):
        assert getattr(other, name) == pytest.approx(2 * getattr(one, name), rel=1e-9)


def test_only_the_surroundings_of_the_edge_count():
    # Definition: what is further than the reach may be anything.
    image = blurred_disc(0.6)
    elsewhere = np.where(np.abs(distances() - RADIUS) < 5.0, image, np.nan)
    assert disc_edge(elsewhere, **DISC).fwhm_um == disc_edge(image, **DISC).fwhm_um


def reconstructed_disc(centre, *, axis, filter_name):
    """The disc back projected from closed-form projections, with a beam as wide as the step."""
    offsets, angles = np.arange(N) - 0.5 * (N - 1), np.arange(150) * np.pi / 150
    t = offsets - (centre[0] * np.cos(angles) + centre[1] * np.sin(angles) + axis)[:, None]
    left, right = (np.clip((t + d) / RADIUS, -1.0, 1.0) for d in (-0.5, 0.5))
    area = [RADIUS**2 * (u * np.sqrt(1 - u**2) + np.arcsin(u)) for u in (left, right)]
    return filtered_back_projection(
        (area[1] - area[0])[:, :, None],
        angles_rad=angles,
        step_um=1.0,
        axis_offset_um=axis,
        filter_name=filter_name,
    ).values[:, :, 0]


@pytest.mark.parametrize(
    ("filter_name", "window"),
    [("ramp", np.ones_like), ("hann", lambda f: np.cos(np.pi * f) ** 2)],
)
def test_filtered_back_projection_has_the_width_of_its_transfer_function(filter_name, window):
    # Closed form: averaged over all places of an edge among the samples, a frequency passes the
    # beam (a step wide: sinc f), the filter, which repeats beyond Nyquist's while the ramp that
    # undoes the projection goes on, and linear interpolation, sinc²f. f̃ is f less the nearest
    # integer. Forty discs at random places, each with an axis of its own, as pixels would else lie
    # on samples near 0°. Their mean within five standard errors (1e-5 for 39 degrees of freedom),
    # and none further off than five times what it states.
    rng = np.random.Generator(np.random.Philox(7))
    edges = []
    for axis in (np.arange(40) + 0.5) / 40:
        centre = tuple(rng.uniform(-3.0, 3.0, 2))
        image = reconstructed_disc(centre, axis=axis, filter_name=filter_name)
        edges.append(disc_edge(image, **(DISC | {"centre_um": centre})))

    def transfer(f):
        folded = np.abs(f - np.rint(f))
        return np.sinc(f) * window(folded) * folded / f * np.sinc(f) ** 2

    error = np.array([edge.fwhm_um for edge in edges]) - width_of(transfer)
    stated = np.array([edge.fwhm_esd_um for edge in edges])
    assert abs(error.mean()) < 5 * error.std(ddof=1) / np.sqrt(error.size)
    assert np.all(np.abs(error) < 5 * stated)


def test_the_uncertainty_is_the_scatter_of_noisy_images():
    # Statistics: 150 images with independent noise. A variance from 150 has a relative standard
    # deviation of 0.12, the mean of 150 from 12 sectors 0.43/√150 = 0.04: the ratio is 1 ± 5·0.13.
    rng = np.random.Generator(np.random.Philox(3))
    clean = blurred_disc(0.8)
    found = [disc_edge(clean + 0.01 * rng.standard_normal((N, N)), **DISC) for _ in range(150)]
    scatter = np.var([edge.fwhm_um for edge in found], ddof=1)
    stated = np.mean([edge.fwhm_esd_um**2 for edge in found])
    print(scatter / stated)
    assert 0.35 < scatter / stated < 1.65


@pytest.mark.parametrize(
    ("image", "change", "rule"),
    [
        (np.full((N, N), np.nan), {}, "must be numbers"),
        (np.ones((N, N)), {}, "there is no edge"),
        (np.ones((N, N)), {"radius_um": 300.0}, "there is no edge"),
        (distances() < 2.0, {"radius_um": 2.0, "reach_um": 2.0}, "disc is too small"),
        (blurred_disc(4.0), {"reach_um": 2.0}, "the edge is wider"),
    ],
)
def test_what_shows_no_edge_is_refused(image, change, rule):
    with pytest.raises(InputError, match=rule):
        disc_edge(image, **(DISC | change))
