"""Measure how sharp each method reconstructs: the width of the edge of a disc.

A spinel sphere of one composition, larger than the beam is high, so that the slice through its
middle is a disc with a sharp edge; in view, noise-free, without parallax; 1 µm step, beam of 1 µm
FWHM. The width is that of the line spread function (:mod:`validation.edge`) of the map of the
spinel's amount, the mean over discs at different places among the pixels, with its standard error.
Prints a Markdown table. Run from the checkout (half a minute for each method):

    python -m benchmarks.edges
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.methods import METHODS, Method
from forward.settings import Effects
from inverse.maps import Maps
from inverse.recipe import Recipe
from inverse.refine import Status
from phantoms.particle import Particle
from validation.edge import Edge, disc_edge
from validation.experiment import Experiment, ParticleList
from validation.steps import Simulated, simulate
from xrdct.instrument import Geometry
from xrdct.scan import Scan

CENTRES_UM = ((3.3, -2.7), (-1.9, 4.1), (0.4, 1.8), (-3.6, -0.3), (2.2, 3.9), (-4.5, -3.1))
RADIUS_UM = 30.0
REACH_UM = 5.0


def experiment(centre_um: tuple[float, float]) -> Experiment:
    """Return the scan of the disc, with angles enough for the whole field of view."""
    disc = Particle(centre_um=(*centre_um, 0.0), diameter_um=2.0 * RADIUS_UM, x=0.9)
    return Experiment(
        sample=ParticleList(particles=(disc,)),
        scan=Scan(n_offsets=91, step_um=1.0, n_angles=144),
        geometry=Geometry(two_theta_min_deg=2.5, two_theta_max_deg=8.5, n_channels=448),
        effects=Effects(noise=False, diffuse=False, parallax=False),
        recipe=Recipe(n_background=3, min_volume_fraction=0.0),
    )


def amounts(maps: Maps) -> NDArray[np.float64]:
    """Return the map of amounts, zero where no material was found."""
    return np.where(maps.status == Status.NO_MATERIAL, 0.0, maps.volume_fraction)


def found(simulated: Simulated, method: Method, centre_um: tuple[float, float]) -> Edge:
    """Return the edge as a method reconstructs it."""
    return disc_edge(
        amounts(method(simulated.raw, simulated.others)),
        step_um=simulated.raw.scan.step_um,
        centre_um=centre_um,
        radius_um=RADIUS_UM,
        reach_um=REACH_UM,
    )


def mean_and_error(values: list[float]) -> str:
    """Return the mean and its standard error, as text."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    """Print the table."""
    edges: dict[str, list[Edge]] = {name: [] for name in METHODS}
    for centre_um in CENTRES_UM:
        simulated = simulate(experiment(centre_um))
        for name, method in METHODS.items():
            edges[name].append(found(simulated, method, centre_um))
    print("| method | FWHM of the edge, µm | found outside the true edge by, µm |")
    print("|---|---|---|")
    for name, of_method in edges.items():
        widths = mean_and_error([edge.fwhm_um for edge in of_method])
        print(f"| {name} | {widths} | {mean_and_error([edge.shift_um for edge in of_method])} |")


if __name__ == "__main__":
    main()
