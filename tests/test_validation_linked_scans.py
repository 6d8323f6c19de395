"""Further scans of an experiment on their way to the recipe that uses them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import validation.run as run_module
from inverse.maps import read_maps
from inverse.recipe import Recipe
from inverse.recover import recover
from validation.cli import app
from validation.experiment import load_experiment, load_recipe
from validation.run import read_others, run
from validation.steps import simulate
from xrdct.errors import InputError

TINY = Path(__file__).parent / "data" / "tiny.toml"
MAPS = ("a_A", "a_esd_noise_A", "volume_fraction", "volume_fraction_esd_noise", "chi2_reduced")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A run of the smallest experiment by a recipe that uses its coarse scan."""
    folder = tmp_path_factory.mktemp("tiny")
    path = folder / "coarse.toml"
    path.write_text(
        "fixed_phases = [{ crystal = 'Li2MnO3' }]\n"
        "[sinogram]\nregrid = true\n[truncation]\nmethod = 'coarse'\n"
    )
    experiment = load_experiment(TINY)
    run(experiment, folder / "out", recipe=load_recipe(path), workers=1)
    return experiment, path, folder / "out"


def assert_same_maps(one, other):
    assert one.recipe == other.recipe
    for name in (*MAPS, "status"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_run_hands_on_the_linked_scans(tiny):
    # Law: the run is the chain of its steps.
    experiment, path, folder = tiny
    simulated = simulate(experiment, workers=1)
    stored = Recipe.model_validate(simulated.raw.recipe)
    wanted = load_recipe(path).model_copy(update={"calibration": stored.calibration})
    assert_same_maps(
        read_maps(folder / "maps.h5"),
        recover(simulated.raw, others=simulated.others, recipe=wanted),
    )


def test_the_command_reads_the_linked_scans(tiny, tmp_path):
    _, path, folder = tiny
    maps = tmp_path / "maps.h5"
    command = ["recover", str(folder / "scan.h5"), "-o", str(maps), "--recipe", str(path), "-q"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert_same_maps(read_maps(maps), read_maps(folder / "maps.h5"))


def test_scans_are_read_only_where_they_are_used(tiny):
    _, path, folder = tiny
    assert list(read_others(folder / "scan.h5", load_recipe(path))) == ["coarse"]
    assert read_others(folder / "scan.h5", Recipe()) == {}


def test_scans_of_frames_are_looked_for_beside(tiny, monkeypatch, tmp_path):
    # Frames of other scans are not linked: they are found by name, if of the same experiment.
    _, path, _ = tiny
    hashes = {"frames.h5": "a", "frames_coarse.h5": "a"}
    monkeypatch.setattr(run_module, "is_frame_scan", lambda _: True)
    monkeypatch.setattr(
        run_module, "read_frame_scan", lambda p: SimpleNamespace(experiment_hash=hashes[p.name])
    )
    monkeypatch.setattr(run_module, "integrated_frames", lambda p, *_, **__: p.name)
    master = tmp_path / "frames.h5"
    assert read_others(master, load_recipe(path)) == {}
    (tmp_path / "frames_coarse.h5").touch()
    assert read_others(master, load_recipe(path)) == {"coarse": "frames_coarse.h5"}
    hashes["frames_coarse.h5"] = "b"
    with pytest.raises(InputError, match=r"frames_coarse.h5 belongs to another experiment"):
        read_others(master, load_recipe(path))
