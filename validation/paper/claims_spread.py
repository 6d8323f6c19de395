"""Claims of figure 2: how much particles differ from each other, and in themselves, by scan.

Spreads are standard deviations, with the part that errors add taken off
(:mod:`inverse.particle_spread`). The truth is over the same particles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inverse.particle_spread import Spread, spread_between, spread_within
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.particles import NAMES, found_particle
from validation.paper.populations import population
from validation.paper.prepared import Slice

_NEEDED_BETWEEN_MA, _NEEDED_WITHIN_MA = 2.0, 1.0
_SHARE = 0.1
"""Of the true spread, that may be missed where it is larger than the above."""


def spread_claims(study: Study) -> list[Claim]:
    """Return the spread between particles in every scan, its change, and that of the degraded."""
    claims, spreads = [], []
    for scan, each in enumerate(study.all_operando(), start=1):
        found, true = _between(each)
        spreads.append((found, true))
        claims.append(_amount("2a", f"in scan {scan}", "varies", found, true))
    return [*claims, *_change(spreads)]


def degraded_spread_claims(study: Study) -> list[Claim]:
    """Return whether particles of the degraded electrode differ."""
    found, true = _between(study.degraded())
    return [
        _amount("6b", "of the degraded electrode", "distinctly higher and lower", found, true),
        Claim(
            "6b", "Particles of the degraded electrode differ in lattice parameter",
            "distinctly higher and lower", recovered=1e3 * found.value, truth=1e3 * true,
            needed=_NEEDED_BETWEEN_MA, unit="mÅ", esd=1e3 * found.esd, kind="above",
        ),
    ]  # fmt: skip


def within_claims(study: Study) -> list[Claim]:
    """Return how the spread within each of the two particles grows by scan (figure 3 b, c)."""
    slices = study.all_operando()
    claims = []
    for number, name in enumerate(NAMES):
        figure = f"3{'bc'[number]}"
        spreads = [_within(each, number) for each in slices]
        for scan in (4, 5):
            found, true = spreads[scan - 1]
            claims.append(
                Claim(
                    figure, f"Spread within {name} in scan {scan}, errors taken off",
                    "broad" if number == 0 else "not said", recovered=1e3 * found.value,
                    truth=1e3 * true, needed=_needed(1e3 * true, _NEEDED_WITHIN_MA), unit="mÅ",
                    esd=1e3 * found.esd,
                )
            )  # fmt: skip
        (first, true_first), (last, true_last) = spreads[0], spreads[-1]
        claims.append(
            Claim(
                figure, f"Spread within {name} grows from scan 1 to 5, errors taken off",
                "grows" if number == 0 else "not said",
                recovered=1e3 * (last.value - first.value), truth=1e3 * (true_last - true_first),
                needed=_NEEDED_WITHIN_MA, unit="mÅ", esd=1e3 * float(np.hypot(last.esd, first.esd)),
                kind="above",
            )
        )  # fmt: skip
    return claims


def _between(each: Slice) -> tuple[Spread, float]:
    found = population(each)
    true_A = found.true_mean_A
    true = float(true_A.std(ddof=1)) if true_A.size > 1 else float("nan")
    return spread_between(found.found.mean, esd=found.found.esd), true


def _within(each: Slice, number: int) -> tuple[Spread, float]:
    particle = found_particle(each, number)
    found = spread_within(
        each.maps.a_A, inside=particle.recovered, esd=each.maps.a_esd_total_A,
        step_um=each.maps.scan.step_um, correlation=each.maps.recipe.reconstruction.filter,
    )  # fmt: skip
    true_A = each.true_a_A[particle.true]
    return found, float(np.nanstd(true_A)) if np.isfinite(true_A).any() else float("nan")


def _amount(figure: str, where: str, published: str, found: Spread, true: float) -> Claim:
    return Claim(
        figure, f"Spread of the lattice parameter between particles {where}", published,
        recovered=1e3 * found.value, truth=1e3 * true,
        needed=_needed(1e3 * true, _NEEDED_BETWEEN_MA), unit="mÅ", esd=1e3 * found.esd,
    )  # fmt: skip


def _needed(true: float, least: float) -> float:
    return max(least, _SHARE * true) if np.isfinite(true) else least


def _change(spreads: Sequence[tuple[Spread, float]]) -> list[Claim]:
    """Return whether the spread is largest while the electrode passes its first window."""
    (first, true_first), (second, true_second), (last, true_last) = (
        spreads[0], spreads[1], spreads[-1],
    )  # fmt: skip
    return [
        Claim(
            "2a", f"Spread between particles, scan 2 less scan {scan}", "evolves",
            recovered=1e3 * (second.value - other.value), truth=1e3 * (true_second - true_other),
            needed=_NEEDED_BETWEEN_MA, unit="mÅ", esd=1e3 * float(np.hypot(second.esd, other.esd)),
            kind="above",
        )
        for scan, other, true_other in ((1, first, true_first), (len(spreads), last, true_last))
    ]  # fmt: skip
