"""What a plan is to reach, and what it may cost: targets and limits, read from text with units.

--target lattice_A=0.0003      RMS error of the lattice parameter of a voxel, all terms, Å
--target weight_fraction=0.005 counting noise of a voxel's weight fractions
--target resolution_um=2       full width at half maximum of an edge's derivative
--max-time 30min --max-dose 50MGy --max-data 10GB
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xrdct.errors import InputError

LATTICE, FRACTION, RESOLUTION = "lattice_A", "weight_fraction", "resolution_um"
TIME, DOSE, DATA = "beam time", "dose", "data"
TARGETS = (LATTICE, FRACTION, RESOLUTION)

_TIME_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_DOSE_UNITS = {"MGy": 1.0, "kGy": 1e-3}
_DATA_UNITS = {"GB": 1e3, "MB": 1.0, "TB": 1e6}
_QUANTITY = re.compile(r"\s*([-+0-9.eE]+)\s*([A-Za-z]+)\s*")


@dataclass(frozen=True)
class Wish:
    """Targets to reach, and limits to keep."""

    targets: Mapping[str, float]
    """By name; an error, a width: less is better."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Beam time in s, dose in MGy, data in MB; none where there is no limit."""
    region: str = "interior"
    """Of the voxels whose errors count: interior or eroded."""


def read_targets(texts: Sequence[str]) -> dict[str, float]:
    """Return targets by name; InputError, one sentence, for what is none."""
    found: dict[str, float] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or name not in TARGETS:
            raise InputError(f"--target takes {', '.join(TARGETS)} = a number, not {text!r}")
        if name in found:
            raise InputError(f"--target {name} is given twice")
        found[name] = _positive(value, told=f"--target {name}")
    if not found:
        raise InputError("a plan needs a --target, such as lattice_A=0.0003")
    return found


def read_limits(time: str | None, dose: str | None, data: str | None) -> dict[str, float]:
    """Return limits by name, in s, MGy and MB; InputError, one sentence, for wrong units."""
    asked = (
        (TIME, time, _TIME_UNITS, "--max-time", "30min"),
        (DOSE, dose, _DOSE_UNITS, "--max-dose", "50MGy"),
        (DATA, data, _DATA_UNITS, "--max-data", "10GB"),
    )
    return {
        name: _quantity(text, units, option, example)
        for name, text, units, option, example in asked
        if text is not None
    }


def _quantity(text: str, units: Mapping[str, float], option: str, example: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise InputError(
            f"{option} takes a number and its unit ({', '.join(units)}), such as {example}, "
            f"not {text!r}"
        )
    return _positive(match[1], told=option) * units[match[2]]


def _positive(text: str, *, told: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise InputError(f"{told} must be a number above zero, not {text!r}")
    return value
