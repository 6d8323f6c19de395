"""The budget in words: rows of tables, for the page and for the terminal.

Errors are told in mÅ, mean square errors in mÅ² and weight fractions in per cent, all with
the standard error over seeds behind ±.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scipy.special import stdtrit

from validation.report_words import MISSING, plain

Entry = Mapping[str, Any]
_CONFIDENCE = 0.95
"""Of Student's t, with which a cost is told as more than chance."""
_MILLI, _PERCENT = 1e3, 1e2


class Row(NamedTuple):
    """One factor: its name, how it was switched off, numbers, and the remedy."""

    name: str
    how: str
    values: list[str]
    remedy: str
    clear: bool
    """Whether its cost is more than chance."""


HEADINGS = (
    "RMS, mÅ", "eroded RMS, mÅ", "bias, mÅ", "MSE, mÅ²", "MSE alone, mÅ²", "interaction, mÅ²",
)  # fmt: skip


def rows(budget: Entry) -> list[Row]:
    """Return a row for each factor, most harmful first."""
    n_seeds = len(budget["seeds"])
    return [
        Row(each["name"], each["how"], _values(each), each["remedy"], is_clear(each, n_seeds))
        for each in budget["factors"]
    ]


def _values(factor: Entry) -> list[str]:
    off, lonely = factor["off"], factor["alone"]
    return [
        told(off["interior"]["rms_A"], _MILLI),
        told(off["eroded"]["rms_A"], _MILLI),
        told(off["interior"]["bias_A"], _MILLI),
        factor["refused"] or told(off["interior"]["mse_A2"], _MILLI**2),
        _alone(factor, lonely),
        told(factor["interaction_A2"], _MILLI**2),
    ]


def _alone(factor: Entry, lonely: Entry | None) -> str:
    if factor["alone_refused"]:
        return str(factor["alone_refused"])
    return MISSING if lonely is None else told(lonely["interior"]["mse_A2"], _MILLI**2)


def fraction_rows(budget: Entry) -> list[tuple[str, list[str]]]:
    """Return what each factor adds to bias and RMS of every phase's weight fraction."""
    phases = list(budget["full"]["weight_fraction"])
    found = []
    for factor in budget["factors"] if phases else ():
        added = factor["off"]["weight_fraction"]
        cells = [told(added[p][name], _PERCENT) for p in phases for name in ("bias", "rms")]
        if any(cell != MISSING for cell in cells):
            found.append((factor["name"], cells))
    return found


def fraction_headings(budget: Entry) -> list[str]:
    """Return the headings of the columns of `fraction_rows`."""
    phases = budget["full"]["weight_fraction"]
    return [f"{phase}: {name}, %" for phase in phases for name in ("bias", "RMS")]


def is_clear(factor: Entry, n_seeds: int) -> bool:
    """Return whether what a factor adds to the mean square error is more than chance.

    Of a single seed nothing is known of chance, and everything is told.
    """
    found = factor["off"]["interior"]["mse_A2"]
    if found is None or found["se"] is None:
        return found is not None
    quantile = float(stdtrit(n_seeds - 1, 0.5 * (1.0 + _CONFIDENCE)))
    return bool(abs(found["mean"]) > quantile * found["se"])


def told(estimate: Mapping[str, float | None] | None, unit: float) -> str:
    """Write an estimate with its standard error."""
    if estimate is None or estimate["mean"] is None:
        return MISSING
    text = _rounded(unit * estimate["mean"])
    se = estimate["se"]
    return text if se is None else f"{text}\u00a0±\u00a0{_rounded(unit * se)}"


def _rounded(value: float) -> str:
    """Write a number with three decimals, zero without a sign."""
    return plain(round(value, 3) + 0.0, decimals=3)


def sentences(budget: Entry) -> list[str]:
    """Return the result in a few sentences."""
    full, bare = (budget[case]["interior"]["rms_A"] for case in ("full", "bare"))
    found = [
        f"With everything in force the RMS error of interior voxels is {told(full, _MILLI)} mÅ, "
        f"with all of it switched off {told(bare, _MILLI)} mÅ."
    ]
    clear = [f for f in budget["factors"] if is_clear(f, len(budget["seeds"]))]
    harmful = [f for f in clear if _cost(f) > 0.0]
    if harmful:
        worst = harmful[0]
        rms = told(worst["off"]["interior"]["rms_A"], _MILLI)
        found.append(f"Most costs {worst['name']}: without it the RMS is {rms} mÅ smaller.")
        found.append(f"Remedy: {worst['remedy']}")
    else:
        found.append("No single factor costs more than chance.")
    helpful = [f for f in reversed(clear) if _cost(f) < 0.0]
    if helpful:
        names = "; ".join(f["name"] for f in helpful)
        found.append(f"Without these the error would be larger: {names}.")
    return found


def _cost(factor: Entry) -> float:
    found = factor["off"]["interior"]["mse_A2"]
    return 0.0 if found is None else float(found["mean"])


def terminal_table(budget: Entry) -> list[str]:
    """Return a short table in plain text, most harmful first."""
    heads = ("factor", "adds to RMS", "to MSE", "alone, to MSE", "interaction")
    body = [(each["name"], *(_values(each)[i] for i in (0, 3, 4, 5))) for each in budget["factors"]]
    return [*sentences(budget), "", *_aligned([heads, *body])]


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
