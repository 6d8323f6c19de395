"""Work on a distributed cluster: the outcomes of this machine, also when a worker is killed."""

import os
import signal
from pathlib import Path

import pytest

from inverse.recipe import Recipe
from tests.test_validation_batch import experiment, figures
from validation.batch.cluster import Cluster
from validation.batch.processes import Processes
from validation.batch.runner import run_all
from validation.batch.scan import outcomes_of
from validation.batch.store import Store
from validation.batch.work import Work
from xrdct.errors import InputError

distributed = pytest.importorskip("distributed")


class DiesOnce:
    """A task whose worker is killed the first time."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, threads):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        recipes: dict[str, Recipe | None] = {"0" * 64: None}
        return outcomes_of(experiment(), recipes=recipes, threads=threads)


@pytest.mark.slow
@pytest.mark.share
def test_a_cluster_gives_what_this_process_gives(address, tmp_path):
    # Law: random numbers belong to the experiment, not to where it is simulated.
    works = [Work(experiment(seed)) for seed in (1, 2, 3)]
    here = run_all(works, store=Store(tmp_path / "1"), workforce=Processes(1))
    there = run_all(works, store=Store(tmp_path / "2"), workforce=Cluster(address, threads=1))
    assert figures(here) == figures(there)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(address, tmp_path):
    ((number, outcomes),) = Cluster(address, threads=1).run([DiesOnce(tmp_path / "died")])
    assert number == 0
    assert outcomes[0].metrics == outcomes_of(experiment(), recipes={"": None})[0].metrics


def test_no_scheduler_is_told():
    with pytest.raises(InputError, match=r"no dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        list(Cluster("tcp://127.0.0.1:9").run([]))
    with pytest.raises(InputError, match="no dask scheduler answers at 'nonsense'"):
        list(Cluster("nonsense").run([]))
