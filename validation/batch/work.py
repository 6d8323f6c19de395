"""The unit of work: one simulated experiment, and the recipes by which it is analysed.

A unit is known by what determines its result and nothing else: the experiment with its seed, the
recipe, the contents of CIF files that either names, and the code. So it can be done anywhere, any
number of times, in any order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from inverse.recipe import Recipe
from validation.experiment import Experiment
from xrdct.spec import Spec

OWN = "own"
"""Label of the recipe that the experiment itself holds."""

_ROOT = Path(__file__).parents[2]
_PAPER = _ROOT / "validation" / "paper"
_PACKAGES = ("xrdct", "phantoms", "forward", "inverse", "validation")


@dataclass(frozen=True)
class Work:
    """One experiment to simulate, and what to recover it by."""

    experiment: Experiment
    recipes: Mapping[str, Recipe | None] = field(default_factory=lambda: {OWN: None})
    """By label; None is the experiment's own."""
    view_um: float | None = None
    """Diameter of the disc about the axis whose voxels are scored; None: all that are measured."""

    def keys(self) -> dict[str, str]:
        """Return the key of every recipe's outcome, by label."""
        return {
            label: outcome_key(self.experiment, recipe, view_um=self.view_um)
            for label, recipe in self.recipes.items()
        }


@dataclass(frozen=True)
class Outcome:
    """What one recipe made of one experiment."""

    key: str
    metrics: Mapping[str, Any]
    """Figures of the scorecard: ``lattice`` and ``weight_fraction``; empty where refused."""
    error: str | None = None
    """Why there are no figures: a sentence of an InputError."""
    seconds: float = 0.0
    """Time of the recovery; not part of what must be reproduced."""

    def lattice(self, region: str = "interior") -> Mapping[str, Any]:
        """Return the figures of the refined phase; empty where the recipe was refused."""
        phases = self.metrics.get("lattice", {})
        return next(iter(phases.values()))[region] if phases else {}


def outcome_key(
    experiment: Experiment, recipe: Recipe | None, *, view_um: float | None = None
) -> str:
    """Return what tells this outcome from every other, 64 hexadecimal digits."""
    told = json.dumps(
        {
            "experiment": experiment.config_json(),
            "recipe": None if recipe is None else recipe.model_dump(mode="json"),
            "view_um": view_um,
            "crystals": _crystal_files(experiment, recipe),
            "code": code_fingerprint(),
        },
        sort_keys=True,
    )
    return hashlib.sha256(told.encode()).hexdigest()


@lru_cache(maxsize=2)
def code_fingerprint(*, with_paper: bool = False) -> str:
    """Return a hash of all source and crystal files of this project: other code, other results.

    Scans do not depend on how the study's figures are drawn from them, which is left out unless
    ``with_paper``.
    """
    total = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*")):
            drawn = _PAPER in path.parents and not with_paper
            if path.suffix in (".py", ".cif") and not drawn:
                total.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _crystal_files(experiment: Experiment, recipe: Recipe | None) -> dict[str, str]:
    """Return hashes of the CIF files that are named, by name; what is missing is told later."""
    found = {}
    for name in named_crystals(experiment, *([recipe] if recipe is not None else [])):
        path = experiment.folder / name
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def named_crystals(*specs: Spec) -> set[str]:
    """Return the CIF files that experiments and recipes name."""
    return {
        text for spec in specs for text in _texts(spec.model_dump(mode="json"))
        if text.endswith(".cif")
    }  # fmt: skip


def _texts(table: Any) -> Iterator[str]:
    """Yield all texts of nested tables and lists."""
    if isinstance(table, str):
        yield table
    elif isinstance(table, Mapping):
        for value in table.values():
            yield from _texts(value)
    elif isinstance(table, list | tuple):
        for value in table:
            yield from _texts(value)
