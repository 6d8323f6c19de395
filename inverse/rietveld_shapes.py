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

from inverse.rietveld_profile import add, add_two, draw_line, width_and_mixing
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PER_PHASE = 10
CELL, SIZE, STRAIN, B_ISO, OCCUPANCY = 0, 6, 7, 8, 9
ZERO, STRETCH = 0, 1
"""Among the slots after those of the phases."""
_LARGEST_SINE2 = 0.49
"""Of θ: beyond 2θ = 90° no flat detector sees a line."""


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
def _place_line(
    line: int, p: int, slots: Floats, metric: Floats, shrunk: float, tables: Tables, out: Floats
) -> bool:
    """Set ``out`` to what a line is at these slots; False where no flat detector sees it.

    ``out``: position, ΓG, ΓL, power, power of full occupancy, ∂position/∂(1/d²), ∂position/∂ratio
    of distances, K λ/(100 nm cosθ), 4e-3 tanθ, ∂ln(power)/∂ΔB, ∂ln(power·v²)/∂(1/d²).
    ``shrunk`` is v0/v.
    """
    wavelength, u, v, w, x, y, _first, _width, scherrer = tables.instrument
    first_slot, common = PER_PHASE * p, PER_PHASE * tables.volume_A3.size
    stretch = slots[common + STRETCH]
    inverse_d2 = 0.0
    for i in range(6):
        inverse_d2 += tables.hkl_products[line, i] * metric[i]
    sine2 = 0.25 * wavelength * wavelength * inverse_d2
    if not 0.0 < sine2 < _LARGEST_SINE2:
        return False
    sine, cosine = np.sqrt(sine2), np.sqrt(1.0 - sine2)
    tangent = sine / cosine
    double = 2.0 * tangent / (1.0 - tangent * tangent)
    seen = stretch * double
    turn = 1.0 / (1.0 + seen * seen)
    out[0] = np.arctan(seen) + slots[common + ZERO]
    out[5] = (
        stretch * (1.0 + double * double) * turn * 0.25 * wavelength * wavelength / (sine * cosine)
    )
    out[6] = double * turn
    out[7], out[8] = scherrer / cosine, 4e-3 * tangent
    gauss2 = u * tangent * tangent + v * tangent + w
    lorentz = x * tangent + y / cosine
    for which in range(2):
        amount, by = slots[first_slot + SIZE + which], out[7 + which]
        if tables.gaussian[p, which]:
            gauss2 += amount * by * by
        else:
            lorentz += amount * by
    out[1], out[2] = np.sqrt(gauss2), lorentz
    b_iso = slots[first_slot + B_ISO]
    c0, c1, c2 = tables.log_power[line]
    longer = 2.0 * np.sqrt(tables.s_squared[line] / inverse_d2)
    c1, c2, epsilon = c1 + 6.0, c2 - 3.0, longer - 1.0
    out[9] = -0.5 * inverse_d2
    out[10] = -0.5 * ((c1 + 2.0 * c2 * epsilon) * longer / inverse_d2 + b_iso)
    out[4] = np.exp(c0 + epsilon * (c1 + epsilon * c2) + out[9] * b_iso) * shrunk * shrunk
    change = slots[first_slot + OCCUPANCY] - 1.0
    r1, r2 = tables.occupancy[line]
    out[3] = out[4] * max(1.0 + change * (r1 + change * r2), 0.0)
    return True


@compiled
def _add_tails(
    target: Floats, at: tuple[int, int, int, int], scale: float, buffer: Floats
) -> None:  # fmt: skip
    """Add ``scale`` times the Lorentzian on either side of a line."""
    add(target, at[0], at[1], scale, buffer[3])
    add(target, at[2], at[3], scale, buffer[3])


@compiled
def _add_slopes(
    line: int, p: int, at: tuple[int, int, int, int], place: Floats, widths: Floats,
    by_cell: Floats, by_volume: Floats, change: float, tables: Tables, active: Active,
    slopes: Floats, buffer: Floats,
) -> None:  # fmt: skip
    """Add a line's share to the derivatives by the active slots of its phase."""
    power, low, high = place[3], at[1], at[2]
    fwhm, mixing = widths[0], widths[1]
    for k in range(active.first[p], active.first[p + 1]):
        kind, target = active.kind[k], slopes[k]
        if kind < SIZE:
            moved = 0.0
            for i in range(6):
                moved += tables.hkl_products[line, i] * by_cell[kind, i]
            grown = power * (place[10] * moved - 2.0 * by_volume[kind])
            add_two(target, low, high, power * place[5] * moved, buffer[1], grown, buffer[0])
        elif kind in (SIZE, STRAIN):
            which = kind - SIZE
            by, column = power * place[7 + which], 4
            if tables.gaussian[p, which]:
                by, column = by * place[7 + which], 2
            wider, mixed = by * widths[column], by * widths[column + 1]
            add_two(target, low, high, wider, buffer[2], mixed, buffer[3])
            _add_tails(target, at, wider * mixing / fwhm + mixed, buffer)
        elif kind == B_ISO:
            damped = place[9] * power
            add(target, low, high, damped, buffer[0])
            _add_tails(target, at, damped * mixing, buffer)
        elif kind == OCCUPANCY:
            r1, r2 = tables.occupancy[line]
            fuller = place[4] * (r1 + 2.0 * change * r2)
            add(target, low, high, fuller, buffer[0])
            _add_tails(target, at, fuller * mixing, buffer)
        elif kind == PER_PHASE + ZERO:
            add(target, low, high, power, buffer[1])
        else:
            add(target, low, high, power * place[6], buffer[1])


@compiled
def draw_phase(
    p: int, slots: Floats, tables: Tables, active: Active, n_cell: int,
    shape: Floats, slopes: Floats, buffer: Floats,
) -> bool:  # fmt: skip
    """Set the pattern of phase ``p`` (channel,) and its derivatives (active, channel).

    Only the rows of ``slopes`` that belong to the phase are set. Returns False for an impossible
    cell. ``buffer`` is (4, channel).
    """
    first_slot = PER_PHASE * p
    free = slots[first_slot : first_slot + n_cell]
    constant, matrix = tables.cell_constant[p], tables.cell_matrix[p]
    cell, metric = np.empty(6), np.empty(6)
    for i in range(6):
        cell[i] = constant[i]
        for j in range(n_cell):
            cell[i] += matrix[i, j] * free[j]
    volume = inverse_metric(cell, metric)
    shape[:] = 0.0
    slopes[active.first[p] : active.first[p + 1]] = 0.0
    if not volume > 0.0:
        return False
    shrunk = tables.volume_A3[p] / volume
    by_cell, by_volume = np.zeros((n_cell, 6)), np.zeros(n_cell)
    if active.first[p + 1] > active.first[p] and active.kind[active.first[p]] < SIZE:
        _metric_slopes(free, constant, matrix, by_cell, by_volume)
    first_rad, channel_rad = tables.instrument[6], tables.instrument[7]
    widths, place = np.empty(6), np.empty(11)
    for line in range(tables.first_line[p], tables.first_line[p + 1]):
        if not _place_line(line, p, slots, metric, shrunk, tables, place):
            continue
        width_and_mixing(place[1], place[2], widths)
        at = draw_line(
            shape, place[3], (place[0] - first_rad) / channel_rad, channel_rad, widths[0],
            widths[1], buffer,
        )  # fmt: skip
        if active.first[p + 1] > active.first[p]:
            _add_slopes(
                line, p, at, place, widths, by_cell, by_volume,
                slots[first_slot + OCCUPANCY] - 1.0, tables, active, slopes, buffer,
            )  # fmt: skip
    return True
