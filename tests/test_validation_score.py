"""Pipelines scored on a simulated scan, from the command line to the report."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from inverse.frame_patterns import patterns_of_frames
from inverse.integrate import integrate_frame, integrator
from inverse.maps import read_maps
from inverse.recipe import Calibration, Profile, Recipe
from inverse.reconstruct import filtered_back_projection
from inverse.recover import recover
from validation import cli
from validation.experiment import load_experiment
from validation.frame_files import write_frames
from validation.laboratory import laboratory
from validation.pipelines.partial import recover_partly
from validation.pipelines.partial_frames import integrated_by
from validation.pipelines.sandbox import Limits
from validation.pipelines.score import score_pipelines
from validation.pipelines.sources import read_pipelines
from validation.run import RunFiles, run
from xrdct.errors import InputError
from xrdct.framefile import read_frame_scan
from xrdct.rawfile import read_raw_scan

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "data" / "tiny.toml"
TINY_FRAMES = ROOT / "tests" / "data" / "tiny_frames.toml"

PIPELINES = '''
import sys
from pathlib import Path

import numpy as np

A = np.full((15, 15), 8.23)


def mapping(scan):
    return {"a_A": A, "a_esd_A": 0.01 + 0 * A}


def path(scan):
    np.savez(Path(scan).parent / "mine.npz", a_A=A)
    return Path(scan).parent / "mine.npz"


def crash(scan):
    raise RuntimeError("no <i>beam</i>")


def nothing(scan):
    return None


def look(scan):
    """Tell what can be read in the folder that it was given."""
    here = Path(scan).parent
    names = sorted(str(p.relative_to(here)) for p in here.rglob("*"))
    text = b"".join(p.read_bytes() for p in here.rglob("*") if p.is_file())
    print("FOUND", names, b"lattice_fraction" in text, b"diameter_um" in text)
    print("WHERE", Path.cwd() == here, sys.argv)
    return {"a_A": A}


def wrong(scan):
    return 8.2


if __name__ == "__main__":
    print("as a program", sys.argv[1:])
    np.savez(sys.argv[2], a_A=A)
'''


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["xrdct-twin", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipelines") / "mine.py"
    path.write_text(PIPELINES)
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe of the tiny experiment as a file."""
    path = tmp_path_factory.mktemp("recipes") / "same.toml"
    path.write_text('fixed_phases = [{ crystal = "Li2MnO3" }]\n')
    return path


@pytest.fixture(scope="module")
def scored(tmp_path_factory, mine, recipe):
    """Pipelines of every kind, good and bad, scored together."""
    folder = tmp_path_factory.mktemp("score") / "out"
    texts = [
        f"ours={recipe}",
        *(f"{name}={mine}:{name}" for name in ("mapping", "path", "crash", "nothing", "look")),
        f"wrong={mine}:wrong",
        f"command={sys.executable} {mine} {{scan}} {{output}}",
        "module=no_such_package:recover",
        "absent=no-such-program {scan}",
        "needs={scan} {broad}",
    ]
    found, files = score_pipelines(
        read_pipelines(texts), load_experiment(TINY), folder, limits=Limits(time_s=300.0)
    )
    return {entry["label"]: entry for entry in found["pipelines"]}, files


def test_our_recipe_scores_as_run_does(scored, tmp_path_factory):
    # Law: the same scan, recipe and truth give the same figures, whichever command made them.
    folder = tmp_path_factory.mktemp("run")
    metrics = run(load_experiment(TINY), folder)
    entry = scored[0]["ours"]
    assert entry["lattice"] == metrics["lattice"]["LiMn2O4"]
    ours = read_maps(scored[1].cell("ours").maps)
    np.testing.assert_array_equal(ours.a_A, read_maps(RunFiles(folder).maps).a_A)


def test_every_good_form_is_scored_alike(scored):
    # Law: the same numbers, returned, written by path or by a program, have the same figures.
    entries, _ = scored
    figures = [entries[name]["lattice"]["interior"]["rms_A"] for name in ("mapping", "path")]
    assert figures[0] == figures[1] == entries["command"]["lattice"]["interior"]["rms_A"]
    assert "std_z" in entries["mapping"]["lattice"]["interior"]
    assert entries["path"]["remarks"] == ["it states no uncertainties"]
    for name in ("mapping", "path", "command", "ours"):
        usage = entries[name]["usage"]
        assert usage["reason"] == "ended"
        assert usage["peak_memory_MB"] > 5.0
        assert usage["seconds"] > 0.0


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("crash", "It ended with exit code 1: RuntimeError: no <i>beam</i>."),
        ("nothing", "It wrote no maps: neither maps.h5 nor maps.npz is in its working directory."),
        ("wrong", "It ended with exit code 2: a pipeline returns Maps, the path of a file"),
        ("module", "It ended with exit code 1: ModuleNotFoundError: No module named"),
        ("absent", "It could not be started: [Errno 2] No such file or directory"),
        ("needs", "the experiment has no scan named broad."),
    ],
)
def test_bad_pipelines_get_a_fair_line(scored, label, told):
    entries, files = scored
    entry = entries[label]
    assert not entry["scored"]
    assert entry["reason"].startswith(told)
    assert (files.folder / entry["log"]).is_file()
    assert "lattice" not in entry


def test_the_truth_is_not_in_the_folder_that_a_pipeline_is_given(scored):
    # Truth: what the pipeline itself found there. The raw file may name neither sample nor truth.
    _, files = scored
    printed = files.cell("look").stdout.read_text()
    names = re.search(r"FOUND (\[.*?\]) (\w+) (\w+)", printed)
    assert names is not None
    assert names[1] == "['recipe.json', 'scan.h5', 'scan_coarse.h5', 'tmp']"
    assert (names[2], names[3]) == ("False", "False")
    assert "WHERE True" in printed
    assert "truth" not in printed
    job = (files.cell("look").folder / "job.json").read_text()
    assert "truth" not in job
    assert str(TINY) not in job


def test_the_report_is_one_page_that_shows_all_of_it(scored):
    _, files = scored
    page = files.report.read_text()
    assert "no &lt;i&gt;beam&lt;/i&gt;" in page
    assert "<i>beam</i>" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("data:image/png;base64,") == 2
    for label in ("ours", "mapping", "path", "command", "look"):
        assert f'class="number">{label}</th>' in page
    written = json.loads(files.scores.read_text())
    assert written["schema"] == "xrdct-twin scores 1"
    assert [entry["label"] for entry in written["pipelines"]][:2] == ["ours", "mapping"]


def test_what_is_finished_is_not_run_again_and_what_failed_is(scored, mine, recipe, monkeypatch):
    entries, files = scored
    before = files.cell("mapping").usage.stat().st_mtime_ns
    failed = files.cell("crash").usage.stat().st_mtime_ns
    scan = files.scan.stat().st_mtime_ns
    texts = [f"mapping={mine}:mapping", f"crash={mine}:crash"]
    again, _ = score_pipelines(read_pipelines(texts), load_experiment(TINY), files.folder)
    assert again["pipelines"][0] == entries["mapping"] | {
        "common": again["pipelines"][0]["common"],
        "log": "",
    }
    assert files.cell("mapping").usage.stat().st_mtime_ns == before
    assert files.cell("crash").usage.stat().st_mtime_ns > failed
    assert files.scan.stat().st_mtime_ns == scan
    score_pipelines(read_pipelines(texts[:1]), load_experiment(TINY), files.folder, force=True)
    assert files.cell("mapping").usage.stat().st_mtime_ns > before
    assert files.scan.stat().st_mtime_ns == scan
    with pytest.raises(InputError, match="scores of another experiment"):
        score_pipelines(read_pipelines(texts), load_experiment(TINY, seed=9), files.folder)


def test_exit_codes_of_the_command(call, scored, mine):
    _, files = scored
    code, out, _ = call("score", f"mapping={mine}:mapping", TINY, "-o", files.folder)
    assert code == 0
    assert "mapping  bias" in out
    code, out, _ = call("score", f"crash={mine}:crash", TINY, "-o", files.folder, "-q")
    assert (code, out) == (1, "")
    for arguments, told in (
        (["gone.py:recover", TINY], "does not exist"),
        ([f"{mine}:mapping", "gone.toml"], "gone.toml"),
        ([f"a={mine}:mapping", f"a={mine}:path", TINY], "2 pipelines are called a"),
        ([f"{mine}:mapping", TINY, "--time-limit", "soon"], "--time-limit"),
        ([f"integrate={mine}:mapping", TINY], "use --mode frames"),
    ):
        code, _, err = call("score", *arguments, "-o", files.folder)
        assert code == 2
        assert told in err
        assert err.count("\n") == 1


@pytest.fixture(scope="module")
def patterns(scored):
    """The tiny scan, and what our chain makes of it by the recipe stored with it."""
    path = scored[1].scan
    return path, recover(read_raw_scan(path))


def test_our_own_steps_put_in_their_place_change_nothing(patterns):
    # Law: a step replaced by itself is the identity; float32 sums in another order may differ in
    # the last place, which moves no lattice parameter by 1e-7 Å.
    path, ours = patterns

    def reconstruct(sinogram, *, angles_rad, step_um, axis_offset_um, size):
        found = filtered_back_projection(
            sinogram, angles_rad=angles_rad, step_um=step_um, axis_offset_um=axis_offset_um,
            size=size,
        )  # fmt: skip
        return found.values

    maps = recover_partly(path, stages={"reconstruct": reconstruct})
    np.testing.assert_allclose(maps.a_A, ours.a_A, rtol=0.0, atol=1e-7)
    np.testing.assert_array_equal(maps.status, ours.status)


def test_a_refinement_is_given_patterns_and_calibrated_angles(patterns):
    # Truth: Bragg's law at the calibrated distance: the (111) line of a = 8.2 Å stands where the
    # handed angles say, so its brightest channel gives a back to half a channel.
    path, ours = patterns
    seen = {}

    def fit(counts, variance, *, two_theta_rad, wavelength_A, a_range_A):
        seen.update(locals())
        half = 0.5 * np.sqrt(3.0) * wavelength_A
        near = np.abs(two_theta_rad - 2.0 * np.arcsin(half / 8.2)) < np.deg2rad(0.15)
        peak = two_theta_rad[near][np.argmax(np.nan_to_num(counts[:, near]), axis=1)]
        return half / np.sin(0.5 * peak), np.full(len(counts), 0.05)

    found = recover_partly(path, stages={"refine": fit})
    assert seen["counts"].shape == seen["variance"].shape
    assert seen["counts"].shape[1] == seen["two_theta_rad"].size
    assert np.all(np.nan_to_num(seen["variance"]) >= 0.0)
    recovered = np.isfinite(ours.a_A) & (ours.volume_fraction > 0.5)
    channel = np.diff(seen["two_theta_rad"]).mean()
    half_channel_A = 8.2 * 0.5 * channel / 2.0 / np.tan(0.5 * np.deg2rad(3.0))
    assert np.median(np.abs(found["a_A"] - ours.a_A)[recovered]) <= half_channel_A


@pytest.mark.parametrize(
    ("stage", "result", "told"),
    [
        ("reconstruct", lambda s, **_: s[0], "not (15, 15, "),
        ("reconstruct", lambda s, *, size: np.full((size, size, s.shape[2]), np.nan), "no number"),
        ("refine", lambda _p, _v: 8.2, "not float"),
        ("refine", lambda _p, _v: (np.ones(3), np.ones(3)), "returned a_A of shape (3,)"),
        ("refine", lambda _p, _v: ("a", "b"), "is no array of numbers"),
    ],
)
def test_a_step_that_returns_something_else_is_told(patterns, stage, result, told):
    with pytest.raises(InputError) as complaint:
        recover_partly(patterns[0], stages={stage: result})
    assert told in str(complaint.value)


def test_images_in_another_quantity_are_told_apart(patterns):
    # Truth: planted factor; without the step in µm images would be smaller by it.
    def reconstruct(sinogram, *, angles_rad, step_um):
        found = filtered_back_projection(sinogram, angles_rad=angles_rad, step_um=step_um)
        return 1e-3 * found.values

    with pytest.raises(InputError, match=r"0\.001 times as bright"):
        recover_partly(patterns[0], stages={"reconstruct": reconstruct})


def test_frames_integrated_by_our_own_function_give_our_patterns(tmp_path_factory):
    # Law: the identity again, here of the integration; float32 either way.
    experiment = load_experiment(TINY_FRAMES)
    # The calibration is given: fitting the calibrant takes long and has tests of its own.
    place = laboratory(experiment).instrument.geometry
    known = Calibration(profile=Profile(), distance_m=place.distance_m, geometry=place)
    recipe = experiment.recipe.model_copy(update={"calibration": known})
    path = tmp_path_factory.mktemp("frames") / "scan.h5"
    write_frames(experiment.model_copy(update={"recipe": recipe}), path)
    frames = read_frame_scan(path)
    ours = patterns_of_frames(frames)
    bins = {}

    def integrate(frame, *, geometry, detector, beam, flat):
        integration = Recipe.model_validate(frames.recipe).integration
        if not bins:
            bins["own"] = integrator(
                geometry, detector=detector, beam=beam, integration=integration, flat=flat
            )
        return integrate_frame(frame, bins["own"], integration, workers=1)

    found = integrated_by(integrate, path, None)
    np.testing.assert_allclose(found.counts, ours.counts, rtol=1e-5)
    np.testing.assert_allclose(found.variance, ours.variance, rtol=1e-5)
    np.testing.assert_array_equal(found.monitor, ours.monitor)
    with pytest.raises(InputError, match="returned a pattern of shape"):
        integrated_by(lambda _frame: (np.ones(3), np.ones(3)), path, None)


def test_a_step_of_frames_needs_frames(patterns):
    with pytest.raises(InputError, match="the scan holds patterns"):
        integrated_by(lambda _frame: None, patterns[0], None)
