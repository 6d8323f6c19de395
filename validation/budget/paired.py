"""Figures of cases over seeds, and paired differences between two cases with their standard errors.

Mean square errors of independent origin add up, RMS errors do not. Of a factor the budget therefore
tells what it adds to the mean square error,

    off    MSE(full) − MSE(off)      what switching it off in the full case takes away
    alone  MSE(alone) − MSE(bare)    what it adds to the bare case

and the difference of both, the interaction: zero for independent errors, positive where it makes
others worse. Each is the mean over seeds of differences of the same seed; s/√n is its standard
error, s being their standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from validation.batch.work import Outcome

REGIONS = ("interior", "eroded")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its standard error."""

    mean: float
    se: float | None
    """None of a single seed."""

    def table(self) -> dict[str, float | None]:
        """Return it for a JSON file."""
        return {"mean": self.mean, "se": self.se}


def estimate(values: Sequence[float | None]) -> Estimate | None:
    """Return the mean of the values there are; None where any seed has none.

    A case that fails for one seed cannot be compared fairly over the others.
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    n = len(known)
    se = float(np.std(known, ddof=1) / np.sqrt(n)) if n > 1 else None
    return Estimate(float(np.mean(known)), se)


@dataclass(frozen=True)
class Scores:
    """Outcomes of one case, one for each seed."""

    outcomes: tuple[Outcome, ...]

    def values(self, figure: Callable[[Outcome], float | None]) -> list[float | None]:
        """Return one figure for each seed, None where there is none."""
        return [figure(outcome) for outcome in self.outcomes]

    @property
    def refused(self) -> str | None:
        """Why there are no figures: what the first refusal says."""
        told = next((outcome.error for outcome in self.outcomes if outcome.error), None)
        if told is None and any(mse(o) is None for o in self.outcomes):
            return "no voxel is recovered"
        return told


def lattice(name: str, region: str) -> Callable[[Outcome], float | None]:
    """Return a figure of the lattice parameter by name; ``mse_A2`` is the mean square error."""

    def figure(outcome: Outcome) -> float | None:
        figures = outcome.lattice(region) if outcome.metrics else {}
        if "rms_A" not in figures:
            return None
        return float(figures["rms_A"]) ** 2 if name == "mse_A2" else float(figures[name])

    return figure


mse = lattice("mse_A2", "interior")


def recovered_share(outcome: Outcome) -> float | None:
    """Return the share of the interior voxels to score that were recovered."""
    figures = outcome.lattice() if outcome.metrics else {}
    asked = figures.get("n_voxels", 0) + figures.get("n_not_recovered", 0)
    return float(figures["n_voxels"]) / asked if asked else None


def fraction(name: str, phase: str) -> Callable[[Outcome], float | None]:
    """Return a figure of a phase's weight fraction over all regions, by name."""

    def figure(outcome: Outcome) -> float | None:
        figures = outcome.metrics.get("weight_fraction", {}).get(phase, {}).get("all", {})
        return float(figures[name]) if name in figures else None

    return figure


def added(
    figure: Callable[[Outcome], float | None], *, having: Scores, lacking: Scores
) -> list[float | None]:
    """Return what a factor adds to a figure, for each seed."""
    pairs = zip(having.values(figure), lacking.values(figure), strict=True)
    return [None if a is None or b is None else a - b for a, b in pairs]


def differences(first: Sequence[float | None], second: Sequence[float | None]) -> Estimate | None:
    """Return the mean difference of two lists over seeds."""
    pairs = zip(first, second, strict=True)
    return estimate([None if a is None or b is None else a - b for a, b in pairs])


def table(estimated: Estimate | None) -> dict[str, float | None] | None:
    """Return an estimate for a JSON file."""
    return None if estimated is None else estimated.table()


def phases(scores: Mapping[str, Scores]) -> list[str]:
    """Return the phases whose weight fractions any case tells, beside the refined one."""
    found: dict[str, Any] = {}
    for case in scores.values():
        for outcome in case.outcomes:
            found |= dict.fromkeys(outcome.metrics.get("weight_fraction", {}))
    return list(found)[1:]
