"""Time the Poisson counts of a 2M frame against NumPy's own, in the same run, on one thread.

Prints a Markdown table: best of five repetitions each, in thread time (what else the machine does
counts little). "rings" is a pattern of 0.1–10 counts between rings and up to thousands on them.
Run from the checkout:

    python -m benchmarks.bench_poisson
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from forward.philox import stream_key
from forward.poisson import draw_poisson

ROWS, COLUMNS = 1679, 1475
MEANS = (0.0, 0.1, 1.0, 10.0, 100.0, 3000.0)
REPETITIONS = 5

Floats = NDArray[np.float32]


def cases() -> Iterator[tuple[str, Floats]]:
    """Yield frames of expected counts by name; means vary by 5 % so that tables alternate."""
    ripple = 1.0 + 0.05 * np.sin(np.arange(COLUMNS) / 50.0)
    for mean in MEANS:
        yield f"{mean:g}", np.tile((mean * ripple).astype(np.float32), (ROWS, 1))
    yield "rings", _rings()


def best_ms(task: Callable[[], object]) -> float:
    """Return the shortest thread time of ``task``, in ms, after one run to warm up."""
    task()
    times = []
    for _ in range(REPETITIONS):
        start = time.thread_time()
        task()
        times.append(time.thread_time() - start)
    return 1e3 * min(times)


def main() -> None:
    key = stream_key(1)
    rng = np.random.Generator(np.random.Philox(1))
    out = np.empty((ROWS, COLUMNS), np.int32)
    print("| mean | here, ms | ns a pixel | NumPy, ms | ratio |\n|---|---|---|---|---|")
    for name, expected in cases():
        here_ms = best_ms(partial(draw_poisson, expected, key=key, frame=0, out=out))
        numpy_ms = best_ms(partial(rng.poisson, expected))
        print(
            f"| {name} | {here_ms:.1f} | {1e6 * here_ms / out.size:.1f} "
            f"| {numpy_ms:.0f} | {numpy_ms / here_ms:.1f} |"
        )


def _rings() -> Floats:
    """Return a background falling from 10 to 0.1 and narrow rings every 45 pixels of radius."""
    row, column = np.ogrid[:ROWS, :COLUMNS]
    radius = np.hypot(row - ROWS / 2.0, column - COLUMNS / 2.0)
    phase = (radius + 22.5) % 45.0 - 22.5
    rings = 4000.0 * np.exp(-radius / 700.0) * np.exp(-0.5 * (phase / 1.2) ** 2)
    expected: Floats = (0.1 + 9.9 * np.exp(-radius / 200.0) + rings).astype(np.float32)
    return expected


if __name__ == "__main__":
    main()
