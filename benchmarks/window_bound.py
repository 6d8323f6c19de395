"""Measure what a window of few angles lets be told of lattice parameters, and what is.

The study's scan made smaller by seven, undersampled alike: a window of 49 µm inside an electrode of
140 µm, 49 angles, all effects, plain mean. Given away are the instrument, where material is, in the
window and outside, and, in the first column, how much; in the second the spread σ_φ of amounts over
these pixels. Of lattice parameters their spread over the sample is given away, and how much they
bend by how thick the material is, as in this very sample (Q of :mod:`benchmarks.known_bends`). With
F the Fisher information of :mod:`benchmarks.crystallite_bound`, by amounts and lattice parameters,

    bound = √diag((F + diag(1/σ_φ²) + Q)⁻¹)

is the error of the best linear estimate with this knowledge, over interior · eroded voxels in mÅ,
beside filtered back projection and the direct method, which are told none of it. Parallax is left
out of F.

Prints a Markdown table. Run from the checkout (ten minutes and 8 GB a seed):

    python -m benchmarks.window_bound [--seeds 302 303 304]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from scipy.sparse import block_diag, eye_array

from benchmarks.accuracy import EXAMPLES, averaged, switched
from benchmarks.crystallite_bound import bound, fisher, scene_of
from benchmarks.in_view import errors
from benchmarks.known_bends import bends_inside, precision
from benchmarks.methods import METHODS
from validation.experiment import Experiment, load_experiment
from validation.steps import simulate

DIAMETER_UM, N_OFFSETS, N_ANGLES = 140.0, 49, 49
_MA = 1e3


def case(seed: int) -> Experiment:
    """Return the experiment, rings averaged plainly."""
    roi = averaged(load_experiment(EXAMPLES / "roi.toml"))
    coarse = {"n_offsets": 41, "step_um": 5.0, "n_angles": 41}
    return roi.model_copy(
        update={
            "seed": seed,
            "sample": roi.sample.model_copy(update={"diameter_um": DIAMETER_UM}),
            "scan": roi.scan.model_copy(update={"n_offsets": N_OFFSETS, "n_angles": N_ANGLES}),
            "scans": {"coarse": roi.scans["coarse"].model_copy(update=coarse)},
        }
    )


def bounds(experiment: Experiment) -> Iterator[list[str]]:
    """Yield the bounds with few crystallites, then with many: amounts known, and not."""
    wide = experiment.scan.model_copy(update={"n_offsets": 2 * round(0.55 * DIAMETER_UM) + 1})
    scene = scene_of(experiment, wide)
    pixels = scene.pixels
    n = pixels.amount.size
    bends = bends_inside(pixels.row, pixels.column, pixels.amount)
    lattice = precision(bends, _MA * pixels.a_A, by_size=True)
    amounts = pixels.amount.std() ** -2.0 * eye_array(n, format="csr")
    both = block_diag([amounts, lattice], format="csr")
    for countable in (True, False):
        information = fisher(pixels, scene.patterns, countable=countable)
        alone = np.ascontiguousarray(information[n:, n:])
        yield [
            bound(alone, lattice, scene.scored),
            bound(information, both, [n + scored for scored in scene.scored]),
        ]


def reached(experiment: Experiment) -> list[str]:
    """Return the errors of filtered back projection and of the direct method."""
    simulated = simulate(experiment)
    return [
        errors(method(simulated.raw, simulated.others), simulated.truth)[0]
        for method in (METHODS["FBP"], METHODS["best"])
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a window of few angles lets be known.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[302, 303, 304])
    seeds = parser.parse_args().seeds
    print("| crystallites | seed | amounts known | amounts unknown | FBP | best |")
    print("|---|---|---|---|---|---|", flush=True)
    for seed in seeds:
        few = case(seed)
        cases = {"0.2 µm, plain mean": few, "too many": switched(few, grains=False)}
        for (name, experiment), told in zip(cases.items(), bounds(few), strict=True):
            print(f"| {name} | {seed} | {' | '.join(told + reached(experiment))} |", flush=True)


if __name__ == "__main__":
    main()
