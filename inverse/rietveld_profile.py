"""The compiled profile of one line over the channels it reaches, with its derivatives.

The pseudo-Voigt of :mod:`inverse.profile`, averaged over a channel by three Gauss–Legendre nodes
within six widths of the line and taken at the channel's centre beyond, where only its Lorentzian
part is left. Slopes by position are given within six widths only, where all but 1e-3 of them is;
beyond, those by Γ and η are (η/Γ)·L and L, to (Γ/Δ)²/2. They take little time, and weigh: without
them sizes and strains end 0.06 standard uncertainties off the least χ², and the search may go to
and fro between windows that differ by a channel. With u = 2Δ/Γ, Lorentzian L and Gaussian G of
unit area,

    ∂L/∂x = 8Δ/Γ²·L/(1 + u²)            ∂L/∂Γ = (2u²/(1 + u²) − 1)·L/Γ
    ∂G/∂x = 8 ln2·Δ/Γ²·G                ∂G/∂Γ = (2 ln2·u² − 1)·G/Γ

for the position x of the line. exp(−ln2·u²) is computed as the 64th power of a polynomial in u²/64,
to 1e-10, so that the loop over channels becomes vector instructions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.profile import REACH_DEG
from xrdct.compiled import compiled, compiled_fast

Floats = NDArray[np.float64]

_REACH_RAD = float(np.deg2rad(REACH_DEG))
_LN2 = float(np.log(2.0))
_NODE = 0.5 * float(np.sqrt(0.6))
_GAUSS_HEIGHT = 2.0 * float(np.sqrt(_LN2 / np.pi))
_CORE_WIDTHS = 6.0
_LARGEST = 64.0
"""u² beyond which the Gaussian is below 1e-19 of its height."""


@compiled
def _power_of_two(u2: float) -> float:
    """Return 2^(−u²): the polynomial of 2^(−y) about y = ½, six times squared."""
    bounded = u2 if u2 < _LARGEST else _LARGEST
    z = (0.5 - bounded * (1.0 / 64.0)) * _LN2
    value = 1.0 + z * (1.0 / 9.0)
    value = 1.0 + z * value * (1.0 / 8.0)
    value = 1.0 + z * value * (1.0 / 7.0)
    value = 1.0 + z * value * (1.0 / 6.0)
    value = 1.0 + z * value * (1.0 / 5.0)
    value = 1.0 + z * value * (1.0 / 4.0)
    value = 1.0 + z * value * (1.0 / 3.0)
    value = 1.0 + z * value * 0.5
    value = (1.0 + z * value) * 0.7071067811865476
    value *= value
    value *= value
    value *= value
    value *= value
    value *= value
    return value * value


@compiled
def width_and_mixing(gauss: float, lorentz: float, out: Floats) -> None:
    """Set ``out`` to Γ, η and ∂Γ/∂ΓG², ∂η/∂ΓG², ∂Γ/∂ΓL, ∂η/∂ΓL (Thompson, Cox & Hastings)."""
    g2, l2 = gauss * gauss, lorentz * lorentz
    g3, l3 = g2 * gauss, l2 * lorentz
    fifth = (
        g3 * g2 + 2.69269 * g3 * gauss * lorentz + 2.42843 * g3 * l2
        + 4.47163 * g2 * l3 + 0.07842 * gauss * l3 * lorentz + l3 * l2
    )  # fmt: skip
    fwhm = fifth**0.2
    by_gauss = (
        5.0 * g2 * g2 + 10.77076 * g3 * lorentz + 7.28529 * g2 * l2
        + 8.94326 * gauss * l3 + 0.07842 * l3 * lorentz
    )  # fmt: skip
    by_lorentz = (
        2.69269 * g2 * g2 + 4.85686 * g3 * lorentz + 13.41489 * g2 * l2
        + 0.31368 * gauss * l3 + 5.0 * l2 * l2
    )  # fmt: skip
    scale = 0.2 * fwhm / fifth
    ratio = lorentz / fwhm
    mixing = ratio * (1.36603 + ratio * (-0.47719 + ratio * 0.11116))
    slope = 1.36603 + ratio * (-0.95438 + ratio * 0.33348)
    out[0], out[1] = fwhm, mixing
    out[2] = scale * by_gauss / (2.0 * gauss)
    out[3] = -slope * ratio / fwhm * out[2]
    out[4] = scale * by_lorentz
    out[5] = slope * (1.0 - ratio * out[4]) / fwhm


@compiled
def _between(middle: float, half: float, lowest: int, highest: int) -> tuple[int, int]:
    """Return the first channel within ``half`` of the middle, and the one after the last."""
    first = min(max(lowest, int(np.floor(middle - half))), highest)
    return first, max(min(highest, int(np.ceil(middle + half)) + 1), first)


@compiled
def _at(
    distance: float, four: float, mixing: float, lorentz_height: float, gauss_height: float
) -> tuple[float, float, float, float]:
    """Return the profile at a distance and what its slopes by position, Γ and η are made of."""
    u2 = four * distance * distance
    share = 1.0 / (1.0 + u2)
    whole_lorentz, whole_gauss = lorentz_height * share, gauss_height * _power_of_two(u2)
    lorentz, gauss = mixing * whole_lorentz, (1.0 - mixing) * whole_gauss
    return (
        lorentz + gauss,
        distance * (lorentz * share + _LN2 * gauss),
        lorentz * (2.0 * u2 * share - 1.0) + gauss * (2.0 * _LN2 * u2 - 1.0),
        whole_lorentz - whole_gauss,
    )


# Loops run from zero over parts of arrays: only then does the compiler make vector instructions.


@compiled_fast
def _core(
    first: int, last: int, middle: float, channel_rad: float, fwhm: float, mixing: float,
    buffer: Floats,
) -> None:  # fmt: skip
    inverse = 1.0 / fwhm
    four = 4.0 * inverse * inverse
    lorentz_height, gauss_height = 2.0 / np.pi * inverse, _GAUSS_HEIGHT * inverse
    step, start = _NODE * channel_rad, first - middle
    value, moved = buffer[0, first:last], buffer[1, first:last]
    wider, mixed = buffer[2, first:last], buffer[3, first:last]
    for c in range(last - first):
        centre = (c + start) * channel_rad
        v0, x0, w0, m0 = _at(centre - step, four, mixing, lorentz_height, gauss_height)
        v1, x1, w1, m1 = _at(centre, four, mixing, lorentz_height, gauss_height)
        v2, x2, w2, m2 = _at(centre + step, four, mixing, lorentz_height, gauss_height)
        value[c] = (5.0 * (v0 + v2) + 8.0 * v1) * (1.0 / 18.0)
        moved[c] = (5.0 * (x0 + x2) + 8.0 * x1) * (four / 9.0)
        wider[c] = (5.0 * (w0 + w2) + 8.0 * w1) * (inverse / 18.0)
        mixed[c] = (5.0 * (m0 + m2) + 8.0 * m1) * (1.0 / 18.0)


@compiled_fast
def _tail(
    first: int, last: int, middle: float, channel_rad: float, fwhm: float, row: Floats
) -> None:  # fmt: skip
    """Set ``row`` to the Lorentzian of unit area at channels without the Gaussian."""
    half, start = 0.5 * fwhm / channel_rad, first - middle
    height, square = half / (np.pi * channel_rad), half * half
    part = row[first:last]
    for c in range(part.size):
        distance = c + start
        part[c] = height / (square + distance * distance)


@compiled
def draw_line(
    shape: Floats, power: float, middle: float, channel_rad: float, fwhm: float, mixing: float,
    buffer: Floats,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Add ``power`` times the profile to ``shape``.

    Sets ``buffer`` (4, channel) to the profile and its slopes by position, Γ and η near the line,
    and the last of these to the Lorentzian beyond. Returns the first channel of the tail before
    the line, of the line, of the tail behind it, and the one after the last.
    """
    first, last = _between(middle, _REACH_RAD / channel_rad, 0, shape.size)
    low, high = _between(middle, _CORE_WIDTHS * fwhm / channel_rad + 1.0, first, last)
    _core(low, high, middle, channel_rad, fwhm, mixing, buffer)
    add(shape, low, high, power, buffer[0])
    _tail(first, low, middle, channel_rad, fwhm, buffer[3])
    _tail(high, last, middle, channel_rad, fwhm, buffer[3])
    add(shape, first, low, power * mixing, buffer[3])
    add(shape, high, last, power * mixing, buffer[3])
    return first, low, high, last


@compiled_fast
def add(target: Floats, first: int, last: int, scale: float, source: Floats) -> None:
    """Add ``scale`` times a part of ``source`` to the same part of ``target``."""
    part, added = target[first:last], source[first:last]
    for c in range(part.size):
        part[c] += scale * added[c]


@compiled_fast
def add_two(
    target: Floats, first: int, last: int, p: float, one: Floats, q: float, two: Floats
) -> None:
    """Add p·``one`` + q·``two`` likewise."""
    part, first_added, second_added = target[first:last], one[first:last], two[first:last]
    for c in range(part.size):
        part[c] += p * first_added[c] + q * second_added[c]
