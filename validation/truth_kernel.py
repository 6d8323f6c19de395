"""The compiled loop of :mod:`validation.truth`: sum composition over the sub-points of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


_OUTLINE_ROWS = 16


@compiled
def _outline_share(dx: float, dy: float, squared_radius: float) -> float:
    """Share of the unit pixel at (dx, dy) inside a circle about the origin.

    Sum over 16 rows of the exact overlap of a row's chord with the pixel: off by less than 1e-4
    for circles of more than a pixel's radius.
    """
    total = 0.0
    for row in range(_OUTLINE_ROWS):
        y = dy + (row + 0.5) / _OUTLINE_ROWS - 0.5
        rest = squared_radius - y * y
        if rest <= 0.0:
            continue
        half = np.sqrt(rest)
        total += max(0.0, min(dx + 0.5, half) - max(dx - 0.5, -half))
    return total / _OUTLINE_ROWS


@compiled
def rasterise(
    first_row: int,
    last_row: int,
    wanted: NDArray[np.bool_],
    centres_um: Floats,
    radii_um: Floats,
    layer_start: Ints,
    r_outer_um: Floats,
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
    """Add every particle to the wanted pixels of rows ``first_row`` to ``last_row``.

    ``volume`` and ``moment`` (Σ volume·a) have shape (y, x, branch), ``extra`` (y, x, phase);
    ``best_share`` and ``best`` tell which particle's outline covers most of a voxel.
    """
    n = volume.shape[1]
    centre_pixel = 0.5 * (n - 1)
    cell = 1.0 / (subdivision * subdivision)
    for p in range(radii_um.size):
        reach = radii_um[p] / step_um
        x0 = centres_um[p, 0] / step_um + centre_pixel
        y0 = centres_um[p, 1] / step_um + centre_pixel
        row_a = max(first_row, int(np.floor(y0 - reach - 0.5)))
        row_b = min(last_row - 1, int(np.ceil(y0 + reach + 0.5)))
        column_a = max(0, int(np.floor(x0 - reach - 0.5)))
        column_b = min(n - 1, int(np.ceil(x0 + reach + 0.5)))
        begin, end = layer_start[p], layer_start[p + 1]
        n_layers = end - begin
        per_um = n_layers / radii_um[p]
        for row in range(row_a, row_b + 1):
            for column in range(column_a, column_b + 1):
                if not wanted[row, column]:
                    continue
                share = 0.0
                for iz in range(heights_um.size):
                    dz = heights_um[iz] - centres_um[p, 2]
                    weight = height_weights[iz] * cell
                    squared = (radii_um[p] ** 2 - dz * dz) / step_um**2
                    share += height_weights[iz] * _outline_share(column - x0, row - y0, squared)
                    if squared <= 0.0:
                        continue
                    for sub_y in range(subdivision):
                        dy = (row - y0 + (sub_y + 0.5) / subdivision - 0.5) * step_um
                        for sub_x in range(subdivision):
                            dx = (column - x0 + (sub_x + 0.5) / subdivision - 0.5) * step_um
                            r = np.sqrt(dx * dx + dy * dy + dz * dz)
                            if r >= radii_um[p]:
                                continue
                            layer = begin + min(int(r * per_um), n_layers - 1)
                            while layer < end - 1 and r > r_outer_um[layer]:
                                layer += 1
                            while layer > begin and r <= r_outer_um[layer - 1]:
                                layer -= 1
                            low, high = fraction_low[layer] * weight, fraction_high[layer] * weight
                            b = branch[layer]
                            volume[row, column, b] += low
                            moment[row, column, b] += low * a_low_A[layer]
                            if high > 0.0:
                                volume[row, column, b + 1] += high
                                moment[row, column, b + 1] += high * a_high_A[layer]
                            for phase in range(extra.shape[2]):
                                extra[row, column, phase] += extra_fraction[layer, phase] * weight
                if share > best_share[row, column]:
                    best_share[row, column] = share
                    best[row, column] = p
