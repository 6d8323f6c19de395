"""All exposures of one scan on the detector, in any order.

Where noise is switched off frames are means, stored as whole numbers of 1/1024 photon, as if the
exposure had been 1024 times longer and the electronics had not noticed.

Whoever makes frames holds matrix products to one thread
(:func:`xrdct.compiled.single_threaded_algebra`): with several they split sums otherwise, and now
and then rounding puts a photon into another pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from forward.conditions import Conditions
from forward.frames import (
    FrameModel,
    LineTables,
    expected_photons,
    line_tables,
    mean_recorded,
    recorded_counts,
)
from forward.philox import stream_key
from xrdct.scan import Scan

QUIET_COUNTS_PER_PHOTON = 1024
_LINES_KEPT = 4
_TRANSMITTED_KEY = 0x7472


class FrameScanner:
    """Makes the frames of a scan, by their place in the raster (angle · n_offsets + offset)."""

    def __init__(
        self,
        model: FrameModel,
        *,
        scan: Scan,
        conditions: Conditions,
        seed: int,
        scan_number: int = 0,
    ) -> None:
        self.model, self.scan, self.conditions = model, scan, conditions
        self.seed, self.scan_number = seed, scan_number
        self._key = stream_key(seed, scan_number)
        self._behind: dict[int, NDArray[np.float64]] = {}
        self._tables = lru_cache(maxsize=_LINES_KEPT)(self._make_tables)

    @property
    def counts_per_photon(self) -> int:
        """One, or what a photon counts in frames without noise."""
        return 1 if self.model.virtual.effects.noise else QUIET_COUNTS_PER_PHOTON

    def frame(self, index: int) -> NDArray[np.int32]:
        """Return one frame, int32 (row, column): gaps −1, dead pixels −2."""
        line, offset = divmod(index, self.scan.n_offsets)
        expected = expected_photons(
            self.model, self._tables(line), offset, key=self._key, frame=index
        )
        exposure_s = self.scan.exposure_s
        if self.model.virtual.effects.noise:
            return recorded_counts(
                self.model, expected, exposure_s=exposure_s, key=self._key, frame=index
            )
        mean = mean_recorded(self.model, expected, exposure_s=exposure_s)
        return np.where(mean < 0.0, mean, np.rint(mean * QUIET_COUNTS_PER_PHOTON)).astype(np.int32)

    def transmitted(self, line: int) -> NDArray[np.float64]:
        """Return the photons counted behind the sample in one projection, (offset,)."""
        expected = self._behind[line] if line in self._behind else self._tables(line).transmitted
        if not self.model.virtual.effects.noise:
            return expected
        sequence = np.random.SeedSequence(
            self.seed, spawn_key=(self.scan_number, _TRANSMITTED_KEY, line)
        )
        return np.random.Generator(np.random.Philox(sequence)).poisson(expected).astype(float)

    def all_transmitted(self) -> NDArray[np.float64]:
        """Return the photons counted behind the sample at every point, (angle, offset)."""
        return np.array([self.transmitted(line) for line in range(self.scan.n_angles)])

    def _make_tables(self, line: int) -> LineTables:
        tables = line_tables(
            self.model, scan=self.scan, conditions=self.conditions, line=line, seed=self.seed,
            scan_number=self.scan_number,
        )  # fmt: skip
        self._behind[line] = tables.transmitted
        return tables
