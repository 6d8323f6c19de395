"""The methods that the studies of the reconstruction compare, by name.

Each takes phases, background and calibration from the recipe stored with the scan, and the steps
from raw scan to maps from a recipe of `examples/recipes`, or one that differs from it by what its
name says. A scan that links to no coarse one is wholly in view in these studies: what is to be done
about the outside is then left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inverse.maps import Maps
from inverse.recipe import Recipe
from inverse.recover import recover
from validation.experiment import load_recipe
from xrdct.rawfile import RawScan

RECIPES = Path(__file__).parent.parent / "examples" / "recipes"
STEPS = ("sinogram", "truncation", "reconstruction", "direct", "joint")

Method = Callable[[RawScan, Mapping[str, RawScan]], Maps]
"""From the scan to reconstruct, and the further ones by name, to maps."""


def by_recipe(**changes: Any) -> Method:
    """Return the method that follows the recipe stored with the scan, but for ``changes``."""

    def method(raw: RawScan, others: Mapping[str, RawScan]) -> Maps:
        given = dict(changes)
        if "coarse" not in others:
            given.pop("truncation", None)
            if "reconstruction" in given:  # nothing is subtracted: projections do not end at zero
                given["reconstruction"] = given["reconstruction"] | {"padding": None}
        stored = Recipe.model_validate(raw.recipe).model_dump()
        return recover(raw, others=others, recipe=Recipe.model_validate(stored | given))

    return method


def like(name: str, **changes: Mapping[str, Any]) -> Method:
    """Return the method of a recipe in the examples, with single settings changed by section."""
    recipe = load_recipe(RECIPES / f"{name}.toml").model_dump(include=set(STEPS))
    return by_recipe(**{step: recipe[step] | changes.get(step, {}) for step in STEPS})


METHODS: dict[str, Method] = {"FBP": by_recipe(), "paper": like("paper"), "best": like("best")}
"""Those that every study compares: nothing but filtered back projection, the reproduced study's
way, and the best."""


def joint(**changes: Any) -> Method:
    """Return the joint estimate from all linked scans; ``changes`` are of the truncation."""
    cut = {"method": "none", "use_broad": False} | changes
    return like("paper", truncation=cut, reconstruction={"method": "joint"})


def told_width(width_um: float, **changes: Any) -> dict[str, Method]:
    """Return the methods that must be told how wide the electrode is.

    ``changes`` are of the truncation of those whose grid is as wide.
    """
    outside = {"method": "none", "use_broad": False, "width_um": width_um} | changes
    # Poisson counts are those of which nothing was subtracted, and no coefficients.
    return {
        "outside left in": like("paper", truncation=outside, reconstruction={"padding": "edge"}),
        "completed": like("paper", truncation={"method": "complete", "width_um": width_um}),
        "SIRT": like(
            "paper", truncation=outside, reconstruction={"method": "sirt", "compress": True}
        ),
        "CGLS": like(
            "paper", truncation=outside, reconstruction={"method": "cgls", "compress": True}
        ),
        "Poisson": like(
            "paper", truncation=outside | {"air": False}, reconstruction={"method": "poisson"}
        ),
    }


FURTHER: dict[str, Method] = {
    **told_width(1000.0),
    "coarse only": like("paper", truncation={"use_broad": False}),
    "parallax left in": like("paper", truncation={"parallax": False}),
    "absorption": like("paper", sinogram={"absorption": True}),
    "compressed": like("paper", reconstruction={"compress": True}),
    "refine first": like("paper", reconstruction={"order": "refine-first"}),
    "SIRT in the window": like("paper", reconstruction={"method": "sirt", "compress": True}),
    "CGLS in the window": like("paper", reconstruction={"method": "cgls", "compress": True}),
    "joint": joint(),
}
"""The paper's way but for what the name says. Iterative methods explain the whole electrode, by
coefficients, which takes a grid of a thousand pixels' side, or, in the window, what the paper's way
leaves of the rays."""

WITHOUT_AIR: dict[str, Method] = {
    "paper": like("paper", truncation={"use_broad": False, "air": False}),
    "joint": joint(air=False),
}
"""What takes the place of methods for scans of which no ray passes beside the cell, nor is there a
broad one."""

TOLD_NO_PARALLAX: dict[str, Method] = {
    "paper": FURTHER["parallax left in"],
    "best": like("best", direct={"parallax": False}),
}
"""What takes the place of methods that model parallax, for simulated scans that have none."""
