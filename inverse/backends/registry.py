"""Find backends by the entry point group ``xrdct_twin.backends``.

A backend of somebody else's that does not load is listed with its error and harms no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from inverse.backends.protocol import Backend
from xrdct.errors import InputError

GROUP = "xrdct_twin.backends"

OWN_DISTRIBUTION = "xrdct-twin"

_ATTRIBUTES = ("name", "methods", "install", "version", "reconstruct")


@dataclass(frozen=True, eq=False)
class Listed:
    """An entry point of the group: a backend, or why there is none."""

    name: str
    """As the entry point calls it."""
    backend: Backend | None
    error: str
    """Why it did not load; empty where it did."""


def listed_backends() -> list[Listed]:
    """Return every backend that is installed, this project's first, then by name."""
    found: dict[str, Listed] = {}
    for entry in sorted(entry_points(group=GROUP), key=_order):
        if entry.name in found:
            name = f"{entry.name} ({entry.value})"
            found[name] = Listed(name, None, f"the name {entry.name} is taken")
        else:
            found[entry.name] = _listed(entry)
    return list(found.values())


def find_backend(name: str) -> Backend:
    """Return the backend of that name.

    Raises InputError where there is none, or where it does not load.
    """
    listed = {one.name: one for one in listed_backends()}
    if name not in listed:
        known = ", ".join(listed) or "none"
        raise InputError(f"backend must be one of those installed ({known}), not {name!r}.")
    backend = listed[name].backend
    if backend is None:
        raise InputError(f"The backend {name!r} does not load: {listed[name].error}.")
    return backend


def check_method(name: str, *, method: str) -> None:
    """Raise InputError where the backend of that name is not there or lacks a recipe's method.

    "fbp" is the usual method of a backend, whatever it calls that.
    """
    backend = find_backend(name)
    if method != "fbp" and method not in backend.methods:
        raise InputError(
            f"reconstruction.method must be one that the backend {name!r} offers "
            f"({', '.join(backend.methods)}; fbp stands for the first), not {method!r}."
        )


def _order(entry: EntryPoint) -> tuple[bool, str, str]:
    owner = entry.dist.name if entry.dist else ""
    return (owner.replace("_", "-") != OWN_DISTRIBUTION, entry.name, entry.value)


def _listed(entry: EntryPoint) -> Listed:
    """Load an entry point; whatever goes wrong in code of others is told, not raised."""
    try:
        backend = entry.load()()
        lacking = [name for name in _ATTRIBUTES if not hasattr(backend, name)]
    except Exception as error:
        return Listed(entry.name, None, f"{type(error).__name__}: {error}")
    if lacking:
        return Listed(entry.name, None, f"it has no {', '.join(lacking)}")
    return Listed(entry.name, backend, "")
