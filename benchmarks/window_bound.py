"""Bound what any method can tell of lattice parameters in a window of few angles.

The study's scan made smaller by five, undersampled alike: a window of 70 µm inside an electrode of
200 µm, 70 angles, all effects. Everything but the lattice parameters is given away: where material
is, how much, in the window and outside, and all of the instrument. What is known beforehand of a is
given in full, too: its spread over the sample, and how much it bends from pixel to pixel inside
particles, as in this very sample, in all alike or by how thick the material is there (as in
:mod:`benchmarks.crystallite_bound`, whose Fisher information F this takes):

    bound = √diag((F + Q + 1/σ_a²)⁻¹),

the error of the best linear estimate with this knowledge, over interior · eroded voxels in mÅ,
beside filtered back projection and the direct method, which know none of it. *No noise* is F with a
thousandth of the photon noise and crystallites too many to count: what angles alone forbid.
Trimming's bias and parallax are left out.

Prints a Markdown table. Run from the checkout (ten minutes and 6 GB a seed):

    python -m benchmarks.window_bound [--seeds 302 303]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_array, eye_array

from benchmarks.accuracy import EXAMPLES, averaged, switched
from benchmarks.crystallite_bound import (
    Pixels,
    RingPatterns,
    known_bends,
    patterns_of,
    pixels_of,
    whitening_of,
)
from benchmarks.in_view import errors
from benchmarks.methods import METHODS
from validation.bounds_optics import prepare_optics
from validation.experiment import Experiment, load_experiment
from validation.metrics import scored_voxels
from validation.steps import simulate
from validation.truth import truth_on_grid

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

DIAMETER_UM, N_OFFSETS, N_ANGLES = 200.0, 71, 70
_MORE = 1e3
"""By how much stronger all is in place of no noise."""
_LEAST_PATH_UM, _MA = 1e-4, 1e3


def case(seed: int) -> Experiment:
    """Return the experiment, rings averaged plainly."""
    roi = averaged(load_experiment(EXAMPLES / "roi.toml"))
    coarse = {"n_offsets": 41, "step_um": 7.0, "n_angles": 41}
    return roi.model_copy(
        update={
            "seed": seed,
            "sample": roi.sample.model_copy(update={"diameter_um": DIAMETER_UM}),
            "scan": roi.scan.model_copy(update={"n_offsets": N_OFFSETS, "n_angles": N_ANGLES}),
            "scans": {"coarse": roi.scans["coarse"].model_copy(update=coarse)},
        }
    )


def lattice_fisher(pixels: Pixels, patterns: RingPatterns, *, countable: bool) -> Singles:
    """Return F over lattice parameters in mÅ, (pixel, pixel), all amounts being known."""
    n = pixels.amount.size
    total = np.zeros((n, n), np.float32)
    for paths in pixels.paths_um:
        met = np.flatnonzero(paths > _LEAST_PATH_UM)
        if met.size:
            filled = paths[met].astype(float) * pixels.amount[met]
            whitening = whitening_of(patterns, met, filled, countable=countable)
            slopes = filled[:, None, None] * patterns.slope_per_mA[met]
            rows = np.einsum("hkl,phl->phk", whitening, slopes).reshape(met.size, -1)
            total[np.ix_(met, met)] += (rows @ rows.T).astype(np.float32)
    return total


def bound(information: Singles, prior: csr_array, regions: tuple[NDArray[np.int64], ...]) -> str:
    """Return the root mean square of the standard errors of a, of interior · eroded voxels."""
    factor = cholesky(
        information + prior.toarray().astype(np.float32), lower=True, overwrite_a=True
    )
    told = []
    for region in regions:
        unit = np.zeros((len(factor), region.size), np.float32)
        unit[region, np.arange(region.size)] = 1.0
        half = solve_triangular(factor, unit, lower=True, overwrite_b=True)
        told.append(f"{np.sqrt(np.mean(np.sum(half.astype(float) ** 2, axis=0))):.3f}")
    return " · ".join(told)


def rows(experiment: Experiment) -> Iterator[str]:
    """Yield the rows of the table."""
    wide = experiment.scan.model_copy(update={"n_offsets": 2 * round(0.55 * DIAMETER_UM) + 1})
    sample, height_um = experiment.build_sample(), experiment.beam.height_um
    truth = truth_on_grid(sample, scan=wide, beam_height_um=height_um)
    pixels = pixels_of(experiment, truth)
    patterns = patterns_of(prepare_optics(experiment, rough=True), pixels)
    x_um, y_um = (wide.offsets_um[place] for place in (pixels.column, pixels.row))
    seen = np.hypot(x_um, y_um) <= 0.5 * (N_OFFSETS - 1)
    regions = tuple(
        np.flatnonzero(seen & scored_voxels(truth, region)[pixels.row, pixels.column])
        for region in (truth.interior, truth.eroded)
    )
    spread = (_MA * pixels.a_A.std()) ** -2.0 * eye_array(pixels.amount.size, format="csr")
    priors = [known_bends(pixels, by_size=size) + spread for size in (False, True)]
    noiseless = replace(
        patterns, shown=_MORE * patterns.shown, slope_per_mA=_MORE * patterns.slope_per_mA
    )
    for name, few, shown in (
        ("0.2 µm, plain mean", True, patterns), ("too many", False, patterns),
        ("too many, no noise", False, noiseless),
    ):  # fmt: skip
        information = lattice_fisher(pixels, shown, countable=few)
        bounds = [bound(information, prior, regions) for prior in priors]
        found = ["", ""] if shown is noiseless else reached(switched(experiment, grains=few))
        yield f"| {name} | {experiment.seed} | {' | '.join(bounds + found)} |"


def reached(experiment: Experiment) -> list[str]:
    """Return the errors of filtered back projection and of the direct method."""
    simulated = simulate(experiment)
    return [
        errors(METHODS[method](simulated.raw, simulated.others), simulated.truth)[0]
        for method in ("FBP", "best")
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a window of few angles lets be known.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[302, 303])
    seeds = parser.parse_args().seeds
    print("| crystallites | seed | bends known | by size | FBP | best |")
    print("|---|---|---|---|---|---|", flush=True)
    for seed in seeds:
        for row in rows(case(seed)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
