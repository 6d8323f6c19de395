"""The non-linear parameters of a Rietveld refinement: where they act, and in which units.

A refinement moves numbers of order one that a line's width is linear in; results are sizes in nm,
strains, Å, degrees and metres:

    size in nm   100/x, or 100/√x where its broadening is Gaussian
    strain       1e-3·x, or 1e-3·√x where it is Gaussian

Standard uncertainties follow by the slope of these laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import cell_law
from inverse.rietveld_recipe import Freedom, Rietveld, RietveldPhase
from inverse.rietveld_shapes import (
    B_ISO,
    CELL,
    OCCUPANCY,
    PER_PHASE,
    SIZE,
    STRAIN,
    STRETCH,
    ZERO,
)
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Law = Literal["plain", "inverse", "inverse root", "root"]

_ANGLE_UNIT_DEG = 60.0
_SIZE_RANGE = (1e-3, 20.0)
"""Crystallites of 100 µm to 5 nm."""
_STRAIN_RANGE = (0.0, 20.0)
_STRAIN_START = 0.5
_B_RANGE_A2 = (-2.0, 2.0)
_OCCUPANCY_RANGE = (0.0, 1.5)
_ZERO_RANGE_DEG = (-0.1, 0.1)
_STRETCH_RANGE = 0.005


@dataclass(frozen=True)
class Parameter:
    """One free parameter, which may act in several phases."""

    name: str
    """In results, such as "LiMn2O4.a_A"."""
    slots: tuple[int, ...]
    """Where it acts (:mod:`inverse.rietveld_shapes`)."""
    start: float
    low: float
    high: float
    law: Law = "plain"
    unit: float = 1.0
    """Result for a number of one."""

    @property
    def is_of_cell(self) -> bool:
        """Whether it is a length or an angle of a cell."""
        return self.slots[0] % PER_PHASE < SIZE and self.name not in ("zero_deg", "distance_m")

    def result(self, x: Floats) -> Floats:
        """Return what numbers mean, in the unit of the name."""
        if self.law == "inverse":
            return np.asarray(self.unit / x)
        if self.law == "inverse root":
            return np.asarray(self.unit / np.sqrt(x))
        return np.asarray(self.unit * (np.sqrt(x) if self.law == "root" else x))

    def number(self, result: Floats) -> Floats:
        """Return the numbers that mean a result."""
        ratio = np.asarray(result) / self.unit
        if self.law == "inverse":
            return np.asarray(1.0 / ratio)
        if self.law == "inverse root":
            return np.asarray(1.0 / ratio**2)
        return np.asarray(ratio**2 if self.law == "root" else ratio)

    def slope(self, x: Floats, spread: Floats) -> Floats:
        """Return the change of the result per change of the number, whose esd is ``spread``.

        A root has no slope at zero: there its change over one standard uncertainty counts.
        """
        if self.law == "inverse":
            return np.asarray(-self.unit / x**2)
        if self.law == "inverse root":
            return np.asarray(-0.5 * self.unit / x**1.5)
        if self.law == "root":
            return np.asarray(0.5 * self.unit / np.sqrt(np.maximum(x, 0.25 * spread)))
        return np.full_like(x, self.unit)


def slot_values(settings: Rietveld, *, stretch: float) -> Floats:
    """Return the value of every slot at the start; ``stretch`` is true over nominal distance.

    Raises InputError where phases tied to each other have cells of different symmetry.
    """
    values = np.zeros(PER_PHASE * len(settings.phases) + 2)
    values[-2:] = (0.0, stretch)
    for p, phase in enumerate(settings.phases):
        crystal = find_crystal(phase.crystal).scaled(phase.cell_start)
        law = cell_law(crystal)
        first = PER_PHASE * p
        values[first : first + len(law.names)] = law.free(crystal.cell_A_deg)
        values[first + SIZE] = _size(phase)
        values[first + STRAIN] = _strain(phase)
        values[first + B_ISO] = phase.b_iso_change_A2
        values[first + OCCUPANCY] = 1.0
    for p, phase in enumerate(settings.phases):
        _copy_tied(settings, p, phase, values)
    return values


def _copy_tied(settings: Rietveld, p: int, phase: RietveldPhase, values: Floats) -> None:
    """Give tied parameters the value of what they are tied to."""
    labels = [other.label for other in settings.phases]
    for parameter, slots in _places(phase).items():
        freedom = str(getattr(phase, parameter))
        if not freedom.startswith("="):
            continue
        leader = labels.index(freedom[1:])
        other_phase = settings.phases[leader]
        own, of_leader = (", ".join(_cell_names(each)) for each in (phase, other_phase))
        if parameter == "cell" and own != of_leader:
            raise InputError(
                f"the cell of {phase.label} cannot be tied to that of {freedom[1:]}: symmetry "
                f"leaves {own} and {of_leader} free"
            )
        for mine, other in zip(slots, _places(other_phase)[parameter], strict=True):
            values[PER_PHASE * p + mine] = values[PER_PHASE * leader + other]


def _size(phase: RietveldPhase) -> float:
    ratio = 100.0 / phase.crystallite_size_nm
    return ratio**2 if phase.size_shape == "gaussian" else ratio


def _strain(phase: RietveldPhase) -> float:
    ratio = 1e3 * phase.strain_value
    if phase.strain != "fixed" and ratio == 0.0:
        ratio = _STRAIN_START
    return ratio**2 if phase.strain_shape == "gaussian" else ratio


def _cell_names(phase: RietveldPhase) -> tuple[str, ...]:
    return cell_law(find_crystal(phase.crystal)).names


def _places(phase: RietveldPhase) -> dict[str, tuple[int, ...]]:
    """Return the slots of each parameter of a phase, counted within the phase."""
    n_cell = len(_cell_names(phase))
    return {
        "cell": tuple(range(CELL, CELL + n_cell)),
        "size": (SIZE,),
        "strain": (STRAIN,),
        "b_iso": (B_ISO,),
        "occupancy": (OCCUPANCY,),
    }


def free_parameters(
    settings: Rietveld, values: Floats, *, freedom: Freedom, distance_m: float
) -> list[Parameter]:
    """Return the parameters of a freedom, "voxel" or "shared", from the start ``values``.

    ``distance_m`` is the nominal distance.
    """
    found: list[Parameter] = []
    for p, phase in enumerate(settings.phases):
        for parameter, slots in _places(phase).items():
            if getattr(phase, parameter) != freedom:
                continue
            for index, slot in enumerate(slots):
                acting = (PER_PHASE * p + slot, *_followers(settings, phase, parameter, index))
                found.append(_parameter(phase, parameter, index, acting, values))
    n_phases = len(settings.phases)
    if settings.zero == freedom:
        low, high = np.deg2rad(_ZERO_RANGE_DEG)
        found.append(
            Parameter("zero_deg", (PER_PHASE * n_phases + ZERO,), 0.0, float(low), float(high),
                      unit=float(np.rad2deg(1.0)))
        )  # fmt: skip
    if settings.distance == freedom:
        stretch = float(values[-1])
        found.append(
            Parameter("distance_m", (PER_PHASE * n_phases + STRETCH,), stretch,
                      stretch * (1.0 - _STRETCH_RANGE), stretch * (1.0 + _STRETCH_RANGE),
                      unit=distance_m)
        )  # fmt: skip
    return found


def _followers(
    settings: Rietveld, leader: RietveldPhase, parameter: str, index: int
) -> tuple[int, ...]:
    """Return the slots of the same parameter in the phases that are tied to ``leader``."""
    return tuple(
        PER_PHASE * p + _places(phase)[parameter][index]
        for p, phase in enumerate(settings.phases)
        if getattr(phase, parameter) == f"={leader.label}"
    )


def _parameter(
    phase: RietveldPhase, parameter: str, index: int, slots: tuple[int, ...], values: Floats
) -> Parameter:
    start, label = float(values[slots[0]]), phase.label
    if parameter == "cell":
        name = _cell_names(phase)[index]
        reach = phase.cell_range * (start if name.endswith("_A") else _ANGLE_UNIT_DEG)
        return Parameter(f"{label}.{name}", slots, start, start - reach, start + reach)
    if parameter == "size":
        low, high = _SIZE_RANGE
        if phase.size_shape == "gaussian":
            return Parameter(
                f"{label}.size_nm", slots, start, low**2, high**2, "inverse root", 100.0
            )
        return Parameter(f"{label}.size_nm", slots, start, low, high, "inverse", 100.0)
    if parameter == "strain":
        low, high = _STRAIN_RANGE
        if phase.strain_shape == "gaussian":
            return Parameter(f"{label}.strain", slots, start, low**2, high**2, "root", 1e-3)
        return Parameter(f"{label}.strain", slots, start, low, high, unit=1e-3)
    if parameter == "b_iso":
        return Parameter(f"{label}.b_iso_change_A2", slots, start, *_B_RANGE_A2)
    return Parameter(f"{label}.occupancy", slots, start, *_OCCUPANCY_RANGE)
