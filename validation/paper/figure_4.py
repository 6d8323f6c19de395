"""Figure 4: depth maps of the two particles, and the lattice parameter by depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from validation.paper.claims import Claim
from validation.paper.depths import Profiles, common_shells, profiles
from validation.paper.drawing import Drawn, Study
from validation.paper.particles import NAMES, Found, found_particle
from validation.paper.prepared import Slice
from validation.paper.style import (
    FONT_PT,
    SCAN_COLOURS,
    SCAN_MARKERS,
    colour_bar,
    journal_figure,
    map_panel,
    panel,
    parts,
)

Floats = NDArray[np.float64]

_LIMITS_A = (8.06, 8.25)
_NEEDED_RATIO = 1e-4
_NEEDED_GRADIENT_MA = 2.0
_CAPTION = (
    "Each particle as slice 5 shows it, its distance map, and the lattice parameter averaged over "
    "whole micrometres of depth, LPdepth, over that of the particle, LPmean, in slices 1 to 5: "
    "recovered (symbols, moved a little apart, with the standard uncertainty that counts streaks "
    "and blur) and true (lines, by true depth). Scales differ."
)


def drawn(study: Study) -> Drawn:
    """Return figure 4."""
    slices = study.all_operando()
    found = [[profiles(each, number) for each in slices] for number in range(2)]
    sharp = [[profiles(each, number, sharp=True) for each in slices] for number in range(2)]
    figure = journal_figure(4.4)
    left, right = parts(figure, 1, 2, wspace=0.02)
    for number, part in enumerate((left, right)):
        _column(part, slices[-1], found_particle(slices[-1], number), found[number])
    claims = []
    for words, of_way in (("", found), (", blur taken off", sharp)):
        for number in range(2):
            claims += _claims(number, of_way[number], words)
    return Drawn(figure, _CAPTION, tuple(claims))


def _column(figure: FigureBase, last: Slice, particle: Found, found: Sequence[Profiles]) -> None:
    grid = figure.add_gridspec(
        2, 5, width_ratios=(1.0, 0.06, 0.75, 1.0, 0.06), height_ratios=(1.0, 1.45), left=0.2,
        right=0.88, top=0.93, bottom=0.09, wspace=0.1, hspace=0.2,
    )  # fmt: skip
    step_um = last.maps.scan.step_um
    outlined = np.where(particle.recovered, last.maps.a_A, np.nan)[particle.box]
    depth_um = particle.depth_um[particle.box]
    for place, values, limits, label in (
        (0, outlined, _span(outlined), "a (Å)"),
        (3, depth_um, (0.0, float(np.nanmax(depth_um, initial=1.0))), "depth (µm)"),
    ):
        axes = figure.add_subplot(grid[0, place])
        image = map_panel(
            axes, values, step_um=step_um, limits=limits, bar_um=5.0 if place == 0 else None
        )
        letter = "ab"[particle.number] if place == 0 else ""
        panel(axes, letter, NAMES[particle.number] if place == 0 else "distance map")
        colour_bar(figure, image, label, place=figure.add_subplot(grid[0, place + 1]))
    _curves(figure.add_subplot(grid[1, :]), found)


def _span(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else _LIMITS_A


def _curves(axes: Axes, found: Sequence[Profiles]) -> None:
    for scan, each in enumerate(found):
        colour, marker = SCAN_COLOURS[scan], SCAN_MARKERS[scan]
        true = each.true
        axes.plot(true.shell + 0.5, 1e4 * (true.ratio - 1.0), "-", color=colour, linewidth=1.0)
        if each.recovered is None:
            continue
        profile = each.recovered
        depth_um = profile.edges_um.mean(axis=1) + 0.06 * (scan - 2)
        axes.errorbar(
            depth_um, 1e4 * (profile.ratio - 1.0), 1e4 * profile.ratio_esd_total, fmt=marker,
            color=colour, markersize=3.5, linewidth=0.8, capsize=1.5, label=f"{scan + 1}",
        )  # fmt: skip
    axes.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
    axes.legend(
        fontsize=FONT_PT - 1.0, frameon=False, ncols=5, loc="upper center",
        title="slice (symbols: recovered; lines: true)", title_fontsize=FONT_PT - 1.0,
        columnspacing=0.8, handletextpad=0.1,
    )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.22 * (high - low))
    panel(axes, "", x="depth (µm)", y="(LPdepth / LPmean − 1) · 10⁴")


def _claims(number: int, found: Sequence[Profiles], words: str) -> list[Claim]:
    name, figure = NAMES[number], f"4{'ab'[number]}"
    claims = []
    for scan, each in enumerate(found, start=1):
        depths, ratio, _, true = common_shells(each)
        claims.append(
            Claim(
                figure, f"LPdepth/LPmean of {name} in scan {scan}, largest error of a shell{words}",
                "a plot", recovered=1e4 * _largest(ratio - true),
                truth=0.0, needed=1e4 * _NEEDED_RATIO, unit="e-4",
                note=f"of {depths.size} shells; the particle has {each.true.shell.size}",
            )
        )  # fmt: skip
    claims += [_gradient(figure, name, scan, found[scan - 1], words) for scan in (1, len(found))]
    return claims


def _largest(errors: Floats) -> float:
    return float(np.abs(errors).max()) if errors.size else float("nan")


def _gradient(figure: str, name: str, scan: int, found: Profiles, words: str) -> Claim:
    recovered = found.recovered
    return Claim(
        figure, f"Core less surface of {name} in scan {scan}{words}",
        "a gradient" if name == NAMES[0] and scan > 1 else "none",
        recovered=1e3 * recovered.core_minus_surface if recovered else float("nan"),
        truth=1e3 * found.true.core_minus_surface_A, needed=_NEEDED_GRADIENT_MA, unit="mÅ",
        esd=1e3 * recovered.core_minus_surface_esd_total if recovered else float("nan"),
    )  # fmt: skip
