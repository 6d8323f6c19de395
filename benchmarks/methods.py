"""The methods that the studies of the reconstruction compare, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from inverse.maps import Maps
from inverse.recipe import Recipe
from inverse.recover import recover
from xrdct.rawfile import RawScan

Method = Callable[[RawScan, Mapping[str, RawScan]], Maps]
"""From the scan to reconstruct, and the further ones by name, to maps."""


def by_recipe(**changes: Any) -> Method:
    """Return the method that follows the recipe stored with the scan, but for ``changes``."""

    def method(raw: RawScan, _others: Mapping[str, RawScan]) -> Maps:
        recipe = Recipe.model_validate(raw.recipe)
        return recover(raw, recipe=recipe.model_copy(update=changes))

    return method


METHODS: dict[str, Method] = {"FBP": by_recipe()}
