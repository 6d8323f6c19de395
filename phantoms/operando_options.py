"""Options of the electrode of the operando cell (:mod:`phantoms.operando_electrode`)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from phantoms.coating import Coating
from phantoms.discharge import Discharge, ScanNumber
from phantoms.particle import Coordinate, Fraction


class OperandoElectrode(Coating):
    """Options of ``operando_electrode``; spreads are standard deviations between particles."""

    library: Literal["operando_electrode"] = "operando_electrode"
    scan: ScanNumber = 1
    discharge: Discharge = Discharge()
    counts: Literal["filled", "all_phases"] = "filled"
    """Which lithium the charge counts (:mod:`phantoms.operando_counting`): ``filled`` sets the
    mean filled fraction of the spinel and conserves no amounts, ``all_phases`` conserves them."""
    z_um: Coordinate = 0.0
    """Height of the measured plane among the spheres."""
    margin_um: float = Field(21.0, ge=0.0, le=200.0)
    """Spheres are drawn for planes up to this far from z = 0: 20 planes of 2 µm, and 2 µm more."""
    reach_um: float | None = Field(2.0, ge=0.0)
    """How far from the measured plane a sphere may end and still be kept; None keeps all."""
    active_weight_fraction: float = Field(0.942, gt=0.0, le=1.0)
    """The rest is carbon and binder."""
    particle_1_um: tuple[Coordinate, Coordinate] = (-55.0, 45.0)
    particle_1_z_um: Coordinate = 0.0
    particle_1_diameter_um: float = Field(18.0, gt=1.0, le=100.0)
    particle_2_um: tuple[Coordinate, Coordinate] = (60.0, -40.0)
    particle_2_z_um: Coordinate = 0.0
    particle_2_diameter_um: float = Field(16.0, gt=1.0, le=100.0)
    li_rich_share: float = Field(0.1, ge=0.0, le=1.0)
    """Share of the other particles, by number, that are like Particle 1."""
    secondary_factor: float = Field(1.0, ge=0.0, le=2.0)
    """Rock salt and Li0.5Mn2O4 of the bulk, in those of Particle 2."""
    start_spread: float = Field(0.01, ge=0.0, le=0.5)
    """Of the filled fraction before the discharge."""
    speed_spread: float = Field(0.15, ge=0.0, le=3.0)
    """Relative, of the speed at which particles fill."""
    window_progress: float = Field(1e-3, gt=0.0, le=1.0)
    """How much charge a bulk particle takes to go through a two-phase window, in units of filled
    fraction outside windows: 1e-3 is one particle after the other, 1 all at once."""
    inside: Literal["prescribed", "diffusion"] = "prescribed"
    """How lithium is spread over the depth of bulk particles."""
    filled_gradient: float = Field(0.0, ge=-0.5, le=0.5)
    """Core minus surface, prescribed; Particle 2, like the bulk, is uniform."""
    gradient_spread: float = Field(0.0, ge=0.0, le=0.5)
    diffusivity_um2_per_s: float = Field(0.1, gt=0.0, le=1e6)
    """Of lithium; 0.1 is 1e-13 m²/s, the value of Doyle et al., J. Electrochem. Soc. 143 (1996)
    1890."""
    pause_share: Fraction = 0.5
    """Which moment of the pause is shown: how much of it has passed while lithium diffused."""
    crystallite_size_nm: float = Field(200.0, gt=1.0, le=1e5)
    grain_um: float | None = Field(None, gt=0.001, le=100.0)

    @model_validator(mode="after")
    def _fits(self) -> OperandoElectrode:
        if abs(self.z_um) + (self.reach_um or 0.0) > self.margin_um:
            raise ValueError(
                f"z_um ({self.z_um:g}) with reach_um must lie within margin_um "
                f"({self.margin_um:g}), for which spheres are drawn"
            )
        self._check_known()
        if self.volume_fraction >= 1.0:
            raise ValueError(
                f"areal_g_per_m2 ({self.areal_g_per_m2:g}) does not fit into coating_um "
                f"({self.coating_um:g}): particles would fill {self.volume_fraction:.2f} of it"
            )
        return self

    def _check_known(self) -> None:
        """Raise ValueError unless both known particles lie inside the electrode, apart."""
        known = (
            ("particle_1_um", self.particle_1_um, self.particle_1_diameter_um),
            ("particle_2_um", self.particle_2_um, self.particle_2_diameter_um),
        )
        for name, (x, y), diameter in known:
            reach = math.hypot(x, y) + 0.5 * diameter
            if reach > 0.5 * self.diameter_um:
                raise ValueError(
                    f"{name} ({x:g}, {y:g}) puts the particle out to {reach:g} µm from the axis, "
                    f"but diameter_um ({self.diameter_um:g}) ends at {0.5 * self.diameter_um:g} µm"
                )
        (_, first, first_um), (_, second, second_um) = known
        apart = math.dist((*first, self.particle_1_z_um), (*second, self.particle_2_z_um))
        if apart < 0.5 * (first_um + second_um):
            raise ValueError(
                f"particle_1_um and particle_2_um are {apart:g} µm apart: the particles of "
                f"{first_um:g} and {second_um:g} µm overlap"
            )
