"""Do units of work on a `distributed` cluster: any that has a scheduler at an address.

SLURM and the like: start the cluster with dask-jobqueue and give its scheduler's address. Workers
need this program and, where an experiment names CIF files, its folder. A unit whose worker dies is
given to another by the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from validation.batch.processes import Task
from validation.batch.work import Outcome
from xrdct.errors import InputError

_RETRIES = 5
_SECONDS_TO_ANSWER = 10


@dataclass(frozen=True)
class Cluster:
    """The cluster whose scheduler is at ``address``, such as tcp://10.0.0.1:8786."""

    address: str
    threads: int | None = None
    """Of each unit of work; None: all cores that its worker may use."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, list[Outcome]]]:
        """Yield the number of each task and its outcomes, as they come.

        Raises InputError where `distributed` is not installed, no scheduler answers, or workers
        die again and again.
        """
        distributed = _distributed()
        with self.client() as client:
            futures = {
                client.submit(task, self.threads, pure=False, retries=_RETRIES): number
                for number, task in enumerate(tasks)
            }
            try:
                with told_if_lost():
                    for future in distributed.as_completed(list(futures)):
                        yield futures[future], future.result()
            finally:
                client.cancel(list(futures))

    def client(self) -> Any:
        """Return a `distributed.Client`, to be used in a ``with`` statement.

        Raises InputError where `distributed` is not installed or no scheduler answers.
        """
        return _client(_distributed(), self.address)


@contextmanager
def told_if_lost() -> Iterator[None]:
    """Turn the loss of a cluster, or of worker after worker, into an InputError."""
    distributed = _distributed()
    try:
        yield
    except distributed.KilledWorker as error:
        raise InputError(
            f"workers of the cluster died again and again, perhaps for want of memory: {error}"
        ) from error
    except (distributed.CancelledError, distributed.comm.CommClosedError, TimeoutError) as error:
        raise InputError("the dask scheduler went away before all was done") from error


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "--dask needs the package distributed: pip install 'xrdct-twin[dask]'"
        ) from error
    return distributed


def _client(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_SECONDS_TO_ANSWER)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no dask scheduler answers at {address!r} (it should look like tcp://host:8786)"
        ) from error
