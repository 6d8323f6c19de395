"""Line integrals through the ring between two circles around the rotation axis.

An image on square pixels of any size is read along rays of any angle and offset, whose step has
nothing to do with the pixels: coarse pixels are seen by fine rays. At the nodes s_k where a ray
crosses the rows of pixels (the columns where it runs closer to them) the image is interpolated
between the two nearest pixels; between nodes, Δs apart, it is linear. Over a stretch from A to B
node k then has the weight

    w_k = Δs · [H((B − s_k)/Δs) − H((A − s_k)/Δs)],     H(u) = ∫ up to u of max(0, 1 − |u′|) du′.

Stretches begin and end exactly on the circles, so that rings that share a circle count nothing
twice and miss nothing, and a uniform image gives exactly the length of the ray in the ring.

Where patterns depend on the place s along the beam (:mod:`inverse.parallax_shift`), an image is
given once for each of several displacements, and a node reads the two nearest to its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled, compiled_fast, threaded

CHANNEL_BLOCK = 64
"""Channels summed together: four cache lines."""

_ZERO = np.uint64(0)
_ROW = np.uint64(CHANNEL_BLOCK)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RingGrid:
    """Square pixels around the rotation axis, and the two circles between which they count."""

    size: int
    """Pixels to a side."""
    step_um: float
    """Side of a pixel."""
    inner_um: float
    """Radius of the inner circle; 0 for none."""
    outer_um: float
    """Radius of the outer circle."""


@dataclass(frozen=True, eq=False)
class RayGeometry:
    """The rays of a scan."""

    angles_rad: Floats
    """Shape (angle,)."""
    offsets_um: Floats
    """Distance from the rotation axis, shape (offset,)."""


def add_ray_sums(
    target: Singles,
    images: Singles,
    *,
    grid: RingGrid,
    rays: RayGeometry,
    factor: float,
    nodes_um: Floats | None = None,
    squared: bool = False,
    workers: int | None = None,
) -> None:
    """Add ``factor`` times the line integrals of ``images`` to ``target``, in place.

    target (angle, offset, channel). images (node, pixel, channel), with the pixels of the grid row
    by row, in a quantity per µm: one image for each displacement of ``nodes_um`` (node,), which
    are uniform; without them there is one image. ``squared`` takes all weights squared, as for the
    variances of independent pixels. The order of additions does not depend on the number of
    threads.
    """
    nodes = np.zeros(1) if nodes_um is None else nodes_um
    spare = -images.shape[2] % CHANNEL_BLOCK
    padded = np.pad(images, ((0, 0), (0, 0), (0, spare))) if spare else images
    stack = np.ascontiguousarray(padded, dtype=np.float32)
    flat, row_length = stack.reshape(-1), stack.shape[2]
    node_gap = float(nodes[1] - nodes[0]) if nodes.size > 1 else 1.0
    cos, sin = np.cos(rays.angles_rad), np.sin(rays.angles_rad)

    def task(first: int, last: int) -> None:
        for a in range(first, last):
            _add_projection(
                flat, row_length, cos[a], sin[a], rays.offsets_um, grid.size, grid.step_um,
                grid.inner_um, grid.outer_um, float(nodes[0]), node_gap, nodes.size, factor,
                squared, target[a],
            )  # fmt: skip

    threaded(task, rays.angles_rad.size, workers=workers)


@compiled
def _hat_sum(u: float) -> float:
    """Return H(u), the integral of max(0, 1 − |u|) from −1."""
    if u <= -1.0:
        return 0.0
    if u >= 1.0:
        return 1.0
    return 0.5 * (1.0 + u) ** 2 if u < 0.0 else 1.0 - 0.5 * (1.0 - u) ** 2


@compiled
def _find_taps(
    t_um: float, cos: float, sin: float, size: int, step_um: float, inner_um: float,
    outer_um: float, first_node_um: float, node_gap_um: float, n_nodes: int, squared: bool,
    index: NDArray[np.int64], weight: Singles,
) -> int:  # fmt: skip
    """Fill in the places (node·pixel) that a ray reads and their weights; return how many."""
    if abs(t_um) >= outer_um:
        return 0
    near = np.sqrt(max(inner_um**2 - t_um**2, 0.0))
    far = np.sqrt(outer_um**2 - t_um**2)
    by_rows = abs(cos) >= abs(sin)
    # Rows: y = t·sin ω + s·cos ω, x = t·cos ω − s·sin ω. Columns: the other way round.
    across, along, drift = (sin, cos, -sin) if by_rows else (cos, -sin, cos)
    place = cos if by_rows else sin
    gap_um, middle = step_um / abs(along), 0.5 * (size - 1)
    row_stride, pixel_stride = (size, 1) if by_rows else (1, size)
    n = 0
    for k in range(size):
        s = ((k - middle) * step_um - t_um * across) / along
        w = gap_um * (
            _hat_sum((far - s) / gap_um) - _hat_sum((near - s) / gap_um)
            + _hat_sum((-near - s) / gap_um) - _hat_sum((-far - s) / gap_um)
        )  # fmt: skip
        if w <= 0.0:
            continue
        position = (t_um * place + s * drift) / step_um + middle
        before = int(np.floor(position))
        at_node = min(max((s - first_node_um) / node_gap_um, 0.0), max(n_nodes - 1.0, 0.0))
        node = min(int(at_node), max(n_nodes - 2, 0))
        for i in range(2):
            pixel = before + i
            if pixel < 0 or pixel >= size:
                continue
            of_pixel = w * abs(1.0 - i - (position - before))
            for j in range(min(n_nodes, 2)):
                of_node = abs(1.0 - j - (at_node - node))
                if of_pixel * of_node > 0.0:
                    index[n] = (node + j) * size * size + k * row_stride + pixel * pixel_stride
                    product = of_pixel * of_node
                    weight[n] = product * product if squared else product
                    n += 1
    return n


@compiled_fast
def _sum_taps(
    flat: Singles, row_length: int, channel: int, index: NDArray[np.int64], weight: Singles,
    n: int, total: Singles,
) -> None:  # fmt: skip
    """Add the weighted rows of the images to ``total``, (CHANNEL_BLOCK,); n is a multiple of 4."""
    for k in range(0, n, 4):
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        i0 = np.uint64(index[k] * row_length + channel)
        i1 = np.uint64(index[k + 1] * row_length + channel)
        i2 = np.uint64(index[k + 2] * row_length + channel)
        i3 = np.uint64(index[k + 3] * row_length + channel)
        for c in range(_ZERO, _ROW):
            total[c] += (w0 * flat[i0 + c] + w1 * flat[i1 + c]) + (
                w2 * flat[i2 + c] + w3 * flat[i3 + c]
            )


@compiled
def _add_projection(
    flat: Singles, row_length: int, cos: float, sin: float, offsets_um: Floats, size: int,
    step_um: float, inner_um: float, outer_um: float, first_node_um: float, node_gap_um: float,
    n_nodes: int, factor: float, squared: bool, target: Singles,
) -> None:  # fmt: skip
    """Add the sums of all rays of a projection to ``target``, (offset, channel)."""
    index = np.zeros(4 * size + 4, np.int64)
    weight = np.zeros(4 * size + 4, np.float32)
    total = np.empty(CHANNEL_BLOCK, np.float32)
    for i in range(offsets_um.size):
        n = _find_taps(
            offsets_um[i], cos, sin, size, step_um, inner_um, outer_um, first_node_um,
            node_gap_um, n_nodes, squared, index, weight,
        )  # fmt: skip
        if n == 0:
            continue
        weight[n : n + 3] = 0.0
        for channel in range(0, target.shape[1], CHANNEL_BLOCK):
            total[:] = 0.0
            _sum_taps(flat, row_length, channel, index, weight, n, total)
            for c in range(min(CHANNEL_BLOCK, target.shape[1] - channel)):
                target[i, channel + c] += factor * total[c]
