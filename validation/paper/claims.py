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

Verdict = Literal["yes", "no", "cannot tell", "not found"]
HEADINGS = (
    "figure", "claim", "published", "recovered", "truth", "error", "needed", "supported", "note",
)  # fmt: skip


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
    """Largest error with which the claim still stands."""
    unit: str = ""
    esd: float = float("nan")
    """Standard uncertainty of what was recovered; NaN where none is stated."""
    note: str = ""
    digits: int = 2

    @property
    def error(self) -> float:
        """What was recovered less the truth."""
        return self.recovered - self.truth

    @property
    def supported(self) -> Verdict:
        """Whether the method is good enough for the claim.

        It *cannot tell* where its own uncertainty, twice the esd, is larger than what the claim
        needs, and holds the error: a hit is then luck, and a miss no surprise.
        """
        error = abs(self.error)
        if not np.isfinite(error):
            return "not found"
        unsure = np.isfinite(self.esd) and 2.0 * self.esd > self.needed
        if unsure and error <= max(self.needed, 2.0 * self.esd):
            return "cannot tell"
        return "yes" if error <= self.needed else "no"

    def told(self) -> tuple[str, ...]:
        """Return the row of the table."""

        def number(value: float, sign: str = "") -> str:
            return f"{value:{sign}.{self.digits}f}" if np.isfinite(value) else "–"

        esd = f" ± {number(self.esd)}" if np.isfinite(self.esd) else ""
        unit = f" {self.unit}" if self.unit else ""
        return (
            self.figure, self.claim, self.published, f"{number(self.recovered)}{esd}{unit}",
            f"{number(self.truth)}{unit}", f"{number(self.error, '+')}{unit}",
            f"{number(self.needed)}{unit}", self.supported, self.note,
        )  # fmt: skip


def as_csv(claims: Iterable[Claim]) -> bytes:
    """Return the table as comma-separated values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADINGS)
    writer.writerows(claim.told() for claim in claims)
    return buffer.getvalue().encode()


def as_markdown(claims: Iterable[Claim]) -> str:
    """Return the table in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(claim.told()) + " |" for claim in claims]
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
