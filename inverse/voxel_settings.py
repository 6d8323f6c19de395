"""What the Rietveld refinement of every voxel is to do beyond that of a pattern, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from inverse.recipe_steps import Reconstruction
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.spec import Spec

SECOND = "-second"
"""What the name of a second lattice ends with."""


class TwoLattices(Spec):
    """When a voxel is refined with two lattices of the recipe's refined phase.

    See :func:`inverse.phase_decision_pair.second_lattice`.
    """

    false_alarm: float = Field(1e-3, gt=0.0, lt=1.0)
    """Chance that noise alone makes a second lattice of one."""
    least_share: float = Field(0.1, ge=0.0, lt=1.0)
    """Of the single lattice's amount: a second one must exceed it, as streaks and blur bring that
    much from elsewhere."""
    min_separation_A: float | None = Field(None, gt=0.0)
    """Between the two; None: some 0.6 of a line's width."""
    by_misfit: bool = True
    """Multiply standard uncertainties with √χ² of the single lattice where above 1."""


class VoxelRietveld(Rietveld):
    """A refinement of any number of phases in every voxel."""

    second_lattice: TwoLattices | None = None
    """Decide in every voxel whether it holds two lattices of the refined phase; None: it does
    not."""
    covariance: bool = False
    """Keep the full covariance of every refined voxel: 4 bytes × the square of the number of
    parameters."""
    residuals: Literal["mean", "full"] = "mean"
    """Keep the mean residual of each channel and the RMS of each voxel, or all residuals: 4 bytes ×
    voxels × channels."""

    def refined(self, crystal: str) -> RietveldPhase | None:
        """Return the phase that fills the lattice parameter's map: the first of its crystal."""
        return next((phase for phase in self.phases if phase.crystal == crystal), None)

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> VoxelRietveld:
        for phase in self.phases:
            if phase.label.endswith(SECOND) and self.second_lattice is not None:
                raise ValueError(
                    f"no phase may be called {phase.label!r}: names that end with {SECOND!r} are "
                    "those of second lattices"
                )
        return self


def check_voxel_refinement(
    settings: VoxelRietveld, reconstruction: Reconstruction, *, crystal: str
) -> None:
    """Raise ValueError for a reconstruction without voxels' patterns, or no refined ``crystal``."""
    method = reconstruction.method
    if method == "direct" or reconstruction.low_dimensional:
        made = f"method = {method!r}"
        if reconstruction.order == "refine-first":
            made = "order = 'refine-first'"
        elif reconstruction.compress:
            made = "compress = true"
        raise ValueError(
            f"rietveld needs voxels' patterns, from which reconstruction.{made} does not make its "
            "maps"
        )
    phase = settings.refined(crystal)
    if phase is None or phase.cell != "voxel":
        found = "it is not there" if phase is None else f"it is {phase.cell!r}"
        raise ValueError(
            f"rietveld.phases must hold the refined phase {crystal} with cell = 'voxel', but "
            f"{found}"
        )
    of_crystal = [other.label for other in settings.phases if other.crystal == crystal]
    if settings.second_lattice is not None and len(of_crystal) > 1:
        raise ValueError(
            f"rietveld.second_lattice adds a lattice of {crystal}, so that one phase may be of it, "
            f"not {', '.join(of_crystal)}"
        )
