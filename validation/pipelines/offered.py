"""Keyword arguments for functions that take only some of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def offered(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Return those keyword arguments that a function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return arguments
    taken = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return {name: value for name, value in arguments.items() if name in taken}
