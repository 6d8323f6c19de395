"""Shards: the bytes are HDF5's own, survive any interruption, and nothing damaged passes.

Undisturbed runs are the truth for disturbed ones; HDF5's own filter is the truth for chunks.
"""

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrdct import bitshuffle
from xrdct.bitshuffle import compressed, compressed_bound, decompress
from xrdct.errors import InputError
from xrdct.manifest import MANIFEST_NAME, Layout, read_manifest
from xrdct.shardreader import Shards
from xrdct.shards import ShardWriter

LAYOUT = Layout(stem="scan", identity="abc", frame_shape=(31, 43), n_frames=23, frames_per_shard=5)
FRAMES = np.random.default_rng(1).poisson(2.0, (23, 31, 43)).astype(np.int32)
FRAMES[:, 10:12] = -1
FRAMES[:, 5, 7] = -2


def of_shard(index):
    frames = LAYOUT.frames_of(index)
    return FRAMES[frames.start : frames.stop]


def complete(folder, layout=LAYOUT, workers=2):
    with ShardWriter(folder, layout, workers=workers) as writer:
        for index in writer.missing():
            writer.write_shard(index, of_shard(index))
        return writer.finished()


def files(folder):
    return {p.name: p.read_bytes() for p in sorted((folder / "scan_frames").iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    complete(folder)
    return files(folder)


@pytest.fixture(params=["library", "HDF5"])
def way(request, monkeypatch):
    """Whether the filter's functions are called, or HDF5 does all, as where they are hidden."""
    if request.param == "HDF5":
        monkeypatch.setattr(bitshuffle, "_library", lambda: None)
    else:
        assert bitshuffle._library() is not None


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (8, 256), (31, 43), (64, 129), (3, 5000)])
def test_chunk_is_what_hdf5_stores(shape, way):
    # Truth: the filter as HDF5 runs it. The shapes have leftover elements, part blocks, neither.
    values = np.random.default_rng(2).integers(-3, 2000, shape, dtype=np.int32)
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=values, chunks=shape, **hdf5plugin.Bitshuffle())
        stored = dataset.id.read_direct_chunk((0, 0))[1]
    chunk = compressed(values)
    assert chunk == stored
    back = np.zeros(shape, np.int32)
    assert decompress(chunk, back)
    np.testing.assert_array_equal(back, values)


def test_incompressible_chunk_stays_below_the_bound():
    # Random bits do not compress: the longest that a chunk gets.
    for n in (1, 8, 2047, 2048, 100_001):
        noise = np.random.default_rng(3).integers(-(2**31), 2**31, n, dtype=np.int32)
        assert 4 * n < len(compressed(noise)) <= compressed_bound(n)


def test_lying_chunk_is_told_and_nothing_is_written(way):
    values = np.arange(5000, dtype=np.int32).reshape(50, 100)
    chunk = compressed(values)
    lies = {
        "empty": b"",
        "cut head": chunk[:11],
        "cut": chunk[:-1],
        "longer": chunk + b"\0",
        "size": b"\x7f" * 8 + chunk[8:],
        "block": chunk[:8] + b"\0\1\0\0" + chunk[12:],
        "block 0": chunk[:8] + b"\0\0\0\0" + chunk[12:],
        "length": chunk[:12] + b"\xff\xff\xff\xff" + chunk[16:],
    }
    for name, lie in lies.items():
        out = np.full((50, 100), 7, np.int32)
        assert not decompress(lie, out), name
        assert (out == 7).all(), name


@given(st.data())
def test_damaged_chunk_does_no_harm(data):
    # Law: whatever bytes change, memory around the frame stays as it was.
    chunk = bytearray(compressed(FRAMES[0]))
    for _ in range(data.draw(st.integers(1, 6))):
        chunk[data.draw(st.integers(0, len(chunk) - 1))] = data.draw(st.integers(0, 255))
    room = np.full((33, 43), 9, np.int32)
    decompress(bytes(chunk), room[1:-1])
    assert (room[0] == 9).all()
    assert (room[-1] == 9).all()


def test_what_is_written_is_read_by_hdf5_and_by_us(tmp_path):
    manifest = complete(tmp_path)
    assert [r.n_frames for r in manifest.shards.values()] == [5, 5, 5, 5, 3]
    for index, record in manifest.shards.items():
        path = tmp_path / "scan_frames" / f"scan_{index:06d}.h5"
        with h5py.File(path) as file:
            assert file["entry/data/data"].chunks == (1, 31, 43)
            np.testing.assert_array_equal(file["entry/data/data"][()], of_shard(index))
        content = path.read_bytes()
        assert record.sha256 == hashlib.sha256(content).hexdigest()
        assert record.size_bytes == len(content)
    shards = Shards(tmp_path, read_manifest(tmp_path / "scan_frames" / MANIFEST_NAME))
    shards.verify()
    np.testing.assert_array_equal(shards.frames(0, 23), FRAMES)
    np.testing.assert_array_equal(shards.frames(4, 11), FRAMES[4:11])
    assert shards.frames(7, 7).shape == (0, 31, 43)


def test_bytes_depend_on_nothing_but_the_frames(tmp_path, undisturbed):
    # Another second of the clock, one thread, frames from a function, shards in another order.
    time.sleep(1.1)
    with ShardWriter(tmp_path, LAYOUT, workers=1) as writer:
        for index in reversed(writer.missing()):
            writer.make_shard(index, lambda number: FRAMES[number])
    assert files(tmp_path) == undisturbed


def test_hidden_library_costs_time_and_nothing_else(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(bitshuffle, "_library", lambda: None)
    manifest = complete(tmp_path)
    assert files(tmp_path) == undisturbed
    np.testing.assert_array_equal(Shards(tmp_path, manifest).frames(0, 23), FRAMES)


def test_frames_wait_for_the_disk_not_in_memory(tmp_path):
    # With one worker at most 2 + 1 frames are ahead, and one is in hand.
    made, most_ahead = [], 0
    layout = Layout(stem="scan", identity="", frame_shape=(8, 8), n_frames=40, frames_per_shard=40)

    def frames():
        nonlocal most_ahead
        for number in range(40):
            made.append(number)
            yield np.zeros((8, 8), np.int32)

    with ShardWriter(tmp_path, layout, workers=1) as writer:
        chunks = writer._chunks((partial(np.asarray, frame) for frame in frames()), 40)
        for written, _ in enumerate(chunks):
            most_ahead = max(most_ahead, len(made) - written)
    assert 0 < most_ahead <= 4


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from xrdct.manifest import Layout
from xrdct.shards import ShardWriter
folder, frames = Path(sys.argv[1]), np.load(sys.argv[2])
layout = Layout.model_validate_json(sys.argv[3])

def run():
    with ShardWriter(folder, layout, workers=2) as writer:
        for index in writer.missing():
            writer.make_shard(index, lambda number: frames[number])
        writer.finished()

chance, limit_s, kills, met = random.Random(4), 0.004, 0, set()
while True:
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    limit_s *= 1.08
    time.sleep(chance.uniform(0.0, limit_s))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status):
        print(kills, len(met), os.WEXITSTATUS(status))
        break
    kills += 1
    shards = folder / "scan_frames"
    names = tuple(sorted(os.listdir(shards))) if shards.is_dir() else ()
    met.add(names)
"""


def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path, undisturbed):
    # A process of its own forks writers and kills each after a random time, which grows until one
    # gets through. It tells how many were killed, and how many different sets of files they left.
    np.save(tmp_path / "frames.npy", FRAMES)
    arguments = [str(tmp_path), str(tmp_path / "frames.npy"), LAYOUT.model_dump_json()]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    kills, states, status = map(int, done.stdout.split())
    assert status == 0
    assert kills >= 5
    assert states >= 2
    assert files(tmp_path) == undisturbed


def test_resumes_at_the_first_missing_shard(tmp_path, undisturbed):
    with ShardWriter(tmp_path, LAYOUT) as writer:
        assert writer.missing() == [0, 1, 2, 3, 4]
        for index in (0, 1):
            writer.write_shard(index, of_shard(index))
        with pytest.raises(InputError, match="still lacks 3 of its shards"):
            writer.finished()
    (tmp_path / "scan_frames" / "scan_000002.h5.partial").write_bytes(b"half a shard")
    with ShardWriter(tmp_path, LAYOUT) as writer:
        assert writer.missing() == [2, 3, 4]
        for index in writer.missing():
            writer.write_shard(index, of_shard(index))
        assert writer.missing() == []
    assert files(tmp_path) == undisturbed


def damage_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a bit": damage_byte,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "lost": Path.unlink,
    "another shard": lambda path: path.write_bytes(path.with_name("scan_000000.h5").read_bytes()),
    "a link": lambda path: (
        path.rename(path.parent.parent / "elsewhere.h5"),
        path.symlink_to(path.parent.parent / "elsewhere.h5"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_shard_is_missing_and_made_again(tmp_path, undisturbed, damage):
    complete(tmp_path)
    damage(tmp_path / "scan_frames" / "scan_000003.h5")
    with ShardWriter(tmp_path, LAYOUT) as writer:
        assert writer.missing() == [3]
        with pytest.raises(InputError, match="still lacks 1 of its shards"):
            writer.finished()
        writer.write_shard(3, of_shard(3))
    assert files(tmp_path) == undisturbed


def test_folder_of_another_experiment_is_refused(tmp_path, undisturbed):
    complete(tmp_path)
    for change, sentence in (
        ({"identity": "other"}, "holds frames of another experiment"),
        ({"frames_per_shard": 6}, "holds frames laid out otherwise"),
        ({"n_frames": 24}, "holds frames laid out otherwise"),
        ({"frame_shape": (43, 31)}, "holds frames laid out otherwise"),
    ):
        with pytest.raises(InputError, match=sentence):
            ShardWriter(tmp_path, LAYOUT.model_copy(update=change))
    assert files(tmp_path) == undisturbed
    (tmp_path / "scan_frames" / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match=r"holds frames but no manifest\.json"):
        ShardWriter(tmp_path, LAYOUT)


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    with (
        ShardWriter(tmp_path, LAYOUT),
        pytest.raises(InputError, match="another run is writing to"),
    ):
        ShardWriter(tmp_path, LAYOUT)
    ShardWriter(tmp_path, LAYOUT).__exit__(None, None, None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda _: "{", "is not a list of shards"),
        (lambda _: "[" * 100_000, "is not a list of shards"),
        (lambda m: json.dumps(m | {"more": 1}), "is not a list of shards: more"),
        (lambda m: json.dumps(m | {"layout": m["layout"] | {"stem": "../x"}}), "plain name"),
        (lambda m: json.dumps(m | {"layout": m["layout"] | {"stem": "a%b"}}), "without %"),
        (
            lambda m: json.dumps(m | {"layout": m["layout"] | {"frame_shape": [99999, 99999]}}),
            "pixels",
        ),
        (lambda m: json.dumps(m | {"shards": {"9": m["shards"]["0"]}}), "there are 5 shards"),
        (lambda m: json.dumps(m | {"shards": {"1": m["shards"]["0"]}}), "is not as laid out"),
        (
            lambda m: json.dumps(m | {"shards": {"0": m["shards"]["0"] | {"name": "../x.h5"}}}),
            "is not as laid out",
        ),
    ],
)
def test_manifest_that_does_not_fit_is_refused(tmp_path, change, sentence):
    complete(tmp_path)
    path = tmp_path / "scan_frames" / MANIFEST_NAME
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(InputError) as told:
        read_manifest(path)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="is not a list of shards"):
        ShardWriter(tmp_path, LAYOUT)


def test_manifest_that_is_a_link_or_too_long_is_refused(tmp_path):
    complete(tmp_path)
    path = tmp_path / "scan_frames" / MANIFEST_NAME
    with path.open("r+b") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(InputError, match="is longer than 16 MB"):
        read_manifest(path)
    path.rename(tmp_path / "m.json")
    path.symlink_to(tmp_path / "m.json")
    with pytest.raises(InputError, match="not a file of its own"):
        read_manifest(path)


def assert_resumable(folder, told, undisturbed):
    assert "what is complete stays, and the same command resumes" in str(told.value)
    assert "\n" not in str(told.value)
    names = [p.name for p in (folder / "scan_frames").iterdir()]
    assert not [name for name in names if name.endswith(".h5.partial")]
    complete(folder)
    assert files(folder) == undisturbed


def test_full_disk_is_told_in_one_sentence(tmp_path, undisturbed):
    # /dev/full answers every write with the system's own "no space left".
    with ShardWriter(tmp_path, LAYOUT) as writer:
        writer.write_shard(0, of_shard(0))
        (tmp_path / "scan_frames" / "scan_000001.h5.partial").symlink_to("/dev/full")
        with pytest.raises(InputError, match=r"the disk is full at .*scan_000001") as told:
            writer.write_shard(1, of_shard(1))
        assert writer.missing() == [1, 2, 3, 4]
    assert_resumable(tmp_path, told, undisturbed)


@pytest.mark.parametrize("refused", range(12))
def test_disk_that_fills_at_any_write_is_told(tmp_path, undisturbed, monkeypatch, refused):
    # A short write first, as real disks do, then a refusal at the nth write; all else as usual.
    real, calls = os.pwrite, 0

    def pwrite(descriptor, data, place):
        nonlocal calls
        calls += 1
        if calls == refused + 1:
            return real(descriptor, data[: max(1, len(data) // 2)], place)
        if calls > refused + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, place)

    with monkeypatch.context() as patched, ShardWriter(tmp_path, LAYOUT) as writer:
        patched.setattr(os, "pwrite", pwrite)
        with pytest.raises(InputError, match=r"the disk is full at .*scan_000000") as told:
            writer.write_shard(0, of_shard(0))
    assert_resumable(tmp_path, told, undisturbed)


def test_disk_that_takes_little_at_a_time_gets_it_all(tmp_path, undisturbed, monkeypatch):
    # A write may take fewer bytes than it was given: here 100 at most.
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda to, data, place: real(to, data[:100], place))
    complete(tmp_path)
    assert files(tmp_path) == undisturbed


@pytest.mark.parametrize("refused", range(4))
def test_disk_that_fills_when_syncing_is_told(tmp_path, undisturbed, monkeypatch, refused):
    # Shard, folder, manifest, folder: some file systems tell only then.
    real, calls = os.fsync, 0

    def fsync(descriptor):
        nonlocal calls
        calls += 1
        if calls == refused + 1:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        real(descriptor)

    with monkeypatch.context() as patched, ShardWriter(tmp_path, LAYOUT) as writer:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(InputError, match="the disk is full at") as told:
            writer.write_shard(0, of_shard(0))
        assert writer.missing()[0] == 0
    assert_resumable(tmp_path, told, undisturbed)


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from xrdct.errors import InputError
from xrdct.manifest import Layout
from xrdct.shards import ShardWriter
frames = np.load(sys.argv[2])
with ShardWriter(Path(sys.argv[1]), Layout.model_validate_json(sys.argv[3])) as writer:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
    try:
        writer.make_shard(0, lambda number: frames[number])
    except InputError as error:
        print(error)
"""


def test_limit_on_the_size_of_files_is_told(tmp_path, undisturbed):
    # The system's own limit, in a process of its own; a shard takes 10 kB. It ends cleanly.
    np.save(tmp_path / "frames.npy", FRAMES)
    arguments = [str(tmp_path), str(tmp_path / "frames.npy"), LAYOUT.model_dump_json()]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert "grew beyond what this system allows" in done.stdout
    complete(tmp_path)
    assert files(tmp_path) == undisturbed


def test_shard_is_listed_only_when_it_is_on_the_disk(tmp_path, monkeypatch):
    # At each sync: is the shard named, is it listed? Shard, folder, manifest, folder.
    folder, order = tmp_path / "scan_frames", []
    real = os.fsync

    def fsync(descriptor):
        listed = read_manifest(folder / MANIFEST_NAME).shards
        order.append(((folder / "scan_000000.h5").exists(), 0 in listed))
        real(descriptor)

    with ShardWriter(tmp_path, LAYOUT) as writer:
        monkeypatch.setattr(os, "fsync", fsync)
        writer.write_shard(0, of_shard(0))
    assert order == [(False, False), (True, False), (True, False), (True, True)]


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (FRAMES[:4], "a shard of 5 frames was given 4"),
        (FRAMES[:6], "a shard of 5 frames was given 6"),
        (FRAMES[:5].astype(np.int64), "a frame must be int32 of shape (31, 43), but is int64"),
        (FRAMES[:5, 1:], "of shape (30, 43)"),
    ],
)
def test_frames_that_do_not_fit_are_refused(tmp_path, frames, sentence):
    with ShardWriter(tmp_path, LAYOUT) as writer:
        with pytest.raises(InputError) as told:
            writer.write_shard(0, frames)
        assert sentence in str(told.value)
        with pytest.raises(InputError, match="there are 5 shards, but none is number 5"):
            writer.write_shard(5, frames)
        assert writer.missing() == [0, 1, 2, 3, 4]
    assert list(files(tmp_path)) == [MANIFEST_NAME]


@pytest.mark.parametrize(
    ("failure", "told"), [(ZeroDivisionError, ZeroDivisionError), (OSError, RuntimeError)]
)
def test_failing_simulation_is_not_blamed_on_the_disk(tmp_path, undisturbed, failure, told):
    def fail(number):
        if number == 8:
            raise failure(number)
        return FRAMES[number]

    with ShardWriter(tmp_path, LAYOUT) as writer:
        writer.make_shard(0, fail)
        with pytest.raises(told):
            writer.make_shard(1, fail)
        assert writer.missing() == [1, 2, 3, 4]
    assert list(files(tmp_path)) == [MANIFEST_NAME, "scan_000000.h5"]
    complete(tmp_path)
    assert files(tmp_path) == undisturbed
