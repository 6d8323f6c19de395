"""Trimmed rings: leaving out the brightest pixels of a ring does not raise an amount.

Frames of one sample are integrated (:mod:`inverse.integrate`) by the mean of many photons, and by
the mean of few of which the brightest tenth of pixels is left out. Whatever that leaves out cannot
make an amount larger: amounts of the second are at most those of the first, within noise (the
normal quantile for a false alarm in 1e-7, of the mean over voxels deep inside, neighbours taken to
share their noise in threes) and a fiftieth. Leaving out the faintest in their place adds a tenth.

It finds trimming with its ends swapped, in the integration that comes before a pipeline, and
pipelines that take no counts with a variance of their own.
"""

from __future__ import annotations

import numpy as np

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Measured, Pipeline, measure
from validation.properties.placed_detector import at_detector, faint_and_trimmed
from validation.properties.statistics import critical_z

_ALLOWED = 0.02
_SHARED = 3.0
"""Voxels that share their noise, as far as a mean is concerned."""


def trimmed_rings(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError where leaving out the brightest pixels raises amounts.

    An experiment's frames are compared with and without their brightest tenth; one in patterns has
    no pixels, and is passed. Without what :func:`subjects.lawful` leaves out. Two scans.
    """
    law = "trimmed_rings"
    plain, trimmed = _two(experiment, seed)
    if plain.mode != "frames":
        return
    before, after = (_scale(measure(pipeline, one, law=law)) for one in (plain, trimmed))
    if before is None or after is None:
        return
    ratio = after[0] / before[0]
    most = 1.0 + _ALLOWED + critical_z(1) * float(np.hypot(before[1], after[1]))
    if ratio > most:
        sentence = (
            f"amounts without a ring's brightest tenth are {ratio:.3f} of those with it, where at "
            f"most {most:.3f} is due"
        )
        raise PropertyError(law, sentence, [plain, trimmed])


def _two(experiment: Experiment | None, seed: int | None) -> tuple[Experiment, Experiment]:
    if experiment is None:
        number = 0 if seed is None else seed
        return (
            at_detector("trimmed_rings", number, mode="frames"),
            faint_and_trimmed("trimmed_rings", number, mode="frames"),
        )
    asked = subjects.lawful(subjects.subject(experiment, experiment, seed))
    pair = []
    for update in (
        {"method": "mean"}, {"method": "trimmed", "lower_percent": 0.0, "upper_percent": 10.0}
    ):  # fmt: skip
        integration = asked.recipe.integration.model_copy(update=update)
        recipe = asked.recipe.model_copy(update={"integration": integration})
        pair.append(subjects.changed(asked, recipe=recipe))
    return pair[0], pair[1]


def _scale(found: Measured) -> tuple[float, float] | None:
    """Return amounts over true ones and the relative esd of that; None where none are recovered."""
    chosen = found.truth.eroded & np.isfinite(found.maps.volume_fraction)
    if int(chosen.sum()) < _SHARED:
        return None
    y, t = found.maps.volume_fraction[chosen], found.truth.volume_fraction[chosen]
    scale = float(y @ t / (t @ t))
    if scale <= 0.0:
        return None
    left = y - scale * t
    spread = float(np.sqrt(left @ left / (y.size - 1) * _SHARED / (t @ t)))
    return scale, spread / scale
