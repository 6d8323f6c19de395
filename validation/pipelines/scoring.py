"""The figures of every pipeline, all against the same truth.

Beside the scorecard of each (:mod:`validation.scorecard`) stands the RMS error of the voxels that
every pipeline recovered, so that none looks better for having given up on what is difficult; and a
remark where maps would fit much better turned or mirrored, as they do when axes were swapped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.refine import Status
from validation.metrics import scored_voxels
from validation.pipelines.session import Outcome
from validation.scorecard import scorecard
from validation.truth import Truth
from validation.truthfile import KnownTruth

Bools = NDArray[np.bool_]

SCHEMA = "xrdct-twin scores 1"
_BETTER = 0.5
"""RMS error of turned maps over that of maps as they are, below which they seem to be turned."""
_FEWEST = 20
"""Voxels to judge that by."""
_TURNS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "transposed": lambda image: image.T,
    "mirrored along x": lambda image: image[:, ::-1],
    "mirrored along y": lambda image: image[::-1],
    "turned by 180°": lambda image: image[::-1, ::-1],
    "turned by 90°": lambda image: np.rot90(image),
    "turned by 270°": lambda image: np.rot90(image, 3),
    "transposed about the other diagonal": lambda image: image[::-1, ::-1].T,
}


def scores(
    outcomes: Sequence[Outcome], known: KnownTruth
) -> tuple[dict[str, Any], dict[str, Truth]]:
    """Return what is written as scores.json, and the truth on each pipeline's grid by its label."""
    cards: dict[str, dict[str, Any]] = {}
    truths: dict[str, Truth] = {}
    for outcome in outcomes:
        if outcome.maps is not None:
            cards[outcome.label], truths[outcome.label] = scorecard(outcome.maps, known)
    maps = {outcome.label: outcome.maps for outcome in outcomes if outcome.maps is not None}
    common = _common_rms(maps, truths)
    entries = [
        _entry(outcome, cards.get(outcome.label), truths.get(outcome.label), common)
        for outcome in outcomes
    ]
    experiment = known.experiment
    return {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "config_sha256": experiment.config_sha256(),
        "seed": experiment.seed,
        "mode": experiment.mode,
        "n_points": experiment.scan.n_points,
        "pipelines": entries,
    }, truths


def _entry(
    outcome: Outcome,
    card: Mapping[str, Any] | None,
    truth: Truth | None,
    common: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "label": outcome.label,
        "pipeline": outcome.text,
        "kind": outcome.kind,
        "scored": card is not None,
        "reason": outcome.reason,
        "log": outcome.log,
        "remarks": list(outcome.remarks),
        "usage": asdict(outcome.usage),
    }
    if card is None or truth is None or outcome.maps is None:
        return entry
    (lattice,) = card["lattice"].values()
    entry["remarks"] += _turned(outcome.maps, truth) + _lost(lattice["interior"])
    entry["phase"] = next(iter(card["lattice"]))
    entry["lattice"] = {region: _finite(figures) for region, figures in lattice.items()}
    entry["common"] = dict(common[outcome.label])
    entry["weight_fraction"] = {
        phase: {
            "all": _finite(figures["all"]),
            "shells": {name: _finite(its) for name, its in figures["shells"].items()},
        }
        for phase, figures in card["weight_fraction"].items()
    }
    return entry


def _finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out figures that do not exist, such as those of uncertainties that were not stated."""
    return {
        name: value
        for name, value in figures.items()
        if not (isinstance(value, float) and not math.isfinite(value))
    }


def _lost(interior: Mapping[str, Any]) -> list[str]:
    if interior["n_voxels"] or not interior["n_not_recovered"]:
        return []
    return ["it recovered no interior voxel"]


def _common_rms(
    maps: Mapping[str, Maps], truths: Mapping[str, Truth]
) -> dict[str, dict[str, float]]:
    """Return RMS errors, in Å, of the voxels that all pipelines recovered, by label and region."""
    found: dict[str, dict[str, float]] = {label: {} for label in maps}
    for region in ("interior", "eroded"):
        asked = [
            scored_voxels(truths[label], getattr(truths[label], region)) & np.isfinite(its.a_A)
            for label, its in maps.items()
        ]
        if not asked or len({voxels.shape for voxels in asked}) != 1:
            continue
        everywhere = np.logical_and.reduce(asked)
        if not everywhere.any():
            continue
        for label, its in maps.items():
            error_A = its.a_A[everywhere] - truths[label].a_A[everywhere]
            found[label] |= {
                f"{region}_n_voxels": int(everywhere.sum()),
                f"{region}_rms_A": float(np.sqrt(np.mean(error_A**2))),
            }
    return found


def _turned(maps: Maps, truth: Truth) -> list[str]:
    """Return a remark where the maps fit the truth much better turned or mirrored."""
    asked = scored_voxels(truth, truth.interior) & (maps.status != Status.NOT_MEASURED)
    as_is, n_found = _misfit(maps.a_A, truth, asked)
    best, how = as_is, ""
    for name, turn in _TURNS.items():
        turned, n_turned = _misfit(turn(maps.a_A), truth, asked)
        if n_turned >= max(_FEWEST, n_found) and turned < best:
            best, how = turned, name
    if not how or best > _BETTER * as_is:
        return []
    return [
        f"its maps fit the truth better {how} (RMS {1e3 * best:.2f} instead of {1e3 * as_is:.2f} "
        "mÅ): is its a_A indexed [y, x], y upwards, with t = x cos ω + y sin ω?"
    ]


def _misfit(a_A: NDArray[np.float64], truth: Truth, asked: Bools) -> tuple[float, int]:
    used = asked & np.isfinite(a_A)
    n = int(used.sum())
    if n < _FEWEST:
        return math.inf, n
    return float(np.sqrt(np.mean((a_A[used] - truth.a_A[used]) ** 2))), n


def summary(scored: Mapping[str, Any]) -> list[str]:
    """Return one line for each pipeline, for the terminal."""
    width = max((len(entry["label"]) for entry in scored["pipelines"]), default=0)
    return [f"{entry['label']:<{width}}  {_told(entry)}" for entry in scored["pipelines"]]


def _told(entry: Mapping[str, Any]) -> str:
    if not entry["scored"]:
        return f"not scored: {entry['reason']} ({entry['log']})"
    interior, usage = entry["lattice"]["interior"], entry["usage"]
    if "rms_A" not in interior:
        return "; ".join(entry["remarks"]) or "no interior voxel to compare"
    z = f"std z {interior['std_z']:.2f}" if "std_z" in interior else "no uncertainties"
    return (
        f"bias {1e3 * interior['bias_A']:+.3f} mÅ, RMS {1e3 * interior['rms_A']:.3f} mÅ, {z}, "
        f"{interior['n_not_recovered']} voxels lost, {usage['seconds']:.0f} s"
    )
