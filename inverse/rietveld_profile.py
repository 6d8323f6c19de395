"""The compiled profile of one line over the channels it reaches, with its derivatives.

The pseudo-Voigt of :mod:`inverse.profile`, averaged over a channel by three Gauss–Legendre nodes
within six widths of the line and taken at the channel's centre beyond, where only its Lorentzian
part is left. Slopes are given within six widths only: what is beyond weighs next to nothing in a
parameter and would take most of the time. With u = 2Δ/Γ, Lorentzian L and Gaussian G of unit area,

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
    z = (0.5 - min(u2, _LARGEST) * (1.0 / 64.0)) * _LN2
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


@compiled_fast
def _core(
    first: int, last: int, middle: float, channel_rad: float, fwhm: float, mixing: float,
    buffer: Floats,
) -> None:  # fmt: skip
    inverse = 1.0 / fwhm
    four = 4.0 * inverse * inverse
    lorentz_height = 2.0 / np.pi * inverse
    gauss_height = _GAUSS_HEIGHT * inverse
    step = _NODE * channel_rad
    for c in range(first, last):
        centre = (c - middle) * channel_rad
        total, moved, wider, mixed = 0.0, 0.0, 0.0, 0.0
        for node in range(3):
            distance = centre + (node - 1) * step
            weight = 8.0 / 18.0 if node == 1 else 5.0 / 18.0
            u2 = four * distance * distance
            share = 1.0 / (1.0 + u2)
            whole_lorentz = weight * lorentz_height * share
            whole_gauss = weight * gauss_height * _power_of_two(u2)
            lorentz, gauss = mixing * whole_lorentz, (1.0 - mixing) * whole_gauss
            total += lorentz + gauss
            moved += distance * (lorentz * share + _LN2 * gauss)
            wider += lorentz * (2.0 * u2 * share - 1.0) + gauss * (2.0 * _LN2 * u2 - 1.0)
            mixed += whole_lorentz - whole_gauss
        buffer[0, c] = total
        buffer[1, c] = 2.0 * four * moved
        buffer[2, c] = wider * inverse
        buffer[3, c] = mixed


@compiled_fast
def _add_tail(
    target: Floats, first: int, last: int, middle: float, channel_rad: float, fwhm: float,
    scale: float,
) -> None:  # fmt: skip
    """Add the Lorentzian part, whose area is ``scale``, at channels without the Gaussian one."""
    half = 0.5 * fwhm
    height = scale * half / np.pi
    for c in range(first, last):
        distance = (c - middle) * channel_rad
        target[c] += height / (half * half + distance * distance)


@compiled
def draw_line(
    shape: Floats, power: float, middle: float, channel_rad: float, fwhm: float, mixing: float,
    buffer: Floats,
) -> tuple[int, int]:  # fmt: skip
    """Add ``power`` times the profile to ``shape``.

    Sets ``buffer`` (4, channel) to the profile and its slopes by position, Γ and η near the line,
    and returns the first of these channels and the one after the last.
    """
    n_channels = shape.size
    first, last = _between(middle, _REACH_RAD / channel_rad, 0, n_channels)
    low, high = _between(middle, _CORE_WIDTHS * fwhm / channel_rad + 1.0, first, last)
    _add_tail(shape, first, low, middle, channel_rad, fwhm, power * mixing)
    _core(low, high, middle, channel_rad, fwhm, mixing, buffer)
    add(shape, low, high, power, buffer[0])
    _add_tail(shape, high, last, middle, channel_rad, fwhm, power * mixing)
    return low, high


@compiled_fast
def add(target: Floats, first: int, last: int, scale: float, source: Floats) -> None:
    """Add ``scale`` times a part of ``source`` to the same part of ``target``."""
    for c in range(first, last):
        target[c] += scale * source[c]


@compiled_fast
def add_two(
    target: Floats, first: int, last: int, p: float, one: Floats, q: float, two: Floats
) -> None:
    """Add p·``one`` + q·``two`` likewise."""
    for c in range(first, last):
        target[c] += p * one[c] + q * two[c]
