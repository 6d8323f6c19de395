"""plan.json, plan.html, the picture, and the pick as an experiment that `run` takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from validation.batch.work import named_crystals
from validation.experiment import Experiment
from validation.experiment_toml import experiment_toml
from validation.figures_style import png
from validation.outputs import write_safely
from validation.page import page, picture_url
from validation.plan.caveats import caveats
from validation.plan.choice import front, over_limits, over_targets
from validation.plan.figures import front_figure, terms_figure
from validation.plan.plan import Plan
from validation.plan.rows import Row
from validation.plan.verify import Verified
from validation.plan.wish import DATA, DOSE, FRACTION, TIME
from validation.plan.words import (
    TERMS,
    amount,
    neighbour_rows,
    scan_words,
    sentences,
    shares,
)
from validation.report_words import MISSING, count, duration, milli, plain

SCHEMA = "xrdct-twin plan 1"
_FRONT_ROWS = 25
"""Of the front, at most, in the page; all of it is in the data."""


class PlanFiles(NamedTuple):
    """Where a plan is written."""

    json: Path
    html: Path
    toml: Path
    picture: Path

    @classmethod
    def within(cls, folder: Path) -> PlanFiles:
        """Return the files in a folder."""
        names = ("plan.json", "plan.html", "plan.toml", "front.png")
        return cls(*(folder / name for name in names))


def write_plan(plan: Plan, files: PlanFiles) -> None:
    """Write the plan as page, picture, experiment and data, the data last.

    Without a pick there is no experiment.
    """
    picture = png(front_figure(plan.rows, plan.choice.pick, plan.wish))
    write_safely(files.picture, picture)
    write_safely(files.html, _page(plan, picture))
    if plan.choice.pick is not None:
        picked = plan.grid.experiment_of(plan.choice.pick.point)
        _copy_crystals(picked, files.toml.parent)
        write_safely(files.toml, experiment_toml(picked).encode())
    content = json.dumps(entry(plan), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_safely(files.json, content.encode())


def entry(plan: Plan) -> dict[str, Any]:
    """Return the plan as data."""
    pick, rows = plan.choice.pick, plan.rows
    return {
        "schema": SCHEMA,
        "experiment": plan.grid.experiment.name,
        "config_sha256": plan.grid.experiment.config_sha256(),
        "seed": plan.grid.experiment.seed,
        "region": plan.wish.region,
        "targets": dict(plan.wish.targets),
        "limits": dict(plan.wish.limits),
        "keys": [axis.key for axis in plan.grid.axes],
        "met": plan.choice.met,
        "within_limits": plan.choice.within,
        "pick": None if pick is None else rows.index(pick),
        "front": [rows.index(row) for row in front(rows)],
        "sentences": sentences(plan.choice, plan.grid, rows, plan.wish),
        "caveats": caveats(plan.grid, rows),
        "verified": [_verified(each, rows) for each in plan.verified],
        "scans": [_row(row) for row in rows],
    }


def _row(row: Row) -> dict[str, Any]:
    scan = row.point.scan
    return {
        "values": row.point.values,
        "n_offsets": scan.n_offsets,
        "n_points": scan.n_points,
        "further_scans": list(row.point.others),
        "beam_time_s": row.beam_time_s,
        "dose_MGy": row.dose_MGy,
        "data_MB": row.data_MB,
        "errors": None if row.errors is None else row.errors._asdict(),
        "unpredicted": list(row.unpredicted),
        "refused": row.refused,
    }


def _verified(each: Verified, rows: Sequence[Row]) -> dict[str, Any]:
    predicted = each.row.errors
    return {
        "scan": rows.index(each.row),
        "predicted_rms_A": None if predicted is None else predicted.total_A,
        "predicted_bias_A": None if predicted is None else predicted.bias_A,
        "simulated_rms_A": each.rms_A,
        "simulated_bias_A": each.bias_A,
        "n_voxels": each.n_voxels,
        "error": each.error,
    }


def terminal(plan: Plan) -> list[str]:
    """Return the plan as lines of text."""
    rows = plan.rows
    lines = sentences(plan.choice, plan.grid, rows, plan.wish)
    lines += [f"note: {told}" for told in caveats(plan.grid, rows)]
    if plan.verified:
        lines += ["", *_aligned([_VERIFIED_HEADINGS, *_verified_rows(plan)])]
    return lines


_VERIFIED_HEADINGS = (
    "scan", "predicted RMS (bias), mÅ", "simulated RMS (bias), mÅ", "predicted/simulated", "voxels",
)  # fmt: skip


def _verified_rows(plan: Plan) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    for each in plan.verified:
        predicted = each.row.errors
        if predicted is None:
            continue
        simulated = each.error or f"{milli(each.rms_A)} ({milli(each.bias_A)})"
        ratio = MISSING if not each.rms_A else plain(predicted.total_A / each.rms_A)
        made.append(
            (
                scan_words(each.row.point, plan.grid),
                f"{milli(predicted.total_A)} ({milli(predicted.bias_A)})",
                simulated,
                ratio,
                count(each.n_voxels),
            )
        )
    return made


_HEADINGS = (
    "beam time", "dose", "data", "error, mÅ", "bias, mÅ", "noise, mÅ", "resolution, µm", "ruled by",
)  # fmt: skip


def _cells(row: Row) -> list[str]:
    cost = [duration(row.beam_time_s), amount(DOSE, row.dose_MGy), amount(DATA, row.data_MB)]
    if row.errors is None:
        return [*cost, *([MISSING] * 4), row.refused or ""]
    errors = row.errors
    scatter_A = (errors.noise_A**2 + errors.grains_A**2) ** 0.5
    total = " + ".join([milli(errors.total_A), *row.unpredicted])
    return [
        *cost, total, milli(errors.bias_A), milli(scatter_A),
        plain(errors.resolution_um), TERMS[next(iter(shares(errors)))],
    ]  # fmt: skip


def _page(plan: Plan, picture: bytes) -> bytes:
    pick, rows, grid = plan.choice.pick, plan.rows, plan.grid
    near = [] if pick is None else [("the pick", pick), *neighbour_rows(pick, grid, rows)]
    shown = shown_front(front(rows), pick)
    images = {"front": picture, **({"terms": png(terms_figure(near))} if near else {})}
    return page(
        "plan.html",
        experiment=grid.experiment.name,
        sentences=sentences(plan.choice, grid, rows, plan.wish),
        caveats=caveats(grid, rows),
        met=plan.choice.met,
        n_scans=count(len(rows)),
        asked=_asked(plan),
        headings=_HEADINGS,
        near=[(name, _cells(row)) for name, row in near],
        front=[(scan_words(row.point, grid), _cells(row)) for row in shown],
        picked=None if pick is None else scan_words(pick.point, grid),
        verified_headings=_VERIFIED_HEADINGS,
        verified=_verified_rows(plan),
        images={name: picture_url(content) for name, content in images.items()},
        origin=[
            ("configuration (SHA-256)", grid.experiment.config_sha256()),
            ("seed", str(grid.experiment.seed)),
            ("voxels", plan.wish.region),
            *((axis.key, ", ".join(str(value) for value in axis.values)) for axis in grid.axes),
        ],
    )


def shown_front(best: Sequence[Row], pick: Row | None) -> list[Row]:
    """Return at most 25 scans of the front, evenly spread, both ends and the pick among them.

    A pick that is not on the front, since limits or further targets rule it, stands where its beam
    time puts it.
    """
    every = list(best)
    if pick is not None and pick not in every:
        every = sorted([*every, pick], key=lambda row: row.beam_time_s)
    if len(every) <= _FRONT_ROWS:
        return every
    kept = np.unique(np.linspace(0, len(every) - 1, _FRONT_ROWS).astype(int))
    if pick is not None:
        place = every.index(pick)
        inner = kept[1:-1]
        if place not in (0, len(every) - 1):
            inner[np.argmin(np.abs(inner - place))] = place
    return [every[i] for i in kept]


def _asked(plan: Plan) -> list[tuple[str, str, str, str]]:
    """Return targets and limits with what the pick has of them."""
    pick, wish = plan.choice.pick, plan.wish
    made = []
    ratios = {} if pick is None else {**over_targets(pick, wish), **over_limits(pick, wish)}
    has = {} if pick is None else {**pick.reached, **pick.costs}
    for name, value in {**wish.targets, **wish.limits}.items():
        kind = "target" if name in wish.targets else "limit"
        found = has.get(name)
        told = MISSING if found is None else amount(name, found)
        kept = "—" if name not in ratios else "yes" if ratios[name] <= 1.0 + 1e-9 else "no"
        made.append((f"{kind}: {_NAMES.get(name, name)}", amount(name, value), told, kept))
    return made


_NAMES: Mapping[str, str] = {
    "lattice_A": "error of the lattice parameter", FRACTION: "noise of weight fractions",
    "resolution_um": "resolution", TIME: TIME, DOSE: DOSE, DATA: DATA,
}  # fmt: skip


def _copy_crystals(experiment: Experiment, folder: Path) -> None:
    """Copy the CIF files that an experiment names to where its new file looks for them."""
    for name in named_crystals(experiment):
        source, copy = experiment.folder / name, folder / name
        if source.is_file() and source.resolve() != copy.resolve():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
