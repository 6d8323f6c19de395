"""What a check says of a pipeline: one line, and the name of the mistake where the data tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from validation.properties.statistics import FALSE_ALARM

Status = Literal["passed", "failed", "not asked"]

MISTAKES = {
    "rotation_sign": "the rotation has the wrong sign",
    "axis": "the rotation axis is taken half a pixel beside where it is",
    "mirrored": "the maps are mirrored",
    "transposed": "the maps are transposed, or indexed [x, y]",
    "turned": "the maps are turned",
    "shifted": "the maps are shifted",
    "monitor": "counts are not divided by the photons of each point",
    "polarisation": "the polarisation of the beam is forgotten",
    "polarisation_twice": "the polarisation is corrected twice, or along the wrong axis",
    "trim": "trimming leaves out the faintest pixels in place of the brightest",
    "lattice_scale": "lattice parameters are wrong by a constant factor",
    "degrees": "degrees are taken for radians",
    "esd_small": "standard uncertainties are too small by √2",
    "esd_large": "standard uncertainties are too large by √2",
}
"""Mistakes that have a name, and what they are."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check."""

    check: str
    status: Status
    sentence: str
    """What was found, and what is allowed."""
    named: str = ""
    """The mistake, one of ``MISTAKES``; empty where the data do not tell it."""
    false_alarm: float | None = None
    """Probability that a right pipeline fails this check by noise; None: not a matter of chance."""

    def line(self) -> str:
        """Return what is printed of it."""
        word = self.status.upper() if self.status == "failed" else self.status
        told = self.sentence
        if self.named:
            told = f"{MISTAKES[self.named]}: {told}"
        if self.status == "not asked":
            return f"{self.check:<18} {word:<9} {told}"
        if self.false_alarm is None:
            sure = "not a matter of chance"
        else:
            sure = f"false alarm below {self.false_alarm:.0e}".replace("e-0", "e-")
        return f"{self.check:<18} {word:<9} {told} ({sure})"


def passed(check: str, sentence: str) -> Verdict:
    """Return that a check that rests on statistics is passed."""
    return Verdict(check, "passed", sentence, false_alarm=FALSE_ALARM)


def failed(check: str, sentence: str, *, named: str = "") -> Verdict:
    """Return that a check that rests on statistics is failed."""
    return Verdict(check, "failed", sentence, named, FALSE_ALARM)


def not_asked(check: str, reason: str) -> Verdict:
    """Return that a check could not be made of what the pipeline gives."""
    return Verdict(check, "not asked", reason)


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return verdicts as plain data."""
    return [asdict(verdict) for verdict in verdicts]
