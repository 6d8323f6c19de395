"""Which program versions made a file."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("xrdct-twin", "numpy", "scipy", "numba", "xraylib", "pyFAI", "h5py", "gemmi")


def versions() -> dict[str, str]:
    """Return the versions of Python, this project and what its numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
