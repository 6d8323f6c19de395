"""Straighten a slow drift of the sample across the beam, found in the measurement itself.

The displacement is a sum of functions of time without mean, d = Σ_j c_j·b_j: b_1 is time, steadily
from −1 to 1 over the scan; b_2, b_3, … are what the Legendre polynomials P_2, P_3, … add to b_1 and
to a shift of the sample, cos ω and sin ω. The c_j are found together with the rotation axis as
:mod:`inverse.alignment` says.

What looks like a shift of the sample does no harm, and cannot be told from one. Over 180° that is
most of a steady drift: a shift by 0.41 of it along −cos ω explains all but 3 % of it (RMS over
total), and its speed is as much less certain than the sharpness of the image is. So the image comes
out sharp, but may be shifted; by how much, and what of it is drift, tells a scan of 360° best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from inverse.alignment import AlignmentMethod, alignment
from inverse.positions import on_set_points
from inverse.sinogram import Floats, Sinogram
from xrdct.errors import InputError

MOST_TERMS = 6
"""Most functions of time: more would follow changes that are no slow drift."""


@dataclass(frozen=True, eq=False)
class Drift:
    """A drift and the rotation axis, found together."""

    axis_offset_um: float
    """Where the rotation axis is seen on the mean over the scan."""
    displacement_um: Floats
    """How far beyond its mean place the sample is seen in each projection, shape (angle,)."""
    method: AlignmentMethod


def drift(
    sinogram: Sinogram,
    *,
    times_s: ArrayLike | None = None,
    degree: int = 1,
    search_um: float | None = None,
    method: AlignmentMethod | None = None,
    workers: int | None = None,
) -> Drift:
    """Return the drift during a scan that is at its set-points.

    ``times_s``, (angle, offset) or (angle,), is when it was measured; by default the projections
    followed each other steadily. ``degree`` is the number of functions; ``search_um`` and
    ``method`` are those of :func:`inverse.alignment.alignment`.

    Raises InputError where times or degree do not suit the scan, and where nothing stands out.
    """
    basis = _functions_of_time(sinogram, times_s=times_s, degree=degree)
    found = alignment(sinogram, basis=basis, search_um=search_um, method=method, workers=workers)
    return Drift(
        axis_offset_um=float(found.coefficients_um[0]),
        displacement_um=np.asarray(basis[:, 1:] @ found.coefficients_um[1:]),
        method=found.method,
    )


def straightened(
    sinogram: Sinogram,
    *,
    times_s: ArrayLike | None = None,
    degree: int = 1,
    search_um: float | None = None,
    workers: int | None = None,
) -> Sinogram:
    """Return the sinogram without the drift that was found in it, about the axis found with it.

    Raises InputError as :func:`drift` does.
    """
    found = drift(sinogram, times_s=times_s, degree=degree, search_um=search_um, workers=workers)
    moved_um = sinogram.offsets_um - found.displacement_um[:, None]
    straight = on_set_points(sinogram, offsets_um=moved_um, workers=workers)
    return replace(straight, axis_offset_um=found.axis_offset_um)


def _functions_of_time(sinogram: Sinogram, *, times_s: ArrayLike | None, degree: int) -> Floats:
    """Return a constant and the functions of the module's text, (angle, function)."""
    n_angles = sinogram.angles_rad.size
    if not 1 <= degree <= MOST_TERMS:
        raise InputError(f"degree must be from 1 to {MOST_TERMS}, not {degree}.")
    times = np.arange(n_angles) if times_s is None else np.asarray(times_s, dtype=np.float64)
    times = times.reshape(n_angles, -1).mean(axis=1) if times.size % n_angles == 0 else times
    if times.shape != (n_angles,) or not np.isfinite(times).all() or np.ptp(times) <= 0.0:
        raise InputError(
            f"times_s must be finite and differ, one for each of the {n_angles} projections, "
            f"not of shape {times.shape}."
        )
    u = 2.0 * (times - times.min()) / np.ptp(times) - 1.0
    polynomials = np.polynomial.legendre.legvander(u, degree)
    basis = polynomials[:, :2] - [0.0, polynomials[:, 1].mean()]
    shift = np.stack([np.cos(sinogram.angles_rad), np.sin(sinogram.angles_rad)], axis=1)
    for j in range(2, degree + 1):
        known = np.hstack([basis, shift])
        fit = np.linalg.lstsq(known, polynomials[:, j], rcond=None)[0]
        basis = np.column_stack([basis, polynomials[:, j] - known @ fit])
    return np.asarray(basis)
