"""How sharp a reconstruction is: the width of the edge of a disc.

The edge of a sharp disc, as it is reconstructed, falls from the disc's value to the one outside
over the width of the method's line spread function,

    l(r) = −dv/dr / (v_inside − v_outside),

v(r) the values of pixels against their distance from the disc's centre. A circular edge meets the
grid of pixels at all distances and in all directions, so that together they sample it far more
finely than a step. dv/dr is the slope of a straight line through all pixels that are less than
``HALF_WIDTH`` steps from r in distance: that averages l with a parabola of variance
(half width)²/5, which is taken off the square of the width, as for Gaussians. The width is known no
better than pixels in different directions agree on it: its uncertainty comes from leaving out one
sector at a time (the jackknife; Efron and Tibshirani, *An Introduction to the Bootstrap*, ch. 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError

Floats = NDArray[np.float64]

HALF_WIDTH = 0.25
"""Of the window that slopes are taken in, in steps."""
_POSITIONS_PER_STEP = 20
_SECTORS = 12
_FEWEST_PIXELS = 8
"""In a window, with a sector left out."""
_SQUARED_FWHM_PER_VARIANCE = 8.0 * np.log(2.0)


@dataclass(frozen=True, eq=False)
class Edge:
    """The edge of a disc as it was found."""

    fwhm_um: float
    """Full width of the line spread function at half its maximum."""
    fwhm_esd_um: float
    """Its standard uncertainty, from the disagreement of twelve sectors."""
    shift_um: float
    """Middle between the two halves of the maximum, outside the disc's true edge."""
    r_um: Floats
    """Distances from the disc's centre, shape (r,)."""
    spread_per_um: Floats
    """The line spread function there; its integral is near 1."""


def disc_edge(
    values: Floats,
    *,
    step_um: float,
    centre_um: tuple[float, float],
    radius_um: float,
    reach_um: float,
) -> Edge:
    """Return the edge of a disc in an image, (iy, ix), centred on the axis as maps are.

    centre_um is (x, y). Only pixels less than ``reach_um`` from the edge are used; that must be
    more than the width, and few enough that nothing else lies there.

    Raises InputError where pixels there are not numbers, or too few, or no edge is between them.
    """
    r_um, turn, v = _pixels(values, step_um=step_um, centre_um=centre_um)
    near = np.abs(r_um - radius_um) < reach_um
    r_um, turn, v = r_um[near], turn[near], v[near]
    if not np.all(np.isfinite(v)):
        raise InputError(
            f"pixels within {reach_um:g} µm of the edge must be numbers, "
            f"but {int((~np.isfinite(v)).sum())} of {v.size} are not"
        )
    sector = np.floor((turn / (2.0 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    inner_um = reach_um - HALF_WIDTH * step_um
    grid_um = np.linspace(
        radius_um - inner_um, radius_um + inner_um,
        2 * int(np.ceil(inner_um / step_um * _POSITIONS_PER_STEP)) + 1,
    )  # fmt: skip
    height = _height(r_um, v, radius_um=radius_um, reach_um=reach_um)
    half_um = HALF_WIDTH * step_um

    def found(kept: NDArray[np.bool_]) -> tuple[Floats, float, float]:
        spread = -_slopes(r_um[kept], v[kept], grid_um, half_um) / height
        low_um, high_um = _half_maxima(grid_um, spread)
        return spread, _deconvolved(high_um - low_um, half_um), 0.5 * (low_um + high_um)

    spread, fwhm_um, middle_um = found(np.ones(v.size, bool))
    without = np.array([found(sector != k)[1] for k in range(_SECTORS)])
    return Edge(
        fwhm_um=fwhm_um,
        fwhm_esd_um=float(np.sqrt((_SECTORS - 1) * np.var(without))),
        shift_um=middle_um - radius_um,
        r_um=grid_um,
        spread_per_um=spread,
    )


def _pixels(
    values: Floats, *, step_um: float, centre_um: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    """Return distance from the centre, direction and value of every pixel, (pixel,) each."""
    n_y, n_x = values.shape
    x_um = (np.arange(n_x) - 0.5 * (n_x - 1)) * step_um - centre_um[0]
    y_um = (np.arange(n_y) - 0.5 * (n_y - 1)) * step_um - centre_um[1]
    x_um, y_um = np.meshgrid(x_um, y_um)
    return np.hypot(x_um, y_um).ravel(), np.arctan2(y_um, x_um).ravel(), values.ravel()


def _height(r_um: Floats, v: Floats, *, radius_um: float, reach_um: float) -> float:
    """Return the value inside less the one outside, each over the outer third of the reach."""
    distance = r_um - radius_um
    inside, outside = distance < -2.0 / 3.0 * reach_um, distance > 2.0 / 3.0 * reach_um
    height = (
        float(np.mean(v[inside]) - np.mean(v[outside])) if inside.any() and outside.any() else 0.0
    )
    if height == 0.0:
        raise InputError(f"there is no edge within {reach_um:g} µm of {radius_um:g} µm")
    return height


def _slopes(r_um: Floats, v: Floats, grid_um: Floats, half_um: float) -> Floats:
    """Return the slope of a line through the pixels in a window about each position of a grid."""
    order = np.argsort(r_um, kind="stable")
    distance, value = r_um[order], v[order]
    first = np.searchsorted(distance, grid_um - half_um)
    last = np.searchsorted(distance, grid_um + half_um)
    count = last - first
    if count.min() < _FEWEST_PIXELS:
        raise InputError(
            f"an edge needs {_FEWEST_PIXELS} pixels in every {2 * half_um:g} µm of distance, "
            f"but has {int(count.min())} in one: the disc is too small for its step"
        )

    def sums(terms: Floats) -> Floats:
        total = np.concatenate([[0.0], np.cumsum(terms)])
        return np.asarray(total[last] - total[first])

    middle = float(distance.mean())  # near the numbers summed, for their differences to be exact
    d, u = distance - middle, value - value.mean()
    mean_d, mean_u = sums(d) / count, sums(u) / count
    covariance, variance = sums(d * u) / count - mean_d * mean_u, sums(d * d) / count - mean_d**2
    return np.asarray(covariance / variance)


def _half_maxima(r_um: Floats, spread: Floats) -> tuple[float, float]:
    """Return where the function falls to half its maximum, inwards and outwards of it.

    Fits average over its ripple, whose highest point would be too high: of a parabola to the
    logarithm above six tenths of it, for the maximum, and of straight lines on either flank.
    """
    highest = int(np.argmax(spread))
    low, high = _around(spread, highest, 0.6 * spread[highest])
    middle_um = float(r_um[low : high + 1].mean())
    summit = np.polyfit(r_um[low : high + 1] - middle_um, np.log(spread[low : high + 1]), 2)
    top = float(np.exp(summit[2] - 0.25 * summit[1] ** 2 / summit[0]))
    ends = []
    upper, lower = _around(spread, highest, 0.65 * top), _around(spread, highest, 0.35 * top)
    for first, last in ((lower[0], upper[0]), (upper[1], lower[1])):
        flank = np.polyfit(spread[first : last + 1], r_um[first : last + 1], 1)
        ends.append(float(np.polyval(flank, 0.5 * top)))
    return ends[0], ends[1]


def _around(spread: Floats, highest: int, level: float) -> tuple[int, int]:
    """Return the first and the last place about the highest one that lie above a level."""
    below = np.flatnonzero(spread < level)
    inwards, outwards = below[below < highest], below[below > highest]
    if inwards.size == 0 or outwards.size == 0:
        raise InputError("the edge is wider than the surroundings of it that were looked at")
    return int(inwards[-1]) + 1, int(outwards[0]) - 1


def _deconvolved(fwhm_um: float, half_um: float) -> float:
    """Return the width without that of the window; zero where noise made it the narrower one."""
    return float(np.sqrt(max(fwhm_um**2 - _SQUARED_FWHM_PER_VARIANCE * half_um**2 / 5.0, 0.0)))
