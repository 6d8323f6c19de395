"""Compare predicted errors of lattice parameters with simulated ones, scan by scan.

Prints the Markdown table of docs/validation.md. Every row is a small scan, simulated, reconstructed
and refined for a seed that nothing was tuned on (more may be listed); errors are those
of interior voxels of one lattice, predictions those of :mod:`validation.bounds` for the same
experiments. A row counts as noise's or as bias's by which half of the predicted square is larger:
counting and crystallites, or what a repetition of the scan would repeat. Run from the checkout
(about ten minutes of one processor; a number runs that row alone):

    python -m benchmarks.bounds [ROW ...]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from inverse.integration import Integration
from inverse.recipe_steps import Reconstruction
from inverse.recover import recover
from phantoms.cell import Cell
from phantoms.library import Electrode
from validation.bounds import Prediction, predict
from validation.experiment import Experiment, load_experiment
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.errors import InputError

EXAMPLES = Path(__file__).parent.parent / "examples"
SEEDS = (501,)
LIMITS = {"noise": 0.10, "bias": 0.25}
HEADER = """| # | scan | ruled by | noise | grains | streaks | blur | parallax | truncation | \
trimming | predicted RMS (bias) | simulated RMS (bias) | predicted/simulated |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Found:
    """One experiment, predicted and simulated."""

    prediction: Prediction
    n_voxels: int
    rms_A: float
    bias_A: float
    predict_s: float


def changed(
    experiment: Experiment, *, flux: float = 1e9, recipe: dict[str, Any] | None = None, **parts: Any
) -> Experiment:
    """Return the experiment with another flux, keys of its scan, or whole parts."""
    scan = {k: parts.pop(k) for k in list(parts) if k in type(experiment.scan).model_fields}
    return experiment.model_copy(
        update={
            "beam": experiment.beam.model_copy(update={"flux_per_s": flux}),
            "scan": experiment.scan.model_copy(update=scan),
            "recipe": experiment.recipe.model_copy(update=recipe or {}),
            **parts,
        }
    )


def cases() -> Iterator[tuple[str, Experiment]]:
    """Yield the scans by name, with the seed still to be set."""
    seven = load_experiment(EXAMPLES / "particle.toml")
    small = Electrode(diameter_um=60.0, volume_fraction=0.45)
    wide = Electrode(diameter_um=200.0, volume_fraction=0.45)
    spotty = small.model_copy(update={"grain_um": 0.2})
    fine = small.model_copy(update={"grain_um": 0.05})
    grains = small.model_copy(update={"grain_um": 0.1})
    trimmed = {"integration": Integration(method="trimmed_5_5")}
    trimmed_more = {"integration": Integration(method="trimmed_10_10")}
    near = seven.geometry.model_copy(
        update={"distance_m": 0.3, "two_theta_max_deg": 14.5, "n_channels": 1024}
    )
    foggy = seven.unknowns.model_copy(update={"air_factor": (20.0, 20.0)})
    hann = {"reconstruction": Reconstruction(filter="hann")}
    yield "seven particles, 1e9 ph/s", changed(seven)
    yield "1e10 ph/s", changed(seven, flux=1e10)
    yield "1e11 ph/s", changed(seven, flux=1e11)
    yield "exposure 40 ms", changed(seven, exposure_s=0.04)
    yield "90 angles", changed(seven, n_angles=90)
    yield "60 angles, 1e10 ph/s", changed(seven, flux=1e10, n_angles=60)
    yield "360°, 180 angles", changed(seven, angle_range_deg=360.0)
    yield "360°, 180 angles, 1e11 ph/s", changed(seven, flux=1e11, angle_range_deg=360.0)
    yield "step 0.75 µm", changed(seven, step_um=0.75, n_offsets=107)
    yield "step 2 µm", changed(seven, step_um=2.0, n_offsets=41)
    yield "Hann filter", changed(seven, recipe=hann)
    yield "window of 45 µm", changed(seven, n_offsets=45, n_angles=120)
    yield "twenty times the air", changed(seven, unknowns=foggy)
    yield "trimmed 5/5", changed(seven, flux=1e10, recipe=trimmed)
    yield "electrode of 60 µm", changed(seven, sample=small)
    yield "electrode, 1e11 ph/s", changed(seven, sample=small, flux=1e11)
    yield "electrode, 1e11 ph/s, 60 angles", changed(seven, sample=small, flux=1e11, n_angles=60)
    yield (
        "electrode, 1e11 ph/s, 0.3 m",
        changed(seven, sample=small, flux=1e11, geometry=near),
    )
    yield (
        "electrode, 1e11 ph/s, 0.3 m, 360°",
        changed(seven, sample=small, flux=1e11, geometry=near, angle_range_deg=360.0, n_angles=360),
    )
    yield "electrode in its cell", changed(seven, sample=small, cell=Cell())
    yield "electrode, grains of 0.2 µm", changed(seven, sample=spotty, flux=1e10)
    yield (
        "the same, trimmed 5/5",
        changed(seven, sample=spotty, flux=1e10, recipe=trimmed),
    )
    yield (
        "grains of 0.05 µm, trimmed 5/5",
        changed(seven, sample=fine, flux=1e10, recipe=trimmed),
    )
    yield "window in 200 µm", changed(seven, sample=wide)
    yield "window in 200 µm, 1e11 ph/s", changed(seven, sample=wide, flux=1e11)
    yield (
        "window in 200 µm, 1e11 ph/s, 90 angles",
        changed(seven, sample=wide, flux=1e11, n_angles=90),
    )
    yield "1e12 ph/s, trimmed 5/5", changed(seven, flux=1e12, recipe=trimmed)
    yield "3e11 ph/s, trimmed 5/5", changed(seven, flux=3e11, recipe=trimmed)
    yield (
        "electrode, grains of 0.2 µm, 1e12 ph/s, trimmed 5/5",
        changed(seven, sample=spotty, flux=1e12, recipe=trimmed),
    )
    yield (
        "electrode, grains of 0.1 µm, 1e12 ph/s, trimmed 10/10",
        changed(seven, sample=grains, flux=1e12, recipe=trimmed_more),
    )


def found(experiment: Experiment) -> Found:
    """Predict one experiment, and simulate it."""
    start = process_time()
    prediction = predict(experiment, n_voxels=400)
    predict_s = process_time() - start
    simulated = simulate(experiment)
    maps = recover(simulated.raw, others=simulated.others)
    figures = lattice_metrics(maps, simulated.truth)["interior"]
    return Found(prediction, figures["n_voxels"], figures["rms_A"], figures["bias_A"], predict_s)


def row(number: int, name: str, experiment: Experiment, seeds: tuple[int, ...]) -> str:
    """Return a row of the table."""
    every = [found(experiment.model_copy(update={"seed": seed})) for seed in seeds]
    voxels = np.array([f.n_voxels for f in every], float)

    def mean(values: list[float], power: int = 1) -> float:
        weighted = np.average(np.array(values) ** power, weights=voxels)
        return 1e3 * float(weighted ** (1.0 / power))

    typical = [f.prediction.typical_A for f in every]
    term = {key: mean([t[key] for t in typical], 2) for key in typical[0]}
    rms, bias = mean([f.rms_A for f in every], 2), mean([f.bias_A for f in every])
    predicted_bias = mean([float(f.prediction.bias_A.mean()) for f in every])
    random = np.hypot(term["noise"], term["grains"])
    ruled = "noise" if random**2 > 0.5 * term["total"] ** 2 else "bias"
    ratio = term["total"] / rms
    off = "" if abs(ratio - 1.0) <= LIMITS[ruled] else " ✗"
    terms = ("noise", "grains", "streaks", "blur", "parallax", "truncation", "trimming")
    cells = [f"{term[key]:.3f}" for key in terms]
    return (
        f"| {number} | {name} | {ruled} | {' | '.join(cells)} | "
        f"{term['total']:.3f} ({predicted_bias:+.3f}) | "
        f"{rms:.3f} ({bias:+.3f}) | {ratio:.2f}{off} |"
    )


def main() -> None:
    asked = [int(part) for part in sys.argv[1:]]
    print(HEADER, flush=True)
    for number, (name, experiment) in enumerate(cases(), start=1):
        if not asked or number in asked:
            try:
                print(row(number, name, experiment, SEEDS), flush=True)
            except InputError as error:  # no prediction where trimming leaves too little
                print(f"| {number} | {name} |{' – |' * 10} {error} ✗ |", flush=True)


if __name__ == "__main__":
    main()
