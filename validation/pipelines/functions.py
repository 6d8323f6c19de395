"""A Python function as it is written on a command line, and how it is found.

    module:function           of a module that can be imported; Class.method has dots, too
    folder/file.py:function   of a file that is in no package

Reading such a text imports nothing, as that would run the code. The pipeline's own process imports
this, so it needs the standard library only.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from xrdct.errors import InputError

_NAME = "xrdct_twin_pipeline"
_FUNCTION = re.compile(r"(?P<place>[^\s:{}=,]+):(?P<name>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Function:
    """Where a Python callable is found."""

    place: str
    """A dotted module, or the whole path of a file that ends in .py."""
    name: str

    @property
    def is_file(self) -> bool:
        """Whether it is found in a file rather than by importing a module."""
        return self.place.endswith(".py")


def read_function(
    text: str, *, forms: str = "named as module:function or FILE.py:function"
) -> Function:
    """Return the function that a text names; nothing is imported.

    Raises InputError for what names none (``forms`` says what could), and for a file that is not
    there.
    """
    found = _FUNCTION.fullmatch(text)
    if found is None:
        raise InputError(f"a pipeline is {forms}, not {text!r}")
    place, name = found["place"], found["name"]
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise InputError(f"{path}, of the pipeline {text!r}, does not exist or is not a file")
        return Function(str(path.resolve()), name)
    if not _MODULE.fullmatch(place):
        raise InputError(f"{place!r}, of the pipeline {text!r}, is neither a module nor a .py file")
    return Function(place, name)


def load_function(function: Function) -> Callable[..., Any]:
    """Import a function.

    Raises InputError where there is none of that name, or it cannot be called; whatever the module
    itself raises goes through.
    """
    found: object = (
        _module_of_file(Path(function.place))
        if function.is_file
        else importlib.import_module(function.place)
    )
    for part in function.name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{function.place} has no function {function.name}")
        found = getattr(found, part)
    if not callable(found):
        raise InputError(
            f"{function.place}:{function.name} is not callable but a {type(found).__name__}"
        )
    return found


def _module_of_file(path: Path) -> ModuleType:
    """Import a file as a module; what lies beside it can be imported from it, as from a script."""
    spec = importlib.util.spec_from_file_location(_NAME + "_" + path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module
