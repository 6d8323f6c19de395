"""What refined patterns tell without bounds, and how far off they may be, all to first order.

A refinement holds scales at or above zero, so where a phase is absent its mean result is above
zero, as is every mean over regions. One Gauss–Newton step from the end of the refinement, with all
scales free, takes the bound away. With the slopes J (name, channel) and variances V of a pattern,
and N = J V⁻¹ Jᵀ, a change r of the pattern moves the parameters by

    δ = N⁻¹ J V⁻¹ r,

so that r, observed less refined, gives the step; half of what even projections show less odd ones
gives an error of the size of all that differs between projections; and the covariance

    noise     N⁻¹
    misfit    N⁻¹ S N⁻¹,   S = (1/L) Σ_c G_c G_cᵀ,   G_c = Σ_{c ≤ i < c + L} J_i r_i/V_i

where r is what the step leaves. S counts residuals of neighbouring channels together, as far as a
line is wide: a profile or a line that is wrong leaves residuals with a pattern, which mislead a
refinement more than as many random ones.

Source: Newey and West, Econometrica 55 (1987) 703, for S; Bérar and Lelann, J. Appl. Cryst. 24
(1991) 1, for the need of it in Rietveld refinement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.refine import Status
from inverse.regions import RegionPatterns
from inverse.rietveld import Refined, design
from xrdct.compiled import single_threaded_algebra, threaded

Floats = NDArray[np.float64]

_SMALLEST_SHARE = 1e-10
"""Of the largest eigenvalue of scaled normal equations: what lies below cannot be told."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """Parameters by region, NaN where its refinement did not converge.

    What a phase too weak for it has not refined, such as its cell, is held at its start.
    """

    values: Floats
    """Without bounds, (region, name)."""
    noise: Floats
    """Covariance by the stated variances, (region, name, name); zero for what is held."""
    misfit: Floats
    """Covariance by the residuals, which contain noise as well, (region, name, name)."""
    half: Floats
    """Change by half the difference of even and odd projections, (region, name)."""


def unbounded_estimates(
    patterns: RegionPatterns, *, refined: Refined, line_channels: int, workers: int | None = None
) -> Estimates:
    """Return the estimates of all regions; ``line_channels`` is L, the channels of a line."""
    n_regions, n = refined.values.shape
    result = Estimates(
        values=np.full((n_regions, n), np.nan),
        noise=np.full((n_regions, n, n), np.nan),
        misfit=np.full((n_regions, n, n), np.nan),
        half=np.full((n_regions, n), np.nan),
    )

    def task(first: int, last: int) -> None:
        for region in range(first, last):
            if refined.status[region] == Status.CONVERGED:
                _estimate(result, region, patterns, refined, line_channels)

    with single_threaded_algebra():
        threaded(task, n_regions, workers=workers)
    return result


def _estimate(
    result: Estimates,
    region: int,
    patterns: RegionPatterns,
    refined: Refined,
    line_channels: int,
) -> None:
    """Write the estimates of one region."""
    variance = patterns.variance[region]
    used = (variance > 0.0) & np.isfinite(variance) & np.isfinite(patterns.values[region])
    root_weight = 1.0 / np.sqrt(variance[used])
    rows = design(refined.model, refined.values[region])
    left = patterns.values[region] - _explained(refined, rows, region)
    slopes = rows[:, used] * root_weight
    free = np.any(slopes != 0.0, axis=1)
    slopes = slopes[free]
    inverse = _inverse(slopes @ slopes.T)
    residual = left[used] * root_weight
    step = inverse @ (slopes @ residual)
    changes = slopes * (residual - step @ slopes)
    moved = inverse @ _runs(changes, line_channels)
    known = np.isfinite(refined.values[region])
    result.values[region] = np.where(known, refined.values[region], _start(refined))
    result.values[region][free] += step
    square = np.ix_(free, free)
    for whole, part in (
        (result.noise[region], inverse),
        (result.misfit[region], moved @ moved.T / line_channels),
    ):
        whole[:] = 0.0
        whole[square] = part
    result.half[region] = 0.0
    result.half[region][free] = inverse @ (
        slopes @ (patterns.half_difference[region][used] * root_weight)
    )


def _explained(refined: Refined, rows: Floats, region: int) -> Floats:
    """Return a refined pattern from its design, (channel,): it is linear in scales and background.

    ``rows`` of these are the patterns of the phases and the background terms.
    """
    n_phases, n_free = len(refined.model.settings.phases), len(refined.model.parameters)
    linear = np.r_[0:n_phases, n_phases + n_free : len(rows)]
    return np.asarray(refined.values[region, linear] @ rows[linear])


def _start(refined: Refined) -> Floats:
    """Return the start values of the parameters, zero for those that are linear, (name,)."""
    model = refined.model
    start = np.zeros(len(refined.names))
    first = len(model.settings.phases)
    for j, (parameter, number) in enumerate(zip(model.parameters, model.start, strict=True)):
        start[first + j] = parameter.result(number)
    return start


def _runs(changes: Floats, length: int) -> Floats:
    """Return the sums over all runs of so many columns, also those that reach beyond the ends."""
    total = np.cumsum(np.pad(changes, ((0, 0), (length, length - 1))), axis=1)
    return np.asarray(total[:, length:] - total[:, :-length])


def _inverse(normal: Floats) -> Floats:
    """Return the inverse, without the directions in which nothing is known."""
    scale = 1.0 / np.sqrt(np.diag(normal))
    values, vectors = np.linalg.eigh(normal * scale * scale[:, None])
    kept = values > _SMALLEST_SHARE * values[-1]
    whitened = vectors[:, kept] / np.sqrt(values[kept]) * scale[:, None]
    return np.asarray(whitened @ whitened.T)
