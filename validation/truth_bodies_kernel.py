"""The loop of :mod:`validation.truth` for a particle that is no layered sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.shape_kernel import cell_in_outline, filled_share
from validation.truth_kernel import move_layers, pixels_within
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@compiled
def _add_cells(
    x0: float,
    y0: float,
    z: float,
    spacing_um: float,
    subdivision: int,
    weight: float,
    kind: int,
    size: Floats,
    waves: Floats,
    pores: Floats,
    cracks: Floats,
    r_outer_um: Floats,
    layer_weight: Floats,
) -> float:
    """Add ``weight`` times the solid share of every cell to its layer; return that inside."""
    outermost = r_outer_um.size - 1
    inside = 0.0
    for sub_y in range(subdivision):
        y = y0 + sub_y * spacing_um
        for sub_x in range(subdivision):
            x = x0 + sub_x * spacing_um
            share, place, _ = cell_in_outline(x, y, z, spacing_um, kind, size, waves)
            if share <= 0.0:
                continue
            inside += weight * share
            share *= filled_share(x, y, z, spacing_um, pores, cracks)
            r = place * r_outer_um[outermost]
            layer_weight[min(int(np.searchsorted(r_outer_um, r)), outermost)] += weight * share
    return inside


@compiled
def rasterise_body(
    first_row: int,
    last_row: int,
    wanted: NDArray[np.bool_],
    number: int,
    centre_um: Floats,
    reach_um: float,
    kind: int,
    size: Floats,
    waves: Floats,
    pores: Floats,
    cracks: Floats,
    r_outer_um: Floats,
    first_layer: int,
    a_low_A: Floats,
    a_high_A: Floats,
    fraction_low: Floats,
    fraction_high: Floats,
    branch: Ints,
    extra_fraction: Floats,
    heights_um: Floats,
    height_weights: Floats,
    step_um: float,
    subdivision: int,
    volume: Floats,
    moment: Floats,
    extra: Floats,
    best_share: Floats,
    best: Ints,
) -> None:
    """Add one body to the wanted pixels of rows ``first_row`` to ``last_row``.

    ``r_outer_um`` are the radii of its own layers, which begin at ``first_layer`` of all; the rest
    is as in :func:`validation.truth_kernel.rasterise`.
    """
    n = volume.shape[1]
    centre_pixel = 0.5 * (n - 1)
    spacing_um = step_um / subdivision
    corner_um = 0.5 * (step_um - spacing_um)
    weight_of = np.zeros(r_outer_um.size)
    reach = reach_um / step_um
    x0 = centre_um[0] / step_um + centre_pixel
    y0 = centre_um[1] / step_um + centre_pixel
    last_layer = first_layer + r_outer_um.size
    for row in pixels_within(y0, reach, first_row, last_row):
        for column in pixels_within(x0, reach, 0, n):
            if not wanted[row, column]:
                continue
            share = 0.0
            for iz in range(heights_um.size):
                share += _add_cells(
                    (column - x0) * step_um - corner_um, (row - y0) * step_um - corner_um,
                    heights_um[iz] - centre_um[2], spacing_um, subdivision,
                    height_weights[iz] / subdivision**2, kind, size, waves, pores, cracks,
                    r_outer_um, weight_of,
                )  # fmt: skip
            move_layers(
                weight_of, first_layer, last_layer, a_low_A, a_high_A, fraction_low,
                fraction_high, branch, extra_fraction, volume[row, column], moment[row, column],
                extra[row, column],
            )  # fmt: skip
            if share > best_share[row, column]:
                best_share[row, column] = share
                best[row, column] = number
