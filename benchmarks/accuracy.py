"""Measure how accurate the chain is, on samples that nothing was tuned on.

Prints a Markdown table; --document puts it into docs/accuracy.md in the end, whose prose is written
by hand. Rows: the 351 µm window in a 1 mm electrode with all effects, and with some of them
switched off; the example of frame mode; the example particle; random 100 µm electrodes wholly in
view. Hard throughout: 20 mÅ and more from core to surface, and B_iso, air scattering, bandwidth,
divergence and distance drawn from the examples' ranges, unknown to the recipe. Run from the
checkout (about half an hour):

    make accuracy
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.document_markers import add_document_option, print_or_write
from inverse.integration import Integration
from inverse.recover import recover
from phantoms.library import Electrode
from validation.experiment import Experiment, load_experiment
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.scan import Scan

EXAMPLES = Path(__file__).parent.parent / "examples"
SEEDS = (301, 302, 303, 304, 305)
FEWER = SEEDS[:3]
COLUMNS = ("n_voxels", "bias_A", "rms_A", "robust_sigma_A", "p95_abs_A", "std_z", "std_z_noise")
DOCUMENT = Path(__file__).parent.parent / "docs" / "accuracy.md"
PART = "accuracy"
"""Of the document."""
HEADER = """\
| case | seeds | voxels | n | bias | RMS (range) | robust σ | 95 % within | std z | std z noise |
|---|---|---|---|---|---|---|---|---|---|"""


def switched(experiment: Experiment, **effects: bool) -> Experiment:
    """Return the experiment with effects switched on or off."""
    return experiment.model_copy(update={"effects": experiment.effects.model_copy(update=effects)})


def averaged(experiment: Experiment) -> Experiment:
    """Return the experiment integrated by the plain mean."""
    recipe = experiment.recipe.model_copy(update={"integration": Integration(method="mean")})
    return experiment.model_copy(update={"recipe": recipe})


def cases() -> Iterator[tuple[str, Experiment, tuple[int, ...]]]:
    """Yield the cases by name, with the seed still to be set and the seeds for it."""
    frames = load_experiment(EXAMPLES / "frames.toml")
    particle = load_experiment(EXAMPLES / "particle.toml")
    roi = load_experiment(EXAMPLES / "roi.toml").model_copy(update={"scans": {}})
    in_view = averaged(roi).model_copy(
        update={
            "sample": Electrode(diameter_um=100.0, volume_fraction=0.45),
            "scan": Scan(n_offsets=121, step_um=1.0, n_angles=240),
            "cell": None,
        }
    )
    smooth = switched(roi, grains=False)
    bare = switched(averaged(smooth), cell=False, motion=False, flux=False, beam_tails=False)
    yield "351 µm window in 1 mm, all effects", roi, SEEDS
    yield "the same, grains too many to count", smooth, FEWER
    yield "the same, plain mean, no cell, perfect stages and beam", bare, FEWER
    yield "the same, noise-free", switched(bare, noise=False), FEWER
    yield "the same, no parallax", switched(bare, noise=False, parallax=False), FEWER
    yield "frames.toml, frame by frame", frames, FEWER
    yield "frames.toml, pattern mode", frames.model_copy(update={"mode": "patterns"}), FEWER
    for name, experiment in (("example particle", particle), ("100 µm electrode in view", in_view)):
        yield f"{name}, 1e11 ph/s", experiment, FEWER
        yield f"{name}, noise-free", switched(experiment, noise=False), FEWER


def row(name: str, experiment: Experiment, seeds: tuple[int, ...]) -> list[str]:
    """Return the table rows of one case."""
    scores = []
    for seed in seeds:
        simulated = simulate(experiment.model_copy(update={"seed": seed}))
        scores.append(lattice_metrics(recover(simulated.raw), simulated.truth))
    rows = []
    for region in ("interior", "eroded"):
        mean = {c: float(np.mean([score[region][c] for score in scores])) for c in COLUMNS}
        rms = [1e3 * score[region]["rms_A"] for score in scores]
        rows.append(
            f"| {name} | {len(seeds)} | {region} | {mean['n_voxels']:.0f} "
            f"| {1e3 * mean['bias_A']:+.3f} | {np.mean(rms):.3f} ({min(rms):.3f}–{max(rms):.3f}) "
            f"| {1e3 * mean['robust_sigma_A']:.3f} | {1e3 * mean['p95_abs_A']:.3f} "
            f"| {mean['std_z']:.1f} | {mean['std_z_noise']:.1f} |"
        )
    return rows


def table() -> Iterator[str]:
    """Yield the lines of the table, as they are measured."""
    yield HEADER
    for name, experiment, seeds in cases():
        yield from row(name, experiment, seeds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and write it into the document if asked to; return the exit code."""
    parser = argparse.ArgumentParser(description="Lattice errors of the chain.")
    add_document_option(parser, DOCUMENT)
    return print_or_write(table(), PART, parser.parse_args(arguments).document)


if __name__ == "__main__":
    sys.exit(main())
