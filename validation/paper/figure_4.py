"""Figure 4: depth maps of the two particles, and the lattice parameter by depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from validation.paper.best_depths import best_profile
from validation.paper.claims import Claim
from validation.paper.depths import Profiles, common_shells, profiles
from validation.paper.drawing import Drawn, Study
from validation.paper.figure_4_panels import draw_particle
from validation.paper.particles import NAMES, found_particle
from validation.paper.style import journal_figure, parts

Floats = NDArray[np.float64]

_NEEDED_RATIO = 1e-4
_NEEDED_GRADIENT_MA = 2.0
_CAPTION = (
    "Each particle in slice 5 with its distance map, as recovered (distance in the plane to the "
    "outline found) and as it is (depth in space below the true surface); lattice parameters from "
    "8.20 to 8.25 Å as in figure 3. Below, the lattice parameter averaged over whole micrometres "
    "of depth, LPdepth, over that of the particle, LPmean, in slices 1 to 5: recovered (filled "
    "symbols, moved a little apart, with the standard uncertainty that counts streaks and blur), "
    "the truth averaged over the same recovered voxels and depths, which is the best that could "
    "have been found (open symbols, dashed), and the truth in the true particle by true depth "
    "(lines). Vertical scales differ."
)


def drawn(study: Study) -> Drawn:
    """Return figure 4."""
    slices = study.all_operando()
    found = [[profiles(each, number) for each in slices] for number in range(2)]
    sharp = [[profiles(each, number, sharp=True) for each in slices] for number in range(2)]
    best = [[best_profile(each, number) for each in slices] for number in range(2)]
    figure = journal_figure(5.7)
    for number, part in enumerate(parts(figure, 1, 2, wspace=0.02)):
        particle = found_particle(slices[-1], number)
        draw_particle(part, slices[-1], particle, found[number], best[number])
    claims = []
    for words, of_way in (("", found), (", blur taken off", sharp)):
        for number in range(2):
            claims += _claims(number, of_way[number], words)
    return Drawn(figure, _CAPTION, tuple(claims))


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
