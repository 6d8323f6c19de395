"""Move values between pixels of one size and the strips that cross them, many channels at once.

At each angle a pixel is met by the consecutive offsets within its reach (half its shadow and the
beam's tail). Their weights stand in a table of footprints: one row for each place of the pixel
between two offsets, one column for each offset it can meet, read by linear interpolation between
rows. :func:`gather_strips` and :func:`spread_strips` use the same weights, so that they are each
other's transpose.

Channels are innermost, padded to whole groups of ``LANES``: one vector register.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.lanes import LANES, add_scaled
from xrdct.compiled import compiled_fast

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LANES = np.uint64(LANES)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@compiled_fast
def footprint(
    place: float, width: float, n_nodes: int, n_taps: int, n_offsets: int
) -> tuple[int, int, float, int, int]:
    """Return where the footprint of a pixel stands in the table and among the offsets.

    ``place`` is where the pixel's reach begins among the offsets, ``width`` that reach in steps.
    Returned are the lowest offset in reach, the node of the table below and the share of the one
    above, and the first tap that meets an offset and the one after the last; no tap does where
    these do not differ.
    """
    lowest = int(np.ceil(place))
    fraction = lowest - place
    if fraction > width:
        return lowest, 0, 0.0, 0, 0
    node = int(fraction * n_nodes)
    return (
        lowest, node, fraction * n_nodes - node, max(0, -lowest),
        min(n_taps, n_offsets - lowest),
    )  # fmt: skip


@compiled_fast
def spread_strips(
    values: Singles,
    x: Floats,
    y: Floats,
    rays: Floats,
    table: Singles,
    n_offsets: int,
    lever_um: float,
    sinogram: Singles,
) -> None:
    """Add each pixel, times its weights, to the strips of a group of projections.

    values flat (pixel, channel); x, y (pixel,) in steps; rays (angle, 4): cos ω, sin ω, the place
    among the offsets where the reach of a pixel on the origin begins, and the width of its reach
    in steps; table (angle, node, tap); sinogram flat (angle, offset, channel). Where ``lever_um``,
    the length of a step, is not zero, weights are multiplied by the place along the beam.
    """
    n_nodes, n_taps = table.shape[1] - 1, table.shape[2]
    weights, taps = table.reshape(-1), np.uint64(n_taps)
    row = np.uint64(values.size // max(x.size, 1))
    for a in range(rays.shape[0]):
        cos, sin, begin, width = rays[a, 0], rays[a, 1], rays[a, 2], rays[a, 3]
        for p in range(x.size):
            place = x[p] * cos + y[p] * sin + begin
            lowest, node, above, first, last = footprint(place, width, n_nodes, n_taps, n_offsets)
            if last <= first:
                continue
            lever = (y[p] * cos - x[p] * sin) * lever_um if lever_um > 0.0 else 1.0
            upper = np.float32(lever * above)
            lower = np.float32(lever) - upper
            here = np.uint64((a * (n_nodes + 1) + node) * n_taps + first)
            strip = np.uint64(a * n_offsets + lowest + first) * row
            pixel = np.uint64(p) * row
            for _ in range(first, last):
                weight = lower * weights[here] + upper * weights[here + taps]
                for lane in range(_ZERO, row, _LANES):
                    add_scaled(sinogram, strip + lane, weight, values, pixel + lane)
                here += _ONE
                strip += row


@compiled_fast
def gather_strips(
    sinogram: Singles,
    x: Floats,
    y: Floats,
    rays: Floats,
    table: Singles,
    n_offsets: int,
    lever_um: float,
    values: Singles,
) -> None:
    """Add to each pixel the strips that meet it, times its weights: the transpose of spreading.

    Arguments as in :func:`spread_strips`.
    """
    n_nodes, n_taps = table.shape[1] - 1, table.shape[2]
    weights, taps = table.reshape(-1), np.uint64(n_taps)
    row = np.uint64(values.size // max(x.size, 1))
    for a in range(rays.shape[0]):
        cos, sin, begin, width = rays[a, 0], rays[a, 1], rays[a, 2], rays[a, 3]
        for p in range(x.size):
            place = x[p] * cos + y[p] * sin + begin
            lowest, node, above, first, last = footprint(place, width, n_nodes, n_taps, n_offsets)
            if last <= first:
                continue
            lever = (y[p] * cos - x[p] * sin) * lever_um if lever_um > 0.0 else 1.0
            upper = np.float32(lever * above)
            lower = np.float32(lever) - upper
            here = np.uint64((a * (n_nodes + 1) + node) * n_taps + first)
            strip = np.uint64(a * n_offsets + lowest + first) * row
            pixel = np.uint64(p) * row
            for _ in range(first, last):
                weight = lower * weights[here] + upper * weights[here + taps]
                for lane in range(_ZERO, row, _LANES):
                    add_scaled(values, pixel + lane, weight, sinogram, strip + lane)
                here += _ONE
                strip += row
