"""Time examples/roi.toml, step by step, and its memory.

All three scans are simulated; the region of interest (351 × 350 points, 1024 channels) is
reconstructed and refined. Run from the checkout:

    python -m benchmarks.bench_roi [--workers N]

The first run on a machine compiles; run it twice. The peer for the reconstruction is in
`benchmarks.bench_reconstruct`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

from inverse.recover import recover
from validation.experiment import load_experiment
from validation.metrics import lattice_metrics
from validation.scorecard import peak_memory_MB
from validation.steps import simulate

EXPERIMENT = Path(__file__).parent.parent / "examples" / "roi.toml"


def main() -> None:
    """Print the seconds of every step, the peak memory, and the accuracy that came with it."""
    parser = argparse.ArgumentParser(description="Time the region-of-interest example.")
    parser.add_argument("--workers", type=int, default=None)
    workers = parser.parse_args().workers
    experiment = load_experiment(EXPERIMENT)
    start = perf_counter()
    simulated = simulate(experiment, workers=workers)
    measured = perf_counter()
    maps = recover(simulated.raw, workers=workers)
    finished = perf_counter()
    figures = lattice_metrics(maps, simulated.truth)["interior"]
    print(f"sample and truth  {simulated.timing_s['phantom']:7.1f} s")
    print(f"simulate 3 scans  {simulated.timing_s['simulate']:7.1f} s")
    print(f"both together     {measured - start:7.1f} s")
    print(f"reconstruct       {maps.timing_s['reconstruct']:7.1f} s   with variance")
    print(f"refine            {maps.timing_s['refine']:7.1f} s")
    print(f"recover, all      {finished - measured:7.1f} s")
    print(f"peak memory       {peak_memory_MB() / 1e3:7.1f} GB")
    print(f"interior voxels   {figures['n_voxels']:7d}     RMS {figures['rms_A'] * 1e3:.3f} mÅ")


if __name__ == "__main__":
    main()
