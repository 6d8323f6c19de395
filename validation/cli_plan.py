"""The command that recommends a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from validation.cli_options import (
    Analysis,
    Dask,
    ExperimentFile,
    Processes,
    Quiet,
    Tenths,
    workforce,
)


def plan(
    experiment: ExperimentFile,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES", show_default=False,
            help="A key of the experiment and what it may be: scan.step_um=0.5:4, "
            "scan.angle_range_deg=180,360, scans.coarse=with,without. Offsets follow the step.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", show_default=False,
            help="What to reach: lattice_A (RMS error of a voxel), weight_fraction (its counting "
            "noise) or resolution_um (FWHM).",
        ),
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="30min", help="Beam time: s, min, h.", show_default=False)
    ] = None,
    max_dose: Annotated[
        str | None, typer.Option(metavar="50MGy", help="Dose: MGy, kGy.", show_default=False)
    ] = None,
    max_data: Annotated[
        str | None, typer.Option(metavar="10GB", help="Raw data: MB, GB, TB.", show_default=False)
    ] = None,
    region: Annotated[
        Literal["interior", "eroded"], typer.Option(help="Voxels whose errors count.")
    ] = "interior",
    recipe: Analysis = None,
    verify: Annotated[
        int, typer.Option(min=0, help="Simulate the pick and neighbours, so many in all.")
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", show_default=False,
            help="Folder for plan.json, plan.html and the pick as plan.toml.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Reseed the sample.", show_default="the experiment's")
    ] = None,
    workers: Processes = None,
    dask: Dask = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a plan that is already there.")
    ] = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Recommend the scan that reaches a target in the least beam time, without simulating.

    With --verify the pick and its neighbours are simulated, and compared with what was predicted.
    """
    from validation.batch.store import Store, outcomes_folder
    from validation.batch.vary import all_varied
    from validation.budget.cases import with_recipe
    from validation.experiment import load_experiment, load_recipe
    from validation.outputs import check_outputs
    from validation.plan.plan import plan as planned
    from validation.plan.plan import with_verification
    from validation.plan.report import PlanFiles, terminal, write_plan
    from validation.plan.wish import Wish, read_limits, read_targets
    from xrdct.errors import InputError

    keys = all_varied(vary or [])
    wish = Wish(read_targets(target or []), read_limits(max_time, max_dose, max_data), region)
    loaded = load_experiment(experiment, seed=seed)
    if recipe is not None:
        loaded = with_recipe(loaded, load_recipe(recipe))
    if verify and output is None:
        raise InputError("--verify keeps its simulations in a folder: name one with -o")
    files = PlanFiles.within(output) if output else None
    if files is not None:
        check_outputs(files, force=force, inputs=[experiment, *([recipe] if recipe else [])])
    tell = None if quiet else Tenths()
    found = planned(loaded, keys, wish, progress=tell)
    if verify and output is not None:
        found = with_verification(
            found, n_scans=verify, store=Store(outcomes_folder(output)),
            workforce=workforce(workers, dask), progress=tell,
        )  # fmt: skip
    if files is not None:
        write_plan(found, files)
    if not quiet:
        for line in terminal(found):
            typer.echo(line)
        if files is not None:
            typer.echo(f"report: {files.html}")
