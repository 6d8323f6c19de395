"""All steps in one folder: equal to the steps alone, resumed where they were, nothing lost."""

import json
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import validation.run as run_module
from inverse.maps import read_maps, write_maps
from inverse.recipe import Recipe
from inverse.recover import recover
from phantoms.library import Electrode
from validation.experiment import load_experiment
from validation.outputs import check_outputs, prepare_folder
from validation.run import RunFiles, chosen_recipe, run, validate_files, write_simulated
from validation.scorecard import scorecard, summary
from validation.steps import experiment_hash, simulate
from validation.truthfile import read_truth, write_truth
from xrdct.errors import InputError
from xrdct.rawfile import linked_scans, read_raw_scan

TINY = Path(__file__).parent / "data" / "tiny.toml"
EXPERIMENT = load_experiment(TINY)
NAMES = ("scan.h5", "scan_coarse.h5", "truth.h5", "maps.h5", "report.html", "metrics.json")


@pytest.fixture(autouse=True)
def _quick_report(monkeypatch):
    """Drawing the figures takes a second, and they are not what is tested here."""

    def written(maps, *, truth, metrics, path):
        path.write_text("report")

    monkeypatch.setattr(run_module, "write_report", written)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A complete run; the report is drawn once."""
    folder = tmp_path_factory.mktemp("finished")
    return RunFiles(folder), run(EXPERIMENT, folder, workers=1)


def copied(files, folder, *names):
    """A folder with some of the results of a run."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes((files.folder / name).read_bytes())
    return RunFiles(folder)


def state(folder):
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def arrays(path):
    """Every dataset of a file, as bytes, but for clocks."""
    found = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset) and not name.endswith("timing_s"):
            value = item[()]
            found[name] = value if isinstance(value, bytes) else np.asarray(value).tobytes()

    with h5py.File(path) as file:
        file.visititems(collect)
    return found


def timeless(metrics):
    return {k: v for k, v in metrics.items() if k not in ("timing_s", "peak_memory_MB")}


def test_all_results_are_written(finished):
    files, metrics = finished
    assert {p.name for p in files.folder.iterdir()} == set(NAMES)
    assert json.loads(files.metrics.read_text()) == metrics
    assert metrics["lattice"]["LiMn2O4"]["interior"]["n_voxels"] > 0


def test_metrics_have_the_stable_form(finished):
    # The keys that are promised to stay.
    _, metrics = finished
    assert set(metrics) == {
        "schema", "experiment", "config_sha256", "seed", "versions", "scan", "timing_s",
        "peak_memory_MB", "lattice", "weight_fraction", "bound",
    }  # fmt: skip
    assert set(metrics["scan"]) == {"n_points", "beam_time_s", "mode"}
    steps = ("phantom", "simulate", "integrate", "correct", "reconstruct", "refine", "compare")
    assert set(metrics["timing_s"]) == {*steps, "total"}
    assert metrics["timing_s"]["total"] == pytest.approx(sum(metrics["timing_s"][s] for s in steps))
    figures = metrics["lattice"]["LiMn2O4"]
    assert set(figures) == {"interior", "eroded"}
    promised = {"n_voxels", "bias_A", "rms_A", "robust_sigma_A", "p95_abs_A", "mean_z", "std_z"}
    assert promised | {"std_z_noise"} <= set(figures["interior"])
    assert metrics["scan"]["n_points"] == 15 * 12
    assert metrics["seed"] == 3
    assert metrics["config_sha256"] == EXPERIMENT.config_sha256()


def test_steps_alone_equal_run_number_for_number(finished, tmp_path):
    # Law: the chain of the three is run; two threads here, one there.
    files, metrics = finished
    simulated = simulate(EXPERIMENT, workers=2)
    scan, truth, maps = (tmp_path / name for name in ("a.h5", "b.h5", "c.h5"))
    write_simulated(simulated, scan, truth=truth, experiment=EXPERIMENT)
    raw = read_raw_scan(scan)
    run_module.write_maps(recover(raw, recipe=chosen_recipe(raw, None), workers=2), maps)
    alone = validate_files(maps, truth, tmp_path / "out")
    assert timeless(alone) == timeless(metrics)
    assert timeless(json.loads((tmp_path / "out/metrics.json").read_text())) == timeless(metrics)
    assert arrays(maps) == arrays(files.maps)
    assert arrays(truth) == arrays(files.truth)
    assert arrays(scan) == arrays(files.scan)
    assert arrays(tmp_path / "a_coarse.h5") == arrays(files.other_scan("coarse"))


def test_other_scans_lie_beside_and_are_read_by_name(finished):
    files, _ = finished
    assert linked_scans(files.scan) == ["coarse"]
    assert read_raw_scan(files.scan, name="coarse").scan == EXPERIMENT.scans["coarse"]


def test_complete_results_are_refused_and_stay_as_they_are(finished, tmp_path):
    files, _ = finished
    own = copied(files, tmp_path / "out", *NAMES)
    before = state(own.folder)
    with pytest.raises(InputError, match=r"out already holds complete results: .*--force"):
        run(EXPERIMENT, own.folder)
    assert state(own.folder) == before


def test_force_replaces_results_of_another_experiment(finished, tmp_path):
    files, metrics = finished
    own = copied(files, tmp_path / "out", *NAMES)
    other = EXPERIMENT.model_copy(update={"seed": 4})
    forced = run(other, own.folder, force=True)
    assert forced["seed"] == 4
    assert timeless(forced)["lattice"] != timeless(metrics)["lattice"]
    assert read_raw_scan(own.scan).experiment_hash == experiment_hash(other)
    assert read_truth(own.truth).experiment.seed == 4


@pytest.mark.parametrize("left", [NAMES[:1], NAMES[1:2], NAMES[2:3], NAMES[3:4], NAMES[:4]])
def test_part_of_another_experiment_is_refused_and_stays_as_it_is(finished, tmp_path, left):
    files, _ = finished
    own = copied(files, tmp_path / "out", *left)
    before = state(own.folder)
    with pytest.raises(InputError, match=r"out/\w+\.h5 is of another experiment: .*--force"):
        run(EXPERIMENT.model_copy(update={"seed": 4}), own.folder)
    assert state(own.folder) == before


def test_scan_that_is_there_is_not_measured_again(finished, tmp_path, monkeypatch):
    files, metrics = finished
    own = copied(files, tmp_path / "out", *NAMES[:3])
    before = state(own.folder)
    monkeypatch.setattr(run_module, "simulate", None)
    assert timeless(run(EXPERIMENT, own.folder)) == timeless(metrics)
    assert {name: state(own.folder)[name] for name in before} == before


def test_maps_of_the_same_recipe_are_kept(finished, tmp_path, monkeypatch):
    files, metrics = finished
    own = copied(files, tmp_path / "out", *NAMES[:4])
    before = state(own.folder)
    monkeypatch.setattr(run_module, "recover", None)
    assert timeless(run(EXPERIMENT, own.folder)) == timeless(metrics)
    assert state(own.folder)["maps.h5"] == before["maps.h5"]


def test_maps_of_another_recipe_are_made_anew(finished, tmp_path):
    files, _ = finished
    own = copied(files, tmp_path / "out", *NAMES[:4])
    before = state(own.folder)
    run(EXPERIMENT, own.folder, recipe=Recipe(n_background=3))
    assert state(own.folder)["maps.h5"] != before["maps.h5"]
    assert state(own.folder)["scan.h5"] == before["scan.h5"]
    assert read_maps(own.maps).recipe.n_background == 3


@pytest.mark.parametrize("missing", ["truth.h5", "scan.h5", "scan_coarse.h5"])
def test_incomplete_measurement_is_made_anew(finished, tmp_path, missing):
    # As after a run that was killed between two files; the same seed gives the same again.
    files, metrics = finished
    names = [name for name in NAMES[:3] if name != missing]
    own = copied(files, tmp_path / "out", *names)
    assert timeless(run(EXPERIMENT, own.folder)) == timeless(metrics)
    assert arrays(own.scan) == arrays(files.scan)
    assert arrays(own.truth) == arrays(files.truth)


def test_what_a_killed_run_leaves_is_no_result(finished, tmp_path):
    files, metrics = finished
    folder = tmp_path / "out"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.partial").write_bytes((files.folder / name).read_bytes()[:1000])
    assert timeless(run(EXPERIMENT, folder)) == timeless(metrics)
    assert not list(folder.glob("*.h5.partial"))


def test_force_keeps_results_until_there_are_new_ones(finished, tmp_path):
    files, _ = finished
    own = copied(files, tmp_path / "out", *NAMES)
    before = state(own.folder)
    hopeless = Electrode(diameter_um=60.0, largest_particle_um=9.0, volume_fraction=0.69)
    with pytest.raises(InputError, match=r"^sample: volume_fraction 0\.69 is out of reach"):
        run(EXPERIMENT.model_copy(update={"sample": hopeless}), own.folder, force=True)
    assert state(own.folder) == before


@pytest.mark.parametrize("name", NAMES[:4])
def test_damaged_part_is_told_and_stays_as_it_is(finished, tmp_path, name):
    files, _ = finished
    own = copied(files, tmp_path / "out", *NAMES[:4])
    (own.folder / name).write_bytes((files.folder / name).read_bytes()[:5000])
    before = state(own.folder)
    with pytest.raises(InputError, match=rf"{name} is not an HDF5 file, or is truncated"):
        run(EXPERIMENT, own.folder)
    assert state(own.folder) == before


def test_seed_changes_noise_packing_and_composition():
    # One seed draws all three. 60 µm keep it quick.
    electrode = Electrode(diameter_um=60.0, largest_particle_um=12.0, volume_fraction=0.3)
    first, same, other = (
        EXPERIMENT.model_copy(update={"seed": s, "sample": electrode}).build_sample()
        for s in (1, 1, 2)
    )
    assert first.particles == same.particles
    for drawn in (
        lambda p: p.diameter_um,
        lambda p: p.centre_um,
        lambda p: round(p.x.core + p.x.surface, 9),  # twice what is drawn first, where not cut off
    ):
        ours, theirs = (
            {drawn(p) for p in sample.particles if p.y == 0.0 and p.x.core < 1.0}
            for sample in (first, other)
        )
        assert len(ours) > 5
        assert ours.isdisjoint(theirs)
    counts = [simulate(EXPERIMENT.model_copy(update={"seed": s})).raw.counts for s in (1, 1, 2)]
    np.testing.assert_array_equal(counts[0], counts[1])
    assert np.mean(counts[0] != counts[2]) > 0.5


def test_given_recipe_keeps_the_calibration_of_the_scan(finished):
    files, _ = finished
    raw = read_raw_scan(files.scan)
    calibration = Recipe.model_validate(raw.recipe).calibration
    assert calibration is not None
    assert chosen_recipe(raw, Recipe(n_background=3)).calibration == calibration
    own = Recipe(calibration={"distance_m": 0.5})
    assert chosen_recipe(raw, own) == own
    assert chosen_recipe(raw, None).fixed_phases == EXPERIMENT.recipe.fixed_phases


def test_recipe_of_a_scan_that_is_not_valid_is_told(finished, tmp_path):
    files, _ = finished
    own = copied(files, tmp_path / "out", *NAMES[:3])
    with h5py.File(own.scan, "r+") as file:
        del file["entry/recipe"]
        file["entry/recipe"] = '{"n_background": 0}'
    with pytest.raises(InputError, match="stored with the scan is not valid: n_background must be"):
        run(EXPERIMENT, own.folder)


def test_maps_and_truth_of_different_experiments_are_not_compared(finished):
    files, _ = finished
    maps, known = read_maps(files.maps), read_truth(files.truth)
    other = type(known)(known.truth, known.experiment.model_copy(update={"seed": 9}), {})
    with pytest.raises(InputError, match="come from different experiments"):
        scorecard(maps, other)


@pytest.mark.parametrize(
    ("found_um", "drift_um_per_h", "told"),
    [
        (None, 0.0, None),
        (-1.4, 0.0, {"found": -1.4, "true": -1.5}),
        (-1.4, 0.2, {"found": -1.4}),
    ],
)
def test_the_scorecard_tells_where_the_axis_was_seen(finished, found_um, drift_um_per_h, told):
    # Truth: what was set. A beam that passes the axis 1.5 µm up sees it 1.5 µm down.
    files, _ = finished
    maps, known = read_maps(files.maps), read_truth(files.truth)
    motion = known.experiment.motion.model_copy(
        update={"axis_offset_um": 1.5, "drift_um_per_h": drift_um_per_h}
    )
    moved = known.experiment.model_copy(update={"motion": motion})
    maps = replace(maps, axis_offset_um=found_um, experiment_hash=experiment_hash(moved))
    metrics, _ = scorecard(maps, type(known)(known.truth, moved, {}))
    assert metrics.get("rotation_axis_um") == told


@pytest.mark.parametrize("axis_um", [None, -3.25])
def test_the_axis_is_kept_with_the_maps(finished, tmp_path, axis_um):
    files, _ = finished
    write_maps(replace(read_maps(files.maps), axis_offset_um=axis_um), tmp_path / "maps.h5")
    assert read_maps(tmp_path / "maps.h5").axis_offset_um == axis_um


def test_truth_can_be_put_on_any_grid(finished):
    # A file of 15 voxels of 1 µm draws 30 of 0.5 µm: the mean over each four is the coarse one.
    # Tolerances: those to which both are converged (5e-3 of volume, 2e-5 Å), doubled.
    files, _ = finished
    known = read_truth(files.truth)
    assert known.on_grid_of(EXPERIMENT.scan) is known.truth
    fine = known.on_grid_of(EXPERIMENT.scan.model_copy(update={"n_offsets": 30, "step_um": 0.5}))
    inside = known.truth.interior

    def binned(values):
        return values.reshape(15, 2, 15, 2).mean(axis=(1, 3))[inside]

    volume, moment = (binned(fine.volume_fraction * v) for v in (1.0, np.nan_to_num(fine.a_A)))
    assert inside.sum() > 20
    np.testing.assert_allclose(volume, known.truth.volume_fraction[inside], atol=1e-2)
    np.testing.assert_allclose(moment / volume, known.truth.a_A[inside], atol=4e-5)


def test_phase_of_any_name_survives_the_truth_file(finished, tmp_path):
    # A shell's phase may be the path of a CIF file: nothing that a group can be called.
    files, _ = finished
    known = read_truth(files.truth)
    fraction = known.truth.extra_fraction["Li2MnO3"]
    named = type(known.truth)(
        **{**vars(known.truth), "extra_fraction": {"../a/b.cif": fraction, "c": 2.0 * fraction}}
    )
    instrument = simulate(EXPERIMENT).instrument
    path = tmp_path / "t.h5"
    write_truth(named, path, experiment=EXPERIMENT, instrument=instrument, timing_s={})
    found = read_truth(path).truth.extra_fraction
    assert set(found) == {"../a/b.cif", "c"}
    np.testing.assert_array_equal(found["c"], 2.0 * fraction)


def test_experiment_comes_back_from_the_truth_file(finished):
    files, _ = finished
    found = read_truth(files.truth).experiment
    assert found == EXPERIMENT
    assert experiment_hash(found) == experiment_hash(EXPERIMENT)


@pytest.mark.parametrize("quiet", [False, True])
def test_empty_sample_runs_to_the_end(tmp_path, quiet):
    # Nothing in the beam: nothing to compare, which is said instead of a number.
    empty = EXPERIMENT.model_copy(
        update={
            "sample": EXPERIMENT.sample.model_copy(update={"particles": ()}),
            "effects": EXPERIMENT.effects.model_copy(update={"noise": quiet}),
        }
    )
    metrics = run(empty, tmp_path)
    assert metrics["lattice"]["LiMn2O4"]["interior"]["n_voxels"] == 0
    assert summary(metrics) == "LiMn2O4: interior no voxel to compare; eroded no voxel to compare"
    assert not np.isfinite(read_maps(tmp_path / "maps.h5").a_A).any()


def test_report_of_an_empty_sample_is_drawn(tmp_path, monkeypatch):
    from validation.report import write_report

    monkeypatch.setattr(run_module, "write_report", write_report)
    nothing = EXPERIMENT.sample.model_copy(update={"particles": ()})
    run(EXPERIMENT.model_copy(update={"sample": nothing, "scans": {}}), tmp_path)
    assert "<html" in (tmp_path / "report.html").read_text()


def test_folder_is_made_with_its_parents_or_refused(tmp_path):
    prepare_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file, not a folder"):
        prepare_folder(tmp_path / "file")
    with pytest.raises(InputError, match=r"the folder .*file/x cannot be made: Not a directory"):
        prepare_folder(tmp_path / "file" / "x")


def test_folder_that_is_not_writable_is_refused(tmp_path, monkeypatch):
    # Permissions do not bind the superuser, so what the system answers is put in its mouth.
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(InputError, match="is not writable"):
        prepare_folder(tmp_path)


def test_files_that_would_be_lost_are_refused(tmp_path):
    here = tmp_path / "here.h5"
    here.write_text("")
    absent = tmp_path / "absent.h5"
    with pytest.raises(InputError, match=r"here\.h5 already exists: .*--force"):
        check_outputs([absent, here], force=False)
    check_outputs([absent, here], force=True)
    with pytest.raises(InputError, match=r"here\.h5 is read, so it cannot be written over"):
        check_outputs([here], force=True, inputs=[tmp_path / "x" / ".." / "here.h5"])
    with pytest.raises(InputError, match=r"absent\.h5 is named twice"):
        check_outputs([absent, tmp_path / "." / "absent.h5"], force=False)
    with pytest.raises(InputError, match="is a folder, but a file is to be written there"):
        check_outputs([tmp_path], force=True)


def test_run_on_a_file_or_below_one_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "simulate", None)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(InputError):
            run(EXPERIMENT, place)
