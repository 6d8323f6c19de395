"""The search of a fit with free intensities: shared intensities, variable projection, its limits.

Free lines that cannot be told apart share an intensity. Ordered by position, a line belongs to the
group of the one before if it is closer than a share of its width to the first of that group; lines
of a group are given equal parts. Groups are made anew when the search has ended, and it continues
until they stay.

Where cells or the distance may be off by e, lines are first broadened as by a strain e, which makes
them twice as wide as they are displaced, then by e/2, and so on until their own width prevails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from inverse.model import Instrument, chebyshev_background
from inverse.pawley_drawing import Drawing, draw_lines
from inverse.pawley_linear import Linear, Weighted, projected_slopes, solve, weighted
from inverse.pawley_lines import PhaseLines, list_lines
from inverse.pawley_parameters import Parameters, parameters_of
from inverse.pawley_recipe import Pawley
from xrdct.errors import InputError

Floats = NDArray[np.float64]
_UNSEEN = 1e-3
"""Share of its area on usable channels below which a line is not measured."""
_REGROUPINGS = 4
_COARSE_STEPS, _STEPS = 12, 60


@dataclass(frozen=True, eq=False)
class Problem:
    """One pattern and all that is believed of it."""

    data: Weighted
    phases: tuple[PhaseLines, ...]
    parameters: Parameters
    instrument: Instrument
    settings: Pawley

    @property
    def n_channels(self) -> int:
        """Channels of the pattern."""
        return self.data.weight.size

    def drawn(self, values: Floats, *, blur: float = 0.0) -> Drawing:
        """Return all lines for the refined ``values``, (parameter,)."""
        return draw_lines(
            self.phases, values, parameters=self.parameters, instrument=self.instrument, blur=blur
        )


@dataclass(frozen=True, eq=False)
class Groups:
    """Which lines have which coefficient."""

    column: NDArray[np.int64]
    """Of each line, (line,)."""
    share: Floats
    """Part of the coefficient that each line is given, its power apart, (line,)."""
    n_columns: int

    def shapes(self, drawing: Drawing) -> Floats:
        """Return the pattern of each column for a coefficient of one, (column, channel)."""
        return np.asarray(self._matrix(drawing.power) @ drawing.shapes[:, 0])

    def of_lines(self, coefficients: Floats, drawing: Drawing) -> Floats:
        """Return the intensity of each line, (line,), of coefficients (column,)."""
        return np.asarray(coefficients[self.column] * self.share * drawing.power)

    def _matrix(self, power: Floats) -> Floats:
        matrix = np.zeros((self.n_columns, self.column.size))
        matrix[self.column, np.arange(self.column.size)] = self.share * power
        return matrix


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a search ended."""

    values: Floats
    """Refined parameters, (parameter,)."""
    drawing: Drawing
    groups: Groups
    linear: Linear
    ended: bool
    """Whether it ended because nothing changed any more."""


def pose(pattern: Floats, *, variance: Floats, settings: Pawley, instrument: Instrument) -> Problem:
    """Return the problem of fitting ``pattern`` (channel,) with ``settings``.

    Raises InputError where shapes do not agree with the geometry, a phase has too few lines in the
    pattern, or the pattern too few usable channels.
    """
    n_channels = instrument.geometry.n_channels
    if pattern.shape != (n_channels,) or variance.shape != (n_channels,):
        raise InputError(
            f"pattern and variance need the geometry's {n_channels} channels, but have shapes "
            f"{pattern.shape} and {variance.shape}"
        )
    background = chebyshev_background(n_channels, n_terms=settings.n_background)
    data = weighted(pattern, variance=variance, background=background)
    parameters = parameters_of(settings, calibration=instrument.calibration)
    problem = Problem(
        data, list_lines(settings, instrument=instrument), parameters, instrument, settings
    )
    count = group_lines(problem, problem.drawn(parameters.start)).n_columns
    fewest = count + settings.n_background + len(parameters.names) + 1
    if data.usable.sum() < fewest:
        raise InputError(
            f"a fit with {count} intensities needs at least {fewest} usable channels, but the "
            f"pattern has {data.usable.sum()}"
        )
    return problem


def group_lines(problem: Problem, drawing: Drawing) -> Groups:
    """Return which lines share an intensity where they now stand."""
    count = drawing.position_rad.size
    column, share = np.zeros(count, np.int64), np.ones(count)
    free = np.zeros(count, bool)
    first, n_columns = 0, 0
    for phase in problem.phases:
        own = slice(first, first + len(phase.products))
        first = own.stop
        if phase.log_power is None:
            free[own] = True
        else:
            column[own] = n_columns
            n_columns += 1
    lines = np.flatnonzero(free)[np.argsort(drawing.position_rad[free], kind="stable")]
    begun_rad = -np.inf
    for line in lines:
        reach_rad = problem.settings.share_within * drawing.fwhm_rad[line]
        if drawing.position_rad[line] - begun_rad >= reach_rad:
            begun_rad = drawing.position_rad[line]
            n_columns += 1
        column[line] = n_columns - 1
    share[lines] = 1.0 / np.bincount(column, minlength=n_columns)[column[lines]]
    return Groups(column, share, n_columns)


def any_seen(problem: Problem, groups: Groups, drawing: Drawing) -> NDArray[np.bool_]:
    """Return whether any line of each column is measured, (column,).

    A line is where at least 0.1 % of its area falls on usable channels.
    """
    channel_rad = problem.instrument.geometry.channel_width_rad
    area = drawing.shapes[:, 0] @ problem.data.usable * channel_rad
    return np.bincount(groups.column, weights=area > _UNSEEN, minlength=groups.n_columns) > 0.0


def line_slopes(drawing: Drawing, intensity: Floats) -> Floats:
    """Return the change of the pattern with each parameter, (parameter, channel).

    ``intensity``: of each line, (line,).
    """
    by_position, by_width, by_mixing, by_power = drawing.slopes * intensity[:, None]
    value, moved, widened, mixed = (drawing.shapes[:, i] for i in range(4))
    return np.asarray(
        by_position.T @ moved + by_width.T @ widened + by_mixing.T @ mixed + by_power.T @ value
    )


def search(problem: Problem) -> Solution:
    """Return the parameters that fit best, found from the start of the settings."""
    everything = np.ones(problem.parameters.start.size, bool)
    found = _descend(problem, coarse_start(problem), everything)
    for _ in range(_REGROUPINGS):
        again = group_lines(problem, found.drawing)
        if np.array_equal(again.column, found.groups.column):
            break
        found = _descend(problem, found.values, everything)
    return found


def coarse_start(problem: Problem) -> Floats:
    """Return the start, (parameter,), with cells and distance to within a line's width."""
    values = problem.parameters.start.copy()
    movable = problem.parameters.move_lines
    if np.any(movable):
        for blur in _blurs(problem):
            values = _descend(problem, values, movable, blur=blur, steps=_COARSE_STEPS).values
    return values


def _blurs(problem: Problem) -> list[float]:
    """Return the strains to broaden lines with, the largest first, none where nothing is to find.

    The last displaces the outermost line by half its width.
    """
    drawing = problem.drawn(problem.parameters.start)
    outermost = int(np.argmax(drawing.position_rad))
    shift = 2.0 * np.tan(0.5 * drawing.position_rad[outermost])
    enough = 0.5 * drawing.fwhm_rad[outermost] / shift
    blurs, blur = [], problem.settings.start_error
    while blur > enough:
        blurs.append(blur)
        blur *= 0.5
    return blurs


def _descend(
    problem: Problem, start: Floats, free: NDArray[np.bool_], *, blur: float = 0.0,
    steps: int = _STEPS,
) -> Solution:  # fmt: skip
    """Return the nearest minimum in the ``free`` parameters, groups as they are at the start."""
    parameters, data = problem.parameters, problem.data
    groups = group_lines(problem, problem.drawn(start, blur=blur))

    def evaluate(some: Floats) -> Solution:
        values = start.copy()
        values[free] = some
        drawing = problem.drawn(values, blur=blur)
        seen = any_seen(problem, groups, drawing)
        linear = solve(data, groups.shapes(drawing) * seen[:, None])
        return Solution(values, drawing, groups, linear, True)

    last = evaluate(start[free])
    if not np.any(free):
        return last

    def residual(some: Floats) -> Floats:
        nonlocal last
        if not np.array_equal(some, last.values[free]):
            last = evaluate(some)
        return last.linear.residual

    def jacobian(some: Floats) -> Floats:
        residual(some)
        intensity = groups.of_lines(last.linear.coefficients, last.drawing)
        return projected_slopes(data, last.linear, line_slopes(last.drawing, intensity)[free])

    fit = least_squares(
        residual, start[free], jac=jacobian, x_scale=parameters.unit[free], max_nfev=steps,
        bounds=(parameters.lower[free], parameters.upper[free]),
    )  # fmt: skip
    residual(fit.x)
    return Solution(last.values, last.drawing, groups, last.linear, bool(fit.success))
