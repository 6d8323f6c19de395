"""A particle as a user writes it: outline, radial composition, shells, porosity, microstructure.

A particle is a sphere of concentric layers, unless it has an outline, pores or cracks of its own
(:mod:`phantoms.shape`): then its layers are homothetic copies of the outline, and r/R is the
distance from the centre over that of the surface in the same direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Discriminator, Field, Tag, model_validator

from phantoms.shape import Crack, Outline, Pore
from xrdct.spec import Spec

Coordinate = Annotated[float, Field(ge=-1e5, le=1e5)]
"""A position in µm, within 10 cm."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Content = Annotated[float, Field(ge=-10.0, le=10.0)]
"""Atoms in a formula; which of them are possible, :mod:`phantoms.stoichiometry` says."""


class RadialLaw(Spec):
    """A quantity from the ``core`` (r = 0) to the ``surface`` (r = R) of a particle.

    v(r) = core + (surface − core)·(r/R)^exponent
    """

    core: Content
    surface: Content
    exponent: float = Field(1.0, gt=0.0, le=50.0)

    def at(self, r_over_R: ArrayLike) -> NDArray[np.float64]:
        """Return the value at relative radius r/R."""
        relative = np.asarray(r_over_R, dtype=float)
        values: NDArray[np.float64] = self.core + (self.surface - self.core) * (
            relative**self.exponent
        )
        return values


class RadialTable(Spec):
    """A quantity tabulated over relative radius, linear between the nodes."""

    r_over_R: tuple[Fraction, ...]
    value: tuple[Content, ...]

    @model_validator(mode="after")
    def _increasing(self) -> RadialTable:
        if len(self.r_over_R) != len(self.value) or len(self.value) < 2:
            raise ValueError("r_over_R and value need equally many entries, at least two")
        if any(b <= a for a, b in zip(self.r_over_R, self.r_over_R[1:], strict=False)):
            raise ValueError("r_over_R must increase from entry to entry")
        return self

    def at(self, r_over_R: ArrayLike) -> NDArray[np.float64]:
        """Return the value at relative radius r/R (constant beyond the ends)."""
        return np.asarray(np.interp(np.asarray(r_over_R), self.r_over_R, self.value))


def _kind_of_law(given: Any) -> str:
    """Tell by its keys which law a table means, so that a mistake in it is told as one of that.

    What samples of many thousand particles are built of is asked for first.
    """
    if isinstance(given, RadialLaw):
        return "RadialLaw"
    if isinstance(given, float):
        return "number"
    if isinstance(given, RadialTable):
        return "RadialTable"
    if isinstance(given, Mapping):
        return "RadialTable" if {"r_over_R", "value"} & set(given) else "RadialLaw"
    return "number"


Law = Annotated[
    Annotated[Content, Tag("number")]
    | Annotated[RadialLaw, Tag("RadialLaw")]
    | Annotated[RadialTable, Tag("RadialTable")],
    Discriminator(_kind_of_law),
]
"""A constant, or a law over the relative radius."""


def law_values(law: Law, r_over_R: ArrayLike) -> NDArray[np.float64]:
    """Evaluate a law; a bare number is constant."""
    if isinstance(law, RadialLaw | RadialTable):
        return law.at(r_over_R)
    return np.full(np.shape(r_over_R), float(law))


def _kind_of_weight_fraction(given: Any) -> str:
    return "pair" if isinstance(given, list | tuple) else "number"


WeightFraction = Annotated[
    Annotated[Fraction, Tag("number")] | Annotated[tuple[Fraction, Fraction], Tag("pair")],
    Discriminator(_kind_of_weight_fraction),
]


class Shell(Spec):
    """A second phase mixed into a layer below the surface, the rest of the layer being spinel.

    ``weight_fraction`` of the solid is a number, or a pair (outer, inner) with a linear change
    over the layer, which reaches from ``depth_um`` to ``depth_um + thickness_um``.
    """

    phase: str
    """A built-in crystal, or the path of a CIF file."""
    thickness_um: float = Field(gt=0.0)
    weight_fraction: WeightFraction
    depth_um: float = Field(0.0, ge=0.0)

    @property
    def borders_um(self) -> tuple[float, float]:
        """Depths at which the layer begins and ends."""
        return self.depth_um, self.depth_um + self.thickness_um

    @property
    def ends(self) -> tuple[float, float]:
        """Weight fraction where the layer begins and where it ends."""
        given = self.weight_fraction
        return given if isinstance(given, tuple) else (given, given)

    def weight_fraction_at(self, depth_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight fraction of the phase at a depth below the particle's surface."""
        outer, inner = self.ends
        relative = (depth_um - self.depth_um) / self.thickness_um
        inside = (relative >= 0.0) & (relative <= 1.0)
        return np.where(inside, outer + (inner - outer) * relative, 0.0)


class Particle(Spec):
    """A body of Li(x)[Li_y Mn_{2−y}]O4 with radial laws, shells and homogeneous fine porosity.

    ``x`` is the lithium content of the 8a site, between 3y and 1; ``y`` the lithium excess,
    between 0 and 0.10 (see :mod:`phantoms.stoichiometry`).
    """

    centre_um: tuple[Coordinate, Coordinate, Coordinate]
    diameter_um: float = Field(gt=0.0, le=1000.0)
    x: Law = 1.0
    y: Law = 0.0
    shells: tuple[Shell, ...] = ()
    porosity: float = Field(0.0, ge=0.0, lt=1.0)
    crystallite_size_nm: float = Field(200.0, gt=1.0, le=1e5)
    strain: float = Field(0.0, ge=0.0, le=0.05)
    grain_um: float | None = Field(None, gt=0.001, le=100.0)
    """Diameter of the single crystals that make spots on rings; None: too many to count."""
    outline: Outline | None = None
    """None for a sphere. Depths of shells are then those in a sphere of ``diameter_um``."""
    pores: tuple[Pore, ...] = ()
    cracks: tuple[Crack, ...] = ()

    @property
    def radius_um(self) -> float:
        """Outer radius, of bodies half of ``diameter_um``."""
        return 0.5 * self.diameter_um

    @property
    def is_body(self) -> bool:
        """Whether it is anything but a sphere of concentric layers."""
        return self.outline is not None or bool(self.pores or self.cracks)
