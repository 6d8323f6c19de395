"""Test objects by name: what a beamline puts in first, to see what its instrument does.

``calibrant_disc``   LaB6 or CeO2 of one composition throughout, of known cell: lattice error, peak
                     widths, parallax against the distance from the axis.
``resolution_star``  spokes of spinel with gaps as wide: contrast against the width of a spoke,
                     which at a distance ρ from the centre is π ρ / spokes.
``two_phase_wedge``  spinel on one side to a second phase on the other, its weight fraction growing
                     linearly across: errors of quantification at every fraction in one scan.

All are upright discs on the rotation axis, higher than the beam, so that nothing changes along it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from phantoms.particle import Coordinate, Particle, Shell
from phantoms.sample import SPINEL, Sample
from phantoms.shape import DiscOutline
from xrdct.spec import Spec


class _Disc(Spec):
    """What all of them are."""

    diameter_um: float = Field(30.0, gt=1.0, le=1000.0)
    height_um: float = Field(100.0, gt=1.0, le=1e4)
    z_um: Coordinate = 0.0
    """Height of the measured plane above the middle."""

    @property
    def in_plane(self) -> bool:
        """Whether any of it reaches the measured plane."""
        return abs(self.z_um) < 0.5 * self.height_um


class CalibrantDisc(_Disc):
    """Options of ``calibrant_disc``."""

    library: Literal["calibrant_disc"] = "calibrant_disc"
    crystal: Literal["LaB6", "CeO2"] = "LaB6"
    porosity: float = Field(0.4, ge=0.0, lt=1.0)
    """Of packed powder."""
    crystallite_size_nm: float = Field(500.0, gt=1.0, le=1e5)
    strain: float = Field(0.0, ge=0.0, le=0.02)


class ResolutionStar(_Disc):
    """Options of ``resolution_star``."""

    library: Literal["resolution_star"] = "resolution_star"
    diameter_um: float = Field(40.0, gt=1.0, le=1000.0)
    spokes: int = Field(12, ge=1, le=720)
    azimuth_deg: float = Field(0.0, ge=-360.0, le=360.0)
    """Direction of the middle of one spoke, from x towards y."""
    x: float = Field(0.9, ge=0.0, le=1.0)
    """Lithium content of the spinel."""
    crystallite_size_nm: float = Field(200.0, gt=1.0, le=1e5)
    strain: float = Field(5e-4, ge=0.0, le=0.02)


class TwoPhaseWedge(_Disc):
    """Options of ``two_phase_wedge``."""

    library: Literal["two_phase_wedge"] = "two_phase_wedge"
    azimuth_deg: float = Field(0.0, ge=-360.0, le=360.0)
    """Direction in which the second phase grows, from x towards y."""
    phase: str = "Li2MnO3"
    """A built-in crystal, or the path of a CIF file."""
    weight_fractions: tuple[float, float] = (0.0, 1.0)
    """Of the second phase at the beginning and at the end, linear between."""
    x: float = Field(0.9, ge=0.0, le=1.0)
    """Lithium content of the spinel."""
    crystallite_size_nm: float = Field(200.0, gt=1.0, le=1e5)
    strain: float = Field(5e-4, ge=0.0, le=0.02)

    @field_validator("phase")
    @classmethod
    def _not_the_spinel(cls, value: str) -> str:
        if value == SPINEL:
            raise ValueError(f"the second phase cannot be {SPINEL}, which the first is")
        return value

    @field_validator("weight_fractions")
    @classmethod
    def _within_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0.0 <= fraction <= 1.0 for fraction in value):
            raise ValueError(f"weight_fractions must lie between 0 and 1, got {value}")
        return value


TestObjectSpec = CalibrantDisc | ResolutionStar | TwoPhaseWedge


def build_test_object(spec: TestObjectSpec) -> Sample:
    """Return the sample that a test object's options describe."""
    if isinstance(spec, CalibrantDisc):
        particle = _calibrant_disc(spec)
    elif isinstance(spec, ResolutionStar):
        particle = _resolution_star(spec)
    else:
        particle = _two_phase_wedge(spec)
    return Sample((particle,), z_um=spec.z_um)


def _calibrant_disc(spec: CalibrantDisc) -> Particle:
    everywhere = Shell(phase=spec.crystal, thickness_um=spec.diameter_um, weight_fraction=1.0)
    return Particle(
        centre_um=(0.0, 0.0, 0.0),
        diameter_um=spec.diameter_um,
        shells=(everywhere,),
        porosity=spec.porosity,
        crystallite_size_nm=spec.crystallite_size_nm,
        strain=spec.strain,
        outline=DiscOutline(height_um=spec.height_um),
    )


def _resolution_star(spec: ResolutionStar) -> Particle:
    return Particle(
        centre_um=(0.0, 0.0, 0.0),
        diameter_um=spec.diameter_um,
        x=spec.x,
        crystallite_size_nm=spec.crystallite_size_nm,
        strain=spec.strain,
        outline=DiscOutline(
            height_um=spec.height_um, spokes=spec.spokes, azimuth_deg=spec.azimuth_deg
        ),
    )


def _two_phase_wedge(spec: TwoPhaseWedge) -> Particle:
    """Layers across: a depth of 0 is the end, a depth of the radius the beginning."""
    begin, end = spec.weight_fractions
    growing = Shell(
        phase=spec.phase, thickness_um=0.5 * spec.diameter_um, weight_fraction=(end, begin)
    )
    return Particle(
        centre_um=(0.0, 0.0, 0.0),
        diameter_um=spec.diameter_um,
        x=spec.x,
        shells=(growing,),
        crystallite_size_nm=spec.crystallite_size_nm,
        strain=spec.strain,
        outline=DiscOutline(
            height_um=spec.height_um, azimuth_deg=spec.azimuth_deg, layers="across"
        ),
    )
