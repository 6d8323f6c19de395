"""Figure 6: the degraded electrode divided by its lattice parameter, and what each part holds.

The capacity over 150 cycles (a) is not simulated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.lattice_regions import LatticeRegions, lattice_regions
from inverse.region_analysis import RegionAnalysis, analyse_regions
from validation.metrics import true_fractions_by_label
from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.figure_6_panels import NAMES, draw_bars, draw_maps, draw_patterns
from validation.paper.histograms import occupants
from validation.paper.phases import PHASE_WORDS, needed_percent
from validation.paper.prepared import Slice
from validation.paper.style import journal_figure, parts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CAPTION = (
    "b: the lattice parameter of the degraded electrode, recovered and true, on the scale of "
    "figure 2; voxels that are in another of the three ranges of a than in truth, or have spinel "
    "only there or only in the maps (in percent of all true voxels with spinel); and histograms "
    "over voxels with the three ranges (between them Otsu's thresholds) and, pink, where "
    "stoichiometric spinel has no single phase; near 8.26 Å rock salt is read as spinel. c: mean "
    "patterns of the three regions, each over its largest value, with the lines of the spinel as "
    "refined in each region right below it, and those of the other phases at the bottom; lines "
    "below a hundredth of the phase's strongest are not marked. d: weight fractions of all phases "
    "but the spinel: recovered from patterns integrated by the trimmed mean (left bar; not of "
    "quick scans) and by the plain mean, and true (right, pale); stars: wrong by more than twice "
    "the uncertainty. Capacity (a of the study) is not simulated."
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
    first = ways[0]
    figure = journal_figure(5.6)
    upper, lower = parts(figure, 2, 1, height_ratios=(1.0, 1.25))
    draw_maps(upper, first.each, first.regions, first.true_label)
    left, right = parts(lower, 1, 2, width_ratios=(1.75, 1.0))
    draw_patterns(left, first.each, first.contents)
    draw_bars(right, [way.contents for way in ways], [way.true for way in ways])
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
        label, n_regions=len(NAMES), phases=contents.phases, truth=each.truth
    )
    return _Way(each, regions, contents, true, label)


def _true_label(each: Slice, regions: LatticeRegions) -> Ints:
    """Return the regions of the true map by the same thresholds; wrong voxels then count."""
    true_A = each.true_a_A
    label = np.searchsorted(regions.edges_A[1:, 0], np.nan_to_num(true_A), side="right")
    return np.where(np.isfinite(true_A), label, -1)


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
    for region in (0, len(NAMES) - 1):
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
                    "6d", f"{PHASE_WORDS[phase]} in the {NAMES[region]} region, {words}", said,
                    recovered=1e2 * float(way.contents.weight_fraction[region, column]),
                    truth=true, needed=needed_percent(true), unit="wt %", esd=esd,
                )
            )  # fmt: skip
    return claims
