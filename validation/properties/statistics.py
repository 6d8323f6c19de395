"""Bounds of statistical laws, at a stated probability of a false alarm.

Errors of a linear reconstruction of counts are normal to a good approximation where amounts are
known to a thirtieth or better. Maxima over voxels are bounded by Bonferroni's inequality, which
holds whatever the correlation between voxels. Where sums over voxels are bounded, only every third
voxel in either direction counts: filtered back projection with interpolation between two rays
correlates direct neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from validation.properties.pipelines import Measured
from validation.truth import eroded

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FALSE_ALARM = 1e-7
"""Probability that a right pipeline with right uncertainties fails a law, for each law asked."""
CLEAR_SIGMA = 30.0
"""Amounts this many of their standard uncertainties large are compared."""
_DEEP_SIGMA = 10.0
APART = 3
"""Voxels from one independent error to the next."""


def critical_z(n_compared: int) -> float:
    """Return what |z| of ``n_compared`` normal variables exceeds with at most this probability."""
    return float(stats.norm.isf(FALSE_ALARM / (2.0 * max(n_compared, 1))))


def variance_band(n_independent: int) -> tuple[float, float]:
    """Return between what the variance of n unit normal variables lies, their mean taken off.

    Each end is passed with half the probability; (0, ∞) of fewer than two.
    """
    freedom = n_independent - 1
    if freedom < 1:
        return 0.0, float("inf")
    low = float(stats.chi2.ppf(0.5 * FALSE_ALARM, freedom)) / freedom
    high = float(stats.chi2.isf(0.5 * FALSE_ALARM, freedom)) / freedom
    return low, high


def largest_variance_ratio(n_above: int, n_below: int) -> float:
    """Return what the ratio of two equal variances, each from so many values, rarely exceeds."""
    if min(n_above, n_below) < 1:
        return float("inf")
    return float(stats.f.isf(FALSE_ALARM, n_above, n_below))


@dataclass(frozen=True, eq=False)
class Seen:
    """What is compared of maps: each of shape (y, x)."""

    a_A: Floats
    a_esd_A: Floats
    amount: Floats
    amount_esd: Floats
    converged: Bools

    @classmethod
    def of(cls, found: Measured) -> Seen:
        """Return lattice parameters and amounts with the uncertainties of noise."""
        maps = found.maps
        return cls(
            maps.a_A, maps.a_esd_noise_A, maps.volume_fraction, maps.volume_fraction_esd_noise,
            found.converged,
        )  # fmt: skip

    def rotated(self) -> Seen:
        """Return the maps of the sample turned by 90° from x towards y."""
        return Seen(
            np.rot90(self.a_A, -1), np.rot90(self.a_esd_A, -1), np.rot90(self.amount, -1),
            np.rot90(self.amount_esd, -1), np.rot90(self.converged, -1),
        )  # fmt: skip

    def moved(self, ix: int, iy: int) -> Seen:
        """Return the maps of the sample moved by whole pixels; what enters is unknown."""
        return Seen(
            _moved(self.a_A, ix, iy), _moved(self.a_esd_A, ix, iy), _moved(self.amount, ix, iy),
            _moved(self.amount_esd, ix, iy), _moved(self.converged.astype(float), ix, iy) == 1.0,
        )  # fmt: skip

    def clear(self, least_amount: float | Floats, *, sigma: float = CLEAR_SIGMA) -> Bools:
        """Return voxels with enough material to be compared."""
        sure = np.nan_to_num(self.amount) > sigma * np.nan_to_num(self.amount_esd)
        return np.asarray(
            self.converged & np.isfinite(self.a_A) & sure
            & (np.nan_to_num(self.amount) > least_amount)
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Allowance:
    """What may differ beside noise, each a number or of shape (y, x)."""

    a_A: float | Floats = 0.0
    amount: float | Floats = 0.0


def disagreement(
    one: Seen,
    other: Seen,
    *,
    least_amount: float,
    shift_A: float = 0.0,
    allowance: Allowance | None = None,
    among: Bools | None = None,
) -> str | None:
    """Return a sentence of what of ``other`` is not ``one`` plus ``shift_A``, or None.

    The noise of both is independent. Compared are lattice parameters and amounts of voxels clear in
    both (``among`` all); those clear in one must be converged in the other.
    """
    allow = allowance or Allowance()
    least = 2.0 * least_amount + np.asarray(allow.amount)
    asked = np.ones(one.a_A.shape, bool) if among is None else among
    clear_one, clear_other = one.clear(least) & asked, other.clear(least) & asked
    lost = (clear_one & ~other.converged) | (clear_other & ~one.converged)
    if lost.any():
        iy, ix = np.argwhere(lost)[0]
        return f"{int(lost.sum())} voxels are recovered in one only, the first at ({iy}, {ix})"
    both = clear_one & clear_other
    pairs = {
        "lattice parameters": (
            other.a_A - one.a_A - shift_A, np.hypot(one.a_esd_A, other.a_esd_A), allow.a_A, "Å"
        ),
        "amounts": (
            other.amount - one.amount, np.hypot(one.amount_esd, other.amount_esd), allow.amount, ""
        ),
    }  # fmt: skip
    critical = critical_z(2 * int(both.sum()))
    for name, (difference, esd, allowed, unit) in pairs.items():
        excess = np.where(both, (np.abs(difference) - allowed) / esd, -np.inf)
        if excess.max(initial=-np.inf) > critical:
            iy, ix = np.unravel_index(int(excess.argmax()), excess.shape)
            return (
                f"the {name} at ({iy}, {ix}) differ by {difference[iy, ix]:.3g} {unit}".rstrip()
                + f", {excess[iy, ix]:.1f} standard uncertainties of noise beyond what is allowed, "
                f"where {critical:.1f} are"
            )
    return None


def deep(found: Measured) -> Bools:
    """Return recovered voxels two away from any border of a particle, (y, x).

    Blur by beam and interpolation brings nothing of the border there. Amounts are known to a tenth.
    """
    truth = found.truth
    inner = eroded(truth.eroded, truth.particle)
    return np.asarray(inner & ~truth.two_lattices & Seen.of(found).clear(0.0, sigma=_DEEP_SIGMA))


def independent(region: Bools) -> Bools:
    """Return every third voxel of a region in either direction: their errors are independent."""
    chosen = np.zeros_like(region)
    chosen[::APART, ::APART] = region[::APART, ::APART]
    return chosen


def _moved(values: Floats, ix: int, iy: int) -> Floats:
    moved = np.full(values.shape, np.nan)
    n_y, n_x = values.shape
    to_y, to_x = slice(max(iy, 0), n_y + min(iy, 0)), slice(max(ix, 0), n_x + min(ix, 0))
    from_y, from_x = slice(max(-iy, 0), n_y + min(-iy, 0)), slice(max(-ix, 0), n_x + min(-ix, 0))
    moved[to_y, to_x] = values[from_y, from_x]
    return moved
