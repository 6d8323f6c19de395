"""The experiment of `roi.toml`, written in Python: the operando scan inside a 1 mm electrode."""

from forward.instrument import Unknowns
from inverse.recipe import FixedPhase, Recipe
from phantoms.library import Electrode
from validation.experiment import Experiment
from xrdct.instrument import Beam, Geometry
from xrdct.scan import SCAN_PRESETS

experiment = Experiment(
    name="roi",
    seed=1,
    sample=Electrode(),  # 1 mm, half of it particles of 1.5 to 20 µm
    beam=Beam(flux_per_s=1e11),
    geometry=Geometry(distance_m=0.7),
    scan=SCAN_PRESETS["roi"],
    scans={"coarse": SCAN_PRESETS["coarse"], "broad": SCAN_PRESETS["broad"]},
    unknowns=Unknowns(
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
