"""What an error can come from: factors that can be switched off, one by one or together.

A factor is a change of the experiment, whose recipe is part of it. Changes of different factors
touch different things, so that any set of them can be made, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from validation.experiment import Experiment

Kind = Literal["effect", "instrument", "integration", "scan", "recipe"]
Change = Callable[[Experiment], Experiment]


@dataclass(frozen=True)
class Factor:
    """One thing that may cost accuracy, or gain it."""

    key: str
    """Where it stands in an experiment's file."""
    name: str
    kind: Kind
    off: Change
    """Makes the experiment without it."""
    how: str
    """How it is switched off, in a few words."""
    remedy: str
    """What would remove it at a beamline or in the analysis, in one sentence."""
    needs: tuple[str, ...] = ()
    """Keys of factors without which it does nothing; on alone, it is on with these."""


@dataclass(frozen=True)
class Skipped:
    """A factor that has no place in this budget, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Factors:
    """All factors of one experiment."""

    harms: tuple[Factor, ...]
    """What can be wrong with a measurement; all of them off is the bare case."""
    steps: tuple[Factor, ...]
    """Steps of the recipe that are not the default; off is the default."""
    skipped: tuple[Skipped, ...]


def without(experiment: Experiment, factors: Collection[Factor]) -> Experiment:
    """Return the experiment with factors switched off."""
    for factor in factors:
        experiment = factor.off(experiment)
    return experiment


def with_only(
    experiment: Experiment, factors: Sequence[Factor], kept: Collection[str]
) -> Experiment:
    """Return the experiment with all factors switched off but those of the keys ``kept``."""
    return without(experiment, [factor for factor in factors if factor.key not in kept])
