"""Which keys of an experiment are varied, over what: `--vary scan.step_um=0.5,1,2` and the like.

    key=v1,v2,…            these values, as TOML writes them; text may go without quotes
    key=from:to:count      so many values, evenly spaced, both ends included
    key=from:to:count:log  the same in geometric progression
    key=from:to[:log]      a range, from which the program chooses (where it can)

A key is the path of a value in an experiment's file: ``scan.step_um``, ``seed``,
``recipe.integration.method``, ``sample.particles[0].diameter_um``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from pydantic import ValidationError

from validation.complaints import quoted, sentence
from validation.experiment import Experiment
from xrdct.errors import InputError

_KEY = re.compile(r"[A-Za-z_]\w*(\[\d+\])?(\.[A-Za-z_]\w*(\[\d+\])?)*")
_PART = re.compile(r"[A-Za-z_]\w*|\[\d+\]")
_NOT_FOR_FILES = frozenset({"folder"})
_MOST_VALUES = 10_000
_SIGNIFICANT_DIGITS = 12
"""To which generated values are rounded, so that 0.1 steps read as written."""

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Varied:
    """One key and what it is to be."""

    key: str
    values: tuple[Any, ...] | None
    """In the order given; None for a range without a count."""
    low: float | None = None
    """Of what was given as from:to; None for a list."""
    high: float | None = None
    geometric: bool = False
    """Whether values between low and high are spaced by a factor."""

    def listed(self) -> tuple[Any, ...]:
        """Return the values; InputError for a range without a count."""
        if self.values is None:
            raise InputError(
                f"{self.key}={self.low:g}:{self.high:g} does not say how many values: write "
                f"{self.key}={self.low:g}:{self.high:g}:5, or list them"
            )
        return self.values

    def spaced(self, n_values: int) -> tuple[float, ...]:
        """Return so many values of the range; InputError for a list, which has none."""
        if self.low is None or self.high is None:
            raise InputError(f"{self.key} is varied over a list, not a range from:to")
        return _spaced(self.low, self.high, n_values, self.geometric)


def read_varied(text: str) -> Varied:
    """Return what one `--vary` asks for; InputError, one sentence, for what is none."""
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not key or not values:
        raise InputError(f"--vary takes key=v1,v2,… or key=from:to:count, not {text!r}")
    return varied(key, values)


def varied(key: str, values: Any) -> Varied:
    """Return what a key is to be, from text as on the command line, or a list of values."""
    if not _KEY.fullmatch(key):
        raise InputError(f"{key[:60]!r} is no key of an experiment, such as scan.step_um")
    if isinstance(values, str):
        return _range(key, values) if _is_range(values) else Varied(key, _listed(key, values))
    found = tuple(values) if isinstance(values, list | tuple) else (values,)
    if not found:
        raise InputError(f"{key} is varied over no values")
    return Varied(key, found)


def all_varied(texts: Sequence[str]) -> tuple[Varied, ...]:
    """Return what several `--vary` ask for; InputError too for a key that is given twice."""
    found = tuple(read_varied(text) for text in texts)
    check_keys([each.key for each in found])
    return found


def check_keys(keys: Sequence[str]) -> None:
    """Raise InputError for keys of which one is another, or the table that another is in."""
    for i, key in enumerate(keys):
        for other in keys[i + 1 :]:
            if key == other:
                raise InputError(f"{key} is varied twice")
            for outer, inner in ((key, other), (other, key)):
                if inner.startswith((f"{outer}.", f"{outer}[")):
                    raise InputError(f"{inner} lies within {outer}, which is varied as well")


def combinations(varied: Sequence[Varied]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the values by their keys, the last key varying fastest."""
    for values in product(*(each.listed() for each in varied)):
        yield dict(zip((each.key for each in varied), values, strict=True))


def with_values(experiment: Experiment, values: Table) -> Experiment:
    """Return the experiment with these values in place of its own, checked as if from a file.

    A fraction for a value that is a whole number now, as ranges give, is rounded. Raises
    InputError, one sentence that names the key, for keys there are not and values that cannot be.
    """
    table = experiment.model_dump(mode="json")
    for key, value in values.items():
        if key in _NOT_FOR_FILES:
            raise InputError(f"unknown key {key}: CIF files are looked for beside the experiment")
        _put(table, key, value)
    try:
        changed = Experiment.model_validate(table)
    except ValidationError as error:
        raise InputError(sentence(error, table, Experiment)) from error
    complaint = quoted(table, changed)
    if complaint:
        raise InputError(complaint)
    changed = changed.model_copy(update={"folder": experiment.folder})
    changed.check()
    return changed


def value_at(experiment: Experiment, key: str) -> Any:
    """Return the value of a key, as JSON has it; InputError for a key there is not."""
    found: Any = experiment.model_dump(mode="json")
    for part in _parts(key):
        if not _has_place(found, part) or (isinstance(found, dict) and part not in found):
            raise InputError(f"unknown key {key}{_reason(found, part)}")
        found = found[part]
    return found


def _parts(key: str) -> list[str | int]:
    return [int(part[1:-1]) if part.startswith("[") else part for part in _PART.findall(key)]


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    """Set a nested value; tables that are not there are begun, lists are not lengthened."""
    *way, last = _parts(key)
    inner: Any = reduce(lambda at, part: _entered(at, part, key), way, table)
    if not _has_place(inner, last):
        raise InputError(f"unknown key {key}{_reason(inner, last)}")
    present = inner.get(last) if isinstance(inner, dict) else inner[last]
    inner[last] = _whole(value, present)


def _entered(at: Any, part: str | int, key: str) -> Any:
    if isinstance(at, dict) and isinstance(part, str):
        if at.get(part) is None:
            if key.startswith("scans."):
                raise InputError(f"unknown key {key}: the experiment has no such scan")
            at[part] = {}
        return at[part]
    if not _has_place(at, part):
        raise InputError(f"unknown key {key}{_reason(at, part)}")
    return at[part]


def _has_place(at: Any, part: str | int) -> bool:
    if isinstance(at, dict):
        return isinstance(part, str)
    return isinstance(at, list) and isinstance(part, int) and part < len(at)


def _reason(at: Any, part: str | int) -> str:
    if isinstance(at, list) and isinstance(part, int):
        return f": the list has {len(at)} entries, the first being [0]"
    return f": there is no {part} in a single value" if not isinstance(at, dict | list) else ""


def _whole(value: Any, present: Any) -> Any:
    """Round a number that takes the place of a whole one."""
    counts = isinstance(present, int) and not isinstance(present, bool)
    return round(value) if counts and isinstance(value, _Spaced) else value


class _Spaced(float):
    """A number that was not written down by anyone but generated, and so may be rounded."""


def _is_range(text: str) -> bool:
    return ":" in text and not any(mark in text for mark in "[{\"',")


def _range(key: str, text: str) -> Varied:
    parts = [part.strip() for part in text.split(":")]
    geometric = parts[-1] == "log"
    numbers = parts[:-1] if geometric else parts
    try:
        low, high = float(numbers[0]), float(numbers[1])
        n_values = int(numbers[2]) if len(numbers) == 3 else None
        if len(numbers) > 3 or not np.isfinite([low, high]).all():
            raise ValueError
    except (ValueError, IndexError) as error:
        raise InputError(
            f"{key}={text}: a range is from:to:count, in numbers, with :log behind it for equal "
            "factors"
        ) from error
    if low >= high:
        raise InputError(f"{key}={text}: a range must rise, but {low:g} is not below {high:g}")
    if geometric and low <= 0.0:
        raise InputError(f"{key}={text}: equal factors need a range above zero")
    if n_values is None:
        return Varied(key, None, low, high, geometric)
    return Varied(key, _spaced(low, high, n_values, geometric), low, high, geometric)


def _spaced(low: float, high: float, n_values: int, geometric: bool) -> tuple[float, ...]:
    if not 2 <= n_values <= _MOST_VALUES:
        raise InputError(f"a range has 2 to {_MOST_VALUES} values, not {n_values}")
    space = np.geomspace if geometric else np.linspace
    found = space(low, high, n_values)
    return tuple(_Spaced(f"{value:.{_SIGNIFICANT_DIGITS}g}") for value in found)


def _listed(key: str, text: str) -> tuple[Any, ...]:
    """Return values that commas part, but for commas within brackets and quotes."""
    try:
        found = tomllib.loads(f"v = [{text}]")["v"]
    except tomllib.TOMLDecodeError:
        found = [_plain(part.strip()) for part in text.split(",")]
    if not found or any(value == "" for value in found):
        raise InputError(f"{key}={text}: there is a value missing")
    return tuple(found)


def _plain(text: str) -> Any:
    """Return one value, text being allowed without its quotes."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
