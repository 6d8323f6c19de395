"""Time the writing and reading of detector frames, beside what compression alone takes.

Frames of a 2M detector with Poisson counts on rings over a smooth background go into shards, synced
to the disk and with checksums. The yardstick is bitshuffle-LZ4 of the same frames in as many
threads with nothing written, before each shard in turn. Run from the checkout, with a folder on the
disk to measure:

    python -m benchmarks.bench_framefile [--folder F] [--shards N] [--workers N]
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from xrdct.bitshuffle import compressed
from xrdct.compiled import worker_count
from xrdct.manifest import Layout
from xrdct.shardreader import Shards
from xrdct.shards import ShardWriter

SHAPE = (1679, 1475)
DIFFERENT_FRAMES = 8
PER_SHARD = 250


def noisy_frames() -> list[NDArray[np.int32]]:
    """Return frames as a thin particle gives at 10 ms: about a count per pixel, rings of tens."""
    rng = np.random.default_rng(20)
    row, column = np.ogrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(row - SHAPE[0] / 2, column - SHAPE[1] / 2)
    expected = 0.3 + 2.0 * np.exp(-radius / 300.0)
    for ring in range(100, 900, 60):
        expected += 15.0 * np.exp(-(((radius - ring) / 3.0) ** 2))
    frames = [rng.poisson(expected).astype(np.int32) for _ in range(DIFFERENT_FRAMES)]
    for frame in frames:
        frame[195:212] = -1
    return frames


def main() -> None:
    """Print frames and megabytes per second, and the ratio to compression alone."""
    parser = argparse.ArgumentParser(description="Time the writing of detector frames.")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    workers, n_shards = worker_count(options.workers), options.shards
    frames = noisy_frames()
    layout = Layout(
        stem="bench",
        identity="",
        frame_shape=SHAPE,
        n_frames=PER_SHARD * n_shards,
        frames_per_shard=PER_SHARD,
    )

    def make(number: int) -> NDArray[np.int32]:
        return frames[number % DIFFERENT_FRAMES]

    seconds: dict[str, list[float]] = {"compress": [], "write": [], "read": []}
    with TemporaryDirectory(dir=options.folder) as folder, ThreadPoolExecutor(workers) as pool:
        with ShardWriter(Path(folder), layout, workers=workers) as writer:
            for index in range(n_shards):
                made = map(make, layout.frames_of(index))
                seconds["compress"].append(timed(pool.map, compressed, made))
                start = perf_counter()
                writer.make_shard(index, make)
                seconds["write"].append(perf_counter() - start)
            manifest = writer.finished()
        shards = Shards(Path(folder), manifest)
        own = threading.local()

        def read(number: int) -> int:
            if not hasattr(own, "frame"):
                own.frame = np.empty(SHAPE, np.int32)
            shards.read_frame(number, own.frame)
            return number

        for index in range(n_shards):
            seconds["read"].append(timed(pool.map, read, layout.frames_of(index)))
    raw_MB = PER_SHARD * frames[0].nbytes / 1e6
    stored_MB = manifest.shards[0].size_bytes / 1e6
    print(f"{n_shards} shards of {PER_SHARD} frames, {raw_MB / stored_MB:.1f} times compressed")
    print(f"{workers} threads; medians over the shards")
    for what, times in seconds.items():
        each = median(times)
        print(
            f"{what:9s} {PER_SHARD / each:6.0f} frames/s {raw_MB / each:7.0f} MB/s raw "
            f"{stored_MB / each:6.0f} MB/s compressed"
        )
    ratios = sorted(c / w for c, w in zip(seconds["compress"], seconds["write"], strict=True))
    print(f"written at {median(ratios):.0%} of the speed of compression alone ", end="")
    print(f"({ratios[0]:.0%} to {ratios[-1]:.0%})")


def timed(
    over: Callable[..., Iterable[object]], task: Callable[..., object], items: Iterable[object]
) -> float:
    """Return the seconds until ``over(task, items)`` has given all results; none is kept."""
    start = perf_counter()
    for _ in over(task, items):
        pass
    return perf_counter() - start


if __name__ == "__main__":
    main()
