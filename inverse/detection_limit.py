"""How little of a phase can be detected, from the design of a refinement and its variance.

Without the phase, its amount is found with a standard deviation σ₀, all others refined along:
σ₀² = [(J W Jᵀ)⁻¹] at its scale, its own cell and widths left out as they have no effect then. With
a false-alarm probability α and a probability β of missing it (Currie)

    critical level   φ_C = c σ₀,                     above which the phase is said to be there,
    detection limit  φ_D = (c + Φ⁻¹(1 − β)) σ₀,      the amount that is detected with 1 − β,

c = Φ⁻¹(1 − α) for a known cell, and the larger threshold of :mod:`inverse.phase_decision_bound`
where the cell is searched for. The variance is that without the phase; a detectable amount hardly
adds to it. As a weight fraction, of a pattern from as much mass as all phases have together,

    W_D = φ_D ρ / Σ φ ρ.

Source: Currie, Anal. Chem. 40 (1968) 586.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from inverse.degeneracy import Design
from inverse.phase_decision_bound import global_threshold, local_threshold
from inverse.phase_decision_null import orthonormal
from xrdct.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DetectionLimits:
    """Of every phase, in every pattern; (pattern, phase). NaN where nothing tells the phase."""

    phases: tuple[str, ...]
    esd_absent: Floats
    """σ₀ of the volume fraction."""
    critical: Floats
    """Volume fraction that is said to be the phase."""
    amount: Floats
    """Volume fraction that is detected with the stated power."""
    weight_fraction: Floats
    """The same, in the mass of all phases with their amounts; above 1 where never detected."""


def detection_limits(
    pattern: Design,
    *,
    variance: Floats,
    amounts: Mapping[str, float],
    densities_g_per_cm3: Mapping[str, float],
    false_alarm: float = 1e-3,
    power: float = 0.95,
    path_rad: Mapping[str, float] | None = None,
) -> DetectionLimits:
    """Return the limits of every phase of a design, for variances (pattern, channel).

    pattern: the design with all phases at their ``amounts`` (volume fractions), since each is
    absent in turn while the others stay. ``path_rad`` has an entry for phases whose cell is to be
    searched for (:func:`inverse.phase_decision_scan.path_of`).

    Raises InputError where shapes do not agree, a phase has no amount or density, or a probability
    is impossible.
    """
    variance = np.atleast_2d(np.asarray(variance, dtype=np.float64))
    if variance.shape[1:] != pattern.rows.shape[1:]:
        raise InputError(
            f"variance must have {pattern.rows.shape[1]} channels, not the shape {variance.shape}"
        )
    if not 0.5 <= power < 1.0:
        raise InputError(f"the power of a test must lie within 0.5 to 1, not {power:g}")
    usable = (variance > 0.0) & np.isfinite(variance)
    weight = np.where(usable, 1.0 / np.where(usable, variance, 1.0), 0.0)
    phases = pattern.phases
    masses = _masses(phases, amounts, densities_g_per_cm3)
    shape = len(variance), len(phases)
    esd, threshold, density = np.empty(shape), np.empty(len(phases)), np.empty(len(phases))
    for p, label in enumerate(phases):
        esd[:, p] = _esd_absent(pattern, label, weight)
        path = (path_rad or {}).get(label)
        threshold[p] = (
            local_threshold(false_alarm)
            if path is None
            else float(global_threshold(false_alarm, path_rad=path))
        )
        density[p] = densities_g_per_cm3[label]
    amount = (threshold + ndtri(power)) * esd
    return DetectionLimits(
        phases=phases,
        esd_absent=esd,
        critical=threshold * esd,
        amount=amount,
        weight_fraction=amount * density / masses.sum(),
    )


def _esd_absent(pattern: Design, label: str, weight: Floats) -> Floats:
    """Return σ₀ of a phase's scale, (pattern,)."""
    row = pattern.rows[pattern.names.index(f"{label}.scale")]
    others = pattern.without(pattern.of_phase(label)).rows
    part = orthonormal(weight, np.zeros_like(weight), others)
    whole = weight @ row**2
    left = whole - (part.along(row[None])[..., 0] ** 2).sum(axis=1)
    told = left > 1e-12 * whole
    return np.where(told, 1.0 / np.sqrt(np.where(told, left, 1.0)), np.nan)


def _masses(
    phases: tuple[str, ...], amounts: Mapping[str, float], densities: Mapping[str, float]
) -> Floats:
    for label in phases:
        if label not in amounts or label not in densities:
            raise InputError(f"phase {label} needs an amount and a density")
    return np.array([amounts[label] * densities[label] for label in phases])
