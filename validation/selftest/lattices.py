"""Lattice parameters and their uncertainties, of a uniform particle where no blur can move them.

Of every third voxel in either direction, deep inside: the mean error stays below a hundredth of a
channel in the place of lines and the normal quantile of its standard uncertainty, which their own
scatter gives; errors over stated uncertainties, their mean taken off, have a variance between the
quantiles of χ²/(n − 1).
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from validation.properties import subjects
from validation.properties.statistics import APART, critical_z, independent, variance_band
from validation.selftest.cases import X_OF_BALL
from validation.selftest.evidence import Evidence
from validation.selftest.verdict import Verdict, failed, not_asked, passed

_FEWEST = 20
_CHECKS = ("lattice parameters", "uncertainties")
_DEGREES_PER_RADIAN = 180.0 / math.pi
_NEAR = 0.05
_SAME = 0.25
"""Share by which the same factor may differ: gradients are blurred."""

Floats = NDArray[np.float64]


def lattice_verdicts(ball: Evidence, trio: Evidence) -> list[Verdict]:
    """Return what the maps of the uniform particle tell; those of the trio help to name it."""
    if ball.maps is None:
        refused = _refused(ball.reason)
        first = refused or not_asked(_CHECKS[0], "there are no maps of the ball")
        return [first, not_asked(_CHECKS[1], "there are no maps of the ball")]
    chosen = independent(ball.deep)
    n = int(chosen.sum())
    if n < _FEWEST:
        due = int(independent(ball.truth.eroded).sum())
        sentence = f"only {n} of some {due} voxels inside the ball have a lattice parameter"
        return [Verdict(_CHECKS[0], "failed", sentence), not_asked(_CHECKS[1], sentence)]
    error_A = ball.maps.a_A[chosen] - subjects.uniform_lattice_A(X_OF_BALL)
    esd_A, total_A = ball.maps.a_esd_noise_A[chosen], ball.maps.a_esd_total_A[chosen]
    stated = np.isfinite(esd_A) & (esd_A > 0.0)
    first = _mean(error_A, ball, trio)
    if not stated.all():
        return [first, not_asked(_CHECKS[1], f"{n - int(stated.sum())} of {n} voxels state none")]
    return [first, _spread(error_A / esd_A, only_total=bool(np.array_equal(esd_A, total_A)))]


def _refused(reason: str) -> Verdict | None:
    """Return the verdict where maps were refused for the size of their lattice parameters.

    2θ in degrees that is taken for radians, or turned into radians twice, makes θ smaller by π/180
    and a = λ√N / (2 sin θ) larger by as much.
    """
    told = re.search(r"a_A has a median of ([0-9.e+-]+)", reason)
    if told is None:
        return None
    factor = float(told[1].rstrip(".")) / subjects.uniform_lattice_A(X_OF_BALL)
    named = "degrees" if abs(factor / _DEGREES_PER_RADIAN - 1.0) < _NEAR else ""
    more = f", {factor:.4g} times the true one (180/π is 57.30)" if named else ""
    return Verdict(_CHECKS[0], "failed", f"{reason.rstrip('.')}{more}", named)


def _mean(error_A: Floats, ball: Evidence, trio: Evidence) -> Verdict:
    a_A = subjects.uniform_lattice_A(X_OF_BALL)
    mean_A = float(np.mean(error_A))
    esd_A = float(np.std(error_A, ddof=1) / math.sqrt(error_A.size))
    allowed_A = subjects.place_allowance_A(ball.experiment, a_A) + critical_z(1) * esd_A
    told = (
        f"a of {error_A.size} voxels is wrong by a relative ({1e4 * mean_A / a_A:+.3f} ± "
        f"{1e4 * esd_A / a_A:.3f})e-4 on average, where {1e4 * allowed_A / a_A:.3f}e-4 are allowed"
    )
    if abs(mean_A) <= allowed_A:
        return passed(_CHECKS[0], told)
    if _is_a_factor(mean_A / a_A, esd_A / a_A, trio):
        more = ", and so it is in the trio: a wavelength or a distance wrong by that share does it"
        return failed(_CHECKS[0], told + more, named="lattice_scale")
    return failed(_CHECKS[0], f"{told}, but another in the trio, so it is no constant factor")


def _is_a_factor(share: float, esd: float, trio: Evidence) -> bool:
    """Return whether lattice parameters of particles with gradients are wrong by the same share.

    An error that comes from where a line falls among channels is another for every a.
    """
    if trio.maps is None:
        return False
    inside = trio.truth.eroded & ~trio.truth.two_lattices & np.isfinite(trio.maps.a_A)
    if int(inside.sum()) < _FEWEST:
        return False
    relative = trio.maps.a_A[inside] / trio.truth.a_A[inside] - 1.0
    theirs = float(np.mean(relative))
    their_esd = float(np.std(relative, ddof=1)) * APART / math.sqrt(relative.size)
    same = abs(theirs - share) < _SAME * abs(share) + 2.0 * math.hypot(esd, their_esd)
    return same and abs(theirs) > 2.0 * their_esd


def _spread(z: Floats, *, only_total: bool) -> Verdict:
    """Return whether uncertainties are those of the errors; a total one may be larger."""
    check, n = _CHECKS[1], z.size
    low, high = np.sqrt(variance_band(n))
    ratio = float(np.std(z, ddof=1))
    esd = ratio / math.sqrt(2.0 * (n - 1))
    told = (
        f"errors are {ratio:.2f} ± {esd:.2f} times the stated uncertainties in {n} voxels, where "
        f"{low:.2f} to {high:.2f} are due"
    )
    if low <= ratio <= high:
        return passed(check, told)
    if ratio < low and only_total:
        return passed(check, f"{told}; what is stated may hold more than noise")
    small = ratio > high
    factor = ratio if small else 1.0 / ratio
    # Two standard uncertainties: the name says which factor it is, not whether there is one.
    near = abs(factor - math.sqrt(2.0)) < 2.0 * factor * esd / ratio
    sentence = f"{told}: they are too {'small' if small else 'large'} by {factor:.2f}"
    return failed(check, sentence, named=("esd_small" if small else "esd_large") if near else "")
