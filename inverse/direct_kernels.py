"""What pixels of a given amount and lattice parameter would show, and how the misfit depends on it.

A pixel of amount φ and lattice parameter a, at the place s along the beam, adds to a strip

    w · φ · C(a + a·κ·s)

with w the strip's path through it (:mod:`inverse.strips`), C the curve of the phase's shapes over
its lattice parameter (:mod:`inverse.direct_shapes`), read by linear interpolation, and κ the
relative shift of sample parallax per µm. :func:`gather_states` returns the derivatives of
⟨misfit, strips⟩ by φ and by a·φ: the adjoint of the linearised :func:`spread_states`.

Lattice parameters are in nodes of the curve, counted from its first. Pixels come in blocks of
``BLOCK``, neighbours by the order of their grid; a block that lies beside all strips of a
projection is passed over whole, as a scan of a part of the sample sees few of its pixels at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.lanes import LANES, add_scaled, weighted_sum
from inverse.strip_kernels import footprint
from xrdct.compiled import compiled, compiled_fast

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LANES = np.uint64(LANES)

BLOCK = 64
"""Pixels that are passed over together."""
_ROUNDING = 1e-9

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def circles_about(x: Floats, y: Floats) -> Floats:
    """Return the centre, x and y, and the radius of a circle about each block, (block, 3)."""
    first = np.arange(0, x.size, BLOCK)
    number = np.arange(x.size) // BLOCK
    size = np.bincount(number)
    middle_x, middle_y = np.add.reduceat(x, first) / size, np.add.reduceat(y, first) / size
    distance = np.hypot(x - middle_x[number], y - middle_y[number])
    return np.stack([middle_x, middle_y, np.maximum.reduceat(distance, first) + _ROUNDING], axis=1)


@compiled
def _beside(place: float, radius: float, n_taps: int, n_offsets: int) -> bool:
    """Return whether no pixel within ``radius`` of one at ``place`` among the offsets meets any."""
    return place - radius > n_offsets - 1 or place + radius < -n_taps


@compiled
def _node(position: float, n_nodes: int) -> int:
    """Return the node below a position, of those that have one above."""
    return min(max(int(position), 0), n_nodes - 2)


@compiled_fast
def spread_states(
    amount: Singles,
    position: Singles,
    x: Floats,
    y: Floats,
    circles: Floats,
    rays: Floats,
    table: Singles,
    n_offsets: int,
    curve: Singles,
    origin: float,
    shift: float,
    sinogram: Singles,
) -> None:
    """Add what the pixels show to the strips of a group of projections.

    amount, position (pixel,); x, y (pixel,) in steps; circles as in :func:`circles_about`; rays,
    table as in :func:`inverse.strip_kernels.spread_strips`; curve (node, shape); ``origin`` the
    lattice parameter of the first node in nodes; ``shift`` κ per step; sinogram flat (angle,
    offset, shape).
    """
    n_nodes, n_taps = table.shape[1] - 1, table.shape[2]
    weights, taps = table.reshape(-1), np.uint64(n_taps)
    row = np.uint64(curve.shape[1])
    shown = np.empty(curve.shape[1], np.float32)
    for a in range(rays.shape[0]):
        cos, sin, begin, width = rays[a, 0], rays[a, 1], rays[a, 2], rays[a, 3]
        for b in range(circles.shape[0]):
            place = circles[b, 0] * cos + circles[b, 1] * sin + begin
            if _beside(place, circles[b, 2], n_taps, n_offsets):
                continue
            for p in range(np.uint64(b * BLOCK), np.uint64(min((b + 1) * BLOCK, x.size))):
                if amount[p] == 0.0:
                    continue
                place = x[p] * cos + y[p] * sin + begin
                lowest, node, above, first, last = footprint(
                    place, width, n_nodes, n_taps, n_offsets
                )
                if last <= first:
                    continue
                at = position[p] + (position[p] + origin) * shift * (y[p] * cos - x[p] * sin)
                state = _node(at, curve.shape[0])
                at_next = np.float32(amount[p] * (at - state))
                at_state = amount[p] - at_next
                for k in range(curve.shape[1]):
                    shown[k] = at_state * curve[state, k] + at_next * curve[state + 1, k]
                upper = np.float32(above)
                lower = np.float32(1.0) - upper
                here = np.uint64((a * (n_nodes + 1) + node) * n_taps + first)
                strip = np.uint64(a * n_offsets + lowest + first) * row
                for _ in range(first, last):
                    weight = lower * weights[here] + upper * weights[here + taps]
                    for lane in range(_ZERO, row, _LANES):
                        add_scaled(sinogram, strip + lane, weight, shown, lane)
                    here += _ONE
                    strip += row


@compiled_fast
def gather_states(
    sinogram: Singles,
    position: Singles,
    x: Floats,
    y: Floats,
    circles: Floats,
    rays: Floats,
    table: Singles,
    n_offsets: int,
    curve: Singles,
    origin: float,
    shift: float,
    by_amount: Singles,
    by_position: Singles,
) -> None:
    """Add to each pixel the derivatives of ⟨sinogram, strips⟩, of shape (pixel,).

    ``by_position`` is that by the position, for an amount of one. Other arguments as in
    :func:`spread_states`.
    """
    n_nodes, n_taps = table.shape[1] - 1, table.shape[2]
    weights, taps = table.reshape(-1), np.uint64(n_taps)
    row = np.uint64(curve.shape[1])
    met = np.empty(curve.shape[1], np.float32)
    for a in range(rays.shape[0]):
        cos, sin, begin, width = rays[a, 0], rays[a, 1], rays[a, 2], rays[a, 3]
        for b in range(circles.shape[0]):
            place = circles[b, 0] * cos + circles[b, 1] * sin + begin
            if _beside(place, circles[b, 2], n_taps, n_offsets):
                continue
            for p in range(np.uint64(b * BLOCK), np.uint64(min((b + 1) * BLOCK, x.size))):
                place = x[p] * cos + y[p] * sin + begin
                lowest, node, above, first, last = footprint(
                    place, width, n_nodes, n_taps, n_offsets
                )
                if last <= first:
                    continue
                upper = np.float32(above)
                lower = np.float32(1.0) - upper
                here = np.uint64((a * (n_nodes + 1) + node) * n_taps + first)
                strip = np.uint64(a * n_offsets + lowest + first) * row
                for lane in range(_ZERO, row, _LANES):
                    weighted_sum(
                        met, lane, sinogram, strip + lane, row, weights, here, taps, lower, upper,
                        np.uint64(last - first),
                    )  # fmt: skip
                stretch = shift * (y[p] * cos - x[p] * sin)
                at = position[p] + (position[p] + origin) * stretch
                state = _node(at, curve.shape[0])
                at_state, at_next = np.float32(0.0), np.float32(0.0)
                for k in range(curve.shape[1]):
                    at_state += met[k] * curve[state, k]
                    at_next += met[k] * curve[state + 1, k]
                slope = at_next - at_state
                by_amount[p] += at_state + np.float32(at - state) * slope
                by_position[p] += slope * np.float32(1.0 + stretch)
