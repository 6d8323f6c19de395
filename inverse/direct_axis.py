"""Where the rotation axis is seen, from what the direct fit leaves unexplained.

Sharpness and centres of mass tell the axis to some hundredths of a step
(:mod:`inverse.alignment`), pixels that explain the rays tell it far better. Where projection ω is
displaced by u(ω) against what pixels show, m(t), the misfit holds u·d with d = −∂m/∂t. An axis seen
e farther up displaces all projections alike; a displaced sample, to which a state of the fit has
adapted, by x·cos ω + y·sin ω, which is much of e over 180°. So the misfit r tells

    u(ω) = e + x·cos ω + y·sin ω      by      min Σ ‖u·d − r‖²_F,

F being the filter of :mod:`inverse.direct_fit`. Of e only the share q of its square tells that no
displaced sample shows: 0.19 over 180°, all over 360°, 0.03 over 120°, where the axis is left where
it is. Of that share, too, the state has taken on some: e is told by a third too small over 180°,
and not over 360°. The step is lengthened by as much, and repeated between the stages of the fit.
Over 180°, an error e of the axis moves a map by 4e/π.

Source: Dengler, Ultramicroscopy 30 (1989) 337, for alignment by projecting what was reconstructed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.direct_fit import Problem, State

Floats = NDArray[np.float64]

_APART = 0.25
"""Steps between which the difference stands for ∂m/∂t, to either side."""
_LEAST_SHARE = 0.1
"""Of q: that of 155°."""
_TAKEN_ON = 0.62
"""Of 1 − q, by which a step is longer: a half at 180°."""
_FARTHEST = 0.25
"""Steps of the scan by which the axis moves at most at a time."""


def axis_change_um(problem: Problem, state: State) -> float:
    """Return by how much farther up the axis is seen than the problem has it.

    Zero where the pixels show nothing, a ray is not a number, or the angles do not tell it.
    """
    projector = problem.projector
    apart_um = _APART * projector.step_um
    above, below = (
        problem.about(projector.axis_offset_um + to_um).shown(state)
        for to_um in (apart_um, -apart_um)
    )
    slope = (above - below) / np.float32(2.0 * apart_um)
    misfit = problem.measured - problem.shown(state)
    filtered = problem.filtered(slope)
    answer, stiffness = _by_angle(filtered, misfit), _by_angle(filtered, slope)
    if not (np.isfinite(answer).all() and stiffness.any()):
        return 0.0
    shifts = projector.rays[0][:, :2]  # cos ω and sin ω
    by_sample = np.linalg.pinv(shifts.T @ (stiffness[:, None] * shifts)) @ shifts.T
    own = 1.0 - shifts @ (by_sample @ stiffness)
    share = float(stiffness @ own**2 / stiffness.sum())
    if share < _LEAST_SHARE:
        return 0.0
    change_um = float(own @ answer / (share * stiffness.sum()))
    change_um *= 1.0 + _TAKEN_ON * (1.0 - share)
    farthest_um = _FARTHEST * projector.step_um
    return min(farthest_um, max(-farthest_um, change_um))


def _by_angle(one: NDArray[np.float32], other: NDArray[np.float32]) -> Floats:
    """Return the sums of the products of every projection, (angle,)."""
    return np.asarray(np.einsum("aoc,aoc->a", one, other, dtype=np.float64))
