"""The study's two particles, each alone on the rotation axis.

``particle_1``  Li-rich spinel, Li1.05 in the core to Li1.10 at the surface, 3.5 wt % Li2MnO3 in the
                outer two µm.
``particle_2``  stoichiometric spinel, uniform in depth, with rock-salt LiMnO2.

With a ``scan``, 1 to 5, they are as :mod:`phantoms.particle_states` says of that scan, and options
that it decides keep their defaults.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from phantoms.discharge import ScanNumber
from phantoms.particle import Coordinate, Particle, RadialLaw, Shell
from phantoms.particle_states import (
    CORE_Y,
    LI2MNO3_UM,
    PARTICLE_1,
    PARTICLE_2,
    SURFACE_Y,
    li_rich_particle,
    lithium_content,
    spinel_particle,
)
from phantoms.sample import Sample
from xrdct.spec import Spec

_ORIGIN = (0.0, 0.0, 0.0)


class SingleParticle(Spec):
    """Options that both particles share."""

    diameter_um: float = Field(18.0, gt=1.0, le=100.0)
    scan: ScanNumber | None = None
    """Which scan of the study; None: composition by the other options."""
    z_um: Coordinate = 0.0

    @property
    def in_plane(self) -> bool:
        """Whether any of it reaches the measured plane."""
        return abs(self.z_um) < 0.5 * self.diameter_um

    def _refuse_beside_scan(self, *names: str) -> None:
        for name in names:
            if (
                self.scan is not None
                and getattr(self, name) != type(self).model_fields[name].default
            ):
                raise ValueError(f"scan decides {name}: give one of them, not both")


class Particle1(SingleParticle):
    """Options of ``particle_1``."""

    library: Literal["particle_1"] = "particle_1"
    filled_fraction: float = Field(1.0, ge=0.0, le=1.0)
    """Share of the extractable lithium that is in place: the state of discharge."""

    @model_validator(mode="after")
    def _one_state(self) -> Particle1:
        self._refuse_beside_scan("filled_fraction")
        return self


class Particle2(SingleParticle):
    """Options of ``particle_2``."""

    library: Literal["particle_2"] = "particle_2"
    diameter_um: float = Field(16.0, gt=1.0, le=100.0)
    filled_fraction: float = Field(0.9, ge=0.0, le=1.0)
    rock_salt_weight_fraction: float = Field(0.26, ge=0.0, le=0.9)
    strain: float = Field(5e-4, ge=0.0, le=0.02)

    @model_validator(mode="after")
    def _one_state(self) -> Particle2:
        self._refuse_beside_scan("filled_fraction", "rock_salt_weight_fraction", "strain")
        return self


def build_particle_1(spec: Particle1) -> Sample:
    """Return Particle 1 on the axis, its equator at z = 0."""
    if spec.scan is None:
        particle = _particle_1(spec)
    else:
        state = PARTICLE_1[spec.scan - 1]
        particle = li_rich_particle(state, diameter_um=spec.diameter_um, centre_um=_ORIGIN)
    return Sample((particle,), z_um=spec.z_um)


def build_particle_2(spec: Particle2) -> Sample:
    """Return Particle 2 on the axis, its equator at z = 0."""
    if spec.scan is None:
        particle = _particle_2(spec)
    else:
        state = PARTICLE_2[spec.scan - 1]
        particle = spinel_particle(state, diameter_um=spec.diameter_um, centre_um=_ORIGIN)
    return Sample((particle,), z_um=spec.z_um)


def _particle_1(spec: Particle1) -> Particle:
    return Particle(
        centre_um=_ORIGIN,
        diameter_um=spec.diameter_um,
        x=RadialLaw(
            core=lithium_content(spec.filled_fraction, CORE_Y),
            surface=lithium_content(spec.filled_fraction, SURFACE_Y),
        ),
        y=RadialLaw(core=CORE_Y, surface=SURFACE_Y),
        shells=(Shell(phase="Li2MnO3", thickness_um=LI2MNO3_UM, weight_fraction=0.035),),
    )


def _particle_2(spec: Particle2) -> Particle:
    shells: tuple[Shell, ...] = ()
    if spec.rock_salt_weight_fraction > 0.0:
        shells = (
            Shell(
                phase="LiMnO2-rocksalt",
                thickness_um=0.5 * spec.diameter_um,
                weight_fraction=spec.rock_salt_weight_fraction,
            ),
        )
    return Particle(
        centre_um=_ORIGIN,
        diameter_um=spec.diameter_um,
        x=spec.filled_fraction,
        shells=shells,
        strain=spec.strain,
    )
