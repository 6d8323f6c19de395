"""Interlaced scans from experiment to scorecard: maps of half the step, and what they gain."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from forward.settings import Effects
from inverse.chain import prepared_sinogram
from inverse.interlace import half_step_scan
from inverse.maps import read_maps
from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.volume import volume_of
from phantoms.library import Electrode
from phantoms.particle import Particle
from validation.cli import app
from validation.edge import disc_edge
from validation.experiment import Experiment, ParticleList
from validation.metrics import lattice_metrics
from validation.steps import simulate
from validation.truthfile import KnownTruth, read_truth
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

CLEAN = Effects(noise=False, parallax=False, diffuse=False, exit_path=False, grains=False)
CHANNELS = Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0)
FULL_TURN = Scan(n_offsets=51, step_um=1.0, n_angles=254, angle_range_deg=360.0)
CENTRE_UM, RADIUS_UM, BEAM_UM = (1.3, -0.7), 18.0, 0.5


def interlaced(scan):
    return scan.model_copy(update={"interlaced": True})


def line_spread_um(step_um, *, smoothed):
    """FWHM of ∫ H(f)·cos(2πfx) df, H being what filtered back projection shows of a wave.

    As in tests/test_validation_edge.py, with a Gaussian beam. Where rays of two projections
    alternate, 2·step apart each, waves of about 1/(2·step) are lost to the Gaussian that smooths
    their difference.
    """
    f = np.arange(0.5, 20_000.0) * 2e-4
    beam = np.exp(-((np.pi * BEAM_UM * f) ** 2) / (4.0 * np.log(2.0)))
    folded = np.abs(f - np.rint(f * step_um) / step_um)
    transfer = beam * folded / f * np.sinc(f * step_um) ** 2
    if smoothed:
        transfer *= 1.0 - np.exp(-2.0 * (np.pi * (2.0 * step_um * f - 1.0)) ** 2)
    x = np.linspace(0.0, 3.0, 601)
    spread = np.array([np.sum(transfer * np.cos(2.0 * np.pi * f * place)) for place in x])
    return float(2.0 * np.interp(-0.5, -spread / spread[0], x))


def disc_fwhm(scan):
    """The edge of a ball's middle slice, of all channels together."""
    experiment = Experiment(
        sample=ParticleList(
            particles=(Particle(centre_um=(*CENTRE_UM, 0.0), diameter_um=2 * RADIUS_UM, x=0.9),)
        ),
        scan=scan, geometry=CHANNELS, effects=CLEAN, beam=Beam(width_um=BEAM_UM, height_um=0.5),
    )  # fmt: skip
    raw = simulate(experiment).raw
    recipe = Recipe.model_validate(raw.recipe)
    sinogram = prepared_sinogram(raw, others={}, recipe=recipe)
    n_offsets = half_step_scan(scan).n_offsets
    images = volume_of(sinogram, recipe=recipe, n_offsets=n_offsets, beam_fwhm_um=BEAM_UM).values
    return disc_edge(
        np.where(np.isfinite(images[..., 0]), np.nansum(images, axis=2), np.nan),
        step_um=sinogram.step_um, centre_um=CENTRE_UM, radius_um=RADIUS_UM, reach_um=4.0,
    )  # fmt: skip


def test_edges_are_as_sharp_as_theory_says():
    # Closed form: the transfer functions of whole and of half steps. Within five of the standard
    # uncertainties that twelve sectors of the edge tell; of what theory says is gained, half.
    plain, halves = disc_fwhm(FULL_TURN), disc_fwhm(interlaced(FULL_TURN))
    expected = line_spread_um(1.0, smoothed=False), line_spread_um(0.5, smoothed=True)
    assert abs(plain.fwhm_um - expected[0]) < 5.0 * plain.fwhm_esd_um
    assert abs(halves.fwhm_um - expected[1]) < 5.0 * halves.fwhm_esd_um
    assert plain.fwhm_um - halves.fwhm_um > 0.5 * (expected[0] - expected[1])


def electrode(scan, *, effects=CLEAN, geometry=CHANNELS):
    return Experiment(
        sample=Electrode(diameter_um=34.0, volume_fraction=0.35), scan=scan, geometry=geometry,
        effects=effects, beam=Beam(width_um=BEAM_UM, height_um=0.5), seed=412,
    )  # fmt: skip


def recovered(scan, *, effects=CLEAN, geometry=CHANNELS, **sections):
    simulated = simulate(electrode(scan, effects=effects, geometry=geometry))
    recipe = Recipe.model_validate(dict(simulated.raw.recipe) | sections)
    return simulated, recover(simulated.raw, recipe=recipe)


WHOLE_STEPS = Scan(n_offsets=41, step_um=1.0, n_angles=130, angle_range_deg=360.0)
HALF_STEPS = Scan(n_offsets=81, step_um=0.5, n_angles=65)


def test_lattice_parameters_are_those_of_a_scan_of_half_the_step():
    # Independent: the scan that does take half steps, over 180°, with as many rays. Without
    # parallax it sees what the merged one does, but for what the Gaussian takes of waves of about a
    # step: K = exp(−2π²g²) at g = 1 − f, of f from ½ to 1 in all. What whole steps lose in the
    # lattice parameter is missing by √(∫K²dg/½) = 0.53 at most.
    (_, plain), (simulated, merged), (_, halves) = (
        recovered(scan) for scan in (WHOLE_STEPS, interlaced(WHOLE_STEPS), HALF_STEPS)
    )
    assert merged.scan.offsets_um == pytest.approx(halves.scan.offsets_um)
    whole = (slice(None, None, 2),) * 2  # these pixels are where those of whole steps are
    judged = simulated.truth.eroded[whole] & np.isfinite(plain.a_A)
    lost, missing = (maps - halves.a_A[whole] for maps in (plain.a_A, merged.a_A[whole]))
    assert judged.sum() > 80
    assert np.std(missing[judged]) < 0.53 * np.std(lost[judged])


LESS_BLUR = (BEAM_UM**2 / 5.55 + 1.0 / 48.0) / (BEAM_UM**2 / 5.55 + 1.0 / 12.0)
"""By which gradients are less off with half the step: they are off by the variance of the blur, of
beam (w²/5.55) and interpolation (h²/6), less that of the pixel over which the truth is a mean
(h²/12). 0.51 here; terms of fourth order may raise it by a fifth."""


def test_lattice_errors_shrink_with_the_blur():
    # Law: the ratio above, for an electrode that is wholly in view: outer matter would streak.
    figures = []
    for scan in (WHOLE_STEPS, interlaced(WHOLE_STEPS)):
        simulated, maps = recovered(scan)
        figures.append(lattice_metrics(maps, simulated.truth)["eroded"])
    assert figures[1]["n_voxels"] > 4 * figures[0]["n_voxels"]
    assert figures[1]["rms_A"] < 1.2 * LESS_BLUR * figures[0]["rms_A"]


@pytest.mark.parametrize(
    "made",
    [
        {"method": "cgls", "iterations": 12},
        {"compress": True},
        {"order": "refine-first"},
        {"method": "direct"},
    ],
)
def test_every_method_takes_half_steps(made):
    # Truth: the planted lattice parameters; 3 mÅ is a sixth of a channel.
    scan = interlaced(Scan(n_offsets=31, step_um=1.2, n_angles=58, angle_range_deg=360.0))
    simulated, maps = recovered(
        scan, effects=Effects(), reconstruction=made, direct={"n_iterations": 12},
        refine_shared=False,
    )  # fmt: skip
    assert maps.scan == half_step_scan(scan)
    figures = lattice_metrics(maps, simulated.truth)["eroded"]
    assert figures["n_voxels"] > 200
    assert figures["rms_A"] < 3e-3


def test_parallax_goes_with_the_merging_of_opposites():
    # Law: seen from the front and from behind it is opposite, as in any scan of 360°; uncorrected,
    # a scan of 180° shows 2/π of it. Near by, at 0.1 m, 15 µm move the lattice parameter by 1.2 mÅ.
    # Of waves of five steps and longer the Gaussian takes more than half off what alternates.
    near_by = CHANNELS.model_copy(update={"distance_m": 0.1})
    change = []
    for scan in (interlaced(WHOLE_STEPS), HALF_STEPS):
        (simulated, without), (_, shown) = (
            recovered(scan, geometry=near_by, effects=CLEAN.model_copy(update={"parallax": there}))
            for there in (False, True)
        )
        judged = simulated.truth.eroded
        change.append(np.nanstd((shown.a_A - without.a_A)[judged]))
    assert change[0] < 0.5 * change[1]


def test_half_a_turn_is_merged_from_neighbours():
    # Law: near the axis, where neighbouring projections show the same, errors shrink as they do
    # over 360°, as far as they differ from voxel to voxel.
    errors = []
    for scan in (WHOLE_STEPS, interlaced(WHOLE_STEPS)):
        half_turn = scan.model_copy(update={"angle_range_deg": 180.0})
        simulated, maps = recovered(half_turn)
        offsets = maps.scan.offsets_um
        near = np.hypot(offsets, offsets[:, None]) < 12.0
        judged = near & simulated.truth.eroded & np.isfinite(maps.a_A)
        errors.append(np.std((maps.a_A - simulated.truth.a_A)[judged]))
    assert errors[1] < 1.2 * LESS_BLUR * errors[0]


TOML = """
name = "interlaced"
seed = 413
[scan]
n_offsets = 15
step_um = 1.0
n_angles = 26
angle_range_deg = 360.0
interlaced = true
[geometry]
two_theta_min_deg = 2.5
two_theta_max_deg = 9.0
n_channels = 128
[[sample.particles]]
centre_um = [-1.0, 0.5, 0.0]
diameter_um = 8.0
x = { core = 0.98, surface = 0.85 }
"""


def invoked(*command):
    result = CliRunner().invoke(app, [*map(str, command), "-q"])
    assert result.exit_code == 0, result.output


def test_the_commands_know_interlaced_scans(tmp_path):
    # Law: the run is the chain of its steps. The truth is on the grid of the maps; points and beam
    # time are those that were measured.
    toml = tmp_path / "interlaced.toml"
    toml.write_text(TOML)
    invoked("run", toml, "-o", tmp_path / "run")
    invoked("simulate", toml, "-o", tmp_path / "scan.h5", "--truth", tmp_path / "truth.h5")
    invoked("recover", tmp_path / "scan.h5", "-o", tmp_path / "maps.h5")
    invoked("validate", tmp_path / "maps.h5", tmp_path / "truth.h5", "-o", tmp_path / "scored")
    one, other = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "scored")
    )
    assert one["lattice"] == other["lattice"]
    assert one["scan"]["n_points"] == 15 * 26
    assert one["lattice"]["LiMn2O4"]["eroded"]["n_voxels"] > 50
    maps, known = read_maps(tmp_path / "maps.h5"), read_truth(tmp_path / "truth.h5")
    assert (maps.scan.n_offsets, maps.scan.step_um, maps.scan.interlaced) == (29, 0.5, False)
    assert known.on_grid_of(maps.scan) is known.truth
    assert known.measured_as(maps.scan) == known.experiment.scan
    assert (tmp_path / "run" / "report.html").exists()


def test_a_truth_on_another_grid_is_drawn_anew():
    # Definition.
    scan = Scan(n_offsets=9, step_um=2.0, n_angles=10)
    expected = simulate(electrode(interlaced(scan))).truth.a_A
    stored = simulate(electrode(scan)).truth
    known = KnownTruth(stored, electrode(interlaced(scan)), {})
    np.testing.assert_array_equal(known.on_grid_of(half_step_scan(interlaced(scan))).a_A, expected)
