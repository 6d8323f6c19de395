"""Do units of work in processes of this machine.

A process that dies, for want of memory or because someone killed it, loses the units it was at;
they are begun again in new processes, until several rounds have brought nothing.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from validation.batch.work import Outcome
from xrdct.compiled import worker_count
from xrdct.errors import InputError, show_warnings_in_a_line

Task = Callable[[int | None], list[Outcome]]
"""A unit of work ready to be done with so many threads; must be picklable."""


_BARREN_ROUNDS = 3
"""Rounds in which processes died and nothing was done, after which it is hopeless."""


@dataclass(frozen=True)
class Processes:
    """So many processes at once, which share the cores between them."""

    n_processes: int | None = None
    """None: as many as cores."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, list[Outcome]]]:
        """Yield the number of each task and its outcomes, as they come.

        Raises InputError for tasks whose processes die again and again.
        """
        cores = worker_count(None)
        wanted = cores if self.n_processes is None else self.n_processes
        n_processes = max(1, min(wanted, len(tasks)))
        threads = max(1, cores // n_processes)
        if n_processes == 1:
            for number, task in enumerate(tasks):
                yield number, task(threads)
            return
        left, n_barren = dict(enumerate(tasks)), 0
        while left:
            before = len(left)
            for number, outcomes in _round(left, n_processes, threads):
                del left[number]
                yield number, outcomes
            n_barren = n_barren + 1 if len(left) == before else 0
            if n_barren == _BARREN_ROUNDS:
                raise InputError(
                    f"the processes of {before} simulations died before any was done, perhaps for "
                    "want of memory: use fewer --workers"
                )


def _round(
    tasks: dict[int, Task], n_processes: int, threads: int
) -> Iterator[tuple[int, list[Outcome]]]:
    """Yield what gets done before a process dies."""
    # Forking would copy the locks of threads that do not exist in the copy.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        n_processes, mp_context=context, initializer=_begin, initargs=(threads,)
    ) as pool:
        futures: dict[Any, int] = {pool.submit(t, threads): n for n, t in list(tasks.items())}
        try:
            for future in as_completed(futures):
                try:
                    outcomes = future.result()
                except BrokenProcessPool:
                    continue
                yield futures[future], outcomes
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(threads: int) -> None:
    threadpool_limits(threads)
    show_warnings_in_a_line()
