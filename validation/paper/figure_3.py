"""Figure 3: the two particles in slice 5, and histograms of each through the discharge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.histograms import EDGES_A, draw_histograms
from validation.paper.particles import NAMES, Found, found_particle
from validation.paper.prepared import Slice
from validation.paper.style import (
    FONT_PT,
    colour_bar,
    journal_figure,
    map_panel,
    panel,
    parts,
)
from validation.segmentation_metrics import score_against_circles, sections_of

Floats = NDArray[np.float64]

_LIMITS_A = (8.20, 8.25)
_LI_RICH_END_A = 8.223
"""Of Li1.10Mn1.90O4 when it is full."""
_LARGE_UM = 15.0
_CAPTION = (
    "a: slice 5 with the two particles, and each enlarged, recovered (above) and true (below). "
    "b, c: histograms over the voxels of each particle in slices 1 to 5, recovered (line) and true "
    "(grey); pink, where the stoichiometric spinel has no single phase."
)


def drawn(study: Study) -> Drawn:
    """Return figure 3."""
    slices = study.all_operando()
    found = [[found_particle(each, number) for each in slices] for number in range(2)]
    figure = journal_figure(6.0)
    upper, lower = parts(figure, 2, 1, height_ratios=(3.2, 2.8))
    _maps(upper, slices[-1], [of_particle[-1] for of_particle in found])
    _histograms(lower, slices, found)
    return Drawn(figure, _CAPTION, tuple(_claims(slices, found)))


def _maps(figure: FigureBase, last: Slice, particles: Sequence[Found]) -> None:
    grid = figure.add_gridspec(
        2, 4, width_ratios=(2.05, 1.0, 1.0, 0.08), left=0.04, right=0.92, top=0.92, bottom=0.03,
        wspace=0.08, hspace=0.12,
    )  # fmt: skip
    whole = figure.add_subplot(grid[:, 0])
    step_um = last.maps.scan.step_um
    image = map_panel(whole, last.maps.a_A, step_um=step_um, limits=_LIMITS_A, bar_um=40.0)
    panel(whole, "a", "slice 5, recovered")
    for column, found in enumerate(particles, start=1):
        y, x = found.box
        whole.add_patch(
            Rectangle(
                (x.start * step_um, y.start * step_um), (x.stop - x.start) * step_um,
                (y.stop - y.start) * step_um, fill=False, color="black", linewidth=0.8,
            )
        )  # fmt: skip
        whole.text(
            x.stop * step_um, y.stop * step_um, str(found.number + 1), fontsize=FONT_PT,
            weight="bold",
        )  # fmt: skip
        for row, values_A in enumerate((last.maps.a_A, last.truth.a_A)):
            axes = figure.add_subplot(grid[row, column])
            map_panel(
                axes, values_A[found.box], step_um=step_um, limits=_LIMITS_A,
                bar_um=10.0 if row == 0 else None,
            )  # fmt: skip
            panel(axes, "", NAMES[found.number] if row == 0 else "")
            if column == 1:
                axes.set_ylabel(("recovered", "true")[row], fontsize=FONT_PT)
    colour_bar(figure, image, "a (Å)", place=figure.add_subplot(grid[:, 3]), beyond=True)


def _histograms(
    figure: FigureBase, slices: Sequence[Slice], found: Sequence[Sequence[Found]]
) -> None:
    axes = figure.subplots(
        2, len(slices), sharex=True, sharey="row",
        gridspec_kw={
            "left": 0.07, "right": 0.985, "top": 0.93, "bottom": 0.13, "wspace": 0.07,
            "hspace": 0.2,
        },
    )  # fmt: skip
    for row, of_particle in enumerate(found):
        for column, (each, particle) in enumerate(zip(slices, of_particle, strict=True)):
            place = axes[row, column]
            draw_histograms(place, each.maps.a_A[particle.recovered], each.true_a_A[particle.true])
            place.set_xlim(EDGES_A[0], EDGES_A[-1])
            place.set_xticks([8.05, 8.15, 8.25])
            letter = ("b", "c")[row] if column == 0 else ""
            panel(
                place, letter, f"slice {column + 1}" if row == 0 else "",
                x="a (Å)" if row == 1 else "",
                y=f"{NAMES[row]}\nvoxels (%)" if column == 0 else "",
            )  # fmt: skip
    axes[0, 0].legend(fontsize=FONT_PT - 1.0, frameon=False, loc="upper right")


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
            "3b", f"Voxels of {NAMES[0]} above {_LI_RICH_END_A:g} Å after discharge", "some",
            recovered=1e2 * float(np.mean(recovered > _LI_RICH_END_A)),
            truth=1e2 * float(np.mean(true > _LI_RICH_END_A)), needed=5.0, unit="%", digits=1,
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
    sections = sections_of(
        last.experiment.build_sample(), view_radius_um=0.5 * last.maps.scan.width_um
    )
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
