"""Where to start each voxel's lattice parameter: the best match on a coarse grid.

All voxels share one weight per channel here (the inverse of the mean variance), so that the match
with every template is one matrix product. A parabola through the best match and its neighbours
places the start between templates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]

_COARSENESS = 4
"""Every fourth template: the basin of convergence is a peak's width, some twenty templates."""
_SAMPLED = 512
"""Voxels from which the mean variance is taken."""


@dataclass(frozen=True, eq=False)
class StartGrid:
    """Templates to match with, orthogonal to the linear patterns and of equal norm."""

    matched: Float32s
    """Shape (channel, match)."""
    counts: NDArray[np.bool_]
    """Channels that are measured at all, shape (channel,)."""
    last: int
    """Number of the last template."""


def start_grid(variance: Float32s, *, templates: Floats, linear: Floats) -> StartGrid:
    """Return what :func:`start_positions` needs for patterns of such ``variance``."""
    root_weight = np.sqrt(typical_weight(variance))
    basis, _ = np.linalg.qr((linear * root_weight).T)
    weighted = templates[::_COARSENESS] * root_weight
    weighted -= (weighted @ basis) @ basis.T
    norms = np.linalg.norm(weighted, axis=1, keepdims=True)
    matched = weighted / np.maximum(norms, 1e-300) * root_weight
    return StartGrid(
        matched=np.ascontiguousarray(matched.T, dtype=np.float32),
        counts=root_weight > 0.0,
        last=len(templates) - 1,
    )


def typical_weight(variance: Float32s | Floats) -> Floats:
    """Return the inverse of the mean variance of some patterns, (channel,), 0 if never measured."""
    sample = variance[:: max(1, len(variance) // _SAMPLED)].astype(float)
    usable = (sample > 0.0) & np.isfinite(sample)
    typical = np.where(usable, sample, 0.0).sum(axis=0) / np.maximum(usable.sum(axis=0), 1)
    counts = typical > 0.0
    return np.where(counts, 1.0 / np.where(counts, typical, 1.0), 0.0)


def start_positions(patterns: Float32s, *, grid: StartGrid) -> Floats:
    """Return where, counted in templates, each pattern is explained best, shape (voxel,).

    The part that the linear patterns explain is left out, and the amount must be positive.
    """
    return _tops(bridged(patterns, grid.counts) @ grid.matched, grid.last)


@compiled
def _tops(match: Float32s, last: int) -> Floats:
    """Return where each row of (voxel, match) is highest, in templates, by a parabola."""
    n_matches = match.shape[1]
    positions = np.empty(match.shape[0])
    for voxel in range(match.shape[0]):
        row = match[voxel]
        best = np.argmax(row)
        shift = 0.0
        if 0 < best < n_matches - 1:
            rise, fall = float(row[best] - row[best - 1]), float(row[best] - row[best + 1])
            if rise + fall > 0.0:
                shift = 0.5 * (rise - fall) / (rise + fall)
        positions[voxel] = min(_COARSENESS * (best + shift), float(last))
    return positions


@compiled
def bridged(patterns: Float32s, counts: NDArray[np.bool_]) -> Float32s:
    """Copy patterns, with lines drawn across channels that hold no number; zero where none count.

    A hole left at zero would look like a deep valley in the background.
    """
    filled = np.empty_like(patterns)
    for voxel in range(patterns.shape[0]):
        row, out = patterns[voxel], filled[voxel]
        holes = 0
        for c in range(row.size):
            known = np.isfinite(row[c])
            out[c] = row[c] if counts[c] & known else np.float32(0.0)
            holes += counts[c] & (not known)
        if holes > 0:
            _bridge(row, counts, out)
    return filled


@compiled
def _bridge(row: Float32s, counts: NDArray[np.bool_], out: Float32s) -> None:
    """Fill the holes of one pattern: linearly between its numbers, level beyond the last ones."""
    last = -1
    for c in range(row.size):
        if counts[c] and np.isfinite(row[c]):
            left = row[last] if last >= 0 else row[c]
            for hole in range(last + 1, c):
                share = np.float32((hole - last) / (c - last))
                out[hole] = left + share * (row[c] - left) if counts[hole] else np.float32(0.0)
            last = c
    for hole in range(last + 1, row.size):
        out[hole] = row[last] if counts[hole] and last >= 0 else np.float32(0.0)
