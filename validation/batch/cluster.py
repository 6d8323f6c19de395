"""Do units of work on a `distributed` cluster: any that has a scheduler at an address.

SLURM and the like: start the cluster with dask-jobqueue and give its scheduler's address. Workers
need this program and, where an experiment names CIF files, its folder. A unit whose worker dies is
given to another by the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        with _client(distributed, self.address) as client:
            futures = {
                client.submit(task, self.threads, pure=False, retries=_RETRIES): number
                for number, task in enumerate(tasks)
            }
            try:
                for future in distributed.as_completed(list(futures)):
                    yield futures[future], future.result()
            except distributed.KilledWorker as error:
                raise InputError(
                    "workers of the cluster died again and again, perhaps for want of memory: "
                    f"{error}"
                ) from error
            finally:
                client.cancel(list(futures))


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
