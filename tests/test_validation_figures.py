"""The report's figures: what their axes hold, against direct calculation."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from inverse.maps import ExampleFit, Maps
from inverse.recipe import Recipe
from validation import figures
from validation.figures_maps import error_limit_mA, lattice_limits_A
from validation.figures_profiles import TWO_PHASE_WINDOWS_A, radial_profile
from validation.figures_style import ERROR_COLOURS, TRUE_COLOUR, VALUE_COLOURS, WINDOW_COLOUR
from validation.truth import Truth, eroded
from xrdct.scan import Scan

N, STEP_UM = 41, 2.0
# x, y, radius in µm and lattice parameter at the surface in Å; the last one holds two lattices
DISCS = ((-14.0, 4.0, 20.0, 8.150), (26.0, -20.0, 12.0, 8.210), (20.0, 24.0, 9.0, 8.180))
TIMES_S = {"phantom": 0.5, "simulate": 3.25, "refine": 2.0, "total": 5.75}


def fabricated(discs: tuple[tuple[float, ...], ...] = DISCS) -> tuple[Maps, Truth]:
    """Discs with a radial gradient, and a recovery with a bias of 0.3 mÅ and noise of 1 mÅ."""
    rng = np.random.default_rng(5)
    scan = Scan(n_offsets=N, step_um=STEP_UM, n_angles=N)
    x, y = np.meshgrid(scan.offsets_um, scan.offsets_um)
    a_A, depth, fraction = np.full((N, N), np.nan), np.full((N, N), np.nan), np.zeros((N, N))
    particle = np.full((N, N), -1)
    for number, (x0, y0, radius, surface_A) in enumerate(discs):
        below = radius - np.hypot(x - x0, y - y0)
        inside = below > -1.0
        particle[inside], depth[inside] = number, below[inside]
        a_A[inside] = surface_A + 0.02 * (1.0 - np.exp(-below[inside].clip(0.0) / 5.0))
        fraction[inside] = np.clip((below[inside] + 1.0) / 2.0, 0.01, 0.95)
    interior = fraction > 0.94
    truth = Truth(
        scan=scan, a_A=a_A, volume_fraction=fraction, lattice_a_A=np.stack([a_A] * 3),
        lattice_fraction=np.stack([fraction] * 3), extra_fraction={}, particle=particle,
        depth_um=depth, interior=interior, eroded=eroded(interior, particle),
        two_lattices=(particle == 2) | (particle < 0),
    )  # fmt: skip
    recovered = np.where(fraction >= 0.05, a_A + rng.normal(3e-4, 1e-3, (N, N)), np.nan)
    recovered[22, 12:14] = np.nan  # two interior voxels of the first disc
    esd = np.where(np.isfinite(recovered), 1e-3, np.nan)
    maps = Maps(
        phase="LiMn2O4", scan=scan, a_A=recovered, a_esd_noise_A=esd / 2, a_esd_total_A=esd,
        volume_fraction=fraction, volume_fraction_esd_noise=esd, volume_fraction_esd_total=esd,
        chi2_reduced=np.ones((N, N)), status=np.zeros((N, N)), example=example(), recipe=Recipe(),
    )  # fmt: skip
    return maps, truth


def example() -> ExampleFit:
    two_theta_deg = np.linspace(2.0, 14.0, 400)
    background = 2.0 + 0.1 * two_theta_deg
    fitted = background + 50.0 * np.exp(-0.5 * ((two_theta_deg - 6.9) / 0.03) ** 2)
    observed = fitted + np.random.default_rng(3).normal(0.0, 0.5, 400)
    return ExampleFit((20, 11), two_theta_deg, observed, np.full(400, 0.5), fitted, background)


@pytest.fixture(scope="module")
def run() -> tuple[Maps, Truth]:
    return fabricated()


@pytest.fixture(scope="module")
def drawn(run: tuple[Maps, Truth]) -> list[Figure]:
    maps, truth = run
    every = [
        figures.truth_map_figure(maps, truth=truth),
        figures.recovered_map_figure(maps, truth=truth),
        figures.error_map_figure(maps, truth=truth),
        figures.histogram_figure(maps, truth=truth),
        figures.radial_figure(maps, truth=truth),
        figures.fit_figure(maps),
        figures.timing_figure(TIMES_S),
        figures.picture_figure(maps, truth=truth),
    ]
    for figure in every:
        figure.canvas.draw()
    return every


def test_true_and_recovered_maps_share_their_colours(run: tuple[Maps, Truth]) -> None:
    """By design; and by the definition of percentiles 98 % or more of the truth lies between."""
    maps, truth = run
    images = [
        figures.truth_map_figure(maps, truth=truth).axes[0].images[0],
        figures.recovered_map_figure(maps, truth=truth).axes[0].images[0],
        figures.picture_figure(maps, truth=truth).axes[0].images[0],
        figures.picture_figure(maps, truth=truth).axes[1].images[0],
    ]
    low, high = lattice_limits_A(maps, truth)
    assert all(image.get_clim() == (low, high) for image in images)
    assert all(image.get_cmap() is VALUE_COLOURS for image in images)
    shown = truth.a_A[truth.volume_fraction >= 0.05]
    assert np.mean((shown >= low) & (shown <= high)) >= 0.98
    wild = np.where(np.random.default_rng(1).random((N, N)) < 0.003, 8.29, maps.a_A)
    assert lattice_limits_A(replace(maps, a_A=wild), truth)[1] < 8.25  # outliers have no say


def test_maps_lie_where_the_voxels_are(run: tuple[Maps, Truth]) -> None:
    """Truth: the disc centres. y is up, and the outline is half a step beyond the last offset."""
    maps, truth = run
    for figure, expected in (
        (figures.truth_map_figure(maps, truth=truth), truth.particle),
        (figures.recovered_map_figure(maps, truth=truth), truth.particle),
    ):
        axes = figure.axes[0]
        image: Any = axes.images[0]
        assert image.origin == "lower"
        assert axes.get_xlim() == (-41.0, 41.0)
        assert axes.get_ylim() == (-41.0, 41.0)
        shown = ~np.ma.getmaskarray(image.get_array())
        y, x = np.nonzero(shown & (expected == 1))
        edge = 82.0 / N
        assert np.mean(-41.0 + edge * (x + 0.5)) == pytest.approx(26.0, abs=0.5)
        assert np.mean(-41.0 + edge * (y + 0.5)) == pytest.approx(-20.0, abs=0.5)


def test_error_map_is_symmetric_in_mA(run: tuple[Maps, Truth]) -> None:
    """Truth: numpy on the same voxels. Two-lattice voxels are masked, failed ones marked."""
    maps, truth = run
    figure = figures.error_map_figure(maps, truth=truth)
    axes: Any = figure.axes[0]
    image = axes.images[0]
    low, high = image.get_clim()
    scored = truth.interior & (truth.particle < 2) & np.isfinite(maps.a_A)
    error_mA = 1000.0 * (maps.a_A - truth.a_A)
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs(error_mA[scored]), 98.0), rel=1e-12)
    shown = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_allclose(shown[scored], error_mA[scored], rtol=1e-12)
    assert np.isnan(shown[truth.particle == 2]).all()
    crosses = set(zip(*axes.lines[0].get_data(), strict=True))
    assert crosses == {(-16.0, 4.0), (-14.0, 4.0)}
    note = figure.texts[0].get_text()
    assert f"±{high:.3g} mÅ" in note
    assert error_limit_mA(maps, truth) == high


def test_colours_survive_grey_printing() -> None:
    """Luma of Rec. 709: values rise steadily, and NaN is lighter than any of them by 0.1.

    The error map is lightest in the middle, and NaN differs from that by 0.1 too, as do the
    histogram's bars from the windows behind them.
    """
    luma = np.array([0.2126, 0.7152, 0.0722])
    values = VALUE_COLOURS(np.linspace(0.0, 1.0, 101))[:, :3] @ luma
    assert (np.diff(values) > 0.0).all()
    assert VALUE_COLOURS.get_bad()[:3] @ luma > values.max() + 0.1
    errors = ERROR_COLOURS(np.linspace(0.0, 1.0, 101))[:, :3] @ luma
    assert np.argmax(errors) == pytest.approx(50, abs=2)
    assert errors.max() > ERROR_COLOURS.get_bad()[:3] @ luma + 0.1
    assert np.array(to_rgb(WINDOW_COLOUR)) @ luma > np.array(to_rgb(TRUE_COLOUR)) @ luma + 0.1


def test_text_is_large_enough(drawn: list[Figure]) -> None:
    """A rule of the project: nothing written is smaller than 9 pt, and every axis has its unit."""
    for figure in drawn:
        written: list[Any] = [text for text in figure.findobj(Text) if text.get_text()]
        assert min(text.get_fontsize() for text in written) >= 9.0
        bottom = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
        assert bottom
        assert all(re.search(r"\((µm|Å|°|s)\)$", label) for label in bottom)


def test_figures_keep_inside_their_page(drawn: list[Figure]) -> None:
    """No label is cut: everything drawn lies within the figure's own rectangle."""
    for figure in drawn:
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 >= 0.0
        assert box.y0 >= 0.0
        assert box.x1 <= width
        assert box.y1 <= height


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01, 0.001])
def test_the_profiles_labels_keep_inside_whatever_the_errors(
    run: tuple[Maps, Truth], scale: float
) -> None:
    """Small errors have long numbers beside their axis: −0.025."""
    maps, truth = run
    nearer = replace(maps, a_A=truth.a_A + scale * (maps.a_A - truth.a_A))
    assert figures.radial_figure(nearer, truth=truth).get_tightbbox().x0 >= 0.0


@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.1, 1e5])
def test_the_error_maps_labels_keep_inside_whatever_the_errors(
    run: tuple[Maps, Truth], scale: float
) -> None:
    """The colour bar's numbers are longest where errors vanish: −0.00100."""
    maps, truth = run
    nearer = replace(maps, a_A=truth.a_A + scale * (maps.a_A - truth.a_A))
    figure = figures.error_map_figure(nearer, truth=truth)
    assert figure.get_tightbbox().x1 <= figure.get_size_inches()[0]


def test_radial_profile_is_the_direct_average(run: tuple[Maps, Truth]) -> None:
    """Truth: numpy, one depth at a time, over the first disc, the largest by construction."""
    maps, truth = run
    profile = radial_profile(maps, truth=truth)
    assert profile is not None
    assert profile.particle == 0
    used = truth.interior & (truth.particle == 0) & np.isfinite(maps.a_A)
    depth = np.round(truth.depth_um[used])
    np.testing.assert_array_equal(profile.depth_um, np.unique(depth))
    for i, value in enumerate(profile.depth_um):
        true_A, recovered_A = truth.a_A[used][depth == value], maps.a_A[used][depth == value]
        n, error_mA = true_A.size, 1000.0 * (recovered_A - true_A)
        assert profile.n_voxels[i] == n
        assert profile.true_A[i] == pytest.approx(true_A.mean(), rel=1e-14)
        assert profile.recovered_A[i] == pytest.approx(recovered_A.mean(), rel=1e-14)
        assert profile.error_mA[i] == pytest.approx(error_mA.mean(), abs=1e-12)
        if n > 1:
            sem_A = recovered_A.std(ddof=1) / np.sqrt(n)
            sem_mA = error_mA.std(ddof=1) / np.sqrt(n)
            assert profile.recovered_sem_A[i] == pytest.approx(sem_A, rel=1e-10)
            assert profile.error_sem_mA[i] == pytest.approx(sem_mA, rel=1e-10)
        else:
            assert np.isnan(profile.recovered_sem_A[i])


def test_radial_figure_shows_the_profile(run: tuple[Maps, Truth]) -> None:
    """Truth: the profile, tested above; the largest particle counts even if it comes last."""
    maps, truth = run
    profile = radial_profile(maps, truth=truth)
    assert profile is not None
    panels: list[Any] = figures.radial_figure(maps, truth=truth).axes
    upper, lower = panels
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), profile.true_A)
    np.testing.assert_array_equal(upper.containers[0][0].get_ydata(), profile.recovered_A)
    np.testing.assert_array_equal(lower.containers[0][0].get_ydata(), profile.error_mA)
    assert f"({profile.n_voxels.sum()} voxels)" in upper.get_title()
    swapped = replace(truth, particle=np.array([7, 1, 2, -1])[truth.particle])
    other = radial_profile(maps, truth=swapped)
    assert other is not None
    assert other.particle == 7


def test_histograms_hold_every_scored_voxel(run: tuple[Maps, Truth]) -> None:
    """Truth: counting. The windows are those of the study reproduced: 8.076–8.145, 8.183–8.205 Å.

    True values are all on the axis; of the recovered at most 1 % are off it, and said to be.
    """
    maps, truth = run
    assert TWO_PHASE_WINDOWS_A == ((8.076, 8.145), (8.183, 8.205))
    axes: Any = figures.histogram_figure(maps, truth=truth).axes[0]
    true, refined, window = axes.patches
    scored = truth.interior & (truth.particle < 2)
    recovered_A = maps.a_A[scored & np.isfinite(maps.a_A)]
    counts, edges_A, _ = true.get_data()
    np.testing.assert_array_equal(counts, np.histogram(truth.a_A[scored], edges_A)[0])
    assert counts.sum() == scored.sum()
    counts = refined.get_data().values
    np.testing.assert_array_equal(counts, np.histogram(recovered_A, edges_A)[0])
    assert counts.sum() >= 0.99 * recovered_A.size
    assert window.get_label() == "two-phase window"
    assert window.get_x() == 8.183
    assert window.get_x() + window.get_width() == pytest.approx(8.205, abs=1e-12)


def test_histogram_axis_fits_the_truth_not_the_outliers(run: tuple[Maps, Truth]) -> None:
    """Truth: counting. Two wild values leave the axis alone and are owned up to in the legend.

    A lone true value is on the axis, even with none recovered.
    """
    maps, truth = run
    wild = maps.a_A.copy()
    wild[20, 12:14] = 8.29
    some: Any = figures.histogram_figure(replace(maps, a_A=wild), truth=truth).axes[0]
    assert some.get_xlim()[1] < 8.24
    assert "(2 outside the axis)" in some.patches[1].get_label()
    nothing = replace(maps, a_A=np.full((N, N), np.nan))
    lone = truth.a_A.copy()
    lone[20, 12] = 8.10
    none: Any = figures.histogram_figure(nothing, truth=replace(truth, a_A=lone)).axes[0]
    scored = truth.interior & (truth.particle < 2)
    assert none.patches[0].get_data().values.sum() == scored.sum()
    assert none.patches[1].get_data().values.sum() == 0


def test_fit_figure_shows_normalised_residuals(run: tuple[Maps, Truth]) -> None:
    """Truth: (observed − fitted) / esd; the right panels surround the peak made at 6.9°."""
    maps, _ = run
    panels: list[Any] = figures.fit_figure(maps).axes
    upper, zoom, lower, _ = panels
    fit = maps.example
    assert fit is not None
    for line, values in zip(upper.lines, (fit.observed, fit.fitted, fit.background), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
    np.testing.assert_allclose(lower.lines[0].get_ydata(), (fit.observed - fit.fitted) / fit.esd)
    assert np.mean(zoom.get_xlim()) == pytest.approx(6.9, abs=12.0 / 399)
    assert "x = -18 µm, y = 0 µm" in upper.get_title()


def test_timing_bars_are_the_times() -> None:
    """Truth: the times given; the total is no step."""
    axes: Any = figures.timing_figure(TIMES_S).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 3.25, 2.0]
    assert "5.75 s" in axes.get_title()
    assert not figures.timing_figure({}).axes[0].patches
