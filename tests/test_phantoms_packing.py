"""The packed slice: no overlap, the stereology of sizes and heights, and uniform placement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from phantoms.packing import Packing, overlapping_pair, pack_slice
from xrdct.errors import InputError

FALSE_ALARM = 1e-7
"""Probability with which each statistical test here fails on correct code, over seeds."""

PAPER_LIKE: dict[str, Any] = {
    "electrode_diameter_um": 1000.0,
    "volume_fraction": 0.5,
    "median_diameter_um": 5.0,
    "sigma_log": 0.45,
    "min_diameter_um": 1.5,
    "max_diameter_um": 20.0,
    "margin_um": 2.0,
    "seed": 1,
}
SMALL: dict[str, Any] = {**PAPER_LIKE, "electrode_diameter_um": 120.0}


@pytest.fixture(scope="module")
def electrode() -> Packing:
    return pack_slice(**PAPER_LIKE)


def disc_areas(packing: Packing, z_um: float) -> np.ndarray:
    radius_squared = packing.diameters_um**2 / 4 - (packing.centres_um[:, 2] - z_um) ** 2
    return math.pi * np.maximum(radius_squared, 0.0)


def smallest_gap(centres: np.ndarray, diameters: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Brute force over all pairs: the least distance between surfaces, and between which."""
    i, j = np.triu_indices(diameters.size, k=1)
    gaps = np.linalg.norm(centres[i] - centres[j], axis=1) - (diameters[i] + diameters[j]) / 2
    least = int(np.argmin(gaps))
    return float(gaps[least]), (int(i[least]), int(j[least]))


def largest_allowed_ks_distance(n: int) -> float:
    """Massart's bound P(sup |F_n − F| > d) ≤ 2 exp(−2 n d²); 1/n more as n depends on the draw."""
    return math.sqrt(math.log(2 / FALSE_ALARM) / (2 * n)) + 1 / n


def ks_distance(cumulative: np.ndarray) -> float:
    """Largest distance of the empirical from the given cumulative distribution at the sample."""
    expected = np.sort(cumulative)
    steps = np.arange(expected.size + 1) / expected.size
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


@pytest.mark.parametrize("seed", range(5))
def test_no_two_spheres_overlap(seed: int) -> None:
    # Truth: all pairs, compared one by one. Rounding is 1e-13 µm, the promised gap 1e-6 µm.
    packing = pack_slice(**{**SMALL, "seed": seed})
    assert packing.diameters_um.size > 200
    assert smallest_gap(packing.centres_um, packing.diameters_um)[0] > 0.9e-6


def test_no_two_spheres_of_a_whole_electrode_overlap(electrode: Packing) -> None:
    # The search used here is itself compared with brute force below.
    pair = overlapping_pair(electrode.centres_um, electrode.diameters_um, tolerance_um=0.0)
    assert pair is None


def test_every_sphere_lies_wholly_inside_the_wall(electrode: Packing) -> None:
    # Rounding of radii of 500 µm: 1e-13 relative at most.
    distance = np.hypot(electrode.centres_um[:, 0], electrode.centres_um[:, 1])
    assert np.max(distance + electrode.diameters_um / 2) <= 500.0 + 1e-9


def test_every_sphere_reaches_the_slab_of_the_beam(electrode: Packing) -> None:
    height = np.abs(electrode.centres_um[:, 2])
    assert np.all(height <= electrode.diameters_um / 2 + 2.0 + 1e-12)


def test_area_of_the_slice_hits_the_target(electrode: Packing) -> None:
    # Truth: stopping at the sum nearest the target misses it by half the last disc at most, and
    # no disc is larger than that of the greatest diameter.
    target = 0.5 * math.pi / 4 * 1000.0**2
    assert abs(disc_areas(electrode, 0.0).sum() - target) <= math.pi / 8 * 20.0**2


@pytest.mark.parametrize("seed", range(20))
def test_area_of_a_few_equal_spheres_is_the_nearest_to_the_target(seed: int) -> None:
    # The same bound where it is sharp: some 40 discs, of which none is larger than 5.5 µm.
    packing = pack_slice(
        electrode_diameter_um=60.0,
        volume_fraction=0.2,
        median_diameter_um=5.0,
        sigma_log=0.02,
        min_diameter_um=4.5,
        max_diameter_um=5.5,
        seed=seed,
    )
    target = 0.2 * math.pi / 4 * 60.0**2
    assert abs(disc_areas(packing, 0.0).sum() - target) <= math.pi / 8 * 5.5**2


@pytest.mark.parametrize("z_um", [-2.0, -1.0, 1.0, 2.0])
def test_area_fraction_is_the_same_all_over_the_beam(electrode: Packing, z_um: float) -> None:
    # Delesse's principle: every plane within the margin cuts the same area on average. The
    # difference between two planes is a sum of independent terms of mean zero, one per sphere;
    # 5.5 of its standard deviations are exceeded with a probability of 4e-8.
    difference = disc_areas(electrode, z_um) - disc_areas(electrode, 0.0)
    spread = math.sqrt(difference.size) * difference.std()
    assert spread < 0.02 * math.pi / 4 * 1000.0**2  # sharp enough to see 10 % missing
    half_a_disc = math.pi / 8 * 20.0**2
    assert abs(difference.sum()) < 5.5 * spread + half_a_disc


@pytest.mark.parametrize(
    ("median", "sigma_log", "least", "most", "margin", "volume_fraction", "diameter_um"),
    [
        (5.0, 0.45, 1.5, 20.0, 2.0, 0.5, 1000.0),
        (3.0, 1.0, 0.3, 20.0, 2.0, 0.05, 3000.0),
        (3.0, 1.0, 2.0, 8.0, 0.5, 0.1, 1500.0),
    ],
    ids=["paper-like", "wide", "cut-short"],
)
def test_diameters_follow_the_length_biased_log_normal(
    median: float,
    sigma_log: float,
    least: float,
    most: float,
    margin: float,
    volume_fraction: float,
    diameter_um: float,
) -> None:
    # Truth: p(D) ∝ (D + 2 margin) lognormal(D) on [least, most], integrated by the trapezoidal
    # rule (error below 1e-6). Kolmogorov–Smirnov with the false alarm stated above.
    packing = pack_slice(
        electrode_diameter_um=diameter_um,
        volume_fraction=volume_fraction,
        median_diameter_um=median,
        sigma_log=sigma_log,
        min_diameter_um=least,
        max_diameter_um=most,
        margin_um=margin,
        seed=3,
    )
    grid = np.linspace(least, most, 20_001)
    lognormal = np.exp(-0.5 * (np.log(grid / median) / sigma_log) ** 2) / grid
    density = (grid + 2 * margin) * lognormal
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cumulative /= cumulative[-1]
    diameters = packing.diameters_um
    assert diameters.min() >= least
    assert diameters.max() <= most
    distance = ks_distance(np.interp(diameters, grid, cumulative))
    limit = largest_allowed_ks_distance(diameters.size)
    assert limit < 0.025  # sharp: leaving out the margin moves the curve by 0.07 or more
    assert distance < limit


def test_heights_are_uniform_over_each_sphere_s_reach(electrode: Packing) -> None:
    # Truth: the centre of a sphere met by the slab is equally likely anywhere in its reach.
    relative = electrode.centres_um[:, 2] / (electrode.diameters_um / 2 + 2.0)
    distance = ks_distance((relative + 1) / 2)
    assert distance < largest_allowed_ks_distance(relative.size)


def test_equal_spheres_lie_uniformly_over_the_electrode() -> None:
    # Truth: equally many centres in rings, and in sectors, of equal area, three diameters off the
    # wall. For Poisson counts χ² exceeds the limit with FALSE_ALARM; the counts of nearly equal
    # hard spheres scatter less than Poisson's, so the true false alarm is smaller.
    packing = pack_slice(
        **{**PAPER_LIKE, "volume_fraction": 0.3, "sigma_log": 0.02, "min_diameter_um": 4.0}
    )
    radius = np.hypot(packing.centres_um[:, 0], packing.centres_um[:, 1])
    inner = radius < 500.0 - 15.0
    azimuth = np.arctan2(packing.centres_um[inner, 1], packing.centres_um[inner, 0])
    in_rings = np.histogram((radius[inner] / 485.0) ** 2, bins=20, range=(0, 1))[0]
    in_sectors = np.histogram(azimuth / math.pi, bins=20, range=(-1, 1))[0]
    for counts in (in_rings, in_sectors):
        expected = counts.mean()
        assert expected > 1000  # the χ² approximation holds
        assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(FALSE_ALARM, df=19)


def test_same_seed_same_packing_and_another_seed_another() -> None:
    first, again = pack_slice(**SMALL), pack_slice(**SMALL)
    other = pack_slice(**{**SMALL, "seed": 2})
    np.testing.assert_array_equal(first.centres_um, again.centres_um)
    np.testing.assert_array_equal(first.diameters_um, again.diameters_um)
    assert not np.isin(first.diameters_um, other.diameters_um).any()
    assert not np.isin(first.centres_um[:, 0], other.centres_um[:, 0]).any()


def test_unreachable_fraction_is_refused_with_target_and_reached() -> None:
    # Truth: even the densest packing of equal spheres fills 0.74; a tenth more is out of reach.
    nearly_equal = {**SMALL, "sigma_log": 0.02, "volume_fraction": 0.82}
    with pytest.raises(InputError, match=r"volume_fraction 0\.82 .* filled 0\.[2-7]\d\d of"):
        pack_slice(**nearly_equal)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("electrode_diameter_um", 19.0),
        ("electrode_diameter_um", math.inf),
        ("volume_fraction", 0.0),
        ("volume_fraction", 1.0),
        ("volume_fraction", math.nan),
        ("median_diameter_um", 0.0),
        ("median_diameter_um", math.nan),
        ("median_diameter_um", 1e4),
        ("sigma_log", 0.0),
        ("sigma_log", 3.5),
        ("min_diameter_um", 0.0),
        ("min_diameter_um", math.nan),
        ("max_diameter_um", 1.5),
        ("margin_um", -0.1),
        ("margin_um", math.nan),
        ("seed", -1),
    ],
)
def test_values_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name) as refusal:
        pack_slice(**{**PAPER_LIKE, name: value})
    assert f"{value:g}" in str(refusal.value)


def test_sizes_in_the_wrong_unit_are_refused_before_they_fill_the_memory() -> None:
    # 20 nm spheres: 0.5 of the slice would take some 2e9 of them.
    tiny = {"median_diameter_um": 0.02, "min_diameter_um": 0.01, "max_diameter_um": 0.04}
    with pytest.raises(InputError, match="more than 2000000 spheres"):
        pack_slice(**{**PAPER_LIKE, **tiny})


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 400),
    box_um=st.floats(5.0, 500.0),
    tolerance_um=st.just(0.0) | st.floats(0.0, 0.5),
)
def test_overlapping_pair_agrees_with_brute_force(
    seed: int, n: int, box_um: float, tolerance_um: float
) -> None:
    # Truth: all pairs, compared one by one; sizes spread over three decades.
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.0, box_um, (n, 3))
    diameters = 10 ** rng.uniform(-1.5, 1.5, n)
    pair = overlapping_pair(centres, diameters, tolerance_um=tolerance_um)
    least, _ = smallest_gap(centres, diameters)
    assert (pair is not None) == (least < -tolerance_um)
    if pair is not None:
        i, j = pair
        assert i < j
        gap = np.linalg.norm(centres[i] - centres[j]) - (diameters[i] + diameters[j]) / 2
        assert gap < -tolerance_um


@pytest.mark.parametrize("small_one_first", [True, False])
def test_overlap_is_found_from_either_side_and_across_the_whole_list(
    small_one_first: bool,
) -> None:
    # Truth, closed form: 600 spheres of 1 µm in a row, 10 µm apart, and a giant of 100 µm above
    # number 500 that dips 0.1 µm into it alone (its neighbours in the row are 1 µm off).
    centres = np.zeros((600, 3))
    centres[:, 0] = 10.0 * np.arange(600)
    diameters = np.ones(600)
    assert overlapping_pair(centres, diameters, tolerance_um=0.0) is None
    giant = [5000.0, 50.4, 0.0]
    if small_one_first:
        centres, diameters = np.vstack([centres, giant]), np.append(diameters, 100.0)
        expected = (500, 600)
    else:
        centres, diameters = np.vstack([giant, centres]), np.append(100.0, diameters)
        expected = (0, 501)
    assert overlapping_pair(centres, diameters, tolerance_um=0.0) == expected
    assert overlapping_pair(centres, diameters, tolerance_um=0.09) == expected
    assert overlapping_pair(centres, diameters, tolerance_um=0.11) is None


def test_touching_spheres_and_no_spheres_do_not_overlap() -> None:
    # Diameters 2 and 4, centres 3 apart: exact in binary.
    assert overlapping_pair([[0, 0, 0], [0, 0, 3.0]], [2.0, 4.0], tolerance_um=0.0) is None
    assert overlapping_pair(np.zeros((0, 3)), [], tolerance_um=0.0) is None
    assert overlapping_pair([[1, 2, 3], [1, 2, 3]], [1.0, 1.0], tolerance_um=0.0) == (0, 1)


def test_overlapping_pair_refuses_wrong_shapes_and_nan() -> None:
    with pytest.raises(InputError, match=r"\(2, 2\)"):
        overlapping_pair([[0, 0], [1, 1]], [1.0, 1.0], tolerance_um=0.0)
    with pytest.raises(InputError, match="finite"):
        overlapping_pair([[0, 0, math.nan]], [1.0], tolerance_um=0.0)


STANDING = Packing(
    centres_um=np.array([[-25.0, 10.0, 0.0], [20.0, -5.0, 3.0]]),
    diameters_um=np.array([18.0, 16.0]),
)


def test_spheres_that_stand_stay_and_others_keep_clear() -> None:
    packing = pack_slice(**SMALL, placed=STANDING)
    np.testing.assert_array_equal(packing.centres_um[:2], STANDING.centres_um)
    np.testing.assert_array_equal(packing.diameters_um[:2], STANDING.diameters_um)
    assert smallest_gap(packing.centres_um, packing.diameters_um)[0] > 0.0
    assert (np.diff(packing.diameters_um[2:]) <= 0.0).all()


def test_discs_of_spheres_that_stand_count() -> None:
    # Rule: the sum is off by half a disc of the largest sphere drawn at most.
    packing = pack_slice(**SMALL, placed=STANDING)
    target = SMALL["volume_fraction"] * math.pi / 4 * SMALL["electrode_diameter_um"] ** 2
    off = abs(disc_areas(packing, 0.0).sum() - target)
    assert off <= 0.5 * math.pi / 4 * packing.diameters_um[2:].max() ** 2


def test_no_sphere_that_stands_changes_nothing() -> None:
    nobody = Packing(centres_um=np.zeros((0, 3)), diameters_um=np.zeros(0))
    with_none, plain = pack_slice(**SMALL, placed=nobody), pack_slice(**SMALL)
    np.testing.assert_array_equal(with_none.centres_um, plain.centres_um)


@pytest.mark.parametrize(
    ("centres", "diameters", "told"),
    [
        ([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]], [9.0, 9.0], "must not overlap, but 0 and 1 do"),
        ([[55.0, 0.0, 0.0]], [12.0], "must lie inside the electrode's wall at 60 µm .* 61 µm"),
        ([[0.0, 0.0, 0.0]], [90.0], "already fill more than volume_fraction 0.5"),
    ],
)
def test_impossible_standing_spheres_are_refused(
    centres: list[list[float]], diameters: list[float], told: str
) -> None:
    placed = Packing(centres_um=np.array(centres), diameters_um=np.array(diameters))
    with pytest.raises(InputError, match=told):
        pack_slice(**SMALL, placed=placed)
