"""What the study's figures show beside the maps: errors, wrong voxels, lines, and in what colours.

Truths are closed forms and laws; maps are small and made by hand, or those of a small scan.
"""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from scipy.special import ndtr

from inverse.depth_profiles import depth_profiles
from tests.paper_slice import small_slice
from validation.metrics import lattice_metrics
from validation.paper.best_depths import best_profile
from validation.paper.depths import profiles
from validation.paper.experiments import Size, operando
from validation.paper.figure_2_maps import planes_shown
from validation.paper.fractions import depth_fractions
from validation.paper.particles import label_of, true_outline
from validation.paper.residuals import (
    interior_residuals,
    normal_percent,
    residuals,
    shares_percent,
)
from validation.paper.segmented import (
    FOUND_ONLY,
    OTHER,
    RIGHT,
    TRUE_ONLY,
    WORDS,
    confusion,
    confusion_handles,
    mask_confusion,
    told,
    wrong_percent,
)
from validation.paper.style import (
    DEPTH_COLOURS,
    ERROR_COLOURS,
    SCAN_COLOURS,
    SCAN_DASHES,
    SCAN_MARKERS,
    VALUE_COLOURS,
    bar_length_um,
    journal_figure,
)
from validation.paper.ticks import Row, draw_rows, line_positions_deg

MEASURED = operando(1, size=Size(quick=True), seed=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a small slice that holds Particle 1 only."""
    return small_slice(tmp_path_factory.mktemp("scans"))


def test_errors_over_their_uncertainty_are_those_of_the_scorecard(small):
    """Truth: mean and standard deviation that the scorecard takes of the same voxels."""
    found, score = interior_residuals(small), lattice_metrics(small.maps, small.truth)["interior"]
    assert np.isfinite(found.z).sum() == score["n_voxels"] > 20
    assert np.nanmean(found.z) == pytest.approx(score["mean_z"])
    assert np.nanstd(found.z) == pytest.approx(score["std_z"])
    assert np.sqrt(np.nanmean(found.error_mA**2)) == pytest.approx(1e3 * score["rms_A"])


def test_an_error_of_two_uncertainties_is_two(small):
    """Truth: a_recovered = a_true + k·σ gives z = k, and k·σ in mÅ."""
    esd_A = np.full(small.truth.a_A.shape, 0.0015)
    maps = replace(small.maps, a_A=small.truth.a_A + 2.0 * esd_A, a_esd_total_A=esd_A)
    where = small.truth.interior
    found = residuals(replace(small, maps=maps), where)
    assert where.any()
    np.testing.assert_allclose(found.z[where], 2.0, rtol=1e-9)
    np.testing.assert_allclose(found.error_mA[where], 3.0, rtol=1e-9)
    assert np.isnan(found.z[~where]).all()
    assert np.isnan(found.within(~where).z).all()


EDGES = np.linspace(-4.0, 4.0, 41)


def test_shares_of_errors_hold_every_voxel():
    """Truth: what lies beyond is in the outermost bins; a share is a count over the known ones."""
    values = np.array([-9.0, -4.0, 0.01, 0.01, 4.0, 7.0, np.nan])
    shares = shares_percent(values, EDGES)
    assert shares.sum() == pytest.approx(100.0)
    assert shares[0] == shares[-1] == pytest.approx(100.0 / 3.0)
    assert shares[20] == pytest.approx(100.0 / 3.0)
    assert shares_percent(np.full(3, np.nan), EDGES).sum() == 0.0


def test_the_normal_distribution_is_that_of_the_bins():
    """Truth: Φ between the edges, by another routine; the outermost bins hold the tails."""
    expected, found = 100.0 * np.diff(ndtr(EDGES)), normal_percent(EDGES)
    np.testing.assert_allclose(found[1:-1], expected[1:-1], rtol=1e-9)
    assert found.sum() == pytest.approx(100.0)
    assert found[0] == pytest.approx(100.0 * ndtr(EDGES[1]))


FOUND = np.array([[0, 0, 1], [-1, 1, 2], [-1, -1, 0]])
TRUE = np.array([[0, 1, 1], [0, -1, 2], [-1, 2, -1]])


def test_wrong_voxels_by_hand():
    """Truth: nine voxels, each looked at."""
    kind = confusion(FOUND, TRUE)
    expected = [
        [RIGHT, OTHER, RIGHT], [TRUE_ONLY, FOUND_ONLY, RIGHT], [np.nan, TRUE_ONLY, FOUND_ONLY],
    ]  # fmt: skip
    np.testing.assert_array_equal(kind, expected)
    percent = wrong_percent(kind)
    np.testing.assert_allclose(percent, 100.0 * np.array([3, 2, 2, 1]) / 6.0)
    assert told(kind, (OTHER,)) == "other region 16.7 %"


def test_wrong_voxels_add_up():
    """Truth: sizes of sets; right, true only and other make the true voxels, 100 %."""
    rng = np.random.default_rng(3)
    found, true = rng.integers(-1, 3, (2, 40, 40))
    kind = confusion(found, true)
    counted = np.array([np.sum(kind == each) for each in range(len(WORDS))])
    assert counted[[RIGHT, TRUE_ONLY, OTHER]].sum() == np.sum(true >= 0)
    assert counted[[RIGHT, FOUND_ONLY, OTHER]].sum() == np.sum(found >= 0)
    assert np.isnan(kind).sum() == np.sum((found < 0) & (true < 0))
    assert wrong_percent(kind)[[RIGHT, TRUE_ONLY, OTHER]].sum() == pytest.approx(100.0)


def test_masks_are_maps_of_one_region():
    """Truth: set differences."""
    found, true = np.random.default_rng(4).random((2, 30, 30)) < 0.4
    kind = mask_confusion(found, true)
    np.testing.assert_array_equal(kind == TRUE_ONLY, true & ~found)
    np.testing.assert_array_equal(kind == FOUND_ONLY, found & ~true)
    np.testing.assert_array_equal(kind == RIGHT, found & true)
    assert not np.any(kind == OTHER)
    assert np.isnan(wrong_percent(np.full((2, 2), np.nan))).all()


def test_the_outline_of_a_sphere_is_a_disc(small):
    """Truth: middles of voxels within the radius of the section, 6 µm about the axis."""
    offsets_um = small.maps.scan.offsets_um
    y_um, x_um = np.meshgrid(offsets_um, offsets_um, indexing="ij")
    away_um = np.hypot(x_um, y_um)
    clear = np.abs(away_um - 6.0) > 1e-6
    found = true_outline(small, 0)
    np.testing.assert_array_equal(found[clear], (away_um < 6.0)[clear])
    np.testing.assert_array_equal(depth_fractions(small, 0).true_label >= 0, found)


def test_the_best_profile_is_that_of_perfect_maps(small):
    """Truth: what the analysis of maps without error gives, in the same voxels."""
    perfect = replace(small, maps=replace(small.maps, a_A=small.truth.a_A))
    best, analysed = best_profile(small, 0), profiles(perfect, 0).recovered
    assert best is not None
    assert analysed is not None
    assert best.ratio.size >= 4
    np.testing.assert_allclose(best.ratio, analysed.ratio, rtol=1e-12)
    (recovered,) = depth_profiles(
        small.maps.a_A, particles=small.particles, step_um=1.0, only=(label_of(small, 0),)
    )
    np.testing.assert_array_equal(best.n_voxels, recovered.n_voxels)
    assert np.abs(best.value - recovered.value).max() > 0.0


def test_lines_of_the_spinel_are_where_bragg_says():
    """Truth: sinθ = (λ/2a)√(h²+k²+l²), λ = hc/E, with the reflections of Fd-3m written out.

    Of these, 220 and 422 (n = 8, 24) are weak, as only oxygen and lithium contribute.
    """
    wavelength_A = 12.398419843 / MEASURED.beam.energy_keV
    squares = np.array([3, 8, 11, 12, 16, 19, 24, 27, 32])  # 111 220 311 222 400 331 422 511 440
    angle_deg = np.degrees(2.0 * np.arcsin(0.5 * wavelength_A * np.sqrt(squares) / 8.10))
    found = line_positions_deg("LiMn2O4", measured=MEASURED, shown_deg=(2.5, 10.2), a_A=8.10)
    assert all(np.abs(angle_deg - position).min() < 1e-6 for position in found)
    strong = angle_deg[(squares != 8) & (squares != 24)]
    assert all(np.abs(found - position).min() < 1e-6 for position in strong)
    assert np.all(np.diff(found) > 0.0)


def test_lines_of_rock_salt_coincide_with_those_of_a_spinel_of_twice_its_cell():
    """Truth: 111, 200, 220 of a = 4.13 Å are 222, 400, 440 of 8.26 Å: the indices doubled."""
    given = {"measured": MEASURED, "shown_deg": (2.5, 10.2)}
    salt = line_positions_deg("LiMnO2-rocksalt", a_A=4.13, **given)
    spinel = line_positions_deg("LiMn2O4", a_A=8.26, **given)
    assert salt.size == 3
    assert all(np.abs(spinel - position).min() < 1e-6 for position in salt)


def test_rows_of_ticks_lie_below_one_another():
    """Truth: heights by hand; every line of the crystal has its tick."""
    axes = journal_figure(2.0).subplots()
    rows = (Row("LiMn2O4", "spinel", 8.2), Row("Al", "Al"))
    given = {"measured": MEASURED, "shown_deg": (2.5, 10.2)}
    middles = draw_rows(axes, rows, below=-1.0, row_height=0.5, **given)
    np.testing.assert_allclose(middles, [-1.175, -1.675])
    for drawn, row in zip(axes.collections, rows, strict=True):
        ends = np.array(drawn.get_segments())
        expected = line_positions_deg(row.crystal, a_A=row.a_A, **given)
        np.testing.assert_allclose(ends[:, 0, 0], expected)


def test_the_bar_is_the_longest_round_length_that_fits():
    """Truth: 1, 2, 5 times a power of ten, at most 0.35 of the width; by hand."""
    assert [bar_length_um(width) for width in (351.0, 101.0, 24.0, 2.9)] == [100.0, 20.0, 5.0, 1.0]


def test_planes_of_the_volume_are_shown_once_each():
    """Truth: at most five, both ends among them."""
    for n_planes in (1, 4, 5, 20):
        shown = planes_shown(n_planes)
        assert len(set(shown)) == len(shown) == min(5, n_planes)
        assert shown[0] == 0
        assert shown[-1] == (n_planes - 1 if n_planes > 1 else 0)


def lightness(colours):
    """Return L* (CIE 1976) of sRGB colours, (colour, 3 or 4), by the definitions."""
    values = np.asarray(colours)[..., :3]
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > (6 / 29) ** 3, 116.0 * np.cbrt(y) - 16.0, y * (29 / 3) ** 3)


@pytest.mark.parametrize("colours", [VALUE_COLOURS, ERROR_COLOURS])
def test_maps_read_in_grey(colours):
    """Truth: lightness, which rises with the value and stays 10 below the white of no value.

    A just noticeable difference is about 1.
    """
    shown = lightness(colours(np.linspace(0.0, 1.0, 256)))
    assert np.all(np.diff(shown) >= 0.0)
    assert np.all(np.diff(shown[::15]) > 1.0)
    assert shown[-1] < 90.0
    assert shown[-1] - shown[0] > 50.0


def test_no_error_is_grey():
    """Truth: the middle of the colours has no hue to speak of."""
    middle = np.array(ERROR_COLOURS(0.5)[:3])
    assert np.ptp(middle) < 0.05


def test_curves_and_kinds_differ_without_colour():
    """Truth: lightness at least 10 apart; curves have another marker and dash as well."""
    assert len(set(SCAN_MARKERS)) == len({str(dash) for dash in SCAN_DASHES}) == len(SCAN_COLOURS)
    for several in (
        DEPTH_COLOURS, SCAN_COLOURS,
        [to_rgb(patch.get_facecolor()) for patch in confusion_handles(range(len(WORDS)))],
    ):  # fmt: skip
        assert np.diff(np.sort(lightness(several))).min() > 10.0
