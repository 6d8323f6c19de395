"""What pixels show of the structure within them, estimated from their neighbours.

A pixel of one amount φ and one lattice parameter a shows the rays a box. Real material has an edge
within a pixel and a gradient across it, and a beam no wider than the pixel sees both: over a
gradient of some mÅ a pixel the neighbours then lean towards each other's values, the more the
thinner the penalties. Each pixel is therefore split into n × n parts at d from its centre, with

    a(d) = a + g·(d − d̄),          d̄ the mean place of its material: the mean stays a,
    φ(d) = clip(c + s·|∇φ|·d_n),   d_n along ∇φ, c such that the mean stays φ,

g the slope to the neighbours, each with the weight of its amount squared, so that no empty pixel
counts, and s the steepness that turns a sharp edge, blurred over pixels, back to one. The rays of
all parts less those of the pixels are what the boxes leave out. Taken from the measured rays at the
state that a fit has reached, and fitted again (deferred correction), the pixels become those of the
finer model at hardly more than the cost of the coarse one.

Source: Böhmer, Hemker & Stetter, Computing Suppl. 5 (1984) 1, for deferred correction; Youngs, in
Numerical Methods for Fluid Dynamics (1982) 273, for edges along the gradient of the amounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.direct_fit import Problem, State
from inverse.strips import StripProjector, strip_projector

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_STEEPNESS = 4.0
"""Slope of the amount within a pixel over that between pixels."""
_HALVINGS = 24
"""Of the interval in which c is looked for: 1e-7 of an amount."""
_NO_MATERIAL = 1e-6


@dataclass(frozen=True, eq=False)
class Parts:
    """The pixels of a problem, each split into ``n`` × ``n`` parts."""

    problem: Problem
    projector: StripProjector
    """Of parts, as if they lay in the middle of their pixels."""
    n: int

    def corrected(self, state: State) -> Problem:
        """Return the problem less what the parts of ``state`` show beyond its pixels."""
        if self.n == 1:
            return self.problem
        return replace(self.problem, measured=self.problem.measured - self.left_out(state))

    def left_out(self, state: State) -> Singles:
        """Return what the parts show beyond the pixels, (angle, offset, shape)."""
        return np.asarray(self.shown(state) - self.problem.shown(state))

    def shown(self, state: State) -> Singles:
        """Return what the parts show, (angle, offset, shape)."""
        total = np.zeros_like(self.problem.measured)
        grid, step_um = self.projector.grid, self.projector.step_um
        for (x, y), part in self.states(state):
            moved = replace(grid, x_um=grid.x_um + x * step_um, y_um=grid.y_um + y * step_um)
            at = replace(self.problem, projector=replace(self.projector, grid=moved))
            total += at.shown(part)
        return total

    def about(self, axis_offset_um: float) -> Parts:
        """Return the same parts, the rotation axis being seen elsewhere."""
        return Parts(
            self.problem.about(axis_offset_um), self.projector.about(axis_offset_um), self.n
        )

    def states(self, state: State) -> Iterator[tuple[tuple[float, float], State]]:
        """Yield the place of every part in its pixel, (x, y) in pixels, and the parts there."""
        offsets = (np.arange(self.n) + 0.5) / self.n - 0.5
        places = [(float(x), float(y)) for y in offsets for x in offsets]
        edge_x, edge_y = self._amount_slopes(state.amount)
        lean_x, lean_y = self._lattice_slopes(state)
        level = _levels(state.amount, edge_x, edge_y, places)
        amounts = [_part(level, edge_x, edge_y, place) for place in places]
        material = np.maximum(np.sum(amounts, axis=0), _NO_MATERIAL)
        middle_x = sum(x * amount for (x, _), amount in zip(places, amounts, strict=True))
        middle_y = sum(y * amount for (_, y), amount in zip(places, amounts, strict=True))
        base_A = state.a_A - (lean_x * middle_x + lean_y * middle_y) / material
        for (x, y), amount in zip(places, amounts, strict=True):
            yield (x, y), State(amount, base_A + lean_x * x + lean_y * y)

    def _amount_slopes(self, amount: Floats) -> tuple[Floats, Floats]:
        """Return the slopes of the amount within pixels, per pixel, along x and y."""
        image = np.pad(self.problem.image(amount, empty=0.0), 1)
        smooth_y = 0.25 * (image[:-2] + 2.0 * image[1:-1] + image[2:])
        smooth_x = 0.25 * (image[:, :-2] + 2.0 * image[:, 1:-1] + image[:, 2:])
        along_x = 0.5 * _STEEPNESS * (smooth_y[:, 2:] - smooth_y[:, :-2])
        along_y = 0.5 * _STEEPNESS * (smooth_x[2:] - smooth_x[:-2])
        where = self.problem.image_index
        return along_x.reshape(-1)[where], along_y.reshape(-1)[where]

    def _lattice_slopes(self, state: State) -> tuple[Floats, Floats]:
        """Return the slopes of the lattice parameter in Å per pixel, along x and y."""
        weight = np.pad(self.problem.image(state.amount**2, empty=0.0), 1)
        lattice = np.pad(self.problem.image(state.a_A, empty=0.0), 1)
        slopes = []
        for axis in (1, 0):
            w, a = (np.swapaxes(image, 0, axis)[:, 1:-1] for image in (weight, lattice))
            after, before = w[2:] * (a[2:] - a[1:-1]), w[:-2] * (a[1:-1] - a[:-2])
            slope = (after + before) / np.maximum(w[2:] + w[:-2], _NO_MATERIAL)
            slopes.append(np.swapaxes(slope, 0, axis).reshape(-1)[self.problem.image_index])
        return slopes[0], slopes[1]


def parts_of(problem: Problem, *, n: int, angles_rad: Floats) -> Parts:
    """Return the pixels of a problem in parts; the angles are those of its projector."""
    given = problem.projector
    grid = replace(given.grid, edge_um=given.grid.edge_um / n, sizes_um=given.grid.sizes_um / n)
    projector = strip_projector(
        grid, angles_rad=angles_rad, n_offsets=given.n_offsets, step_um=given.step_um,
        beam_fwhm_um=given.beam_fwhm_um, axis_offset_um=given.axis_offset_um,
    )  # fmt: skip
    return Parts(problem, projector, n)


def _part(level: Floats, slope_x: Floats, slope_y: Floats, place: tuple[float, float]) -> Floats:
    """Return the amounts of the parts at a place."""
    return np.asarray(np.clip(level + slope_x * place[0] + slope_y * place[1], 0.0, 1.0))


def _levels(
    amount: Floats, slope_x: Floats, slope_y: Floats, places: list[tuple[float, float]]
) -> Floats:
    """Return c of the module's formula for every pixel, by bisection."""
    reach = 0.5 * (np.abs(slope_x) + np.abs(slope_y))
    low, high = -reach, 1.0 + reach
    for _ in range(_HALVINGS):
        level = 0.5 * (low + high)
        mean = sum(_part(level, slope_x, slope_y, place) for place in places) / len(places)
        too_much = mean > amount
        high, low = np.where(too_much, level, high), np.where(too_much, low, level)
    return np.asarray(0.5 * (low + high))
