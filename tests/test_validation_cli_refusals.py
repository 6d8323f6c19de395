"""What the command line refuses: one sentence, exit code 2, and nothing on disk is touched."""

import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

import validation.run as run_module
from validation import cli

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


@pytest.fixture
def refused(call):
    """Call the program with input it must refuse; returns its one sentence."""

    def run(*arguments):
        code, out, err = call(*arguments)
        assert code == 2
        assert out == ""
        sentence = err.splitlines()[-1]
        progress = err.splitlines()[:-1]
        assert all(line.endswith("…") for line in progress)
        assert sentence.startswith("error: ")
        return sentence.removeprefix("error: ")

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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("step_um = 1.0", "stepp_um = 1.0"), "unknown key scan.stepp_um: did you mean step_um?"),
        (("step_um = 1.0", "step_mm = 1e-3"), "unknown key scan.step_mm: did you mean step_um?"),
        (("step_um = 1.0", "step_um = -1.0"), "scan.step_um must be greater than 0 (found -1.0)"),
        (("n_angles = 12", "n_angles = 0"), "scan.n_angles must be at least 1 (found 0)"),
        (
            ("[3.4, -0.5", "[1.0, -0.5"),
            "sample: particles must not overlap, but particles[0] (centre -3.2, 0.5, 0 µm) and "
            "particles[1] (centre 1, -0.5, 0.3 µm) do",
        ),
        (
            ("surface = 0.85", "surface = 1.25"),
            "sample: particles[1] (centre 3.4, -0.5, 0.3 µm): x must lie between 3y, where all "
            "manganese is Mn4+, and 1; got x = 1.25 at y = 0",
        ),
        (("name = ", "name : "), "is not valid TOML"),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["simulate", "-o", "x.h5"], ["run", "-o", "x"]])
def test_bad_experiment_is_one_sentence(refused, tmp_path, monkeypatch, change, sentence, command):
    monkeypatch.chdir(tmp_path)
    path = edited(tmp_path, change)
    told = refused(command[0], path, *command[1:])
    assert told.startswith(str(path))
    assert sentence in told
    assert [p.name for p in tmp_path.iterdir()] == ["edited.toml"]


@pytest.mark.parametrize(
    "change",
    [
        ('phase = "Li2MnO3"', 'phase = "mine.cif"'),
        ('crystal = "Li2MnO3"', 'crystal = "mine.cif"'),
        ("[recipe]", '[recipe]\nphase = { crystal = "mine.cif" }'),
        ("[recipe]", '[calibrant]\ncrystal = "mine.cif"\n[recipe]'),
    ],
)
def test_missing_cif_is_told_before_anything_is_simulated(refused, tmp_path, monkeypatch, change):
    monkeypatch.setattr("validation.laboratory.prepare", None)
    told = refused("run", edited(tmp_path, change), "-o", tmp_path / "out")
    assert "crystal" in told or "phase" in told
    assert told.endswith(f"{tmp_path / 'mine.cif'}: there is no such CIF file")


def test_cif_with_a_broken_cell_is_refused(refused, tmp_path):
    text = (ROOT / "xrdct" / "crystals" / "Li2MnO3.cif").read_text()
    broken = [
        "_cell_length_a 0.0" if line.startswith("_cell_length_a") else line
        for line in text.splitlines()
    ]
    (tmp_path / "mine.cif").write_text("\n".join(broken))
    path = edited(tmp_path, ('phase = "Li2MnO3"', 'phase = "mine.cif"'))
    told = refused("check", path)
    assert "sample.particles[1].shells[0].phase: " in told
    assert told.endswith("cell length a must lie within 1–100 Å: got 0")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist or is not a file"),
        (b"", "missing key sample"),
        (b"name = \xff", "is not a text file in UTF-8"),
        (b"a = [[", "is not valid TOML"),
    ],
)
def test_experiment_file_that_cannot_be_read(refused, tmp_path, content, sentence):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    assert sentence in refused("check", path)


def test_folder_instead_of_a_file_is_refused(refused, results, tmp_path):
    assert refused("check", tmp_path).endswith("does not exist or is not a file")
    assert refused("recover", tmp_path, "-o", tmp_path / "m.h5").endswith("is not a file")
    assert "is a folder" in refused("recover", results / "scan.h5", "-o", tmp_path)
    assert "is a folder" in refused("simulate", TINY, "-o", tmp_path)
    assert "is a folder" in refused("simulate", TINY, "-o", tmp_path / "s.h5", "--truth", tmp_path)


def test_file_of_another_kind_is_refused(refused, results, tmp_path):
    out = tmp_path / "out"
    scan, maps, truth = (results / f"{name}.h5" for name in ("scan", "maps", "truth"))
    assert "is not an HDF5 file" in refused("recover", TINY, "-o", out)
    assert "is not a raw scan file" in refused("recover", maps, "-o", out)
    assert "is not a maps file" in refused("validate", scan, truth, "-o", out)
    assert "is not a truth file" in refused("validate", maps, scan, "-o", out)
    assert "not a text file" in refused("recover", scan, "--recipe", scan, "-o", out)


def test_recipe_that_is_wrong_is_refused_with_its_file(refused, results, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("n_backgrounds = 3")
    told = refused("recover", results / "scan.h5", "--recipe", recipe, "-o", tmp_path / "m.h5")
    assert told == f"{recipe}: unknown key n_backgrounds: did you mean n_background?"
    recipe.write_text('fixed_phases = [{ crystal = "Al" }, { crystal = "Unobtainium" }]')
    told = refused("run", TINY, "--recipe", recipe, "-o", tmp_path / "out")
    assert told.startswith(f"{recipe}: fixed_phases[1].crystal: unknown crystal 'Unobtainium'")


@pytest.mark.filterwarnings("default")
def test_what_must_be_known_of_a_result_is_one_line(call, results, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[truncation]\nmethod = 'complete'\nwidth_um = 30.0\n")
    code, _, err = call(
        "recover", results / "scan.h5", "--recipe", recipe, "-o", tmp_path / "m.h5", "-q"
    )
    assert code == 0
    (line,) = err.splitlines()
    assert line.startswith("warning: What lies 7 to 15 µm from the axis was made up from ")


@pytest.mark.filterwarnings("default")
def test_other_warnings_keep_their_place(call, monkeypatch):
    # What is not about a result is for whoever mends the program, who needs file and line.
    monkeypatch.setattr(cli, "app", lambda **_: warnings.warn("a mistake", stacklevel=1))
    with pytest.warns(UserWarning, match="a mistake"):
        assert call()[0] == 0


def test_existing_results_are_refused_unless_forced(call, refused, results, tmp_path):
    for name in ("scan.h5", "scan_coarse.h5", "truth.h5", "maps.h5"):
        (tmp_path / name).write_bytes((results / name).read_bytes())
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    calls = (
        ["simulate", TINY, "-o", tmp_path / "scan.h5"],
        ["simulate", TINY, "-o", tmp_path / "new.h5", "--truth", tmp_path / "truth.h5"],
        ["recover", results / "scan.h5", "-o", tmp_path / "maps.h5"],
    )
    for arguments in calls:
        assert "already exists: choose another name, or use --force" in refused(*arguments)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
    (tmp_path / "scan.h5").unlink()
    assert "scan_coarse.h5 already exists" in refused("simulate", TINY, "-o", tmp_path / "scan.h5")
    for arguments in calls:
        assert call(*arguments, "--force", "-q") == (0, "", "")


def test_input_is_never_written_over(refused, results, tmp_path):
    scan = tmp_path / "scan.h5"
    scan.write_bytes((results / "scan.h5").read_bytes())
    told = refused("recover", scan, "-o", scan, "--force")
    assert told == f"{scan} is read, so it cannot be written over"
    path, new = edited(tmp_path), tmp_path / "new.h5"
    assert "cannot be written over" in refused("simulate", path, "-o", path, "--force")
    assert "named twice" in refused("simulate", path, "-o", new, "--truth", new)


def test_complete_folder_is_refused_unless_forced(call, refused, results, tmp_path):
    folder = tmp_path / "out"
    arguments = ["validate", results / "maps.h5", results / "truth.h5", "-o", folder]
    assert call(*arguments, "-q") == (0, "", "")
    before = (folder / "metrics.json").stat().st_mtime_ns
    assert "metrics.json already exists" in refused(*arguments)
    assert "already holds complete results" in refused("run", TINY, "-o", folder)
    assert (folder / "metrics.json").stat().st_mtime_ns == before
    assert call(*arguments, "--force", "-q") == (0, "", "")


def test_place_that_cannot_be_a_folder_is_refused_at_once(refused, results, tmp_path, monkeypatch):
    monkeypatch.setattr("validation.steps.simulate", None)
    file = tmp_path / "file"
    file.write_text("")
    assert "is a file, not a folder" in refused("run", TINY, "-o", file)
    assert "cannot be made" in refused("run", TINY, "-o", file / "out")
    assert "cannot be made" in refused("simulate", TINY, "-o", file / "out" / "s.h5")
    maps, truth = results / "maps.h5", results / "truth.h5"
    assert "is a file, not a folder" in refused("validate", maps, truth, "-o", file)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (MemoryError("Unable to allocate 9 TiB"), "not enough memory: Unable to allocate 9 TiB"),
        (MemoryError(), "not enough memory"),
        (
            OSError(28, "No space left on device", "/x/a.h5"),
            "No space left on device: /x/a.h5",
        ),
        (OSError("unable to write\n  (errno 28)"), "unable to write (errno 28)"),
    ],
)
def test_failure_of_the_machine_is_one_sentence(refused, monkeypatch, failure, sentence):
    def fail(*_arguments, **_options):
        raise failure

    monkeypatch.setattr("validation.experiment.load_experiment", fail)
    assert refused("check", TINY) == sentence
