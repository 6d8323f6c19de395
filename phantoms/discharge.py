"""The operando discharge by charge counting: how much lithium is in the spinel at which scan.

A constant current I moves lithium from the counter electrode into the spinel; it stops for each of
five scans. With the practical capacity Q of the cell, of which the spinel's theoretical capacity is
a larger amount, the mean lithium content of LixMn2O4 is

    x(q) = x_0 + (q / Q) Δx,   Δx = practical / theoretical specific capacity,

q the charge counted so far, and the theoretical capacity F / (3.6 M) in mAh/g, M the molar mass of
LiMn2O4 in g/mol: 148 mAh/g, of which the study uses 110, so Δx = 0.74.

Current, capacity and specific capacity follow Finegan et al., Nat. Commun. 11 (2020) 631, Methods.
Assumptions: x_0 is where the law a(x) of :mod:`phantoms.stoichiometry` gives the study's 8.07 Å;
the pauses lie evenly in charge, the first before the discharge and the last after it (its figure
1f has no numbers); each lasts as long as one scan of the region of interest. The voltage is that
at open circuit of the mean x, without polarisation or relaxation, for which the study gives no
figures: 4.28 V to 3.95 V, where the study went from 4.2 V to 3 V. The end is one of charge here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from phantoms.stoichiometry import OCV_RANGE, open_circuit_voltage_V
from xrdct.composition import formula_mass_u
from xrdct.errors import InputError
from xrdct.scan import SCAN_PRESETS
from xrdct.spec import Spec

Array: TypeAlias = NDArray[np.float64]

ScanNumber = Literal[1, 2, 3, 4, 5]
SCAN_NUMBERS: tuple[ScanNumber, ...] = (1, 2, 3, 4, 5)

_FARADAY_C_PER_MOL = 96485.33212
_C_PER_MAH = 3.6
_S_PER_H = 3600.0


class Discharge(Spec):
    """A discharge at constant current with pauses for five scans."""

    current_uA: float = Field(8.0, gt=0.0)
    capacity_mAh: float = Field(0.0143, gt=0.0)
    start_x: float = Field(0.174, gt=OCV_RANGE[0], lt=OCV_RANGE[1])
    """Mean x in LixMn2O4 before the discharge: a = 8.07 Å."""
    practical_mAh_per_g: float = Field(110.0, gt=0.0)
    """Specific capacity that ``capacity_mAh`` stands for."""
    scan_charges: tuple[float, float, float, float, float] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Share of the capacity that has been counted at each scan."""
    pause_s: float = Field(SCAN_PRESETS["roi"].beam_time_s, gt=0.0)
    """How long the current stops for a scan."""

    @model_validator(mode="after")
    def _possible(self) -> Discharge:
        charges = self.scan_charges
        if charges[0] < 0.0 or charges[-1] > 1.0 or any(b <= a for a, b in pairwise(charges)):
            raise ValueError(f"scan_charges must increase from scan to scan in 0 to 1: {charges}")
        if self.x_at(1.0) >= OCV_RANGE[1]:
            raise ValueError(
                f"start_x {self.start_x:g} and practical_mAh_per_g {self.practical_mAh_per_g:g} "
                f"lead to x = {self.x_at(1.0):.3f}, but it must stay below {OCV_RANGE[1]:g}"
            )
        return self

    @property
    def discharge_s(self) -> float:
        """How long the current flows."""
        return self.capacity_mAh / (self.current_uA * 1e-3) * _S_PER_H

    @property
    def c_rate_per_h(self) -> float:
        """Capacities per hour: C/1.8 is 1/1.8."""
        return _S_PER_H / self.discharge_s

    @property
    def x_change(self) -> float:
        """Δx of the whole discharge."""
        return self.practical_mAh_per_g / theoretical_mAh_per_g()

    def x_at(self, charge_share: float) -> float:
        """Return the mean x when ``charge_share`` of the capacity has been counted."""
        return self.start_x + charge_share * self.x_change

    def scan_x(self, scan: int) -> float:
        """Return the mean x in LixMn2O4 during a scan, 1 to 5."""
        return self.x_at(self.scan_charges[_index(scan)])

    def on_s(self, scan: int) -> float:
        """Return for how long the current has flowed when a scan begins."""
        return self.scan_charges[_index(scan)] * self.discharge_s

    def scan_start_s(self, scan: int) -> float:
        """Return when a scan begins, counted from the beginning of the protocol."""
        return self.on_s(scan) + _index(scan) * self.pause_s


@dataclass(frozen=True, eq=False)
class Protocol:
    """A discharge over time, every field of shape (time,).

    The current jumps where pauses begin and end: both values are there, at the same time.
    """

    time_s: Array
    current_uA: Array
    charge_mAh: Array
    """Counted so far."""
    x: Array
    """Mean lithium content of LixMn2O4."""
    voltage_V: Array
    """At open circuit, against lithium."""
    scan: NDArray[np.int64]
    """Number of the scan during a pause, else 0."""


def protocol(discharge: Discharge, *, steps_per_part: int = 100) -> Protocol:
    """Return time, current, charge, x and voltage; parts are the pauses and what lies between."""
    if steps_per_part < 1:
        raise InputError(f"steps_per_part must be 1 or above, got {steps_per_part}")
    parts: list[tuple[float, float, int]] = []  # charge share at begin and end, scan
    done = 0.0
    for number, share in zip(SCAN_NUMBERS, discharge.scan_charges, strict=True):
        parts += [(done, share, 0)] if share > done else []
        parts.append((share, share, number))
        done = share
    parts += [(done, 1.0, 0)] if done < 1.0 else []
    length_s = [
        discharge.pause_s if scan else (b - a) * discharge.discharge_s for a, b, scan in parts
    ]
    ends_s = np.concatenate([[0.0], np.cumsum(length_s)])
    time_s = [np.linspace(a, b, steps_per_part + 1) for a, b in pairwise(ends_s)]
    charge = np.concatenate([np.linspace(a, b, steps_per_part + 1) for a, b, _ in parts])
    scan = np.repeat([part[2] for part in parts], steps_per_part + 1)
    x = discharge.start_x + charge * discharge.x_change
    return Protocol(
        time_s=np.concatenate(time_s),
        current_uA=np.where(scan > 0, 0.0, discharge.current_uA),
        charge_mAh=charge * discharge.capacity_mAh,
        x=x,
        voltage_V=open_circuit_voltage_V(x),
        scan=scan.astype(np.int64),
    )


def theoretical_mAh_per_g() -> float:
    """Return the charge of one lithium per formula unit LiMn2O4: F/(3.6 M), 148 mAh/g."""
    return _FARADAY_C_PER_MOL / (_C_PER_MAH * formula_mass_u({"Li": 1, "Mn": 2, "O": 4}))


def _index(scan: int) -> int:
    if scan not in SCAN_NUMBERS:
        raise InputError(f"scans are numbered 1 to 5, got {scan}")
    return scan - 1
