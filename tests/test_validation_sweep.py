"""Tables of experiments: every combination, each what it would be alone."""

import csv
import json

import pytest

from validation.batch.processes import Processes
from validation.batch.scan import outcomes_of
from validation.batch.store import Store
from validation.batch.vary import all_varied
from validation.cli import main
from validation.sweep import read_sweep, run_sweep
from validation.sweep_table import SweepFiles, lines, terminal_table, write_sweep
from xrdct.errors import InputError

SMALL = """
name = "small"
seed = 7
[beam]
flux_per_s = 1e11
[geometry]
n_channels = 300
[scan]
n_offsets = 11
step_um = 1.0
n_angles = 18
[[sample.particles]]
centre_um = [0, 0, 0]
diameter_um = 8
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


class Counted(Processes):
    """Counts what this process does."""

    def __init__(self):
        super().__init__(1)
        object.__setattr__(self, "n_done", 0)

    def run(self, tasks):
        for done in super().run(tasks):
            object.__setattr__(self, "n_done", self.n_done + 1)
            yield done


def test_all_combinations_and_seeds_are_run(small, tmp_path):
    # Law: a row is what the experiment with these values gives alone.
    keys = all_varied(["scan.n_angles=12,18", "beam.flux_per_s=1e10,1e11"])
    sweep = read_sweep(small, keys, n_seeds=2)
    rows = run_sweep(sweep, store=Store(tmp_path / "outcomes"), workforce=Counted())
    told = lines(sweep, rows)
    assert [(r["scan.n_angles"], r["beam.flux_per_s"], r["seed"]) for r in told] == [
        (n, f, s) for n in (12, 18) for f in (1e10, 1e11) for s in (7, 8)
    ]
    _, experiment = sweep.rows[5]
    (alone,) = outcomes_of(experiment, recipes={"a": None})
    assert told[5]["interior.rms_A"] == alone.lattice()["rms_A"]
    files = SweepFiles.within(tmp_path)
    write_sweep(sweep, rows, files)
    with files.csv.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(r["interior.rms_A"]) for r in read] == [r["interior.rms_A"] for r in told]
    assert json.loads(files.json.read_text())["rows"] == told
    assert len(terminal_table(sweep, rows)) == 1 + len(told)


def test_recipes_share_a_simulation_and_refusals_are_told(small, tmp_path):
    # Law: what comes after the integration does not change what was measured.
    keys = all_varied(["recipe.n_background=4,6", "recipe.truncation.method=none,coarse"])
    counted, store = Counted(), Store(tmp_path / "outcomes")
    sweep = read_sweep(small, keys)
    rows = run_sweep(sweep, store=store, workforce=counted)
    assert counted.n_done == 1
    told = lines(sweep, rows)
    assert ["coarse" in (row["error"] or "") for row in told] == [False, True, False, True]
    assert told[1]["interior.rms_A"] is None
    again = Counted()
    assert run_sweep(sweep, store=store, workforce=again) == rows
    assert again.n_done == 0


def test_a_table_holds_cases_and_varies_keys_in_each(small):
    table = small.with_name("table.toml")
    table.write_text(
        'experiment = "small.toml"\nseeds = [3, 5]\n[vary]\n"scan.step_um" = "1:2:2"\n'
        '[[cases]]\n"beam.flux_per_s" = 1e10\n[[cases]]\n"scan.n_angles" = 12\n'
    )
    sweep = read_sweep(table)
    assert sweep.keys == ("beam.flux_per_s", "scan.n_angles", "scan.step_um")
    assert [(*values.values(), e.seed) for values, e in sweep.rows] == [
        (flux, n, step, seed)
        for flux, n in ((1e10, 18), (1e11, 12))
        for step in (1.0, 2.0)
        for seed in (3, 5)
    ]


def test_values_that_round_to_one_are_run_once(small):
    sweep = read_sweep(small, all_varied(["scan.n_angles=12:13:5"]))
    assert [values["scan.n_angles"] for values, _ in sweep.rows] == [12, 13]


def test_a_sweep_needs_something_to_vary(small):
    with pytest.raises(InputError, match="nothing is varied"):
        read_sweep(small)


def test_the_command_writes_the_table_and_refuses_to_write_over_it(
    small, tmp_path, capsys, monkeypatch
):
    # Truth: the exit codes that the documentation states.
    def run(*more):
        arguments = ["xrdct-twin", "sweep", str(small), "-o", str(tmp_path / "out"), *more]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code or 0, capsys.readouterr()

    code, told = run("--vary", "scan.stp_um=1,2", "-q")
    assert code == 2
    assert told.err == "error: unknown key scan.stp_um: did you mean step_um?\n"
    code, told = run("--vary", "scan.n_angles=12,18", "--workers", "1")
    assert (code, "table:" in told.out) == (0, True)
    code, told = run("--vary", "scan.n_angles=12,18", "--workers", "1", "-q")
    assert code == 2
    assert "already exists" in told.err
    assert run("--vary", "scan.n_angles=12,18", "-q", "--force")[0] == 0
    code, told = run("--vary", "seed=1", "--force", "--workers", "1", "--dask", "tcp://x:1")
    assert (code, "--workers" in told.err) == (2, True)
