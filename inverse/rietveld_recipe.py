"""What a Rietveld refinement refines, as data.

Every parameter is ``"fixed"`` at its start, free in every pattern (``"voxel"``), free with one
value for all patterns (``"shared"``), or tied to the same parameter of another phase (``"=NAME"``).
Scales and background are free in every pattern, the scales not below zero.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from xrdct.spec import Spec

Free = Literal["fixed", "voxel", "shared"]
Tie = Annotated[str, StringConstraints(pattern=r"^=\S+$")]
Freedom = Free | Tie
Shape = Literal["lorentzian", "gaussian"]

OF_PHASE = ("cell", "size", "strain", "b_iso", "occupancy")
"""Parameters of a phase that can be free or tied."""


class RietveldPhase(Spec):
    """One lattice of one phase."""

    crystal: str
    name: str = ""
    """By which it is called in results; empty: the crystal's name. Two lattices of one crystal need
    two names."""
    cell: Freedom = "voxel"
    cell_start: float = Field(1.0, gt=0.9, lt=1.1)
    """All lengths of the start cell, in those of the crystal."""
    cell_range: float = Field(0.01, gt=0.0, le=0.05)
    """How far each length may go from the start, relative, and angles in units of 60°."""
    search: bool = False
    """Look for the size of the cell over its whole range before refining it."""
    size: Freedom = "fixed"
    crystallite_size_nm: float = Field(200.0, gt=1.0)
    size_shape: Shape = "lorentzian"
    strain: Freedom = "fixed"
    strain_value: float = Field(0.0, ge=0.0, le=0.02)
    strain_shape: Shape = "gaussian"
    b_iso: Freedom = "fixed"
    b_iso_change_A2: float = Field(0.0, ge=-2.0, le=2.0)
    """Change of all displacement parameters of the crystal."""
    occupancy: Freedom = "fixed"
    occupancy_site: str | None = None
    """Label of the site whose occupancy is refined, as a factor of the crystal's."""

    @property
    def label(self) -> str:
        """The name in results."""
        return self.name or self.crystal

    @model_validator(mode="after")
    def _search_is_possible(self) -> RietveldPhase:
        if self.search and self.cell != "voxel":
            raise ValueError(f'search needs cell = "voxel", but cell = {self.cell!r}')
        return self

    @model_validator(mode="after")
    def _site_is_named(self) -> RietveldPhase:
        if self.occupancy != "fixed" and self.occupancy_site is None:
            raise ValueError(
                f"occupancy = {self.occupancy!r} needs occupancy_site, the label of a site"
            )
        return self


class Rietveld(Spec):
    """A refinement of any number of phases."""

    phases: tuple[RietveldPhase, ...] = Field(min_length=1, max_length=16)
    n_background: int = Field(5, ge=0, le=30)
    """Chebyshev terms of the background."""
    zero: Free = "fixed"
    """Shift of all angles, within ±0.1°."""
    distance: Free = "fixed"
    """Distance of the detector from the calibrated one, within ±0.5 %."""

    @model_validator(mode="after")
    def _names_agree(self) -> Rietveld:
        labels = [phase.label for phase in self.phases]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two phases are called {label!r}: give one of them another name")
        for phase in self.phases:
            for parameter in OF_PHASE:
                self._check_tie(phase, parameter, labels)
        return self

    def _check_tie(self, phase: RietveldPhase, parameter: str, labels: list[str]) -> None:
        freedom = str(getattr(phase, parameter))
        if not freedom.startswith("="):
            return
        target = freedom[1:]
        if target not in labels or target == phase.label:
            others = ", ".join(label for label in labels if label != phase.label) or "none"
            raise ValueError(
                f"{parameter} of {phase.label} is tied to {target!r}, but the other phases are: "
                f"{others}"
            )
        other = self.phases[labels.index(target)]
        if str(getattr(other, parameter)).startswith("="):
            raise ValueError(
                f"{parameter} of {phase.label} is tied to {target}, which is itself tied to "
                f"{getattr(other, parameter)[1:]}: tie it to that"
            )
        shape = getattr(phase, f"{parameter}_shape", None)
        if shape != getattr(other, f"{parameter}_shape", None):
            raise ValueError(
                f"{parameter} of {phase.label} is tied to {target}, so that both need the same "
                f"{parameter}_shape"
            )
