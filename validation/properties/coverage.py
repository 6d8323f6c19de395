"""Coverage: errors are as large as the uncertainties say.

The sample is made uniform, where neither blur nor interpolation can move a lattice parameter, and
seen with few enough photons that noise dominates. Six scans that differ in nothing but their seed
give z = (a − truth)/esd of every third voxel in either direction inside particles: n independent
values. Then

- with esd of noise, the variance of z about its mean lies between the quantiles of χ²/(n − 1) that
  a right pipeline passes with 1e-7 (for n = 350, std z between 0.81 and 1.21);
- with the total esd, which may be larger, it does not exceed the upper one;
- the mean error is zero, within a hundredth of a channel and the quantile of the mean's esd.

It finds uncertainties wrong by √2, forgotten correlation, and lattice parameters off by 1e-4.
"""

from __future__ import annotations

import numpy as np

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Floats, Pipeline, measure
from validation.properties.statistics import critical_z, deep, independent, variance_band

_PHOTONS_PER_POINT = 1e8
_N_SCANS = 6


def uncertainty_coverage(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless stated uncertainties are those of the errors.

    The particles are made uniform, and seen with 1e8 photons a point over a full turn by a scan
    wide enough for all; without what :func:`subjects.lawful` leaves out. Six scans, with seeds that
    follow each other.
    """
    law = "uncertainty_coverage"
    asked = subjects.lawful(subjects.subject(experiment, subjects.ball(), seed))
    wide = subjects.in_view(subjects.changed(asked, scan=subjects.full_turn(asked.scan)))
    flux_per_s = _PHOTONS_PER_POINT / wide.scan.exposure_s
    first = subjects.uniform(subjects.with_flux(wide, flux_per_s))
    repeats = [subjects.changed(first, seed=first.seed + k) for k in range(_N_SCANS)]
    columns = [_errors(pipeline, one, law) for one in repeats]
    error_A, noise_A, total_A = np.concatenate(columns, axis=1)
    found = _complaint(error_A, noise_A, total_A, first)
    if found is not None:
        raise PropertyError(law, found, [first])


def _errors(pipeline: Pipeline, experiment: Experiment, law: str) -> Floats:
    """Return errors and both uncertainties of independent voxels, shape (3, voxel)."""
    found = measure(pipeline, experiment, law=law)
    chosen, maps = independent(deep(found)), found.maps
    error_A = maps.a_A - subjects.uniform_lattice_A()
    return np.array([v[chosen] for v in (error_A, maps.a_esd_noise_A, maps.a_esd_total_A)])


def _complaint(
    error_A: Floats, noise_A: Floats, total_A: Floats, experiment: Experiment
) -> str | None:
    n = error_A.size
    if n < 2:
        return None
    low, high = np.sqrt(variance_band(n))
    of_noise = float(np.std(error_A / noise_A, ddof=1))
    of_total = float(np.std(error_A / total_A, ddof=1))
    if not low <= of_noise <= high:
        return (
            f"errors over their esd of noise have a standard deviation of {of_noise:.3f} over {n} "
            f"independent voxels of {_N_SCANS} scans, where {low:.3f} to {high:.3f} are due"
        )
    if not of_total <= high:
        return (
            f"errors over their total esd have a standard deviation of {of_total:.3f} over {n} "
            f"independent voxels of {_N_SCANS} scans, where at most {high:.3f} is due"
        )
    mean_A = float(np.mean(error_A))
    esd_A = float(np.sqrt(np.mean(noise_A**2) / n))
    allowed_A = subjects.place_allowance_A(experiment, subjects.uniform_lattice_A())
    if abs(mean_A) > allowed_A + critical_z(2) * esd_A:
        return (
            f"the mean error of the lattice parameter is {mean_A:.2g} Å over {n} independent "
            f"voxels, where {allowed_A + critical_z(2) * esd_A:.2g} Å are allowed"
        )
    return None
