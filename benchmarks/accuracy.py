"""Measure how accurate the chain is, on samples that nothing was tuned on.

Prints a Markdown table (docs/accuracy.md holds the last one). Rows: the example particle; random
100 µm electrodes wholly in view; the 351 µm window in a 1 mm electrode. Hard throughout: 20 mÅ and
more from core to surface, and B_iso, air scattering, bandwidth, divergence and distance drawn from
the examples' ranges, unknown to the recipe. Run from the checkout (about ten minutes):

    make accuracy
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from forward.settings import Effects
from inverse.recover import recover
from phantoms.library import Electrode
from validation.experiment import Experiment, load_experiment
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.scan import Scan

EXAMPLES = Path(__file__).parent.parent / "examples"
SEEDS = (201, 202, 203, 204, 205)
COLUMNS = ("n_voxels", "bias_A", "rms_A", "robust_sigma_A", "p95_abs_A", "std_z", "std_z_noise")
HEADER = """# Accuracy, measured

Errors of the recovered lattice parameter of the spinel against the truth, in mÅ, over voxels of a
single lattice; mean over seeds {seeds}, the RMS with its range. `z` is the error over the stated
standard uncertainty (`std z`: esd_total; `std z noise`: esd_noise); it should be 1. Made by
`make accuracy`.

| case | voxels | n | bias | RMS (range) | robust σ | 95 % within | std z | std z noise |
|---|---|---|---|---|---|---|---|---|"""


def cases() -> Iterator[tuple[str, Experiment]]:
    """Yield the cases by name, with the seed still to be set."""
    particle = load_experiment(EXAMPLES / "particle.toml")
    roi = load_experiment(EXAMPLES / "roi.toml").model_copy(update={"scans": {}})
    in_view = roi.model_copy(
        update={
            "sample": Electrode(diameter_um=100.0, volume_fraction=0.45),
            "scan": Scan(n_offsets=121, step_um=1.0, n_angles=240),
        }
    )
    for name, experiment in (
        ("example particle", particle),
        ("100 µm electrode in view", in_view),
        ("351 µm window in 1 mm", roi),
    ):
        quiet = experiment.model_copy(update={"effects": Effects(noise=False)})
        yield f"{name}, noise-free", quiet
        yield f"{name}, 1e11 ph/s", experiment
    still = Effects(noise=False, parallax=False)
    yield "351 µm window, noise-free, no parallax", roi.model_copy(update={"effects": still})


def row(name: str, experiment: Experiment) -> list[str]:
    """Return the table rows of one case."""
    scores = []
    for seed in SEEDS:
        simulated = simulate(experiment.model_copy(update={"seed": seed}))
        scores.append(lattice_metrics(recover(simulated.raw), simulated.truth))
    rows = []
    for region in ("interior", "eroded"):
        mean = {c: float(np.mean([score[region][c] for score in scores])) for c in COLUMNS}
        rms = [1e3 * score[region]["rms_A"] for score in scores]
        rows.append(
            f"| {name} | {region} | {mean['n_voxels']:.0f} | {1e3 * mean['bias_A']:+.3f} "
            f"| {np.mean(rms):.3f} ({min(rms):.3f}–{max(rms):.3f}) "
            f"| {1e3 * mean['robust_sigma_A']:.3f} | {1e3 * mean['p95_abs_A']:.3f} "
            f"| {mean['std_z']:.1f} | {mean['std_z_noise']:.1f} |"
        )
    return rows


def main() -> None:
    """Print the table."""
    print(HEADER.format(seeds=", ".join(map(str, SEEDS))))
    for name, experiment in cases():
        for line in row(name, experiment):
            print(line, flush=True)


if __name__ == "__main__":
    main()
