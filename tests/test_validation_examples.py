"""Every example is there twice, as a file and as Python, and both mean the same experiment."""

import runpy
from pathlib import Path

import pytest

from validation.experiment import load_experiment
from validation.feasible import check_one_plane

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.toml"))


def from_python(name):
    # Run as a module, not as a script: the part that simulates stays asleep.
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="example")["experiment"]


def test_particle_and_roi_are_there_in_both_forms():
    assert {"particle", "roi"} <= set(NAMES)
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_toml_and_python_load_equal(name):
    # Truth: the other form of the same example. `folder` only says where CIF files lie.
    loaded = load_experiment(EXAMPLES / f"{name}.toml")
    written = from_python(name)
    assert written.model_copy(update={"folder": loaded.folder}) == loaded
    assert written.config_sha256() == loaded.config_sha256()


@pytest.mark.parametrize("name", NAMES)
def test_python_example_passes_the_checks_of_the_loader(name):
    experiment = from_python(name)
    experiment.check()
    check_one_plane(experiment.all_scans())


def test_roi_is_the_operando_scan_of_the_study():
    # Published: 351 × 350 points of 1 µm, coarse 81 × 20 µm × 81, broad 81 × 50 µm × 80, over 180°,
    # 10 ms a point; D = 0.7 m and 1e11 ph/s are this project's choice.
    experiment = load_experiment(EXAMPLES / "roi.toml")
    scans = (experiment.scan, experiment.scans["coarse"], experiment.scans["broad"])
    assert [(s.n_offsets, s.step_um, s.n_angles) for s in scans] == [
        (351, 1.0, 350),
        (81, 20.0, 81),
        (81, 50.0, 80),
    ]
    assert {(s.angle_range_deg, s.exposure_s) for s in scans} == {(180.0, 0.01)}
    assert (experiment.geometry.distance_m, experiment.beam.flux_per_s) == (0.7, 1e11)
    assert experiment.sample.diameter_um == 1000.0
    assert experiment.geometry.n_channels >= 1000


def test_particle_is_all_in_view():
    # Whole sample in view: no material beyond the circle that every projection sees.
    experiment = load_experiment(EXAMPLES / "particle.toml")
    field_um = (experiment.scan.n_offsets - 1) * experiment.scan.step_um
    assert experiment.build_sample().diameter_um <= field_um
