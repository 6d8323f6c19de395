"""A folder of outcomes, one small file each, that gets its name only when it is complete."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from validation.batch.work import Outcome
from validation.outputs import prepare_folder

_SCHEMA = "xrdct-twin outcome 1"


class Store:
    """Outcomes by key; of several programs that write the same one, any may win."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; InputError where that cannot be."""
        prepare_folder(folder)
        self._folder = folder

    def get(self, key: str) -> Outcome | None:
        """Return an outcome; None where it is not there or was not written by this version."""
        path = self._path(key)
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if table.pop("schema") != _SCHEMA or table["key"] != key:
                return None
            return Outcome(**table)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # is made again, and written over

    def put(self, outcome: Outcome) -> None:
        """Write an outcome, all of it or none."""
        path = self._path(outcome.key)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        table = {"schema": _SCHEMA} | asdict(outcome)
        partial.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def outcomes_folder(folder: Path) -> Path:
    """Return where outcomes are kept below a folder of results."""
    return folder / "outcomes"
