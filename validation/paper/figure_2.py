"""Figure 2: maps of the lattice parameter through the discharge, and their histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase

from validation.metrics import lattice_metrics
from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.figure_2_maps import draw_slices, draw_volume, planes_shown
from validation.paper.histograms import draw_histograms, occupants
from validation.paper.prepared import Slice
from validation.paper.residuals import (
    Residuals,
    draw_error_histogram,
    draw_z_histogram,
    interior_residuals,
)
from validation.paper.style import FONT_PT, journal_figure, panel, parts

_PUBLISHED_ERROR_MA = 1.5


def drawn(study: Study) -> Drawn:
    """Return figure 2: the volume and five slices with truth and errors, and histograms."""
    slices, planes = study.all_operando(), study.planes()
    metrics = [lattice_metrics(each.maps, each.truth)["interior"] for each in slices]
    errors = [interior_residuals(each) for each in slices]
    figure = journal_figure(10.6)
    volume, maps, histograms, misfits = parts(figure, 4, 1, height_ratios=(2.15, 5.5, 1.5, 1.45))
    draw_volume(volume, [planes[number] for number in planes_shown(len(planes))])
    draw_slices(maps, slices, errors, metrics)
    _histograms(histograms, slices)
    _errors(misfits, errors)
    return Drawn(figure, _CAPTION, tuple(_claims(slices, metrics)))


_CAPTION = (
    "a: planes of the volume and the five slices taken during discharge: the lattice parameter of "
    "the spinel as the study's way recovers it and as it is, all to one scale (8.04 to 8.25 Å, as "
    "in figure 6; figures 3 and 4 show slice 5 from 8.20 to 8.25 Å, because this scale would hide "
    "what is in its particles); below, the error; and in the middle 150 µm the error over the "
    "total standard uncertainty of the maps, and where the maps have spinel that is not there "
    "(found only) or lack some that is (true only, in percent of all true voxels with spinel). "
    "White holds no spinel to speak of; errors are of interior voxels of one lattice, others are "
    "not compared. b: histograms over the voxels of each slice, recovered (line) and true (grey); "
    "pink, where the stoichiometric spinel has no single phase. c: histograms of both errors, with "
    "the standard normal distribution that errors over honest uncertainties have; outermost bins "
    "hold what lies beyond. What is found near 8.26 Å is rock salt, whose lines with a = 4.13 Å "
    "are those of such a spinel. Errors that change sign from left to right are parallax."
)


def _histograms(figure: FigureBase, slices: Sequence[Slice]) -> None:
    axes = figure.subplots(
        1, len(slices), sharey=True,
        gridspec_kw={"left": 0.075, "right": 0.985, "top": 0.77, "bottom": 0.27, "wspace": 0.07},
    )  # fmt: skip
    for column, each in enumerate(slices):
        draw_histograms(axes[column], each.maps.a_A, each.true_a_A)
        axes[column].set_xticks([8.05, 8.15, 8.25])
        panel(
            axes[column], "b" if column == 0 else "", f"slice {column + 1}", x="a (Å)",
            y="voxels\n(% per 2.5 mÅ)" if column == 0 else "",
        )  # fmt: skip
    figure.legend(
        *axes[0].get_legend_handles_labels(), fontsize=FONT_PT - 0.5, frameon=False, ncols=3,
        loc="upper center", bbox_to_anchor=(0.53, 1.03),
    )  # fmt: skip


def _errors(figure: FigureBase, errors: Sequence[Residuals]) -> None:
    left, right = figure.subplots(
        1, 2, gridspec_kw={"left": 0.075, "right": 0.83, "top": 0.9, "bottom": 0.27, "wspace": 0.2},
    )  # fmt: skip
    draw_error_histogram(left, errors, "c", "error, interior voxels")
    draw_z_histogram(right, errors, "error over its stated uncertainty")
    figure.legend(
        *right.get_legend_handles_labels(), fontsize=FONT_PT - 0.5, frameon=False,
        loc="center right", handlelength=2.6, bbox_to_anchor=(1.0, 0.58),
    )  # fmt: skip


def _claims(slices: Sequence[Slice], errors: Sequence[Mapping[str, Any]]) -> list[Claim]:
    first = slices[0]
    found = [
        occupants(each.maps.a_A, each.true_a_A, two_lattices=each.truth.two_lattices)
        for each in slices
    ]
    claims = [
        Claim(
            "2a", "The lattice parameter before discharge", "about 8.07 Å",
            recovered=float(np.nanmean(first.maps.a_A)),
            truth=float(np.nanmean(first.true_a_A)), needed=0.005, unit="Å", digits=4,
        ),
        Claim(
            "2a", "Error of the lattice parameter of a voxel, RMS of interior voxels, worst scan",
            "below 1.5 mÅ", recovered=max(1e3 * figure["rms_A"] for figure in errors), truth=0.0,
            needed=_PUBLISHED_ERROR_MA, unit="mÅ",
        ),
    ]  # fmt: skip
    for number, each in enumerate(found, start=1):
        claims.append(
            Claim(
                "2b",
                f"Voxels inside the first two-phase window, scan {number}",
                "some voxels",
                recovered=100.0 * each.recovered,
                truth=100.0 * each.true,
                needed=5.0,
                unit="%",
                digits=1,
                note=f"of those found there: {_share(each.single, each.recovered)} one phase "
                f"in the window, {_share(each.mixed, each.recovered)} two lattices, "
                f"{_share(each.neither, each.recovered)} neither",
            )
        )
    second = found[1]
    claims.append(
        Claim(
            "2b", "Voxels in the window are of another stoichiometry, scan 2", "yes",
            recovered=_percent(second.single, second.recovered),
            truth=_percent(second.true_single, second.true), needed=10.0, unit="%", digits=0,
            note="share of the voxels in the window that are one phase there; the rest is mixed",
        )
    )  # fmt: skip
    return claims


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole > 0.0 else float("nan")


def _share(part: float, whole: float) -> str:
    return f"{_percent(part, whole):.0f} %" if whole > 0.0 else "none"
