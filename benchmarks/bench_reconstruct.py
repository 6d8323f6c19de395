"""Time filtered back projection of a whole diffraction sinogram, and its memory.

Ours, with and without propagated variance, against scikit-image's ``iradon`` channel by channel, in
the same run; ``iradon`` is measured on a few channels and scaled to all. Run from the checkout:

    python -m benchmarks.bench_reconstruct [--quick]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.transform import iradon

from inverse.reconstruct import reconstruct_counts
from xrdct.compiled import worker_count

FULL = (350, 351, 1024)
"""Angles, offsets and channels of the region-of-interest scan of the reference study."""

QUICK = (90, 91, 256)

SKIMAGE_CHANNELS = 4


def seconds(task: Callable[[], object], *, repeats: int) -> float:
    """Return the shortest time of a few runs, which other work on the machine disturbs least."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - start)
    return float(best)


def peak_memory_GB() -> float:
    """Return the most memory this process has held so far, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def simulated_counts(shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Return Poisson counts (angle, offset, channel) of an off-centre disc, 20 at the most."""
    n_angles, n_offsets, n_channels = shape
    angles = np.arange(n_angles) * np.pi / n_angles
    offsets = 2 * np.arange(n_offsets) / (n_offsets - 1) - 1
    distance = offsets[None, :] - 0.3 * np.cos(angles)[:, None]
    chord = 40 * np.sqrt(np.maximum(0.25 - distance**2, 0.0))
    rng = np.random.default_rng(1)
    counts = np.empty(shape, dtype=np.int32)
    for channel in range(n_channels):
        counts[:, :, channel] = rng.poisson(chord)
    return counts


def main() -> None:
    """Print the seconds, their ratio and the peak memory."""
    parser = argparse.ArgumentParser(description="Time filtered back projection.")
    parser.add_argument("--quick", action="store_true", help="a small scan, for a trial")
    parser.add_argument("--repeats", type=int, default=2, help="runs to take the shortest of")
    options = parser.parse_args()
    shape = QUICK if options.quick else FULL
    n_angles, n_offsets, n_channels = shape
    angles = np.arange(n_angles) * np.pi / n_angles
    counts = simulated_counts(shape)

    def ours(channels: int, *, with_variance: bool) -> object:
        return reconstruct_counts(
            counts[:, :, :channels],
            ray_gain=np.ones(shape[:2]),
            channel_gain=np.ones(channels),
            angles_rad=angles,
            step_um=1.0,
            padding="zero",
            with_variance=with_variance,
        )

    def theirs() -> None:
        for channel in range(SKIMAGE_CHANNELS):
            projections = counts[:, :, channel].T.astype(np.float32)
            iradon(projections, theta=np.degrees(angles), filter_name="ramp", circle=True)  # type: ignore[no-untyped-call]

    ours(1, with_variance=True)  # compiles, or loads what was compiled before
    values = seconds(lambda: ours(n_channels, with_variance=False), repeats=options.repeats)
    both = seconds(lambda: ours(n_channels, with_variance=True), repeats=options.repeats)
    peak = peak_memory_GB()
    other = seconds(theirs, repeats=options.repeats) * n_channels / SKIMAGE_CHANNELS

    print(
        f"{n_offsets} offsets × {n_angles} angles × {n_channels} channels, {worker_count(None)} "
        f"cores; counts {counts.nbytes / 1e9:.2f} GB; shortest of {options.repeats} runs"
    )
    print(f"values                 {values:8.2f} s")
    print(f"values and variance    {both:8.2f} s   peak memory {peak:.2f} GB")
    print(
        f"scikit-image, values   {other:8.2f} s   "
        f"measured on {SKIMAGE_CHANNELS} channels and scaled to {n_channels}; single-threaded"
    )
    print(f"scikit-image / ours    {other / values:8.1f}")


if __name__ == "__main__":
    main()
