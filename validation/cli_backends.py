"""The command that lists the backends of reconstruction."""

from __future__ import annotations

import typer

HEADINGS = ("backend", "methods", "version")


def backends() -> None:
    """List the packages that can reconstruct, and the command that installs what is missing."""
    from inverse.backends.registry import listed_backends
    from xrdct.errors import InputError

    rows = []
    for listed in listed_backends():
        backend = listed.backend
        if backend is None:
            rows.append((listed.name, "", f"does not load: {listed.error}"))
            continue
        try:
            state = backend.version()
        except InputError as error:
            state = str(error)
        except Exception as error:  # whatever another's code does, the others are listed
            state = f"does not load: {type(error).__name__}: {error}"
        rows.append((listed.name, ", ".join(backend.methods), state))
    widths = [max(len(row[k]) for row in (HEADINGS, *rows)) for k in (0, 1)]
    for name, methods, state in (HEADINGS, *rows):
        told = " ".join(state.split())
        typer.echo(f"{name:<{widths[0]}}  {methods:<{widths[1]}}  {told}")
