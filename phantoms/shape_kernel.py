"""Compiled functions of a point in a body: where it lies between core and surface, and how solid.

Every function asks for a square cell of edge h in the horizontal plane about a point (x, y, z) µm
from the particle's centre. The share of a cell inside a straight border is exact (a square
projected on the border's normal is a trapezoid, and :func:`share_below` its integral), so sums
over cells converge with h². For h = 0 shares are 0 or 1.

``size`` holds (radius, half height, spokes, azimuth in rad, across): see :mod:`phantoms.outline`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

Floats = NDArray[np.float64]

ROUND, DISC = 0, 1
_BAND = 3.0
"""Cells within so many h of a rough surface may hold some of it: slopes of up to 4 allowed for."""


@compiled
def share_below(edge: float, normal_x: float, normal_y: float, h: float) -> float:
    """Share of a square cell (edge h) below a line ``edge`` along the unit normal from its middle.

    The square's projection on the normal is a trapezoid; this is its integral up to ``edge``.
    """
    a, b = abs(normal_x), abs(normal_y)
    small, large = min(a, b), max(a, b)
    outer = 0.5 * h * (small + large)
    s = abs(edge)
    if s >= outer:
        share = 1.0
    elif s <= 0.5 * h * (large - small):
        share = 0.5 + s / (h * large)
    else:
        share = 1.0 - (outer - s) ** 2 / (2.0 * h * h * small * large)
    return share if edge >= 0.0 else 1.0 - share


@compiled
def bumps(x: float, y: float, z: float, waves: Floats) -> float:
    """Return Σ a_lm Y_lm in the direction (x, y, z), a unit vector.

    ``waves[l, m]`` holds the factors of cos mφ and sin mφ, and the two of the recurrence in l.
    Fully normalised Legendre functions without their sinᵐθ, which (x + iy)ᵐ brings.
    """
    top = waves.shape[0] - 1
    total, start = 0.0, 0.28209479177387814  # Y_00 = 1/√4π
    cos_m, sin_m = 1.0, 0.0
    for m in range(top + 1):
        if m > 0:
            cos_m, sin_m = cos_m * x - sin_m * y, cos_m * y + sin_m * x
            start *= waves[m, m, 2]
        before, now = 0.0, start
        along_cos, along_sin = now * waves[m, m, 0], now * waves[m, m, 1]
        for degree in range(m + 1, top + 1):
            before, now = now, waves[degree, m, 2] * (z * now - waves[degree, m, 3] * before)
            along_cos += now * waves[degree, m, 0]
            along_sin += now * waves[degree, m, 1]
        total += cos_m * along_cos + sin_m * along_sin
    return total


@compiled
def surface_um(x: float, y: float, z: float, radius_um: float, waves: Floats) -> float:
    """Return the distance of a rough surface from its centre in the direction of (x, y, z)."""
    r = np.sqrt(x * x + y * y + z * z)
    if waves.shape[0] == 1 or r == 0.0:
        return radius_um
    return float(radius_um * (1.0 + bumps(x / r, y / r, z / r, waves)))


@compiled
def _rough_share(
    x: float, y: float, z: float, gap_um: float, h: float, radius_um: float, waves: Floats
) -> float:
    """Share of a cell ``gap_um`` inside a rough surface, straight along the gap's gradient."""
    if abs(gap_um) >= _BAND * h:
        return 1.0 if gap_um >= 0.0 else 0.0
    d = 0.5 * h
    slope_x = (_gap_um(x + d, y, z, radius_um, waves) - _gap_um(x - d, y, z, radius_um, waves)) / h
    slope_y = (_gap_um(x, y + d, z, radius_um, waves) - _gap_um(x, y - d, z, radius_um, waves)) / h
    slope = np.sqrt(slope_x**2 + slope_y**2)
    if slope == 0.0:
        return 1.0 if gap_um >= 0.0 else 0.0
    return float(share_below(gap_um / slope, slope_x / slope, slope_y / slope, h))


@compiled
def _gap_um(x: float, y: float, z: float, radius_um: float, waves: Floats) -> float:
    return float(surface_um(x, y, z, radius_um, waves) - np.sqrt(x * x + y * y + z * z))


@compiled
def _circle_share(x: float, y: float, radius_um: float, h: float) -> float:
    """Share of a cell inside a circle about the origin."""
    rho = np.sqrt(x * x + y * y)
    if rho == 0.0:
        return float(share_below(radius_um, 1.0, 0.0, h))
    return float(share_below(radius_um - rho, x / rho, y / rho, h))


@compiled
def _spoke_area(turns: float) -> float:
    """Integral of the spokes' square wave from the middle of one, in periods."""
    whole = np.floor(turns + 0.5)
    return float(0.5 * whole + min(max(turns - whole, -0.25), 0.25))


@compiled
def _spoke_share(x: float, y: float, spokes: float, azimuth_rad: float, h: float) -> float:
    """Share of a cell in spokes: the mean of their square wave over an arc of length h."""
    rho = np.sqrt(x * x + y * y)
    turns = (np.arctan2(y, x) - azimuth_rad) * spokes / (2.0 * np.pi)
    if h == 0.0:
        return 1.0 if abs(turns - np.floor(turns + 0.5)) <= 0.25 else 0.0
    if rho < 0.05 * h:
        return 0.5
    half = 0.5 * h / rho * spokes / (2.0 * np.pi)
    return float((_spoke_area(turns + half) - _spoke_area(turns - half)) / (2.0 * half))


@compiled
def cell_in_outline(
    x: float, y: float, z: float, h: float, kind: int, size: Floats, waves: Floats
) -> tuple[float, float, float]:
    """Return a cell's share inside the outline, and where it lies between core and surface.

    That is the coordinate from 0 to 1 that laws are told in, and how fast it changes in the
    horizontal plane, 1/µm (along a rough surface, no change is counted). Pores and cracks count as
    inside.
    """
    if kind == DISC:
        return _cell_in_disc(x, y, z, h, size)
    r = np.sqrt(x * x + y * y + z * z)
    surface = surface_um(x, y, z, size[0], waves)
    if waves.shape[0] > 1:
        share = _rough_share(x, y, z, surface - r, h, size[0], waves)
    else:
        squared = size[0] ** 2 - z * z
        share = _circle_share(x, y, np.sqrt(squared), h) if squared > 0.0 else 0.0
    flat = np.sqrt(x * x + y * y) / r if r > 0.0 else 1.0
    return share, float(r / surface), float(flat / surface)


@compiled
def _cell_in_disc(
    x: float, y: float, z: float, h: float, size: Floats
) -> tuple[float, float, float]:
    share = _circle_share(x, y, size[0], h) if abs(z) <= size[1] else 0.0
    if share > 0.0 and size[2] > 0.0:
        share *= _spoke_share(x, y, size[2], size[3], h)
    if size[4] > 0.0:
        across = (x * np.cos(size[3]) + y * np.sin(size[3])) / size[0]
        return share, float(0.5 + 0.5 * across), float(0.5 / size[0])
    return share, float(np.sqrt(x * x + y * y) / size[0]), float(1.0 / size[0])


@compiled
def filled_share(x: float, y: float, z: float, h: float, pores: Floats, cracks: Floats) -> float:
    """Share of a cell that no pore and no crack takes.

    ``pores`` (pore, xyz and radius); ``cracks`` (crack, mouth xyz, normal xyz, length, opening,
    whether it tapers). Where voids meet in one cell their shares multiply.
    """
    share = 1.0
    for k in range(pores.shape[0]):
        dz = z - pores[k, 2]
        squared = pores[k, 3] ** 2 - dz * dz
        if squared > 0.0:
            share *= 1.0 - _circle_share(x - pores[k, 0], y - pores[k, 1], np.sqrt(squared), h)
    for k in range(cracks.shape[0]):
        share *= 1.0 - _crack_share(x, y, z, h, cracks[k])
    return share


@compiled
def _crack_share(x: float, y: float, z: float, h: float, crack: Floats) -> float:
    """Share of a cell in one crack: overlap of two intervals along its normal in the plane."""
    dx, dy, dz = x - crack[0], y - crack[1], z - crack[2]
    away = np.sqrt(dx * dx + dy * dy + dz * dz)
    length = crack[6]
    if away >= length + h:
        return 0.0
    off = dx * crack[3] + dy * crack[4] + dz * crack[5]
    half = 0.5 * crack[7]
    if crack[8] > 0.0:
        half *= max(0.0, 1.0 - away / length)
        end = 1.0
    else:
        end = min(1.0, 0.5 + (length - away) / h) if h > 0.0 else 1.0
    reach = 0.5 * h * np.sqrt(crack[3] ** 2 + crack[4] ** 2)
    if reach <= 1e-3 * h:  # a plane seen flat is met or missed
        return float(end) if abs(off) < half else 0.0
    overlap = min(off + reach, half) - max(off - reach, -half)
    return float(max(0.0, overlap) / (2.0 * reach) * max(0.0, end))
