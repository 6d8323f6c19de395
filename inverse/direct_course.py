"""In which stages the direct fit proceeds, and what is put right between them.

What lies beyond the view goes first, while pixels in view stay as back projection has them. Nobody
has seen it, so that it starts level, and what its grains show would else be made good by pixels at
the end of the view, some of which never come back from there.

After each stage but the last the rotation axis is put where the rays see it
(:mod:`inverse.direct_axis`), what all pixels share is refined from them
(:mod:`inverse.direct_shared`), they are reduced to new shapes, and the structure within pixels is
taken off them (:mod:`inverse.direct_subpixel`), all as the state reached so far has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.direct_axis import axis_change_um
from inverse.direct_fit import Problem, State, fit
from inverse.direct_problem import RayShapes
from inverse.direct_settings import Direct
from inverse.direct_subpixel import Parts
from inverse.shared import Shared

BEYOND_SHARE = 0.08
"""Of the steps, what pixels beyond the view take before."""
_STAGES = (0.3, 0.2, 0.2, 0.3)
"""Shares of the steps."""
HALF_SHARE = 0.3
"""Of the steps, that the fit of every other projection takes."""


@dataclass(frozen=True, eq=False)
class Reached:
    """Where a fit ended."""

    parts: Parts
    """Its pixels, with the rays as they were measured."""
    corrected: Problem
    """The problem of the last stage."""
    state: State
    shared: Shared


@dataclass(frozen=True)
class Course:
    """How a fit proceeds: by which settings, within which limits."""

    settings: Direct
    a_range_A: tuple[float, float]
    finds_axis: bool
    step_taken: Callable[[], None]

    def part(
        self,
        problem: Problem,
        state: State,
        *,
        share: float,
        moved: NDArray[np.bool_] | None = None,
    ) -> State:
        """Return the state that a share of the steps leads to, of all pixels or those ``moved``."""
        n = max(1, round(share * self.settings.n_iterations))
        return self._steps(problem, state, n, moved=moved)

    def _steps(
        self, problem: Problem, state: State, n: int, *, moved: NDArray[np.bool_] | None = None
    ) -> State:
        return fit(
            problem, start=state, settings=self.settings, n_iterations=n,
            a_range_A=self.a_range_A, moved=moved, progress=self.step_taken,
        )  # fmt: skip

    def followed(
        self, parts: Parts, state: State, shared: Shared, rays: RayShapes | None
    ) -> Reached:
        """Return where all stages lead from a state.

        ``rays`` refine what is shared and give the rays anew; without them, both stay.
        """
        corrected = parts.problem
        beyond = corrected.beyond_view()
        if beyond.any():
            state = self.part(corrected, state, share=BEYOND_SHARE, moved=beyond)
        first, *later = (n for n in self._stages() if n > 0)
        state = self._steps(corrected, state, first)
        for n in later:
            corrected = parts.corrected(state)
            if self.finds_axis:
                change_um = axis_change_um(corrected, state)
                parts = parts.about(parts.projector.axis_offset_um + change_um)
                corrected = parts.corrected(state)
            if rays is not None:
                shared = rays.refined(corrected, state, shared)
                parts = replace(parts, problem=rays.reduced(parts.problem, shared))
                corrected = parts.corrected(state)
            state = self._steps(corrected, state, n)
        return Reached(parts, corrected, state, shared)

    def _stages(self) -> list[int]:
        """Return the steps of the stages, which add up to those of the settings."""
        ends = np.rint(self.settings.n_iterations * np.cumsum(_STAGES))
        return [int(n) for n in np.diff(ends, prepend=0.0)]
