"""Make detector frames on a `distributed` cluster, to be written here.

The unit of work is a short run of frames of one scan, sent back as the chunks that a shard stores,
so that little travels. A frame depends on experiment, scan and place in the raster only: a unit
whose worker dies is done again elsewhere, and bytes are those of this machine. Each worker
prepares the experiment once. A unit takes one thread; start workers with as many as cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

from forward.frame_scan import FrameScanner
from validation.batch.cluster import Cluster, told_if_lost
from validation.batch.work import outcome_key
from validation.experiment import Experiment
from validation.laboratory import laboratory
from xrdct.bitshuffle import compressed
from xrdct.compiled import single_threaded_algebra

FRAMES_PER_UNIT = 16
_UNITS_PER_THREAD = 3
"""In flight: one being made, one waiting, one under way."""
_preparing = Lock()


@dataclass(frozen=True)
class Source:
    """An experiment as it is sent to workers, told from others by its key alone."""

    key: str
    """Of the experiment, the crystals it names, and the code."""
    experiment: Experiment = field(compare=False)


def encoded_frames(source: Source, scan_number: int, places: Sequence[int]) -> list[bytes]:
    """Return the chunks of the frames at these places in the raster of a scan."""
    with _preparing:  # the first unit prepares for all threads of its worker
        scanner = _scanners(source)[scan_number]
    return [compressed(scanner.frame(place)) for place in places]


@lru_cache(maxsize=1)
def _scanners(source: Source) -> list[FrameScanner]:
    single_threaded_algebra()  # for good, as units in several threads come and go
    lab = laboratory(source.experiment)
    model = lab.detector(lab.prepared("frames"))
    return [lab.scanner(model, number) for number in range(len(lab.scans))]


@dataclass(frozen=True)
class FrameMakers:
    """The workers of a cluster, which make frames of one experiment."""

    client: Any
    source: Source

    def chunks(self, scan_number: int, places: Sequence[int]) -> Generator[bytes, None, None]:
        """Yield the chunks of frames, given by their places in the raster, in the same order.

        Raises InputError where the cluster is lost.
        """
        starts = range(0, len(places), FRAMES_PER_UNIT)
        units = (places[start : start + FRAMES_PER_UNIT] for start in starts)
        ahead: deque[Any] = deque()
        try:
            with told_if_lost():
                self._fill(ahead, units, scan_number)
                while ahead:
                    yield from _result(ahead.popleft())
                    self._fill(ahead, units, scan_number)
        finally:
            self.client.cancel(list(ahead))

    def _fill(self, ahead: deque[Any], units: Iterator[Sequence[int]], scan_number: int) -> None:
        """Send out units until enough are in flight for the workers that there are now."""
        n_wanted = _UNITS_PER_THREAD * max(1, sum(self.client.nthreads().values()))
        while len(ahead) < n_wanted:
            unit = next(units, None)
            if unit is None:
                return
            ahead.append(
                self.client.submit(encoded_frames, self.source, scan_number, unit, pure=False)
            )


def _result(future: Any) -> list[bytes]:
    """Return a unit's chunks; what a worker could not read is not the fault of our disk."""
    try:
        return list(future.result())
    except OSError as error:
        raise RuntimeError("frames could not be made on the cluster") from error


@contextmanager
def frame_makers(experiment: Experiment, cluster: Cluster | None) -> Iterator[FrameMakers | None]:
    """Give the workers of a cluster; None without one.

    Raises InputError where no scheduler answers.
    """
    if cluster is None:
        yield None
        return
    with cluster.client() as client:
        yield FrameMakers(client, Source(outcome_key(experiment, None), experiment))
