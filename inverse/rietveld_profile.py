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
_VECTOR = 8
"""Numbers that the widest vector instructions handle at once."""
_LARGEST = 64.0
"""u² beyond which the Gaussian is below 1e-19 of its height."""


@compiled_fast
def _power_of_two(u2: float) -> float:
    """Return 2^(−u²): the polynomial of 2^(−y) about y = ½, six times squared."""
    bounded = min(u2, _LARGEST)
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
def widths_of(gauss: float, lorentz: float) -> tuple[float, float, float, float, float, float]:
    """Return Γ, η and ∂Γ/∂ΓG², ∂η/∂ΓG², ∂Γ/∂ΓL, ∂η/∂ΓL (Thompson, Cox & Hastings)."""
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
    fwhm_by_square, fwhm_by_lorentz = scale * by_gauss / (2.0 * gauss), scale * by_lorentz
    return (
        fwhm,
        mixing,
        fwhm_by_square,
        -slope * ratio / fwhm * fwhm_by_square,
        fwhm_by_lorentz,
        slope * (1.0 - ratio * fwhm_by_lorentz) / fwhm,
    )


@compiled
def width_and_mixing(gauss: float, lorentz: float, out: Floats) -> None:
    """Set ``out`` (6,) to what :func:`widths_of` returns."""
    out[0], out[1], out[2], out[3], out[4], out[5] = widths_of(gauss, lorentz)


@compiled
def _window(middle: float, half: float, lowest: int, highest: int) -> tuple[int, int]:
    """Return the first channel within ``half`` of the middle, and the one after the last."""
    first = min(max(lowest, int(np.floor(middle - half))), highest)
    return first, max(min(highest, int(np.ceil(middle + half)) + 1), first)


@compiled_fast
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


# Loops over channels have unsigned counters, which cannot count from the end of an array, and take
# no parts of arrays: only then does the compiler make vector instructions of short loops.


@compiled_fast
def _core(
    low: int, high: int, middle: float, channel_rad: float, fwhm: float, mixing: float,
    buffer: Floats,
) -> None:  # fmt: skip
    inverse = 1.0 / fwhm
    four = 4.0 * inverse * inverse
    lorentz_height, gauss_height = 2.0 / np.pi * inverse, _GAUSS_HEIGHT * inverse
    step, start, begin = _NODE * channel_rad, low - middle, np.uint64(low)
    for c in range(np.uint64(high - low)):
        centre = (c + start) * channel_rad
        v0, x0, w0, m0 = _at(centre - step, four, mixing, lorentz_height, gauss_height)
        v1, x1, w1, m1 = _at(centre, four, mixing, lorentz_height, gauss_height)
        v2, x2, w2, m2 = _at(centre + step, four, mixing, lorentz_height, gauss_height)
        buffer[0, begin + c] = (5.0 * (v0 + v2) + 8.0 * v1) * (1.0 / 18.0)
        buffer[1, begin + c] = (5.0 * (x0 + x2) + 8.0 * x1) * (four / 9.0)
        buffer[2, begin + c] = (5.0 * (w0 + w2) + 8.0 * w1) * (inverse / 18.0)
        buffer[3, begin + c] = (5.0 * (m0 + m2) + 8.0 * m1) * (1.0 / 18.0)


@compiled_fast
def _tail(
    first: int, last: int, middle: float, channel_rad: float, fwhm: float, power: float,
    shape: Floats, buffer: Floats,
) -> None:  # fmt: skip
    """Add ``power`` times the Lorentzian of unit area to channels without the Gaussian."""
    half, start, begin = 0.5 * fwhm / channel_rad, first - middle, np.uint64(first)
    height, square = half / (np.pi * channel_rad), half * half
    for c in range(np.uint64(last - first)):
        distance = c + start
        value = height / (square + distance * distance)
        buffer[3, begin + c] = value
        shape[begin + c] += power * value


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
    first, last = _window(middle, _REACH_RAD / channel_rad, 0, shape.size)
    low, high = _window(middle, _CORE_WIDTHS * fwhm / channel_rad + 1.0, first, last)
    whole_vectors = low + (high - low + _VECTOR - 1) // _VECTOR * _VECTOR
    # What the profile sets beyond its window, the tail sets anew.
    _core(low, min(whole_vectors, shape.size), middle, channel_rad, fwhm, mixing, buffer)
    _add_row(shape, low, high, power, buffer)
    _tail(first, low, middle, channel_rad, fwhm, power * mixing, shape, buffer)
    _tail(high, last, middle, channel_rad, fwhm, power * mixing, shape, buffer)
    return first, low, high, last


@compiled_fast
def _add_row(shape: Floats, first: int, last: int, scale: float, buffer: Floats) -> None:
    begin = np.uint64(first)
    for c in range(np.uint64(last - first)):
        shape[begin + c] += scale * buffer[0, begin + c]


@compiled_fast
def add(
    slopes: Floats, slot: int, first: int, last: int, scale: float, buffer: Floats, row: int
) -> None:
    """Add ``scale`` times a row of the buffer to that of a slot, over some channels."""
    begin, to, of = np.uint64(first), np.uint64(slot), np.uint64(row)
    for c in range(np.uint64(last - first)):
        slopes[to, begin + c] += scale * buffer[of, begin + c]


@compiled_fast
def add_two(
    slopes: Floats, slot: int, first: int, last: int, p: float, one: int, q: float, two: int,
    buffer: Floats,
) -> None:  # fmt: skip
    """Add p times row ``one`` and q times row ``two`` likewise."""
    begin, to, r, s = np.uint64(first), np.uint64(slot), np.uint64(one), np.uint64(two)
    for c in range(np.uint64(last - first)):
        slopes[to, begin + c] += p * buffer[r, begin + c] + q * buffer[s, begin + c]
