"""The experiment of `frames.toml`, written in Python: photons on pixels, with all effects on."""

from forward.faults import DetectorFaults
from forward.flux import BeamDecay
from forward.instrument import Unknowns
from forward.motion import Motion
from inverse.integration import Integration
from inverse.recipe import FixedPhase, Recipe
from phantoms.cell import Cell
from phantoms.operando import Operando
from phantoms.particle import Particle, RadialLaw, Shell
from validation.experiment import Experiment, ParticleList
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan


def ball(**given: object) -> Particle:
    """Return a particle of crystallites of 100 nm that are counted one by one."""
    powder = {"crystallite_size_nm": 100.0, "grain_um": 0.1, "strain": 5e-4}
    return Particle.model_validate(powder | given)


PARTICLES = (
    ball(
        centre_um=(0.0, 0.0, 0.0),
        diameter_um=24.0,
        x=RadialLaw(core=0.98, surface=0.85),
        shells=(Shell(phase="Li2MnO3", thickness_um=1.5, weight_fraction=0.04),),
        porosity=0.05,
    ),
    ball(centre_um=(19.5, 4.0, 1.0), diameter_um=14.0, x=RadialLaw(core=0.88, surface=0.98)),
    ball(
        centre_um=(-18.0, 8.0, -2.0),
        diameter_um=14.0,
        x=RadialLaw(core=0.70, surface=0.60),
        y=RadialLaw(core=0.05, surface=0.10),
    ),
    ball(centre_um=(-2.0, -18.5, 0.5), diameter_um=12.0, x=0.95),
)

experiment = Experiment(
    name="frames",
    seed=1,
    mode="frames",
    sample=ParticleList(particles=PARTICLES),
    beam=Beam(flux_per_s=1e12),
    geometry=Geometry(distance_m=0.7),
    scan=Scan(
        n_offsets=41, step_um=1.5, n_angles=41, exposure_s=0.01, line_gap_s=0.1, order="zigzag"
    ),
    cell=Cell(tilt_mrad=5.0),
    unknowns=Unknowns(
        b_iso_factor=(0.8, 1.2),
        air_factor=(0.5, 2.0),
        bandwidth_factor=(0.8, 1.25),
        divergence_factor=(0.8, 1.25),
        distance_ppm=(-200.0, 200.0),
        centre1_px=(-3.0, 3.0),
        centre2_px=(-3.0, 3.0),
        tilt1_mrad=(-3.0, 3.0),
        tilt2_mrad=(-3.0, 3.0),
        tail_fraction=(0.01, 0.03),
        tail_um=(8.0, 15.0),
    ),
    motion=Motion(
        jitter_um=0.05,
        encoder_noise_um=0.01,
        axis_offset_um=0.2,
        wobble_um=0.05,
        rotation_error_mrad=0.1,
    ),
    flux=BeamDecay(decay_per_h=0.02, refill_h=1.0, flicker_rms=0.002, monitor_efficiency=1e-4),
    operando=Operando(filled_change_per_h=0.02),
    faults=DetectorFaults(
        flat_rms=0.02,
        flat_residual_rms=0.003,
        n_known_dead=60,
        n_unknown_dead=5,
        n_hot=20,
        hot_per_s=1e4,
        zinger_per_s=5.0,
        dead_time_ns=160.0,
        corrected_dead_time_ns=150.0,
    ),
    recipe=Recipe(
        fixed_phases=(FixedPhase(crystal="Li2MnO3"),),
        n_background=12,
        integration=Integration(method="trimmed_5_5"),
    ),
)

if __name__ == "__main__":
    from inverse.recover import recover
    from validation.metrics import lattice_metrics
    from validation.steps import simulate

    simulated = simulate(experiment)  # frames are made, integrated, and let go
    maps = recover(simulated.raw)
    for region, figures in lattice_metrics(maps, simulated.truth).items():
        print(f"{region}: {figures['n_voxels']} voxels, RMS {figures['rms_A'] * 1e3:.3f} mÅ")
