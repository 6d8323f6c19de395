"""The beam's profile in the projector: a blur of the projections along the offset.

A ray is a strip whose weight across is the beam's profile, a Gaussian of variance
σ² = FWHM²/(8 ln 2). Two things blur an image of voxels already, before any beam does: a voxel is an
average over a square, of variance step²/12 along any direction, and the projector reads between two
pixels with the triangle of half width c·step, c = max(|cos ω|, |sin ω|), of variance c²·step²/6.
What is left of the beam for a projection at the angle ω is

    v = max(0, σ²/step² − c²/6 − 1/12)        (in steps squared),

so that a projection of voxel averages has the second moment of what the beam sees. Where the beam
is as wide as the step (σ²/step² = 0.18) hardly anything is left; one of twice the step leaves 0.5.

The blur is the discrete Gaussian e^(−v)·I_m(v), m = 0, ±1, …, with the modified Bessel functions I:
positive, with sum 1 and variance v exactly, and two in succession make one of the summed variance
(Lindeberg, IEEE Trans. Pattern Anal. Mach. Intell. 12 (1990) 234). It is symmetric, so its adjoint
is the same blur with what leaves the window cut off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

from xrdct.compiled import compiled_fast
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_VARIANCE_PER_FWHM_SQUARED = 1.0 / (8.0 * np.log(2.0))
_VOXEL_VARIANCE = 1.0 / 12.0
"""Of the average over a square of one step."""
_LOST_TAIL = 1e-7
"""Share of the blur's weight that is cut off: the rounding of single precision."""
_WIDEST_STEPS = 100.0
"""Beams wider than this many steps would be blurred over more offsets than a scan has."""


def blur_variance(angles_rad: Floats, *, fwhm_um: float, step_um: float) -> Floats:
    """Return the variance v of the blur at each angle, (angle,), in steps squared.

    Raises InputError where the FWHM is not a finite number from 0 to 100 steps.
    """
    if not (np.isfinite(fwhm_um) and 0.0 <= fwhm_um <= _WIDEST_STEPS * step_um):
        raise InputError(
            f"beam_fwhm_um must be between 0 and {_WIDEST_STEPS:g} steps of {step_um:g} µm, "
            f"not {fwhm_um}."
        )
    beam = _VARIANCE_PER_FWHM_SQUARED * (fwhm_um / step_um) ** 2
    narrowest = np.maximum(np.abs(np.cos(angles_rad)), np.abs(np.sin(angles_rad)))
    return np.asarray(np.maximum(beam - narrowest**2 / 6.0 - _VOXEL_VARIANCE, 0.0))


def blur_taps(variance: Floats) -> Singles:
    """Return the weights of a blur for each variance, (variance, 2·reach + 1), each of sum 1."""
    widest = float(variance.max(initial=0.0))
    reach = 0
    while 1.0 - ive(np.arange(-reach, reach + 1), widest).sum() > _LOST_TAIL:
        reach += 1
    weights = ive(np.arange(-reach, reach + 1)[None, :], variance[:, None])
    return np.ascontiguousarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


@compiled_fast
def blur(rows: Singles, taps: Singles, lines: Singles) -> None:
    """Read ``lines``, (angle, offset, channel), from projections with rows to spare.

    rows (angle, row, channel), of which row 1 + reach holds the first offset; taps (angle, tap).
    """
    for a in range(lines.shape[0]):
        for i in range(lines.shape[1]):
            for c in range(lines.shape[2]):
                lines[a, i, c] = taps[a, 0] * rows[a, 1 + i, c]
            for k in range(1, taps.shape[1]):
                for c in range(lines.shape[2]):
                    lines[a, i, c] += taps[a, k] * rows[a, 1 + i + k, c]


@compiled_fast
def blur_adjoint(lines: Singles, taps: Singles, rows: Singles) -> None:
    """Write to ``rows`` the transpose of :func:`blur`, with its arguments."""
    rows[: lines.shape[0]] = 0.0
    for a in range(lines.shape[0]):
        for i in range(lines.shape[1]):
            for k in range(taps.shape[1]):
                for c in range(lines.shape[2]):
                    rows[a, 1 + i + k, c] += taps[a, k] * lines[a, i, c]
