"""metrics.json: the scorecard of one run, in a form that stays stable."""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from inverse.maps import Maps
from validation.bounds import error_over_bound
from validation.crystals import phase_name
from validation.experiment import Experiment
from validation.metrics import lattice_metrics, weight_fraction_metrics
from validation.metrics_voxels import second_lattice_metrics, voxel_fraction_metrics
from validation.outputs import write_safely
from validation.report_words import told_bound
from validation.steps import experiment_hash
from validation.truth import Truth, with_masses
from validation.truth_phase import as_refined
from validation.truthfile import KnownTruth
from xrdct.errors import InputError

SCHEMA = "xrdct-twin metrics 1"


def scorecard(maps: Maps, known: KnownTruth) -> tuple[dict[str, Any], Truth]:
    """Return the metrics and the truth on the maps' grid.

    Raises InputError where maps and truth come from different experiments.
    """
    start = perf_counter()
    experiment = known.experiment
    if maps.experiment_hash != experiment_hash(experiment):
        raise InputError("the maps and the truth come from different experiments")
    truth, measured = known.on_grid_of(maps.scan), known.measured_as(maps.scan)
    truth = as_refined(truth, maps.phase, folder=experiment.folder)
    lattice = {phase_name(maps.phase): lattice_metrics(maps, truth)}
    truth = with_masses(truth, folder=experiment.folder)
    weight_fraction = weight_fraction_metrics(maps, truth)
    further = _of_voxels(maps, truth) | _over_bound(maps, truth, experiment)
    timing = {
        "phantom": known.timing_s.get("phantom", 0.0),
        "simulate": known.timing_s.get("simulate", 0.0),
        "integrate": maps.timing_s.get("integrate", 0.0),
        "correct": maps.timing_s.get("correct", 0.0),
        "reconstruct": maps.timing_s.get("reconstruct", 0.0),
        "refine": maps.timing_s.get("refine", 0.0),
        "compare": perf_counter() - start,
    }
    metrics = {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "config_sha256": experiment.config_sha256(),
        "seed": experiment.seed,
        "versions": dict(maps.versions),
        "scan": {
            "n_points": measured.n_points,
            "beam_time_s": measured.beam_time_s,
            "mode": experiment.mode,
        },
        "timing_s": timing | {"total": sum(timing.values())},
        "peak_memory_MB": peak_memory_MB(),
        "lattice": lattice,
        "weight_fraction": weight_fraction,
    }
    return metrics | _axis(maps, experiment) | further, truth


def _axis(maps: Maps, experiment: Experiment) -> dict[str, Any]:
    """Return where the rotation axis was seen, and where it is; empty where nobody looked.

    Where the beam drifts across the sample it is in one place at the beginning alone.
    """
    if maps.axis_offset_um is None:
        return {}
    motion = experiment.motion
    known = {} if motion.drift_um_per_h else {"true": -motion.axis_offset_um}
    return {"rotation_axis_um": {"found": maps.axis_offset_um} | known}


def _over_bound(maps: Maps, truth: Truth, experiment: Experiment) -> dict[str, Any]:
    """Return the error over the Cramér–Rao bound, or why there is none; empty without voxels."""
    try:
        found = error_over_bound(maps, truth, experiment)
    except InputError as error:
        return {"bound": {"refused": str(error)}}
    return {} if found is None else {"bound": asdict(found)}


def _of_voxels(maps: Maps, truth: Truth) -> dict[str, Any]:
    """Return the figures of a Rietveld refinement of every voxel; empty where there was none."""
    figures = {
        "weight_fraction_voxels": voxel_fraction_metrics(maps, truth),
        "second_lattice": second_lattice_metrics(maps, truth),
    }
    return {name: its for name, its in figures.items() if its}


def peak_memory_MB() -> float:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def write_metrics(metrics: dict[str, Any], path: Path) -> None:
    """Write metrics as JSON; the file gets its name only when complete."""
    write_safely(path, (json.dumps(metrics, indent=1, allow_nan=False) + "\n").encode())


def summary(metrics: dict[str, Any]) -> str:
    """Return the result, one line per phase."""
    lines = []
    for phase, regions in metrics["lattice"].items():
        told = (_told(region, figures) for region, figures in regions.items())
        lines.append(f"{phase}: {'; '.join(told)}")
    for phase, figures in metrics.get("weight_fraction", {}).items():
        lines.append(f"{phase}: weight fraction, {_told_fraction(figures['all'])}")
    for phase, figures in metrics.get("weight_fraction_voxels", {}).items():
        by_voxel = _told_fraction(figures["interior"], of="voxel")
        lines.append(f"{phase}: weight fraction by voxel, {by_voxel}")
    bound = metrics.get("bound")
    if bound:
        lines.append(told_bound(bound))
    second = metrics.get("second_lattice")
    if second:
        lines.append(
            f"second lattice: found in {second['n_two_found']} of {second['n_two']} voxels, "
            f"and in {second['n_one_taken_for_two']} of {second['n_one']} that have none"
        )
    return "\n".join(lines)


def _told(region: str, figures: dict[str, Any]) -> str:
    if "rms_A" not in figures:
        return f"{region} no voxel to compare"
    return (
        f"{region} {figures['n_voxels']} voxels, bias {figures['bias_A'] * 1e3:+.3f} mÅ, "
        f"RMS {figures['rms_A'] * 1e3:.3f} mÅ, std z {figures['std_z']:.2f}"
    )


def _told_fraction(figures: dict[str, Any], *, of: str = "region") -> str:
    if "rms" not in figures:
        return f"no {of} to compare"
    text = (
        f"{figures[f'n_{of}s']} {of}s, true mean {figures['true_mean']:.2%}, "
        f"bias {figures['bias']:+.2%}, RMS {figures['rms']:.2%}"
    )
    return text + (f", std z {figures['std_z']:.2f}" if "std_z" in figures else "")
