"""Live pixels of Pilatus detectors: modules of 195 × 487 pixels of 172 µm, with gaps between them.

Gaps are 17 pixels high and 7 wide. The CdTe sensor of a module is in two halves, between which
three columns are masked. The same as pyFAI's detectors of these names, which take a second to load.

Source: Dectris, as in pyFAI, `detectors/_dectris.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIXEL_M = 172e-6
"""Edge of the square pixels."""

_ROWS, _COLUMNS = 195, 487
_GAP_ROWS, _GAP_COLUMNS = 17, 7
_SEAM_FIRST, _SEAM_LAST = _COLUMNS // 2 - 1, _COLUMNS // 2 + 1
_SILICON = {
    "100k": (1, 1), "200k": (2, 1), "300k": (3, 1), "300kw": (1, 3), "900k": (3, 3), "1m": (5, 2),
    "2m": (8, 3), "6m": (12, 5),
}  # fmt: skip
_CDTE = {"300k": (3, 1), "300kw": (1, 3), "900kw": (1, 9), "1m": (5, 2), "2m": (8, 3)}
_MODULES = {f"pilatus{size}": modules for size, modules in _SILICON.items()} | {
    f"pilatuscdte{size}": modules for size, modules in _CDTE.items()
}
"""Modules down and across, by the detector's name in small letters."""


def pilatus_shape(name: str) -> tuple[int, int] | None:
    """Return rows and columns of pixels; None where the name is not one of a Pilatus here."""
    modules = _MODULES.get(name.lower())
    if modules is None:
        return None
    down, across = modules
    return (
        down * (_ROWS + _GAP_ROWS) - _GAP_ROWS,
        across * (_COLUMNS + _GAP_COLUMNS) - _GAP_COLUMNS,
    )


def pilatus_live(name: str) -> NDArray[np.bool_] | None:
    """Return pixels in no gap, (row, column); None where the name is not one of a Pilatus here."""
    shape = pilatus_shape(name)
    if shape is None:
        return None
    row = np.arange(shape[0]) % (_ROWS + _GAP_ROWS)
    column = np.arange(shape[1]) % (_COLUMNS + _GAP_COLUMNS)
    in_columns = column < _COLUMNS
    if "cdte" in name.lower():
        in_columns &= (column < _SEAM_FIRST) | (column > _SEAM_LAST)
    return (row < _ROWS)[:, None] & in_columns
