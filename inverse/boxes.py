"""The smallest parts of maps that hold something, with a margin."""

from __future__ import annotations

Box = tuple[slice, ...]
"""A part of a map of any number of axes."""


def widened(box: Box, *, by: int, shape: tuple[int, ...]) -> Box:
    """Return a box with ``by`` pixels more on every side, as far as the map reaches."""
    return tuple(
        slice(max(part.start - by, 0), min(part.stop + by, n))
        for part, n in zip(box, shape, strict=True)
    )
