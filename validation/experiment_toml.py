"""An experiment as the TOML file that makes it again: what differs from the defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from validation.experiment import Experiment


def experiment_toml(experiment: Experiment) -> str:
    """Return a file that :func:`validation.experiment.load_experiment` reads as ``experiment``.

    Keys at their defaults are left out. CIF files named in it are looked for beside the file, as
    ever.
    """
    given = experiment.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    given["sample"] = experiment.sample.model_dump(mode="json", exclude_none=True)
    tables = {key: value for key, value in given.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {_value(v)}" for key, v in given.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{name} = {_value(v)}" for name, v in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Return a value as TOML writes it on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(v)}" for key, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return json.dumps(value)  # numbers and booleans are written alike in JSON and TOML
