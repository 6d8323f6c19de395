"""Where the rotation axis is seen, from what the direct fit leaves unexplained.

Sharpness and centres of mass tell the axis to some hundredths of a step
(:mod:`inverse.alignment`), pixels that explain the rays tell it far better. Where projection ω is
displaced by u(ω) against what pixels show, m(t), the misfit holds u·d with d = −∂m/∂t. An axis seen
e farther up displaces all projections alike; a displaced sample, to which a state of the fit has
adapted, by x·cos ω + y·sin ω, which is much of e over 180°. So the misfit r tells

    u(ω) = e + x·cos ω + y·sin ω      by      min Σ ‖u·d − r‖²_F,

F being the filter of :mod:`inverse.direct_fit`, of which e is taken. The state has also taken on
some of what is no displaced sample, so that e comes out too small: steps are half as long again,
and repeated between the stages of the fit. Over 180°, an error e of the axis moves a map by 4e/π.

Source: Dengler, Ultramicroscopy 30 (1989) 337, for alignment by projecting what was reconstructed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.direct_fit import Problem, State

Floats = NDArray[np.float64]

_APART = 0.25
"""Steps between which the difference stands for ∂m/∂t, to either side."""
_LONGER = 1.5
_FARTHEST = 0.25
"""Steps of the scan by which the axis moves at most at a time."""


def axis_change_um(problem: Problem, state: State) -> float:
    """Return by how much farther up the axis is seen than the problem has it.

    Zero where the pixels show nothing or a ray is not a number.
    """
    projector = problem.projector
    apart_um = _APART * projector.step_um
    above, below = (
        problem.about(projector.axis_offset_um + to_um).shown(state)
        for to_um in (apart_um, -apart_um)
    )
    slope = (above - below) / np.float32(2.0 * apart_um)
    misfit = problem.measured - problem.shown(state)
    answer = _by_angle(problem.filtered(slope), misfit)
    stiffness = _by_angle(problem.filtered(slope), slope)
    if not (np.isfinite(answer).all() and stiffness.any()):
        return 0.0
    cos, sin = projector.rays[0][:, 0], projector.rays[0][:, 1]
    moves = np.stack([np.ones_like(cos), cos, sin], axis=1)
    normal = moves.T @ (stiffness[:, None] * moves)
    change_um = _LONGER * float(np.linalg.lstsq(normal, moves.T @ answer)[0][0])
    farthest_um = _FARTHEST * projector.step_um
    return min(farthest_um, max(-farthest_um, change_um))


def _by_angle(one: NDArray[np.float32], other: NDArray[np.float32]) -> Floats:
    """Return the sums of the products of every projection, (angle,)."""
    return np.asarray(np.einsum("aoc,aoc->a", one, other, dtype=np.float64))
