"""The micro-cell around the electrode: concentric cylinders, filled with layers along their axis.

    body       polymer, from ``chamber_um`` to ``body_outer_um``
    chamber    from below: steel pin, [collector, electrode, separator], lithium
    disc       the part of the middle three within ``electrode_um``; around it is electrolyte

The rotation axis is z. Heights count from the electrode's lower face (that of the collector), so
that the layers end at −collector, 0, electrode and electrode + separator thickness; pin and lithium
reach on without end. The layers may be tilted, and bent so that they rise towards the rim of the
disc. Electrode particles are no part of the cell: what lies between them is.

Figures follow Finegan et al., Nat. Commun. 11 (2020) 631, Methods, where it gives any. The body's
diameter is taken to be that of its 1/8 inch fitting. 166 g/m² of active material in 80 µm, 94.2 %
of the weight, leave 0.13 of the volume between particles to binder and carbon at 1.84 g/cm³.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from phantoms.cell_materials import substance_names
from xrdct.spec import Spec

LAYERS = ("pin", "collector", "electrode", "separator", "lithium")
REGIONS = ("body", "chamber", "disc")
ELECTRODE = LAYERS.index("electrode")


class Cell(Spec):
    """The micro-cell; lengths in µm, (x, y) in the sample's frame with the axis at the origin."""

    body_outer_um: float = Field(3175.0, gt=0.0, le=50_000.0)
    chamber_um: float = Field(1200.0, gt=0.0)
    electrode_um: float = Field(1000.0, gt=0.0)
    electrode_thickness_um: float = Field(80.0, gt=0.0, le=10_000.0)
    slice_height_um: float = 40.0
    """Height of the measured slice above the collector."""
    collector_thickness_um: float = Field(15.0, ge=0.0, le=10_000.0)
    separator_thickness_um: float = Field(600.0, ge=0.0, le=10_000.0)
    tilt_mrad: float = Field(0.0, ge=0.0, le=200.0)
    tilt_azimuth_deg: float = Field(0.0, ge=-360.0, le=360.0)
    """Direction from x towards y in which the layers rise."""
    sag_um: float = Field(0.0, ge=-1000.0, le=1000.0)
    """How much higher the layers stand at the disc's rim than at its centre, as r²."""
    centre_um: tuple[float, float] = (0.0, 0.0)
    """Centre of body and chamber."""
    electrode_centre_um: tuple[float, float] = (0.0, 0.0)
    """Centre of the disc, and so of the packing of particles."""
    additive_fraction: float = Field(0.13, ge=0.0, le=1.0)
    """Volume fraction of carbon and binder in what the particles leave of the electrode."""
    carbon_fraction: float = Field(0.5, ge=0.0, le=1.0)
    """Volume fraction of carbon in these additives; the rest is the binder, PVDF."""
    glass_fraction: float = Field(0.1, ge=0.0, le=1.0)
    """Volume fraction of glass in the separator; the rest is electrolyte."""
    body: Literal["PEEK", "PFA"] = "PEEK"
    crystallinity: float = Field(0.3, ge=0.0, le=1.0)
    """Crystalline share of the body's polymer."""
    crystallite_nm: float = Field(10.0, ge=1.0, le=1000.0)
    """Size of these crystallites (Scherrer)."""

    @model_validator(mode="after")
    def _nested(self) -> Cell:
        if self.chamber_um >= self.body_outer_um:
            raise ValueError(
                f"chamber_um ({self.chamber_um:g}) must lie below "
                f"body_outer_um ({self.body_outer_um:g})"
            )
        apart_um = math.dist(self.centre_um, self.electrode_centre_um)
        if apart_um + 0.5 * self.electrode_um > 0.5 * self.chamber_um:
            raise ValueError(
                f"the electrode of {self.electrode_um:g} µm, {apart_um:g} µm off the cell's "
                f"centre, must fit into chamber_um ({self.chamber_um:g})"
            )
        if not 0.0 <= self.slice_height_um <= self.electrode_thickness_um:
            raise ValueError(
                f"slice_height_um ({self.slice_height_um:g}) must lie within the electrode, "
                f"0 to electrode_thickness_um ({self.electrode_thickness_um:g})"
            )
        return self

    @property
    def radii_um(self) -> NDArray[np.float64]:
        """Radius of each region, shape (region,)."""
        return 0.5 * np.array([self.body_outer_um, self.chamber_um, self.electrode_um])

    @property
    def centres_um(self) -> NDArray[np.float64]:
        """Centre (x, y) of each region, shape (region, 2)."""
        return np.array([self.centre_um, self.centre_um, self.electrode_centre_um])

    @property
    def interfaces_um(self) -> NDArray[np.float64]:
        """Heights of the interfaces between the layers over the measured slice, (layer − 1,).

        Those of layers without tilt and bending, at the centre of the disc.
        """
        top_um = self.electrode_thickness_um
        above_collector_um = np.array(
            [-self.collector_thickness_um, 0.0, top_um, top_um + self.separator_thickness_um]
        )
        return above_collector_um - self.slice_height_um

    @property
    def contents(self) -> NDArray[np.float64]:
        """Volume fraction of each substance, shape (region, layer, substance).

        Regions are rings here: the body without the chamber, the chamber without the disc. Of the
        electrode it is what fills the room between particles.
        """
        pores = {
            "electrolyte": 1.0 - self.additive_fraction,
            "carbon": self.additive_fraction * self.carbon_fraction,
            "PVDF": self.additive_fraction * (1.0 - self.carbon_fraction),
        }
        separator = {"glass": self.glass_fraction, "electrolyte": 1.0 - self.glass_fraction}
        pin, lithium, electrolyte = {"steel": 1.0}, {"Li": 1.0}, {"electrolyte": 1.0}
        wall: dict[str, float] = {self.body: 1.0}
        stacks = (
            [wall] * len(LAYERS),
            [pin, electrolyte, electrolyte, electrolyte, lithium],
            [pin, {"Al": 1.0}, pores, separator, lithium],
        )
        names = substance_names()
        return np.array(
            [[[layer.get(name, 0.0) for name in names] for layer in stack] for stack in stacks]
        )

    @property
    def contrasts(self) -> NDArray[np.float64]:
        """``contents`` less those of the region around, shape (region, layer, substance).

        Times the lengths inside the whole circles, this sums to what is crossed.
        """
        contents = self.contents
        return np.diff(contents, axis=0, prepend=np.zeros((1, *contents.shape[1:])))
