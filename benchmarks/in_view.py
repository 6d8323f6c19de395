"""Measure the lattice error where rays determine the sample: all of it in view, angles enough.

A 100 µm electrode, 121 offsets of 1 µm, 240 angles (more than π/2 times its width), bare, with all
effects but countable crystallites, and with all, rings averaged plainly or trimmed. Rows of the
table in docs/limits.md are printed as they come, one for each seed: RMS (bias) in mÅ and std z (of
esd_total) of interior · eroded voxels. Run from the checkout (half an hour):

    python -m benchmarks.in_view
"""

from __future__ import annotations

from benchmarks.accuracy import EXAMPLES, FEWER, averaged, switched
from benchmarks.methods import METHODS
from inverse.maps import Maps
from phantoms.library import Electrode
from validation.experiment import Experiment, load_experiment
from validation.metrics import lattice_metrics
from validation.steps import simulate
from validation.truth import Truth
from xrdct.scan import Scan

SAMPLE = Electrode(diameter_um=100.0, volume_fraction=0.45, grain_um=0.2)
SCAN = Scan(n_offsets=121, step_um=1.0, n_angles=240)


def cases() -> dict[str, Experiment]:
    """Return the experiments by name, their seed still to be set."""
    roi = load_experiment(EXAMPLES / "roi.toml")
    full = roi.model_copy(update={"sample": SAMPLE, "scan": SCAN, "scans": {}})
    bare = switched(
        averaged(full), noise=False, grains=False, cell=False, motion=False, flux=False,
        beam_tails=False,
    )  # fmt: skip
    return {
        "bare": bare,
        "all effects, grains too many to count": switched(full, grains=False),
        "all effects: grains of 0.2 µm, plain mean": averaged(full),
        "all effects: grains of 0.2 µm, trimmed 5/5": full,
    }


def errors(maps: Maps, truth: Truth) -> tuple[str, str]:
    """Return RMS (bias) and std z, each of interior · eroded voxels."""
    regions = lattice_metrics(maps, truth).values()
    return (
        " · ".join(f"{1e3 * f['rms_A']:.3f} ({1e3 * f['bias_A']:+.3f})" for f in regions),
        " · ".join(f"{f['std_z']:.2f}" for f in regions),
    )


def main() -> None:
    """Print the table."""
    print("| case | seed | FBP | std z | best | std z |\n|---|---|---|---|---|---|")
    for name, experiment in cases().items():
        for seed in FEWER:
            simulated = simulate(experiment.model_copy(update={"seed": seed}))
            told = [
                cell
                for method in ("FBP", "best")
                for cell in errors(METHODS[method](simulated.raw, {}), simulated.truth)
            ]
            print(f"| {name} | {seed} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
