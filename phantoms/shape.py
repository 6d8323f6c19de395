"""Particles that are no layered spheres: outlines, pores and cracks, as a user writes them.

Lengths are in µm, places relative to the particle's centre, axes those of the sample (z along the
rotation axis). What the numbers of an outline mean in space, :mod:`phantoms.outline` computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from xrdct.spec import Spec

Place = Annotated[float, Field(ge=-1e3, le=1e3)]


class RoughOutline(Spec):
    """A smooth random star-shaped surface, R(direction) = R0·(1 + Σ a_lm Y_lm).

    Y_lm are real spherical harmonics of degree l = 2 … 2·``order``. Their coefficients are normal
    with a variance ∝ exp(−(l/order)²), scaled so that ``roughness`` is the standard deviation of
    R/R0 over all directions of this very surface. Layers are homothetic copies of it.
    """

    form: Literal["rough"] = "rough"
    roughness: float = Field(0.05, ge=0.0, le=0.3)
    order: int = Field(5, ge=2, le=16)
    """Bumps are about π R/order long."""
    seed: int = Field(0, ge=0, lt=2**63)
    scale: Literal["volume", "outer"] = "volume"
    """What a sphere of ``diameter_um`` has in common with it: its volume, or that it just holds it.

    With ``outer`` particles of any packing of spheres may be made rough.
    """


class DiscOutline(Spec):
    """An upright disc or cylinder of ``diameter_um``, or spokes cut out of it."""

    form: Literal["disc"] = "disc"
    height_um: float = Field(gt=0.0, le=1e4)
    spokes: int = Field(0, ge=0, le=720)
    """Equal sectors with gaps as wide between them; 0 for the whole disc, 1 for a half disc."""
    azimuth_deg: float = Field(0.0, ge=-360.0, le=360.0)
    """Direction of the first spoke's middle, and of ``across``, from x towards y."""
    layers: Literal["radius", "across"] = "radius"
    """What r/R of a law means: the distance from the disc's axis, or from one side (0) to the
    other (1) in the direction of ``azimuth_deg``, where depth is counted from the latter and half
    as far: from 0 to the radius."""


def _form(given: Any) -> str | None:
    return given.get("form") if isinstance(given, Mapping) else getattr(given, "form", None)


Outline = Annotated[
    Annotated[RoughOutline, Tag("rough")] | Annotated[DiscOutline, Tag("disc")],
    Discriminator(
        _form,
        custom_error_type="outline_form",
        custom_error_message='an outline needs form = "rough" or form = "disc"',
    ),
]


class Pore(Spec):
    """A spherical void."""

    centre_um: tuple[Place, Place, Place] = (0.0, 0.0, 0.0)
    diameter_um: float = Field(gt=0.0, le=1e3)


class Crack(Spec):
    """A thin plane void, round about its mouth.

    It holds all points within ``length_um`` of the mouth and within half the opening of the plane
    through it. Tapered, the opening falls linearly to nothing at the end, which makes it a wedge.
    """

    mouth_um: tuple[Place, Place, Place]
    """On the surface, or at a pore."""
    normal: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """Of the plane; of any length."""
    length_um: float = Field(gt=0.0, le=1e3)
    opening_um: float = Field(gt=0.0, le=100.0)
    """Width at the mouth."""
    tapered: bool = True

    @model_validator(mode="after")
    def _has_direction(self) -> Crack:
        if sum(value * value for value in self.normal) <= 0.0:
            raise ValueError("normal of a crack must not be zero")
        return self
