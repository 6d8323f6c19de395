"""The command line. What a command needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import contextlib
import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from validation.cli_backends import backends
from validation.cli_budget import budget
from validation.cli_options import (
    Dask,
    ExperimentFile,
    Folder,
    Mode,
    Quiet,
    Reseed,
    Threads,
    frame_cluster,
)
from validation.cli_paper import paper
from validation.cli_plan import plan
from validation.cli_score import score
from validation.cli_selftest import selftest
from validation.cli_sweep import sweep
from xrdct.errors import InputError, show_warnings_in_a_line
from xrdct.memory import keep_freed_memory

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Digital twin of X-ray diffraction computed tomography: simulate, recover, validate.",
)

Force = Annotated[bool, typer.Option("--force", help="Replace results that are already there.")]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", metavar="RECIPE.toml", show_default="that of the scan",
        help="How to analyse; the scan's calibration is kept unless it brings one. Its integration "
        "applies to frames; patterns have been integrated.",
    ),
]  # fmt: skip
Progress = Callable[[str, float], None]
_OBJECTS_PER_SWEEP = 20_000
"""New objects after which Python looks for garbage: 700, its default, costs a tenth of a plan."""


@app.command()
def run(
    experiment: ExperimentFile,
    output: Folder,
    recipe: RecipeFile = None,
    mode: Mode = None,
    keep_frames: Annotated[
        bool, typer.Option("--keep-frames", help="Write frames to disk, in frame mode.")
    ] = False,
    seed: Reseed = None,
    workers: Threads = None,
    dask: Dask = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Simulate an experiment, recover it, and score the result against the truth."""
    from validation.experiment import load_experiment, load_recipe
    from validation.run import RunFiles
    from validation.run import run as run_all
    from validation.scorecard import summary

    loaded = load_experiment(experiment, seed=seed, mode=mode)
    chosen = load_recipe(recipe) if recipe else None
    with _progress(quiet) as progress:
        metrics = run_all(
            loaded, output, recipe=chosen, keep_frames=keep_frames, force=force, workers=workers,
            cluster=frame_cluster(loaded.mode, workers, dask), progress=progress,
        )  # fmt: skip
    _say(summary(metrics), quiet)
    _say(f"report: {RunFiles(output).report}", quiet)


@app.command()
def simulate(
    experiment: ExperimentFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="SCAN.h5", help="File for the raw scan.")
    ],
    truth: Annotated[
        Path | None, typer.Option(metavar="TRUTH.h5", help="Also write the truth.")
    ] = None,
    mode: Mode = None,
    seed: Reseed = None,
    workers: Threads = None,
    dask: Dask = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure an experiment by simulation and write the raw scan.

    In frame mode the scan is a master file with frames in a folder beside it; interrupted, the same
    command goes on where it was.
    """
    from validation.experiment import load_experiment
    from validation.outputs import check_outputs, other_scan_path
    from validation.run import measure_to

    loaded = load_experiment(experiment, seed=seed, mode=mode)
    cluster = frame_cluster(loaded.mode, workers, dask)
    others = [other_scan_path(output, name) for name in loaded.scans]
    files = [output, *others, *([truth] if truth else [])]
    if loaded.mode == "frames":  # what is left of an interrupted run is gone on with
        files = [output]
    check_outputs(files, force=force, inputs=[experiment])
    with _progress(quiet) as progress:
        measure_to(
            loaded, output, truth=truth, force=force, workers=workers, cluster=cluster,
            progress=progress,
        )  # fmt: skip
    for path, scan in zip([output, *others], [loaded.scan, *loaded.scans.values()], strict=True):
        _say(f"{scan.n_points} points written to {path}", quiet)
    if truth:
        _say(f"truth written to {truth}", quiet)


@app.command()
def recover(
    scan: Annotated[Path, typer.Argument(metavar="SCAN.h5", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MAPS.h5", help="File for the maps.")
    ],
    recipe: RecipeFile = None,
    linked: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            show_default=False,
            help="Take this file as the scan coarse or broad, whatever experiment it is of: the "
            "same sample, instrument and axis, as you say. May be repeated.",
        ),
    ] = None,
    workers: Threads = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Recover maps from a raw scan, by the recipe stored with it or another.

    Scans of the surroundings that it links to, coarse and broad, are used where the recipe does;
    one that serves a series of scans is named by --linked.
    """
    import numpy as np

    from inverse.maps import write_maps
    from inverse.recover import recover as recover_maps
    from validation.experiment import load_recipe
    from validation.integrated_files import chosen_recipe
    from validation.linked_files import check_same_instrument, named_files
    from validation.outputs import check_outputs
    from validation.run import read_others, read_patterns

    given = load_recipe(recipe) if recipe else None
    named = named_files(linked or [])
    inputs = [scan, *([recipe] if recipe else []), *named.values()]
    check_outputs([output], force=force, inputs=inputs)
    with _progress(quiet) as progress:
        raw = read_patterns(scan, given, workers=workers, progress=progress)
        chosen = chosen_recipe(raw, given)
        others = read_others(scan, chosen, named=named, workers=workers, progress=progress)
        for name, file in named.items():
            check_same_instrument(raw, others[name], path=scan, key=f"--linked {name}={file}")
        maps = recover_maps(raw, others=others, recipe=chosen, workers=workers, progress=progress)
        write_maps(maps, output)
    _say(f"{int(np.isfinite(maps.a_A).sum())} voxels refined, written to {output}", quiet)


@app.command()
def integrate(
    scan: Annotated[Path, typer.Argument(metavar="SCAN.h5", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PATTERNS.h5", help="File for the patterns.")
    ],
    recipe: RecipeFile = None,
    workers: Threads = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Integrate a raw scan of detector frames to patterns, which `recover` takes up.

    Frames of further scans that lie beside it, coarse and broad, are integrated too, to files that
    the patterns link to.
    """
    from validation.experiment import load_recipe
    from validation.integrated_files import write_integrated
    from validation.outputs import check_outputs

    given = load_recipe(recipe) if recipe else None
    check_outputs([output], force=force, inputs=[scan, *([recipe] if recipe else [])])
    with _progress(quiet) as progress:
        raw, linked = write_integrated(
            scan, output, given, force=force, workers=workers, progress=progress
        )
    _say(f"{raw.scan.n_points} frames integrated, written to {output}", quiet)
    for name, path in linked.items():
        _say(f"linked to {name} scan {path}", quiet)


@app.command()
def validate(
    maps: Annotated[Path, typer.Argument(metavar="MAPS.h5", show_default=False)],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH.h5", show_default=False)],
    output: Folder,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Score maps against the truth: metrics.json and report.html."""
    from validation.outputs import check_outputs, prepare_folder
    from validation.run import RunFiles, validate_files
    from validation.scorecard import summary

    files = RunFiles(output)
    prepare_folder(output)
    check_outputs([files.metrics, files.report], force=force)
    metrics = validate_files(maps, truth, output)
    _say(summary(metrics), quiet)
    _say(f"report: {files.report}", quiet)


@app.command()
def check(experiment: ExperimentFile, seed: Reseed = None) -> None:
    """Tell what an experiment costs and what may go wrong, without simulating it."""
    from inverse.suited import check_suited
    from validation.check import forecast
    from validation.experiment import load_experiment

    loaded = load_experiment(experiment, seed=seed)
    check_suited(loaded.scan, recipe=loaded.recipe)
    told = forecast(loaded)
    rows = (
        ("points", f"{told.n_points}"),
        ("beam time", f"{told.beam_time_s / 60:.1f} min"),
        ("dose at the voxel", f"{told.dose_MGy:.3g} MGy"),
        ("photons", f"{told.photons:.3g}"),
        ("memory", f"{told.memory_MB:.0f} MB"),
        ("file size", f"{told.file_MB:.0f} MB before compression"),
        ("alias-free diameter", f"{told.alias_free_diameter_um:.0f} µm"),
        ("sample diameter", f"{told.sample_diameter_um:.0f} µm"),
    )
    for name, value in rows:
        typer.echo(f"{name:<20} {value}")
    for warning in told.warnings:
        typer.echo(f"warning: {warning}")


app.command()(backends)
app.command()(score)
app.command()(budget)
app.command()(paper)
app.command()(sweep)
app.command()(plan)
app.command()(selftest)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(text)


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """Show a bar for each step on a terminal, a line for each elsewhere, nothing if quiet."""
    if quiet:
        yield lambda _step, _fraction: None
        return
    if not sys.stderr.isatty():
        yield _line_per_step()
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    with Bars(console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, fraction: float) -> None:
            if step not in tasks:
                for finished in tasks.values():
                    bars.update(finished, completed=1.0)
                tasks[step] = bars.add_task(step, total=1.0)
            bars.update(tasks[step], completed=fraction)

        yield show
        for task in tasks.values():
            bars.update(task, completed=1.0)


def _line_per_step() -> Progress:
    seen: set[str] = set()

    def show(step: str, _fraction: float) -> None:
        if step not in seen:
            seen.add(step)
            typer.echo(f"{step} …", err=True)

    return show


def main() -> None:
    """Run the command line; what a user can mend is one line and exit code 2."""
    gc.set_threshold(_OBJECTS_PER_SWEEP)
    keep_freed_memory()
    try:
        with warnings.catch_warnings():
            show_warnings_in_a_line()
            app(prog_name="xrdct-twin")
    except InputError as error:
        _fail(str(error))
    except MemoryError as error:
        _fail(f"not enough memory{f': {error}' if str(error) else ''}")
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{place}")


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"error: {' '.join(sentence.split())}", err=True)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
