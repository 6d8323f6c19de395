"""Positions of a ring's sectors against rings drawn with known ones."""

import numpy as np
import pytest

from inverse.ring_positions import RingPixels, sector_positions

REACH_PX = 12.0
N_SECTORS = 72
WIDTH = 1.2 / REACH_PX
"""Standard deviation of the ring: 1.2 pixels."""


def _ring(
    *, peak, background=5.0, slope=0.0, skew_px=0.0, azimuths=(-np.pi, np.pi), n=100_000, seed=0
):
    """Return pixels of a ring that stands 0.05 px cos χ + 0.02 px too far out, with noise.

    A Gaussian, or one with an exponential tail outwards of scale ``skew_px``: then its mean stands
    there. ``peak`` and ``background`` are counts, those at the middle of the window.
    """
    rng = np.random.default_rng(seed)
    x, azimuth = rng.uniform(-1.0, 1.0, n), rng.uniform(*azimuths, n)
    centre = (0.05 * np.cos(azimuth) + 0.02) / REACH_PX
    if skew_px:
        # Gauss–Laguerre nodes stand for the exponential: mean one, and so one is taken off.
        nodes, weights = np.polynomial.laguerre.laggauss(12)
        outwards = (nodes - 1.0) * skew_px / REACH_PX
    else:
        outwards, weights = np.zeros(1), np.ones(1)
    shape = sum(
        w * np.exp(-0.5 * ((x - centre - o) / WIDTH) ** 2)
        for o, w in zip(outwards, weights, strict=True)
    )
    counts = rng.poisson(background * (1.0 + slope * x) + peak * shape)
    per_count = np.full(n, 0.25)
    return RingPixels(x, counts * per_count, per_count, azimuth)


@pytest.mark.parametrize(
    ("peak", "background", "slope", "skew_px"),
    [(1e4, 5.0, 0.0, 0.0), (1e3, 100.0, 0.5, 0.0), (20.0, 0.1, 0.0, 0.0), (1e4, 5.0, 0.0, 0.3)],
)
def test_sectors_stand_where_they_were_put_within_their_errors(peak, background, slope, skew_px):
    # Truth: the centres the ring was drawn with, in photons. About their mean, 72 deviations over
    # their errors have χ² = 71 ± 12 (143 or 20: beyond 1e-6), and the mean is right within 5σ.
    found = sector_positions(
        _ring(peak=peak, background=background, slope=slope, skew_px=skew_px), reach_px=REACH_PX
    )
    assert found is not None
    assert found.x.size == N_SECTORS
    truth = (0.05 * np.sinc(1.0 / N_SECTORS) * np.cos(found.azimuth_rad) + 0.02) / REACH_PX
    away = found.x - truth
    mean = np.average(away, weights=found.sigma**-2.0)
    assert 20.0 < np.sum(((away - mean) / found.sigma) ** 2) < 143.0
    assert abs(mean) < 5.0 * found.common_sigma


@pytest.mark.parametrize("peak", [100.0, 1e4])
def test_errors_are_those_of_photons_without_background(peak):
    # Truth: N photons of a Gaussian are located within σ/√N, all of them and those of a sector
    # alike. Windows and a background that is fitted cost something: up to half as much again.
    found = sector_positions(_ring(peak=peak, background=0.01), reach_px=REACH_PX)
    assert found is not None
    photons = peak * 100_000 * WIDTH * np.sqrt(2.0 * np.pi) / 2.0
    assert 0.95 < found.common_sigma / (WIDTH / np.sqrt(photons)) < 1.5
    of_sectors = found.sigma / (WIDTH / np.sqrt(photons / N_SECTORS))
    assert 0.9 < np.median(of_sectors) < 1.5


def test_hot_pixels_do_not_move_a_ring():
    # Truth: the same ring without them. 30 pixels of ten times the peak would move the centroid
    # of 1e4 · 1.25e4 photons by up to 30 · 1e5 · 10 px / 1.25e8 = 0.2 px were they kept.
    clean = _ring(peak=1e4)
    y = clean.y.copy()
    y[np.flatnonzero(clean.x > 0.5)[:30]] += 1e5 * 0.25
    hot = RingPixels(clean.x, y, clean.per_count, clean.azimuth_rad)
    without, found = (sector_positions(pixels, reach_px=REACH_PX) for pixels in (clean, hot))
    assert without is not None
    assert found is not None
    np.testing.assert_allclose(found.x * REACH_PX, without.x * REACH_PX, atol=2e-3)


def test_only_sectors_with_pixels_are_returned():
    # Truth: the quarter of the ring that was drawn has 18 sectors.
    found = sector_positions(
        _ring(peak=1e4, azimuths=(0.0, 0.5 * np.pi), n=25_000), reach_px=REACH_PX
    )
    assert found is not None
    assert found.x.size == N_SECTORS // 4
    assert np.all((found.azimuth_rad > 0.0) & (found.azimuth_rad < 0.5 * np.pi))


@pytest.mark.parametrize("background", [0.0, 0.3, 100.0])
def test_no_ring_is_found_in_noise(background):
    # Truth: there is none. The area must exceed its error tenfold: never by chance.
    assert sector_positions(_ring(peak=0.0, background=background), reach_px=REACH_PX) is None


def test_a_ring_of_which_one_flank_lies_outside_is_not_used():
    # Truth: without its outer half a ring has no centroid.
    whole = _ring(peak=1e4)
    assert sector_positions(whole.kept(whole.x < 0.3), reach_px=REACH_PX) is None
