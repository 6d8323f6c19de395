"""The compiled patterns of all phases for given parameters, with their derivatives.

Parameters lie in slots, ten for each phase and two for all together:

    0 … 5   free parameters of the cell (Å, degrees), as many as symmetry leaves
    6       size: (100 nm/L), squared where the broadening is Gaussian
    7       strain: (1000·e0), squared where the broadening is Gaussian
    8       change ΔB of all displacement parameters (Å²)
    9       factor of the occupancy of one site
    10·P    shift of all angles (rad), and next to it the true distance over the nominal one

so that widths are linear in what is refined. A line of a phase with cell metric G has
1/d² = hᵀG⁻¹h, sinθ = λ/2d, appears at arctan(tan2θ · distance ratio) + shift, has the power

    ln q = c0 + (c1 + 6) ε + (c2 − 3) ε² − 2 ln(v/v0) − ΔB/2d²,     ε = d/d0 − 1

(|F|² and sinθ follow the line's own spacing, so that cells of one shape have the parabola
c0 + c1·ε + c2·ε² of :mod:`inverse.rietveld_lines`), and the widths

    ΓG² = U tan²θ + V tanθ + W + (4 e0 tanθ)²,   ΓL = X tanθ + Y/cosθ + K λ/(L cosθ)

with size and strain in the other one where the settings say so. Derivatives leave out what weighs
little: the change of a width with the position of a line (a cell that grows by 0.1 % changes it by
0.1 %), and, beyond six widths of a line, slopes by its position and by the cell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inverse.rietveld_profile import add, add_two, draw_line, widths_of
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PER_PHASE = 10
CELL, SIZE, STRAIN, B_ISO, OCCUPANCY = 0, 6, 7, 8, 9
ZERO, STRETCH = 0, 1
"""Among the slots after those of the phases."""
_LARGEST_SINE2 = 0.49
"""Of θ: beyond 2θ = 90° no flat detector sees a line."""
_OUT_OF_SIGHT_RAD = 10.0

POSITION, POWER, FWHM, MIXING = 0, 1, 2, 3
FWHM_BY_SQUARE, MIXING_BY_SQUARE, FWHM_BY_LORENTZ, MIXING_BY_LORENTZ = 4, 5, 6, 7
"""Slopes by ΓG² and ΓL."""
BY_SPACING, BY_STRETCH = 8, 9
"""Slopes of the position, by 1/d² and the ratio of distances."""
BY_SIZE, BY_STRAIN = 10, 11
"""Of the width they add to: K λ/(100 nm cosθ), and 4e-3 tanθ."""
POWER_BY_B_ISO, POWER_BY_SPACING, BY_OCCUPANCY = 12, 13, 14
"""∂ln(power)/∂ΔB, ∂ln(power·v²)/∂(1/d²), ∂power/∂factor."""
N_PLACE = 15


class Tables(NamedTuple):
    """All that stays the same during a refinement."""

    first_line: Ints
    """Of each phase, and the end of the last, (phase + 1,)."""
    hkl_products: Floats
    """(line, 6)."""
    log_power: Floats
    """(line, 3)."""
    s_squared: Floats
    """In the cell of ``volume_A3``, (line,)."""
    occupancy: Floats
    """(line, 2)."""
    volume_A3: Floats
    """(phase,)."""
    cell_constant: Floats
    """(phase, 6)."""
    cell_matrix: Floats
    """(phase, 6, 6); columns beyond the free parameters are zero."""
    gaussian: NDArray[np.bool_]
    """Whether size and strain broaden the Gaussian width, (phase, 2)."""
    instrument: Floats
    """λ in Å; U, V, W in rad²; X, Y in rad; first angle and width of channels in rad;
    K λ/100 nm."""


class Active(NamedTuple):
    """The slots whose derivatives are wanted; those common to all phases once for each."""

    first: Ints
    """Of each phase, and the end of the last, (phase + 1,)."""
    kind: Ints
    """Slot within its phase, or 10 for the shift and 11 for the distance, (active,)."""
    column: Ints
    """Free parameter that it is, (active,)."""
    phase: Ints
    """(active,)."""


@compiled
def inverse_metric(cell: Floats, metric: Floats) -> float:
    """Set ``metric`` to G⁻¹ as 11, 22, 33, 23, 13, 12; return the volume, 0 if there is none."""
    a, b, c = cell[0], cell[1], cell[2]
    degree = np.pi / 180.0
    ca, cb, cg = 0.0, 0.0, 0.0
    if cell[3] != 90.0:
        ca = np.cos(cell[3] * degree)
    if cell[4] != 90.0:
        cb = np.cos(cell[4] * degree)
    if cell[5] != 90.0:
        cg = np.cos(cell[5] * degree)
    square = 1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg
    if not square > 0.0:
        return 0.0
    metric[0] = (1.0 - ca * ca) / (square * a * a)
    metric[1] = (1.0 - cb * cb) / (square * b * b)
    metric[2] = (1.0 - cg * cg) / (square * c * c)
    metric[3] = (cb * cg - ca) / (square * b * c)
    metric[4] = (ca * cg - cb) / (square * a * c)
    metric[5] = (ca * cb - cg) / (square * a * b)
    return float(a * b * c * np.sqrt(square))


@compiled
def _metric_slopes(
    free: Floats, constant: Floats, matrix: Floats, slopes: Floats, log_volume: Floats
) -> None:
    """Set the change of G⁻¹, (free, 6), and of ln v by central differences, exact to 1e-10."""
    cell, shifted, low, high = np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    for i in range(6):
        cell[i] = constant[i]
        for j in range(free.size):
            cell[i] += matrix[i, j] * free[j]
    for j in range(free.size):
        step = 1e-5 * free[j]
        for i in range(6):
            shifted[i] = cell[i] + step * matrix[i, j]
        above = inverse_metric(shifted, high)
        for i in range(6):
            shifted[i] = cell[i] - step * matrix[i, j]
        below = inverse_metric(shifted, low)
        for i in range(6):
            slopes[j, i] = (high[i] - low[i]) / (2.0 * step)
        log_volume[j] = (np.log(above) - np.log(below)) / (2.0 * step)


@compiled
def _place_lines(
    p: int, slots: Floats, metric: Floats, shrunk: float, tables: Tables, place: Floats
) -> None:
    """Set ``place`` (line, 15) to what the lines of a phase are at these slots.

    ``shrunk`` is v0/v. Lines that no flat detector sees are put out of the way.
    """
    wavelength, u, v, w, x, y, _first, _width, scherrer = tables.instrument
    first_slot, common = PER_PHASE * p, PER_PHASE * tables.volume_A3.size
    zero, stretch = slots[common + ZERO], slots[common + STRETCH]
    size, strain = slots[first_slot + SIZE], slots[first_slot + STRAIN]
    b_iso, change = slots[first_slot + B_ISO], slots[first_slot + OCCUPANCY] - 1.0
    size2, size1 = (size, 0.0) if tables.gaussian[p, 0] else (0.0, size)
    strain2, strain1 = (strain, 0.0) if tables.gaussian[p, 1] else (0.0, strain)
    begin, quarter = tables.first_line[p], 0.25 * wavelength * wavelength
    hkl, s_squared, occupancy = tables.hkl_products, tables.s_squared, tables.occupancy
    log_power = tables.log_power
    for n in range(place.shape[0]):
        line, inverse_d2 = begin + n, 0.0
        for i in range(6):
            inverse_d2 += hkl[line, i] * metric[i]
        visible = 0.0 < quarter * inverse_d2 < _LARGEST_SINE2
        if not visible:
            inverse_d2 = _LARGEST_SINE2 / quarter
        sine2 = quarter * inverse_d2
        sine, cosine = np.sqrt(sine2), np.sqrt(1.0 - sine2)
        tangent, secant = sine / cosine, 1.0 / cosine
        double = 2.0 * tangent / (1.0 - tangent * tangent)
        seen = stretch * double
        turn = 1.0 / (1.0 + seen * seen)
        place[n, POSITION] = np.arctan(seen) + zero if visible else _OUT_OF_SIGHT_RAD
        place[n, BY_SPACING] = stretch * (1.0 + double * double) * turn * quarter / (sine * cosine)
        place[n, BY_STRETCH] = double * turn
        sized, strained = scherrer * secant, 4e-3 * tangent
        place[n, BY_SIZE], place[n, BY_STRAIN] = sized, strained
        gauss2 = u * tangent * tangent + v * tangent + w
        gauss2 += size2 * sized * sized + strain2 * strained * strained
        lorentz = x * tangent + y * secant + size1 * sized + strain1 * strained
        (
            place[n, FWHM], place[n, MIXING], place[n, FWHM_BY_SQUARE], place[n, MIXING_BY_SQUARE],
            place[n, FWHM_BY_LORENTZ], place[n, MIXING_BY_LORENTZ],
        ) = widths_of(np.sqrt(gauss2), lorentz)  # fmt: skip
        longer = 2.0 * np.sqrt(s_squared[line] / inverse_d2)
        c1, c2, epsilon = log_power[line, 1] + 6.0, log_power[line, 2] - 3.0, longer - 1.0
        place[n, POWER_BY_B_ISO] = -0.5 * inverse_d2
        place[n, POWER_BY_SPACING] = -0.5 * (
            (c1 + 2.0 * c2 * epsilon) * longer / inverse_d2 + b_iso
        )
        exponent = log_power[line, 0] + epsilon * (c1 + epsilon * c2) - 0.5 * inverse_d2 * b_iso
        full, r1, r2 = np.exp(exponent) * shrunk * shrunk, occupancy[line, 0], occupancy[line, 1]
        place[n, POWER] = full * max(1.0 + change * (r1 + change * r2), 0.0)
        place[n, BY_OCCUPANCY] = full * (r1 + 2.0 * change * r2)


@compiled
def _add_slopes(
    hkl: Floats, at: tuple[int, int, int, int], place: Floats, n: int, gaussian: Bools,
    by_cell: Floats, by_volume: Floats, kinds: Ints, first_row: int, slopes: Floats,
    buffer: Floats,
) -> None:  # fmt: skip
    """Add the share of line ``n``, of products ``hkl``, to the derivatives of its phase."""
    first, low, high, last = at
    power, fwhm, mixing = place[n, POWER], place[n, FWHM], place[n, MIXING]
    for k in range(kinds.size):
        kind, row = kinds[k], first_row + k
        tail = 0.0
        if kind < SIZE:
            moved = 0.0
            for i in range(6):
                moved += hkl[i] * by_cell[kind, i]
            by_position = power * place[n, BY_SPACING] * moved
            grown = power * (place[n, POWER_BY_SPACING] * moved - 2.0 * by_volume[kind])
            add_two(slopes, row, low, high, by_position, 1, grown, 0, buffer)
        elif kind in (SIZE, STRAIN):
            by = place[n, BY_SIZE + kind - SIZE]
            if gaussian[kind - SIZE]:
                by *= power * by
                wider, mixed = by * place[n, FWHM_BY_SQUARE], by * place[n, MIXING_BY_SQUARE]
            else:
                by *= power
                wider, mixed = by * place[n, FWHM_BY_LORENTZ], by * place[n, MIXING_BY_LORENTZ]
            add_two(slopes, row, low, high, wider, 2, mixed, 3, buffer)
            tail = wider * mixing / fwhm + mixed
        elif kind in (B_ISO, OCCUPANCY):
            stronger = place[n, BY_OCCUPANCY]
            if kind == B_ISO:
                stronger = power * place[n, POWER_BY_B_ISO]
            add(slopes, row, low, high, stronger, buffer, 0)
            tail = stronger * mixing
        elif kind == PER_PHASE + ZERO:
            add(slopes, row, low, high, power, buffer, 1)
        else:
            add(slopes, row, low, high, power * place[n, BY_STRETCH], buffer, 1)
        if tail != 0.0:
            add(slopes, row, first, low, tail, buffer, 3)
            add(slopes, row, high, last, tail, buffer, 3)


@compiled
def draw_phase(
    p: int, slots: Floats, tables: Tables, active: Active, n_cell: int,
    shape: Floats, slopes: Floats, buffer: Floats,
) -> bool:  # fmt: skip
    """Set the pattern of phase ``p`` (channel,) and its derivatives (active, channel).

    Only the rows of ``slopes`` that belong to the phase are set. Returns False for an impossible
    cell. ``buffer`` is (4, channel).
    """
    first_slot, first_row = PER_PHASE * p, active.first[p]
    free = slots[first_slot : first_slot + n_cell]
    constant, matrix = tables.cell_constant[p], tables.cell_matrix[p]
    cell, metric = np.empty(6), np.empty(6)
    for i in range(6):
        cell[i] = constant[i]
        for j in range(n_cell):
            cell[i] += matrix[i, j] * free[j]
    volume = inverse_metric(cell, metric)
    shape[:] = 0.0
    slopes[first_row : active.first[p + 1]] = 0.0
    if not volume > 0.0:
        return False
    by_cell, by_volume = np.zeros((n_cell, 6)), np.zeros(n_cell)
    kinds, gaussian = active.kind[first_row : active.first[p + 1]], tables.gaussian[p]
    if kinds.size and kinds[0] < SIZE:
        _metric_slopes(free, constant, matrix, by_cell, by_volume)
    lines = tables.hkl_products[tables.first_line[p] : tables.first_line[p + 1]]
    place = np.empty((len(lines), N_PLACE))
    _place_lines(p, slots, metric, tables.volume_A3[p] / volume, tables, place)
    first_rad, channel_rad = tables.instrument[6], tables.instrument[7]
    for n in range(len(lines)):
        at = draw_line(
            shape, place[n, POWER], (place[n, POSITION] - first_rad) / channel_rad, channel_rad,
            place[n, FWHM], place[n, MIXING], buffer,
        )  # fmt: skip
        if kinds.size and at[3] > at[0]:
            _add_slopes(
                lines[n], at, place, n, gaussian, by_cell, by_volume, kinds, first_row, slopes,
                buffer,
            )  # fmt: skip
    return True
