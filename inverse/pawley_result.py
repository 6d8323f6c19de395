"""What a fit with free intensities found, with the uncertainties of everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from inverse.pawley_fit import Problem, Solution, any_seen, line_slopes
from inverse.pawley_linear import background_coefficients, covariance
from inverse.pawley_lines import PhaseLines
from inverse.pawley_parameters import (
    DISTANCE,
    NOT_NEGATIVE,
    SIZE,
    STRAIN,
    ZERO,
    of_phase,
    profile_of,
)
from inverse.recipe import Calibration

Floats = NDArray[np.float64]
_FALSE_ALARM = 1e-6
"""With which noise alone is taken for a phase."""
_MISFIT = 0.05
"""Unexplained share that is too much: a profile R factor above the background of 22 %."""
_MISFIT_OF_PHASE = 0.1
"""What is not explained, in parts of what a phase explains, from which on the phase may as well be
wrong: false minima of a cell left 0.18 to 35, true ones up to 0.06."""
_AT_LIMIT = 1e-6
"""Distance from a limit, in parts of the range, that counts as being there."""


class FitStatus(Enum):
    """What became of a fit or of one of its phases."""

    CONVERGED = "converged"
    NOT_CONVERGED = "the search did not end"
    AT_LIMIT = "a parameter ran to its limit"
    NO_LINES = "no lines rise above noise"
    MISFIT = "too much of what stands above the background is not explained"


@dataclass(frozen=True, eq=False)
class PhaseFit:
    """What became of one phase. Lines are in order of falling d at the start, arrays (line,)."""

    name: str
    status: FitStatus
    """Only CONVERGED ones carry a cell."""
    cell_A_deg: Floats
    """(a, b, c, α, β, γ), (6,)."""
    cell_esd: Floats
    """Zero for what symmetry or the settings fix, (6,)."""
    size_nm: float
    size_esd_nm: float
    """NaN where not refined, or at its limit."""
    strain: float
    strain_esd: float
    """As that of the size."""
    scale: float
    """Volume fraction of a structured phase, NaN for free intensities."""
    scale_esd: float
    line_names: tuple[str, ...]
    """Indices such as '1 1 1'."""
    two_theta_deg: Floats
    """Where the line appears."""
    fwhm_deg: Floats
    intensity: Floats
    """Area of the line, in units of the pattern times rad; NaN where not measured."""
    intensity_esd: Floats
    column: NDArray[np.int64]
    """Place of its intensity among all coefficients; lines of one column share it."""


@dataclass(frozen=True, eq=False)
class PatternFit:
    """A fitted pattern."""

    status: FitStatus
    """Of the whole: lines that do not show are told of each phase."""
    names: tuple[str, ...]
    """Refined parameters beside intensities and background, such as 'Si:a_A'."""
    values: Floats
    """Where the search ended, whatever its status, (parameter,)."""
    covariance: Floats
    """(parameter, parameter); NaN for widths at zero, which count as fixed there, and for the cell
    of a phase without intensity."""
    calibration: Calibration
    """Profile and distance as refined."""
    zero_deg: float
    phases: tuple[PhaseFit, ...]
    coefficients: Floats
    """Intensities of groups of lines and scales, (column,); NaN where not measured."""
    coefficient_covariance: Floats
    """(column, column)."""
    background: Floats
    """Chebyshev coefficients, (term,)."""
    expected: Floats
    """The fitted pattern, (channel,)."""
    chi2_reduced: float
    degrees_of_freedom: int
    unexplained: float
    """Share of what stands above the background that is not explained, beyond noise, in χ²."""

    @property
    def esd(self) -> Floats:
        """Standard uncertainty of ``values``, (parameter,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    def phase(self, name: str) -> PhaseFit:
        """Return a phase by its name."""
        return {phase.name: phase for phase in self.phases}[name]


def fit_result(problem: Problem, found: Solution) -> PatternFit:
    """Return what a search found. Raises InputError for parameters that cannot be told apart."""
    parameters, data = problem.parameters, problem.data
    stopped, resting = _at_limits(problem, found.values)
    drawing, groups = found.drawing, found.groups
    slopes = line_slopes(drawing, groups.of_lines(found.linear.coefficients, drawing))
    # The cell of a phase without any intensity moves nothing.
    free = ~resting & np.any(slopes != 0.0, axis=1)
    of_parameters, of_coefficients = covariance(
        data, found.linear, slopes[free],
        names=tuple(name for name, moves in zip(parameters.names, free, strict=True) if moves),
    )  # fmt: skip
    whole = np.full((free.size, free.size), np.nan)
    whole[np.ix_(free, free)] = of_parameters
    seen = any_seen(problem, groups, drawing)
    shapes = groups.shapes(drawing) * seen[:, None]
    background = background_coefficients(data, found.linear, shapes)
    named = parameters.by_name(found.values)
    start = problem.instrument.calibration
    n_refined = int(seen.sum()) + len(background) + int(free.sum())
    freedom = max(int(data.usable.sum()) - n_refined, 1)
    chi2_reduced, unexplained = _goodness(problem, found, freedom)
    ended = FitStatus.CONVERGED if unexplained < _MISFIT else FitStatus.MISFIT
    ended = FitStatus.AT_LIMIT if np.any(stopped) else ended
    fit = PatternFit(
        status=ended if found.ended else FitStatus.NOT_CONVERGED,
        names=parameters.names,
        values=found.values,
        covariance=whole,
        calibration=start.model_copy(
            update={
                "profile": profile_of(named, start.profile),
                "distance_m": start.distance_m * (1.0 + 1e-6 * named[DISTANCE]),
            }
        ),
        zero_deg=named[ZERO],
        phases=(),
        coefficients=np.where(seen, found.linear.coefficients, np.nan),
        coefficient_covariance=of_coefficients,
        background=background,
        expected=found.linear.coefficients @ shapes + background @ data.background,
        chi2_reduced=chi2_reduced,
        degrees_of_freedom=freedom,
        unexplained=unexplained,
    )
    return replace(fit, phases=_phase_fits(fit, problem, found, stopped))


def _goodness(problem: Problem, found: Solution, freedom: int) -> tuple[float, float]:
    """Return χ² per degree of freedom, and the share of the pattern that is not explained."""
    left = float(np.sum(found.linear.residual**2))
    above_background = float(np.sum(problem.data.rest**2)) - freedom
    # Patterns that the background explains but for noise have nothing else to be explained.
    unexplained = (left - freedom) / max(above_background, float(freedom))
    return left / freedom, max(unexplained, 0.0)


def _at_limits(problem: Problem, values: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which parameters the search stopped at a limit, and which widths rest at zero."""
    parameters = problem.parameters
    near = _AT_LIMIT * (parameters.upper - parameters.lower)
    low, high = values - parameters.lower < near, parameters.upper - values < near
    last = [name.rpartition(":")[2] for name in parameters.names]
    resting = low & np.array([name in NOT_NEGATIVE for name in last], dtype=bool)
    return (low & ~resting) | high, resting


def _phase_fits(
    fit: PatternFit, problem: Problem, found: Solution, stopped: NDArray[np.bool_]
) -> tuple[PhaseFit, ...]:
    fits, first = [], 0
    for lines in problem.phases:
        own = slice(first, first + len(lines.products))
        fits.append(_phase_fit(fit, lines, own, problem, found, stopped))
        first = own.stop
    return tuple(fits)


def _phase_fit(
    fit: PatternFit,
    lines: PhaseLines,
    own: slice,
    problem: Problem,
    found: Solution,
    stopped: NDArray[np.bool_],
) -> PhaseFit:
    named = problem.parameters.by_name(found.values)
    column = found.groups.column[own]
    status = _phase_status(fit, lines.name, column, stopped)
    cell, cell_esd = _cell(fit, lines, named)
    lost = np.nan if status != FitStatus.CONVERGED else 1.0
    inverse_size, square = named[of_phase(lines.name, SIZE)], named[of_phase(lines.name, STRAIN)]
    size_nm = 100.0 / inverse_size if inverse_size > 0.0 else np.inf
    strain = 1e-3 * np.sqrt(square)
    per_unit = found.groups.share[own] * found.drawing.power[own]
    column_esd = np.sqrt(np.diag(fit.coefficient_covariance))
    structured = lines.log_power is not None
    return PhaseFit(
        name=lines.name,
        status=status,
        cell_A_deg=cell * lost,
        cell_esd=cell_esd * lost,
        size_nm=size_nm,
        size_esd_nm=100.0 * _esd(fit, of_phase(lines.name, SIZE)) / (inverse_size**2 or np.nan),
        strain=strain,
        strain_esd=1e-6 * _esd(fit, of_phase(lines.name, STRAIN)) / (2.0 * strain or np.nan),
        scale=float(fit.coefficients[column[0]]) if structured else np.nan,
        scale_esd=float(column_esd[column[0]]) if structured else np.nan,
        line_names=lines.names,
        two_theta_deg=np.rad2deg(found.drawing.position_rad[own]),
        fwhm_deg=np.rad2deg(found.drawing.fwhm_rad[own]),
        intensity=fit.coefficients[column] * per_unit,
        intensity_esd=column_esd[column] * per_unit,
        column=column,
    )


def _cell(fit: PatternFit, lines: PhaseLines, named: dict[str, float]) -> tuple[Floats, Floats]:
    """Return the full cell and its standard uncertainties, zero for what is fixed, (6,) each."""
    law = lines.law
    keys = [of_phase(lines.name, name) for name in law.names]
    cell = law.constant + law.matrix @ np.array([named[key] for key in keys])
    esd = law.matrix @ np.array([_esd(fit, key) if key in fit.names else 0.0 for key in keys])
    return cell, esd


def _esd(fit: PatternFit, name: str) -> float:
    """Return the standard uncertainty of a parameter, NaN where it is not refined."""
    return float(fit.esd[fit.names.index(name)]) if name in fit.names else np.nan


def _phase_status(
    fit: PatternFit, name: str, column: NDArray[np.int64], stopped: NDArray[np.bool_]
) -> FitStatus:
    """Return what became of a phase.

    A phase explains what χ² would rise by without its lines. These show where that is beyond what
    noise makes of it; and where a good part of that much is left unexplained, something is wrong,
    with the phase or with what else is in the pattern.
    """
    if fit.status == FitStatus.NOT_CONVERGED:
        return fit.status
    mine = [n.startswith(of_phase(name, "")) or ":" not in n for n in fit.names]
    if np.any(stopped[np.array(mine, dtype=bool)]):
        return FitStatus.AT_LIMIT
    own = np.unique(column)
    own = own[np.isfinite(fit.coefficients[own])]
    if own.size == 0:
        return FitStatus.NO_LINES
    there = fit.coefficients[own]
    spread = fit.coefficient_covariance[np.ix_(own, own)]
    explained = float(there @ np.linalg.solve(spread, there))
    if explained <= max(fit.chi2_reduced, 1.0) * float(chi2.isf(_FALSE_ALARM, own.size)):
        return FitStatus.NO_LINES
    left = (fit.chi2_reduced - 1.0) * fit.degrees_of_freedom
    if fit.unexplained > _MISFIT or left > _MISFIT_OF_PHASE * explained:
        return FitStatus.MISFIT
    return FitStatus.CONVERGED
