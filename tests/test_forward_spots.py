"""Rings made of spots, against the smooth ring, Poisson's law and the geometry of the detector."""

import numpy as np
import pytest
from scipy.ndimage import label
from scipy.stats import kstest

from forward.angles import AngleGrid
from forward.grains import (
    Grains,
    acceptance_rad,
    beam_area_um2,
    grain_counts,
    grains_per_um3,
    spot_profile_per_px,
    spot_reach_px,
)
from forward.patterns import LineCore
from forward.philox import stream_key
from forward.spots import (
    add_smooth_rings,
    draw_spots,
    mean_ring_grains,
    rings_of,
    smooth_rings,
    spot_stamp,
    stamp_spots,
)
from xrdct.instrument import Beam
from xrdct.plane import Plane, place_m, sight

PIXEL_UM = 172.0
PIXEL_M = PIXEL_UM * 1e-6
DISTANCE_M = 0.1
SHAPE = (190, 170)
N_NODES = 1000
ANGLES = AngleGrid(
    first_rad=0.002,
    step_rad=PIXEL_M / DISTANCE_M / 8.0,
    n_nodes=N_NODES,
    distance_m=DISTANCE_M,
    stretch=1.0,
    averaged=False,
)
UPRIGHT = Plane(DISTANCE_M, 95.2 * PIXEL_M, 84.7 * PIXEL_M)
TILTED = Plane(DISTANCE_M, 214.2 * PIXEL_M, 173.0 * PIXEL_M, 0.15, -0.2, 0.4)
WIDTH_NODES = 10.0
"""Sigma of a ring's profile, 1.25 pixels."""
TRANSMITTED = 3.0e6


def cores(radii_px, n_states=1):
    """Return one Gaussian line per radius, its states a pixel apart."""
    found = []
    for radius in radii_px:
        theta = 0.5 * np.arctan((radius + np.arange(n_states)) * PIXEL_M / DISTANCE_M)
        place = (2.0 * theta - ANGLES.first_rad) / ANGLES.step_rad
        first = int(place[0] - 4.0 * WIDTH_NODES)
        nodes = first + np.arange(int(place[-1] - place[0] + 8.0 * WIDTH_NODES) + 2)
        off = (nodes - place[:, None]) / WIDTH_NODES
        values = np.where(np.abs(off) < 3.5, np.exp(-0.5 * off**2), 0.0)
        values = values.astype(np.float32)
        found.append(LineCore("", 0, first, values, 8, theta, 0.2, np.zeros_like(values)))
    return found


class Setting:
    """Rings, stamp and the maps of a small detector without gaps."""

    def __init__(self, plane=UPRIGHT, radii_px=(60.0,), n_states=1, fwhm_px=1.5, dense=5.0):
        self.grains = Grains(spot_fwhm_px=fwhm_px, dense_per_pixel=dense)
        self.cores = cores(radii_px, n_states)
        self.rings = rings_of(
            self.cores, angles=ANGLES, pixel_um=PIXEL_UM, beam=Beam(), grains=self.grains
        )
        self.still = np.zeros(self.rings.line.size, np.float32)
        self.stamp = spot_stamp(plane, pixel_um=PIXEL_UM, grains=self.grains)
        p1, p2 = ((np.arange(n) + 0.5) * PIXEL_M for n in SHAPE)
        seen = sight(plane, p1[:, None], p2)
        node = (seen.two_theta_rad - ANGLES.first_rad) / ANGLES.step_rad
        self.azimuth_rad = seen.azimuth_rad
        self.node = np.clip(node, 0.0, N_NODES - 2).astype(np.float32)
        self.weight = (1.0 + 0.3 * np.cos(np.arange(SHAPE[1]) / 7.0) + 0.0 * node).astype(
            np.float32
        )
        self.row = np.linspace(0.8, 1.2, SHAPE[0], dtype=np.float32)
        self.column = np.linspace(1.1, 0.9, SHAPE[1], dtype=np.float32)

    def smooth(self, counts):
        """Return a frame of smooth rings of ``counts`` grains, by numpy's interpolation."""
        photons = np.zeros(N_NODES, np.float32)
        every = np.ones(self.rings.line.size, bool)
        add_smooth_rings(
            photons, np.asarray(counts, np.float32), TRANSMITTED, every, self.rings, self.still
        )
        value = np.interp(self.node.astype(float), np.arange(N_NODES), photons)
        return value * self.weight * self.row[:, None] * self.column

    def stamped(self, ring, azimuth_rad):
        frame = np.zeros(SHAPE, np.float32)
        stamp_spots(
            frame, self.node, self.weight, self.row, self.column, TRANSMITTED,
            np.asarray(ring, np.int64), np.asarray(azimuth_rad, float), self.rings, self.stamp,
            self.still,
        )  # fmt: skip
        return frame

    def drawn(self, mean, key, frame):
        counts = grain_counts(mean[None], key, first_frame=frame)[0]
        spots = draw_spots(counts, key, frame=frame, rings=self.rings, stamp=self.stamp)
        return counts, self.stamped(spots.ring, spots.azimuth_rad)


@pytest.mark.parametrize("plane", [UPRIGHT, TILTED])
@pytest.mark.parametrize("radius_px", [20.0, 60.0, 110.0])
@pytest.mark.parametrize("fwhm_px", [0.8, 1.5, 3.0])
def test_mean_over_azimuths_is_the_smooth_ring(plane, radius_px, fwhm_px):
    # Truth: the smooth ring, pixel by pixel. Azimuths 1/40 pixel apart instead of random ones: the
    # spot's profile is integrated by midpoints, whose error is the step (1/40) times its jumps at
    # either end (Φ(−3.5) = 2.3e-4), 1.2e-5. The arc tangent's series is good to half⁷/7 where
    # half = reach / radius, up to 0.37 (spots of 3 pixels on the smallest ring), times the density
    # out there (1e-3 of the mean): 1e-6. Sums of 40 · 10 terms in single precision, √400 · 6e-8.
    at = Setting(plane, [radius_px], fwhm_px=fwhm_px)
    n = int(2.0 * np.pi * radius_px * 40)
    azimuth = 2.0 * np.pi * (np.arange(n) + 0.37) / n
    stamped, smooth = at.stamped(np.zeros(n), azimuth), at.smooth([n])
    assert np.count_nonzero(smooth) > 900
    np.testing.assert_allclose(stamped, smooth, rtol=3e-5)


def test_mean_over_draws_is_the_smooth_ring():
    # Truth: the smooth ring. 300 grains on average on each of 6 rings (2 lines, 3 states), 300
    # frames. A pixel's relative variance is (1/M) ∫A²/2π = 2πR ∫a²/M for each ring. The largest of
    # 10⁴ deviates stays below 6.5 sigma but for 1e-6 (8e-11 each, ten times as likely for a skew
    # of 0.06), that of the total below 5.5 (4e-8).
    at = Setting(radii_px=(40.0, 70.0), n_states=3)
    mean, n = np.full(6, 300.0, np.float32), 300
    key = stream_key(41)
    total = np.zeros(SHAPE)
    numbers = np.zeros(n)
    for frame in range(n):
        counts, stamped = at.drawn(mean, key, frame)
        total += stamped
        numbers[frame] = counts.sum()
    t = np.linspace(-8.0, 8.0, 16001)
    sharpness = np.trapezoid(spot_profile_per_px(t, fwhm_px=1.5) ** 2, t)
    variance = np.zeros(SHAPE)
    for ring, radius in enumerate(at.rings.radius_px):
        alone = at.smooth(np.where(np.arange(6) == ring, 300.0, 0.0))
        variance += alone**2 * 2.0 * np.pi * radius * sharpness / 300.0
    smooth = at.smooth(mean)
    seen = smooth > 0.02 * smooth.max()
    z = (total / n - smooth)[seen] / np.sqrt(variance[seen] / n)
    assert np.abs(z).max() < 6.5
    # Mean square deviate: pixels within a spot (2 pixels along, the whole width of a ring) are one,
    # which leaves some 2π(40 + 70)/2 = 350 independent ones; 5.5 sigma of 2/350.
    assert abs(np.mean(z**2) - 1.0) < 5.5 * np.sqrt(2.0 / 350.0)
    assert abs(total.sum() / n / smooth.sum() - 1.0) < 5.5 / np.sqrt(n * 900.0)
    assert abs(numbers.mean() / 1800.0 - 1.0) < 5.5 / np.sqrt(n * 1800.0)


@pytest.mark.parametrize("plane", [UPRIGHT, TILTED])
def test_single_spots_lie_where_they_should(plane):
    # Truth: where the direction (2θ, χ) meets the plane. Three spots, each with nothing but zeros
    # around it; the mean azimuth of its photons, each divided by the weight, is χ to the sampling
    # error of a Gaussian of σ = 0.7 pixel (aliasing e^{−2π²σ²} = 6e-5 of a pixel) and of the edge
    # of the window (1e-3 of the spot): 1e-2 pixel. χ = 90° lies at higher rows, 0 at columns.
    at = Setting(plane)
    azimuths = np.array([0.0, 0.5 * np.pi, 3.9])
    frame = at.stamped([0, 0, 0], azimuths)
    spots, number = label(frame > 0.0)
    assert number == 3
    two_theta = float(2.0 * at.cores[0].theta_rad[0])
    for chi in azimuths:
        p1_m, p2_m = place_m(plane, two_theta, chi)
        row, column = p1_m / PIXEL_M - 0.5, p2_m / PIXEL_M - 0.5
        own = spots == spots[int(np.rint(row)), int(np.rint(column))]
        share = np.where(own, frame / (at.weight * at.row[:, None] * at.column), 0.0)
        off = np.angle(np.exp(1j * (at.azimuth_rad - chi)))
        assert abs(np.sum(off * share) / share.sum()) * 60.0 < 0.01
        reach = np.abs(off[own]).max() * 60.0
        assert spot_reach_px(1.5) - 1.0 < reach <= spot_reach_px(1.5) + 1e-3
    above, right = (
        np.unravel_index(np.argmax(at.stamped([0], [chi])), SHAPE) for chi in (1.57, 0.0)
    )
    if plane is UPRIGHT:
        assert tuple(above) == (155, 84)
        assert tuple(right) == (95, 144)


def test_every_grain_adds_the_same_photons():
    # Truth: the integral of the smooth ring over the detector, of which each of its M grains has
    # 1/M. With equal weights, a spot's sum over pixels differs from it by where it falls between
    # them, e^{−2π²σ²} of a Gaussian of σ = 0.7 (along) and 1.25 pixels, and by its edges: 2e-3.
    at = Setting()
    at.weight[:] = at.row[:] = at.column[:] = 1.0
    whole = at.smooth([1.0]).sum()
    for chi in np.random.default_rng(3).uniform(0.0, 2.0 * np.pi, 40):
        assert at.stamped([0], [chi]).sum() == pytest.approx(whole, rel=2e-3)


def test_dense_ring_fluctuates_as_predicted():
    # Truth: relative variance 2πR ∫a² / M of a pixel. 4 spots to a pixel, 40 frames: about
    # 40 · 2πR/3 = 5000 independent patches, so the variance is known to √(2/5000); 5.5 sigma.
    at = Setting(radii_px=(60.0,))
    mean = np.array([4.0 * 2.0 * np.pi * 60.0], np.float32)
    smooth = at.smooth(mean)
    top = smooth > 0.5 * smooth.max()
    ratio = [at.drawn(mean, stream_key(7), k)[1][top] / smooth[top] for k in range(40)]
    t = np.linspace(-8.0, 8.0, 16001)
    sharpness = np.trapezoid(spot_profile_per_px(t, fwhm_px=1.5) ** 2, t)
    assert np.var(ratio) * 4.0 / sharpness == pytest.approx(1.0, abs=5.5 * np.sqrt(2.0 / 5000.0))


def test_which_rings_are_smooth():
    # Truth: the rule. All states of a line count together; rings of four reaches are too small.
    at = Setting(radii_px=(9.0, 40.0, 70.0), n_states=2, dense=1.0)
    per_pixel = np.array([0.1, 0.1, 0.6, 0.6, 0.3, 0.6])
    mean = (per_pixel * 2.0 * np.pi * at.rings.radius_px).astype(np.float32)
    drawn = smooth_rings(mean, rings=at.rings, stamp=at.stamp, grains=at.grains)
    np.testing.assert_array_equal(drawn, [True, True, True, True, False, False])
    photons = np.zeros(N_NODES, np.float32)
    add_smooth_rings(photons, mean, TRANSMITTED, drawn, at.rings, at.still)
    expected = np.zeros(N_NODES)
    amounts = mean * TRANSMITTED / at.rings.grains_per_um
    for line, core in enumerate(at.cores[:2]):
        expected[core.nodes] += amounts[at.rings.line == line] @ core.values_per_um
    np.testing.assert_allclose(photons, expected, rtol=1e-5)


def test_rings_hold_as_many_grains_as_their_paths():
    # Truth: the same formula by way of (line, state).
    at = Setting(radii_px=(40.0, 70.0), n_states=3)
    path = np.array([[5.0, 0.0, 80.0], [1.0, 2.0, 3.0]], np.float32)
    beam = Beam()
    expected = [
        path * beam_area_um2(beam) * grains_per_um3(
            0.2, multiplicity=8, theta_rad=core.theta_rad,
            acceptance_rad=acceptance_rad(
                core.theta_rad, grain_um=0.2, beam=beam, grains=at.grains
            ),
        )
        for core in at.cores
    ]  # fmt: skip
    found = mean_ring_grains(at.rings, path)
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-5)


def test_azimuths_are_uniform_and_belong_to_the_frame():
    # Truth: the uniform law (Kolmogorov-Smirnov, false alarm 1e-7), and the numbers asked for.
    at = Setting(radii_px=(40.0, 70.0))
    counts, key = np.array([4001.0, 7000.0], np.float32), stream_key(5)
    spots = draw_spots(counts, key, frame=2, rings=at.rings, stamp=at.stamp)
    np.testing.assert_array_equal(np.bincount(spots.ring), counts)
    for ring in (0, 1):
        assert (
            kstest(spots.azimuth_rad[spots.ring == ring] / (2.0 * np.pi), "uniform").pvalue > 1e-7
        )
    other = draw_spots(counts, key, frame=3, rings=at.rings, stamp=at.stamp)
    assert not np.intersect1d(spots.azimuth_rad, other.azimuth_rad).size
    fewer = draw_spots(
        np.array([10.0, 7000.0], np.float32), key, frame=2, rings=at.rings, stamp=at.stamp
    )
    np.testing.assert_array_equal(
        np.sort(fewer.azimuth_rad[fewer.ring == 1]), np.sort(spots.azimuth_rad[spots.ring == 1])
    )


def test_gaps_stay_empty_and_edges_are_safe():
    # Truth: no weight, no photons. The ring leaves the detector on all sides.
    at = Setting(radii_px=(100.0,))
    gap = np.zeros(SHAPE, bool)
    gap[60:65] = gap[:, 140:150] = True
    at.weight[gap] = 0.0
    frame = at.drawn(np.array([2000.0], np.float32), stream_key(1), 0)[1]
    assert np.all(frame[gap] == 0.0)
    assert frame[60:65].sum() == 0.0
    assert frame.sum() > 0.0
    assert np.all(frame >= 0.0)
