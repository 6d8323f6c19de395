"""The command that runs a table of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from validation.cli_options import Analysis, Dask, Folder, Mode, Processes, Quiet, Tenths, workforce


def sweep(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE.toml|EXPERIMENT.toml", show_default=False)
    ],
    output: Folder,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES", show_default=False,
            help="A key of the experiment and its values: scan.step_um=0.5,1,2 or 0.5:4:5 (five "
            "from 0.5 to 4), with :log behind it by equal factors. Of several, all combinations.",
        ),
    ] = None,
    recipe: Analysis = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds of every combination.", show_default="1")
    ] = None,
    mode: Mode = None,
    workers: Processes = None,
    dask: Dask = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a table that is already there.")
    ] = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Simulate, recover and score every combination of some values; write sweep.csv.

    Interrupted, the same command goes on where it was.
    """
    from validation.batch.store import Store, outcomes_folder
    from validation.batch.vary import all_varied
    from validation.outputs import check_outputs
    from validation.sweep import read_sweep, run_sweep
    from validation.sweep_table import SweepFiles, terminal_table, write_sweep

    keys = all_varied(vary or [])
    asked = read_sweep(table, keys, recipe=recipe, n_seeds=seeds, mode=mode)
    files = SweepFiles.within(output)
    check_outputs(files, force=force, inputs=[table, *([recipe] if recipe else [])])
    rows = run_sweep(
        asked, store=Store(outcomes_folder(output)), workforce=workforce(workers, dask),
        progress=None if quiet else Tenths(),
    )  # fmt: skip
    write_sweep(asked, rows, files)
    if not quiet:
        for line in terminal_table(asked, rows):
            typer.echo(line)
        typer.echo(f"table: {files.csv}")
