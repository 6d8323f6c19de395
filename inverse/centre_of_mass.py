"""Where the middle of a sample is seen at each rotation, if all of it is in view.

    Σ_t t·p(ω, t) / Σ_t p(ω, t) = a + x·cos ω + y·sin ω

with (x, y) the centre of mass and a the axis offset, whatever the sample's shape (the first
Helgason–Ludwig condition). What more there is to it, a drift for instance, is a further function of
the projection; all are fitted together, projections that do not fit (a stripe, a zinger) with less
weight (Tukey's biweight).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inverse.sinogram import Floats
from xrdct.normal import SIGMA_PER_MAD

_EDGE_RAYS = 3
_EMPTY = 0.03
"""Share of the highest value below which a projection's outermost rays are beside the sample."""
_EMPTY_MEDIAN = 0.003
"""The same of their median over all projections: on a pedestal the centre is not the sample's."""
_TUKEY = 4.685
"""Residual, in standard deviations, from which a projection counts for nothing."""
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class CentreFit:
    """What is left of the centres of mass beside a sinusoid."""

    coefficients_um: Floats
    """Of each function, shape (function,)."""
    displacement_esd_um: float
    """Standard uncertainty of the sum of the functions, where it is largest."""


def is_whole_in_view(lines: Floats) -> bool:
    """Return whether the outermost rays of (nearly) all projections miss the sample.

    lines (angle, offset), without what surrounds the sample.
    """
    highest = np.median(lines.max(axis=1))
    ends = [lines[:, :_EDGE_RAYS].mean(axis=1), lines[:, -_EDGE_RAYS:].mean(axis=1)]
    inside = np.percentile(np.abs(ends), 99.0) < _EMPTY * highest
    return bool(inside and np.abs(np.median(ends, axis=1)).max() < _EMPTY_MEDIAN * highest)


def centre_of_mass_fit(
    lines: Floats, *, offsets_um: Floats, angles_rad: Floats, basis: Floats
) -> CentreFit:
    """Return what the centres of mass say of displacements.

    lines (angle, offset); basis (angle, function), without unit: a constant for the axis offset.
    The uncertainty is that of the scatter about the fit.
    """
    centres_um = lines @ offsets_um / lines.sum(axis=1)
    design = np.column_stack([basis, np.cos(angles_rad), np.sin(angles_rad)])
    weight = np.ones(centres_um.size)
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        fitted = np.linalg.lstsq(design * root[:, None], centres_um * root, rcond=None)[0]
        rest = np.abs(centres_um - design @ fitted)
        spread = SIGMA_PER_MAD * np.median(rest)
        if spread == 0.0:
            break
        weight = np.maximum(1.0 - (rest / (_TUKEY * spread)) ** 2, 0.0) ** 2
    n_functions = basis.shape[1]
    covariance = np.linalg.pinv(design.T @ (design * weight[:, None]))[:n_functions, :n_functions]
    share = np.sqrt(np.sum((basis @ covariance) * basis, axis=1).max())
    return CentreFit(
        coefficients_um=np.asarray(fitted[:n_functions]),
        displacement_esd_um=float(spread * share),
    )
