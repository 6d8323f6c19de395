"""What can be chosen of the patterns of particles and depth shells (:mod:`inverse.regions`)."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field, model_validator

from inverse.rietveld_recipe import RietveldPhase
from xrdct.spec import Spec


class Regions(Spec):
    """Into what regions particles are divided, and which phases are looked for in them."""

    depth_edges_um: tuple[float, ...] | None = None
    """Depths between which shells lie, rising; None: every whole micrometre."""
    threshold: float = Field(0.45, gt=0.0, lt=1.0)
    """Share of a particle's full amount from which on there is material: ½ where amounts are right,
    less where trimmed means take more from voxels that are partly empty."""
    neck: float = Field(0.85, gt=0.4, lt=1.0)
    """Two bodies whose common neck is narrower than this share of the smaller one are two
    particles."""
    smallest_section_um: float = Field(3.0, ge=0.0)
    """Diameter of the smallest section that is evaluated."""
    fewest_voxels: int = Field(4, ge=1)
    """In a region, or it is left out."""

    phases: tuple[RietveldPhase, ...] = ()
    """Looked for beside the refined and the fixed phases of the recipe."""

    @model_validator(mode="after")
    def _rising(self) -> Regions:
        edges_um = self.depth_edges_um
        if edges_um is None:
            return self
        if len(edges_um) < 2 or any(b <= a for a, b in pairwise(edges_um)):
            raise ValueError(
                f"depth_edges_um must be at least two rising depths, not {list(edges_um)}"
            )
        if edges_um[0] < 0.0:
            raise ValueError(f"depth_edges_um must not lie outside a particle: {edges_um[0]:g}")
        return self

    def edges_um(self, deepest_um: float) -> tuple[float, ...]:
        """Return the depths between which shells lie, where the deepest voxel is at this depth."""
        if self.depth_edges_um is not None:
            return self.depth_edges_um
        return tuple(float(depth) for depth in range(math.floor(deepest_um) + 2))
