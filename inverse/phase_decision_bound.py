"""How unlikely chance makes a signal of z standard deviations, at one place or anywhere on a path.

An amount that may not be negative makes the likelihood ratio of "present" against "absent"
u = max(z, 0)², where z is the fitted amount over its esd: half zero and half χ² with one degree of
freedom, where the phase is absent (Chernoff). So P(u > c²) = 1 − Φ(c).

Where the phase's cell is free, there is a z for every cell, and none of them is the right one if
the phase is absent. With unit vectors e(a) for the normalised pattern of each cell, z(a) = e(a)·n
for white noise n, and

    P(max z > c) ≤ 1 − Φ(c) + L/(2π)·exp(−c²/2),      L = ∫ |de/da| da.

The second term is the mean number of up-crossings of c, ⟨N(u)⟩ = ⟨N(u₀)⟩ exp(−(u − u₀)/2) with
u = c² (Davies; Gross & Vitells), and L the length of the path that e(a) draws on the unit sphere
(Hotelling). For a grid of cells L is the sum of the angles between neighbours, and the bound holds
as it stands: on the great circle between two of them, z crosses c if it does so from one to the
other. A path in pieces adds 1 − Φ(c) for every piece.

Source: Chernoff, Ann. Math. Stat. 25 (1954) 573; Davies, Biometrika 74 (1987) 33; Gross & Vitells,
Eur. Phys. J. C 70 (2010) 525; Hotelling, Am. J. Math. 61 (1939) 440.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from xrdct.errors import InputError

Floats = NDArray[np.float64]

_SMALLEST, _LARGEST = 1e-12, 0.5
_BISECTIONS = 60


def local_p_value(z: ArrayLike) -> Floats:
    """Return the chance of an amount of ``z`` esd or more where there is none: 1 − Φ(z), or 1."""
    z = np.asarray(z, dtype=np.float64)
    return np.where(z > 0.0, ndtr(-z), np.where(np.isnan(z), np.nan, 1.0))


def global_p_value(z: ArrayLike, *, path_rad: ArrayLike, pieces: ArrayLike = 1) -> Floats:
    """Return the chance that z exceeds ``z`` > 0 anywhere on a path, at most 1; broadcasts."""
    z = np.asarray(z, dtype=np.float64)
    crossings = expected_crossings(z, path_rad=path_rad)
    total = np.minimum(np.asarray(pieces) * ndtr(-z) + crossings, 1.0)
    return np.where(z > 0.0, total, np.where(np.isnan(z), np.nan, 1.0))


def expected_crossings(z: ArrayLike, *, path_rad: ArrayLike) -> Floats:
    """Return the mean number of up-crossings of the level ``z`` along a path."""
    return np.asarray(np.asarray(path_rad) / (2.0 * np.pi) * np.exp(-0.5 * np.square(z)))


def local_threshold(false_alarm: float) -> float:
    """Return the z that chance exceeds with a probability of ``false_alarm``.

    Raises InputError unless that is within 1e-12 to 0.5.
    """
    return float(-ndtri(checked_false_alarm(false_alarm)))


def global_threshold(false_alarm: float, *, path_rad: ArrayLike, pieces: ArrayLike = 1) -> Floats:
    """Return the z that chance exceeds anywhere on a path with at most that probability.

    Raises InputError as :func:`local_threshold`.
    """
    low = np.full(np.broadcast(path_rad, pieces).shape, local_threshold(false_alarm))
    high = low + 12.0  # a path of 1e6 turns needs less
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        over = global_p_value(middle, path_rad=path_rad, pieces=pieces) > false_alarm
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return high


def checked_false_alarm(false_alarm: float) -> float:
    """Return a false-alarm probability; `InputError` unless within 1e-12 to 0.5."""
    if not _SMALLEST <= false_alarm <= _LARGEST:
        raise InputError(
            f"a false-alarm probability must lie within {_SMALLEST:g} to {_LARGEST:g}, not "
            f"{false_alarm:g}"
        )
    return false_alarm
