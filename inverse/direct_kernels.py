"""What pixels of a given amount and lattice parameter would show, and how the misfit depends on it.

A pixel of amount φ and lattice parameter a, at the place s along the beam, adds to a strip

    w · φ · C(a + a·κ·s)

with w the strip's path through it (:mod:`inverse.strips`), C the curve of the phase's shapes over
its lattice parameter (:mod:`inverse.direct_shapes`), read by linear interpolation, and κ the
relative shift of sample parallax per µm. :func:`gather_states` returns the derivatives of
⟨misfit, strips⟩ by φ and by a·φ: the adjoint of the linearised :func:`spread_states`.

Lattice parameters are in nodes of the curve, counted from its first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.lanes import LANES, add_scaled
from inverse.strip_kernels import footprint
from xrdct.compiled import compiled, compiled_fast

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LANES = np.uint64(LANES)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


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
    rays: Floats,
    table: Singles,
    n_offsets: int,
    curve: Singles,
    origin: float,
    shift: float,
    sinogram: Singles,
) -> None:
    """Add what the pixels show to the strips of a group of projections.

    amount, position (pixel,); x, y (pixel,) in steps; rays, table as in
    :func:`inverse.strip_kernels.spread_strips`; curve (node, shape); ``origin`` the lattice
    parameter of the first node in nodes; ``shift`` κ per step; sinogram flat (angle, offset,
    shape).
    """
    n_nodes, n_taps = table.shape[1] - 1, table.shape[2]
    weights, taps = table.reshape(-1), np.uint64(n_taps)
    row = np.uint64(curve.shape[1])
    shown = np.empty(curve.shape[1], np.float32)
    for a in range(rays.shape[0]):
        cos, sin, begin, width = rays[a, 0], rays[a, 1], rays[a, 2], rays[a, 3]
        for p in range(x.size):
            if amount[p] == 0.0:
                continue
            place = x[p] * cos + y[p] * sin + begin
            lowest, node, above, first, last = footprint(place, width, n_nodes, n_taps, n_offsets)
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
        for p in range(x.size):
            place = x[p] * cos + y[p] * sin + begin
            lowest, node, above, first, last = footprint(place, width, n_nodes, n_taps, n_offsets)
            if last <= first:
                continue
            upper = np.float32(above)
            lower = np.float32(1.0) - upper
            here = np.uint64((a * (n_nodes + 1) + node) * n_taps + first)
            strip = np.uint64(a * n_offsets + lowest + first) * row
            for k in range(curve.shape[1]):
                met[k] = 0.0
            for _ in range(first, last):
                weight = lower * weights[here] + upper * weights[here + taps]
                for lane in range(_ZERO, row, _LANES):
                    add_scaled(met, lane, weight, sinogram, strip + lane)
                here += _ONE
                strip += row
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
