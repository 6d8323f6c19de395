"""The command that tells which effect, setting or step costs how much accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from validation.batch.runner import Workforce

Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", show_default=False,
        help="Simulate on the cluster whose dask scheduler is there.",
    ),
]  # fmt: skip
Processes = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes to simulate in.", show_default="as many as cores"
    ),
]


def budget(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT.toml", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
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
    mode: Annotated[
        Literal["patterns", "frames"] | None,
        typer.Option(
            help="Simulate channels of 2θ, or every pixel of the detector.",
            show_default="that of the experiment",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first seed.", show_default="the experiment's")
    ] = None,
    workers: Processes = None,
    dask: Dask = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a budget that is already there.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:  # fmt: skip
    """Tell which effect, setting of the scan or step of the recipe costs how much accuracy.

    Each is switched off in turn, and on alone, with the same random numbers. Interrupted, the same
    command goes on where it was.
    """
    from validation.batch.store import Store
    from validation.budget.budget import budget as made
    from validation.budget.budget import outcomes_folder, question
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


def workforce(workers: int | None, dask: str | None) -> Workforce:
    """Return what simulates: a cluster, or processes of this machine.

    Raises InputError where both are asked for.
    """
    from validation.batch.cluster import Cluster
    from validation.batch.processes import Processes as Local
    from xrdct.errors import InputError

    if dask is None:
        return Local(workers)
    if workers is not None:
        raise InputError("--workers is for this machine: a cluster has the workers it has")
    return Cluster(dask)


class Tenths:
    """Says on the terminal how far a step is, at every tenth."""

    def __init__(self) -> None:
        self._told: tuple[str, int] | None = None

    def __call__(self, step: str, fraction: float) -> None:
        """Tell of a step that is done to a fraction."""
        now = (step, int(10.0 * fraction))
        if now != self._told:
            self._told = now
            typer.echo(f"{step}: {10 * now[1]} %", err=True)
