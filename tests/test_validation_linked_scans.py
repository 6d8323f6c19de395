"""Further scans of an experiment on their way to the recipe that uses them."""

from dataclasses import replace
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
from validation.linked_files import check_same_instrument, named_files
from validation.run import read_others, run
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.rawfile import read_raw_scan, write_raw_scan

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


@pytest.fixture(scope="module")
def second(tiny, tmp_path_factory):
    """The same sample and noise as another experiment, whose own coarse scan is gone."""
    experiment, path, _ = tiny
    folder = tmp_path_factory.mktemp("second")
    again = experiment.model_copy(update={"name": "second"})
    run(again, folder / "out", recipe=load_recipe(path), workers=1)
    maps = read_maps(folder / "out" / "maps.h5")
    (folder / "out" / "scan_coarse.h5").unlink()
    return folder / "out" / "scan.h5", maps


def recovered(scan, recipe, output, *more):
    command = ["recover", scan, "-o", output, "--recipe", recipe, "-q", "--force", *more]
    return CliRunner().invoke(app, [str(word) for word in command])


def test_a_named_scan_of_another_experiment_does_as_well_as_the_own(tiny, second, tmp_path):
    # Law: the same counts give the same maps, number for number, whatever experiment says it is of.
    _, path, first = tiny
    scan, own = second
    maps = tmp_path / "maps.h5"
    result = recovered(scan, path, maps, "--linked", f"coarse={first / 'scan_coarse.h5'}")
    assert result.exit_code == 0, result.output
    assert_same_maps(read_maps(maps), own)
    # It is what was named that is used: twice the counts outside change what is inside.
    coarse = read_raw_scan(first / "scan_coarse.h5")
    write_raw_scan(replace(coarse, counts=2 * coarse.counts), tmp_path / "twice.h5")
    result = recovered(scan, path, maps, "--linked", f"coarse={tmp_path / 'twice.h5'}")
    assert result.exit_code == 0, result.output
    known = np.isfinite(own.volume_fraction)
    assert (read_maps(maps).volume_fraction[known] != own.volume_fraction[known]).any()
    # Unless named, a scan of another experiment is refused, also where the link leads to it.
    (scan.parent / "scan_coarse.h5").write_bytes((first / "scan_coarse.h5").read_bytes())
    result = recovered(scan, path, maps)
    assert "belongs to another experiment" in str(result.exception)
    (scan.parent / "scan_coarse.h5").unlink()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("coarse", "--linked is coarse=FILE or broad=FILE, not 'coarse'"),
        ("fine=x.h5", "--linked is coarse=FILE or broad=FILE, not 'fine=x.h5'"),
        ("coarse=x.h5", "x.h5 does not exist or is not a file"),
        ("broad=x.h5", "--linked broad=x.h5: of linked scans the recipe uses coarse (see "),
    ],
)
def test_what_cannot_be_linked_is_refused(tiny, tmp_path, given, sentence):
    _, path, folder = tiny
    result = recovered(folder / "scan.h5", path, tmp_path / "maps.h5", "--linked", given)
    assert isinstance(result.exception, InputError)
    assert sentence in str(result.exception)


def test_a_name_is_given_once():
    with pytest.raises(InputError, match=r"coarse twice: a\.h5 and b\.h5"):
        named_files(["coarse=a.h5", "broad=c.h5", "coarse=b.h5"])


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("geometry", {"distance_m": 0.8}),
        ("geometry", {"two_theta_min_deg": 3.0}),
        ("geometry", {"two_theta_max_deg": 8.0}),
        ("beam", {"energy_keV": 45.0}),
        ("detector", {"threshold_keV": 20.0}),
    ],
)
def test_a_scan_of_another_instrument_is_refused(tiny, tmp_path, section, change):
    _, path, folder = tiny
    coarse = read_raw_scan(folder / "scan_coarse.h5")
    (name, value), own = *change.items(), getattr(coarse, section)
    write_raw_scan(replace(coarse, **{section: own.model_copy(update=change)}), tmp_path / "x.h5")
    given = f"coarse={tmp_path / 'x.h5'}"
    result = recovered(folder / "scan.h5", path, tmp_path / "maps.h5", "--linked", given)
    assert isinstance(result.exception, InputError)
    told = f"--linked {given}: measured with {section}.{name} = {value}, but {folder / 'scan.h5'}"
    assert told in str(result.exception)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("beam", {"width_um": 20.0}),
        ("geometry", {"distance_m": 0.7002, "rot1_rad": 1e-3}),
        ("geometry", {"two_theta_min_deg": 2.0, "n_channels": 140}),
    ],
)
def test_beam_width_calibration_and_channels_may_differ(tiny, section, change):
    # A broad scan is often taken with a wider beam; every scan of frames has its own calibration;
    # what is subtracted is interpolated between channels.
    _, _, folder = tiny
    coarse = read_raw_scan(folder / "scan_coarse.h5")
    other = replace(coarse, **{section: getattr(coarse, section).model_copy(update=change)})
    check_same_instrument(coarse, other, path=folder, key="--linked")
