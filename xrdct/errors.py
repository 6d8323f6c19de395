"""What a user is told: what can be mended, in one sentence, and what to know of a result."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class InputError(ValueError):
    """A rule that the input breaks, with the offending value and where it came from.

    The command line prints its message as one line and exits with code 2.
    """


class ResultWarning(UserWarning):
    """What must be known of a result that is given all the same, in one sentence.

    The command line prints it as one line.
    """


@contextmanager
def told_of(source: Path | str) -> Iterator[None]:
    """Put before a complaint what it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def show_warnings_in_a_line() -> None:
    """From now on show what must be known of results without place in the program, on stderr.

    Other warnings are for whoever mends the program and keep their place.
    """
    as_usual = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ResultWarning):
            print(f"warning: {' '.join(str(message).split())}", file=file or sys.stderr)
        else:
            as_usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show
