"""One HTML file that tells a run: the result in words, the scorecard, the figures, the origin.

It needs no network and no script: styles and figures are inside. It gets its name only when it is
complete and on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from inverse.maps import Maps
from inverse.refine import Status
from validation.figures import (
    error_map_figure,
    fit_figure,
    histogram_figure,
    picture_figure,
    radial_figure,
    recovered_map_figure,
    timing_figure,
    truth_map_figure,
)
from validation.figures_fractions import fractions_figure
from validation.figures_phases import phases_figure, second_lattice_figure
from validation.figures_style import png
from validation.outputs import write_safely
from validation.page import page, picture_url
from validation.report_fractions import HEADINGS, fraction_summary, fraction_table
from validation.report_voxels import second_lattice_summary, voxel_table
from validation.report_words import count, duration, plain, score_table, summary, told_bound
from validation.truth import Truth
from xrdct.errors import InputError

_NEEDED = (
    "experiment",
    "config_sha256",
    "seed",
    "versions",
    "scan",
    "timing_s",
    "peak_memory_MB",
    "lattice",
)
_PICTURE_DOTS_PER_INCH = 160
_STATUS_WORDS = {
    Status.CONVERGED: "refined",
    Status.NO_MATERIAL: "too little material to refine",
    Status.NOT_CONVERGED: "refinement did not converge",
    Status.AT_LIMIT: "ran into the limits of the lattice parameter",
    Status.NOT_MEASURED: "not measured",
}


class _Row(NamedTuple):
    name: str
    value: str


class _StatusRow(NamedTuple):
    name: str
    everywhere: str
    interior: str


def write_report(maps: Maps, *, truth: Truth, metrics: Mapping[str, Any], path: Path) -> None:
    """Write the report of one run as a single HTML file.

    ``metrics`` is what is written as `metrics.json`. Raises InputError where an entry that the
    report needs is missing from it, or maps and truth lie on different grids.
    """
    missing = [key for key in _NEEDED if key not in metrics]
    if missing:
        raise InputError(f"the report needs {', '.join(missing)}, which the metrics do not have")
    _require_same_grid(maps, truth)
    headings, rows = score_table(metrics["lattice"])
    fractions = metrics.get("weight_fraction", {})
    content = page(
        "report.html",
        experiment=str(metrics["experiment"]),
        summaries=[summary(phase, regions) for phase, regions in metrics["lattice"].items()],
        headings=headings,
        rows=rows,
        bound=told_bound(metrics["bound"]) if "bound" in metrics else "",
        fraction_summary=fraction_summary(fractions),
        fraction_headings=("regions", *HEADINGS),
        fraction_rows=fraction_table(fractions),
        voxel_headings=("voxels", *HEADINGS),
        voxel_rows=voxel_table(metrics.get("weight_fraction_voxels", {})),
        second_lattice=second_lattice_summary(metrics.get("second_lattice", {})),
        statuses=_statuses(maps, truth),
        images=_images(maps, truth, metrics),
        least_percent=f"{100.0 * maps.recipe.min_volume_fraction:g}",
        origin=_origin(metrics),
        versions=sorted(metrics["versions"].items()),
    )
    write_safely(path, content)


def write_picture(maps: Maps, *, truth: Truth, path: Path) -> None:
    """Write true map, recovered map, error map and radial profile side by side, as PNG.

    Raises InputError where maps and truth lie on different grids.
    """
    _require_same_grid(maps, truth)
    picture = picture_figure(maps, truth=truth)
    write_safely(path, png(picture, dots_per_inch=_PICTURE_DOTS_PER_INCH))


def _require_same_grid(maps: Maps, truth: Truth) -> None:
    if maps.a_A.shape != truth.a_A.shape or maps.scan.step_um != truth.scan.step_um:
        raise InputError(
            f"maps of {maps.a_A.shape} voxels of {maps.scan.step_um} µm cannot be shown beside "
            f"a truth of {truth.a_A.shape} voxels of {truth.scan.step_um} µm"
        )


def _images(maps: Maps, truth: Truth, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return every figure as a data URI, by the name that the template knows it by."""
    figures = {
        "truth": truth_map_figure(maps, truth=truth),
        "recovered": recovered_map_figure(maps, truth=truth),
        "error": error_map_figure(maps, truth=truth),
        "histogram": histogram_figure(maps, truth=truth),
        "radial": radial_figure(maps, truth=truth),
        "fit": fit_figure(maps),
        "timing": timing_figure(metrics["timing_s"]),
    }
    if metrics.get("weight_fraction"):
        figures["fractions"] = fractions_figure(maps, truth=truth)
    if metrics.get("weight_fraction_voxels"):
        figures["phases"] = phases_figure(maps, truth=truth)
    if metrics.get("second_lattice"):
        figures["second_lattice"] = second_lattice_figure(maps, truth=truth)
    return {name: picture_url(png(figure)) for name, figure in figures.items()}


def _statuses(maps: Maps, truth: Truth) -> list[_StatusRow]:
    rows = []
    for status, words in _STATUS_WORDS.items():
        found = maps.status == status
        interior = found & truth.interior
        rows.append(_StatusRow(words, count(np.sum(found)), count(np.sum(interior))))
    return rows


def _origin(metrics: Mapping[str, Any]) -> list[_Row]:
    scan, timing_s = metrics["scan"], metrics["timing_s"]
    rows = [
        _Row("configuration (SHA-256)", str(metrics["config_sha256"])),
        _Row("seed", str(metrics["seed"])),
        _Row("scan points", count(scan["n_points"])),
        _Row("beam time, without motor moves", duration(scan["beam_time_s"])),
        _Row("simulated data", str(scan["mode"])),
        _Row("largest memory (MB)", plain(metrics["peak_memory_MB"], decimals=0)),
    ]
    axis = metrics.get("rotation_axis_um")
    if axis is not None:
        true = f" (true: {plain(axis['true'], decimals=3)})" if "true" in axis else ""
        rows.append(_Row("rotation axis (µm)", plain(axis["found"], decimals=3) + true))
    if "total" in timing_s:
        rows.append(_Row("computing time", duration(timing_s["total"])))
    return rows
