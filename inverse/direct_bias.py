"""How far the direct method pulls a map that it made itself: the error that every ray shares.

Penalties, pixels and steps that end too early move a result alike whatever the noise,
so that the halves of a scan agree on it. The map x̂ is therefore taken for a sample: the rays
that its parts show (:mod:`inverse.direct_subpixel`), without noise, are fitted again by the same
settings from the same start, with the widths of lines that the first fit found, whose own errors
are therefore not in it. What comes out differs from x̂ by about what x̂ does from the truth,

    x̂(x̂) − x̂ ≈ x̂(x) − x,

a parametric bootstrap of the bias with one draw. x̂ is smoother than the truth, and its structure is
moved the less for that. The local root mean square of the difference, weighed with the amounts
squared, is the scale of this error in each pixel; it is no correction, as its sign is less certain
than its size.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 10.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from inverse.direct_fit import State
from inverse.direct_subpixel import Parts

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_NEIGHBOURHOOD = 3
"""Pixels along the side of the square over which the difference is averaged."""
_NO_MATERIAL = 1e-6


def bootstrap_bias_A(parts: Parts, state: State, *, again: Callable[[Singles], State]) -> Floats:
    """Return the scale of the error of each pixel's lattice parameter, in Å, (pixel,).

    ``again`` fits given rays, (angle, offset, shape), as those of ``state`` were fitted.
    """
    found = again(parts.shown(state))
    problem = parts.problem
    return local_scale(
        problem.image(found.a_A - state.a_A, empty=0.0),
        amount=problem.image(state.amount, empty=0.0),
    ).reshape(-1)[problem.image_index]


def local_scale(change: Floats, *, amount: Floats) -> Floats:
    """Return the root mean square of ``change`` about each pixel, both of shape (iy, ix).

    Pixels count by their amounts squared; where there is no material about, the scale is 0.
    """
    weight = amount**2
    total = uniform_filter(weight, _NEIGHBOURHOOD, mode="constant")
    power = uniform_filter(weight * change**2, _NEIGHBOURHOOD, mode="constant")
    # Running sums leave rounding behind, also below zero.
    power, some = np.maximum(power, 0.0), total > _NO_MATERIAL
    return np.sqrt(np.divide(power, total, out=np.zeros_like(total), where=some))
