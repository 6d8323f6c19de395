"""Figure 3: the two particles in slice 5, and histograms of each through the discharge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.figure_3_panels import draw_errors, draw_histogram_rows, draw_particles
from validation.paper.histograms import LI_RICH_END_A
from validation.paper.particles import NAMES, Found, found_particle
from validation.paper.prepared import Slice
from validation.paper.residuals import interior_residuals
from validation.paper.style import journal_figure, parts
from validation.segmentation_metrics import score_against_circles, sections_of

Floats = NDArray[np.float64]

_LARGE_UM = 15.0
_CAPTION = (
    "a: slice 5 as recovered, and the two particles in it enlarged: recovered, true, error over "
    "the total standard uncertainty (interior voxels of one lattice), and where the particle's "
    "outline is wrong (in percent of its true voxels). Lattice parameters from 8.20 to 8.25 Å as "
    "in figure 4: the scale of figures 2 and 6 would hide what is in a particle. b, c: histograms "
    "over the voxels of each particle in slices 1 to 5, recovered (line) and true (grey), each "
    "slice over 60 mÅ of its own; pink, where the stoichiometric spinel has no single phase. d: "
    "errors of interior voxels in both the recovered and the true outline, in mÅ and over their "
    "uncertainty, with the standard normal distribution; outermost bins hold what lies beyond."
)


def drawn(study: Study) -> Drawn:
    """Return figure 3."""
    slices = study.all_operando()
    found = [[found_particle(each, number) for each in slices] for number in range(2)]
    errors = [interior_residuals(each) for each in slices]
    figure = journal_figure(7.8)
    upper, middle, lower = parts(figure, 3, 1, height_ratios=(3.25, 2.9, 1.65))
    draw_particles(upper, slices[-1], errors[-1], [of_particle[-1] for of_particle in found])
    draw_histogram_rows(middle, slices, found)
    draw_errors(lower, errors, found)
    return Drawn(figure, _CAPTION, tuple(_claims(slices, found)))


def _claims(slices: Sequence[Slice], found: Sequence[Sequence[Found]]) -> list[Claim]:
    last, first = slices[-1], slices[0]
    claims = []
    for number, published in (
        (0, ("in the window", "about 8.223 Å")),
        (1, ("about 8.07 Å", "about 8.245 Å")),
    ):
        for each, particle, words, said in (
            (first, found[number][0], "before discharge", published[0]),
            (last, found[number][-1], "after discharge", published[1]),
        ):
            claims.append(
                Claim(
                    f"3{'bc'[number]}", f"Mean lattice parameter of {NAMES[number]} {words}", said,
                    recovered=float(_mean(each.maps.a_A[particle.recovered])),
                    truth=float(_mean(each.true_a_A[particle.true])),
                    needed=0.0015, unit="Å", digits=4,
                )
            )  # fmt: skip
        claims.append(_broadening(slices, found[number], number))
    return claims + _highest(last, found[0][-1]) + _outlines(last)


def _highest(last: Slice, particle: Found) -> list[Claim]:
    """Return what the study concludes of Particle 1 from voxels beyond the Li-rich spinel's end."""
    recovered = _known(last.maps.a_A[particle.recovered])
    true = _known(last.true_a_A[particle.true])
    if recovered.size == 0:
        return []
    return [
        Claim(
            "3b", f"Voxels of {NAMES[0]} above {LI_RICH_END_A:g} Å after discharge", "some",
            recovered=1e2 * float(np.mean(recovered > LI_RICH_END_A)),
            truth=1e2 * float(np.mean(true > LI_RICH_END_A)), needed=5.0, unit="%", digits=1,
        ),
        Claim(
            "3b", f"Highest lattice parameter of {NAMES[0]} after discharge (99th percentile)",
            "8.240 Å", recovered=float(np.percentile(recovered, 99.0)),
            truth=float(np.percentile(true, 99.0)), needed=0.004, unit="Å", digits=4,
            note="needed: half of what tells y = 0.05 from less",
        ),
    ]  # fmt: skip


def _outlines(last: Slice) -> list[Claim]:
    """Return how well particles are outlined, where a section is above 15 µm."""
    sections = sections_of(last.sample, view_radius_um=0.5 * last.maps.scan.width_um)
    score = score_against_circles(last.particles, sections=sections, step_um=last.maps.scan.step_um)
    large = np.isfinite(score.iou) & (score.diameter_um > _LARGE_UM)
    if not large.any():
        return []
    return [
        Claim(
            "3a", f"Outlines of {int(large.sum())} particles above {_LARGE_UM:g} µm: mean overlap "
            "with the truth (IoU)", "", recovered=float(score.iou[large].mean()), truth=1.0,
            needed=0.05,
        ),
        Claim(
            "3a", f"Outlines of particles above {_LARGE_UM:g} µm: mean error of the boundary", "",
            recovered=float(np.nanmean(score.boundary_error_um[large])), truth=0.0, needed=0.25,
            unit="µm",
        ),
    ]  # fmt: skip


def _broadening(slices: Sequence[Slice], found: Sequence[Found], number: int) -> Claim:
    """Return whether histograms become broader as the study says of particle 1."""
    recovered, true = [], []
    for each, particle in zip(slices, found, strict=True):
        recovered.append(1e3 * _spread(each.maps.a_A[particle.recovered]))
        true.append(1e3 * _spread(each.true_a_A[particle.true]))
    return Claim(
        f"3{'bc'[number]}",
        f"Broadening of the histogram of {NAMES[number]}, scan 1 to 5 (standard deviation)",
        "broader" if number == 0 else "not said", recovered=recovered[-1] - recovered[0],
        truth=true[-1] - true[0], needed=max(1.0, 0.25 * abs(true[-1] - true[0])), unit="mÅ",
    )  # fmt: skip


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _mean(values: Floats) -> float:
    known = _known(values)
    return float(known.mean()) if known.size else float("nan")


def _spread(values: Floats) -> float:
    known = _known(values)
    return float(known.std()) if known.size else float("nan")
