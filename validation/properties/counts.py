"""Counts: sixteen times the photons make a quarter of the error.

In a uniform sample, where neither blur nor interpolation can move a lattice parameter, the mean
square of errors over n independent voxels is inversely proportional to the photons, but for what
a hundredth of a channel leaves. So

    msq(16 N) ≤ F(n′, n) · msq(N) / 16 + (hundredth of a channel)²,

with F the quantile of Fisher's distribution that a right pipeline passes with 1e-7 (4.2 for 60
voxels in either scan). And no voxel is recovered with few photons but not with many.

It finds pipelines that throw counts away or add errors of their own.
"""

from __future__ import annotations

import numpy as np

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Measured, Pipeline, measure
from validation.properties.statistics import deep, independent, largest_variance_ratio

_PHOTONS_PER_POINT = 2e7
_FACTOR = 16.0


def improvement_with_counts(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless more photons make smaller errors.

    The particles are made uniform, and seen with 2e7 and 3.2e8 photons a point over a full turn by
    a scan wide enough for all; without what :func:`subjects.lawful` leaves out. Two scans.
    """
    law = "improvement_with_counts"
    asked = subjects.lawful(subjects.subject(experiment, subjects.ball(), seed))
    wide = subjects.in_view(subjects.changed(asked, scan=subjects.full_turn(asked.scan)))
    flux_per_s = _PHOTONS_PER_POINT / wide.scan.exposure_s
    few = subjects.uniform(subjects.with_flux(wide, flux_per_s))
    many = subjects.with_flux(few, _FACTOR * flux_per_s)
    before, after = (measure(pipeline, one, law=law) for one in (few, many))
    found = _complaint(before, after)
    if found is not None:
        raise PropertyError(law, found, [few, many])


def _complaint(before: Measured, after: Measured) -> str | None:
    lost = deep(before) & ~after.converged
    if lost.any():
        return f"{int(lost.sum())} voxels recovered before are not with {_FACTOR:g} times the flux"
    (n_few, few_A2), (n_many, many_A2) = _mean_square(before), _mean_square(after)
    if min(n_few, n_many) == 0:
        return None
    floor_A = subjects.place_allowance_A(before.experiment, subjects.uniform_lattice_A())
    most_A2 = largest_variance_ratio(n_many, n_few) * few_A2 / _FACTOR + floor_A**2
    if many_A2 > most_A2:
        return (
            f"{_FACTOR:g} times the flux bring the RMS error from {np.sqrt(few_A2):.3g} to "
            f"{np.sqrt(many_A2):.3g} Å, where at most {np.sqrt(most_A2):.3g} Å are allowed"
        )
    return None


def _mean_square(found: Measured) -> tuple[int, float]:
    """Return the number of independent voxels and their mean square error, Å²."""
    chosen = independent(deep(found))
    if not chosen.any():
        return 0, 0.0
    error_A = found.maps.a_A[chosen] - subjects.uniform_lattice_A()
    return int(chosen.sum()), float(np.mean(error_A**2))
