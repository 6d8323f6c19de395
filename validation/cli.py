"""The command line. What a command needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from xrdct.errors import InputError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Digital twin of X-ray diffraction computed tomography: simulate, recover, validate.",
)

ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT.toml", show_default=False)]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Reseed packing, composition and noise.", show_default=False),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads to use [default: all].", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Force = Annotated[bool, typer.Option("--force", help="Replace results that are already there.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", metavar="RECIPE.toml", show_default=False)
]
Progress = Callable[[str, float], None]


@app.command()
def run(
    experiment: ExperimentFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")],
    recipe: RecipeFile = None,
    seed: Seed = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Simulate an experiment, recover it, and score the result against the truth."""
    from validation.experiment import load_experiment, load_recipe
    from validation.run import RunFiles
    from validation.run import run as run_all
    from validation.scorecard import summary

    loaded = load_experiment(experiment, seed=seed)
    chosen = load_recipe(recipe) if recipe else None
    with _progress(quiet) as progress:
        metrics = run_all(
            loaded, output, recipe=chosen, force=force, workers=workers, progress=progress
        )
    _say(summary(metrics), quiet)
    _say(f"report: {RunFiles(output).report}", quiet)


@app.command()
def simulate(
    experiment: ExperimentFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="SCAN.h5")],
    truth: Annotated[
        Path | None, typer.Option(metavar="TRUTH.h5", help="Also write the truth.")
    ] = None,
    seed: Seed = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure an experiment by simulation and write the raw scan."""
    from validation.experiment import load_experiment
    from validation.run import write_simulated
    from validation.steps import simulate as simulate_experiment

    loaded = load_experiment(experiment, seed=seed)
    _refuse_existing([output, *([truth] if truth else [])], force)
    with _progress(quiet) as progress:
        simulated = simulate_experiment(loaded, workers=workers, progress=progress)
        write_simulated(simulated, output, truth=truth, experiment=loaded)
    _say(f"{loaded.scan.n_points} points written to {output}", quiet)


@app.command()
def recover(
    scan: Annotated[Path, typer.Argument(metavar="SCAN.h5", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MAPS.h5")],
    recipe: RecipeFile = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Recover maps from a raw scan, by the recipe stored with it or another."""
    import numpy as np

    from inverse.maps import write_maps
    from inverse.recover import recover as recover_maps
    from validation.experiment import load_recipe
    from validation.run import chosen_recipe
    from xrdct.rawfile import read_raw_scan

    given = load_recipe(recipe) if recipe else None
    _refuse_existing([output], force)
    with _progress(quiet) as progress:
        raw = read_raw_scan(scan)
        maps = recover_maps(
            raw, recipe=chosen_recipe(raw, given), workers=workers, progress=progress
        )
        write_maps(maps, output)
    _say(f"{int(np.isfinite(maps.a_A).sum())} voxels refined, written to {output}", quiet)


@app.command()
def validate(
    maps: Annotated[Path, typer.Argument(metavar="MAPS.h5", show_default=False)],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH.h5", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")],
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Score maps against the truth: metrics.json and report.html."""
    from validation.run import RunFiles, validate_files
    from validation.scorecard import summary

    files = RunFiles(output)
    _refuse_existing([files.metrics, files.report], force)
    metrics = validate_files(maps, truth, output)
    _say(summary(metrics), quiet)
    _say(f"report: {files.report}", quiet)


@app.command()
def check(experiment: ExperimentFile, seed: Seed = None) -> None:
    """Tell what an experiment costs and what may go wrong, without simulating it."""
    from validation.check import forecast
    from validation.experiment import load_experiment

    loaded = load_experiment(experiment, seed=seed)
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


def _refuse_existing(paths: list[Path], force: bool) -> None:
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a folder, but a file is to be written there")
        if path.exists() and not force:
            raise InputError(f"{path} already exists: choose another name, or use --force")


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
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        typer.echo(f"error: {error.strerror or error}{place}", err=True)
        raise SystemExit(2) from None
