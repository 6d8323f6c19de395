"""Compile numeric kernels with numba, in one place and with one set of options.

Kernels release the interpreter lock (``nogil``), so callers spread them over threads with
:func:`threaded`; they are cached on disk, so only the first run of a machine pays for compiling.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TypeVar, cast

import numba
from threadpoolctl import ThreadpoolController

Kernel = TypeVar("Kernel", bound=Callable[..., object])

_FAST = {"contract", "reassoc", "nsz"}


def compiled(function: Kernel) -> Kernel:
    """Return ``function`` compiled for strict IEEE arithmetic (NaN stays NaN)."""
    return cast(Kernel, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def compiled_fast(function: Kernel) -> Kernel:
    """Return ``function`` compiled with reassociation and fused multiply-add.

    For sums over channels, which only vectorise when the order of additions is free. NaN and
    infinity keep their meaning: only ``contract``, ``reassoc`` and ``nsz`` are granted.
    """
    jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
    return cast(Kernel, jit(function))


def inlined_fast(function: Kernel) -> Kernel:
    """Return ``function`` for use in kernels of :func:`compiled_fast` alone, written into them.

    A kernel that a process has compiled calls others as they stand alone, one from the cache as
    they were compiled into it. With free order of additions the two differ in the last bits, so
    that the first run on a machine would differ from all others.
    """
    jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST, inline="always")
    return cast(Kernel, jit(function))


def worker_count(workers: int | None) -> int:
    """Return the number of threads to use: ``workers``, or every core this process may use."""
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, workers)


def threaded(task: Callable[[int, int], None], n_items: int, *, workers: int | None) -> None:
    """Call ``task(start, stop)`` on consecutive parts of ``range(n_items)``, in threads.

    More parts than threads are made, so that a slow part does not leave a core idle. The parts do
    not depend on how many threads there are, so neither may the result.
    """
    part = max(1, -(-n_items // 64))
    starts = range(0, n_items, part)
    count = worker_count(workers)
    if count == 1:
        for start in starts:
            task(start, min(start + part, n_items))
        return
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(task, start, min(start + part, n_items)) for start in starts]
        for future in futures:
            future.result()


def single_threaded_algebra() -> AbstractContextManager[object]:
    """Return a context in which matrix products and factorisations start no threads of their own.

    It begins with the call, and for good where it is not used in a ``with`` statement.
    Inside :func:`threaded` those would compete with ours, and for the small matrices of a fit they
    cost more than they save: many times more on a machine that has something else to do.
    """
    return cast(AbstractContextManager[object], _algebra().limit(limits=1))


@lru_cache(maxsize=1)
def _algebra() -> ThreadpoolController:
    """Look for libraries with threads once: it takes milliseconds."""
    return ThreadpoolController()
