"""Run one command with limits and tell what it took; a script of the standard library alone.

    python -I launcher.py '{"argv": [...], "cwd": ..., "env": {...}, "stdout": ..., "stderr": ...,
                            "usage": ..., "time_limit_s": ..., "memory_bytes": null, ...}'

It stands between the scoring process and the pipeline for three reasons. Limits are set after a
fork, which is not safe in a process that has threads. A process's largest memory, as the kernel
keeps it, counts that of the one that started it; this one is small. And it can adopt what a
pipeline leaves behind (Linux's "subreaper"), so that nothing outlives the run, not even daemons.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

_POLL_S = 0.05
_LOOK_S = 0.5
"""Between two looks at memory and logs."""
_ROUNDS = 50
"""Of killing: a process may start another while it is killed."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_KILO = 1024.0


class Stopped(Exception):  # noqa: N818
    """The scoring process wants the run to end."""


def main() -> None:
    """Run the job given as JSON."""
    job = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, _stop)
    _adopt_orphans()
    usage: dict[str, Any] = {"reason": "stopped", "exit_code": None}
    try:
        usage = _run(job)
    except Stopped:
        sys.exit(1)
    finally:
        text = json.dumps(usage)
        partial = Path(job["usage"] + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(job["usage"])


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise Stopped


def _adopt_orphans() -> None:
    """Become the parent of what descendants leave, and end with the scoring process."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _run(job: dict[str, Any]) -> dict[str, Any]:
    start = time.monotonic()
    with Path(job["stdout"]).open("wb") as out, Path(job["stderr"]).open("wb") as err:
        try:
            child = subprocess.Popen(
                job["argv"], cwd=job["cwd"], env=job["env"], stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, start_new_session=True,
                preexec_fn=lambda: _limit(job["memory_bytes"]),
            )  # fmt: skip
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return {"reason": "start", "exit_code": None, "error": str(error)}
    try:
        return _watch(child.pid, job, start)
    finally:
        _kill_all(child.pid)  # after Stopped; else there is nobody left


def _limit(memory_bytes: int | None) -> None:
    """Set limits in the child: no core dumps, and no more address space than it may have."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None and hasattr(resource, "RLIMIT_AS"):
        with contextlib.suppress(ValueError, OSError):  # macOS knows the limit but refuses it
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _watch(pid: int, job: dict[str, Any], start: float) -> dict[str, Any]:
    """Wait for the end of the child, or for a limit."""
    peak_MB = cpu_s = 0.0
    next_look = start + _LOOK_S
    reason, exit_code = "ended", None
    while exit_code is None:
        ended, status, used = _reaped()
        if ended:
            peak_MB = max(peak_MB, _resident_MB(used))
            cpu_s += used.ru_utime + used.ru_stime
            if ended == pid:
                exit_code = os.waitstatus_to_exitcode(status)
            continue
        now = time.monotonic()
        if now > next_look:
            together_MB = _memory_MB()
            peak_MB = max(peak_MB, together_MB)
            next_look = now + _LOOK_S
            limit = job["memory_bytes"]
            if limit is not None and together_MB * 1e6 > limit:
                reason = "memory"
                break
            if any(Path(job[name]).stat().st_size > job["log_bytes"] for name in _LOGS):
                reason = "log"
                break
        if now - start > job["time_limit_s"]:
            reason = "time"
            break
        time.sleep(_POLL_S)
    seconds = time.monotonic() - start
    for used in _kill_all(pid):
        peak_MB = max(peak_MB, _resident_MB(used))
        cpu_s += used.ru_utime + used.ru_stime
    return {
        "reason": reason,
        "exit_code": exit_code,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "peak_memory_MB": peak_MB,
    }


_LOGS = ("stdout", "stderr")


def _reaped() -> tuple[int, int, resource.struct_rusage]:
    """Return which descendant ended, how, and what it used; process 0 where none has."""
    try:
        return os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0, resource.getrusage(resource.RUSAGE_SELF)


def _resident_MB(used: resource.struct_rusage) -> float:
    unit = 1.0 if sys.platform == "darwin" else _KILO
    return used.ru_maxrss * unit / 1e6


def _descendants() -> list[int]:
    """Return the processes below this one, as far as the platform tells."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The command's name stands in brackets and may hold anything.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
    found, below = [], {os.getpid()}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below}
        found += sorted(below)
    return found


def _memory_MB() -> float:
    """Return the memory of all descendants, shared pages divided among those that share them."""
    total_kB = 0
    for pid in _descendants():
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kB += int(line.split()[1])
    return total_kB * _KILO / 1e6


def _kill_all(pid: int) -> list[resource.struct_rusage]:
    """Kill every descendant, or the child's group, and return what they had used."""
    used = []
    for _ in range(_ROUNDS):
        descendants = _descendants()
        if not Path("/proc/self/stat").exists():  # its group is all that is known elsewhere
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        for descendant in descendants:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(descendant, signal.SIGKILL)
        try:
            while True:
                ended, _, its = os.wait4(-1, os.WNOHANG)
                if not ended:
                    break
                used.append(its)
        except ChildProcessError:
            return used
        time.sleep(_POLL_S)
    return used


if __name__ == "__main__":
    main()
