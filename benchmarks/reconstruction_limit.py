"""What keeps the direct method from doing better: the same fit, told more and more of the truth.

On an electrode of a third of the study's diameter, with a third of its offsets and angles, so that
rays are as undersampled and truncated as the study's. Errors of the lattice parameter in mÅ, RMS
over interior voxels (eroded ones), of

    FBP                   filtered back projection
    best                  the direct method of examples/recipes/best.toml
    from the truth        its fit, started from the true amounts and lattice parameters
    amounts known         the lattice parameters alone fitted, with the true amounts of all pixels
    window alone unknown  the same, what lies outside the window known altogether

What the last leaves is the price of noise, of countable crystallites and of what a grid of 1 µm
with the prior cannot follow; no knowledge of the surroundings could remove it. Run from the
checkout (twenty minutes):

    python -m benchmarks.reconstruction_limit
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize

from benchmarks.accuracy import EXAMPLES, averaged, switched
from benchmarks.methods import METHODS, RECIPES
from inverse.chain import prepared_scans
from inverse.direct_fit import Problem, State, fit
from inverse.direct_prior import bending_of, lattice_roughness
from inverse.direct_problem import RayShapes, problem_of
from inverse.direct_settings import Direct
from inverse.recipe import Recipe
from inverse.recover import model_builder
from inverse.shared import Shared
from validation.experiment import Experiment, load_experiment, load_recipe
from validation.laboratory import compared_sample, laboratory
from validation.metrics import scored_voxels
from validation.steps import Simulated, simulate
from validation.truth import Truth, truth_on_grid

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SEEDS = (421, 422, 423)
DIAMETER_UM, N_OFFSETS, N_ANGLES = 300.0, 105, 105
_MARGIN_A = 8e-3
_STEPS = 60
SETTINGS = Direct()


@dataclass(frozen=True, eq=False)
class Told:
    """A problem and the truth on its pixels."""

    problem: Problem
    truth: State
    inside: Bools
    """Pixels in the window, (pixel,)."""
    a_range_A: tuple[float, float]


def reduced(experiment: Experiment, seed: int) -> Experiment:
    """Return the study's scan on a smaller electrode, undersampled alike."""
    size = {"n_offsets": N_OFFSETS, "n_angles": N_ANGLES}
    coarse = {"n_offsets": 41, "step_um": 10.0, "n_angles": 41}
    return experiment.model_copy(
        update={
            "seed": seed,
            "sample": experiment.sample.model_copy(update={"diameter_um": DIAMETER_UM}),
            "scan": experiment.scan.model_copy(update=size),
            "scans": {"coarse": experiment.scans["coarse"].model_copy(update=coarse)},
        }
    )


def told(simulated: Simulated, experiment: Experiment, shared: Shared) -> Told:
    """Return the direct method's problem, and the truth on its pixels."""
    raw = simulated.raw
    stored = Recipe.model_validate(raw.recipe)
    best = load_recipe(RECIPES / "best.toml").model_copy(update={"calibration": stored.calibration})
    sinogram, _ = prepared_scans(raw, others=simulated.others, recipe=best)
    wide = experiment.scan.model_copy(update={"n_offsets": 2 * round(0.55 * DIAMETER_UM) + 1})
    truth = truth_on_grid(
        compared_sample(laboratory(experiment)), scan=wide,
        beam_height_um=experiment.beam.height_um,
    )  # fmt: skip
    known = np.isfinite(truth.a_A)
    a_range_A = (
        float(truth.a_A[known].min()) - _MARGIN_A,
        float(truth.a_A[known].max()) + _MARGIN_A,
    )
    rays = RayShapes(
        sinogram, model_builder(raw, best), len(best.fixed_phases), a_range_A, truth.a_A[known],
        SETTINGS,
    )  # fmt: skip
    problem = problem_of(
        rays, shared, radius_um=0.5 * DIAMETER_UM + 5.0, beam_fwhm_um=raw.beam.width_um,
        workers=None,
    )  # fmt: skip
    grid = problem.projector.grid
    half = 0.5 * sinogram.step_um * N_OFFSETS
    inside = (np.abs(grid.x_um) < half) & (np.abs(grid.y_um) < half)
    return Told(problem, _on_pixels(truth, problem), inside, a_range_A)


def _on_pixels(truth: Truth, problem: Problem) -> State:
    """Return the truth on the pixels of the problem; gaps have the mean lattice parameter."""
    grid, scan = problem.projector.grid, truth.scan
    half = (scan.n_offsets - 1) / 2.0
    column = np.rint(grid.x_um / scan.step_um + half).astype(int)
    row = np.rint(grid.y_um / scan.step_um + half).astype(int)
    a_A = truth.a_A[row, column]
    a_A = np.where(np.isfinite(a_A), a_A, np.nanmean(a_A))
    return State(np.nan_to_num(truth.volume_fraction[row, column]), a_A)


def lattice_alone(case: Told, free: Bools) -> State:
    """Return the best lattice parameters of the pixels ``free``, all else being the truth."""
    problem, truth = case.problem, case.truth
    unit_A = problem.shapes.answering_A
    bending = bending_of(problem.image(truth.amount, empty=0.0))

    def state_of(vector: Floats) -> State:
        a_A = truth.a_A.copy()
        a_A[free] = unit_A * vector
        return State(truth.amount, a_A)

    def objective(vector: Floats) -> tuple[float, Floats]:
        state = state_of(vector)
        misfit = problem.measured - problem.shown(state)
        filtered = problem.filtered(misfit)
        _, slope = problem.slopes(filtered, state)
        slope *= -unit_A * state.amount / problem.full_pixel
        rough, bend = lattice_roughness(
            problem.image(state.a_A / unit_A, empty=0.0), bending=bending, answering_A=unit_A
        )
        slope += SETTINGS.lattice_smoothness * bend.reshape(-1)[problem.image_index]
        misfit_value = 0.5 * float(np.vdot(filtered, misfit)) / problem.full_pixel
        return misfit_value + SETTINGS.lattice_smoothness * rough, slope[free]

    low, high = (np.full(int(free.sum()), a / unit_A) for a in case.a_range_A)
    found = minimize(
        objective, truth.a_A[free] / unit_A, jac=True, method="L-BFGS-B", bounds=Bounds(low, high),
        options={"maxiter": _STEPS, "maxcor": 12},
    )  # fmt: skip
    return state_of(np.asarray(found.x))


def errors(a_A: Floats, truth: Truth) -> str:
    """Return RMS and bias over interior voxels, and over eroded ones, in mÅ."""
    told = []
    for region in (truth.interior, truth.eroded):
        chosen = scored_voxels(truth, region) & np.isfinite(a_A)
        error = 1e3 * (a_A[chosen] - truth.a_A[chosen])
        told.append(f"{np.sqrt(np.mean(error**2)):.3f} ({np.mean(error):+.3f})")
    return " · ".join(told)


def methods(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield each way's name and errors on one experiment."""
    simulated = simulate(experiment)
    maps = METHODS["FBP"](simulated.raw, simulated.others)
    yield "FBP", errors(maps.a_A, simulated.truth)
    best = METHODS["best"](simulated.raw, simulated.others)
    yield "best", errors(best.a_A, simulated.truth)
    case = told(simulated, experiment, Shared(**best.shared))
    fits: dict[str, Callable[[], State]] = {
        "from the truth": lambda: fit(
            case.problem, start=case.truth, settings=SETTINGS, n_iterations=_STEPS,
            a_range_A=case.a_range_A,
        ),
        "amounts known": lambda: lattice_alone(case, np.ones_like(case.inside)),
        "window alone unknown": lambda: lattice_alone(case, case.inside),
    }  # fmt: skip
    seen = np.isfinite(maps.status)
    for name, run in fits.items():
        a_A = case.problem.projector.grid.image(run().a_A)
        yield name, errors(np.where(seen, a_A, np.nan), simulated.truth)


def main() -> None:
    """Print the table."""
    roi = load_experiment(EXAMPLES / "roi.toml")
    bare = switched(
        averaged(roi), noise=False, grains=False, cell=False, motion=False, flux=False,
        beam_tails=False,
    )  # fmt: skip
    cases = {
        "all effects": roi,
        "grains too many to count": switched(roi, grains=False),
        "bare": bare,
    }
    print("| case | seed | method | RMS (bias) interior · eroded |\n|---|---|---|---|")
    for name, experiment in cases.items():
        for seed in SEEDS:
            for method, figures in methods(reduced(experiment, seed)):
                print(f"| {name} | {seed} | {method} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
