"""The page that compares pipelines: one HTML file, nothing external, written when complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inverse.maps import Maps
from validation.figures_style import png
from validation.outputs import write_safely
from validation.page import page, picture_url
from validation.pipelines.figures import error_maps_figure, profiles_figure, scale_note
from validation.pipelines.scoring import SCHEMA
from validation.report_words import MISSING, count, duration, milli, plain
from validation.truth import Truth
from xrdct.errors import InputError

Entry = Mapping[str, Any]
Cell = Callable[[Entry], str]


class ScoreRow(NamedTuple):
    """One line of the table: a figure, its ideal value, and one number for each pipeline."""

    name: str
    ideal: str
    values: list[str]
    best: list[bool]
    """Which values are the best of the line; none where there is nothing to be best at."""


def write_score_report(
    scored: Mapping[str, Any],
    *,
    maps: Mapping[str, Maps],
    truths: Mapping[str, Truth],
    path: Path,
) -> None:
    """Write the page of `scores.json`; ``maps`` and ``truths`` go by the pipelines' labels.

    Raises InputError for scores of another kind.
    """
    if scored.get("schema") != SCHEMA:
        raise InputError(f"scores are of the kind {SCHEMA!r}, not {scored.get('schema')!r}")
    entries: Sequence[Entry] = scored["pipelines"]
    done = [entry for entry in entries if entry["scored"]]
    content = page(
        "score.html",
        experiment=str(scored["experiment"]),
        summary=_summary(entries),
        labels=[entry["label"] for entry in done],
        rows=score_rows(done),
        failures=[_failed(entry) for entry in entries if not entry["scored"]],
        remarks=[(entry["label"], remark) for entry in done for remark in entry["remarks"]],
        pipelines=entries,
        images=_images(maps, truths) if maps else None,
        scale=scale_note(maps, truths) if maps else "",
        origin=[
            ("configuration (SHA-256)", scored["config_sha256"]),
            ("seed", str(scored["seed"])),
            ("scan points", count(scored["n_points"])),
            ("simulated data", scored["mode"]),
        ],
    )
    write_safely(path, content)


def _failed(entry: Entry) -> dict[str, str]:
    seconds = float(entry["usage"]["seconds"])
    return {
        "label": entry["label"],
        "reason": entry["reason"],
        "log": entry["log"],
        "time": duration(seconds) if seconds else MISSING,
    }


def _summary(entries: Sequence[Entry]) -> str:
    """Say in words which pipeline came closest, and how many were scored."""
    done = [entry for entry in entries if entry["scored"]]
    counted = (
        f"{len(done)} of {len(entries)} pipelines {'was' if len(done) == 1 else 'were'} scored"
    )
    ranked = sorted(
        (entry for entry in done if "rms_A" in entry["lattice"]["interior"]),
        key=lambda entry: float(entry["lattice"]["interior"]["rms_A"]),
    )
    if not ranked:
        return f"{counted}."
    best = ranked[0]
    text = f"{counted}. Closest to the truth came {best['label']}, with {_rms(best)}"
    if len(ranked) > 1:
        text += f"; farthest from it {ranked[-1]['label']}, with {_rms(ranked[-1])}"
    return text + ", RMS over the interior voxels that each recovered."


def _rms(entry: Entry) -> str:
    return f"{milli(entry['lattice']['interior']['rms_A'])} mÅ"


def score_rows(entries: Sequence[Entry]) -> list[ScoreRow]:
    """Return the lines of the table of scored pipelines."""
    rows = [_row(entries, *line) for line in _LINES]
    for phase in _phases(entries):
        for name, key, ideal in _FRACTION_LINES:
            found = [_at(entry, "weight_fraction", phase, "all", key) for entry in entries]
            percent = [None if value is None else 100.0 * value for value in found]
            named = f"{phase}: {name}"
            best = _smallest(percent) if ideal else [False] * len(percent)
            rows.append(ScoreRow(named, ideal, [plain(p) for p in percent], best))
    return rows


def _phases(entries: Sequence[Entry]) -> list[str]:
    """Return the phases whose weight fractions were told, without the refined one: the rest."""
    phases = (p for entry in entries for p in list(entry["weight_fraction"])[1:])
    return list(dict.fromkeys(phases))


def _row(
    entries: Sequence[Entry], name: str, place: tuple[str, ...], ideal: str,
    written: Callable[[Any], str],
) -> ScoreRow:  # fmt: skip
    found = [_at(entry, *place) for entry in entries]
    values = [MISSING if value is None else written(value) for value in found]
    if ideal == "0":
        return ScoreRow(name, ideal, values, _smallest(found))
    if ideal == "1":
        return ScoreRow(name, ideal, values, _smallest([v and abs(v - 1.0) for v in found]))
    return ScoreRow(name, ideal, values, [False] * len(values))


def _at(entry: Entry, *place: str) -> Any:
    value: Any = entry
    for key in place:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _smallest(values: Sequence[float | None]) -> list[bool]:
    """Return which values are the smallest in magnitude, where there are several to choose from."""
    sizes = [abs(value) for value in values if value is not None]
    if len(sizes) < 2 or min(sizes) == max(sizes):
        return [False] * len(values)
    return [value is not None and abs(value) == min(sizes) for value in values]


def _megabytes(value: float) -> str:
    return plain(value, decimals=0)


_INTERIOR, _ERODED = ("lattice", "interior"), ("lattice", "eroded")
_LINES: tuple[tuple[str, tuple[str, ...], str, Callable[[Any], str]], ...] = (
    ("voxels scored", (*_INTERIOR, "n_voxels"), "", count),
    ("voxels lost", (*_INTERIOR, "n_not_recovered"), "0", count),
    ("bias (mÅ)", (*_INTERIOR, "bias_A"), "0", milli),
    ("RMS error (mÅ)", (*_INTERIOR, "rms_A"), "0", milli),
    ("RMS error, voxels that all recovered (mÅ)", ("common", "interior_rms_A"), "0", milli),
    ("RMS error, eroded voxels (mÅ)", (*_ERODED, "rms_A"), "0", milli),
    ("bias, eroded voxels (mÅ)", (*_ERODED, "bias_A"), "0", milli),
    ("robust σ of the error (mÅ)", (*_INTERIOR, "robust_sigma_A"), "0", milli),
    ("95th percentile of |error| (mÅ)", (*_INTERIOR, "p95_abs_A"), "0", milli),
    ("std of error / stated uncertainty", (*_INTERIOR, "std_z"), "1", plain),
    ("mean of error / stated uncertainty", (*_INTERIOR, "mean_z"), "0", plain),
    ("time", ("usage", "seconds"), "", duration),
    ("processor time", ("usage", "cpu_s"), "", duration),
    ("largest memory (MB)", ("usage", "peak_memory_MB"), "", _megabytes),
)
_FRACTION_LINES = (
    ("true weight fraction (%)", "true_mean", ""),
    ("bias of the weight fraction (%)", "bias", "0"),
    ("RMS error of the weight fraction (%)", "rms", "0"),
)


def _images(maps: Mapping[str, Maps], truths: Mapping[str, Truth]) -> dict[str, str]:
    figures = {
        "errors": error_maps_figure(maps, truths),
        "profiles": profiles_figure(maps, truths),
    }
    return {name: picture_url(png(figure)) for name, figure in figures.items()}
