"""Flux: four times the photons show the same sample with half the uncertainty.

Counts are proportional to the incident photons, so lattice parameters and amounts do not change:
|z| of their differences stays below the normal quantile that Bonferroni's inequality gives for a
false alarm in 1e-7. Standard uncertainties of counting go with the inverse square root of the
photons: twice the ratio of their medians is 1, within what their own noise does to them. An
uncertainty of a lattice parameter is inversely proportional to the amount, and that of an amount is
that of counts, so they are known to the relative uncertainty of the amount, times the normal
quantile, and a hundredth.

It finds pipelines that do not divide by the photons of each point, or whose uncertainties do not
come from counts.
"""

from __future__ import annotations

import numpy as np

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Pipeline, measure
from validation.properties.statistics import Seen, critical_z, disagreement

_FACTOR = 4.0


def flux_scaling(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless results are independent of the flux, and their noise is not.

    Without what :func:`subjects.lawful` leaves out. Two scans, of the same seed: another would draw
    another random sample. Where that gives both like noise, the test is the milder for it.
    """
    law = "flux_scaling"
    first = subjects.lawful(subjects.subject(experiment, subjects.pair(), seed))
    second = subjects.with_flux(first, _FACTOR * first.beam.flux_per_s)
    before, after = (Seen.of(measure(pipeline, one, law=law)) for one in (first, second))
    found = disagreement(before, after, least_amount=first.recipe.min_volume_fraction)
    if found is None:
        found = _uncertainties(before, after)
    if found is not None:
        sentence = f"of {_FACTOR:g} times the flux, {found}"
        raise PropertyError(law, sentence, [first, second])


def _uncertainties(before: Seen, after: Seen) -> str | None:
    both = before.clear(0.0) & after.clear(0.0)
    if not both.any():
        return None
    relative = float(np.median(before.amount_esd[both] / before.amount[both]))
    tolerance = subjects.SYSTEMATIC + critical_z(2) * relative
    for name in ("a_esd_A", "amount_esd"):
        ratio = np.sqrt(_FACTOR) * getattr(after, name)[both] / getattr(before, name)[both]
        median = float(np.median(ratio))
        if abs(median - 1.0) > tolerance:
            what = "lattice parameters" if name == "a_esd_A" else "amounts"
            return (
                f"the uncertainties of {what} are {median / np.sqrt(_FACTOR):.3f} of those before, "
                f"where counting gives {1.0 / np.sqrt(_FACTOR):.3f} to a share of {tolerance:.3f}"
            )
    return None
