"""Where a refinement starts: the size of a cell that matches a pattern best.

A cell that starts a line's width away from the truth may end at the wrong line. For phases that ask
for it, the pattern is compared with those of cells over the whole range, half a line's width apart,
background and phases of known pattern taken off both. The best match, refined by a parabola, is the
start; what it explains is taken off before the next phase is looked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.rietveld_model import RietveldModel
from inverse.rietveld_shapes import PER_PHASE, SIZE
from inverse.starting_values import bridged, typical_weight

Floats = NDArray[np.float64]
Patterns = NDArray[np.floating[Any]]

_BLOCK = 4096
_TANGENT = 0.1
"""Of θ, at which a step is half a line's width: tan(5.7°)."""


def searched_start(patterns: Patterns, variance: Patterns, *, model: RietveldModel) -> Floats:
    """Return the numbers at which each pattern's refinement starts, (pattern, free)."""
    start = np.tile(model.start, (len(patterns), 1))
    wanted = [
        p for p, phase in enumerate(model.settings.phases) if phase.search and phase.cell == "voxel"
    ]
    if not wanted or not len(patterns):
        return start
    root_weight = np.sqrt(typical_weight(variance))
    basis = _basis(model, wanted, root_weight)
    banks = [_bank(model, p, root_weight, basis) for p in wanted]
    counts = root_weight > 0.0
    for first in range(0, len(patterns), _BLOCK):
        part = slice(first, first + _BLOCK)
        with np.errstate(invalid="ignore", over="ignore"):
            weighted = (patterns[part] * root_weight).astype(np.float32)
        left = bridged(weighted, counts)
        left -= (left @ basis) @ basis.T
        for p, (factors, bank) in zip(wanted, banks, strict=True):
            match = left @ bank.T
            best, found = _tops(match, factors)
            left -= np.maximum(match[np.arange(len(left)), best], 0.0)[:, None] * bank[best]
            _scale_cell(start[part], model, p, found)
    return start


def _basis(model: RietveldModel, wanted: list[int], root_weight: Floats) -> Floats:
    """Return what is taken off both sides: background and all other phases, (channel, basis)."""
    others = np.delete(model.patterns(model.slots), wanted, axis=0)
    rows = np.concatenate([model.background, others]) * root_weight
    return np.asarray(np.linalg.qr(rows.T)[0])


def _bank(
    model: RietveldModel, p: int, root_weight: Floats, basis: Floats
) -> tuple[Floats, Floats]:
    """Return factors of the cell's lengths and what is left of the patterns, of unit length."""
    phase = model.settings.phases[p]
    width_rad = np.sqrt(model.tables.instrument[3])
    step = 0.5 * width_rad / (2.0 * _TANGENT)
    n_steps = int(np.ceil(phase.cell_range / step))
    factors = 1.0 + phase.cell_range * np.linspace(-1.0, 1.0, 2 * n_steps + 1)
    rows = []
    for factor in factors:
        slots = model.slots.copy()
        first = PER_PHASE * p
        for slot in range(first, first + int(model.n_cell[p])):
            if _is_length(model, slot):
                slots[slot] *= factor
        rows.append(model.patterns(slots)[p] * root_weight)
    bank = np.array(rows)
    bank -= (bank @ basis) @ basis.T
    return factors, bank / np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), 1e-300)


def _is_length(model: RietveldModel, slot: int) -> bool:
    p, within = divmod(slot, PER_PHASE)
    return within < SIZE and bool(model.tables.cell_matrix[p, :3, within].any())


def _tops(match: Floats, factors: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the best match of each pattern, and the factor at the top of a parabola there."""
    best = np.argmax(match, axis=1)
    rows, inner = np.arange(len(match)), np.clip(best, 1, len(factors) - 2)
    low, middle, high = (match[rows, inner + shift] for shift in (-1, 0, 1))
    bend = 2.0 * middle - low - high
    shift = np.where(
        (bend > 0.0) & (best == inner), 0.5 * (high - low) / np.where(bend > 0.0, bend, 1.0), 0.0
    )
    spacing = factors[1] - factors[0]
    return best, factors[best] + spacing * shift


def _scale_cell(start: Floats, model: RietveldModel, p: int, factor: Floats) -> None:
    for j, parameter in enumerate(model.parameters):
        slot = parameter.slots[0]
        if parameter.is_of_cell and slot // PER_PHASE == p and _is_length(model, slot):
            start[:, j] = np.clip(start[:, j] * factor, parameter.low, parameter.high)
