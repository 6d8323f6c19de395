"""The experiment of `roi.toml`, written in Python: the operando scan inside a 1 mm electrode."""

from forward.flux import BeamDecay
from forward.instrument import Unknowns
from forward.motion import Motion
from inverse.integration import Integration
from inverse.recipe import FixedPhase, Recipe
from phantoms.cell import Cell
from phantoms.library import Electrode
from validation.experiment import Experiment
from xrdct.instrument import Beam, Geometry
from xrdct.scan import SCAN_PRESETS

experiment = Experiment(
    name="roi",
    seed=1,
    sample=Electrode(grain_um=0.2),  # 1 mm, half of it particles of 1.5 to 20 µm
    cell=Cell(tilt_mrad=3.0),
    beam=Beam(flux_per_s=1e11),
    geometry=Geometry(distance_m=0.7),
    scan=SCAN_PRESETS["roi"].model_copy(update={"order": "zigzag", "line_gap_s": 0.1}),
    scans={"coarse": SCAN_PRESETS["coarse"], "broad": SCAN_PRESETS["broad"]},
    unknowns=Unknowns(
        b_iso_factor=(0.8, 1.2),
        air_factor=(0.5, 2.0),
        bandwidth_factor=(0.8, 1.25),
        divergence_factor=(0.8, 1.25),
        distance_ppm=(-200.0, 200.0),
        tail_fraction=(0.01, 0.03),
        tail_um=(8.0, 15.0),
    ),
    motion=Motion(jitter_um=0.05, encoder_noise_um=0.01, wobble_um=0.05),
    flux=BeamDecay(decay_per_h=0.02, refill_h=1.0, flicker_rms=0.002, monitor_efficiency=1e-4),
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

    simulated = simulate(experiment)
    maps = recover(simulated.raw)
    for region, figures in lattice_metrics(maps, simulated.truth).items():
        print(f"{region}: {figures['n_voxels']} voxels, RMS {figures['rms_A'] * 1e3:.3f} mÅ")
