"""The command that scores pipelines, ours and others', on one simulated scan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from validation.cli_options import ExperimentFile, Folder, Quiet, Reseed, Threads

_TIME = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>s|min|h)?")
_SECONDS = {None: 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}


def score(
    pipelines: Annotated[
        list[str],
        typer.Argument(
            metavar="[LABEL=]PIPELINE...", show_default=False,
            help="module:function, FILE.py:function, 'command {scan} {output}', RECIPE.toml, or a "
            "step of ours replaced: integrate=, reconstruct= or refine= with a function.",
        ),
    ],
    experiment: ExperimentFile,
    output: Folder,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="RECIPE.toml", show_default="that of the scan",
            help="How the steps are done that a partial pipeline leaves to ours; commands find it "
            "as {recipe}.",
        ),
    ] = None,
    time_limit: Annotated[
        str, typer.Option(metavar="TIME", help="Of each pipeline, as 90s, 30min or 2h.")
    ] = "30min",
    memory_limit: Annotated[
        float | None,
        typer.Option(metavar="GB", min=0.001, help="Of each pipeline.", show_default="none"),
    ] = None,
    mode: Annotated[
        Literal["patterns", "frames"] | None,
        typer.Option(
            help="Give pipelines patterns, or frames of the detector.",
            show_default="that of the experiment",
        ),
    ] = None,
    seed: Reseed = None,
    workers: Threads = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run pipelines again that have been scored.")
    ] = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Score pipelines side by side on one simulated scan.

    Each runs in a process and a folder of its own, with the raw scan, without the truth.
    Failures are told in the report. Exit code 1: none was scored.
    """
    from validation.experiment import load_experiment, load_recipe
    from validation.pipelines.sandbox import Limits
    from validation.pipelines.score import score_pipelines
    from validation.pipelines.scoring import summary
    from validation.pipelines.sources import read_pipelines

    limits = Limits(time_s=duration_s(time_limit), memory_GB=memory_limit)
    read = read_pipelines(pipelines)
    loaded = load_experiment(experiment, seed=seed, mode=mode)
    given = load_recipe(recipe) if recipe else None

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    scored, files = score_pipelines(
        read, loaded, output, recipe=given, limits=limits, force=force, workers=workers, tell=tell
    )
    if not quiet:
        for line in summary(scored):
            typer.echo(line)
        typer.echo(f"report: {files.report}")
    if not any(entry["scored"] for entry in scored["pipelines"]):
        raise typer.Exit(1)


def duration_s(text: str) -> float:
    """Return a time such as 90s, 30min or 2h in seconds; InputError for what is none."""
    from xrdct.errors import InputError

    found = _TIME.fullmatch(text.strip())
    seconds = float(found["number"]) * _SECONDS[found["unit"]] if found else 0.0
    if seconds <= 0.0:
        raise InputError(
            f"--time-limit is a time above zero such as 90s, 30min or 2h, not {text!r}"
        )
    return seconds
