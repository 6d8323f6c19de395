"""Fit the amount and the lattice parameter of every pixel to all rays of a scan at once.

The rays y (angle, offset, shape) and what the pixels would show, m(φ, a), differ by r = y − m. With
F the ramp filter of filtered back projection along the offsets, the objective is

    ½·Σ rᵀ·F·r / L  +  λ_φ·(total variation of φ)  +  λ_a·(curvature of a),    0 ≤ φ ≤ 1,

L being the misfit's curvature for one full pixel, so that the penalties of
:mod:`inverse.direct_prior` are weighed against a pixel's share. Weighing misfits with the filter
makes every wavelength converge at about the same rate, for the reason that filtered back projection
inverts the sums in one step; a faint constant keeps the mean of a projection in it. Pixels cover
the whole sample, not only the field of view: what lies outside takes its own share of the misfit.

Minimised by the limited-memory quasi-Newton method with bounds (Byrd et al., SIAM J. Sci. Comput.
16 (1995) 1190), in unknowns that are about equally well determined
(:mod:`inverse.direct_precondition`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize

from inverse.direct_kernels import BLOCK, circles_about, gather_states, spread_states
from inverse.direct_precondition import Unknowns
from inverse.direct_prior import (
    Bending,
    amount_roughness,
    bending_of,
    lattice_roughness,
    lattice_stiffness,
)
from inverse.direct_settings import Direct
from inverse.direct_shapes import Shapes
from inverse.filters import filter_matrix
from inverse.geometry import view_radius
from inverse.strips import StripProjector
from xrdct.compiled import threaded

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_MEAN_SHARE = 3e-4
"""Of the filter at the highest frequency. Times the longest path in steps it stays below one."""
_REMEMBERED = 12
"""Steps by which the quasi-Newton method knows the curvature."""


@dataclass(frozen=True, eq=False)
class State:
    """Amount and lattice parameter of every pixel, each of shape (pixel,)."""

    amount: Floats
    a_A: Floats


@dataclass(frozen=True, eq=False)
class Problem:
    """One scan to be explained."""

    projector: StripProjector
    """Of a grid of one size of pixels."""
    shapes: Shapes
    measured: Singles
    """Coefficients of every ray, (angle, offset, shape)."""
    parallax_per_um: float
    """Relative shift of the lattice parameter per µm towards the detector."""
    image_index: NDArray[np.int64]
    """Place of each pixel in a flattened square image, (pixel,)."""
    side: int
    """Of that image."""
    workers: int | None

    def shown(self, state: State) -> Singles:
        """Return what the pixels would show, (angle, offset, shape)."""
        projector, rays = self.projector, self.projector.rays[0]
        n_angles, n_offsets = projector.shape
        amount, position = self._single(state)
        x, y = self._places
        result = np.zeros((n_angles, n_offsets, self.shapes.curve.shape[1]), np.float32)

        def task(first: int, last: int) -> None:
            spread_states(
                amount, position, x, y, self._circles, rays[first:last],
                projector.tables[0][first:last], n_offsets, self.shapes.curve, self._origin,
                self.parallax_per_um * projector.step_um, result[first:last].reshape(-1),
            )  # fmt: skip

        threaded(task, n_angles, workers=self.workers)
        return result

    def slopes(self, misfit: Singles, state: State) -> tuple[Floats, Floats]:
        """Return the derivatives of ⟨misfit, shown⟩ by the amounts, and by a per amount in Å."""
        projector = self.projector
        _, position = self._single(state)
        x, y = self._places
        by_amount, by_position = np.zeros_like(position), np.zeros_like(position)
        flat = np.ascontiguousarray(misfit).reshape(-1)

        def task(first: int, last: int) -> None:
            pixels = slice(first * BLOCK, last * BLOCK)
            gather_states(
                flat, position[pixels], x[pixels], y[pixels], self._circles[first:last],
                projector.rays[0], projector.tables[0], projector.n_offsets, self.shapes.curve,
                self._origin, self.parallax_per_um * projector.step_um, by_amount[pixels],
                by_position[pixels],
            )  # fmt: skip

        threaded(task, len(self._circles), workers=self.workers)
        return (
            by_amount.astype(np.float64),
            by_position.astype(np.float64) / self._spacing_A,
        )

    def filtered(self, misfit: Singles) -> Singles:
        """Return F·misfit, the ramp filter and a faint constant along the offsets."""
        return np.asarray(np.matmul(self._filter, misfit))

    def about(self, axis_offset_um: float) -> Problem:
        """Return the same problem, the rotation axis being seen elsewhere."""
        return replace(self, projector=self.projector.about(axis_offset_um))

    def beyond_view(self) -> NDArray[np.bool_]:
        """Return which pixels leave the outermost rays at some angle of a full turn, (pixel,)."""
        projector = self.projector
        radius = view_radius(
            projector.n_offsets, step_um=projector.step_um,
            axis_offset_um=projector.axis_offset_um,
        )  # fmt: skip
        return np.asarray(np.hypot(*self._places) > radius * (1.0 + 1e-12))

    def half(self, first: int) -> Problem:
        """Return the problem of every other projection, from number ``first`` on."""
        few = replace(
            self.projector,
            rays=tuple(rays[first::2] for rays in self.projector.rays),
            tables=tuple(np.ascontiguousarray(t[first::2]) for t in self.projector.tables),
        )
        return replace(self, projector=few, measured=np.ascontiguousarray(self.measured[first::2]))

    def image(self, values: Floats, *, empty: float) -> Floats:
        """Return the values (pixel,) as a square image, (iy, ix), with ``empty`` elsewhere."""
        image = np.full(self.side * self.side, empty)
        image[self.image_index] = values
        return image.reshape(self.side, self.side)

    @property
    def full_pixel(self) -> float:
        """L of the module's formula."""
        n_angles = self.projector.shape[0]
        return (self.shapes.strength * self.projector.step_um) ** 2 * n_angles / np.pi

    @cached_property
    def _filter(self) -> Singles:
        n_offsets = self.projector.n_offsets
        matrix = filter_matrix(n_offsets, step_um=1.0, padding="zero")
        matrix[np.diag_indices(n_offsets)] += _MEAN_SHARE
        return matrix.astype(np.float32)

    @cached_property
    def _places(self) -> tuple[Floats, Floats]:
        """Positions of the pixels in steps, along x and y."""
        return self.projector.places(slice(None))

    @cached_property
    def _circles(self) -> Floats:
        """About blocks of pixels, (block, 3), in steps."""
        return circles_about(*self._places)

    @property
    def _spacing_A(self) -> float:
        return float(self.shapes.a_A[1] - self.shapes.a_A[0])

    @property
    def _origin(self) -> float:
        return float(self.shapes.a_A[0] / self._spacing_A)

    def _single(self, state: State) -> tuple[Singles, Singles]:
        position = (state.a_A - self.shapes.a_A[0]) / self._spacing_A
        return state.amount.astype(np.float32), position.astype(np.float32)


def fit(
    problem: Problem,
    *,
    start: State,
    settings: Direct,
    n_iterations: int,
    a_range_A: tuple[float, float],
    moved: NDArray[np.bool_] | None = None,
    progress: Callable[[], None] | None = None,
) -> State:
    """Return the state after at most ``n_iterations`` steps from ``start``.

    Bends of the lattice parameter are weighed by the amounts of the start. Lattice parameters may
    leave their range on the way, and are set to its end at last: a few thousandths of the pixels.
    Held back on the way, single pixels stay there. Where ``moved``, (pixel,), says which pixels are
    adjusted, all others stay as they are.
    """
    middle_A, unit_A = float(np.mean(a_range_A)), problem.shapes.answering_A
    which: NDArray[np.bool_] | slice = slice(None) if moved is None else moved
    n_pixels = start.amount[which].size
    bending = bending_of(problem.image(start.amount, empty=0.0))
    lattice = (np.clip(start.a_A, *a_range_A) - middle_A) / unit_A
    unknowns = _unknowns(problem, start.amount, lattice, which, bending, settings)

    def state_of(vector: Floats) -> State:
        amount, now = start.amount.copy(), lattice.copy()
        amount[which], now[which] = vector[:n_pixels], unknowns.solved(vector[n_pixels:])
        return State(amount, middle_A + unit_A * now)

    def objective(vector: Floats) -> tuple[float, Floats]:
        value, by_amount, by_lattice = _objective(problem, state_of(vector), bending, settings)
        return value, np.concatenate([by_amount[which], unknowns.solved(by_lattice[which])])

    def step_taken(_vector: Floats) -> None:
        if progress is not None:
            progress()

    first = np.clip(start.amount[which], 0.0, 1.0), unknowns.of_lattice(lattice[which])
    free = np.full(n_pixels, np.inf)
    found = minimize(  # type: ignore[call-overload]
        objective, np.concatenate(first), jac=True, method="L-BFGS-B", callback=step_taken,
        bounds=Bounds(
            np.concatenate([np.zeros(n_pixels), -free]), np.concatenate([np.ones(n_pixels), free])
        ),
        options={"maxiter": n_iterations, "maxcor": _REMEMBERED, "maxfun": 2 * n_iterations + 10},
    )  # fmt: skip
    state = state_of(np.asarray(found.x, dtype=np.float64))
    return State(state.amount, np.clip(state.a_A, *a_range_A))


def _unknowns(
    problem: Problem,
    amount: Floats,
    lattice: Floats,
    which: NDArray[np.bool_] | slice,
    bending: Bending,
    settings: Direct,
) -> Unknowns:
    """Return the unknowns of a fit of ``which`` pixels from amounts and a/α, each (pixel,)."""
    stiff = lattice_stiffness(
        problem.image(lattice, empty=0.0), bending=bending,
        answering_A=problem.shapes.answering_A,
    )  # fmt: skip
    along_y, along_x = (settings.lattice_smoothness * each for each in stiff)
    return Unknowns(
        amount[which], (along_y, along_x), index=problem.image_index[which], side=problem.side
    )


def _objective(
    problem: Problem, state: State, bending: Bending, settings: Direct
) -> tuple[float, Floats, Floats]:
    """Return the objective and its derivatives by the amounts and by a/α."""
    unit_A = problem.shapes.answering_A
    misfit = problem.measured - problem.shown(state)
    filtered = problem.filtered(misfit)
    value = 0.5 * float(np.vdot(filtered, misfit)) / problem.full_pixel
    by_amount, by_lattice = problem.slopes(filtered, state)
    by_amount /= -problem.full_pixel
    by_lattice *= -unit_A * state.amount / problem.full_pixel
    rough, slope = amount_roughness(problem.image(state.amount, empty=0.0))
    value += settings.amount_smoothness * rough
    by_amount += settings.amount_smoothness * slope.reshape(-1)[problem.image_index]
    rough, slope = lattice_roughness(
        problem.image(state.a_A / unit_A, empty=0.0), bending=bending, answering_A=unit_A
    )
    value += settings.lattice_smoothness * rough
    by_lattice += settings.lattice_smoothness * slope.reshape(-1)[problem.image_index]
    return value, by_amount, by_lattice
