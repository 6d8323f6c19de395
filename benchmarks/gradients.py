"""Measure whether a method invents or erases radial gradients of the lattice parameter.

An electrode in which every particle has the same planted difference between core and surface, from
−20 to +20 mÅ, and a mean composition of its own; noise-free, no cell. In view: 100 µm, angles
enough. Window: 151 µm inside 400 µm, with a quarter of the angles that the electrode would need;
once more with noise and crystallites of 0.2 µm, few of which reflect.
The same particles stand at the same places with every difference. Slopes are those of
:mod:`validation.gradients`, over voxels that lie wholly in a particle, by true depth. Prints
Markdown tables. Run from the checkout (two minutes for each method):

    python -m benchmarks.gradients
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from benchmarks.methods import METHODS, Method
from benchmarks.reconstruction_accuracy import chosen
from forward.settings import Effects
from inverse.recipe import Recipe
from phantoms.library import Electrode
from validation.experiment import Experiment
from validation.gradients import Estimate, Slopes, mean_slope, offset_and_gain, particle_slopes
from validation.metrics import scored_voxels
from validation.steps import Simulated, simulate
from xrdct.instrument import Geometry
from xrdct.scan import Scan

SEED = 401
PLANTED_A = (-0.020, -0.005, 0.0, 0.005, 0.020)
"""Core minus surface."""
FILLED_PER_A = (1.0 - 0.78) / (8.245 - 8.205)
"""df/da of stoichiometric spinel from f = 0.78 to 1, where a is linear in f."""

IN_VIEW = (
    Electrode(diameter_um=100.0, volume_fraction=0.45),
    Scan(n_offsets=121, step_um=1.0, n_angles=240),
)
WINDOW = (
    Electrode(diameter_um=400.0, volume_fraction=0.45),
    Scan(n_offsets=151, step_um=1.0, n_angles=157),
)
COUNTABLE = (WINDOW[0].model_copy(update={"grain_um": 0.2}), WINDOW[1])
SETTINGS = {
    "100 µm in view": IN_VIEW,
    "151 µm window in 400 µm": WINDOW,
    "the same window, crystallites of 0.2 µm": COUNTABLE,
}


def experiment(
    electrode: Electrode, scan: Scan, planted_A: float, *, seed: int = SEED
) -> Experiment:
    """Return the scan of an electrode with one difference in all particles."""
    planted = electrode.model_copy(
        update={
            "filled_fraction": 0.89,  # the middle of the linear range
            "filled_spread": 0.015,
            "filled_gradient": planted_A * FILLED_PER_A,
            "gradient_spread": 0.0,
            "li_rich_share": 0.0,
            "shell_share": 0.0,
        }
    )
    return Experiment(
        seed=seed,
        sample=planted,
        scan=scan,
        geometry=Geometry(two_theta_min_deg=2.5, two_theta_max_deg=8.5, n_channels=448),
        effects=Effects(noise=electrode.grain_um is not None, diffuse=False),
        recipe=Recipe(n_background=3),
    )


def slopes(simulated: Simulated, method: Method, electrode: Experiment) -> Slopes:
    """Return the slopes that a method finds in the particles of an electrode."""
    truth = simulated.truth
    maps = method(simulated.raw, simulated.others)
    radii_um = electrode.build_sample().radii_um
    return particle_slopes(
        maps.a_A,
        true_A=truth.a_A,
        relative_depth=truth.depth_um / radii_um[truth.particle],
        particle=truth.particle,
        region=scored_voxels(truth, truth.interior),
    )


def told(estimate: Estimate, *, scale: float) -> str:
    """Return an estimate as text."""
    return f"{scale * estimate.value:+.3f} ± {scale * estimate.esd:.3f}"


def print_table(name: str, found: Mapping[str, Mapping[float, Slopes]]) -> None:
    """Print what all methods found in one setting, by method and planted difference."""
    print(f"\n{name}: mean slopes in mÅ from surface to core\n")
    print("| planted | particles | true |", " | ".join(found), "|")
    print("|---" * (3 + len(found)) + "|")
    for planted_A in PLANTED_A:
        levels = [by_difference[planted_A] for by_difference in found.values()]
        true = mean_slope(levels[0].true_A, weight=levels[0].weight)
        cells = [told(true, scale=1e3)]
        cells += [told(mean_slope(s.recovered_A, weight=s.weight), scale=1e3) for s in levels]
        print(f"| {1e3 * planted_A:+.0f} | {levels[0].particle.size} | {' | '.join(cells)} |")
    lines = [offset_and_gain(list(levels.values())) for levels in found.values()]
    print("| offset | | |", " | ".join(told(offset, scale=1e3) for offset, _ in lines), "|")
    print("| gain | | |", " | ".join(told(gain, scale=1.0) for _, gain in lines), "|", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Planted gradients, recovered.")
    parser.add_argument("--settings", default="all", help="names separated by ; or all")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    for name in chosen(asked.settings, SETTINGS, what="setting"):
        electrode, scan = SETTINGS[name]
        found: dict[str, dict[float, Slopes]] = {method: {} for method in METHODS}
        for planted_A in PLANTED_A:
            planted = experiment(electrode, scan, planted_A, seed=asked.seed)
            simulated = simulate(planted)
            for label, method in METHODS.items():
                found[label][planted_A] = slopes(simulated, method, planted)
        print_table(name, found)


if __name__ == "__main__":
    main()
