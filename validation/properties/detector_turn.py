"""Turned detector: the same sample is found wherever about the beam the detector stands.

Rings of horizontally polarised light are dimmed beside the beam by cos²2θ and not above it. What
is told of the sample depends on neither: amounts and lattice parameters of the detector turned by
90° about the beam agree within noise, |z| below the normal quantile that Bonferroni's inequality
gives for a false alarm in 1e-7, beside a hundredth of the amount and a hundredth of a channel.

It finds a forgotten polarisation, and one that is corrected along the wrong axis, where a detector
stands on one side of the beam; one about it shows too little of that.
"""

from __future__ import annotations

import math

import numpy as np

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Pipeline, measure
from validation.properties.placed_detector import at_detector
from validation.properties.statistics import Allowance, Seen, disagreement


def detector_turn(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless maps do not depend on where about the beam the detector stands.

    Without parallax, exit path and what :func:`subjects.lawful` leaves out. Two scans.
    """
    law = "detector_turn"
    own = at_detector("detector_turn", 0, mode="patterns")
    asked = subjects.lawful(subjects.subject(experiment, own, seed))
    first = subjects.switched_off(asked, "parallax", "exit_path")
    second = turned(first)
    before, after = (measure(pipeline, one, law=law) for one in (first, second))
    truth = after.truth
    allowance = Allowance(
        a_A=subjects.place_allowance_A(first, float(np.nanmax(truth.a_A, initial=0.0))),
        amount=subjects.SYSTEMATIC * np.nan_to_num(truth.volume_fraction),
    )
    found = disagreement(
        Seen.of(before), Seen.of(after), least_amount=first.recipe.min_volume_fraction,
        allowance=allowance, among=truth.eroded & ~truth.two_lattices,
    )  # fmt: skip
    if found is not None:
        sentence = f"of the detector turned by 90° about the beam, {found}"
        raise PropertyError(law, sentence, [first, second])


def turned(experiment: Experiment) -> Experiment:
    """Return the experiment with its detector turned by 90° about the beam."""
    turn_rad = experiment.geometry.rot3_rad + 0.5 * math.pi
    if turn_rad > math.pi:
        turn_rad -= 2.0 * math.pi
    geometry = experiment.geometry.model_copy(update={"rot3_rad": turn_rad})
    return subjects.changed(experiment, geometry=geometry)
