"""The errors of the direct method that differ between projections, from two halves of the scan.

The fit is repeated from its end with every other projection alone, and with the others alone. Half
the difference of the two, times the amount, has the scale of what differs between projections:
noise, countable crystallites, streaks. Pixels in the middle of full ones, whose neighbours hold
them, and the others have each their own. Photon noise has its share of it, by its share of the
filtered misfit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.depth_voxels import inner_voxels
from inverse.direct_fit import Problem, State
from inverse.sinogram import Sinogram
from xrdct.normal import spread_about_zero

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_SEED = 20_110_531
_FULL = 0.5
"""Least amount of a pixel that counts."""
_FEWEST = 30
"""Pixels that have a spread of their own: then known to a fifth."""


@dataclass(frozen=True)
class Scale:
    """Standard deviations that the two halves show."""

    lattice_A: Floats
    """Of the lattice parameter of every pixel if it were full, (pixel,)."""
    amount: float
    noise_share: float
    """Share of photon noise in both."""


def scale_of_halves(
    problem: Problem,
    state: State,
    *,
    sinogram: Sinogram,
    fitted: Callable[[Problem, State], State],
) -> Scale:
    """Return how far the results of every other projection, and of the others, lie apart.

    ``fitted`` takes a half of the problem from a state to its own. NaN where no pixel in view holds
    material.
    """
    first, second = (fitted(problem.half(start), state) for start in (0, 1))
    grid = problem.projector.grid
    seen = np.hypot(grid.x_um, grid.y_um) <= 0.5 * sinogram.step_um * sinogram.values.shape[1]
    full = state.amount > _FULL
    change_A = 0.5 * (first.a_A - second.a_A) * state.amount
    change = 0.5 * (first.amount - second.amount)
    misfit = problem.measured - problem.shown(state)
    noise = _noise(problem, sinogram)
    share = np.vdot(problem.filtered(noise), noise) / np.vdot(problem.filtered(misfit), misfit)
    return Scale(
        _by_place(change_A, seen & full, surrounded(problem, full)),
        spread_about_zero(change[seen]), min(1.0, float(np.sqrt(share))),
    )  # fmt: skip


def surrounded(problem: Problem, full: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which full pixels have eight full neighbours, both (pixel,)."""
    label = problem.image(np.where(full, 0.0, -1.0), empty=-1.0).astype(np.int64)
    return np.asarray(inner_voxels(label).reshape(-1)[problem.image_index])


def _by_place(change_A: Floats, counted: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Floats:
    """Return the spread of the counted changes among those inside, and among the others."""
    result = np.full(change_A.size, spread_about_zero(change_A[counted]))
    for place in (inside, ~inside):
        if np.count_nonzero(counted & place) >= _FEWEST:
            result[place] = spread_about_zero(change_A[counted & place])
    return result


def _noise(problem: Problem, sinogram: Sinogram) -> Singles:
    """Return one draw of the photon noise of every ray, (angle, offset, shape)."""
    rng = np.random.Generator(np.random.Philox(_SEED))
    noise = np.empty_like(problem.measured)
    for a, variance in enumerate(sinogram.variance):
        spread = np.sqrt(np.maximum(np.nan_to_num(variance), 0.0))
        draw = rng.standard_normal(spread.shape, dtype=np.float32)
        noise[a] = problem.shapes.coefficients(spread * draw)
    return noise
