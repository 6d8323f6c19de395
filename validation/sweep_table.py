"""sweep.csv and sweep.json: a line for each experiment, the keys that vary and the figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from validation.batch.work import Outcome
from validation.outputs import write_safely
from validation.sweep import Row, Sweep

SCHEMA = "xrdct-twin sweep 1"
_REGIONS = ("interior", "eroded")
_FIGURES = ("n_voxels", "n_not_recovered", "bias_A", "rms_A", "robust_sigma_A", "std_z")
_FRACTION_FIGURES = ("n_regions", "true_mean", "bias", "rms", "std_z")
_SHOWN = ("interior.n_voxels", "interior.bias_A", "interior.rms_A", "eroded.rms_A", "error")


class SweepFiles(NamedTuple):
    """Where a sweep is written."""

    csv: Path
    json: Path

    @classmethod
    def within(cls, folder: Path) -> SweepFiles:
        """Return the files in a folder."""
        return cls(folder / "sweep.csv", folder / "sweep.json")


def lines(sweep: Sweep, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a flat line for each experiment, all with the same columns; None: no such figure."""
    phases = list(dict.fromkeys(phase for row in rows for phase in _fractions(row.outcome)))
    return [
        {key: row.values[key] for key in sweep.keys}
        | {"seed": row.seed}
        | _figures(row.outcome, phases)
        | {"error": row.outcome.error}
        for row in rows
    ]


def _figures(outcome: Outcome, phases: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for region in _REGIONS:
        lattice = outcome.lattice(region)
        found |= {f"{region}.{name}": lattice.get(name) for name in _FIGURES}
    for phase in phases:
        of_all = _fractions(outcome).get(phase, {}).get("all", {})
        found |= {f"{phase}.{name}": of_all.get(name) for name in _FRACTION_FIGURES}
    return found


def _fractions(outcome: Outcome) -> Mapping[str, Any]:
    found: Mapping[str, Any] = outcome.metrics.get("weight_fraction", {})
    return found


def write_sweep(sweep: Sweep, rows: Sequence[Row], files: SweepFiles) -> None:
    """Write both files; each gets its name when it is complete."""
    table = lines(sweep, rows)
    told = {
        "schema": SCHEMA,
        "experiment": sweep.experiment.name,
        "config_sha256": sweep.experiment.config_sha256(),
        "mode": sweep.experiment.mode,
        "varied": list(sweep.keys),
        "rows": table,
    }
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_safely(files.csv, text.getvalue().encode())
    content = json.dumps(told, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_safely(files.json, content.encode())


def terminal_table(sweep: Sweep, rows: Sequence[Row]) -> list[str]:
    """Return the table in short for a terminal, lattice parameters in mÅ."""
    heads = [*dict.fromkeys([*sweep.keys, "seed"]), "voxels", "bias, mÅ", "RMS, mÅ", "eroded"]
    body = [heads]
    for line in lines(sweep, rows):
        voxels, *errors = (line[name] for name in _SHOWN[:-1])
        told = ["—" if value is None else f"{1e3 * value:.3f}" for value in errors]
        counted = "—" if voxels is None else str(voxels)
        end = [line["error"]] if line["error"] else [counted, *told]
        body.append([*(f"{line[key]}" for key in heads[:-4]), *end])
    n_aligned = len(heads)
    widths = [max(len(row[i]) for row in body if len(row) == n_aligned) for i in range(n_aligned)]
    return ["  ".join(t.ljust(w) for t, w in zip(row, widths, strict=False)) for row in body]
