"""From outcomes to the budget as data, which is what budget.json holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from validation.batch.work import Outcome
from validation.budget.cases import BARE, FULL, alone, left, off, without_it
from validation.budget.factors import Factor, Factors
from validation.budget.paired import (
    REGIONS,
    Scores,
    added,
    differences,
    estimate,
    fraction,
    lattice,
    mse,
    phases,
    recovered_share,
    table,
)

_FIGURES = ("mse_A2", "rms_A", "bias_A")
_FRACTION_FIGURES = ("rms", "bias")
Read = Callable[[Callable[[Outcome], float | None]], dict[str, float | None] | None]


def by_harm(factors: Sequence[Factor], scores: Mapping[str, Scores]) -> list[Factor]:
    """Return the factors, that one first whose absence takes most off the mean square error.

    Those of which there is no figure come last, in their order.
    """

    def cost(factor: Factor) -> float:
        found = estimate(added(mse, having=scores[FULL], lacking=scores[off(factor)]))
        return float("-inf") if found is None else found.mean

    return sorted(factors, key=cost, reverse=True)


def evaluated(
    factors: Factors, scores: Mapping[str, Scores], ordered: Sequence[Factor]
) -> dict[str, Any]:
    """Return what all cases say; ``ordered`` are the harms in the order of the waterfall."""
    told = phases(scores)
    ranked = by_harm([*factors.harms, *factors.steps], scores)
    return {
        "full": _case(scores[FULL], told),
        "bare": _case(scores[BARE], told),
        "factors": [_factor(factor, scores, told) for factor in ranked],
        "waterfall": [
            {"key": factor.key, "name": factor.name, **_case(scores[left(n)], told)}
            for n, factor in enumerate(ordered, start=1)
        ],
        "skipped": [{"name": each.name, "reason": each.reason} for each in factors.skipped],
    }


def _factor(factor: Factor, scores: Mapping[str, Scores], told: Sequence[str]) -> dict[str, Any]:
    switched_off = scores[off(factor)]
    lonely, rest = scores.get(alone(factor)), scores.get(without_it(factor))
    found = {
        "key": factor.key,
        "name": factor.name,
        "kind": factor.kind,
        "how": factor.how,
        "remedy": factor.remedy,
        "off": _added(scores[FULL], switched_off, told),
        "refused": switched_off.refused,
        "alone": None,
        "alone_refused": "only together with others" if lonely is None else lonely.refused,
        "interaction_A2": None,
    }
    if lonely is None or rest is None:
        return found
    from_full = added(mse, having=scores[FULL], lacking=switched_off)
    to_bare = added(mse, having=lonely, lacking=rest)
    return found | {
        "alone": _added(lonely, rest, told),
        "interaction_A2": table(differences(from_full, to_bare)),
    }


def _added(having: Scores, lacking: Scores, told: Sequence[str]) -> dict[str, Any]:
    """Return what a factor adds to every figure."""
    return _read(lambda f: table(estimate(added(f, having=having, lacking=lacking))), told)


def _case(scores: Scores, told: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one case."""
    found = _read(lambda figure: table(estimate(scores.values(figure))), told)
    return found | {"refused": scores.refused}


def _read(read: Read, told: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        region: {name: read(lattice(name, region)) for name in _FIGURES} for region in REGIONS
    }
    found["recovered_share"] = read(recovered_share)
    found["weight_fraction"] = {
        phase: {name: read(fraction(name, phase)) for name in _FRACTION_FIGURES} for phase in told
    }
    return found
