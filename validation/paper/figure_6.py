"""Figure 6: the degraded electrode divided by its lattice parameter, and what each part holds.

The capacity over 150 cycles (a) is not simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from inverse.lattice_regions import LatticeRegions, lattice_regions
from inverse.region_analysis import RegionAnalysis, analyse_regions
from validation.metrics import true_fractions_by_label
from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.histograms import draw_histograms, occupants
from validation.paper.phases import (
    PHASE_WORDS,
    needed_percent,
    offsets,
    phase_handles,
    stacked_bar,
)
from validation.paper.prepared import Slice
from validation.paper.style import (
    FONT_PT,
    SCAN_COLOURS,
    colour_bar,
    journal_figure,
    map_panel,
    panel,
    parts,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LIMITS_A = (8.06, 8.22)
_SHOWN_DEG = (2.6, 11.0)
_TEXT_DEG = 4.0
"""Where no line is."""
_NAMES = ("low a", "medium a", "high a")
_CAPTION = (
    "b: the lattice parameter of the degraded electrode, recovered and true, and histograms over "
    "voxels, with the three ranges into which it is divided (between them Otsu's thresholds) and, "
    "pink, where stoichiometric spinel has no single phase; near 8.26 Å rock salt is read as "
    "spinel. c: mean patterns of the three regions. d: weight fractions of all phases but the "
    "spinel: recovered from patterns integrated by the trimmed mean (left bar; not of quick scans) "
    "and by the plain mean, and true (right, pale); stars: wrong by more than twice the "
    "uncertainty. Capacity (a of the study) is not simulated."
)


@dataclass(frozen=True, eq=False)
class _Way:
    """The slice analysed after one way of integration."""

    each: Slice
    regions: LatticeRegions
    contents: RegionAnalysis
    true: Floats
    """Weight fractions of the true regions, shape (region, phase)."""
    true_label: Ints
    """The region of a voxel by its true lattice parameter, or −1, shape (y, x)."""


def drawn(study: Study) -> Drawn:
    """Return figure 6 b to d."""
    ways = [_analysed(study.degraded(trimmed=trimmed)) for trimmed in study.integrations.values()]
    figure = journal_figure(5.0)
    upper, lower = parts(figure, 2, 1, height_ratios=(1.0, 1.0))
    _maps(upper, ways[0])
    _contents(lower, ways)
    claims = _lattice_claims(ways[0])
    for words, way in zip(study.integrations, ways, strict=True):
        claims += _fraction_claims(way, words)
    return Drawn(figure, _CAPTION, tuple(claims))


def _analysed(each: Slice) -> _Way:
    maps = each.maps
    regions = lattice_regions(maps.a_A, amount=maps.volume_fraction)
    contents = analyse_regions(
        each.raw(), label=regions.label, recipe=maps.recipe, shared=maps.shared,
        others=each.others(), a_A=maps.a_A, a_esd_A=maps.a_esd_total_A, workers=each.workers,
    )  # fmt: skip
    label = _true_label(each, regions)
    true = true_fractions_by_label(
        label, n_regions=len(_NAMES), phases=contents.phases, truth=each.truth
    )
    return _Way(each, regions, contents, true, label)


def _true_label(each: Slice, regions: LatticeRegions) -> Ints:
    """Return the regions of the true map by the same thresholds; wrong voxels then count."""
    true_A = each.true_a_A
    label = np.searchsorted(regions.edges_A[1:, 0], np.nan_to_num(true_A), side="right")
    return np.where(np.isfinite(true_A), label, -1)


def _maps(figure: FigureBase, way: _Way) -> None:
    grid = figure.add_gridspec(
        1, 5, width_ratios=(1.0, 1.0, 0.04, 0.6, 1.2), left=0.04, right=0.985, top=0.88,
        bottom=0.17, wspace=0.08,
    )  # fmt: skip
    maps = way.each.maps
    for column, (words, values_A) in enumerate(
        (("recovered", maps.a_A), ("true", way.each.true_a_A))
    ):
        axes = figure.add_subplot(grid[column])
        image = map_panel(
            axes, values_A, step_um=maps.scan.step_um, limits=_LIMITS_A,
            bar_um=50.0 if column == 0 else None,
        )  # fmt: skip
        panel(axes, "b" if column == 0 else "", words)
    colour_bar(figure, image, "a (Å)", place=figure.add_subplot(grid[2]), beyond=True)
    axes = figure.add_subplot(grid[4])
    draw_histograms(axes, maps.a_A, way.each.true_a_A)
    for edge_A in way.regions.edges_A[1:, 0]:
        axes.axvline(edge_A, color="black", linewidth=0.8, linestyle="--")
    axes.legend(fontsize=FONT_PT - 1.0, frameon=False, loc="upper right")
    panel(axes, "", x="a (Å)", y="voxels (% per 2.5 mÅ)")


def _contents(figure: FigureBase, ways: Sequence[_Way]) -> None:
    grid = figure.add_gridspec(
        1, 2, width_ratios=(1.6, 1.0), left=0.05, right=0.985, top=0.9, bottom=0.15, wspace=0.16
    )
    _patterns(figure.add_subplot(grid[0]), ways[0])
    axes = figure.add_subplot(grid[1])
    for region in range(len(_NAMES)):
        *of_ways, of_truth = region + offsets(len(ways) + 1)
        for place, way in zip(of_ways, ways, strict=True):
            stacked_bar(
                axes, place, way.contents.phases, 1e2 * way.contents.weight_fraction[region],
                esd=1e2 * way.contents.esd_total[region], true=1e2 * way.true[region],
            )  # fmt: skip
        stacked_bar(axes, of_truth, ways[0].contents.phases, 1e2 * ways[0].true[region])
    axes.axhline(0.0, color="black", linewidth=0.5)
    axes.set_xticks(range(len(_NAMES)), _NAMES)
    handles = phase_handles(axes, ways[0].contents.phases)
    axes.legend(handles=handles, fontsize=FONT_PT - 0.5, frameon=False, loc="upper right")
    panel(axes, "d", "bars: recovered, true (pale)", y="weight fraction (%)")


def _patterns(axes: Axes, way: _Way) -> None:
    two_theta_deg = np.degrees(way.each.experiment.geometry.two_theta_rad)
    kept = (two_theta_deg > _SHOWN_DEG[0]) & (two_theta_deg < _SHOWN_DEG[1])
    for region, pattern in enumerate(way.contents.patterns.values[:, kept]):
        axes.plot(
            two_theta_deg[kept], pattern / float(np.nanmax(pattern)) + 0.8 * region,
            color=SCAN_COLOURS[2 * region], linewidth=0.8,
        )  # fmt: skip
        axes.text(_TEXT_DEG, 0.8 * region + 0.1, _NAMES[region], fontsize=FONT_PT)
    axes.set_yticks([])
    panel(axes, "c", x="2θ (°)", y="intensity (arb. units)")


def _lattice_claims(way: _Way) -> list[Claim]:
    each = way.each
    found = occupants(each.maps.a_A, each.true_a_A, two_lattices=each.truth.two_lattices)
    strain = 1e4 * way.contents.strain.strain
    return [
        Claim(
            "6b", "Voxels inside the first two-phase window", "the bulk",
            recovered=1e2 * found.recovered, truth=1e2 * found.true, needed=5.0, unit="%",
            digits=1,
        ),
        Claim(
            "6c", "Strain of the low-a region less that of the high-a region", "highest at low a",
            recovered=float(strain[0] - strain[-1]), truth=_true_strain(way), needed=2.0,
            unit="e-4", digits=1,
        ),
    ]  # fmt: skip


def _true_strain(way: _Way) -> float:
    """Return the strain of the low region less that of the high one, 1e-4, by volume."""
    strains = np.array([p.strain for p in way.each.experiment.build_sample().particles])
    truth, means = way.each.truth, []
    for region in (0, len(_NAMES) - 1):
        inside = (way.true_label == region) & (truth.particle >= 0)
        weight = truth.volume_fraction[inside]
        means.append(float(weight @ strains[truth.particle[inside]] / weight.sum()))
    return 1e4 * (means[0] - means[1])


def _fraction_claims(way: _Way, words: str) -> list[Claim]:
    minor = [1e2 * (fractions[0, 1:].sum() - fractions[-1, 1:].sum()) for fractions in (
        way.contents.weight_fraction, way.true,
    )]  # fmt: skip
    claims = [
        Claim(
            "6d", f"More of segregated phases where a is low: low less high, {words}", "27 %",
            recovered=float(minor[0]), truth=float(minor[1]), needed=2.0, unit="wt %",
        )
    ]  # fmt: skip
    for region, published in ((0, ("11 %", "20 %")), (1, ("less", "less")), (2, ("less", "less"))):
        for phase, said in zip(("Li2MnO3", "LiMnO2-rocksalt"), published, strict=True):
            column = way.contents.phases.index(phase)
            esd = 1e2 * float(way.contents.esd_total[region, column])
            true = 1e2 * float(way.true[region, column])
            claims.append(
                Claim(
                    "6d", f"{PHASE_WORDS[phase]} in the {_NAMES[region]} region, {words}", said,
                    recovered=1e2 * float(way.contents.weight_fraction[region, column]),
                    truth=true, needed=needed_percent(true), unit="wt %", esd=esd,
                )
            )  # fmt: skip
    return claims
