"""What lies outside the region of interest, with its parallax, taken out of its rays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.parallax_removal import without_parallax
from inverse.parallax_shift import NODE_CHANNELS
from inverse.ray_sums import RingGrid
from inverse.reconstruct import filtered_back_projection
from inverse.rings import Ring, add_ring, rays_of, view_radius_um
from inverse.truncation import outside_rings, without_outside
from tests.sinograms import DISTANCE_M, SINGLE, WIDTH_RAD, chord_in, sinogram
from xrdct.errors import InputError


def offsets_of(n, step, axis):
    return (np.arange(n) - 0.5 * (n - 1)) * step - axis


def disc(n, step, n_angles, *, radius=500.0, centre=(0.0, 0.0), axis=0.0, n_channels=2):
    """The sinogram of a uniform disc in closed form: 2√(R² − d²)."""
    angles = np.arange(n_angles) * np.pi / n_angles
    middle = centre[0] * np.cos(angles) + centre[1] * np.sin(angles)
    distance = offsets_of(n, step, axis) - middle[:, None]
    chord = 2.0 * np.sqrt(np.maximum(radius**2 - distance**2, 0.0))
    return sinogram(np.repeat(chord[..., None], n_channels, axis=2), step=step, axis=axis)


# --- parallax ---


def gaussian_line(two_theta, centre, sigma):
    return np.exp(-0.5 * ((two_theta - centre) / sigma) ** 2)


BLOBS = ((1.0, 300.0, 200.0, 60.0), (1.5, -350.0, 100.0, 80.0), (0.7, 50.0, -400.0, 60.0))
"""Amount, x, y and σ in µm."""
INNER_BLOB = ((1.0, 10.0, -20.0, 40.0),)


def blobs_measured(blobs, n, step, n_angles, *, distance_m, axis=0.0, n_channels=48):
    """Gaussian blobs by their definition: every point's line shifted for itself, and summed."""
    two_theta = np.deg2rad(9.0) + WIDTH_RAD * np.arange(n_channels)
    angles = np.arange(n_angles) * np.pi / n_angles
    s = np.linspace(-690.0, 690.0, 93)
    true = np.arctan(np.tan(two_theta) / (1.0 - 1e-6 * s[:, None] / distance_m))
    jacobian = (np.cos(true) / np.cos(two_theta)) ** 2 / (1.0 - 1e-6 * s[:, None] / distance_m)
    line = gaussian_line(true, two_theta[n_channels // 2], 1.6 * WIDTH_RAD) * jacobian
    t = offsets_of(n, step, axis)[:, None]
    values = np.zeros((n_angles, n, n_channels))
    for a, angle in enumerate(angles):
        x, y = t * np.cos(angle) - s * np.sin(angle), t * np.sin(angle) + s * np.cos(angle)
        density = sum(
            amount * np.exp(-0.5 * ((x - bx) ** 2 + (y - by) ** 2) / sigma**2)
            for amount, bx, by, sigma in blobs
        )
        values[a] = density @ line * (s[1] - s[0])
    return sinogram(values, step=step, axis=axis, two_theta=two_theta)


def ring_of_blobs(blobs, step=20.0, size=71, n_channels=48):
    """Blobs on pixels, with patterns as seen from s = 0."""
    place = (np.arange(size) - 0.5 * (size - 1)) * step
    two_theta = np.deg2rad(9.0) + WIDTH_RAD * np.arange(n_channels)
    density = sum(
        amount * np.exp(-0.5 * ((place - x) ** 2 + (place[:, None] - y) ** 2) / sigma**2)
        for amount, x, y, sigma in blobs
    )
    line = gaussian_line(two_theta, two_theta[n_channels // 2], 1.6 * WIDTH_RAD)
    values = (density.ravel()[:, None] * line).astype(np.float32)
    return Ring(
        values=values, variance=np.zeros_like(values), grid=RingGrid(size, step, 0.0, 700.0),
        two_theta_rad=two_theta, measured=np.ones(n_channels, bool), n_angles=81,
    )  # fmt: skip


def test_parallax_of_pixels_is_that_of_their_points():
    """Truth: every point's line shifted for itself (blobs_measured).

    Interpolation of pixels errs by step²√(2π)/(4σ) of a peak of height 1 (above); nodes broaden
    lines by up to (NODE_CHANNELS/2)² in variance, at the peak by half that over σ²; the spline as
    above.
    """
    scan = blobs_measured(BLOBS, 31, 20.0, 9, distance_m=DISTANCE_M)
    flat = blobs_measured(BLOBS, 31, 20.0, 9, distance_m=1e6)
    found = np.zeros(scan.values.shape, np.float32)
    ring = ring_of_blobs(BLOBS)
    add_ring(
        found, ring, rays=rays_of(scan), onto_rad=scan.two_theta_rad, distance_m=DISTANCE_M,
        factor=1.0,
    )  # fmt: skip
    peak = scan.values.max()
    pixels = 1.5 * 20.0**2 * np.sqrt(2 * np.pi) / (4 * 60.0)
    nodes = 0.5 * (0.5 * NODE_CHANNELS) ** 2 / 1.6**2 * peak
    spline = 2 * (5 / 384 + 1 / 24) * 1.38 / 1.6**2 * peak
    assert np.abs(found - scan.values).max() < pixels + nodes + spline
    assert np.abs(found - scan.values).std() < 0.1 * np.abs(flat.values - scan.values).std()


def test_parallax_is_taken_out_of_a_sinogram():
    """Truth: the same scan at a distance of 1000 km. Two rounds leave less than a third of it."""
    scan = blobs_measured(BLOBS, 71, 20.0, 60, distance_m=DISTANCE_M)
    flat = blobs_measured(BLOBS, 71, 20.0, 60, distance_m=1e6)
    found = without_parallax(scan)
    before = np.abs(scan.values - flat.values).std()
    assert np.abs(found.values - flat.values).std() < before / 3.0


# --- the correction ---


@pytest.mark.parametrize(
    ("centre", "radius", "roi_axis", "coarse_axis"),
    [((0.0, 0.0), 500.0, 0.0, 0.0), ((60.0, -30.0), 480.0, 0.0, 0.0), ((0.0, 0.0), 500.0, 6.3, -9)],
)
def test_rays_of_a_disc_become_its_chords_inside(centre, radius, roi_axis, coarse_axis):
    """Closed form: what is left of a uniform disc is 2√(w² − t²), w the radius of view.

    The coarse reconstruction misplaces the disc's edge, crossed twice, by a fraction of a pixel of
    20 µm (and hardly on average). Half a pixel at the inner circle counted twice or missed would be
    20 µm in every ray.
    """
    roi = disc(141, 2.5, 40, radius=radius, centre=centre, axis=roi_axis)
    coarse = disc(81, 20.0, 81, radius=radius, centre=centre, axis=coarse_axis)
    left = without_outside(roi, coarse=coarse)
    w = view_radius_um(roi)
    assert w == pytest.approx(175.0 - abs(roi_axis))
    error = left.values[..., 0] - chord_in(w, roi.offsets_um - roi_axis)
    assert np.abs(error).max() < 10.0
    assert np.abs(error.mean()) < 2.0
    np.testing.assert_array_equal(left.transmission, roi.transmission)


def test_a_broad_scan_serves_what_the_coarse_one_does_not_see():
    """Closed form as above: a disc of 1.2 mm radius, where the coarse scan sees 0.8 mm.

    Without the broad scan the coarse one is truncated itself and leaves errors many times larger.
    """
    roi = disc(71, 5.0, 30, radius=1200.0)
    coarse, broad = disc(81, 20.0, 81, radius=1200.0), disc(81, 50.0, 80, radius=1200.0)
    chord = chord_in(175.0, roi.offsets_um)
    error = without_outside(roi, coarse=coarse, broad=broad).values[..., 0] - chord
    assert np.abs(error).max() < 25.0
    assert np.abs(error.mean()) < 5.0
    alone = without_outside(roi, coarse=coarse).values[..., 0] - chord
    assert np.abs(alone.mean()) > 10.0 * np.abs(error.mean())


def test_rings_of_several_scans_meet():
    """Definition: each scan serves from the end of the next narrower one's view on."""
    coarse, broad = disc(81, 20.0, 20), disc(81, 50.0, 20)
    rings = outside_rings(coarse, broad=broad, inner_um=175.0)
    bounds = [(ring.grid.inner_um, ring.grid.outer_um) for ring in rings]
    assert bounds == [(175.0, 800.0), (800.0, 2000.0)]


def test_the_outside_is_seen_with_its_parallax():
    """Truth: the scan of what lies inside alone; steps, angles and lengths of scans all differ.

    What a scan without any parallax leaves, the coarse pixels' blur, is the floor. Outside lines
    appear shifted; where that is corrected, the error is the floor's to 15 %, where it is not, it
    is half as large again at least.
    """

    def error(distance_m, *, parallax):
        near = {"distance_m": distance_m}
        kept = blobs_measured(INNER_BLOB, 45, 8.0, 37, **near)
        roi = blobs_measured((*BLOBS, *INNER_BLOB), 45, 8.0, 37, **near)
        coarse = blobs_measured((*BLOBS, *INNER_BLOB), 71, 20.0, 70, **near)
        left = without_outside(roi, coarse=coarse, parallax=parallax)
        return np.std(left.values - kept.values) / np.std(roi.values)

    floor = error(1e6, parallax=False)
    assert floor < 0.02
    assert error(DISTANCE_M, parallax=True) < 1.15 * floor
    assert error(DISTANCE_M, parallax=False) > 1.5 * floor


def test_coarser_channels_serve_as_well():
    """Truth: as above, with a coarse scan of channels twice as wide, shifted by a third.

    Flat patterns keep their level whatever the channels.
    """
    roi = disc(71, 5.0, 20, n_channels=40)
    wide = np.deg2rad(8.0) - 0.7 * WIDTH_RAD + 2 * WIDTH_RAD * np.arange(24)
    coarse = replace(disc(81, 20.0, 81, n_channels=24), two_theta_rad=wide)
    left = without_outside(roi, coarse=coarse, parallax=False).values
    same = without_outside(roi, coarse=disc(81, 20.0, 81, n_channels=40), parallax=False).values
    np.testing.assert_allclose(left, same, atol=0.01)


def test_channels_that_another_scan_lacks_are_missing():
    """Definition: not measured is NaN, in values and variance, and nothing else becomes NaN."""
    roi, coarse = disc(41, 8.0, 20, n_channels=9), disc(81, 20.0, 60, n_channels=9)
    coarse.values[..., 4] = np.nan
    coarse.variance[..., 4] = np.nan
    roi.values[..., 7] = np.nan
    roi.variance[..., 7] = np.nan
    left = without_outside(roi, coarse=coarse)
    for array in (left.values, left.variance):
        missing = np.isnan(array)
        assert missing[..., [4, 7]].all()
        assert not np.delete(missing, [4, 7], axis=2).any()


@given(a=st.floats(-3.0, 3.0), seed=st.integers(0, 1000))
def test_the_correction_is_linear(a, seed):
    """Law: of a·x + y it is a times that of x and that of y, to single precision."""
    rng = np.random.Generator(np.random.Philox(seed))
    scans = [
        (rng.normal(size=(9, 13, 5)), rng.normal(size=(20, 21, 5)), rng.normal(size=(20, 21, 5)))
        for _ in range(2)
    ]

    def left(parts):
        roi, coarse, broad = (
            sinogram(part, step=step) for part, step in zip(parts, (10.0, 20.0, 50.0), strict=True)
        )
        return without_outside(roi, coarse=coarse, broad=broad).values

    x, y = (left(parts) for parts in scans)
    both = left([a * p + q for p, q in zip(*scans, strict=True)])
    scale = 4.0 * max(np.abs(x).max(), np.abs(y).max())
    np.testing.assert_allclose(both, a * x + y, atol=2000 * SINGLE * scale)


def test_added_variance_bounds_the_noise_that_the_subtraction_makes_in_the_image():
    """Against 400 repeated scans, ROI noise-free: the share is an upper bound.

    But in the outermost row of pixels, where noise reaches in from the outside. Each variance is
    known to 7 %. In full, the variance of the subtracted values would be (20/3)²·(81/100) = 36
    times as much again.
    """
    rng = np.random.Generator(np.random.Philox(4))
    coarse = sinogram(rng.normal(size=(81, 81, 400)), step=20.0)
    roi = sinogram(np.zeros((100, 101, 400)), step=3.0)
    roi.variance[:] = 0.0
    left = without_outside(roi, coarse=coarse, parallax=False)
    image = filtered_back_projection(
        left.values, angles_rad=roi.angles_rad, step_um=3.0, padding="zero", variance=left.variance
    )
    place = np.arange(-50, 51)
    inside = np.hypot(place, place[:, None]) < 49.0
    noise, stated = image.values[inside].var(axis=1), image.variance[inside].mean(axis=1)
    assert np.all(noise < stated)
    assert noise.mean() > stated.mean() / 20.0


def test_a_view_that_is_not_wider_is_refused():
    roi, coarse = disc(41, 8.0, 10), disc(21, 10.0, 10)
    with pytest.raises(InputError, match="must see further than 160 µm from the axis, not 100 µm"):
        without_outside(roi, coarse=coarse)
