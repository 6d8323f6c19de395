"""Rebuild the study's figures from simulation, each with the truth and a table of its claims."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.figures_style import png
from validation.outputs import check_outputs, prepare_folder, write_safely
from validation.page import page, picture_url
from validation.paper import figure_1, figure_2, figure_3, figure_4, figure_5, figure_6
from validation.paper.claims import HEADINGS, Claim, as_csv, as_json, from_table
from validation.paper.drawing import Drawn, Study
from validation.paper.experiments import Size
from validation.paper.prepared import Sets
from validation.paper.style import DOTS_PER_INCH, pdf

Progress = Callable[[str, float], None]

FIGURES: Mapping[int, Callable[[Study], Drawn]] = {
    1: figure_1.drawn,
    2: figure_2.drawn,
    3: figure_3.drawn,
    4: figure_4.drawn,
    5: figure_5.drawn,
    6: figure_6.drawn,
}
SCHEMA = "xrdct-twin paper 1"


@dataclass(frozen=True)
class PaperFiles:
    """Where results lie."""

    folder: Path

    @property
    def sets(self) -> Path:
        """Scans, one folder each."""
        return self.folder / "scans"

    @property
    def page(self) -> Path:
        """All figures that there are, and the table."""
        return self.folder / "paper.html"

    @property
    def table(self) -> Path:
        """The claims of all figures that there are."""
        return self.folder / "claims.csv"

    def picture(self, number: int) -> Path:
        """Return where a figure lies as pixels."""
        return self.folder / f"figure_{number}.png"

    def drawing(self, number: int) -> Path:
        """Return where a figure lies as lines."""
        return self.folder / f"figure_{number}.pdf"

    def claims(self, number: int) -> Path:
        """Return where its claims lie; written last, so they mark a complete figure."""
        return self.folder / f"figure_{number}.json"


def make_paper(
    folder: Path,
    *,
    figures: Collection[int] = tuple(FIGURES),
    quick: bool = False,
    seed: int = 1,
    force: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Claim]:
    """Make figures in ``folder``, and return the claims of all that are there.

    Scans that lie there already are used. The page and the table hold all figures of the folder.

    Raises InputError for figures that are there already, unless ``force``.
    """
    files = PaperFiles(folder)
    check_outputs([files.claims(number) for number in figures], force=force)
    prepare_folder(folder)
    prepare_folder(files.sets)
    size = Size(quick=quick)
    study = Study(Sets(files.sets, workers=workers, progress=progress), size, seed)
    for number in sorted(figures):
        _write(files, number, FIGURES[number](study), quick=quick, seed=seed)
    return _collected(files)


def _write(files: PaperFiles, number: int, drawn: Drawn, *, quick: bool, seed: int) -> None:
    write_safely(files.picture(number), png(drawn.figure, dots_per_inch=DOTS_PER_INCH))
    write_safely(files.drawing(number), pdf(drawn.figure))
    told = {
        "schema": SCHEMA, "figure": number, "caption": drawn.caption, "quick": quick, "seed": seed,
    }  # fmt: skip
    write_safely(files.claims(number), as_json(drawn.claims, **told))


def _collected(files: PaperFiles) -> list[Claim]:
    """Write the page and the table of all figures in the folder, and return their claims."""
    there = [number for number in FIGURES if files.claims(number).exists()]
    tables = [json.loads(files.claims(number).read_text(encoding="utf-8")) for number in there]
    claims = [claim for table in tables for claim in from_table(table["claims"])]
    write_safely(files.table, as_csv(claims))
    write_safely(
        files.page,
        page(
            "paper.html",
            figures=[
                _shown(files, number, table) for number, table in zip(there, tables, strict=True)
            ],
            experiment="The study, simulated",
            headings=HEADINGS,
            claims=[claim.told() for claim in claims],
        ),
    )
    return claims


def _shown(files: PaperFiles, number: int, table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "number": number,
        "image": picture_url(files.picture(number).read_bytes()),
        "caption": table["caption"],
        "origin": ("quick, " if table["quick"] else "") + f"seed {table['seed']}",
    }
