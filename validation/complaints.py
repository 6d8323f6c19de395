"""Turn what is wrong with an input file into one sentence: where, which rule, what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from xrdct.scan import Scan

_LONGEST_SHOWN = 60
_NOT_FOR_FILES = frozenset({"folder"})
_RULES = {
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": 'must be text in quotes, "…"',
    "tuple_type": "must be a list, [ … ]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have {max_length} entries, not {actual_length}",
}


def sentence(
    error: ValidationError, table: Any, model: type[BaseModel], *, prefix: str = ""
) -> str:
    """Describe the most telling mistake in ``table``, which ``model`` refused."""
    details = _most_telling(error.errors(include_url=False))
    where = _where(details, table, prefix)
    kind = details["type"]
    if kind == "extra_forbidden":
        return f"unknown key {where}{_suggestion(details, model)}"
    if kind == "missing" and isinstance(details["loc"][-1], int):
        return f"{where.rpartition('[')[0]} needs more than {details['loc'][-1]} entries"
    if kind == "missing":
        return f"missing key {where}"
    rule = _rule(details)
    return f"{where} {rule}{_found(details)}" if where and kind in _RULES else _joined(where, rule)


def quoted(given: Any, accepted: Any, where: str = "") -> str | None:
    """Complain of text or a truth value that was silently taken as a number, or the reverse."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            inner = _member(accepted, key)
            complaint = None if inner is None else quoted(value, inner, _key(where, key))
            if complaint:
                return complaint
        return None
    if isinstance(given, list | tuple) and isinstance(accepted, list | tuple):
        pairs = enumerate(zip(given, accepted, strict=True))
        found = (quoted(one, other, f"{where}[{i}]") for i, (one, other) in pairs)
        return next((complaint for complaint in found if complaint), None)
    for kind in (str, bool):
        if isinstance(given, kind) != isinstance(accepted, kind) and _plain(given, accepted):
            rule = "must be true or false" if isinstance(accepted, bool) else "must be a number"
            return f"{where} {rule}{', without quotes' * isinstance(given, str)}{_shown(given)}"
    return None


def _plain(*values: Any) -> bool:
    return all(isinstance(value, str | bool | int | float) for value in values)


def _member(accepted: Any, key: str) -> Any:
    return accepted.get(key) if isinstance(accepted, Mapping) else getattr(accepted, key, None)


def _most_telling(errors: list[ErrorDetails]) -> ErrorDetails:
    """Prefer an unknown key to what follows from it, such as its correct form being missing."""
    return next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])


def _where(details: ErrorDetails, table: Any, prefix: str) -> str:
    """Return the place as `scan.step_um` or `particles[0].x`; parts that are no keys are left out.

    Among the parts that pydantic reports are also the members of unions.
    """
    where, inner = prefix, table
    for part in details["loc"]:
        is_key = isinstance(inner, Mapping) and part in inner
        is_entry = isinstance(part, int) and isinstance(inner, list | tuple) and part < len(inner)
        if is_key or is_entry:
            inner = inner[part]
        elif details["type"] != "missing" or part != details["loc"][-1]:
            continue
        where = f"{where}[{part}]" if isinstance(part, int) else _key(where, part)
    return where


def _key(where: str, key: str) -> str:
    shown = key if key.replace("-", "_").isidentifier() else repr(key[:_LONGEST_SHOWN])
    return f"{where}.{shown}" if where else shown


def _rule(details: ErrorDetails) -> str:
    if details["type"] in _RULES:
        context = details.get("ctx", {})
        limits = {k: f"{v:g}" if isinstance(v, float) else v for k, v in context.items()}
        return _RULES[details["type"]].format(**limits)
    message = details["msg"].removeprefix("Value error, ")
    return message.replace("Input should be", "must be", 1)


def _joined(where: str, rule: str) -> str:
    if not where:
        return rule
    return f"{where} {rule}" if rule.startswith("must be") else f"{where}: {rule}"


def _found(details: ErrorDetails) -> str:
    return "" if "entries" in _RULES[details["type"]] else _shown(details["input"])


def _shown(value: Any) -> str:
    if not isinstance(value, str | int | float | bool):
        return ""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f" (found {text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'})"


def _suggestion(details: ErrorDetails, model: type[BaseModel]) -> str:
    """Return ': did you mean …?' from the keys of the table in which the mistake is."""
    *path, wrong = details["loc"]
    known = _known_keys(_model_at(path, model))
    near = next(_near(str(wrong), known), None)
    return f": did you mean {near}?" if near else f" (known here: {', '.join(known)})"


def _known_keys(model: type[BaseModel]) -> list[str]:
    keys = set(model.model_fields) - _NOT_FOR_FILES
    return sorted(keys | ({"preset"} if model is Scan else set()))


def _near(wrong: str, known: list[str]) -> Iterator[str]:
    """Yield keys that differ in case, in the unit at their end, by its absence, or by a typo."""
    low = wrong.casefold()
    yield from (key for key in known if key.casefold() == low)
    yield from (key for key in known if key.rsplit("_", 1)[0] == wrong.rsplit("_", 1)[0])
    yield from (key for key in known if key.startswith(f"{wrong}_"))
    yield from get_close_matches(wrong, known, n=1, cutoff=0.6)


def _model_at(path: Sequence[int | str], model: type[BaseModel]) -> type[BaseModel]:
    """Follow a place that pydantic reports to the specification that is found there."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            inner = list(_models_in(model.model_fields[part].annotation))
            model = next((m for m in inner if m.__name__ in path), inner[0] if inner else model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the specifications in a type, through unions, tuples and annotations."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
