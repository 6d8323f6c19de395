"""Figure 5: patterns and weight fractions by depth in the two particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.experiments import DEPTH_EDGES_UM
from validation.paper.fractions import N_DEPTHS, DepthFractions, depth_fractions
from validation.paper.particles import NAMES, found_particle
from validation.paper.patterns import depth_patterns
from validation.paper.phases import (
    LEAST_NEEDED,
    PHASE_COLOURS,
    PHASE_WORDS,
    needed_percent,
    offsets,
    phase_handles,
    stacked_bar,
)
from validation.paper.prepared import Slice
from validation.paper.style import (
    DEPTH_COLOURS,
    FONT_PT,
    journal_figure,
    map_panel,
    panel,
    parts,
)

Floats = NDArray[np.float64]

_SHOWN_DEG = (5.4, 8.2)
_TEXT_DEG = 6.25
"""Where no line is."""
_CAPTION = (
    "a, c: the four depths into which each particle is divided, and their mean patterns in slice 5 "
    "(and 1, thin). b, d: weight fractions of all phases but the spinel by depth and slice: "
    "recovered, with the standard uncertainty of their sum, from patterns integrated by the "
    "trimmed mean (left bar; not of quick scans) and by the plain mean, and true (right, pale). "
    "Stars mark bars of which a phase is wrong by more than twice its uncertainty. Amounts are not "
    "held above zero. Where spinel and Li0.5Mn2O4 have nearly the same lattice parameter (Particle "
    "1 in slice 3, Particle 2 in slice 2) they cannot be told apart."
)


def drawn(study: Study) -> Drawn:
    """Return figure 5."""
    slices = {
        words: study.all_operando(trimmed=trimmed) for words, trimmed in study.integrations.items()
    }
    first = next(iter(slices.values()))
    figure = journal_figure(6.6)
    claims: list[Claim] = []
    of_both = [
        [[depth_fractions(each, number) for each in way] for way in slices.values()]
        for number in range(len(NAMES))
    ]
    patterns = {
        slice_number: depth_patterns(
            first[slice_number], [ways[0][slice_number].label for ways in of_both]
        )
        for slice_number in (0, -1)
    }
    for number, (part, ways) in enumerate(zip(parts(figure, 2, 1), of_both, strict=True)):
        left, right = parts(part, 1, 2, width_ratios=(1.0, 1.55), wspace=0.0)
        _depths(left, first[-1], ways[0][-1], number, [patterns[k][number] for k in (0, -1)])
        _bars(right, number, ways, tuple(slices))
        for words, found in zip(slices, ways, strict=True):
            claims += _claims(number, found, words)
            claims += [_worst(number, found, words), _honest(number, found, words)]
    return Drawn(figure, _CAPTION, tuple(claims))


def _depths(
    figure: FigureBase,
    last: Slice,
    found: DepthFractions,
    number: int,
    patterns: Sequence[Mapping[int, Floats]],
) -> None:
    grid = figure.add_gridspec(
        2, 1, height_ratios=(1.0, 1.5), left=0.1, right=0.97, top=0.92, bottom=0.13, hspace=0.24
    )
    axes = figure.add_subplot(grid[0])
    box = found_particle(last, number).box
    shown = np.where(found.label >= 0, found.label, np.nan)[box]
    map_panel(
        axes, shown, step_um=last.maps.scan.step_um, limits=(-0.5, N_DEPTHS + 0.5), bar_um=5.0
    )
    panel(axes, "ac"[number], NAMES[number])
    axes = figure.add_subplot(grid[1])
    two_theta_deg = np.degrees(last.experiment.geometry.two_theta_rad)
    kept = (two_theta_deg > _SHOWN_DEG[0]) & (two_theta_deg < _SHOWN_DEG[1])
    for of_slice, width in zip(patterns, (0.5, 1.0), strict=True):
        for depth, pattern in of_slice.items():
            height = float(np.nanmax(pattern[kept]))
            axes.plot(
                two_theta_deg[kept], pattern[kept] / height + 0.7 * (N_DEPTHS - 1 - depth),
                color=DEPTH_COLOURS[depth], linewidth=width,
            )  # fmt: skip
    for depth in range(N_DEPTHS):
        low, high = DEPTH_EDGES_UM[depth : depth + 2]
        axes.text(
            _TEXT_DEG, 0.7 * (N_DEPTHS - 1 - depth) + 0.1, f"{low:g}–{high:g} µm",
            fontsize=FONT_PT - 1.0,
        )  # fmt: skip
    axes.set_yticks([])
    panel(axes, "", "thick: slice 5, thin: slice 1", x="2θ (°)", y="intensity (arb. units)")


def _bars(
    figure: FigureBase,
    number: int,
    ways: Sequence[Sequence[DepthFractions]],
    words: Sequence[str],
) -> None:
    axes = figure.subplots(
        1, N_DEPTHS, sharey=True,
        gridspec_kw={"left": 0.1, "right": 0.985, "top": 0.86, "bottom": 0.13, "wspace": 0.06},
    )  # fmt: skip
    for depth, place in enumerate(axes):
        for scan in range(len(ways[0])):
            columns = [(way[scan].recovered[depth], way[scan].esd[depth]) for way in ways]
            columns.append((ways[0][scan].true[depth], None))
            for offset, (values, esd) in zip(offsets(len(columns)), columns, strict=True):
                stacked_bar(
                    place, scan + 1 + offset, ways[0][scan].phases, values, esd=esd,
                    true=ways[0][scan].true[depth],
                )  # fmt: skip
        low, high = DEPTH_EDGES_UM[depth : depth + 2]
        panel(
            place, "bd"[number] if depth == 0 else "", f"{low:g}–{high:g} µm", x="slice",
            y="weight fraction (%)" if depth == 0 else "",
        )  # fmt: skip
        place.axhline(0.0, color="black", linewidth=0.5)
        place.set_xticks(range(1, len(ways[0]) + 1))
    if number == 0:
        _legend(figure, axes[0], words)


def _legend(figure: FigureBase, axes: Axes, ways: Sequence[str]) -> None:
    handles = phase_handles(axes, tuple(PHASE_COLOURS))
    figure.legend(
        handles=handles, fontsize=FONT_PT - 0.5, frameon=False, ncols=3, loc="upper center",
        bbox_to_anchor=(0.54, 1.0),
    )  # fmt: skip
    figure.text(
        0.54, 0.005, f"bars: {', '.join([*ways, 'true (pale)'])}; the rest is spinel",
        fontsize=FONT_PT - 0.5, ha="center",
    )  # fmt: skip


def _claims(number: int, found: Sequence[DepthFractions], way: str) -> list[Claim]:
    told = {
        0: (
            ("Li2MnO3", "at the surface", "3 to 4 %", 4, 0),
            ("Li2MnO3", "beyond 4 µm", "not detected", 4, 2),
            ("LiMnO2-rocksalt", "at the surface", "some", 4, 0),
            ("Li0.5Mn2O4", "at the surface", "abnormally high", 1, 0),
        ),
        1: (
            ("LiMnO2-rocksalt", "at the surface", "up to 26 %", 4, 0),
            ("LiMnO2-rocksalt", "at 2 to 4 µm", "up to 26 %", 4, 1),
            ("LiMnO2-rocksalt", "at 2 to 4 µm", "already there", 0, 1),
            ("Li0.5Mn2O4", "at 2 to 4 µm", "only in scan 2", 1, 1),
            ("Li0.5Mn2O4", "at 2 to 4 µm", "gone", 3, 1),
        ),
    }[number]
    claims = []
    for phase, where, published, scan, depth in told:
        of_scan = found[scan]
        column = of_scan.phases.index(phase)
        esd = float(of_scan.esd[depth, column])
        claims.append(
            Claim(
                f"5{'bd'[number]}",
                f"{PHASE_WORDS[phase]} in {NAMES[number]} {where}, scan {scan + 1}, {way}",
                published, recovered=float(of_scan.recovered[depth, column]),
                truth=float(of_scan.true[depth, column]),
                needed=needed_percent(float(of_scan.true[depth, column])), unit="wt %", esd=esd,
            )
        )  # fmt: skip
    return claims


def _worst(number: int, found: Sequence[DepthFractions], way: str) -> Claim:
    """Return the largest error of all phases, depths and scans, which the study puts at 0.5."""
    errors = np.abs([each.recovered - each.true for each in found])
    known = errors[np.isfinite(errors)]
    largest = float(known.max()) if known.size else float("nan")
    return Claim(
        f"5{'bd'[number]}", f"Largest error of any weight fraction in {NAMES[number]}, {way}",
        "0.5 or less", recovered=largest, truth=0.0, needed=LEAST_NEEDED, unit="wt %",
    )  # fmt: skip


def _honest(number: int, found: Sequence[DepthFractions], way: str) -> Claim:
    """Return whether errors are as large as their stated uncertainties say."""
    z = np.array([(each.recovered - each.true) / each.esd for each in found])
    known = z[np.isfinite(z)]
    size = float(np.sqrt(np.mean(known**2))) if known.size else float("nan")
    return Claim(
        f"5{'bd'[number]}", f"Error over stated uncertainty (RMS) of weight fractions in "
        f"{NAMES[number]}, {way}", "–", recovered=size, truth=1.0, needed=0.25,
    )  # fmt: skip
