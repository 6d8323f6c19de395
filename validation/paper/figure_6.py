"""Figure 6: the degraded electrode divided by its lattice parameter, and what each part holds.

The capacity over 150 cycles (a) is not simulated.
"""

from __future__ import annotations

import numpy as np

from validation.paper.claims import Claim
from validation.paper.degraded_regions import NAMES, DegradedRegions, degraded_regions
from validation.paper.drawing import Drawn, Study
from validation.paper.figure_6_panels import draw_bars, draw_maps, draw_patterns
from validation.paper.histograms import occupants
from validation.paper.phases import PHASE_WORDS, SEGREGATED, needed_percent
from validation.paper.style import journal_figure, parts

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


def drawn(study: Study) -> Drawn:
    """Return figure 6 b to d."""
    slices = [study.degraded(trimmed=trimmed) for trimmed in study.integrations.values()]
    ways = [degraded_regions(each) for each in slices]
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


def _lattice_claims(way: DegradedRegions) -> list[Claim]:
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


def _true_strain(way: DegradedRegions) -> float:
    """Return the strain of the low region less that of the high one, 1e-4, by volume."""
    strains = np.array([p.strain for p in way.each.sample.particles])
    truth, means = way.each.truth, []
    for region in (0, len(NAMES) - 1):
        inside = (way.true_label == region) & (truth.particle >= 0)
        weight = truth.volume_fraction[inside]
        means.append(float(weight @ strains[truth.particle[inside]] / weight.sum()))
    return 1e4 * (means[0] - means[1])


def _fraction_claims(way: DegradedRegions, words: str) -> list[Claim]:
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
        for phase, said in zip(SEGREGATED, published, strict=True):
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
