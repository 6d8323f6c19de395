"""Measure what the study's way of scanning and analysing does to what the study concludes.

Scan 5 of the simulated discharge (or another, `--scan`), in the study's window of a 1 mm electrode,
is simulated and recovered with one thing changed at a time: the mean in place of the trimmed mean,
a full turn, no parallax, crystallites too many to count, the fit to all rays in place of back
projection. Told are the error of the lattice parameter over interior voxels, what is found of
Particle 1's gradient and Li2MnO3 and of Particle 2's rock salt, and what the voxels in the
forbidden window are. Rows of a Markdown table are printed as they come (docs/findings.md holds the
last ones). Each takes two minutes, the fit to all rays ten. Run from the checkout:

    python -m benchmarks.findings [--seed 302] [--scan 5] [--cases "the study's way;plain mean"]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.accuracy import switched
from benchmarks.methods import RECIPES
from benchmarks.reconstruction_accuracy import chosen, turned
from inverse.recipe import Recipe
from inverse.recover import recover
from validation.experiment import Experiment, load_recipe
from validation.integrated_files import chosen_recipe
from validation.metrics import lattice_metrics
from validation.paper.depths import common_shells, profiles
from validation.paper.experiments import Size, operando
from validation.paper.fractions import DepthFractions, depth_fractions
from validation.paper.histograms import occupants
from validation.paper.prepared import Slice
from validation.run import RunFiles
from validation.steps import simulate

SEED, SCAN = 302, 5
HEADER = """| case | a: RMS (bias), mÅ | std z | gradient of Particle 1, mÅ: found (true) | \
LPdepth/LPmean, worst, 1e-4 | Li2MnO3 of Particle 1, 0–2 µm, wt % | \
rock salt of Particle 2, 2–4 µm, wt % | in the window, %: found (true), neither |
|---|---|---|---|---|---|---|---|"""

Change = Callable[[Experiment], Experiment]


def _integrated(experiment: Experiment, method: str) -> Experiment:
    integration = experiment.recipe.integration.model_copy(update={"method": method})
    recipe = experiment.recipe.model_copy(update={"integration": integration})
    return experiment.model_copy(update={"recipe": recipe})


def _mean(experiment: Experiment) -> Experiment:
    return _integrated(experiment, "mean")


CASES: dict[str, tuple[Change, str | None]] = {
    "the study's way": (lambda e: e, None),
    "plain mean": (_mean, None),
    "trimmed 10/10": (lambda e: _integrated(e, "trimmed_10_10"), None),
    "360°": (turned, None),
    "plain mean, 360°": (lambda e: turned(_mean(e)), None),
    "no parallax": (lambda e: switched(e, parallax=False), None),
    "crystallites too many to count": (lambda e: switched(e, grains=False), None),
    "plain mean, fit to all rays": (_mean, "best"),
}
"""By name: the change of the experiment, and the recipe whose steps take the place of its own."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the study's way does to its conclusions.")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--scan", type=int, default=SCAN, choices=range(1, 6))
    parser.add_argument("--cases", default="all", help="names separated by ; or all")
    given = parser.parse_args(arguments)
    print(HEADER, flush=True)
    for name in chosen(given.cases, CASES, what="case"):
        change, recipe = CASES[name]
        experiment = change(operando(given.scan, size=Size(), seed=given.seed))
        print(f"| {name} | {' | '.join(_told(_recovered(experiment, recipe)))} |", flush=True)


def _recovered(experiment: Experiment, steps: str | None) -> Slice:
    simulated = simulate(experiment)
    recipe: Recipe | None = None
    if steps is not None:
        own = load_recipe(RECIPES / f"{steps}.toml")
        names = ("sinogram", "truncation", "reconstruction", "direct")
        recipe = experiment.recipe.model_copy(update={name: getattr(own, name) for name in names})
    maps = recover(
        simulated.raw, others=simulated.others, recipe=chosen_recipe(simulated.raw, recipe)
    )
    return Slice(experiment, RunFiles(experiment.folder), maps, simulated.truth)


def _told(each: Slice) -> list[str]:
    errors = lattice_metrics(each.maps, each.truth)["interior"]
    found = profiles(each, 0)
    _, ratio, _, true = common_shells(found)
    window = occupants(each.maps.a_A, each.true_a_A, two_lattices=each.truth.two_lattices)
    gradient = "–"
    if found.recovered is not None:
        gradient = (
            f"{1e3 * found.recovered.core_minus_surface:+.1f} ± "
            f"{1e3 * found.recovered.core_minus_surface_esd_total:.1f} "
            f"({1e3 * found.true.core_minus_surface_A:+.1f})"
        )
    worst = 1e4 * float(np.abs(ratio - true).max()) if ratio.size else float("nan")
    return [
        f"{1e3 * errors['rms_A']:.2f} ({1e3 * errors['bias_A']:+.2f})",
        f"{errors['std_z']:.2f}",
        gradient,
        f"{worst:.2f}",
        _fraction(depth_fractions(each, 0), "Li2MnO3", 0),
        _fraction(depth_fractions(each, 1), "LiMnO2-rocksalt", 1),
        f"{1e2 * window.recovered:.1f} ({1e2 * window.true:.1f}), {1e2 * window.neither:.1f}",
    ]


def _fraction(found: DepthFractions, phase: str, depth: int) -> str:
    column = found.phases.index(phase)
    return (
        f"{found.recovered[depth, column]:.1f} ± {found.esd[depth, column]:.1f} "
        f"({found.true[depth, column]:.1f})"
    )


if __name__ == "__main__":
    main()
