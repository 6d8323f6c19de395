"""Patterns of frames on disk keep company with those of the further scans."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inverse.frame_patterns import patterns_of_frames
from inverse.maps import read_maps
from inverse.recipe import Calibration, Profile, Recipe
from inverse.recover import recover
from validation.cli import app
from validation.experiment import load_experiment, load_recipe
from validation.frame_files import write_frames
from validation.integrated_files import chosen_recipe, frames_beside, write_integrated
from validation.laboratory import laboratory
from xrdct.errors import InputError
from xrdct.framefile import read_frame_scan
from xrdct.rawfile import linked_scans, read_raw_scan

TOML = Path(__file__).parent / "data" / "tiny_frames.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames of the tiny experiment and its coarse scan; its calibration is given."""
    experiment = load_experiment(TOML)
    truth = laboratory(experiment).instrument.geometry
    calibration = Calibration(profile=Profile(), distance_m=truth.distance_m, geometry=truth)
    recipe = experiment.recipe.model_copy(update={"calibration": calibration})
    path = tmp_path_factory.mktemp("integrated")
    write_frames(experiment.model_copy(update={"recipe": recipe}), path / "frames.h5")
    return path


def invoked(*command):
    return CliRunner().invoke(app, [*map(str, command)])


def test_integrated_frames_link_to_their_further_scans(folder, tmp_path):
    # Law: integrating and recovering in two steps is recovering the frames, coarse scan and all.
    steps = tmp_path / "coarse.toml"
    steps.write_text("[truncation]\nmethod = 'coarse'\n[reconstruction]\nfilter = 'hann'\n")
    patterns, maps = tmp_path / "patterns.h5", tmp_path / "maps.h5"
    told = invoked("integrate", folder / "frames.h5", "-o", patterns, "--recipe", steps)
    assert told.exit_code == 0, told.output
    assert str(tmp_path / "patterns_coarse.h5") in told.output
    assert linked_scans(patterns) == ["coarse"]
    coarse = read_raw_scan(patterns, name="coarse")
    frames = read_frame_scan(folder / "frames_coarse.h5")
    expected = patterns_of_frames(frames, recipe=chosen_recipe(frames, load_recipe(steps)))
    np.testing.assert_array_equal(coarse.counts, expected.counts)
    two = invoked("recover", patterns, "-o", maps, "--recipe", steps, "-q")
    assert two.exit_code == 0, two.output
    one = invoked("recover", folder / "frames.h5", "-o", tmp_path / "at_once.h5", "--recipe", steps)
    assert one.exit_code == 0, one.output
    found, at_once = read_maps(maps), read_maps(tmp_path / "at_once.h5")
    np.testing.assert_array_equal(found.a_A, at_once.a_A)
    assert np.isfinite(found.a_A).any()
    assert found.recipe.truncation.method == "coarse"


def test_patterns_that_are_there_are_linked_as_they_are(folder, tmp_path):
    # Definition: the same frames by the same recipe are not integrated again; others are refused.
    path = tmp_path / "patterns.h5"
    _, linked = write_integrated(folder / "frames.h5", path)
    assert linked == {"coarse": tmp_path / "patterns_coarse.h5"}
    before = linked["coarse"].stat()
    path.unlink()
    write_integrated(folder / "frames.h5", path)
    after = linked["coarse"].stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    other = Recipe.model_validate({"integration": {"method": "mean"}})
    with pytest.raises(InputError, match=r"patterns_coarse\.h5 already exists"):
        write_integrated(folder / "frames.h5", path, other)
    write_integrated(folder / "frames.h5", path, other, force=True)
    for name in ("main", "coarse"):
        recipe = Recipe.model_validate(read_raw_scan(path, name=name).recipe)
        assert recipe.integration.method == "mean"
        assert recipe.calibration is not None


def test_only_frames_of_the_experiment_count(folder, tmp_path):
    # Definition: neither patterns beside them, nor frames of another experiment.
    for name in ("frames.h5", "frames_coarse.h5", "frames_coarse.poni", "frames.poni"):
        shutil.copy(folder / name, tmp_path / name)
    for name in ("frames_frames", "frames_coarse_frames"):
        shutil.copytree(folder / name, tmp_path / name)
    assert frames_beside(tmp_path / "frames.h5") == {"coarse": tmp_path / "frames_coarse.h5"}
    write_integrated(tmp_path / "frames.h5", tmp_path / "frames_patterns.h5")
    assert set(frames_beside(tmp_path / "frames.h5")) == {"coarse"}
    experiment = load_experiment(TOML, seed=8)
    alone = experiment.model_copy(update={"scan": experiment.scans["coarse"], "scans": {}})
    stranger = alone.model_copy(update={"recipe": Recipe(calibration=Calibration(distance_m=0.2))})
    write_frames(stranger, tmp_path / "frames_broad.h5")
    assert set(frames_beside(tmp_path / "frames.h5")) == {"coarse"}
    assert frames_beside(tmp_path / "frames_coarse.h5") == {}
    raw = read_raw_scan(tmp_path / "frames_patterns.h5")
    assert np.isfinite(recover(raw).a_A).any()
