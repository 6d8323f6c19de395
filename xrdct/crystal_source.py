"""Find a crystal by what a user writes: a built-in name, or the path of a CIF file."""

from __future__ import annotations

from pathlib import Path

from xrdct.crystal import Crystal, load_cif, load_crystal


def find_crystal(source: str, *, folder: Path | None = None) -> Crystal:
    """Return a crystal; a ``source`` ending in .cif is a file, relative to ``folder``.

    Raises InputError where there is no such crystal or file, or the file is refused.
    """
    if source.lower().endswith(".cif"):
        return load_cif((folder or Path()) / source)
    return load_crystal(source)
