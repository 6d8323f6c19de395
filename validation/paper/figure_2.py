"""Figure 2: maps of the lattice parameter through the discharge, and their histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase

from validation.metrics import lattice_metrics, scored_voxels
from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.histograms import EDGES_A, draw_histograms, occupants
from validation.paper.prepared import Slice
from validation.paper.style import (
    ERROR_COLOURS,
    FONT_PT,
    colour_bar,
    journal_figure,
    map_panel,
    panel,
    parts,
)

_LIMITS_A = (8.04, 8.25)
_ERROR_MA = 5.0
_PUBLISHED_ERROR_MA = 1.5


def drawn(study: Study) -> Drawn:
    """Return figure 2: the volume, five slices with truth and error, five histograms."""
    slices, planes = study.all_operando(), study.planes()
    figure = journal_figure(7.4)
    upper, lower = parts(figure, 2, 1, height_ratios=(5.3, 2.1))
    errors = [lattice_metrics(each.maps, each.truth)["interior"] for each in slices]
    _maps(upper, slices, planes, errors)
    _histograms(lower, slices)
    return Drawn(figure, _CAPTION, tuple(_claims(slices, errors)))


_CAPTION = (
    "a: planes of the volume (recovered), then the five slices taken during discharge: the lattice "
    "parameter of the spinel as the study's way recovers it, as it is, and the error. b: "
    "histograms over the voxels of each slice, recovered (line) and true (grey); pink, where the "
    "stoichiometric spinel has no single phase. White holds no spinel to speak of; errors are of "
    "interior voxels of one lattice (grey: no others are compared). What is found near 8.26 Å is "
    "rock salt, whose lines with a = 4.13 Å are those of such a spinel. Errors that change sign "
    "from left to right are parallax."
)


def _maps(
    figure: FigureBase,
    slices: Sequence[Slice],
    planes: Sequence[Slice],
    figures: Sequence[Mapping[str, Any]],
) -> None:
    axes = figure.subplots(
        4, len(slices),
        gridspec_kw={
            "left": 0.05, "right": 0.89, "top": 0.95, "bottom": 0.04, "wspace": 0.04,
            "hspace": 0.2,
        },
    )  # fmt: skip
    chosen = np.linspace(0, len(planes) - 1, len(slices)).round().astype(int)
    step_um = slices[0].maps.scan.step_um
    for column, number in enumerate(chosen):
        plane = planes[number]
        height_um = plane.experiment.sample.z_um
        values = map_panel(
            axes[0, column], plane.maps.a_A, step_um=plane.maps.scan.step_um, limits=_LIMITS_A,
            bar_um=50.0 if column == 0 else None,
        )  # fmt: skip
        panel(
            axes[0, column],
            "a" if column == 0 else "",
            f"volume, z = {height_um:+.0f} µm".replace("-", "−"),
        )
    for column, (each, told) in enumerate(zip(slices, figures, strict=True)):
        maps, truth = each.maps, each.truth
        scored = scored_voxels(truth, truth.interior)
        error_mA = np.where(scored, 1e3 * (maps.a_A - truth.a_A), np.nan)
        map_panel(
            axes[1, column], maps.a_A, step_um=step_um, limits=_LIMITS_A,
            bar_um=50.0 if column == 0 else None,
        )  # fmt: skip
        map_panel(axes[2, column], each.true_a_A, step_um=step_um, limits=_LIMITS_A)
        errors = map_panel(
            axes[3, column], error_mA, step_um=step_um, limits=(-_ERROR_MA, _ERROR_MA),
            colours=ERROR_COLOURS,
        )  # fmt: skip
        panel(axes[1, column], "", f"slice {column + 1}")
        if "rms_A" in told:
            words = f"RMS {1e3 * told['rms_A']:.1f}, bias {1e3 * told['bias_A']:+.1f} mÅ"
            axes[3, column].set_xlabel(
                words.replace("-", "−"), fontsize=FONT_PT - 0.5, labelpad=2.0
            )
    for row, words in enumerate(("volume", "recovered", "true", "error")):
        axes[row, 0].set_ylabel(words, fontsize=FONT_PT)
    for image, label, low, height in (
        (values, "a (Å)", 0.30, 0.6), (errors, "error (mÅ)", 0.06, 0.2),
    ):  # fmt: skip
        place = figure.add_axes((0.905, low, 0.014, height))
        colour_bar(figure, image, label, place=place, beyond=True)


def _histograms(figure: FigureBase, slices: Sequence[Slice]) -> None:
    axes = figure.subplots(
        1, len(slices), sharey=True,
        gridspec_kw={"left": 0.07, "right": 0.985, "top": 0.86, "bottom": 0.2, "wspace": 0.07},
    )  # fmt: skip
    for column, each in enumerate(slices):
        draw_histograms(axes[column], each.maps.a_A, each.true_a_A)
        axes[column].set_xlim(EDGES_A[0], EDGES_A[-1])
        axes[column].set_xticks([8.05, 8.15, 8.25])
        panel(
            axes[column], "b" if column == 0 else "", f"slice {column + 1}", x="a (Å)",
            y="voxels (% per 2.5 mÅ)" if column == 0 else "",
        )  # fmt: skip
    axes[0].legend(fontsize=FONT_PT - 1.0, frameon=False, loc="upper right")


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
