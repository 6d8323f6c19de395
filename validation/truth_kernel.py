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
def _layer_at(r_um: float, guess: int, begin: int, end: int, r_outer_um: Floats) -> int:
    """Return the layer that holds radius ``r_um``, searching from a guess."""
    layer = min(guess, end - 1)
    while layer < end - 1 and r_um > r_outer_um[layer]:
        layer += 1
    while layer > begin and r_um <= r_outer_um[layer - 1]:
        layer -= 1
    return layer


@compiled
def _add_points(
    dx0: float,
    dy0: float,
    dz: float,
    spacing_um: float,
    subdivision: int,
    weight: float,
    radius_um: float,
    begin: int,
    end: int,
    r_outer_um: Floats,
    layer_weight: Floats,
) -> None:
    """Add ``weight`` to the layer under each sub-point of a pixel.

    The first sub-point lies at (dx0, dy0, dz) µm from the particle's centre; ``layer_weight`` is
    counted from the particle's first layer.
    """
    per_um = (end - begin) / radius_um
    for sub_y in range(subdivision):
        dy = dy0 + sub_y * spacing_um
        for sub_x in range(subdivision):
            dx = dx0 + sub_x * spacing_um
            r = np.sqrt(dx * dx + dy * dy + dz * dz)
            if r < radius_um:
                layer = _layer_at(r, begin + int(r * per_um), begin, end, r_outer_um)
                layer_weight[layer - begin] += weight


@compiled
def move_layers(
    layer_weight: Floats,
    begin: int,
    end: int,
    a_low_A: Floats,
    a_high_A: Floats,
    fraction_low: Floats,
    fraction_high: Floats,
    branch: Ints,
    extra_fraction: Floats,
    volume: Floats,
    moment: Floats,
    extra: Floats,
) -> None:
    """Add the layers' compositions to one pixel by their weights, and empty the weights."""
    for layer in range(begin, end):
        weight = layer_weight[layer - begin]
        if weight == 0.0:
            continue
        layer_weight[layer - begin] = 0.0
        low, high, b = fraction_low[layer] * weight, fraction_high[layer] * weight, branch[layer]
        volume[b] += low
        moment[b] += low * a_low_A[layer]
        if high > 0.0:
            volume[b + 1] += high
            moment[b + 1] += high * a_high_A[layer]
        for phase in range(extra.size):
            extra[phase] += extra_fraction[layer, phase] * weight


@compiled
def pixels_within(middle: float, reach: float, first: int, stop: int) -> range:
    """Return the pixels from ``first`` to before ``stop`` that lie within reach of a middle."""
    return range(
        max(first, int(np.floor(middle - reach - 0.5))),
        min(stop - 1, int(np.ceil(middle + reach + 0.5))) + 1,
    )


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
    spacing_um = step_um / subdivision
    corner_um = 0.5 * (step_um - spacing_um)
    largest = 0
    for p in range(radii_um.size):
        largest = max(largest, layer_start[p + 1] - layer_start[p])
    layer_weight = np.zeros(largest)
    for p in range(radii_um.size):
        reach = radii_um[p] / step_um
        x0 = centres_um[p, 0] / step_um + centre_pixel
        y0 = centres_um[p, 1] / step_um + centre_pixel
        begin, end = layer_start[p], layer_start[p + 1]
        for row in pixels_within(y0, reach, first_row, last_row):
            for column in pixels_within(x0, reach, 0, n):
                if not wanted[row, column]:
                    continue
                share = 0.0
                for iz in range(heights_um.size):
                    dz = heights_um[iz] - centres_um[p, 2]
                    squared = (radii_um[p] ** 2 - dz * dz) / step_um**2
                    if squared > 0.0:
                        share += height_weights[iz] * _outline_share(column - x0, row - y0, squared)
                        _add_points(
                            (column - x0) * step_um - corner_um,
                            (row - y0) * step_um - corner_um,
                            dz, spacing_um, subdivision, height_weights[iz] / subdivision**2,
                            radii_um[p], begin, end, r_outer_um, layer_weight,
                        )  # fmt: skip
                move_layers(
                    layer_weight, begin, end, a_low_A, a_high_A, fraction_low, fraction_high,
                    branch, extra_fraction, volume[row, column], moment[row, column],
                    extra[row, column],
                )  # fmt: skip
                if share > best_share[row, column]:
                    best_share[row, column] = share
                    best[row, column] = p
