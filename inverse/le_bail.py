"""Fitting a whole pattern with free line intensities: Le Bail's method.

Intensities are not least-squares parameters. What is observed above the background is shared out
among the lines in proportion to what each is calculated to contribute,

    I_l ← Σ_c w_lc [I_l P_lc / (Σ_m I_m P_mc + Σ_p S_p F_pc)] (y_c − b_c) / Σ_c w_lc P_lc,

and again with the new intensities. The weight w = (1 − (x/3Γ)²)² of channels x from the line lets
in less of the noise beside it; it ends smoothly, since a channel that enters or leaves as a line
moves can keep the iteration from coming to rest. Background and the scales S of structured phases
are least squares beside these intensities, and cells and widths take one Gauss–Newton step in each
cycle with intensities held. Lines start equally strong, so those that coincide stay so; none
becomes negative.

Uncertainties are those that Pawley's method gives there: those of least squares with intensities
held would be too small.

Source: Le Bail, Duroy & Fourquet, Mater. Res. Bull. 23 (1988) 447.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.model import Instrument
from inverse.pawley_drawing import Drawing
from inverse.pawley_fit import (
    Groups,
    Problem,
    Solution,
    any_seen,
    coarse_start,
    group_lines,
    line_slopes,
    pose,
)
from inverse.pawley_linear import (
    Linear,
    Weighted,
    background_coefficients,
    projected_slopes,
    solve,
)
from inverse.pawley_recipe import Pawley
from inverse.pawley_result import PatternFit, fit_result
from inverse.pawley_shapes import VALUE
from xrdct.compiled import single_threaded_algebra

Floats = NDArray[np.float64]
_REACH_FWHM = 3.0
"""Further from a line, what is observed is noise rather than the line."""
_SHARINGS = 4
"""In each cycle, so that intensities follow the cell."""
_CYCLES = 200
_SETTLED = 1e-4
"""Change of the peaks in a cycle, relative, and of parameters in their units, at the end."""
_HALVINGS = 6
_NOTHING = 1e-14
"""Share of the highest peak below which there is nothing to be shared out."""


def fit_le_bail(
    pattern: Floats, *, variance: Floats, settings: Pawley, instrument: Instrument
) -> PatternFit:
    """Fit a pattern (channel,) as :func:`inverse.pawley.fit_pawley` does, by Le Bail's method.

    Lines keep intensities of their own, however close; ``share_within`` says which of them have a
    common uncertainty. Raises InputError as that does.
    """
    with single_threaded_algebra():
        problem = pose(pattern, variance=variance, settings=settings, instrument=instrument)
        return fit_result(problem, _iterate(problem, np.where(problem.data.usable, pattern, 0.0)))


@dataclass(frozen=True, eq=False)
class _State:
    """Parameters, intensities held, and what fits best beside them."""

    values: Floats
    """(parameter,)."""
    intensity: Floats
    """Of free lines, zero for those of structured phases, (line,)."""
    drawing: Drawing
    left: Weighted
    """The pattern without the free lines."""
    structured: Floats
    """Pattern of each structured phase, (phase, channel)."""
    linear: Linear
    """Scales of structured phases, and what remains."""

    @property
    def peaks(self) -> Floats:
        """All free lines together, (channel,)."""
        return np.asarray(self.intensity @ self.drawing.shapes[:, VALUE])

    @property
    def cost(self) -> float:
        """χ²."""
        return float(np.sum(self.linear.residual**2))


def _iterate(problem: Problem, observed: Floats) -> Solution:
    values = coarse_start(problem)
    drawing = problem.drawn(values)
    groups = _structured_groups(problem, drawing)
    free = np.asarray(groups.share == 0.0)
    above = np.maximum(observed - np.median(observed[problem.data.usable]), 0.0)
    channel_rad = problem.instrument.geometry.channel_width_rad
    equal = np.where(free, float(np.sum(above)) * channel_rad / max(free.sum(), 1), 0.0)
    state = _balanced(problem, groups, values, drawing, equal)
    units = problem.parameters.unit
    for _ in range(_CYCLES):
        before = state
        window = _window(problem, state.drawing)
        for _ in range(_SHARINGS):
            shared = _shared_out(problem, state, window, observed)
            state = _balanced(problem, groups, state.values, state.drawing, shared)
        state = _stepped(problem, groups, state)
        change = float(np.sum(np.abs(state.peaks - before.peaks)))
        moved = np.max(np.abs(state.values - before.values) / units, initial=0.0)
        if change <= _SETTLED * float(np.sum(state.peaks)) and moved <= _SETTLED:
            return _solution(problem, groups, state, ended=True)
    return _solution(problem, groups, state, ended=False)


def _structured_groups(problem: Problem, drawing: Drawing) -> Groups:
    """Return the columns of structured phases alone; lines of free ones have no share in any."""
    groups = group_lines(problem, drawing)
    of_line = np.concatenate(
        [np.full(len(p.products), p.log_power is not None) for p in problem.phases]
    )
    return Groups(
        column=np.where(of_line, groups.column, 0),
        share=np.where(of_line, 1.0, 0.0),
        n_columns=sum(p.log_power is not None for p in problem.phases),
    )


def _balanced(
    problem: Problem, groups: Groups, values: Floats, drawing: Drawing, intensity: Floats
) -> _State:
    """Return background and scales that fit best beside given intensities, (line,)."""
    structured = groups.shapes(drawing) if groups.n_columns else np.zeros((0, problem.n_channels))
    left = problem.data.without(intensity @ drawing.shapes[:, VALUE])
    return _State(values, intensity, drawing, left, structured, solve(left, structured))


def _window(problem: Problem, drawing: Drawing) -> Floats:
    """Return w P of the module's formula on usable channels, its sum one, (line, channel)."""
    angle_rad = problem.instrument.geometry.two_theta_rad
    reach_rad = _REACH_FWHM * drawing.fwhm_rad[:, None]
    distance = (angle_rad - drawing.position_rad[:, None]) / reach_rad
    weight = np.maximum(1.0 - distance**2, 0.0) ** 2 * problem.data.usable
    value = drawing.shapes[:, VALUE] * weight
    area = value.sum(axis=1, keepdims=True)
    return np.asarray(value / np.where(area > 0.0, area, 1.0))


def _shared_out(problem: Problem, state: _State, window: Floats, observed: Floats) -> Floats:
    """Return the intensities that share what is observed in proportion to those held, (line,)."""
    terms = background_coefficients(state.left, state.linear, state.structured)
    calculated = state.peaks + state.linear.coefficients @ state.structured
    above = observed - terms @ problem.data.background
    reached = calculated > _NOTHING * calculated.max()
    ratio = np.divide(above, calculated, out=np.zeros_like(above), where=reached)
    return np.maximum(state.intensity * (window @ ratio), 0.0)


def _stepped(problem: Problem, groups: Groups, state: _State) -> _State:
    """Return the state after a Gauss–Newton step in the parameters, shortened until χ² falls."""
    parameters = problem.parameters
    if state.values.size == 0:
        return state
    amplitude = state.intensity
    if groups.n_columns:
        amplitude = amplitude + groups.of_lines(state.linear.coefficients, state.drawing)
    jacobian = projected_slopes(state.left, state.linear, line_slopes(state.drawing, amplitude))
    outward = -(jacobian.T @ state.linear.residual)
    held = (state.values <= parameters.lower) & (outward < 0.0)
    held |= (state.values >= parameters.upper) & (outward > 0.0)
    step = np.zeros(state.values.size)
    scaled = jacobian[:, ~held] * parameters.unit[~held]
    step[~held] = np.linalg.lstsq(scaled, -state.linear.residual)[0] * parameters.unit[~held]
    for _ in range(_HALVINGS):
        values = np.clip(state.values + step, parameters.lower, parameters.upper)
        new = _balanced(problem, groups, values, problem.drawn(values), state.intensity)
        if new.cost < state.cost:
            return new
        step *= 0.5
    return state


def _solution(problem: Problem, structured: Groups, state: _State, *, ended: bool) -> Solution:
    """Return the state in columns: those of structured phases, then groups of close lines."""
    drawing = state.drawing
    groups = group_lines(problem, drawing)
    free = structured.share == 0.0
    total = np.bincount(groups.column, state.intensity, groups.n_columns).astype(np.float64)
    there = free & (total[groups.column] > 0.0)
    share = groups.share.copy()
    share[there] = state.intensity[there] / total[groups.column[there]]
    total[: structured.n_columns] = state.linear.coefficients
    mixed = Groups(groups.column, share, groups.n_columns)
    seen = any_seen(problem, mixed, drawing)
    linear = solve(problem.data, mixed.shapes(drawing) * seen[:, None])
    linear = replace(linear, coefficients=total * seen, residual=state.linear.residual)
    return Solution(state.values, drawing, mixed, linear, ended)
