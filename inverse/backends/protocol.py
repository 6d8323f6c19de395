"""What a reconstruction backend is: one call with this project's geometry, sign and units.

Backends are found by the entry point group ``xrdct_twin.backends``; an entry point names a class
that is called without arguments. Modules of backends import without the package they drive, which
is loaded when it is first needed.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdct.errors import InputError

DEFAULT_ITERATIONS = 100
"""Iterations of an iterative method that is told no number."""


class Backend(Protocol):
    """A way to turn a sinogram of line integrals into images."""

    name: str
    """What a user calls it by."""

    methods: tuple[str, ...]
    """The methods it offers, the usual one first."""

    install: str
    """The command that installs what it needs."""

    def version(self) -> str:
        """Return the version of what it drives.

        Raises InputError, naming the command that installs it, where that is missing.
        """
        ...

    def reconstruct(
        self,
        sinogram: ArrayLike,
        *,
        angles_rad: ArrayLike,
        step_um: float,
        axis_offset_um: float = 0.0,
        method: str | None = None,
        filter_name: str = "ramp",
        iterations: int | None = None,
        size: int | None = None,
        workers: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the images (iy, ix, channel), in the sinogram's quantity per µm.

        sinogram (angle, offset, channel), geometry as in :mod:`inverse.geometry`. A pixel that is
        not seen at every angle is NaN, and so is a channel that holds a NaN. ``method`` is by
        default the first of ``methods``; filters are those of :mod:`inverse.filters` and act on
        projections continued by their edge values; ``iterations`` count for iterative methods.

        Raises InputError for arguments that do not fit together, and where the package is missing.
        """
        ...


def loaded(module: str, *, install: str) -> Any:
    """Return an optional module, or raise InputError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"The package {module.partition('.')[0]} cannot be loaded ({error}); "
            f"install it with `{install}`."
        ) from error


def version_of(module: str, *, distribution: str, install: str) -> str:
    """Return the version of an optional module, or raise InputError where it cannot be loaded."""
    package = loaded(module, install=install)
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return str(getattr(package, "__version__", "unknown"))
