"""The command line, as a user meets it: what it prints and what it writes."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import validation.run as run_module
from inverse.recipe import Recipe
from validation import cli
from xrdct.rawfile import read_raw_scan

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "data" / "tiny.toml"
COMMANDS = ("run", "simulate", "recover", "validate", "check")


@pytest.fixture(autouse=True)
def _quick_report(monkeypatch):
    """Drawing the figures takes a second, and they are not what is tested here."""

    def written(maps, *, truth, metrics, path):
        path.write_text("report")

    monkeypatch.setattr(run_module, "write_report", written)


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the program as from a shell; returns exit code, what it printed, and its errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["xrdct-twin", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A scan, its truth and its maps."""
    folder = tmp_path_factory.mktemp("results")
    arguments = [
        ["simulate", TINY, "-o", folder / "scan.h5", "--truth", folder / "truth.h5", "-q"],
        ["recover", folder / "scan.h5", "-o", folder / "maps.h5", "-q"],
    ]
    for one in arguments:
        assert CliRunner().invoke(cli.app, [str(a) for a in one]).exit_code == 0
    return folder


def edited(tmp_path, *changes):
    text = TINY.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "edited.toml"
    path.write_text(text)
    return path


def timeless(path):
    metrics = json.loads(path.read_text())
    return {k: v for k, v in metrics.items() if k not in ("timing_s", "peak_memory_MB")}


def test_help_of_the_program_names_every_command(call):
    code, out, _ = call("--help")
    assert code == 0
    assert "Usage: xrdct-twin" in out
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_explains_its_options(call, command):
    code, out, _ = call(command, "--help")
    assert code == 0
    assert f"Usage: xrdct-twin {command}" in out
    options = {"run": "--recipe --seed --workers --force --quiet", "check": "--seed"}
    options |= {"simulate": "--truth --seed --workers --force --quiet"}
    options |= {"recover": "--recipe --workers --force --quiet", "validate": "--force --quiet"}
    assert all(option in out for option in options[command].split())
    if "--workers" in options[command]:
        assert "all cores" in out


def test_help_loads_nothing_slow():
    # What makes help quick is what it does not import; half a second is asked for.
    heavy = ["gemmi", "h5py", "jinja2", "matplotlib", "numba", "numpy", "pydantic", "pyFAI"]
    heavy += ["scipy", "xraylib"]
    script = (
        "import sys; sys.argv = ['xrdct-twin', '--help']\n"
        "from validation.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({heavy}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_program_as_a_process_of_its_own(tmp_path):
    # The exit code and the streams of a real process, for one refusal.
    bad = edited(tmp_path, ("step_um = 1.0", "step_mm = 1e-3"))
    done = subprocess.run(
        [sys.executable, "-m", "validation.cli", "run", str(bad), "-o", str(tmp_path / "out")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: {bad}: unknown key scan.step_mm: did you mean step_um?\n"
    assert not (tmp_path / "out").exists()


def test_no_arguments_show_the_help(call):
    code, out, err = call()
    assert code in (0, 2)
    assert "Usage" in out + err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", TINY], "Missing option '-o'"),
        (["run", TINY, "-o", "x", "--seed", "-1"], "--seed"),
        (["run", TINY, "-o", "x", "--workers", "0"], "--workers"),
        (["run", TINY, "-o", "x", "--quite"], "No such option"),
        (["rum", TINY], "No such command"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(call, arguments, words):
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("workers", [1, 2])
def test_run_equals_its_steps(call, results, tmp_path, workers):
    # Law: number for number, whatever the number of threads.
    code, _, _ = call("run", TINY, "-o", tmp_path / "all", "--workers", workers)
    assert code == 0
    code, _, _ = call(
        "validate", results / "maps.h5", results / "truth.h5", "-o", tmp_path / "alone"
    )
    assert code == 0
    assert timeless(tmp_path / "all/metrics.json") == timeless(tmp_path / "alone/metrics.json")
    with h5py.File(tmp_path / "all/maps.h5") as ours, h5py.File(results / "maps.h5") as theirs:
        maps = [name for name, item in ours["entry"].items() if isinstance(item, h5py.Group)]
        maps.remove("example")
        maps.remove("regions")
        assert len(maps) == 8
        tables = [name for name in ours["entry/regions"] if name != "phases"]
        assert len(tables) > 10
        for name in tables:
            one, other = (file[f"entry/regions/{name}"] for file in (ours, theirs))
            if isinstance(one, h5py.Dataset):
                assert one[()].tobytes() == other[()].tobytes()
        for name in maps:
            one, other = (file[f"entry/{name}/values"][()] for file in (ours, theirs))
            assert one.tobytes() == other.tobytes()
    one, other = (read_raw_scan(f / "scan.h5") for f in (tmp_path / "all", results))
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.transmitted, other.transmitted)


def test_run_tells_one_line_per_phase_and_where_the_report_is(call, tmp_path):
    code, out, err = call("run", TINY, "-o", tmp_path / "out")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("LiMn2O4: interior ")
    assert [line.split(",")[0] for line in lines[1:-2]] == [
        f"{phase}: weight fraction" for phase in ("LiMn2O4", "Li2MnO3")
    ]
    assert lines[-2].startswith("error over the Cramér–Rao bound of the reconstructed counts: ")
    assert lines[-1:] == [f"report: {tmp_path / 'out' / 'report.html'}"]
    steps = [line.removesuffix(" …") for line in err.splitlines()]
    assert steps == ["phantom", "simulate", "truth", "reconstruct", "refine"]


def test_quiet_prints_nothing(call, results, tmp_path):
    calls = (
        ["run", TINY, "-o", tmp_path / "out", "--quiet"],
        ["simulate", TINY, "-o", tmp_path / "s.h5", "--quiet"],
        ["recover", tmp_path / "s.h5", "-o", tmp_path / "m.h5", "--quiet"],
        ["validate", tmp_path / "m.h5", results / "truth.h5", "-o", tmp_path / "v", "-q"],
    )
    for arguments in calls:
        assert call(*arguments) == (0, "", "")


def test_seed_on_the_command_line_replaces_that_of_the_file(call, results, tmp_path):
    for name, seed in (("a", 3), ("b", 4)):
        assert call("simulate", TINY, "-o", tmp_path / f"{name}.h5", "--seed", seed, "-q")[0] == 0
    same, other = (read_raw_scan(tmp_path / f"{name}.h5").counts for name in "ab")
    np.testing.assert_array_equal(same, read_raw_scan(results / "scan.h5").counts)
    assert np.mean(same != other) > 0.5


def test_recipe_on_the_command_line_replaces_that_of_the_scan(call, results, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("n_background = 3\n")
    maps = tmp_path / "maps.h5"
    code, out, _ = call("recover", results / "scan.h5", "--recipe", recipe, "-o", maps)
    assert code == 0
    assert "voxels refined" in out
    with h5py.File(maps) as file:
        used = Recipe.model_validate_json(file["entry/recipe"][()])
    stored = Recipe.model_validate(read_raw_scan(results / "scan.h5").recipe)
    assert used == Recipe(n_background=3, calibration=stored.calibration)


def test_simulate_tells_every_file_it_wrote(call, tmp_path):
    scan, truth = tmp_path / "s.h5", tmp_path / "t.h5"
    code, out, _ = call("simulate", TINY, "-o", scan, "--truth", truth)
    assert code == 0
    assert out.splitlines() == [
        f"180 points written to {scan}",
        f"20 points written to {tmp_path / 's_coarse.h5'}",
        f"truth written to {truth}",
    ]


def test_check_prints_figures_and_simulates_nothing(call, monkeypatch):
    monkeypatch.setattr("validation.steps.simulate", None)
    code, out, err = call("check", TINY)
    assert (code, err) == (0, "")
    assert [line[:20].strip() for line in out.splitlines()][:8] == [
        "points", "beam time", "dose at the voxel", "photons", "memory", "file size",
        "alias-free diameter", "sample diameter",
    ]  # fmt: skip
    assert "points               200" in out


def test_cif_beside_the_experiment_is_found_from_anywhere(call, tmp_path, monkeypatch):
    # The same structure under another name, in every place that takes one: the numbers are equal.
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("LiMn2O4", "Li2MnO3", "LaB6"):
        text = (ROOT / "xrdct" / "crystals" / f"{name}.cif").read_text()
        (folder / f"my_{name}.cif").write_text(text)
    path = edited(
        folder,
        ('phase = "Li2MnO3"', 'phase = "my_Li2MnO3.cif"'),
        ('crystal = "Li2MnO3"', 'crystal = "my_Li2MnO3.cif"'),
        ("[recipe]", '[recipe]\nphase = { crystal = "my_LiMn2O4.cif" }'),
        ("[recipe]", '[calibrant]\ncrystal = "my_LaB6.cif"\n[recipe]'),
    )
    monkeypatch.chdir(tmp_path)
    assert call("run", path.relative_to(tmp_path), "-o", "out", "-q") == (0, "", "")
    assert call("run", TINY, "-o", "plain", "-q") == (0, "", "")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("recover", "../out/scan.h5", "-o", "maps.h5", "-q") == (0, "", "")
    ours, theirs = (timeless(tmp_path / name / "metrics.json") for name in ("out", "plain"))
    assert ours["lattice"] == {"my_LiMn2O4": theirs["lattice"]["LiMn2O4"]}


def test_missing_folders_are_made(call, results, tmp_path):
    deep = tmp_path / "a" / "b" / "maps.h5"
    assert call("recover", results / "scan.h5", "-o", deep, "-q") == (0, "", "")
    assert deep.is_file()
