"""A pipeline may crash, hang, flood or breed: the host stays as it was, and the reason is told."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from validation.pipelines import sandbox
from validation.pipelines.sandbox import Cell, Limits, environment_of, failure, last_line, run_apart
from xrdct.errors import InputError

LINUX = sys.platform.startswith("linux")


@pytest.fixture
def cell(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "scan.h5").write_bytes(b"counts")
    cell = Cell(tmp_path / "pipelines" / "one")
    cell.prepare(raw)
    return cell


def run(cell, code, **limits):
    environment = environment_of(cell, python_path=[], threads=None)
    chosen = Limits(**{"time_s": 60.0} | limits)
    usage = run_apart([sys.executable, "-c", code], cell, limits=chosen, environment=environment)
    return usage, failure(usage, cell, limits=chosen)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z" not in stat.read_text()


def test_what_it_takes_is_measured_apart_from_the_scoring_process(cell):
    # Truth: the program itself makes 200 MB and spins until it has used half a second. A largest
    # memory that counted this process's own (numpy, numba, pytest) would not depend on it.
    small, reason = run(cell, "pass")
    assert reason is None
    large, _ = run(
        cell,
        "import time\nx = bytearray(200 * 2**20)\nwhile time.process_time() < 0.5: pass",
    )
    assert small.peak_memory_MB < 100.0
    assert 209.0 < large.peak_memory_MB < 209.0 + 100.0
    assert 0.5 <= large.cpu_s < 10.0
    assert large.seconds >= large.cpu_s - 0.1


def test_a_crash_is_told_by_its_last_words(cell):
    _, reason = run(cell, "import sys\nprint('a lot')\nsys.exit('the detector is upside down')")
    assert reason == "it ended with exit code 1: the detector is upside down"
    _, reason = run(cell, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert reason == "it was ended by the signal SIGSEGV"
    usage = run_apart(["/no/such/program"], cell, limits=Limits(), environment={})
    assert "could not be started" in failure(usage, cell, limits=Limits())


@pytest.mark.skipif(not LINUX, reason="orphans are adopted on Linux only")
def test_at_the_time_limit_everything_that_was_started_is_gone(cell):
    # A daemon in a session of its own, and a process that does not listen to SIGTERM.
    code = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
daemon = "import os, time; os.setsid(); time.sleep(600)"
found = [subprocess.Popen([sys.executable, "-c", daemon]).pid for _ in range(3)]
open("pids", "w").write(" ".join(map(str, [os.getpid(), *found])))
time.sleep(600)
"""
    usage, reason = run(cell, code, time_s=3.0)
    assert usage.reason == "time"
    assert reason == "it was stopped after 3.00 s, the time limit"
    pids = [int(word) for word in (cell.work / "pids").read_text().split()]
    assert len(pids) == 4
    assert not any(alive(pid) for pid in pids)


@pytest.mark.skipif(not LINUX, reason="orphans are adopted on Linux only")
def test_what_outlives_a_pipeline_that_ended_well_is_ended_too(cell):
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
open("pids", "w").write(str(child.pid))
"""
    _, reason = run(cell, code)
    assert reason is None
    assert not alive(int((cell.work / "pids").read_text()))


@pytest.mark.skipif(not LINUX, reason="the kernel enforces RLIMIT_AS on Linux")
def test_memory_beyond_the_limit_is_refused(cell):
    usage, reason = run(cell, "x = bytearray(4 * 10**9)", memory_GB=1.0)
    assert reason == "it needed more than 1 GB of memory, the limit"
    assert usage.peak_memory_MB < 1000.0


def test_a_flood_of_output_is_stopped(cell, monkeypatch):
    monkeypatch.setattr(sandbox, "LOG_BYTES", 2**20)
    usage, reason = run(cell, "while True: print('x' * 1000)")
    assert usage.reason == "log"
    assert reason == "it was stopped, having written more than 1 MB of log"


def test_it_gets_a_copy_of_the_scan_and_no_input(cell, tmp_path):
    # Law: whatever happens to the copy, the scan stays what it was.
    code = """
import os, sys
os.chmod("scan.h5", 0o666)
open("scan.h5", "w").write("spoilt" + sys.stdin.read())
open("result", "w").write(os.environ["TMPDIR"])
"""
    _, reason = run(cell, code)
    assert reason is None
    assert (tmp_path / "raw" / "scan.h5").read_bytes() == b"counts"
    assert (cell.work / "result").read_text() == str(cell.work / "tmp")
    cell.clear(tmp_path / "raw")
    assert [path.name for path in cell.work.iterdir()] == ["result"]


def test_a_link_in_the_place_of_its_folder_is_not_followed(cell, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("data")
    linked = Cell(tmp_path / "pipelines" / "two")
    linked.folder.symlink_to(victim)
    with pytest.raises(InputError, match="is a link"):
        linked.prepare(tmp_path / "raw")
    assert (victim / "precious").exists()


@pytest.mark.skipif(not LINUX, reason="needs PR_SET_PDEATHSIG")
def test_nothing_goes_on_when_the_scoring_process_is_killed(tmp_path):
    pid_file = tmp_path / "pid"
    code = f"import os,time; open({str(pid_file)!r},'w').write(str(os.getpid())); time.sleep(600)"
    job = {
        "argv": [sys.executable, "-c", code], "cwd": str(tmp_path), "env": dict(os.environ),
        "stdout": str(tmp_path / "o"), "stderr": str(tmp_path / "e"),
        "usage": str(tmp_path / "usage.json"), "time_limit_s": 600.0, "memory_bytes": None,
        "log_bytes": 10**6,
    }  # fmt: skip
    launcher = [sys.executable, "-I", str(sandbox._LAUNCHER), json.dumps(job)]
    parent = f"import os, subprocess\nsubprocess.Popen({launcher!r})\nimport time; time.sleep(600)"
    import subprocess

    scoring = subprocess.Popen([sys.executable, "-c", parent])
    deadline = time.monotonic() + 60.0
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    scoring.kill()
    scoring.wait()
    pid = int(pid_file.read_text())
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_last_words_are_made_safe_to_show(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"first\n\x1b[31mred\x1b[0m \xff end\n\n  \n")
    assert last_line(log) == "[31mred [0m � end"
    log.write_text("y" * 5000)
    assert len(last_line(log)) == 301
    assert last_line(tmp_path / "none") == ""
