"""Frames made on a distributed cluster: the files of this machine, also when a worker is killed."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.test_validation_frames import TOML, calibrated, contents
from validation.batch import frames
from validation.batch.cluster import Cluster
from validation.batch.frames import encoded_frames, frame_makers
from validation.frame_files import write_frames
from validation.laboratory import laboratory
from xrdct.bitshuffle import compressed
from xrdct.compiled import single_threaded_algebra
from xrdct.errors import InputError
from xrdct.manifest import Layout
from xrdct.shards import ShardWriter

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files made without a cluster."""
    path = tmp_path_factory.mktemp("whole")
    with threadpool_limits(2, user_api="blas"):
        write_frames(calibrated(), path / "scan.h5")
    return contents(path)


def test_files_do_not_depend_on_the_threads_of_blas(whole, tmp_path):
    # Law: as below; workers of a cluster have one such thread. Where frames were made with two, 11
    # of the 130 had a few photons in other pixels.
    with threadpool_limits(1, user_api="blas"):
        write_frames(calibrated(), tmp_path / "scan.h5")
    assert contents(tmp_path) == whole


@pytest.mark.slow
@pytest.mark.share
def test_a_cluster_writes_the_files_that_this_machine_writes(address, whole, tmp_path):
    # Law: a frame depends on experiment, scan and place only, and a chunk on its frame.
    write_frames(calibrated(), tmp_path / "scan.h5", cluster=Cluster(address))
    assert contents(tmp_path) == whole


@pytest.mark.slow
def test_a_worker_killed_midway_loses_nothing(address, whole, tmp_path, monkeypatch):
    # One of two workers is killed when the first frames of a shard have come, its results with it.
    write_chunks = ShardWriter.write_chunks
    killed = []

    def interrupted(self, index, chunks):
        def until_killed():
            for number, chunk in enumerate(chunks):
                if number == 5 and not killed:
                    killed.append(a_worker(address))
                    os.kill(killed[0], signal.SIGKILL)
                yield chunk

        write_chunks(self, index, until_killed())

    monkeypatch.setattr(ShardWriter, "write_chunks", interrupted)
    monkeypatch.setattr(frames, "FRAMES_PER_UNIT", 4)
    write_frames(calibrated(), tmp_path / "scan.h5", cluster=Cluster(address))
    assert killed
    assert contents(tmp_path) == whole


def a_worker(address):
    """Return the process of a worker that holds results."""
    with distributed.Client(address, set_as_default=False) as client:
        held = client.has_what()
        fullest = max(held, key=lambda worker: len(held[worker]))
        return client.run(os.getpid, workers=[fullest])[fullest]


def test_units_are_encoded_frames_and_an_experiment_is_prepared_once():
    # Truth: the scanner of this process, and the encoder of shards.
    experiment = calibrated()
    lab = laboratory(experiment)
    scanner = lab.scanner(lab.detector(lab.prepared("frames")), 1)
    frames._scanners.cache_clear()
    with single_threaded_algebra():  # which a worker keeps
        for places in ([0, 7], [3]):
            chunks = encoded_frames(frames.Source("a", experiment), 1, places)
            assert chunks == [compressed(scanner.frame(place)) for place in places]
    assert frames._scanners.cache_info().misses == 1
    frames._scanners.cache_clear()


class Now:
    """A client of one thread that does what is submitted when its result is asked for."""

    def __init__(self):
        self.in_flight = self.most = 0

    def nthreads(self):
        return {"worker": 1}

    def submit(self, _do, _source, _scan_number, places, **_options):
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        return Later(self, places)

    def cancel(self, futures):
        self.in_flight -= len(futures)


class Later:
    def __init__(self, client, places):
        self.client, self.places = client, places

    def result(self):
        self.client.in_flight -= 1
        return [str(place).encode() for place in self.places]


@pytest.mark.parametrize("n_read", [100, 40])
def test_few_units_are_in_flight_and_none_is_left_behind(n_read):
    # Truth: 3 units per thread; the chunks in the order of the places, also of a last short unit.
    client = Now()
    chunks = frames.FrameMakers(client, frames.Source("a", calibrated())).chunks(0, range(100))
    assert [next(chunks) for _ in range(n_read)] == [b"%d" % n for n in range(n_read)]
    chunks.close()
    assert client.most == 3
    assert client.in_flight == 0


def test_without_a_cluster_nothing_makes_frames_elsewhere():
    with frame_makers(calibrated(), None) as makers:
        assert makers is None


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        pytest.param(
            "simulate", ["tcp://127.0.0.1:9"], "no dask scheduler answers at 'tcp://127.0.0.1:9'",
            marks=[pytest.mark.slow, pytest.mark.share],  # it waits for an answer
        ),
        ("simulate", ["tcp://x:1", "--workers", "1"], "--workers is for this machine"),
        ("simulate", ["tcp://x:1", "--mode", "patterns"], "--dask makes frames, but patterns are"),
        ("run", ["tcp://x:1"], "a cluster makes frames that are kept: use --keep-frames as well"),
    ],
)  # fmt: skip
def test_what_cannot_have_a_cluster_is_one_sentence(command, options, sentence, tmp_path):
    words = [command, str(TOML), "-q", "-o", str(tmp_path / "out"), "--dask", *options]
    line = [sys.executable, "-m", "validation.cli", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("n_given", [3, 5])
def test_chunks_that_do_not_fill_a_shard_are_refused(n_given, tmp_path):
    layout = Layout(stem="s", identity="x", frame_shape=(3, 4), n_frames=8, frames_per_shard=4)
    chunk = compressed(np.zeros((3, 4), np.int32))
    with ShardWriter(tmp_path, layout) as writer:
        with pytest.raises(InputError, match=f"a shard of 4 frames was given {n_given}"):
            writer.write_chunks(0, [chunk] * n_given)
        with pytest.raises(InputError, match="a frame of 48 bytes came as a chunk of 44"):
            writer.write_chunks(0, [compressed(np.zeros(11, np.int32))] * 4)
        assert writer.missing() == [0, 1]
