"""The command that asks a pipeline for the usual mistakes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from validation.cli_options import Quiet, Threads
from validation.cli_score import duration_s

if TYPE_CHECKING:
    from validation.pipelines.sources import Pipeline
    from validation.selftest.run import Bench
    from validation.selftest.verdict import Verdict

SCHEMA = "xrdct-twin selftest 1"


PipelineName = Annotated[
    str | None,
    typer.Argument(
        metavar="[PIPELINE]", show_default="our own chain",
        help="As score takes it: module:function, FILE.py:function, 'command {scan} {output}', "
        "RECIPE.toml, or a step of ours replaced.",
    ),
]  # fmt: skip
Planted = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|all", show_default=False,
        help="Our own chain with a mistake planted in it, to see it caught.",
    ),
]  # fmt: skip
Quick = Annotated[bool, typer.Option("--quick", help="Without the check of trimming.")]
Given = Annotated[
    Literal["both", "patterns"],
    typer.Option(help="Give frames where a check is about them, or patterns throughout."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the noise.")]
TimeLimit = Annotated[
    str, typer.Option(metavar="TIME", help="Of the pipeline for each case: 90s, 30min or 2h.")
]
MemoryLimit = Annotated[
    float | None,
    typer.Option(metavar="GB", min=0.001, help="Of the pipeline.", show_default="none"),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE.json", help="Also write the verdicts.",
        show_default=False,
    ),
]  # fmt: skip
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")]


def selftest(
    pipeline: PipelineName = None,
    planted: Planted = None,
    quick: Quick = False,
    mode: Given = "both",
    seed: Seed = 0,
    time_limit: TimeLimit = "10min",
    memory_limit: MemoryLimit = None,
    output: Output = None,
    workers: Threads = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Ask a pipeline for the usual mistakes, on small known cases, and name those it makes.

    Exit code 0: all checks are passed, or every planted mistake is caught and named. 1: they are
    not. 2: wrong arguments.
    """
    from validation.outputs import check_outputs, write_safely
    from validation.pipelines.sandbox import Limits
    from validation.pipelines.sources import read_pipeline
    from validation.selftest.run import OWN, Bench
    from xrdct.errors import InputError

    if planted is not None and pipeline is not None:
        raise InputError("--planted plants a mistake in our own chain: name no pipeline with it")
    limits = Limits(time_s=duration_s(time_limit), memory_GB=memory_limit)
    asked = OWN if pipeline is None else read_pipeline(pipeline)
    names = _planted(planted, quick=quick, mode=mode)
    if output is not None:
        check_outputs([output], force=force)

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    with tempfile.TemporaryDirectory(prefix="xrdct-twin-selftest-") as folder:
        bench = Bench(Path(folder), seed, mode, limits, workers, tell)
        if names:
            result, good = _plant(names, bench, quick=quick, quiet=quiet)
        else:
            result, good = _ask(asked, bench, quick=quick, quiet=quiet)
    if output is not None:
        write_safely(output, json.dumps(_record(result, seed, mode, good), indent=1).encode())
    if not good:
        raise typer.Exit(1)


def _planted(name: str | None, *, quick: bool, mode: str) -> list[str]:
    """Return the mistakes to plant; those of all that the chosen cases can tell."""
    from validation.planted import PLANTED
    from xrdct.errors import InputError

    if name is None:
        return []
    without_trim = quick or mode == "patterns"
    if name == "all":
        return [one for one in PLANTED if not (without_trim and one == "trim")]
    if name not in PLANTED:
        raise InputError(f"--planted is all, or one of {', '.join(PLANTED)}, not {name!r}")
    if name == "trim" and without_trim:
        raise InputError(
            "the mistake trim shows in frames only: without --quick and --mode patterns"
        )
    return [name]


def _plant(
    names: Sequence[str], bench: Bench, *, quick: bool, quiet: bool
) -> tuple[dict[str, list[Verdict]], bool]:
    """Ask for each mistake, of many only the cases that tell it; return whether all are named."""
    from validation.pipelines.sources import read_pipeline
    from validation.planted import PLANTED
    from validation.selftest.run import self_test

    found, good = {}, True
    for name in names:
        pipeline = read_pipeline(f"{name}=validation.planted:{name}")
        only = PLANTED[name][1] if len(names) > 1 else None
        found[name] = self_test(pipeline, bench, quick=quick, only=only)
        telling = [verdict for verdict in found[name] if verdict.named == name]
        good &= bool(telling)
        if quiet:
            continue
        if len(names) == 1:
            for verdict in found[name]:
                typer.echo(verdict.line())
        word = "caught and named" if telling else "NOT NAMED"
        told = telling[0].line() if len(names) > 1 and telling else ""
        typer.echo(f"{name}: {word}{'; ' if told else ''}{' '.join(told.split())}")
    return found, good


def _ask(
    pipeline: Pipeline, bench: Bench, *, quick: bool, quiet: bool
) -> tuple[dict[str, list[Verdict]], bool]:
    """Ask for all checks and print their verdicts; return whether none is failed."""
    from validation.selftest.run import self_test

    found = self_test(pipeline, bench, quick=quick)
    lost = sum(verdict.status == "failed" for verdict in found)
    if not quiet:
        for verdict in found:
            typer.echo(verdict.line())
        asked = sum(verdict.status != "not asked" for verdict in found)
        typer.echo(f"{pipeline.label}: {asked - lost} of {asked} checks passed")
    return {pipeline.text: found}, lost == 0


def _record(found: dict[str, list[Verdict]], seed: int, mode: str, good: bool) -> dict[str, Any]:
    from validation.selftest.verdict import as_json
    from xrdct.versions import versions

    return {
        "schema": SCHEMA,
        "seed": seed,
        "mode": mode,
        "passed": good,
        "pipelines": {name: as_json(verdicts) for name, verdicts in found.items()},
        "versions": versions(),
    }
