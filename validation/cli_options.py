"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from validation.batch.cluster import Cluster
    from validation.batch.runner import Workforce

ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT.toml", show_default=False)]
Folder = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
]
Mode = Annotated[
    Literal["patterns", "frames"] | None,
    typer.Option(
        help="Simulate channels of 2θ, or every pixel of the detector.",
        show_default="that of the experiment",
    ),
]  # fmt: skip
Analysis = Annotated[
    Path | None,
    typer.Option(
        "--recipe", metavar="RECIPE.toml", show_default="that of the experiment",
        help="How to analyse. Its integration applies to frames.",
    ),
]  # fmt: skip
Reseed = Annotated[
    int | None,
    typer.Option(min=0, help="Reseed packing, composition and noise.", show_default=False),
]
Threads = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads to use.", show_default="all cores")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors and warnings.")
]
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


def workforce(workers: int | None, dask: str | None) -> Workforce:
    """Return what simulates: a cluster, or processes of this machine.

    Raises InputError where both are asked for.
    """
    from validation.batch.processes import Processes as Local

    return Local(workers) if dask is None else _cluster(workers, dask)


def frame_cluster(mode: str, workers: int | None, dask: str | None) -> Cluster | None:
    """Return the cluster that makes frames; None for this machine.

    Raises InputError where patterns are simulated, or ``workers`` are asked for too.
    """
    from xrdct.errors import InputError

    if dask is None:
        return None
    if mode != "frames":
        raise InputError("--dask makes frames, but patterns are simulated: use --mode frames")
    return _cluster(workers, dask)


def _cluster(workers: int | None, dask: str) -> Cluster:
    from validation.batch.cluster import Cluster
    from xrdct.errors import InputError

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
