"""What a fit with free line intensities fits, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from inverse.cell_parameters import space_group_law
from xrdct.cell import Cell
from xrdct.crystal_source import find_crystal
from xrdct.spec import Spec

Width = Literal["U", "W", "X", "Y"]
"""Of the instrument's profile; V stands for the foci of neutron guides and stays as it is."""


class _Phase(Spec):
    name: str = Field(pattern="^[^:]+$")
    """By which it is called in results; without colons."""
    refine_cell: bool = True
    cell_range: float = Field(0.02, gt=0.0, le=0.05)
    """How far each length may go from the start, relative, and angles in units of 60°."""
    crystallite_size_nm: float = Field(200.0, gt=1.0)
    refine_size: bool = False
    strain: float = Field(0.0, ge=0.0, le=0.02)
    refine_strain: bool = False


class FreePhase(_Phase):
    """A phase known by cell and space group alone: every line has an intensity of its own."""

    kind: Literal["free"] = "free"
    space_group: str
    """Hermann–Mauguin symbol with origin choice, such as 'F d -3 m:2'."""
    cell_A_deg: Cell
    """(a, b, c in Å, α, β, γ in degrees) to start from."""

    @property
    def start_cell_A_deg(self) -> Cell:
        """The cell to start from."""
        return self.cell_A_deg


class StructuredPhase(_Phase):
    """A phase of known structure: one scale, and intensities that follow from its atoms."""

    kind: Literal["structured"] = "structured"
    crystal: str
    """A built-in crystal, or the path of a CIF file."""
    cell_start: float = Field(1.0, gt=0.9, lt=1.1)
    """All lengths of the start cell, in those of the crystal."""

    @property
    def start_cell_A_deg(self) -> Cell:
        """The cell to start from."""
        return find_crystal(self.crystal).scaled(self.cell_start).cell_A_deg

    @property
    def space_group(self) -> str:
        """Hermann–Mauguin symbol with origin choice."""
        return find_crystal(self.crystal).space_group


Phase = Annotated[FreePhase | StructuredPhase, Field(discriminator="kind")]


class Pawley(Spec):
    """A fit of one pattern with free intensities, by Pawley's method or Le Bail's."""

    phases: tuple[Phase, ...] = Field(min_length=1, max_length=16)
    n_background: int = Field(6, ge=1, le=30)
    """Chebyshev terms of the background."""
    refine_distance: bool = False
    """Distance of the detector from the calibrated one, within ±5 %."""
    refine_zero: bool = False
    """A shift of all angles, within ±0.1°."""
    refine_widths: tuple[Width, ...] = ()
    """Of the instrument's profile."""
    share_within: float = Field(0.1, ge=0.0, le=2.0)
    """Free lines closer than this share of their width have one intensity, split equally. That they
    are equal is an assumption which pulls at the cell, the more the farther they are apart."""
    start_error: float = Field(0.005, ge=0.0, le=0.02)
    """How far lengths of the start cells and the distance, where refined, may be off, relative: the
    fit first looks that far. Zero where the start is known to within a line's width."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Pawley:
        names = [phase.name for phase in self.phases]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two phases are called {name!r}: give one of them another name")
        if len(set(self.refine_widths)) < len(self.refine_widths):
            raise ValueError(f"refine_widths names a width twice: {', '.join(self.refine_widths)}")
        for width, what in (("U", "strain"), ("Y", "size")):
            if width in self.refine_widths and all(
                getattr(phase, f"refine_{what}") for phase in self.phases
            ):
                raise ValueError(
                    f"{width} and the {what} of every phase broaden lines alike: refine one of them"
                )
        if self.refine_distance and self.refine_zero and all(p.refine_cell for p in self.phases):
            raise ValueError(
                "the distance, a shift of angles and the cells of all phases cannot be told apart: "
                "keep one of them"
            )
        return self


def free_cell_names(phase: Phase) -> tuple[str, ...]:
    """Return the names of the cell parameters that are refined, none where the cell is kept."""
    return space_group_law(phase.space_group).names if phase.refine_cell else ()
