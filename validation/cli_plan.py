"""The command that recommends a scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from validation.experiment import Experiment
    from validation.plan.plan import Plan
    from validation.plan.report import PlanFiles

Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUES", show_default=False,
        help="A key of the experiment and what it may be: scan.step_um=0.5:4, "
        "scan.angle_range_deg=180,360, scans.coarse=with,without. Offsets follow the step.",
    ),
]  # fmt: skip
Target = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", show_default=False,
        help="What to reach: lattice_A (RMS error of a voxel), weight_fraction (its counting "
        "noise) or resolution_um (FWHM).",
    ),
]  # fmt: skip
MaxTime = Annotated[
    str | None, typer.Option(metavar="30min", help="Beam time: s, min, h.", show_default=False)
]
MaxDose = Annotated[
    str | None, typer.Option(metavar="50MGy", help="Dose: MGy, kGy.", show_default=False)
]
MaxData = Annotated[
    str | None, typer.Option(metavar="10GB", help="Raw data: MB, GB, TB.", show_default=False)
]
Region = Annotated[Literal["interior", "eroded"], typer.Option(help="Voxels whose errors count.")]
Verify = Annotated[
    int, typer.Option(min=0, help="Simulate the pick and neighbours, so many in all.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="DIR", show_default=False,
        help="Folder for plan.json, plan.html and the pick as plan.toml.",
    ),
]  # fmt: skip
Seed = Annotated[
    int | None, typer.Option(min=0, help="Reseed the sample.", show_default="the experiment's")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a plan that is already there.")]


def plan(
    experiment: ExperimentFile,
    vary: Vary = None,
    target: Target = None,
    max_time: MaxTime = None,
    max_dose: MaxDose = None,
    max_data: MaxData = None,
    region: Region = "interior",
    recipe: Analysis = None,
    verify: Verify = 0,
    output: Output = None,
    seed: Seed = None,
    workers: Processes = None,
    dask: Dask = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Recommend the scan that reaches a target in the least beam time, without simulating.

    With --verify the pick and its neighbours are simulated, and compared with what was predicted.
    """
    from validation.batch.vary import all_varied
    from validation.plan.plan import plan as planned
    from validation.plan.report import write_plan
    from validation.plan.wish import Wish, read_limits, read_targets
    from xrdct.errors import InputError

    keys = all_varied(vary or [])
    wish = Wish(read_targets(target or []), read_limits(max_time, max_dose, max_data), region)
    loaded = _loaded(experiment, recipe, seed)
    if verify and output is None:
        raise InputError("--verify keeps its simulations in a folder: name one with -o")
    inputs = [experiment, *([recipe] if recipe else [])]
    files = None if output is None else _files(output, inputs, force=force)
    tell = None if quiet else Tenths()
    found = planned(loaded, keys, wish, progress=tell)
    if verify and output is not None:
        found = _verified(found, verify, output, workers=workers, dask=dask, tell=tell)
    if files is not None:
        write_plan(found, files)
    if not quiet:
        _say(found, files)


def _loaded(experiment: Path, recipe: Path | None, seed: int | None) -> Experiment:
    from validation.budget.cases import with_recipe
    from validation.experiment import load_experiment, load_recipe

    loaded = load_experiment(experiment, seed=seed)
    return loaded if recipe is None else with_recipe(loaded, load_recipe(recipe))


def _files(output: Path, inputs: list[Path], *, force: bool) -> PlanFiles:
    """Return where the plan is written; InputError where it would write over something."""
    from validation.outputs import check_outputs
    from validation.plan.report import PlanFiles

    files = PlanFiles.within(output)
    check_outputs(files, force=force, inputs=inputs)
    return files


def _verified(
    found: Plan,
    n_scans: int,
    output: Path,
    *,
    workers: int | None,
    dask: str | None,
    tell: Tenths | None,
) -> Plan:
    """Return the plan with scans simulated, whose outcomes are kept in the folder."""
    from validation.batch.store import Store, outcomes_folder
    from validation.plan.plan import with_verification

    return with_verification(
        found, n_scans=n_scans, store=Store(outcomes_folder(output)),
        workforce=workforce(workers, dask), progress=tell,
    )  # fmt: skip


def _say(found: Plan, files: PlanFiles | None) -> None:
    from validation.plan.report import terminal

    for line in terminal(found):
        typer.echo(line)
    if files is not None:
        typer.echo(f"report: {files.html}")
