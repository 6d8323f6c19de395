"""What a user is told: what can be mended, in one sentence, and what to know of a result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
