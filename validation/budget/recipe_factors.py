"""Every step of a recipe that is not the default as a factor: off is the default.

Some settings are refused without others (a drift without a search for the axis), or mean nothing
without them. These go back together with what they depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from inverse.recipe import Recipe
from validation.budget.factors import Factor, Skipped
from validation.experiment import Experiment

_DEPENDENT = {
    "sinogram.rotation_axis": ("sinogram.axis_search_um", "sinogram.drift_terms"),
    "truncation.method": ("truncation.use_broad", "truncation.parallax"),
    "truncation.air": ("truncation.container",),
    "reconstruction.method": (
        "reconstruction.iterations", "reconstruction.backend", "reconstruction.order",
        "reconstruction.compress", "direct", "joint",
    ),
}  # fmt: skip
"""What goes back together with a step."""
_BELIEFS = ("phase", "calibration", "regions", "rietveld", "min_volume_fraction")
"""What is known or asked for, not a step between scan and map of the lattice parameter."""
_INTEGRATION = ("method", "lower_percent", "upper_percent", "clip_threshold", "clip_iterations")
_ELSEWHERE = {f"integration.{name}" for name in (*_INTEGRATION, "sensor_parallax")}
"""Factors of their own: the estimator, and the sensor's depth."""
_SETTINGS = ("sinogram", "truncation", "reconstruction", "direct", "joint", "integration")
_DEFAULT = Recipe()


@dataclass(frozen=True)
class _Back:
    """Puts keys of the recipe back to their defaults."""

    keys: tuple[str, ...]

    def __call__(self, experiment: Experiment) -> Experiment:
        table, default = experiment.recipe.model_dump(), _DEFAULT.model_dump()
        for key in self.keys:
            outer, _, inner = key.rpartition(".")
            if outer:
                table[outer][inner] = default[outer][inner]
            else:
                table[inner] = default[inner]
        return experiment.model_copy(update={"recipe": Recipe.model_validate(table)})


def steps(experiment: Experiment) -> Iterator[Factor | Skipped]:
    """Yield the steps of the experiment's recipe, or why one cannot be put back."""
    changed = [key for key in _keys() if _differs(experiment.recipe, key)]
    if experiment.mode == "patterns":
        changed = [key for key in changed if not key.startswith("integration.")]
    for key in changed:
        value = _shown(_value(experiment.recipe, key))
        back = _Back((key, *(k for k in _DEPENDENT.get(key, ()) if _differs(experiment.recipe, k))))
        name = f"{key} = {value}"
        try:
            back(experiment)
        except ValidationError as error:
            yield Skipped(name, f"other steps need it: {error.errors()[0]['msg']}")
            continue
        yield Factor(
            f"recipe.{key}", name, "recipe", back,
            f"{key} = {_shown(_value(_DEFAULT, key))}",
            f"{key} = {_shown(_value(_DEFAULT, key))}, if the figures say so; otherwise keep it.",
        )  # fmt: skip


def _keys() -> Iterator[str]:
    """Yield the keys of all settings that are steps."""
    for name in Recipe.model_fields:
        if name in _SETTINGS:
            for inner in type(getattr(_DEFAULT, name)).model_fields:
                if f"{name}.{inner}" not in _ELSEWHERE:
                    yield f"{name}.{inner}"
        elif name not in _BELIEFS:
            yield name


def _value(recipe: Recipe, key: str) -> Any:
    found: Any = recipe
    for part in key.split("."):
        found = getattr(found, part)
    return found


def _differs(recipe: Recipe, key: str) -> bool:
    return bool(_value(recipe, key) != _value(_DEFAULT, key))


def _shown(value: Any) -> str:
    """Write a setting as a recipe's file does, phases by their crystals."""
    if isinstance(value, tuple):
        return f"[{', '.join(getattr(each, 'crystal', str(each)) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
