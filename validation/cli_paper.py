"""The command that rebuilds the study's figures."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from validation.cli_options import Folder, Quiet, Tenths, Threads


def paper(
    output: Folder,
    figure: Annotated[
        list[int] | None,
        typer.Option(min=1, max=6, help="Which figure; may be repeated.", show_default="all"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small electrode, wholly in view, in its place.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Of samples, instrument and noise.")
    ] = 1,
    workers: Threads = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace figures that are already there.")
    ] = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Rebuild the figures of Finegan et al. (2020) from simulation, with the truth beside them.

    Scans are kept in the folder, 7 GB of them unless --quick. Interrupted, the same command goes
    on where it was.
    """
    from validation.paper.paper import FIGURES, PaperFiles, make_paper

    claims = make_paper(
        output, figures=figure or tuple(FIGURES), quick=quick, seed=seed, force=force,
        workers=workers, progress=None if quiet else Tenths(),
    )  # fmt: skip
    if quiet:
        return
    files = PaperFiles(output)
    verdicts = Counter(claim.supported for claim in claims)
    told = ", ".join(f"{verdict} {number}" for verdict, number in verdicts.most_common())
    typer.echo(f"{len(claims)} claims, supported: {told}")
    typer.echo(f"report: {files.page}")
