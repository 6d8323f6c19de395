"""Run a pipeline apart: own process, own folder, a copy of the raw scan, limits, captured output.

A folder of a pipeline holds

    work/         the working directory, with the copied scan while the pipeline runs
    stdout.txt    what it printed
    stderr.txt    what it complained of
    usage.json    how it ended, time and memory
    maps.h5       its maps, once they were understood

A pipeline is stopped with everything that it started at the time limit, above the memory limit, and
where it floods its log. That keeps mistakes from harm; it is no prison for malice: a pipeline runs
with the user's own rights, as it would from the user's own shell.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from validation.report_words import duration
from xrdct.errors import InputError

Reason = Literal["ended", "time", "memory", "log", "start", "stopped"]

LOG_BYTES = 64 * 2**20
"""Largest stdout.txt or stderr.txt."""
_LAUNCHER = Path(__file__).with_name("launcher.py")
_GRACE_S = 30.0
"""How much longer the launcher may take than the pipeline."""
_TAIL_BYTES = 64 * 1024
_LONGEST_LINE = 300


@dataclass(frozen=True)
class Limits:
    """What a pipeline may use."""

    time_s: float = 1800.0
    memory_GB: float | None = None
    """Of address space of each process, and of memory of all; None: no limit."""


@dataclass(frozen=True)
class Usage:
    """How a pipeline ended, and what it took."""

    reason: Reason
    """``ended`` by itself; stopped for ``time``, ``memory`` or its ``log``; did not ``start``."""
    exit_code: int | None = None
    """Negative: the number of the signal that ended it."""
    seconds: float = 0.0
    cpu_s: float = 0.0
    """Processor time of all its processes."""
    peak_memory_MB: float = 0.0
    error: str = ""
    """Why it did not start."""


@dataclass(frozen=True)
class Cell:
    """The folder of one pipeline."""

    folder: Path

    @property
    def work(self) -> Path:
        """The working directory."""
        return self.folder / "work"

    @property
    def stdout(self) -> Path:
        """What the pipeline printed."""
        return self.folder / "stdout.txt"

    @property
    def stderr(self) -> Path:
        """What it complained of."""
        return self.folder / "stderr.txt"

    @property
    def usage(self) -> Path:
        """How it ended."""
        return self.folder / "usage.json"

    @property
    def maps(self) -> Path:
        """Its maps, once they were understood."""
        return self.folder / "maps.h5"

    def prepare(self, raw: Path) -> None:
        """Empty the folder and copy the raw scan of the folder ``raw`` into the working directory.

        The copies can be read only; were they written to all the same, no other pipeline would
        notice.
        """
        if self.folder.is_symlink():
            raise InputError(f"{self.folder} is a link, where a pipeline's own folder should be")
        if self.folder.exists():
            shutil.rmtree(self.folder)
        shutil.copytree(raw, self.work)
        for path in self.work.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        (self.work / "tmp").mkdir()

    def clear(self, raw: Path) -> None:
        """Remove the copies of the raw scan, which may be large, and temporary files."""
        for name in [*(path.name for path in raw.iterdir()), "tmp"]:
            path = self.work / name
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def run_apart(
    argv: Sequence[str], cell: Cell, *, limits: Limits, environment: Mapping[str, str]
) -> Usage:
    """Run a command in a cell and return how it ended; raises nothing for what the command does."""
    memory = None if limits.memory_GB is None else int(limits.memory_GB * 1e9)
    job: dict[str, Any] = {
        "argv": list(argv),
        "cwd": str(cell.work),
        "env": dict(environment),
        "stdout": str(cell.stdout),
        "stderr": str(cell.stderr),
        "usage": str(cell.usage),
        "time_limit_s": limits.time_s,
        "memory_bytes": memory,
        "log_bytes": LOG_BYTES,
    }
    launcher = subprocess.Popen(
        [sys.executable, "-I", str(_LAUNCHER), json.dumps(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        launcher.wait(timeout=limits.time_s + _GRACE_S)
    except subprocess.TimeoutExpired:
        _end(launcher)
        return Usage("time", seconds=limits.time_s)
    except BaseException:
        _end(launcher)
        raise
    return _read_usage(cell)


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """Ask the launcher to kill all that it started, and make sure that it is gone."""
    launcher.terminate()
    try:
        launcher.wait(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()


def _read_usage(cell: Cell) -> Usage:
    try:
        return Usage(**json.loads(cell.usage.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Usage("stopped")


def environment_of(
    cell: Cell, *, python_path: Sequence[str], threads: int | None
) -> dict[str, str]:
    """Return the environment of a pipeline: the user's own, with its place and no windows.

    ``threads`` limits what heeds the usual variables, so that pipelines compete on equal terms.
    """
    inherited = dict(os.environ)
    paths = [*python_path, *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    changed = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(cell.work / "tmp"),
        "PWD": str(cell.work),
        "MPLBACKEND": "Agg",
    }
    if threads is not None:
        names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
        changed |= {f"{name}_NUM_THREADS": str(threads) for name in names}
    return inherited | changed


def failure(usage: Usage, cell: Cell, *, limits: Limits) -> str | None:
    """Say in one sentence why a run failed; None where it ended as it should."""
    if usage.reason == "time":
        return f"it was stopped after {duration(limits.time_s)}, the time limit"
    if usage.reason == "memory":
        return f"it was stopped above {limits.memory_GB:g} GB of memory, the limit"
    if usage.reason == "log":
        return f"it was stopped, having written more than {LOG_BYTES // 2**20} MB of log"
    if usage.reason == "start":
        return f"it could not be started: {usage.error}"
    if usage.reason == "stopped" or usage.exit_code is None:
        return "it was stopped from outside"
    if usage.exit_code == 0:
        return None
    said = last_line(cell.stderr) or last_line(cell.stdout)
    if usage.exit_code < 0:
        ended = f"it was ended by the signal {_signal_name(-usage.exit_code)}"
    else:
        ended = f"it ended with exit code {usage.exit_code}"
    if "MemoryError" in said and limits.memory_GB is not None:
        return f"it needed more than {limits.memory_GB:g} GB of memory, the limit"
    return f"{ended}: {said}" if said else ended


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def last_line(path: Path) -> str:
    """Return the last line of a log that says something, made safe to show; "" without one."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        shown = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        if shown:
            return shown if len(shown) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]}…"
    return ""
