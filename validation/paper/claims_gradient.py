"""Claims of figure 4: the gradient of Particle 1 grows with lithium, and what composition it tells.

The growth is the slope of the straight line through core-less-surface by scan, weighted by 1/esd²;
the truth's by the same weights. Composition: of full Li1+yMn2−yO4 a is known (8.245, 8.234 and
8.223 Å for y = 0, 0.05 and 0.10), so that a of a particle that is *taken* to be full tells y. That
it is full, the lattice parameter alone does not tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phantoms.particle import law_values
from phantoms.stoichiometry import EXCESS_NODES, FILLED_LATTICE_A, LATTICE_NODES_A
from validation.paper.claims import Claim, Kind
from validation.paper.depths import Profiles, profiles
from validation.paper.drawing import Study
from validation.paper.particles import NAMES
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]

_NEEDED_MA_PER_SCAN = 0.5
_NEEDED_GRADIENT_MA = 2.0
_NEEDED_Y = 0.01
_FULL_A = np.array([*FILLED_LATTICE_A[::-1], LATTICE_NODES_A[-1]])
_FULL_Y = np.array([*EXCESS_NODES[::-1], 0.0])
_ESD_Y_PER_A = 0.05 / 0.011
"""Slope of y by a between the ends above."""


def gradient_claims(study: Study) -> list[Claim]:
    """Return whether gradients grow, and the composition at the surface and in the core."""
    slices = study.all_operando()
    found = [[profiles(each, number) for each in slices] for number in range(2)]
    first, last = found[0][0], found[0][-1]
    claims = [
        _highest_in_core(last),
        _growth(found[0], 0, kind="above"),
        _growth(found[0], 0, kind="amount"),
        _growth(found[1], 1, kind="amount"),
        _later_less_first(first, last),
    ]
    return [*claims, *_composition(slices[-1], last)]


def line_by_scan(values: Floats, esd: Floats) -> tuple[float, float, Floats]:
    """Return the slope of the weighted line through values by number, its esd and its weights.

    NaN where fewer than two values are known.
    """
    known = np.isfinite(values) & np.isfinite(esd) & (esd > 0.0)
    if known.sum() < 2:
        return float("nan"), float("nan"), np.zeros(values.size)
    weight = np.where(known, 1.0 / np.where(known, esd, 1.0) ** 2, 0.0)
    number = np.arange(values.size, dtype=float)
    line = weight * (number - weight @ number / weight.sum())
    line /= line @ number
    esd = np.where(known, esd, 0.0)
    return float(line @ np.where(known, values, 0.0)), float(np.sqrt(line**2 @ esd**2)), line


def full_excess(a_A: float) -> float:
    """Return y of a full Li1+yMn2−yO4 of this lattice parameter, between 0 and 0.10."""
    return float(np.interp(a_A, _FULL_A, _FULL_Y))


def _rise(found: Sequence[Profiles]) -> tuple[Floats, Floats, Floats]:
    """Return core less surface by scan, recovered with esd, and true, mÅ."""
    nothing = (np.nan, np.nan)
    recovered = [
        nothing if each.recovered is None
        else (each.recovered.core_minus_surface, each.recovered.core_minus_surface_esd_total)
        for each in found
    ]  # fmt: skip
    values, esd = 1e3 * np.array(recovered).T
    return values, esd, 1e3 * np.array([each.true.core_minus_surface_A for each in found])


def _growth(found: Sequence[Profiles], number: int, *, kind: Kind) -> Claim:
    values, esd, true = _rise(found)
    slope, slope_esd, line = line_by_scan(values, esd)
    words = "grows" if kind == "above" else "growth by scan"
    return Claim(
        f"4{'ab'[number]}", f"Core less surface of {NAMES[number]}, {words}",
        "more severe" if number == 0 else "uniform throughout", recovered=slope,
        truth=float(line @ np.where(line != 0.0, true, 0.0)), needed=_NEEDED_MA_PER_SCAN,
        unit="mÅ per scan", esd=slope_esd, kind=kind,
    )  # fmt: skip


def _highest_in_core(last: Profiles) -> Claim:
    (value,), (esd,), (true,) = _rise([last])
    return Claim(
        "4a", f"The core of {NAMES[0]} has the larger lattice parameter, scan 5", "highest in core",
        recovered=float(value), truth=float(true), needed=_NEEDED_GRADIENT_MA, unit="mÅ",
        esd=float(esd), kind="above",
    )  # fmt: skip


def _later_less_first(first: Profiles, last: Profiles) -> Claim:
    values, esd, true = _rise([first, last])
    return Claim(
        "4a", f"Core less surface of {NAMES[0]}, scan 5 less scan 1", "more severe",
        recovered=float(values[1] - values[0]), truth=float(true[1] - true[0]),
        needed=_NEEDED_GRADIENT_MA, unit="mÅ", esd=float(np.hypot(*esd)),
    )  # fmt: skip


def _composition(last: Slice, found: Profiles) -> list[Claim]:
    """Return y of the outermost and the innermost shell of Particle 1, as if it were full."""
    profile = found.recovered
    if profile is None or profile.value.size < 2:
        return []
    particle = last.sample.particles[0]
    claims = []
    for shell, where, published in ((0, "at the surface", "0.10"), (-1, "in the core", "0.05")):
        place = np.array([1.0 - profile.depth_um[shell] / particle.radius_um]).clip(0.0, 1.0)
        claims.append(
            Claim(
                "4a", f"y in Li1+yMn2−yO4 of {NAMES[0]} {where}, from a in scan 5, taken as full",
                published, recovered=full_excess(float(profile.value[shell])),
                truth=float(law_values(particle.y, place)[0]), needed=_NEEDED_Y,
                esd=_ESD_Y_PER_A * float(profile.esd_total[shell]), digits=3,
                note=f"at {profile.depth_um[shell]:.1f} µm; truth there",
            )
        )  # fmt: skip
    return claims
