"""The same particles in several maps of one place, and whether they differ from the rest in each.

Two particles of two maps are the same where either is the one that covers most of the other, and
they share at least half of what both cover. A *track* is a particle that is found in every map.

A particle deviates in a map where its value is farther from the median of all than three times
their usual distance, 1.4826 times the median of the distances, which is the standard deviation of
normal values; and by more than three of its own standard uncertainties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError
from xrdct.normal import SIGMA_PER_MAD

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LEAST_OVERLAP = 0.5
_FAR = 3.0


@dataclass(frozen=True)
class Persistence:
    """How often what deviates in one map does so in the next, over all pairs of neighbours."""

    share: float
    """Of those that deviate in a map, that deviate in the next too; NaN where none deviates."""
    by_chance: float
    """The same if which ones deviate in the next map were drawn at random."""
    esd: float
    """Standard deviation of ``share`` under that chance."""
    n: int
    """Deviating particles, summed over the pairs."""


def same_particles(first: Ints, second: Ints) -> Ints:
    """Return pairs of numbers of the same particles in two maps of labels, shape (pair, 2).

    Labels (y, x) count from 0, −1 is none. Raises InputError for maps of other shapes.
    """
    if first.shape != second.shape:
        raise InputError(f"maps of labels must have one shape, not {first.shape}, {second.shape}")
    n_first, n_second = (int(each.max(initial=-1)) + 1 for each in (first, second))
    both = (first >= 0) & (second >= 0)
    if not both.any():
        return np.zeros((0, 2), np.int64)
    shared = np.zeros((n_first, n_second))
    np.add.at(shared, (first[both], second[both]), 1.0)
    of_first = np.bincount(first[first >= 0], minlength=n_first)
    of_second = np.bincount(second[second >= 0], minlength=n_second)
    best = shared.argmax(axis=1)
    own = np.arange(n_first)
    common = shared[own, best]
    mutual = shared.argmax(axis=0)[best] == own
    enough = common >= _LEAST_OVERLAP * (of_first + of_second[best] - common)
    kept = mutual & enough & (common > 0.0)
    return np.stack([own[kept], best[kept]], axis=1).astype(np.int64)


def tracks(labels: Sequence[Ints]) -> Ints:
    """Return the particles that are in every map, their numbers by map, shape (track, map).

    Maps are matched with the first. Raises InputError where there is none, or shapes differ.
    """
    if not labels:
        raise InputError("particles cannot be followed: no map of labels was given")
    numbers = np.unique(labels[0][labels[0] >= 0])
    found = numbers[:, None]
    for later in labels[1:]:
        pairs = dict(same_particles(labels[0], later).tolist())
        found = found[[number in pairs for number in found[:, 0].tolist()]]
        matched = np.array([pairs[number] for number in found[:, 0].tolist()], np.int64)
        found = np.column_stack([found, matched])
    return found.astype(np.int64)


def deviates(values: Floats, *, esd: Floats) -> Bools:
    """Return which particles deviate, by map: all (track, map)."""
    away = np.abs(values - np.median(values, axis=0))
    usual = SIGMA_PER_MAD * np.median(away, axis=0)
    return np.asarray((away > _FAR * usual) & (away > _FAR * esd))


def persistence(deviating: Bools) -> Persistence:
    """Return whether the same particles deviate in neighbouring maps; ``deviating`` (track, map).

    By chance, of n that deviate m draw r of N in the next map: a hypergeometric number of variance
    m·(r/N)·(1 − r/N)·(N − m)/(N − 1).
    """
    now, then = deviating[:, :-1], deviating[:, 1:]
    n_tracks = max(2, len(deviating))
    m, r = now.sum(axis=0), then.sum(axis=0)
    total = int(m.sum())
    if total == 0:
        return Persistence(float("nan"), float("nan"), float("nan"), 0)
    rate = r / n_tracks
    variance = np.sum(m * rate * (1.0 - rate) * (n_tracks - m) / (n_tracks - 1))
    return Persistence(
        share=float((now & then).sum() / total),
        by_chance=float((m * rate).sum() / total),
        esd=float(np.sqrt(variance) / total),
        n=total,
    )
