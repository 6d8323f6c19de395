"""The one exception for what a user can mend: bad input, told in one sentence."""

from __future__ import annotations


class InputError(ValueError):
    """A rule that the input breaks, with the offending value and where it came from.

    The command line prints its message as one line and exits with code 2.
    """
