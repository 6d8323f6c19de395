"""What a Rietveld refinement leaves of many patterns: residuals by channel and by pattern.

Calculated patterns are drawn anew from the results, Σ_p s_p·F_p(θ) + Σ_k b_k·B_k, in parallel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.rietveld_model import RietveldModel
from inverse.rietveld_shapes import Active, Tables, draw_phase
from xrdct.compiled import compiled, threaded

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Patterns = NDArray[np.floating[Any]]


class ResidualSums:
    """Sums over patterns, by channel, of what refinements leave."""

    def __init__(self, n_channels: int) -> None:
        self._residual, self._square = np.zeros(n_channels), np.zeros(n_channels)
        self._count = np.zeros(n_channels)

    def add(self, residuals: Floats, variance: Patterns) -> Floats:
        """Take in residuals (pattern, channel) with their variance; return their RMS, (pattern,).

        Channels that are NaN, or have no variance, do not count.
        """
        used = np.isfinite(residuals) & (variance > 0.0) & np.isfinite(variance)
        values = np.where(used, residuals, 0.0)
        squares = values**2
        self._residual += values.sum(axis=0)
        self._square += (squares / np.where(used, variance, 1.0)).sum(axis=0)
        self._count += used.sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(squares.sum(axis=1) / used.sum(axis=1)))

    @property
    def mean(self) -> Floats:
        """Mean residual, (channel,); NaN where there is none."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._residual / self._count)

    @property
    def mean_square(self) -> Floats:
        """Mean square of residual over standard deviation, (channel,); about 1 by noise alone."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._square / self._count)


def calculated_patterns(
    model: RietveldModel, values: Floats, *, workers: int | None = None
) -> Floats:
    """Return the patterns of refined ``values`` (pattern, name), in the order of ``model.names``.

    Shape (pattern, channel). Parameters that are NaN are at their start, phases whose scale is NaN
    are not there.
    """
    n_phases, n_free = len(model.settings.phases), len(model.parameters)
    slots = np.tile(model.slots, (len(values), 1))
    for j, parameter in enumerate(model.parameters):
        column = values[:, n_phases + j]
        known = np.flatnonzero(np.isfinite(column))
        numbers = parameter.number(column[known])
        for slot in parameter.slots:
            slots[known, slot] = numbers
    scales = np.nan_to_num(values[:, :n_phases])
    patterns = np.nan_to_num(values[:, n_phases + n_free :]) @ model.background
    setup = model.setup()

    def task(first: int, last: int) -> None:
        part = slice(first, last)
        _add_phases(
            slots[part], scales[part], setup.tables, setup.n_cell, setup.drawn, setup.is_drawn,
            patterns[part],
        )  # fmt: skip

    threaded(task, len(values), workers=workers)
    return np.asarray(patterns)


@compiled
def _add_phases(
    slots: Floats, scales: Floats, tables: Tables, n_cell: Ints, drawn: Floats, is_drawn: Bools,
    patterns: Floats,
) -> None:  # fmt: skip
    """Add the phases of each pattern, which takes a moment for those that are ``drawn`` already."""
    n_phases, n_channels = drawn.shape
    none = np.zeros(0, np.int64)
    still = Active(np.zeros(n_phases + 1, np.int64), none, none, none)
    shape, nothing, buffer = (
        np.empty(n_channels),
        np.empty((0, n_channels)),
        np.empty((4, n_channels)),
    )
    for v in range(scales.shape[0]):
        for p in range(n_phases):
            scale = scales[v, p]
            if scale == 0.0:
                continue
            if is_drawn[p]:
                patterns[v] += scale * drawn[p]
            elif draw_phase(p, slots[v], tables, still, n_cell[p], shape, nothing, buffer):
                patterns[v] += scale * shape
