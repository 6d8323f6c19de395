"""The command that tells which effect, setting or step costs how much accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from validation.cli_options import (
    Dask,
    ExperimentFile,
    Folder,
    Mode,
    Processes,
    Quiet,
    Tenths,
    workforce,
)


def budget(
    experiment: ExperimentFile,
    output: Folder,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="RECIPE.toml", show_default="that of the experiment",
            help="The analysis to judge. Its integration applies to frames.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Samples and noise drawn, over which differences are taken.")
    ] = 3,
    full: Annotated[
        bool, typer.Option("--full", help="Simulate large electrodes at their real size.")
    ] = False,
    mode: Mode = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first seed.", show_default="the experiment's")
    ] = None,
    workers: Processes = None,
    dask: Dask = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a budget that is already there.")
    ] = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Tell which effect, setting of the scan or step of the recipe costs how much accuracy.

    Each is switched off in turn, and on alone, with the same random numbers. Interrupted, the same
    command goes on where it was.
    """
    from validation.batch.store import Store, outcomes_folder
    from validation.budget.budget import budget as made
    from validation.budget.budget import question
    from validation.budget.report import BudgetFiles, write_budget
    from validation.budget.words import terminal_table
    from validation.experiment import load_experiment, load_recipe
    from validation.outputs import check_outputs

    loaded = load_experiment(experiment, seed=seed, mode=mode)
    chosen = load_recipe(recipe) if recipe else None
    files = BudgetFiles.within(output)
    check_outputs(files, force=force, inputs=[experiment, *([recipe] if recipe else [])])
    asked = question(loaded, recipe=chosen, n_seeds=seeds, full=full)
    if not quiet:
        smaller = asked.answered.told()
        typer.echo(f"{asked.n_outcomes} recoveries. {smaller}".rstrip(), err=True)
    found = made(
        asked, store=Store(outcomes_folder(output)), workforce=workforce(workers, dask),
        progress=None if quiet else Tenths(),
    )  # fmt: skip
    write_budget(found, files)
    if not quiet:
        for line in terminal_table(found):
            typer.echo(line)
        typer.echo(f"report: {files.html}")
