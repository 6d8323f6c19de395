"""With which sample maps are compared: where the scan sees it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import switched
from forward.motion import Motion
from inverse.recipe import Recipe
from inverse.recover import recover
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList
from validation.laboratory import compared_sample, displaced, laboratory
from validation.metrics import lattice_metrics
from validation.steps import known_truth, simulate
from validation.truthfile import KnownTruth
from xrdct.instrument import Geometry
from xrdct.scan import Scan


def experiment(motion: Motion) -> Experiment:
    """Two particles of 13 mÅ from core to surface, without noise, in stages of that ``motion``."""
    law = {"core": 0.98, "surface": 0.85}
    particles = (
        Particle(centre_um=(-5.0, -3.0, 0.5), diameter_um=11.0, x=law),
        Particle(centre_um=(5.0, 4.0, -1.0), diameter_um=8.0, x=law),
    )
    return switched(
        Experiment.model_validate(
            {
                "sample": ParticleList(particles=particles),
                "scan": Scan(n_offsets=31, step_um=1.0, n_angles=60),
                "geometry": Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
                "motion": motion,
                "seed": 5,
            }
        ),
        noise=False, grains=False, parallax=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("phase_deg", "rows", "columns"), [(0.0, -2, 0), (180.0, 2, 0), (90.0, 0, -2), (-90.0, 0, 2)]
)
def test_a_run_out_of_whole_pixels_moves_the_truth_by_as_many(phase_deg, rows, columns):
    # Closed form: a run-out w·sin(ω + φ) is a sample displaced by −w·(sin φ, cos φ). To the
    # rounding of places of particles: a sub-point on a border may fall to either side.
    still = known_truth(laboratory(experiment(Motion())))
    moved = known_truth(laboratory(experiment(Motion(wobble_um=2.0, wobble_phase_deg=phase_deg))))
    expected = np.roll(still.a_A, (rows, columns), axis=(0, 1))
    np.testing.assert_allclose(moved.a_A, expected, rtol=0.0, atol=2e-5)
    np.testing.assert_array_equal(moved.interior, np.roll(still.interior, (rows, columns), (0, 1)))


def test_maps_of_a_run_out_are_as_good_as_without():
    # Law: no scan can tell a run-out once per turn from a displaced sample, so that it costs a
    # noise-free map nothing, over 180° or otherwise. Compared with the sample where it was set
    # down, 0.4 µm away, with 2.4 and 3.3 mÅ per µm, errors would be of a milliångström.
    rms_A = {}
    for wobble_um in (0.0, 0.4):
        made = simulate(experiment(Motion(wobble_um=wobble_um, wobble_phase_deg=40.0)))
        recipe = Recipe.model_validate(made.raw.recipe)
        maps = recover(made.raw, others={}, recipe=recipe)
        rms_A[wobble_um] = lattice_metrics(maps, made.truth)["eroded"]["rms_A"]
        if wobble_um:
            unmoved = known_truth(laboratory(experiment(Motion())))
            wrong_A = lattice_metrics(maps, unmoved)["eroded"]["rms_A"]
    # Pixels lie elsewhere in the particles, which changes what blur does to them by a tenth.
    assert rms_A[0.4] == pytest.approx(rms_A[0.0], rel=0.2)
    assert wrong_A > rms_A[0.4] + 0.2e-3


def test_stages_that_are_switched_off_displace_nothing():
    made = switched(experiment(Motion(wobble_um=2.0)), motion=False)
    lab = laboratory(made)
    assert compared_sample(lab) is lab.sample


def test_the_truth_of_a_finer_grid_is_displaced_alike():
    # Law: a mean over 2 × 2 pixels of half the edge is that of the pixel, where they are full.
    given = experiment(Motion(wobble_um=0.7, wobble_phase_deg=25.0))
    truth = known_truth(laboratory(given))
    finer = given.scan.model_copy(update={"n_offsets": 62, "step_um": 0.5})
    fine = KnownTruth(truth, given, {}).on_grid_of(finer)
    mean_A = fine.a_A.reshape(31, 2, 31, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(mean_A[truth.eroded], truth.a_A[truth.eroded], rtol=0.0, atol=1e-4)


def test_particles_are_displaced_in_the_plane_alone():
    sample = laboratory(experiment(Motion())).sample
    moved = displaced(sample, 0.3, -0.2)
    np.testing.assert_allclose(
        moved.centres_um - sample.centres_um, np.tile([0.3, -0.2, 0.0], (2, 1)), atol=1e-12
    )
    assert moved.z_um == sample.z_um
    assert moved.crystals == sample.crystals
