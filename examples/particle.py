"""The experiment of `particle.toml`, written in Python: one particle of interest, all in view."""

from forward.instrument import Unknowns
from inverse.recipe import FixedPhase, Recipe
from phantoms.particle import Particle, RadialLaw, Shell
from validation.experiment import Experiment, ParticleList
from xrdct.instrument import Beam
from xrdct.scan import Scan

particle_of_interest = Particle(  # 24 mÅ from core to surface
    centre_um=(0.0, 0.0, 0.0),
    diameter_um=24.0,
    x=RadialLaw(core=0.98, surface=0.85),
    shells=(Shell(phase="Li2MnO3", thickness_um=1.5, weight_fraction=0.04),),
    porosity=0.05,
    crystallite_size_nm=200.0,
    strain=5e-4,
)
neighbours = (
    Particle(
        centre_um=(21.0, 4.0, 1.0),
        diameter_um=16.0,
        x=RadialLaw(core=0.88, surface=0.98),
        strain=5e-4,
    ),
    Particle(  # Li-rich: a single phase over its whole range
        centre_um=(-19.0, 9.0, -2.0),
        diameter_um=14.0,
        x=RadialLaw(core=0.70, surface=0.60),
        y=RadialLaw(core=0.05, surface=0.10),
        strain=5e-4,
    ),
    # inside the first two-phase window: two lattices
    Particle(centre_um=(-8.0, -22.0, 0.0), diameter_um=12.0, x=0.35, strain=5e-4),
    Particle(centre_um=(9.0, 23.0, 0.0), diameter_um=15.0, x=0.95, strain=5e-4),
    Particle(
        centre_um=(16.0, -17.0, 2.0),
        diameter_um=13.0,
        x=RadialLaw(core=0.80, surface=0.90),
        strain=5e-4,
    ),
    Particle(centre_um=(-14.0, 23.0, 1.0), diameter_um=9.0, x=0.58, strain=5e-4),
)
experiment = Experiment(
    name="particle",
    seed=1,
    sample=ParticleList(particles=(particle_of_interest, *neighbours)),
    beam=Beam(flux_per_s=1e11),
    scan=Scan(n_offsets=81, step_um=1.0, n_angles=180, exposure_s=0.01),
    unknowns=Unknowns(  # the truth is drawn from these ranges; the recipe does not know them
        b_iso_factor=(0.8, 1.2),
        air_factor=(0.5, 2.0),
        bandwidth_factor=(0.8, 1.25),
        divergence_factor=(0.8, 1.25),
        distance_ppm=(-200.0, 200.0),
    ),
    recipe=Recipe(fixed_phases=(FixedPhase(crystal="Li2MnO3"),)),
)

if __name__ == "__main__":
    from inverse.recover import recover
    from validation.metrics import lattice_metrics
    from validation.steps import simulate

    simulated = simulate(experiment)
    maps = recover(simulated.raw)
    for region, figures in lattice_metrics(maps, simulated.truth).items():
        print(f"{region}: {figures['n_voxels']} voxels, RMS {figures['rms_A'] * 1e3:.3f} mÅ")
