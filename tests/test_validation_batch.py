"""Many experiments at once: the same outcomes however they are made, and nothing done twice."""

import os
import signal
from pathlib import Path

import pytest

from inverse.recipe import Recipe
from phantoms.particle import Particle
from validation.batch.processes import Processes
from validation.batch.runner import run_all
from validation.batch.scan import outcomes_of
from validation.batch.store import Store
from validation.batch.work import OWN, Outcome, Work, outcome_key
from validation.experiment import Experiment, ParticleList
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

BALL = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=8.0)


def experiment(seed=1, **more):
    """The smallest scan with voxels to score."""
    given = {
        "seed": seed,
        "sample": ParticleList(particles=(BALL,)),
        "scan": Scan(n_offsets=11, step_um=1.0, n_angles=18),
        "geometry": Geometry(n_channels=300),
        "beam": Beam(flux_per_s=1e11),
    }
    return Experiment(**(given | more))


class Counted:
    """Does tasks here and now, and counts them."""

    def __init__(self):
        self.n_done = 0

    def run(self, tasks):
        for number, task in enumerate(tasks):
            self.n_done += 1
            yield number, task(1)


def figures(found):
    return [{label: (o.key, o.metrics, o.error) for label, o in each.items()} for each in found]


def dies_once(folder):
    return Dying(folder / "died", experiment())


class Dying:
    """A task whose process is killed the first time, as by a machine out of memory."""

    def __init__(self, mark, its):
        self.mark, self.experiment = mark, its

    def __call__(self, threads):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes_of(self.experiment, recipes={"0" * 64: None}, threads=threads)


class Deadly:
    """A task that no process survives."""

    def __call__(self, _threads):
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_in_the_store_is_not_done_again(tmp_path):
    # Law: a unit of work is determined by its key.
    store, first, second = Store(tmp_path), Counted(), Counted()
    works = [Work(experiment(1)), Work(experiment(2))]
    found = run_all(works, store=store, workforce=first)
    again = run_all(works, store=Store(tmp_path), workforce=second)
    assert (first.n_done, second.n_done) == (2, 0)
    assert figures(found) == figures(again)
    assert found[0][OWN].lattice()["n_voxels"] > 0
    assert found[0][OWN].metrics != found[1][OWN].metrics


def test_an_experiment_that_two_ask_for_is_simulated_once(tmp_path):
    counted = Counted()
    wide = Recipe.model_validate({"n_background": 7})
    works = [Work(experiment(), {"a": None}), Work(experiment(), {"b": wide, "c": None})]
    found = run_all(works, store=Store(tmp_path), workforce=counted)
    assert counted.n_done == 1
    assert found[0]["a"] == found[1]["c"]
    assert found[1]["b"].metrics != found[1]["c"].metrics


def test_only_the_recipe_that_is_new_is_done(tmp_path):
    store = Store(tmp_path)
    run_all([Work(experiment())], store=store, workforce=Counted())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    both = {OWN: None, "new": Recipe.model_validate({"n_background": 7})}
    run_all([Work(experiment(), both)], store=store, workforce=Counted())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_broken_outcome_is_made_again(tmp_path):
    store, work = Store(tmp_path), Work(experiment())
    (path,) = (tmp_path / f"{key}.json" for key in work.keys().values())
    for broken in ("", "{", "[]", '{"schema": "another"}', '{"schema": "xrdct-twin outcome 1"}'):
        path.write_text(broken)
        assert store.get(path.stem) is None
    counted = Counted()
    run_all([work], store=store, workforce=counted)
    assert counted.n_done == 1
    assert store.get(path.stem) is not None


def test_outcomes_are_read_as_they_were_written(tmp_path):
    store = Store(tmp_path)
    outcome = Outcome("ab" * 32, {"lattice": {"x": {"interior": {"rms_A": 0.1}}}}, None, 2.5)
    store.put(outcome)
    assert store.get(outcome.key) == outcome
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_a_mistake_of_the_experiment_is_an_outcome(tmp_path):
    # Truth: patterns are simulated one plane at a time, which is checked when it begins.
    wrong = experiment(scan=Scan(n_offsets=11, step_um=1.0, n_angles=18, n_planes=2))
    found = run_all([Work(wrong), Work(experiment())], store=Store(tmp_path), workforce=Counted())
    assert "plane" in found[0][OWN].error
    assert found[0][OWN].lattice() == {}
    assert found[1][OWN].error is None


def test_keys_differ_by_all_that_determines_the_result(tmp_path):
    start = experiment()
    keys = [
        outcome_key(start, None),
        outcome_key(experiment(seed=2), None),
        outcome_key(start, Recipe()),
        outcome_key(start, Recipe.model_validate({"n_background": 4})),
        outcome_key(experiment(beam=Beam(flux_per_s=2e11)), None),
    ]
    assert len(set(keys)) == len(keys)
    assert outcome_key(experiment(), None) == keys[0]


def test_a_crystal_file_enters_the_key_by_its_content(tmp_path):
    file = tmp_path / "mine.cif"
    recipe = Recipe.model_validate({"phase": {"crystal": "mine.cif"}})
    its = experiment().model_copy(update={"folder": tmp_path})
    keys = []
    for text in ("one", "two", "one"):
        file.write_text(text)
        keys.append(outcome_key(its, recipe))
    assert keys[0] == keys[2] != keys[1]


def test_processes_give_what_this_one_gives(tmp_path):
    # Law: random numbers belong to the experiment, not to where it is simulated.
    works = [Work(experiment(seed)) for seed in (1, 2, 3)]
    here = run_all(works, store=Store(tmp_path / "1"), workforce=Processes(1))
    there = run_all(works, store=Store(tmp_path / "2"), workforce=Processes(2))
    assert figures(here) == figures(there)


def test_a_process_that_is_killed_loses_nothing(tmp_path):
    tasks = [dies_once(tmp_path), Dying(Path(__file__), experiment(2))]
    found = dict(Processes(2).run(tasks))
    assert sorted(found) == [0, 1]
    assert all(outcomes[0].error is None for outcomes in found.values())


def test_processes_that_always_die_are_told():
    with pytest.raises(InputError, match="2 simulations died"):
        dict(Processes(2).run([Deadly(), Deadly()]))
