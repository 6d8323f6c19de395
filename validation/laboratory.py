"""An experiment set up to be measured: sample, instrument, detector, the course of every scan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from forward.conditions import Conditions, scan_conditions
from forward.frame_scan import FrameScanner
from forward.frames import FrameModel, frame_model
from forward.instrument import TrueInstrument, true_instrument
from forward.pattern_statistics import PatternStatistics, pattern_statistics
from forward.states import REFERENCE_A
from forward.virtual import Virtual, prepare
from inverse.recipe import Recipe
from phantoms.operando import knot_times_s, sample_at
from phantoms.sample import Sample
from validation.experiment import Experiment
from xrdct.scan import Scan

Mode = Literal["patterns", "frames"]


@dataclass(frozen=True, eq=False)
class Laboratory:
    """Everything that a measurement needs."""

    experiment: Experiment
    sample: Sample
    """As it is before any current flows."""
    instrument: TrueInstrument
    conditions: tuple[Conditions, ...]
    """Of every scan, the one to reconstruct first: they follow each other in time."""

    @property
    def scans(self) -> list[Scan]:
        """All scans, in the same order."""
        return list(self.experiment.all_scans().values())

    def sample_at(self, time_s: float) -> Sample:
        """Return the sample at a time since the experiment began."""
        experiment = self.experiment
        if not experiment.effects.operando:
            return self.sample
        return sample_at(self.sample, experiment.operando, time_s=time_s, seed=experiment.seed)

    def prepared(self, mode: Mode, *, workers: int | None = None) -> Virtual:
        """Return the sample made ready to be scanned."""
        experiment = self.experiment
        return prepare(
            self.sample, beam=experiment.beam, detector=experiment.detector,
            geometry=experiment.geometry, truth=self.instrument, effects=experiment.effects,
            accuracy=experiment.accuracy, cell=experiment.cell, frames=mode == "frames",
            sensor_corrected=experiment.recipe.integration.sensor_parallax,
            times_s=self._knot_times_s(), sample_at=self.sample_at, workers=workers,
        )  # fmt: skip

    def statistics(self, recipe: Recipe) -> PatternStatistics | None:
        """Return what the recipe's integration does to patterns; None where it takes the mean.

        Clipping is no different: there are no outliers in pattern mode.
        """
        lower, upper = recipe.integration.left_out
        if lower == 0.0 and upper == 0.0:
            return None
        experiment = self.experiment
        return pattern_statistics(
            experiment.geometry, detector=experiment.detector, lower=lower, upper=upper,
            grains=experiment.grains,
        )  # fmt: skip

    def detector(self, virtual: Virtual) -> FrameModel:
        """Return the prepared sample in front of the detector with its faults."""
        experiment = self.experiment
        return frame_model(
            virtual, grains=experiment.grains, faults=experiment.faults, seed=experiment.seed
        )

    def scanner(self, model: FrameModel, number: int) -> FrameScanner:
        """Return what makes the frames of scan ``number``."""
        return FrameScanner(
            model, scan=self.scans[number], conditions=self.conditions[number],
            seed=self.experiment.seed, scan_number=number,
        )  # fmt: skip

    def _knot_times_s(self) -> list[float]:
        experiment = self.experiment
        if not experiment.effects.operando or not experiment.operando.filled_change_per_h:
            return [0.0]
        times_s = knot_times_s(
            self.sample, experiment.operando,
            duration_s=sum(scan.beam_time_s for scan in self.scans),
            max_lattice_step_A=REFERENCE_A * experiment.accuracy.state_spacing,
            seed=experiment.seed,
        )  # fmt: skip
        return [float(time) for time in times_s]


def laboratory(experiment: Experiment) -> Laboratory:
    """Build the sample and draw the instrument and the course of every scan.

    Raises InputError for a sample that cannot be built.
    """
    scans = experiment.all_scans().values()
    ends_s = np.cumsum([scan.beam_time_s for scan in scans])
    return Laboratory(
        experiment=experiment,
        sample=experiment.build_sample(),
        instrument=true_instrument(
            experiment.unknowns, beam=experiment.beam, detector=experiment.detector,
            geometry=experiment.geometry, seed=experiment.seed,
        ),
        conditions=tuple(
            scan_conditions(
                scan, beam=experiment.beam, motion=experiment.motion, flux=experiment.flux,
                effects=experiment.effects, seed=experiment.seed, scan_number=number,
                start_s=float(end_s) - scan.beam_time_s,
            )
            for number, (scan, end_s) in enumerate(zip(scans, ends_s, strict=True))
        ),
    )  # fmt: skip


def compared_sample(lab: Laboratory) -> Sample:
    """Return the sample with which maps are compared: halfway through the scan to reconstruct."""
    experiment = lab.experiment
    return as_seen(lab.sample_at(0.5 * experiment.scan.beam_time_s), experiment)


def as_seen(sample: Sample, experiment: Experiment) -> Sample:
    """Return the sample where scans see it.

    A run-out of the axis once per turn is the same as a displaced sample, so that no map can be
    asked where particles were without it. A drift is left out: it blurs as well, and that is to
    count.
    """
    if not experiment.effects.motion:
        return sample
    return displaced(sample, *experiment.motion.seen_displacement_um)


def displaced(sample: Sample, x_um: float, y_um: float) -> Sample:
    """Return the sample with all particles moved."""
    if x_um == y_um == 0.0:
        return sample
    moved = (
        particle.model_copy(update={"centre_um": (x + x_um, y + y_um, z)})
        for particle in sample.particles
        for x, y, z in (particle.centre_um,)
    )
    return replace(sample, particles=tuple(moved))
