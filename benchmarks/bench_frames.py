"""Time the frames of examples/frames.toml: each stage on one core, streaming on the whole machine.

NumPy's Poisson draw of the same expected photons, alone, stands beside it in the same run. Run from
the checkout:

    python -m benchmarks.bench_frames
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from forward.frames import expected_photons, line_tables, recorded_counts
from forward.philox import stream_key
from inverse.frame_patterns import integrated_scan
from inverse.integrate import integrate_frame, integrator
from validation.experiment import load_experiment
from validation.laboratory import laboratory

EXAMPLE = Path(__file__).parent.parent / "examples" / "frames.toml"
REPEATS = 15
STREAMED_LINES = 4


def milliseconds(task: Callable[[], object]) -> tuple[float, float]:
    """Return the median wall and processor time of some runs, after one to warm up."""
    task()
    walls, cpus = [], []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        task()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return 1e3 * float(np.median(walls)), 1e3 * float(np.median(cpus))


def main() -> None:
    """Print the tables."""
    experiment = load_experiment(EXAMPLE)
    lab = laboratory(experiment)
    start = time.perf_counter()
    model = lab.detector(lab.prepared("frames"))
    print(f"prepared in {time.perf_counter() - start:.1f} s (compiling included)")
    scan, conditions, key = experiment.scan, lab.conditions[0], stream_key(1)
    tables = line_tables(model, scan=scan, conditions=conditions, line=3, seed=1, scan_number=0)
    middle = scan.n_offsets // 2
    expected = expected_photons(model, tables, middle, key=key, frame=7)
    frame = recorded_counts(model, expected, exposure_s=scan.exposure_s, key=key, frame=7)
    integration, geometry = experiment.recipe.integration, lab.instrument.geometry
    bins = integrator(
        geometry, detector=experiment.detector, beam=experiment.beam, integration=integration,
        flat=model.known_flat,
    )  # fmt: skip
    rng = np.random.Generator(np.random.Philox(1))
    live = expected[model.pixels.live]
    print(
        f"\n{frame.size} pixels, counts from {np.percentile(live, 1):.2f} (1 %) over "
        f"{np.median(live):.2f} (median) to {live.max():.0f}, {tables.grains[middle].sum():.0f} "
        "grains reflecting\n\nstage, one core          wall ms    cpu ms"
    )
    stages: dict[str, Callable[[], object]] = {
        "expected photons": lambda: expected_photons(model, tables, middle, key=key, frame=7),
        "recorded counts": lambda: recorded_counts(
            model, expected, exposure_s=scan.exposure_s, key=key, frame=7
        ),
        integration.method: lambda: integrate_frame(frame, bins, integration, workers=1),
        "numpy Poisson alone": lambda: rng.poisson(expected),
    }
    for name, stage in stages.items():
        wall, cpu = milliseconds(stage)
        print(f"{name:<22}  {wall:8.1f}  {cpu:8.1f}")
    short = scan.model_copy(update={"n_angles": STREAMED_LINES})
    scanner = lab.scanner(model, 0)
    begin = time.perf_counter()
    integrated_scan(
        scanner.frame, scan=short, beam=experiment.beam, detector=experiment.detector,
        geometry=geometry, recipe=experiment.recipe, flat=model.known_flat,
    )  # fmt: skip
    per_s = short.n_points / (time.perf_counter() - begin)
    peak_GB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"\nstreaming: {short.n_points} frames made and integrated, {per_s:.1f} per second; "
        f"peak memory {peak_GB:.1f} GB"
    )


if __name__ == "__main__":
    main()
