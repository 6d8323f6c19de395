"""Write the tables of docs/validation.md, each between its markers; the prose is written by hand.

    make validation
    python -m benchmarks.validation_document --sections bounds,scale
    python -m benchmarks.validation_document --check

Sections, and what they take on two cores; the first four take more than a minute:

    bounds     predictions of 26 scans beside simulations: 10 minutes
    budget     the error budget of examples/roi.toml: 20 minutes and more; goes on where it was
    plan       plans' picks and neighbours simulated, 27 scans: 15 minutes; goes on where it was
    score      five pipelines or more on one scan: 2 minutes; goes on where it was
    selftest   ten planted mistakes: 5 minutes
    scale      the same figures from one process, two, and a dask cluster: below a minute

What is simulated is kept in the folder given. A section is written when it is complete, before the
next one is begun. --check makes nothing: it tells of markers that are missing, sections that are
empty, and tables whose columns are not those that their section has, and ends with 1 if any.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bounds, document_pipelines, document_predictions
from benchmarks.document_markers import content_of, names_in, write_part
from xrdct.errors import InputError

DOCUMENT = Path(__file__).parent.parent / "docs" / "validation.md"
FOLDER = Path("out") / "validation"
COMMAND = "python -m benchmarks.validation_document --sections"


@dataclass(frozen=True)
class Section:
    """A part of the document that is made."""

    make: Callable[[Path, Path, int | None], str]
    """From the folder of results, the document and the number of workers to Markdown."""
    header: str
    """Of its table."""


SECTIONS: Mapping[str, Section] = {
    "bounds": Section(document_predictions.bounds_table, bounds.HEADER),
    "budget": Section(document_predictions.budget_table, document_predictions.BUDGET_HEADER),
    "plan": Section(document_predictions.plan_table, document_predictions.PLAN_HEADER),
    "score": Section(document_pipelines.score_table, document_pipelines.SCORE_HEADER),
    "selftest": Section(document_pipelines.selftest_table, document_pipelines.SELFTEST_HEADER),
    "scale": Section(document_pipelines.scale_table, document_pipelines.SCALE_HEADER),
}


def write_section(
    name: str,
    document: Path,
    *,
    folder: Path,
    workers: int | None = None,
    sections: Mapping[str, Section] = SECTIONS,
) -> None:
    """Make a section and put it between its markers; nothing is made where they are not right.

    Raises InputError for markers that are missing or stand twice, before anything is made.
    """
    write_part(document, name, lambda: sections[name].make(folder, document, workers))


def complaints(
    text: str, names: Sequence[str], *, sections: Mapping[str, Section] = SECTIONS
) -> Iterator[str]:
    """Yield a sentence for everything that is not as the sections would have it."""
    for name in names:
        try:
            content = content_of(text, name)
        except InputError as error:
            yield str(error)
            continue
        if not content.strip():
            yield f"{name} is empty: {COMMAND} {name}"
        elif sections[name].header not in content:
            yield f"the table of {name} has other columns than its section makes"
        if f"<!-- begin {name}: made by {COMMAND} {name} -->" not in text:
            yield f"the marker 'begin {name}' names another command than {COMMAND} {name}"
    for name in names_in(text):
        if name not in sections:
            yield f"the document has a part {name!r} that no section makes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sections that are asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sections", default=",".join(SECTIONS), metavar="NAME,NAME", help="all, unless given"
    )
    parser.add_argument("--check", action="store_true", help="look, and make nothing")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of results; %(default)s")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=None, help="processes at a time")
    asked = parser.parse_args(arguments)
    names = [name.strip() for name in asked.sections.split(",")]
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"--sections are {', '.join(SECTIONS)}, not {unknown[0]!r}")
    if asked.check:
        found = list(complaints(asked.document.read_text(encoding="utf-8"), names))
        for sentence in found:
            sys.stdout.write(f"{sentence}\n")
        return 1 if found else 0
    try:
        for name in names:
            sys.stderr.write(f"{name} …\n")
            write_section(name, asked.document, folder=asked.folder, workers=asked.workers)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
