"""Measure the error that parallax makes, against the distance from the rotation axis.

Small spinel particles of one composition stand at known places, all in view, in pattern mode and
noise-free, so that nothing but parallax falsifies their lattice parameter. Prints a Markdown table,
with a column for each method. Run from the checkout (about a minute for each method):

    python -m benchmarks.parallax

The closed form beside it is of first order. At the angle ω a point (x, y) lies
s = −x·sin ω + y·cos ω towards the detector, where rings look like those of a cell larger by
δa/a = κ·s/D, κ = cos²θ·cos2θ. Back projection gives all angles the same share in what a point
shows, so that a small particle shows the mean of s over the scan, δa = κ·a·⟨s⟩/D. N angles that
begin at 0 and exclude the end have

    over 180°: ⟨s⟩ = −x·cot(π/2N)/N + y/N → −2x/π,    over 360°: ⟨s⟩ = 0:

the error depends on where the scan begins. κ is taken as its mean over the channels with the weight
tan²2θ that least squares give to the shift of a line of given strength. What a particle leaves of
itself elsewhere is not in it: over 180°, projections at the two ends disagree by 2y, and the streak
of that runs along y. Particles that stand one behind the other so disturb each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.methods import METHODS, Method
from forward.settings import Effects
from inverse.maps import Maps
from inverse.recipe import Recipe
from phantoms.particle import Particle
from phantoms.stoichiometry import mean_lattice_A
from validation.experiment import Experiment, ParticleList
from validation.steps import Simulated, simulate
from validation.truth import Truth
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

STEP_UM = 4.0
DIAMETER_UM = 20.0
FILLED = 0.9
DISTANCES_UM = (0.0, 100.0, 200.0, 300.0, 400.0)
DIRECTIONS_DEG = (0.0, 125.0)
"""Chosen so that no two particles have the same x."""
DETECTOR_M = (0.4, 0.6, 1.0)
HALF, WHOLE = 180.0, 360.0


def places_um() -> list[tuple[float, float]]:
    """Return x and y of every particle."""
    turns = [
        (distance, np.deg2rad(direction))
        for distance in DISTANCES_UM
        for direction in (DIRECTIONS_DEG if distance else DIRECTIONS_DEG[:1])
    ]
    return [(float(r * np.cos(phi)), float(r * np.sin(phi))) for r, phi in turns]


def experiment(distance_m: float, angle_range_deg: float) -> Experiment:
    """Return the scan of all particles, with angles enough for the whole field of view."""
    n_offsets = 2 * round((max(DISTANCES_UM) + DIAMETER_UM) / STEP_UM) + 1
    n_angles = int(np.ceil(0.5 * np.pi * n_offsets))
    particles = tuple(
        Particle(centre_um=(x, y, 0.0), diameter_um=DIAMETER_UM, x=FILLED) for x, y in places_um()
    )
    return Experiment(
        sample=ParticleList(particles=particles),
        scan=Scan(
            n_offsets=n_offsets,
            step_um=STEP_UM,
            n_angles=n_angles if angle_range_deg == HALF else 2 * n_angles,
            angle_range_deg=angle_range_deg,
        ),
        beam=Beam(width_um=STEP_UM, height_um=STEP_UM),
        geometry=Geometry(
            distance_m=distance_m, two_theta_min_deg=2.5, two_theta_max_deg=8.5, n_channels=448
        ),
        effects=Effects(noise=False, diffuse=False),
        recipe=Recipe(n_background=3),
    )


def first_order_error_A(place_um: tuple[float, float], *, scan: Scan, geometry: Geometry) -> float:
    """Return δa of a particle at (x, y), by the closed form."""
    x, y = place_um
    mean_s_um = np.mean(y * np.cos(scan.angles_rad) - x * np.sin(scan.angles_rad))
    two_theta = geometry.two_theta_rad
    kappa = np.average(
        np.cos(0.5 * two_theta) ** 2 * np.cos(two_theta), weights=np.tan(two_theta) ** 2
    )
    a_A = mean_lattice_A(FILLED, y=0.0)
    return float(kappa * a_A * 1e-6 * mean_s_um / geometry.distance_m)


def particle_errors_A(maps: Maps, truth: Truth) -> NDArray[np.float64]:
    """Return the mean error over the voxels that lie wholly in each particle, (particle,)."""
    error = maps.a_A - truth.a_A
    inside = [truth.interior & (truth.particle == i) for i in range(len(places_um()))]
    return np.array([np.mean(error[voxels]) for voxels in inside])


def measured_errors_A(simulated: Simulated, method: Method) -> NDArray[np.float64]:
    """Return the errors of all particles by a method, (particle,)."""
    return particle_errors_A(method(simulated.raw, simulated.others), simulated.truth)


def main() -> None:
    """Print the table."""
    print("Mean error of a over the voxels inside a particle, mÅ\n")
    columns = [f"{name}, {turn:.0f}°" for turn in (HALF, WHOLE) for name in METHODS]
    print(
        f"| D, m | x, µm | y, µm | from the axis, µm | closed form, 180° | {' | '.join(columns)} |"
    )
    print("|---" * (5 + len(columns)) + "|")
    for distance_m in DETECTOR_M:
        errors = []
        for turn in (HALF, WHOLE):
            simulated = simulate(experiment(distance_m, turn))
            errors += [measured_errors_A(simulated, method) for method in METHODS.values()]
        half = experiment(distance_m, HALF)
        for i, (x, y) in enumerate(places_um()):
            expected = first_order_error_A((x, y), scan=half.scan, geometry=half.geometry)
            figures = [expected, *(column[i] for column in errors)]
            told = " | ".join(f"{1e3 * figure:+.3f}" for figure in figures)
            print(
                f"| {distance_m} | {x:.0f} | {y:.0f} | {np.hypot(x, y):.0f} | {told} |", flush=True
            )


if __name__ == "__main__":
    main()
