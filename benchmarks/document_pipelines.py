"""Parts of docs/validation.md about pipelines, planted mistakes and machines."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.bounds import EXAMPLES
from benchmarks.document_predictions import cell, timed
from phantoms.particle import Particle
from validation.batch.cluster import Cluster
from validation.batch.processes import Processes
from validation.batch.runner import Workforce, run_all
from validation.batch.store import Store
from validation.batch.work import OWN as OWN_RECIPE
from validation.batch.work import Work
from validation.experiment import Experiment, ParticleList, load_experiment
from validation.pipelines.score import score_pipelines
from validation.pipelines.sources import Pipeline, read_pipeline, read_pipelines
from validation.planted import PLANTED
from validation.report_words import MISSING, count, duration, milli, plain
from validation.selftest.run import OWN, Bench, self_test
from validation.selftest.verdict import MISTAKES, Verdict
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

SCORE_HEADER = """| pipeline | interior: bias, mÅ | RMS, mÅ | error over stated uncertainty (std) \
| voxels lost | processor time |
|---|---|---|---|---|---|"""
SELFTEST_HEADER = """| planted | what it is | caught and named | by | it says |
|---|---|---|---|---|"""
SCALE_HEADER = """| where | simulations | the same figures | by the clock |
|---|---|---|---|"""

_PIPELINES = {
    "best": ("recipes/best.toml", None),
    "paper": ("pipelines/paper_in_view.toml", None),
    "per_peak": ("pipelines/per_peak.py:recover", "skimage"),
    "iradon": ("reconstruct=pipelines/steps.py:iradon", "skimage"),
    "centroid": ("refine=pipelines/steps.py:centroid", None),
    "ndtomo": ("pipelines/ndtomo_pipeline.py:recover", "nDTomo"),
    "tomopy": ("pipelines/tomopy_pipeline.py:recover", "tomopy"),
}
"""Where each lies below examples/, and the package without which it does not run."""
_SCALE_SEEDS = (611, 612, 613, 614)


def score_table(folder: Path, _document: Path, workers: int | None) -> str:
    """Return how the examples' pipelines do on one scan of `particle.toml`, 1e11 photons/s."""
    experiment = load_experiment(EXAMPLES / "particle.toml")
    absent = {
        name: package for name, (_, package) in _PIPELINES.items()
        if package is not None and find_spec(package) is None
    }  # fmt: skip
    asked = [_placed(name) for name in _PIPELINES if name not in absent]
    scored, _ = score_pipelines(
        read_pipelines(asked), experiment, folder / "score", workers=workers
    )
    lines = [SCORE_HEADER, *(_scored(entry) for entry in scored["pipelines"])]
    flux = f"{experiment.beam.flux_per_s:.0e}".replace("e+", "e")
    lines += ["", f"`examples/particle.toml`, seed {experiment.seed}, {flux} photons per second."]
    if absent:
        told = ", ".join(f"`{name}` ({package})" for name, package in absent.items())
        lines[-1] += f" Not run, since a package is not installed: {told}."
    return "\n".join(lines)


def _placed(name: str) -> str:
    step, equals, place = _PIPELINES[name][0].rpartition("=")
    return f"{name}={step}{equals}{EXAMPLES / place}"


def _scored(entry: dict[str, Any]) -> str:
    label = f"`{entry['label']}`"
    if not entry["scored"]:
        return f"| {label} | not scored: {cell(entry['reason'])} |" + " |" * 4
    interior, usage = entry["lattice"]["interior"], entry["usage"]
    std_z = plain(interior["std_z"]) if "std_z" in interior else "none stated"
    bias, rms = (milli(interior.get(name)) for name in ("bias_A", "rms_A"))
    lost = count(interior["n_not_recovered"])
    return f"| {label} | {bias} | {rms} | {std_z} | {lost} | {duration(usage['cpu_s'])} |"


def selftest_table(_folder: Path, _document: Path, workers: int | None) -> str:
    """Return which planted mistakes the self-test catches and names, and by what."""
    lines = [SELFTEST_HEADER]
    with tempfile.TemporaryDirectory(prefix="xrdct-twin-document-") as folder:
        bench = Bench(Path(folder), workers=workers)
        lines.append(selftest_row("", self_test(OWN, bench)))
        for name, (_, cases) in PLANTED.items():
            lines.append(selftest_row(name, planted_verdicts(name, bench, only=cases)))
    return "\n".join(lines)


def planted_verdicts(name: str, bench: Bench, *, only: Sequence[str]) -> list[Verdict]:
    """Return the verdicts on our own chain with a mistake planted in it, of some cases."""
    planted: Pipeline = read_pipeline(f"{name}=validation.planted:{name}")
    return self_test(planted, bench, only=only)


def selftest_row(name: str, found: Sequence[Verdict]) -> str:
    """Return the row of one mistake; without a name that of our own chain without any."""
    if not name:
        failed = [verdict for verdict in found if verdict.status == "failed"]
        passed = sum(verdict.status == "passed" for verdict in found)
        told = "; ".join(cell(verdict.sentence) for verdict in failed) or f"{passed} checks passed"
        return f"| nothing | our own chain | {'✗ false alarm' if failed else MISSING} | | {told} |"
    telling = next((verdict for verdict in found if verdict.named == name), None)
    caught = telling or next((verdict for verdict in found if verdict.status == "failed"), None)
    word = "yes" if telling else "caught, ✗ not named" if caught else "✗ no"
    by, says = (cell(caught.check), cell(caught.sentence)) if caught else ("", "")
    return f"| `{name}` | {cell(MISTAKES[name])} | {word} | {by} | {says} |"


def scale_table(_folder: Path, _document: Path, _workers: int | None) -> str:
    """Return whether figures depend on where they are made: processes and a local cluster."""
    lines, first = [SCALE_HEADER], ""
    places: dict[str, Callable[[], str]] = {
        "one process": lambda: _outcomes(Processes(1)),
        "two processes": lambda: _outcomes(Processes(2)),
        "a dask cluster of two workers": _on_cluster,
    }
    for name, task in places.items():
        if task is _on_cluster and find_spec("distributed") is None:
            lines.append(f"| {name} | not run: distributed is not installed | | |")
            continue
        made, clock_s, _ = timed(task)
        same = "reference" if not first else "yes" if made == first else "✗ no"
        first = first or made
        lines.append(f"| {name} | {len(_SCALE_SEEDS)} | {same} | {duration(clock_s)} |")
    return "\n".join(lines)


def _outcomes(workforce: Workforce) -> str:
    """Return the figures of some small scans, as text that tells every bit of them."""
    particle = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=8.0)
    experiment = Experiment(
        sample=ParticleList(particles=(particle,)), beam=Beam(flux_per_s=1e11),
        scan=Scan(n_offsets=11, step_um=1.0, n_angles=18), geometry=Geometry(n_channels=300),
    )  # fmt: skip
    works = [Work(experiment.model_copy(update={"seed": seed})) for seed in _SCALE_SEEDS]
    with tempfile.TemporaryDirectory(prefix="xrdct-twin-document-") as folder:
        found = run_all(works, store=Store(Path(folder)), workforce=workforce)
    figures = [(o.metrics, o.error) for each in found if (o := each[OWN_RECIPE])]
    return json.dumps(figures, sort_keys=True)


def _on_cluster() -> str:
    with import_module("distributed").LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        return _outcomes(Cluster(cluster.scheduler_address, threads=1))
