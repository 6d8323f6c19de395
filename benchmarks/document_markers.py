"""Parts of a hand-written document that commands write: what stands between two markers.

    <!-- begin NAME: made by COMMAND -->
    anything
    <!-- end NAME -->

Everything else is left as it is, byte by byte.
"""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from pathlib import Path

from validation.outputs import write_safely
from xrdct.errors import InputError


def content_of(document: str, name: str) -> str:
    """Return what stands between the markers of a part, without the lines around it.

    Raises InputError where a marker is missing, stands twice, or the end before the begin.
    """
    first, last = _between(document, name)
    return document[first:last].strip("\n")


def with_content(document: str, name: str, content: str) -> str:
    """Return the document with other content between the markers of a part.

    Raises InputError as :func:`content_of` does, and for content with a marker in it.
    """
    if re.search(r"<!--\s*(begin|end)\s", content):
        raise InputError(f"what is written into {name} holds a marker itself")
    first, last = _between(document, name)
    return f"{document[:first]}\n{content.strip(chr(10))}\n{document[last:]}"


def write_part(document: Path, name: str, make: Callable[[], str]) -> None:
    """Make a part of a document and put it between its markers.

    Raises InputError for markers that are missing or stand twice, before anything is made.
    """
    content_of(document.read_text(encoding="utf-8"), name)
    made = make()
    # The prose may have been changed meanwhile.
    text = with_content(document.read_text(encoding="utf-8"), name, made)
    write_safely(document, text.encode())


def add_document_option(parser: ArgumentParser, document: Path) -> None:
    """Let a command take --document, by itself for ``document``, or with the path of another."""
    parser.add_argument(
        "--document", nargs="?", type=Path, const=document, metavar="PATH",
        help=f"write the table into it, docs/{document.name} unless given",
    )  # fmt: skip


def print_or_write(lines: Iterable[str], name: str, document: Path | None) -> int:
    """Print lines as they come, put them into a part of a ``document`` if any; return an exit code.

    Where the document's markers are not right, that is told and nothing is made.
    """

    def printed() -> str:
        told = []
        for line in lines:
            print(line, flush=True)
            told.append(line)
        return "\n".join(told)

    if document is None:
        printed()
        return 0
    try:
        write_part(document, name, printed)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def names_in(document: str) -> list[str]:
    """Return the names of all parts that begin in a document, in order."""
    return re.findall(r"^<!-- begin ([\w-]+): made by .+ -->$", document, re.MULTILINE)


def _between(document: str, name: str) -> tuple[int, int]:
    """Return where the content begins, after the marker, and where the end marker begins."""
    begin = _only(document, rf"^<!-- begin {re.escape(name)}: made by .+ -->$", f"begin {name}")
    end = _only(document, rf"^<!-- end {re.escape(name)} -->$", f"end {name}")
    if end.start() < begin.end():
        raise InputError(f"the marker 'end {name}' stands before 'begin {name}' in the document")
    return begin.end(), end.start()


def _only(document: str, pattern: str, told: str) -> re.Match[str]:
    found = list(re.finditer(pattern, document, re.MULTILINE))
    if len(found) != 1:
        raise InputError(
            f"the document must have one marker '{told}' in a line of its own, not {len(found)}"
        )
    return found[0]
