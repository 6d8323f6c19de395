"""Figure 5: patterns and weight fractions by depth in the two particles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validation.paper.claims import Claim
from validation.paper.drawing import Drawn, Study
from validation.paper.figure_5_bars import draw_bars
from validation.paper.figure_5_depths import draw_depths
from validation.paper.fractions import DepthFractions, depth_fractions
from validation.paper.particles import NAMES
from validation.paper.patterns import depth_patterns
from validation.paper.phases import LEAST_NEEDED, PHASE_WORDS, ROCK_SALT, needed_percent
from validation.paper.style import journal_figure, parts

_CAPTION = (
    "a, c: the four depths into which each particle is divided in slice 5, as found and as they "
    "are, voxels that are in a wrong depth or wrongly in the particle or out of it (in percent of "
    "its true voxels), and the depths' mean patterns in slice 5 (and 1, thin and dotted), each "
    "over its largest value; below them where lines are: of the spinel with the mean lattice "
    "parameter recovered in slices 5 and 1, of the others with the cells of their files. Lines "
    "below a hundredth of the phase's strongest are not marked. b, d: weight fractions of all "
    "phases but the spinel by depth and slice: recovered, with the standard uncertainty of their "
    "sum, from patterns integrated by the trimmed mean (left bar; not of quick scans) and by the "
    "plain mean, and true (right, pale). "
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
    figure = journal_figure(7.8)
    for number, (part, ways) in enumerate(zip(parts(figure, 2, 1), of_both, strict=True)):
        left, right = parts(part, 1, 2, width_ratios=(1.2, 1.5), wspace=0.0)
        ends = [(first[k], ways[0][k], patterns[k][number]) for k in (0, -1)]
        draw_depths(left, number, ends)
        draw_bars(right, number, ways, tuple(slices))
        for words, found in zip(slices, ways, strict=True):
            claims += _claims(number, found, words)
            claims += [_worst(number, found, words), _honest(number, found, words)]
    return Drawn(figure, _CAPTION, tuple(claims))


def _claims(number: int, found: Sequence[DepthFractions], way: str) -> list[Claim]:
    told = {
        0: (
            ("Li2MnO3", "at the surface", "3 to 4 %", 4, 0),
            ("Li2MnO3", "beyond 4 µm", "not detected", 4, 2),
            (ROCK_SALT, "at the surface", "some", 4, 0),
            ("Li0.5Mn2O4", "at the surface", "abnormally high", 1, 0),
        ),
        1: (
            (ROCK_SALT, "at the surface", "up to 26 %", 4, 0),
            (ROCK_SALT, "at 2 to 4 µm", "up to 26 %", 4, 1),
            (ROCK_SALT, "at 2 to 4 µm", "already there", 0, 1),
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
