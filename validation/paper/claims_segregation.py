"""Claims of figure 6: particles degrade differently, and the more so, the lower their a.

Segregated phases (Li2MnO3 and rock salt) and lattice parameter of every particle of the degraded
electrode, from its depths. The slope between the two is that of the least-squares line through the
particles, all alike; its standard uncertainty is that which they show by their scatter about it.

The standard uncertainty of a particle adds those of both phases and of its depths as if they were
independent. They come of the same rays, but tables of regions hold no covariances, so that it is
only of the right order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.particle_spread import spread_between
from validation.metrics import true_weight_fractions
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.fractions import particle_means
from validation.paper.phases import SEGREGATED
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]

_NOTICEABLE_PERCENT = 1.0
_NEEDED_SHARE = 0.1
_ESD_NOTE = "esds of phases and depths added as independent, though they share rays"
_PER_A = 0.01
"""The slope is told per 10 mÅ."""


@dataclass(frozen=True, eq=False)
class Segregation:
    """Particles of a slice, fields (particle,)."""

    percent: Floats
    """Segregated phases, by weight."""
    esd: Floats
    a_A: Floats
    true_percent: Floats
    true_a_A: Floats


def segregation(each: Slice) -> Segregation:
    """Return what every particle holds of segregated phases, over its depths by voxels."""
    table, truth = each.maps.regions, each.truth
    if table is None or table.particle.size == 0:
        return Segregation(*(np.zeros(0) for _ in range(5)))
    columns = [table.phases.index(phase) for phase in SEGREGATED]
    true = true_weight_fractions(table, truth)
    value = 1e2 * table.weight_fraction[:, columns].sum(axis=1)
    esd = 1e2 * np.sqrt(np.sum(table.weight_fraction_esd_total[:, columns] ** 2, axis=1))
    of_truth = 1e2 * true[:, columns].sum(axis=1)
    inside = (table.label >= 0) & np.isfinite(truth.a_A)
    n = np.bincount(table.label[inside], minlength=table.particle.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        true_A = np.bincount(table.label[inside], truth.a_A[inside], table.particle.size) / n
    known = np.isfinite(value + esd + of_truth + true_A + table.a_A)
    (percent, a_A, true_percent, true_a_A), spread = particle_means(
        table, known, values=(value, table.a_A, of_truth, true_A), esd=esd
    )
    return Segregation(percent, spread, a_A, true_percent, true_a_A)


def segregation_claims(study: Study) -> list[Claim]:
    """Return the claims, for every way of integration that is compared."""
    claims = []
    for way, trimmed in study.integrations.items():
        each = segregation(study.degraded(trimmed=trimmed))
        if each.percent.size >= 3:
            claims += [*_between(each, way), *_against_lattice(each, way)]
    return claims


def slope_and_esd(x: Floats, y: Floats) -> tuple[float, float]:
    """Return the slope of the least-squares line and its standard uncertainty, from scatter."""
    away = x - x.mean()
    squared = float(away @ away)
    slope = float(away @ y) / squared
    left = y - y.mean() - slope * away
    return slope, float(np.sqrt(left @ left / (x.size - 2) / squared))


def _between(each: Segregation, way: str) -> list[Claim]:
    found = spread_between(each.percent, esd=each.esd)
    true = float(each.true_percent.std(ddof=1))
    words = f"Spread of segregated phases between particles, {way}"
    note = f"{each.percent.size} particles; {_ESD_NOTE}"
    return [
        Claim(
            "6d", f"{words}: not all alike", "varies", recovered=found.value, truth=true,
            needed=_NOTICEABLE_PERCENT, unit="wt %", esd=found.esd, kind="above", note=note,
        ),
        Claim(
            "6d", words, "varies", recovered=found.value, truth=true,
            needed=max(_NOTICEABLE_PERCENT, _NEEDED_SHARE * true), unit="wt %", esd=found.esd,
            note=note,
        ),
    ]  # fmt: skip


def _against_lattice(each: Segregation, way: str) -> list[Claim]:
    slope, esd = slope_and_esd(each.a_A, each.percent)
    true, _ = slope_and_esd(each.true_a_A, each.true_percent)
    words = f"Segregated phases against a, particle by particle, {way}"
    needed = _NEEDED_SHARE * abs(true) * _PER_A
    return [
        Claim(
            "6d", f"{words}: fall", "inverse", recovered=slope * _PER_A, truth=true * _PER_A,
            needed=0.0, unit="wt % per 10 mÅ", esd=esd * _PER_A, kind="below",
        ),
        Claim(
            "6d", words, "inverse", recovered=slope * _PER_A, truth=true * _PER_A, needed=needed,
            unit="wt % per 10 mÅ", esd=esd * _PER_A,
        ),
    ]  # fmt: skip
