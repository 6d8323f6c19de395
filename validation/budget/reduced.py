"""A smaller experiment that has the errors of a large one.

Of an electrode so many times smaller, as many times fewer offsets of the same step and fewer angles
see the same share, and streak alike: both the share outside the window and N step / D stay. The
crystallites that a ray meets become fewer and with them the angles over which their scatter is
averaged, so that it stays as large in a voxel. Scans of the surroundings keep what they see of the
sample, and N step / D, with the step and both numbers changed by the root of the factor.

What changes with time is so many times faster as the scan is shorter. Not alike are parallax and
the particles' absorption, which grow with the sample's size, and what trimming takes of spotty
rings, which is more where a ray meets fewer crystallites; cell, beam, particles and detector keep
theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from phantoms.library import Electrode
from validation.experiment import Experiment
from xrdct.scan import Scan

N_OFFSETS = 75
"""Offsets from which on a scan is made smaller, and to which."""
_FEWEST_LARGEST_PARTICLES = 5.0
"""Diameter of the smaller electrode at least, in diameters of the largest particle."""


@dataclass(frozen=True)
class Reduced:
    """An experiment in place of a larger one."""

    experiment: Experiment
    factor: float
    """By which sample and numbers of offsets and angles were multiplied; 1: it is the same."""

    def told(self) -> str:
        """Return in a sentence or two what was done; empty where nothing was."""
        if self.factor == 1.0:
            return ""
        sample, scan = self.experiment.sample, self.experiment.scan
        across = f"{sample.diameter_um:.0f} µm" if isinstance(sample, Electrode) else "smaller"
        return (
            f"Answered on an electrode of {across}, seen by {scan.n_offsets} offsets at "
            f"{scan.n_angles} angles: {self.factor:.3g} times the real size, truncated and "
            "undersampled alike. Parallax and absorption by the particles grow with the sample and "
            "cost more at the real size (--full)." + _of_trimming(self.experiment)
        )


def _of_trimming(experiment: Experiment) -> str:
    """Return a sentence where trimming does more to the smaller experiment; else nothing."""
    countable = experiment.effects.grains and getattr(experiment.sample, "grain_um", None)
    _, brightest = experiment.recipe.integration.left_out
    if not countable or brightest == 0.0:
        return ""
    return " Trimming costs less at the real size, where a ray meets more crystallites."


def reduced(experiment: Experiment, *, n_offsets: int = N_OFFSETS) -> Reduced:
    """Return the experiment on a smaller electrode, or itself where that is not called for.

    Only electrodes of the library can be made smaller, and only scans of uniform angles.
    """
    sample, scans = experiment.sample, list(experiment.all_scans().values())
    if not isinstance(sample, Electrode) or any(scan.angles_deg is not None for scan in scans):
        return Reduced(experiment, 1.0)
    smallest = _FEWEST_LARGEST_PARTICLES * sample.largest_particle_um / sample.diameter_um
    factor = max(n_offsets / experiment.scan.n_offsets, smallest)
    if factor >= 1.0:
        return Reduced(experiment, 1.0)
    changed = {
        "sample": sample.model_copy(update={"diameter_um": factor * sample.diameter_um}),
        "scan": _smaller(experiment.scan, factor, step=1.0),
        "scans": {
            name: _smaller(scan, math.sqrt(factor), step=math.sqrt(factor))
            for name, scan in experiment.scans.items()
        },
    }
    smaller = experiment.model_copy(update=changed)
    return Reduced(_faster(smaller, experiment.scan.beam_time_s / smaller.scan.beam_time_s), factor)


def _faster(experiment: Experiment, ratio: float) -> Experiment:
    """Let all that changes with time do so many times faster."""
    motion, flux, operando = experiment.motion, experiment.flux, experiment.operando
    refill_h = None if flux.refill_h is None else flux.refill_h / ratio
    return experiment.model_copy(
        update={
            "motion": motion.model_copy(update={"drift_um_per_h": ratio * motion.drift_um_per_h}),
            "flux": flux.model_copy(
                update={"decay_per_h": ratio * flux.decay_per_h, "refill_h": refill_h}
            ),
            "operando": operando.model_copy(
                update={
                    "filled_change_per_h": ratio * operando.filled_change_per_h,
                    "onset_s": operando.onset_s / ratio,
                }
            ),
        }
    )


def _smaller(scan: Scan, factor: float, *, step: float) -> Scan:
    numbers = {
        "n_offsets": max(2, round(factor * scan.n_offsets)),
        "n_angles": max(1, round(factor * scan.n_angles)),
        "step_um": step * scan.step_um,
    }
    return scan.model_copy(update=numbers)
