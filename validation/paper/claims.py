"""What the study says, what a simulation recovers, what is true there, and whether to trust it.

The true numbers are those of the simulated sample, which was built after the study's own; what is
judged is not the study's electrode but whether its measurement and analysis can tell.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

Verdict = Literal["yes", "no", "cannot tell", "not found", "not in the sample"]
Kind = Literal["amount", "above", "below"]
HEADINGS = (
    "figure", "claim", "published", "recovered", "truth", "error", "supported if", "supported",
    "note",
)  # fmt: skip
RULES = (
    "An amount is supported (yes) if the error is no larger than what the row allows. It cannot be "
    "told if twice the standard uncertainty is larger than that and holds the error. Otherwise "
    "the answer is no. An amount for which no standard uncertainty is stated is judged by its "
    "error alone; one of infinite uncertainty cannot be told.",
    "That something is above (below) a limit is supported if it is so in the sample, by more than "
    "what the row calls noticeable, and recovered with three standard uncertainties. If it is so "
    "in the sample but not recovered, it cannot be told where three standard uncertainties hold "
    "the error, and the answer is no where they do not. What is recovered though the sample is "
    "at the limit or on its other side is a no. What is in the sample too little to be noticed, "
    "recovered or not, and what is neither in it nor recovered, has not been tested: it is not "
    "in the sample. Without a finite standard uncertainty it cannot be told.",
    "What has no value is not found.",
)
"""How verdicts come about, in words."""
_SEEN, _UNSURE = 3.0, 2.0
"""Standard uncertainties by which something is beyond a limit, and that an amount is known to."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the study with one number that it stands on."""

    figure: str
    claim: str
    published: str
    """What the study says of it, in its unit."""
    recovered: float
    truth: float
    needed: float
    """Of an amount, the largest error with which the claim still stands; of what is above or below
    a limit, how far beyond it the truth must be to be so noticeably."""
    unit: str = ""
    esd: float = float("nan")
    """Standard uncertainty of what was recovered; NaN where none is stated."""
    note: str = ""
    digits: int = 2
    kind: Kind = "amount"
    """Whether the study states an amount, or that it is above or below a limit."""
    limit: float = 0.0

    @property
    def error(self) -> float:
        """What was recovered less the truth."""
        return self.recovered - self.truth

    @property
    def supported(self) -> Verdict:
        """Whether the method is good enough for the claim, by `RULES`.

        An amount that *cannot be told* but agrees is luck, and a miss no surprise.
        """
        if not np.isfinite(self.error):
            return "not found"
        return self._amount() if self.kind == "amount" else self._beyond()

    def _amount(self) -> Verdict:
        error = abs(self.error)
        unsure = _UNSURE * self.esd > self.needed  # never so of NaN: no uncertainty is stated
        if unsure and error <= max(self.needed, _UNSURE * self.esd):
            return "cannot tell"
        return "yes" if error <= self.needed else "no"

    def _beyond(self) -> Verdict:
        sign = 1.0 if self.kind == "above" else -1.0
        beyond = sign * (self.truth - self.limit)
        there = beyond > self.needed
        if not np.isfinite(self.esd):
            return "cannot tell"
        if sign * (self.recovered - self.limit) > _SEEN * self.esd and (there or beyond <= 0.0):
            return "yes" if there else "no"
        if not there:
            return "not in the sample"
        return "cannot tell" if abs(self.error) <= _SEEN * self.esd else "no"

    def told(self) -> tuple[str, ...]:
        """Return the row of the table."""
        esd = f" ± {self._number(self.esd)}" if np.isfinite(self.esd) else ""
        unit = f" {self.unit}" if self.unit else ""
        return (
            self.figure, self.claim, self.published, f"{self._number(self.recovered)}{esd}{unit}",
            f"{self._number(self.truth)}{unit}", f"{self._number(self.error, '+')}{unit}",
            self._rule(unit), self.supported, self.note,
        )  # fmt: skip

    def _number(self, value: float, sign: str = "") -> str:
        return f"{value:{sign}.{self.digits}f}" if np.isfinite(value) else "–"

    def _rule(self, unit: str) -> str:
        if self.kind == "amount":
            return f"within {self._number(self.needed)}{unit}"
        noticeable = f", noticeable from {self._number(self.needed)}" if self.needed else ""
        return f"{self.kind} {self._number(self.limit)}{unit} by 3 esd{noticeable}"


def as_csv(claims: Iterable[Claim]) -> bytes:
    """Return the table as comma-separated values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADINGS)
    writer.writerows(claim.told() for claim in claims)
    return buffer.getvalue().encode()


def as_markdown(claims: Iterable[Claim]) -> str:
    """Return the rules of the verdicts, and the table, in Markdown."""
    lines = [f"- {rule}" for rule in RULES]
    lines += ["", "| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    rows = ([cell.replace("|", "\\|") for cell in claim.told()] for claim in claims)
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def as_json(claims: Sequence[Claim], **more: Any) -> bytes:
    """Return claims, and what else there is to tell, as JSON; NaN becomes null."""
    rows = [
        {name: None if value != value else value for name, value in asdict(claim).items()}
        for claim in claims
    ]
    table = more | {"claims": rows}
    return (json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def from_table(rows: Iterable[dict[str, Any]]) -> list[Claim]:
    """Return claims from their JSON."""
    known: list[dict[str, Any]] = [
        {name: np.nan if value is None else value for name, value in row.items()} for row in rows
    ]
    return [Claim(**row) for row in known]
