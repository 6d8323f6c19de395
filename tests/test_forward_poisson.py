"""Poisson counts of frames: their distribution, their independence and their reproducibility.

Every statistical bound below has a false-alarm probability of 1e-8 (seeds are fixed). χ² cells
hold at least 1000 expected counts: their skewness, below 0.032, raises the probability of a
deviation of 5.7 standard ones by less than exp(0.032 · 5.7³/6) < 3 against the χ² law.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from forward.philox import stream_key
from forward.poisson import LARGEST_MEAN, draw_poisson, poisson_row, row_scratch
from forward.poisson_tables import FINE_BITS, coarse_means, fine_means, poisson_tables
from xrdct.errors import InputError

FALSE_ALARM = 1e-8
SIGMAS = float(stats.norm.isf(FALSE_ALARM / 2.0))  # two-sided: 5.73
KEY = stream_key(20240229)
ROWS, COLUMNS = 1500, 1475

Ints = NDArray[np.int32]


def frame_of(mean: float, *, rows: int = ROWS, columns: int = COLUMNS, frame: int = 0) -> Ints:
    return draw_poisson(np.full((rows, columns), mean, np.float32), key=KEY, frame=frame)


def assert_poisson(counts: Ints, mean: float) -> None:
    """χ² over cells of ≥ 1000 expected counts (at most 400 cells), and both far tails exactly."""
    law = stats.poisson(float(np.float32(mean)))
    n = counts.size
    lowest, highest = int(law.ppf(1e-12)), int(law.isf(1e-12))
    upper_edges, below = [], 0.0
    for count in range(lowest, highest):
        cell = float(law.cdf(count))
        if n * (cell - below) >= max(1000.0, n / 400.0) and n * (1.0 - cell) >= 1000.0:
            upper_edges.append(count)
            below = cell
    if upper_edges:
        cells = np.searchsorted(upper_edges, counts.ravel(), side="left")
        observed = np.bincount(cells, minlength=len(upper_edges) + 1)
        expected = n * np.diff(np.concatenate([[0.0], law.cdf(upper_edges), [1.0]]))
        chi2 = float(np.sum((observed - expected) ** 2 / expected))
        assert chi2 < stats.chi2.isf(FALSE_ALARM, len(upper_edges))
    # Numbers beyond quantiles with a few expected counts are binomial: exact bounds.
    high, low = int(law.isf(10.0 / n)), int(law.ppf(10.0 / n))
    for beyond, probability in (
        (np.count_nonzero(counts > high), law.sf(high)),
        (np.count_nonzero(counts < low), law.cdf(low - 1)),
    ):
        assert stats.binom.sf(beyond - 1, n, probability) > FALSE_ALARM
        assert stats.binom.cdf(beyond, n, probability) > FALSE_ALARM
    assert counts.min() >= law.ppf(1e-16)
    assert counts.max() <= law.isf(1e-16)


ON_NODES = (0.0625, 1.0, 15.9375, 16.0, 224.0)
BETWEEN_NODES = (0.003, 0.05, 0.2, 1.03, 3.7, 9.99, 15.99, 17.2, 63.9, 250.7, 1023.9)


@pytest.mark.parametrize("mean", [*ON_NODES, *BETWEEN_NODES])
def test_counts_follow_the_poisson_law(mean: float) -> None:
    # Independent package: scipy.stats.poisson. 2.2 million counts.
    assert_poisson(frame_of(mean), mean)


@pytest.mark.parametrize("mean", [3333.3, 16385.0, 2e5])
def test_large_counts_follow_the_poisson_law(mean: float) -> None:
    # Independent package: scipy.stats.poisson. 0.4 million counts.
    assert_poisson(frame_of(mean, rows=300), mean)


def test_neighbours_of_very_different_means_keep_their_own_laws() -> None:
    # Independent package: scipy.stats.poisson, for every column of a repeated pattern.
    means = (0.0, 0.03, 3000.3, 0.9, 17.9, 1e-3, 0.06, 250.0)
    expected = np.tile(np.array(means, np.float32), (3000, 128))
    counts = draw_poisson(expected, key=KEY, frame=1)
    assert np.all(counts[:, :: len(means)] == 0)
    for start, mean in enumerate(means[1:], 1):
        assert_poisson(counts[:, start :: len(means)], mean)


@pytest.mark.parametrize("mean", [0.03, 0.06, 1.03, 20.55])
def test_neighbours_in_a_row_are_independent(mean: float) -> None:
    # Law: products of standardised independent counts have mean 0 and variance 1, and are
    # uncorrelated among themselves, so a mean of N products has the standard deviation 1/√N. Lags
    # include the lengths of runs of random words (32, 128) and their neighbours.
    law = stats.poisson(float(np.float32(mean)))
    z = (frame_of(mean, frame=2) - law.mean()) / law.std()
    for lag in (1, 2, 3, 4, 8, 31, 32, 33, 64, 127, 128, 129, 256):
        products = z[:, lag:] * z[:, :-lag]
        assert abs(products.mean()) < SIGMAS / np.sqrt(products.size)


def test_neighbours_share_arrivals_as_independent_counts_do() -> None:
    # Law: the joint distribution of disjoint pairs is the product of Poisson laws. Means below the
    # first node, where all counts come from the arrivals along the row, two in a pixel included.
    mean = float(np.float32(0.06))
    counts = np.minimum(frame_of(mean, rows=8000, columns=1476, frame=3), 2)
    single = np.array([*stats.poisson.pmf([0, 1], mean), stats.poisson.sf(1, mean)])
    cell = np.array(
        [0, 1, 2, 3, 4, 5, 6, 5, 5]
    )  # (1, ≥ 2), (≥ 2, 1), (≥ 2, ≥ 2) are rare: one cell
    for pairs in (counts, counts[:, 1:-1]):
        observed = np.bincount(cell[3 * pairs[:, ::2] + pairs[:, 1::2]].ravel())
        expected = pairs.size / 2 * np.bincount(cell, np.outer(single, single).ravel())
        assert expected.min() > 1000.0
        chi2 = float(np.sum((observed - expected) ** 2 / expected))
        assert chi2 < stats.chi2.isf(FALSE_ALARM, observed.size - 1)


def test_rows_frames_and_stages_are_independent() -> None:
    # Law: as above, a mean of N products of standardised independent counts has σ = 1/√N.
    mean = 1.03
    law = stats.poisson(float(np.float32(mean)))
    expected = np.full((ROWS, COLUMNS), mean, np.float32)
    draws = [
        draw_poisson(expected, key=key, frame=frame, stage=stage)
        for frame, stage, key in ((4, 0, KEY), (5, 0, KEY), (4, 1, KEY), (4, 0, stream_key(1)))
    ]
    first, *others = [(draw - law.mean()) / law.std() for draw in draws]
    for products in (first[1:] * first[:-1], *(first * other for other in others)):
        assert abs(products.mean()) < SIGMAS / np.sqrt(products.size)


@pytest.mark.parametrize(("mean", "columns"), [(0.031, 300), (0.3, 200), (20.53, 40), (300.3, 9)])
def test_sums_along_rows_follow_the_poisson_law(mean: float, columns: int) -> None:
    # Law: sums of independent Poisson counts are Poisson counts of the summed mean; a word or an
    # arrival used twice anywhere in the row would widen or narrow the distribution.
    sums = frame_of(mean, rows=60_000, columns=columns, frame=6).sum(axis=1, dtype=np.int32)
    assert_poisson(sums, columns * float(np.float32(mean)))


def test_sum_of_frames_follows_the_poisson_law() -> None:
    # Law: as above, across frames.
    assert_poisson(frame_of(2.2, frame=7) + frame_of(2.2, frame=8), 2.0 * float(np.float32(2.2)))


def test_counts_depend_on_neither_row_order_nor_threads() -> None:
    # By construction: words are a function of (key, frame, stage, row) and the place in the row.
    expected = np.geomspace(1e-3, 1e5, 60 * 37).astype(np.float32).reshape(60, 37)
    whole = draw_poisson(expected, key=KEY, frame=9, stage=2)
    backwards = np.empty_like(whole)
    for row in range(59, -1, -1):
        poisson_row(
            expected[row], backwards[row], row, 9, 2, KEY[0], KEY[1],
            poisson_tables(), row_scratch(37),
        )  # fmt: skip
    assert np.array_equal(backwards, whole)
    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(lambda k: draw_poisson(expected, key=KEY, frame=k), range(8)))
    for k, counts in enumerate(frames):
        assert np.array_equal(counts, draw_poisson(expected, key=KEY, frame=k))


def test_given_array_is_filled_and_returned() -> None:
    expected = np.full((3, 5), 7.5, np.float32)
    out = np.full((3, 5), -5, np.int32)
    assert draw_poisson(expected, key=KEY, frame=0, out=out) is out
    assert np.array_equal(out, draw_poisson(expected, key=KEY, frame=0))
    assert draw_poisson(np.empty((0, 5), np.float32), key=KEY, frame=0).shape == (0, 5)


def test_means_at_both_ends_of_the_range() -> None:
    # Limits: 10⁵ counts of mean 1e-12 are all zero but for a probability of 1e-7, and subnormal
    # means behave; the mean of n counts of mean λ has σ = √(λ/n).
    assert not frame_of(0.0, rows=100).any()
    assert not frame_of(1e-12, rows=100, columns=100).any()
    assert not frame_of(1e-42, rows=100).any()
    for mean, rows in ((1e6, 100), (1e7, 20), (LARGEST_MEAN, 1)):
        counts = frame_of(mean, rows=rows, columns=200)
        z = (counts - mean) / np.sqrt(mean)
        assert abs(z.mean()) < SIGMAS / np.sqrt(z.size)
        assert np.abs(z).max() < stats.norm.isf(FALSE_ALARM / z.size)
        # n standardised squares: χ² of n degrees of freedom to 1/λ
        assert stats.chi2.ppf(FALSE_ALARM, z.size) < np.sum(z**2)
        assert np.sum(z**2) < stats.chi2.isf(FALSE_ALARM, z.size)


@pytest.mark.parametrize("mean", [-1e-3, float("nan"), float("inf"), 2.0 * LARGEST_MEAN])
def test_impossible_means_are_refused(mean: float) -> None:
    expected = np.ones((4, 4), np.float32)
    expected[2, 1] = mean
    with pytest.raises(InputError, match="between 0 and"):
        draw_poisson(expected, key=KEY, frame=0)


def test_array_of_other_shape_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        draw_poisson(np.ones((4, 4), np.float32), key=KEY, frame=0, out=np.empty((4, 3), np.int32))


def test_tables_hold_the_poisson_law_to_one_part_in_2_to_32() -> None:
    # Independent package: scipy.stats.poisson.pmf, accurate to 1e-13 here; probabilities are
    # multiples of 2⁻³², rounded by less than one, and sum to 1 exactly.
    tables = poisson_tables()
    nodes = [(mean, node << FINE_BITS, FINE_BITS, 0) for node, mean in enumerate(fine_means())]
    nodes += zip(coarse_means(), tables.start, tables.bits.tolist(), tables.first, strict=True)
    for mean, start, bits, first in nodes:
        if mean > 3e4:
            break
        entries = tables.entries[start : start + (1 << bits)].astype(np.int64)
        own, alias = entries >> bits, entries & ((1 << bits) - 1)
        shares = own.copy()
        np.add.at(shares, alias, (1 << (32 - bits)) - own)
        assert shares.sum() == 2**32
        expected = stats.poisson.pmf(first + np.arange(shares.size), mean) * 2.0**32
        assert np.abs(shares - expected).max() < 1.0
        assert stats.poisson.cdf(first - 1, mean) < 1e-12
        assert stats.poisson.sf(first + shares.size - 1, mean) < 1e-12
