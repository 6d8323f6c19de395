"""Claims of figure 5 that compare phases between particles, depths and scans.

A phase is *there* in a region where its weight fraction exceeds three standard uncertainties; in
truth, where it exceeds half a percent, which the study states as its error.

Standard uncertainties of means and differences add those of depths and scans as if they were
independent. Depths of one particle come of the same rays, but tables of regions hold no
covariances, so that they are only of the right order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.metrics import true_weight_fractions
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.fractions import (
    N_DEPTHS,
    DepthFractions,
    depth_fractions,
    particle_means,
)
from validation.paper.particles import NAMES
from validation.paper.phases import LEAST_NEEDED, PHASE_WORDS, ROCK_SALT, needed_percent
from validation.paper.prepared import Slice

Bools = NDArray[np.bool_]

_INTERMEDIATE, _SHELL = "Li0.5Mn2O4", "Li2MnO3"
_ESD_NOTE = "esds of depths added as independent, though they share rays"
_THERE = 3.0
_NOTICEABLE = 1.0
"""Percent by weight."""
_NEEDED_SHARE = 10.0
"""Percent of the particles."""


@dataclass(frozen=True)
class Mean:
    """A mean over regions, in percent by weight."""

    recovered: float
    esd: float
    true: float

    def less(self, other: Mean) -> Mean:
        """Return the difference."""
        esd = float(np.hypot(self.esd, other.esd))
        return Mean(self.recovered - other.recovered, esd, self.true - other.true)


def phase_claims(study: Study) -> list[Claim]:
    """Return the claims, for every way of integration that is compared."""
    claims = []
    for way, trimmed in study.integrations.items():
        slices = study.all_operando(trimmed=trimmed)
        first, second = ([depth_fractions(each, number) for each in slices] for number in range(2))
        claims += [
            *_rock_salt(first, second, way),
            *_intermediate(first, second, way),
            _surface_phase(first, way),
            *(_in_most(slices[scan - 1], scan, way) for scan in (1, len(slices))),
        ]
    return claims


def mean_over(
    found: Sequence[DepthFractions], phase: str, *, depths: Sequence[int] = range(N_DEPTHS)
) -> Mean:
    """Return the plain mean of a phase over depths and scans, where it was refined."""
    column = found[0].phases.index(phase)
    value, esd, true = (
        np.array([getattr(each, field)[list(depths), column] for each in found]).ravel()
        for field in ("recovered", "esd", "true")
    )
    known = np.isfinite(value) & np.isfinite(esd) & np.isfinite(true)
    if not known.any():
        return Mean(float("nan"), float("nan"), float("nan"))
    spread = float(np.sqrt(np.sum(esd[known] ** 2)) / known.sum())
    return Mean(float(value[known].mean()), spread, float(true[known].mean()))


def _direction(figure: str, words: str, published: str, mean: Mean) -> Claim:
    return Claim(
        figure, words, published, recovered=mean.recovered, truth=mean.true, needed=_NOTICEABLE,
        unit="wt %", esd=mean.esd, kind="above", note=_ESD_NOTE,
    )  # fmt: skip


def _rock_salt(
    first: Sequence[DepthFractions], second: Sequence[DepthFractions], way: str
) -> list[Claim]:
    words = PHASE_WORDS[ROCK_SALT]
    earlier, later = (mean_over([second[k]], ROCK_SALT) for k in (0, -1))
    return [
        _direction(
            "5d", f"More {words} in {NAMES[1]} than in {NAMES[0]}, scan 5, {way}",
            "most in Particle 2", later.less(mean_over([first[-1]], ROCK_SALT)),
        ),
        _direction(
            "5d", f"{words} of {NAMES[1]} grows, scan 1 to 5, {way}", "follows lithiation",
            later.less(earlier),
        ),
        *(_depths_with(second[k], k + 1, way) for k in (0, len(second) - 1)),
        _largest(second, way),
    ]  # fmt: skip


def _depths_with(each: DepthFractions, scan: int, way: str) -> Claim:
    column = each.phases.index(ROCK_SALT)
    value, esd, true = (row[:, column] for row in (each.recovered, each.esd, each.true))
    known = np.isfinite(value) & np.isfinite(true)
    return Claim(
        "5d", f"Depths of {NAMES[1]} with {PHASE_WORDS[ROCK_SALT]}, scan {scan}, {way}",
        "every depth", recovered=float(np.sum(value[known] > _THERE * esd[known])),
        truth=float(np.sum(true[known] > LEAST_NEEDED)), needed=0.0, digits=0,
        note=f"of {int(known.sum())} that were refined",
    )  # fmt: skip


def _largest(found: Sequence[DepthFractions], way: str) -> Claim:
    column = found[0].phases.index(ROCK_SALT)
    value = np.array([each.recovered[:, column] for each in found])
    esd = np.array([each.esd[:, column] for each in found])
    true = float(np.nanmax([each.true[:, column] for each in found]))
    known = np.isfinite(value)
    best = int(np.argmax(np.where(known, value, -np.inf)))
    return Claim(
        "5d", f"Largest fraction of {PHASE_WORDS[ROCK_SALT]} of any depth and scan, {way}",
        "26 %", recovered=float(value.flat[best]), truth=true, needed=needed_percent(true),
        unit="wt %", esd=float(esd.flat[best]),
    )  # fmt: skip


def _intermediate(
    first: Sequence[DepthFractions], second: Sequence[DepthFractions], way: str
) -> list[Claim]:
    words = PHASE_WORDS[_INTERMEDIATE]
    others = [each for k, each in enumerate(second) if k != 1]
    rest = mean_over(others, _INTERMEDIATE)
    return [
        _direction(
            "5d", f"More {words} in {NAMES[1]} in scan 2 than in the others, {way}", "scan 2 only",
            mean_over([second[1]], _INTERMEDIATE).less(rest),
        ),
        _direction(
            "5b", f"More {words} in {NAMES[0]} than in {NAMES[1]}, but for scan 2, {way}",
            "abnormally much",
            mean_over([e for k, e in enumerate(first) if k != 1], _INTERMEDIATE).less(rest),
        ),
    ]  # fmt: skip


def _surface_phase(first: Sequence[DepthFractions], way: str) -> Claim:
    outer, inner = (
        mean_over(first, _SHELL, depths=depths) for depths in ((0,), tuple(range(1, N_DEPTHS)))
    )
    return _direction(
        "5b", f"More {PHASE_WORDS[_SHELL]} at the surface of {NAMES[0]} than inside, mean of "
        f"scans, {way}", "near the surface only", outer.less(inner),
    )  # fmt: skip


def _in_most(each: Slice, scan: int, way: str) -> Claim:
    """Return in how many of all particles rock salt is found."""
    found, true = particles_with(each, ROCK_SALT)
    known = found.size > 0
    return Claim(
        "5d", f"Particles with {PHASE_WORDS[ROCK_SALT]}, scan {scan}, {way}", "most",
        recovered=1e2 * float(found.mean()) if known else float("nan"),
        truth=1e2 * float(true.mean()) if known else float("nan"), needed=_NEEDED_SHARE, unit="%",
        digits=0, note=f"of {found.size}, each by all of its depths; {_ESD_NOTE}",
    )  # fmt: skip


def particles_with(each: Slice, phase: str) -> tuple[Bools, Bools]:
    """Return of every particle whether a phase is found in it, and whether it is in truth."""
    table = each.maps.regions
    if table is None or table.particle.size == 0:
        return np.zeros(0, bool), np.zeros(0, bool)
    column = table.phases.index(phase)
    true = true_weight_fractions(table, each.truth)[:, column]
    value = table.weight_fraction[:, column]
    esd = table.weight_fraction_esd_total[:, column]
    known = np.isfinite(value) & np.isfinite(esd) & np.isfinite(true)
    (mean, of_truth), spread = particle_means(table, known, values=(value, true), esd=esd)
    return mean > _THERE * spread, of_truth > 1e-2 * LEAST_NEEDED
