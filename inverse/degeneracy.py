"""What a pattern cannot tell apart: correlations and inflated uncertainties of its parameters.

With the design J, the change of the pattern per parameter (name, channel), and W the inverse
variance of the channels, the Fisher information J W Jᵀ has as its inverse C the covariance of all
parameters refined together, the least that an unbiased fit can have (Cramér & Rao). From it

    correlation          ρ_pq = C_pq / √(C_pp C_qq)
    variance inflation   C_pp (J W Jᵀ)_pp:   all others free, over all others known
    by one other         1/(1 − ρ_pq²):      q free, over q known, all else free

The variance inflation factor is the square of that of the uncertainty. A phase's scale has one for
each other phase too: all of that phase's parameters free, over all of them known.

Source: Marquardt, Technometrics 12 (1970) 591.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.model import PhaseLines
from inverse.rietveld import design
from inverse.rietveld_model import RietveldModel
from xrdct.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Design:
    """How a pattern changes with its parameters."""

    names: tuple[str, ...]
    """As a refinement calls them: "X.scale", "X.a_A", …, "background.0", …"""
    rows: Floats
    """Shape (name, channel); zero for what has no effect, as the cell of an absent phase."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Labels of the phases, those whose scale is a parameter."""
        return tuple(n.removesuffix(".scale") for n in self.names if n.endswith(".scale"))

    def without(self, names: Sequence[str]) -> Design:
        """Return the design with some parameters known."""
        kept = [i for i, name in enumerate(self.names) if name not in names]
        return Design(tuple(self.names[i] for i in kept), self.rows[kept])

    def of_phase(self, label: str) -> tuple[str, ...]:
        """Return the names of a phase's parameters; `InputError` if there is no such phase."""
        if label not in self.phases:
            raise InputError(f"no phase is called {label!r}, only {', '.join(self.phases)}")
        return tuple(n for n in self.names if n.rpartition(".")[0] == label)


@dataclass(frozen=True, eq=False)
class Degeneracy:
    """What a fit of all parameters together can tell; NaN for those without effect."""

    names: tuple[str, ...]
    esd: Floats
    """(name,)."""
    correlation: Floats
    """(name, name)."""
    inflation: Floats
    """Variance inflation by all others, (name,)."""
    inflation_by: Floats
    """Of the first parameter by the second, (name, name)."""
    phases: tuple[str, ...]
    inflation_by_phase: Floats
    """Of the first phase's scale by all parameters of the second, (phase, phase); 1 by itself."""

    def of_pair(self, first: str, second: str) -> tuple[float, float]:
        """Return correlation and variance inflation of two parameters by name."""
        p, q = self.names.index(first), self.names.index(second)
        return float(self.correlation[p, q]), float(self.inflation_by[p, q])


def degeneracy(pattern: Design, *, variance: Floats) -> Degeneracy:
    """Return correlations and inflated variances for a variance of each channel, (channel,).

    Channels of no or not finite variance were not measured. Raises InputError where the shapes do
    not agree, or parameters are indistinguishable to rounding.
    """
    covariance, information = parameter_covariance(pattern, variance=variance)
    esd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(esd, esd)
    by_other = 1.0 / np.maximum(1.0 - correlation**2, np.finfo(float).tiny)
    np.fill_diagonal(by_other, 1.0)
    return Degeneracy(
        names=pattern.names,
        esd=esd,
        correlation=correlation,
        inflation=np.diag(covariance) * np.diag(information),
        inflation_by=np.where(np.isnan(correlation), np.nan, by_other),
        phases=pattern.phases,
        inflation_by_phase=_by_phase(pattern, variance),
    )


def parameter_covariance(pattern: Design, *, variance: Floats) -> tuple[Floats, Floats]:
    """Return covariance and information of the parameters, (name, name) each.

    The covariance is NaN for parameters without effect. Raises InputError as :func:`degeneracy`.
    """
    variance = np.asarray(variance, dtype=np.float64)
    if variance.shape != pattern.rows.shape[1:]:
        raise InputError(
            f"variance must have the shape {pattern.rows.shape[1:]} of the channels, not "
            f"{variance.shape}"
        )
    usable = (variance > 0.0) & np.isfinite(variance)
    weight = np.where(usable, 1.0 / np.where(usable, variance, 1.0), 0.0)
    information = (pattern.rows * weight) @ pattern.rows.T
    covariance = np.full(information.shape, np.nan)
    seen = np.flatnonzero(np.diag(information) > 0.0)
    unit = 1.0 / np.sqrt(np.diag(information)[seen])
    scaled = information[np.ix_(seen, seen)] * np.outer(unit, unit)
    if np.linalg.eigvalsh(scaled)[0] < 1e-12:
        names = ", ".join(pattern.names[i] for i in seen)
        raise InputError(f"some of these parameters are mixtures of the others: {names}")
    covariance[np.ix_(seen, seen)] = np.linalg.inv(scaled) * np.outer(unit, unit)
    return covariance, information


def design_at(model: RietveldModel, amounts: Mapping[str, float]) -> Design:
    """Return the design of a refinement at its start, with given scales of the phases.

    Raises InputError for phases without an amount.
    """
    values = np.zeros(len(model.names))
    n_phases = len(model.settings.phases)
    for p, phase in enumerate(model.settings.phases):
        if phase.label not in amounts:
            raise InputError(f"phase {phase.label} needs an amount, but there are: {amounts}")
        values[p] = amounts[phase.label]
    for j, parameter in enumerate(model.parameters):
        values[n_phases + j] = float(parameter.result(np.asarray(parameter.start)))
    return Design(model.names, design(model, values))


def nearest_lines(lines: PhaseLines, *, among: PhaseLines) -> tuple[Floats, Floats]:
    """Return where each line lies, and how far from the nearest among others, in 2θ (line,), rad.

    The distance is positive where the line is at the larger angle.
    """
    apart = lines.angle_rad[:, None] - among.angle_rad
    nearest = np.argmin(np.abs(apart), axis=1)
    return lines.angle_rad, apart[np.arange(len(apart)), nearest]


def _by_phase(pattern: Design, variance: Floats) -> Floats:
    labels = pattern.phases
    whole, _ = parameter_covariance(pattern, variance=variance)
    result = np.ones((len(labels), len(labels)))
    for q, other in enumerate(labels):
        known = pattern.without(pattern.of_phase(other))
        reduced, _ = parameter_covariance(known, variance=variance)
        for p, label in enumerate(labels):
            if p != q:
                name = f"{label}.scale"
                free, less = pattern.names.index(name), known.names.index(name)
                result[p, q] = whole[free, free] / reduced[less, less]
    return result
