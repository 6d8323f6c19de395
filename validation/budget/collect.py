"""All factors of an experiment: what is in force, and what has no place in its budget and why."""

from __future__ import annotations

from validation.budget.effects import effects
from validation.budget.factors import Factor, Factors, Skipped
from validation.budget.recipe_factors import steps
from validation.budget.scan_factors import instrument, scan_factors, trimming
from validation.experiment import Experiment


def factors_of(experiment: Experiment) -> Factors:
    """Return the factors of an experiment whose recipe is the one to judge."""
    harms, skipped = _parted(
        [
            *scan_factors(experiment),
            *trimming(experiment),
            *instrument(experiment),
            *effects(experiment),
        ]
    )
    made, more = _parted(list(steps(experiment)))
    return Factors(tuple(harms), tuple(made), (*skipped, *more))


def _parted(found: list[Factor | Skipped]) -> tuple[list[Factor], list[Skipped]]:
    factors = [each for each in found if isinstance(each, Factor)]
    return factors, [each for each in found if isinstance(each, Skipped)]
