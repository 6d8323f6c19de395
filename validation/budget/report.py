"""budget.html: one file, nothing external, that gets its name when it is complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from validation.budget.budget import SCHEMA
from validation.budget.figures import costs_figure, waterfall_figure
from validation.budget.words import (
    HEADINGS,
    fraction_headings,
    fraction_rows,
    rows,
    sentences,
)
from validation.figures_style import png
from validation.outputs import write_safely
from validation.page import page, picture_url
from validation.report_words import count
from xrdct.errors import InputError

Entry = Mapping[str, Any]


class BudgetFiles(NamedTuple):
    """Where a budget is written."""

    json: Path
    html: Path
    waterfall: Path

    @classmethod
    def within(cls, folder: Path) -> BudgetFiles:
        """Return the files in a folder."""
        return cls(folder / "budget.json", folder / "budget.html", folder / "waterfall.png")


def write_budget(budget: Entry, files: BudgetFiles) -> None:
    """Write the budget as data, page and picture, the data last.

    Raises InputError for a budget of another kind.
    """
    if budget.get("schema") != SCHEMA:
        raise InputError(f"a budget is of the kind {SCHEMA!r}, not {budget.get('schema')!r}")
    waterfall, costs = png(waterfall_figure(budget)), png(costs_figure(budget))
    write_safely(files.waterfall, waterfall)
    write_safely(files.html, _page(budget, {"waterfall": waterfall, "costs": costs}))
    content = json.dumps(budget, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_safely(files.json, content.encode())


def _page(budget: Entry, pictures: Mapping[str, bytes]) -> bytes:
    scan = budget["scan"]
    return page(
        "budget.html",
        experiment=str(budget["experiment"]),
        sentences=sentences(budget),
        reduced=budget["reduced"]["told"],
        headings=HEADINGS,
        rows=rows(budget),
        fraction_headings=fraction_headings(budget),
        fraction_rows=fraction_rows(budget),
        skipped=budget["skipped"],
        images={name: picture_url(picture) for name, picture in pictures.items()},
        origin=[
            ("configuration (SHA-256)", budget["config_sha256"]),
            ("seeds", ", ".join(str(seed) for seed in budget["seeds"])),
            ("simulated data", budget["mode"]),
            ("simulated scan", f"{count(scan['n_offsets'])} × {count(scan['n_angles'])} exposures"),
        ],
    )
