"""Simulated and recovered scans in a folder, each made once and known by its hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps, read_maps
from inverse.refine import Status
from inverse.segment import Particles, particles_of
from phantoms.sample import Sample
from validation.batch.work import outcome_key
from validation.experiment import Experiment
from validation.laboratory import as_seen
from validation.run import RunFiles, run
from validation.truth import Truth
from validation.truthfile import read_truth
from xrdct.rawfile import RawScan, read_raw_scan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Progress = Callable[[str, float], None]
_HASH_DIGITS = 16


@dataclass(frozen=True, eq=False)
class Slice:
    """A scan of one plane: what was measured, what was made of it, and what is true."""

    experiment: Experiment
    files: RunFiles
    maps: Maps
    truth: Truth
    workers: int | None = None

    @cached_property
    def particles(self) -> Particles:
        """What the maps show of particles."""
        maps = self.maps
        return particles_of(
            maps.volume_fraction, measured=self.measured, step_um=maps.scan.step_um,
            settings=maps.recipe.regions,
        )  # fmt: skip

    @cached_property
    def sample(self) -> Sample:
        """What was measured, as the experiment describes it, where the scan sees it."""
        return as_seen(self.experiment.build_sample(), self.experiment)

    @property
    def measured(self) -> Bools:
        """Voxels in view, shape (y, x)."""
        return np.asarray(self.maps.status != Status.NOT_MEASURED)

    @property
    def true_a_A(self) -> Floats:
        """The true lattice parameter where voxels in view hold as much material as is refined."""
        enough = self.truth.volume_fraction >= self.maps.recipe.min_volume_fraction
        return np.where(enough & self.measured, self.truth.a_A, np.nan)

    def raw(self) -> RawScan:
        """Return the raw scan, read from its file."""
        return read_raw_scan(self.files.scan)

    def others(self) -> dict[str, RawScan]:
        """Return the scans of the surroundings."""
        return {name: read_raw_scan(self.files.other_scan(name)) for name in self.experiment.scans}


class Sets:
    """Makes scans as they are asked for, and finds those that are there already."""

    def __init__(
        self, folder: Path, *, workers: int | None = None, progress: Progress | None = None
    ) -> None:
        """Keep scans in subfolders of ``folder``."""
        self._folder, self._workers = folder, workers
        self._tell = progress or (lambda _step, _fraction: None)
        self._read: dict[str, Slice] = {}

    def get(self, experiment: Experiment) -> Slice:
        """Return a scan, simulated and recovered unless it lies complete in the folder."""
        name = folder_name(experiment)
        if name not in self._read:
            self._read[name] = self._made(experiment, RunFiles(self._folder / name))
        return self._read[name]

    def _made(self, experiment: Experiment, files: RunFiles) -> Slice:
        if not files.metrics.exists():
            run(
                experiment, files.folder, workers=self._workers,
                progress=lambda step, fraction: self._tell(f"{experiment.name}: {step}", fraction),
            )  # fmt: skip
        maps, truth = read_maps(files.maps), read_truth(files.truth).truth
        return Slice(experiment, files, maps, truth, self._workers)


def folder_name(experiment: Experiment) -> str:
    """Return the name of a scan's folder: what it is, and the hash of experiment and code."""
    words = "_".join(experiment.name.replace(",", "").split())
    return f"{words}-{outcome_key(experiment, None)[:_HASH_DIGITS]}"
