"""The names of plain arrays that a pipeline may give, and how they become a file.

The pipeline's own process imports this, so it needs numpy only: a pipeline's time is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError

FRACTION = "weight_fraction_"
"""Begin of the names of weight fractions; the phase follows, and ``_esd`` for its uncertainty."""
NEEDED = "a_A"
OPTIONAL = (
    "a_esd_A",
    "a_esd_noise_A",
    "a_esd_total_A",
    "volume_fraction",
    "amount",
    "volume_fraction_esd",
    "amount_esd",
    "chi2_reduced",
)


def is_known(name: str) -> bool:
    """Return whether an array of that name is read."""
    return name == NEEDED or name in OPTIONAL or name.startswith(FRACTION)


def save_arrays(mapping: Mapping[Any, object], path: Path) -> None:
    """Write what of a mapping has known names as an npz file.

    Raises InputError where a value is no array of numbers, or there is no ``a_A``.
    """
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, value in mapping.items():
        if not is_known(str(name)):
            continue
        try:
            arrays[str(name)] = np.asarray(value, dtype=float)
        except (TypeError, ValueError) as error:
            told = " ".join(str(error).split())
            raise InputError(f"{name} is no array of numbers: {told}") from error
    if NEEDED not in arrays:
        raise InputError("the mapping that it returned has no a_A, the lattice parameter in Å")
    np.savez(path, **arrays)  # type: ignore[arg-type]
