"""Where to start each voxel's lattice parameter: the best match on a coarse grid.

All voxels share one weight per channel here (the inverse of the median variance), so that the
match with every template is one matrix product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 8192
_COARSENESS = 3
"""Every third template: the basin of convergence is a peak's width, some twenty templates."""


def start_index(
    patterns: NDArray[np.float32],
    *,
    variance: NDArray[np.float32],
    model_templates: NDArray[np.float64],
    linear: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the index of the template that explains most of each pattern, shape (voxel,).

    The part of pattern and template that the ``linear`` patterns explain is projected out, and the
    amount must be positive.
    """
    sample = variance[:: max(1, len(variance) // 512)]
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = np.where(sample > 0.0, sample, np.nan).astype(float)
    counted = np.isfinite(positive).sum(axis=0)
    typical = np.nansum(positive, axis=0) / np.maximum(counted, 1)
    root_weight = np.where(typical > 0.0, 1.0 / np.sqrt(np.maximum(typical, 1e-300)), 0.0)
    basis, _ = np.linalg.qr((linear * root_weight).T)
    coarse = np.arange(0, len(model_templates), _COARSENESS)
    weighted = model_templates[coarse] * root_weight
    weighted -= (weighted @ basis) @ basis.T
    norms = np.linalg.norm(weighted, axis=1)
    matched = (weighted / np.maximum(norms, 1e-300)[:, None] * root_weight).astype(np.float32).T
    best = np.empty(len(patterns), np.int64)
    for first in range(0, len(patterns), _BLOCK):
        block = np.nan_to_num(patterns[first : first + _BLOCK], nan=0.0, posinf=0.0, neginf=0.0)
        best[first : first + _BLOCK] = coarse[np.argmax(block @ matched, axis=1)]
    return best
