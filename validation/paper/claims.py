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
from typing import Any

import numpy as np

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
    def supported(self) -> bool:
        """Whether the method is good enough for the claim."""
        return bool(abs(self.error) <= self.needed)

    def told(self) -> tuple[str, ...]:
        """Return the row of the table."""

        def number(value: float, sign: str = "") -> str:
            return f"{value:{sign}.{self.digits}f}" if np.isfinite(value) else "–"

        esd = f" ± {number(self.esd)}" if np.isfinite(self.esd) else ""
        unit = f" {self.unit}" if self.unit else ""
        return (
            self.figure, self.claim, self.published, f"{number(self.recovered)}{esd}{unit}",
            f"{number(self.truth)}{unit}", f"{number(self.error, '+')}{unit}",
            f"{number(self.needed)}{unit}", "yes" if self.supported else "no", self.note,
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
    """Return claims, and what else there is to tell, as JSON."""
    table = more | {"claims": [asdict(claim) for claim in claims]}
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


def from_table(rows: Iterable[dict[str, Any]]) -> list[Claim]:
    """Return claims from their JSON."""
    return [Claim(**row) for row in rows]
