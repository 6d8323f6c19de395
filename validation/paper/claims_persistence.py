"""Claims of figure 2: the same particles deviate in all scans, and are those inside the window.

Particles of the maps are followed from scan to scan (:mod:`inverse.particle_tracking`); whether the
true particles that they are deviate is judged by the same rule, without uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.particle_tracking import deviates, persistence, tracks
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.histograms import FORBIDDEN_A
from validation.paper.particles import NAMES
from validation.paper.populations import population, whole_voxels
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_NOTICEABLE_SHARE, _NOTICEABLE_SCANS = 0.05, 0.5


@dataclass(frozen=True, eq=False)
class Followed:
    """Mean lattice parameters of particles found in every scan, Å, (track, scan) unless said."""

    found_A: Floats
    esd_A: Floats
    true_A: Floats
    true_particle: Ints
    """Number in the sample, by the first scan, shape (track,)."""


def followed(slices: Sequence[Slice]) -> Followed:
    """Return the particles that are found, and large enough for a mean, in every slice."""
    same = tracks([np.where(whole_voxels(each), each.particles.label, -1) for each in slices])
    number_of = np.full(len(same), -1, np.int64)
    found, esd, true = (np.full(same.shape, np.nan) for _ in range(3))
    for scan, each in enumerate(slices):
        own = population(each)
        _, track, row = np.intersect1d(same[:, scan], own.found.number, return_indices=True)
        found[track, scan] = own.found.mean[row]
        esd[track, scan] = own.found.esd[row]
        true[track, scan] = own.true_mean_A[row]
        if scan == 0:
            number_of[track] = own.true_particle[row]
    known = np.isfinite(found).all(axis=1) & np.isfinite(true).all(axis=1)
    return Followed(found[known], esd[known], true[known], number_of[known])


def persistence_claims(study: Study) -> list[Claim]:
    """Return whether the same particles deviate, and whether they are those in the window."""
    each = followed(study.all_operando())
    if len(each.found_A) == 0:
        return []
    found = deviates(each.found_A, esd=each.esd_A)
    true = deviates(each.true_A, esd=np.zeros_like(each.true_A))
    ours, theirs = persistence(found), persistence(true)
    return [
        Claim(
            "2a", "Particles that deviate in a scan do so in the next, beyond chance",
            "the same ones", recovered=1e2 * (ours.share - ours.by_chance),
            truth=1e2 * (theirs.share - theirs.by_chance), needed=1e2 * _NOTICEABLE_SHARE,
            unit="%", esd=1e2 * ours.esd, digits=0, kind="above",
            note=f"{len(found)} particles followed; {1e2 * ours.share:.0f} % of {ours.n} did, in "
            f"truth {1e2 * theirs.share:.0f} % of {theirs.n}",
        ),
        _those_in_window(found, true, each),
        *_both_particles(found, true, each),
    ]  # fmt: skip


def _those_in_window(found: Bools, true: Bools, each: Followed) -> Claim:
    """Return how much more often particles deviate that stay in the window than others do."""
    recovered, esd = excess_of(found.sum(axis=1), stays_in_window(each.found_A))
    truth, _ = excess_of(true.sum(axis=1), stays_in_window(each.true_A))
    return Claim(
        "2b", "Scans in which particles deviate: those in the window in two scans in a row less "
        "the others", "the same ones", recovered=recovered, truth=truth,
        needed=_NOTICEABLE_SCANS, unit="scans", esd=esd, kind="above",
        note=f"{int(stays_in_window(each.found_A).sum())} stay in the window, in truth "
        f"{int(stays_in_window(each.true_A).sum())}",
    )  # fmt: skip


def stays_in_window(a_A: Floats) -> Bools:
    """Return which particles are inside the window in two scans in a row; a_A (track, scan)."""
    low, high = FORBIDDEN_A
    inside = (a_A > low) & (a_A < high)
    return np.asarray((inside[:, :-1] & inside[:, 1:]).any(axis=1))


def excess_of(times: NDArray[np.integer], chosen: Bools) -> tuple[float, float]:
    """Return how much larger the mean of the chosen is than that of the others, with its esd.

    NaN where either are fewer than two.
    """
    groups = (times[chosen].astype(float), times[~chosen].astype(float))
    if min(group.size for group in groups) < 2:
        return float("nan"), float("nan")
    variance = sum(float(group.var(ddof=1)) / group.size for group in groups)
    return float(groups[0].mean() - groups[1].mean()), float(np.sqrt(variance))


def _both_particles(found: Bools, true: Bools, each: Followed) -> list[Claim]:
    """Return in how many scans the study's two particles deviate."""
    claims = []
    for number, published in ((0, "diverges most"), (1, "as the bulk")):
        track = np.flatnonzero(each.true_particle == number)
        there = track.size == 1
        claims.append(
            Claim(
                "2a", f"Scans, of {found.shape[1]}, in which {NAMES[number]} deviates", published,
                recovered=float(found[track].sum()) if there else float("nan"),
                truth=float(true[track].sum()) if there else float("nan"), needed=0.0, digits=0,
            )
        )  # fmt: skip
    return claims
