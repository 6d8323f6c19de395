"""Refinement of few counts: weighted with the variance of the fitted pattern, not of the counts.

A count N that fluctuated down has the smaller variance max(N, 1), and so the larger weight:
refinements weighted by their own counts (Neyman's χ²) come out low by about one count in every
channel, the background first and the scales with it. The variance that the fitted pattern f has,

    σ² = max(f, n_least·u)·u,       u = value of one count,

hardly depends on the noise of any one channel. One repetition with it removes the bias. It is of no
use where the variance is that of a reconstruction: every voxel's is a sum over many rays already.

Source: Baker & Cousins, Nucl. Instrum. Methods 221 (1984) 437; Bevington & Robinson, Data Reduction
and Error Analysis (2003), ch. 6.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.refine import Status
from inverse.rietveld import Refined, calculated, refine_patterns
from inverse.rietveld_model import RietveldModel
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Patterns = NDArray[np.floating[Any]]

LEAST_COUNTS = 0.3
"""What an empty channel counts at least: a background that is fitted near or below zero must not
weigh without limit."""


def refine_reweighted(
    patterns: Patterns,
    *,
    variance: Patterns,
    per_count: Floats,
    model: RietveldModel,
    covariance: bool = False,
    min_scale: float = 0.0,
    workers: int | None = None,
) -> Refined:
    """Refine patterns (pattern, channel) of counts, then again with the variance of the fit.

    ``per_count`` is the value of one count in units of the pattern, (channel,) or (pattern,
    channel). Channels with NaN or without ``variance`` are ignored throughout; so give a channel
    that counted nothing that of one count. Patterns that do not converge keep the variance they
    had. Other arguments and errors are those of :func:`inverse.rietveld.refine_patterns`.

    Raises InputError also for a ``per_count`` of another shape.
    """
    unit = np.asarray(per_count, dtype=np.float64)
    if unit.shape not in (patterns.shape, patterns.shape[1:]):
        raise InputError(
            f"per_count must have the shape {patterns.shape[1:]} or {patterns.shape}, but has "
            f"{unit.shape}"
        )
    first = refine_patterns(
        patterns, variance=variance, model=model, min_scale=min_scale, workers=workers
    )
    return refine_patterns(
        patterns, variance=_of_fit(first, variance, unit), model=model, covariance=covariance,
        min_scale=min_scale, workers=workers,
    )  # fmt: skip


def _of_fit(found: Refined, variance: Patterns, unit: Floats) -> Floats:
    """Return the variance of the fitted patterns where there are any, (pattern, channel)."""
    fitted = np.maximum(calculated(found), LEAST_COUNTS * unit) * unit
    is_found = (found.status == Status.CONVERGED)[:, None] & (variance > 0.0)
    return np.where(is_found, fitted, variance)
