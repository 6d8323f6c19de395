"""Rebuild the study's figures from simulation, each with the truth and a table of its claims."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.batch.work import code_fingerprint
from validation.figures_style import png
from validation.outputs import check_outputs, prepare_folder, write_safely
from validation.page import page, picture_url
from validation.paper import figure_1, figure_2, figure_3, figure_4, figure_5, figure_6
from validation.paper.claims import HEADINGS, RULES, Claim, as_csv, as_json, as_markdown, from_table
from validation.paper.claims_by_figure import with_claims
from validation.paper.drawing import Drawn, Study
from validation.paper.experiments import Size
from validation.paper.prepared import Sets
from validation.paper.style import DOTS_PER_INCH, pdf
from xrdct.errors import InputError

Progress = Callable[[str, float], None]

_DRAWN = (figure_1, figure_2, figure_3, figure_4, figure_5, figure_6)
FIGURES: Mapping[int, Callable[[Study], Drawn]] = {
    number: with_claims(figure.drawn, number) for number, figure in enumerate(_DRAWN, start=1)
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

    @property
    def readable_table(self) -> Path:
        """The same in Markdown, with the rules of the verdicts."""
        return self.folder / "claims.md"

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

    Scans and figures that this very code has made for the same question are not made again. The
    page and the table hold all figures of the folder.

    Raises InputError for other files in the place of figures, page and table, unless ``force``, and
    for figures of another size or seed in the same folder.
    """
    files = PaperFiles(folder)
    question = {
        "schema": SCHEMA, "quick": quick, "seed": seed, "code": code_fingerprint(with_paper=True),
    }  # fmt: skip
    there = _there(files)
    wanted = [
        number for number in sorted(set(figures))
        if force or not _same(there.get(number), question)
    ]  # fmt: skip
    _check_folder(files, wanted, there, question, force=force)
    prepare_folder(files.sets)
    sets = Sets(files.sets, workers=workers, progress=progress)
    study = Study(sets, Size(quick=quick), seed)
    for number in wanted:
        _write(files, number, FIGURES[number](study), question)
    return _collected(files)


def _there(files: PaperFiles) -> dict[int, dict[str, Any]]:
    """Return what the figures in the folder say of themselves; InputError for what is not ours."""
    found = {}
    for number in FIGURES:
        path = files.claims(number)
        if path.exists():
            try:
                table = json.loads(path.read_text(encoding="utf-8"))
                ours = table["schema"] == SCHEMA and isinstance(table["claims"], list)
            except (OSError, ValueError, KeyError, TypeError):
                ours = False
            if not ours or not files.picture(number).exists():
                raise InputError(
                    f"{path} is no complete figure of this program: remove figure_{number}.*, or "
                    "choose another folder"
                )
            found[number] = table
    return found


def _same(table: Mapping[str, Any] | None, question: Mapping[str, Any]) -> bool:
    """Return whether a figure was made by this code for this question."""
    return table is not None and all(table.get(key) == value for key, value in question.items())


def _check_folder(
    files: PaperFiles,
    wanted: Collection[int],
    there: Mapping[int, Mapping[str, Any]],
    question: Mapping[str, Any],
    *,
    force: bool,
) -> None:
    """Raise InputError where something would be lost, or two studies be mixed."""
    kept = {number: table for number, table in there.items() if number not in wanted}
    for number, table in kept.items():
        if any(table.get(key) != question[key] for key in ("quick", "seed")):
            raise InputError(
                f"{files.folder} holds figure {number} of another study (seed {table.get('seed')}"
                f"{', quick' if table.get('quick') else ''}): choose another folder"
            )
    outputs = [
        path for number in wanted
        for path in (files.picture(number), files.drawing(number), files.claims(number))
    ]  # fmt: skip
    if not there:  # with figures of ours, page and table are ours
        outputs += [files.page, files.table, files.readable_table]
    check_outputs(outputs, force=force)


def _write(files: PaperFiles, number: int, drawn: Drawn, question: Mapping[str, Any]) -> None:
    write_safely(files.picture(number), png(drawn.figure, dots_per_inch=DOTS_PER_INCH))
    write_safely(files.drawing(number), pdf(drawn.figure))
    told = {"figure": number, "caption": drawn.caption} | dict(question)
    write_safely(files.claims(number), as_json(drawn.claims, **told))


def _collected(files: PaperFiles) -> list[Claim]:
    """Write the page and the table of all figures in the folder, and return their claims."""
    tables = _there(files)
    claims = [claim for table in tables.values() for claim in from_table(table["claims"])]
    write_safely(files.table, as_csv(claims))
    write_safely(files.readable_table, as_markdown(claims).encode())
    shown = [_shown(files, number, table) for number, table in tables.items()]
    write_safely(
        files.page,
        page(
            "paper.html", experiment="The study, simulated", figures=shown, headings=HEADINGS,
            claims=[claim.told() for claim in claims], rules=RULES,
        ),
    )  # fmt: skip
    return claims


def _shown(files: PaperFiles, number: int, table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "number": number,
        "image": picture_url(files.picture(number).read_bytes()),
        "caption": table["caption"],
        "origin": ("quick, " if table["quick"] else "") + f"seed {table['seed']}",
    }
