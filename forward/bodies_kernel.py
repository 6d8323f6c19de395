"""The compiled loops of :mod:`forward.bodies`: cut a body into cells, and project the cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.shape_kernel import cell_in_outline, filled_share, share_below
from xrdct.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]


@compiled
def _add_layers(
    low_um: float,
    high_um: float,
    weight: float,
    r_outer_um: Floats,
    mix_start: Ints,
    mix_column: Ints,
    mix_weight: Floats,
    amount: Floats,
) -> None:
    """Share ``weight`` among the layers between two radii, and these among columns.

    What lies beyond the surface belongs to the parts inside, and all of it to the last layer where
    there are none.
    """
    outermost = r_outer_um.size - 1
    low, high = max(low_um, 0.0), min(high_um, r_outer_um[outermost])
    layer = min(int(np.searchsorted(r_outer_um, low)), outermost)
    while layer <= outermost:
        inner = r_outer_um[layer - 1] if layer > 0 else 0.0
        part = 1.0
        if high > low:
            part = (min(high, r_outer_um[layer]) - max(low, inner)) / (high - low)
        for m in range(mix_start[layer], mix_start[layer + 1]):
            amount[mix_column[m]] += weight * part * mix_weight[m]
        if high <= r_outer_um[layer]:
            break
        layer += 1


@compiled
def cut_section(
    n_across: int,
    cell_um: float,
    heights_um: Floats,
    weights: Floats,
    kind: int,
    size: Floats,
    waves: Floats,
    pores: Floats,
    cracks: Floats,
    r_outer_um: Floats,
    mix_start: Ints,
    mix_column: Ints,
    mix_weight: Floats,
    n_columns: int,
) -> tuple[Singles, Singles, Ints, NDArray[np.int32], Singles]:
    """Return the cells of a body that are not empty (see :class:`forward.bodies.Bodies`).

    ``heights_um`` are those of the section above the body's centre; layers and ``mix_start`` are
    the body's own, ``mix_column`` and ``mix_weight`` those of all.
    """
    x_um = np.empty(n_across * n_across, np.float32)
    y_um = np.empty(n_across * n_across, np.float32)
    start = np.zeros(n_across * n_across + 1, np.int64)
    column = np.empty(4 * n_across * n_across, np.int32)
    share_of = np.empty(column.size, np.float32)
    n_cells, n_entries = 0, 0
    radius_um = r_outer_um[-1]
    amount = np.zeros(n_columns)
    for iy in range(n_across):
        y = (iy - 0.5 * (n_across - 1)) * cell_um
        for ix in range(n_across):
            x = (ix - 0.5 * (n_across - 1)) * cell_um
            found = False
            for iz in range(heights_um.size):
                z = heights_um[iz]
                share, place, slope = cell_in_outline(x, y, z, cell_um, kind, size, waves)
                if share > 0.0:
                    share *= filled_share(x, y, z, cell_um, pores, cracks)
                if share <= 0.0:
                    continue
                half = 0.5 * cell_um * slope
                _add_layers(
                    (place - half) * radius_um, (place + half) * radius_um, weights[iz] * share,
                    r_outer_um, mix_start, mix_column, mix_weight, amount,
                )  # fmt: skip
                found = True
            if not found:
                continue
            if n_entries + n_columns > column.size:
                column = np.concatenate((column, np.empty(column.size + n_columns, np.int32)))
                share_of = np.concatenate(
                    (share_of, np.empty(column.size - share_of.size, np.float32))
                )
            for j in range(n_columns):
                if amount[j] != 0.0:
                    column[n_entries] = j
                    share_of[n_entries] = amount[j]
                    n_entries += 1
                    amount[j] = 0.0
            x_um[n_cells], y_um[n_cells] = x, y
            n_cells += 1
            start[n_cells] = n_entries
    return (
        x_um[:n_cells].copy(),
        y_um[:n_cells].copy(),
        start[: n_cells + 1].copy(),
        column[:n_entries].copy(),
        share_of[:n_entries].copy(),
    )


@compiled
def _fill_strips(
    first: int,
    last: int,
    middle: int,
    strip_um: float,
    cell_um: float,
    x_um: Singles,
    y_um: Singles,
    entry_start: Ints,
    entry_column: NDArray[np.int32],
    entry_share: Singles,
    cos: float,
    sin: float,
    strips: Floats,
) -> None:
    """Add cells ``first`` to ``last`` to ``strips``: (strip, column, path in µm and its moment).

    Strip ``middle`` is centred on the body's centre.
    """
    outer = 0.5 * cell_um * (abs(cos) + abs(sin))
    per_share = cell_um * cell_um / strip_um
    for cell in range(first, last):
        t = x_um[cell] * cos + y_um[cell] * sin
        s = y_um[cell] * cos - x_um[cell] * sin
        strip = int(np.floor((t - outer) / strip_um + 0.5))
        below = 0.0
        while below < 1.0:
            edge = (strip + 0.5) * strip_um
            until = share_below(edge - t, cos, sin, cell_um)
            part = (until - below) * per_share
            below = until
            k = middle + strip
            for m in range(entry_start[cell], entry_start[cell + 1]):
                path = part * entry_share[m]
                strips[k, entry_column[m], 0] += path
                strips[k, entry_column[m], 1] += path * s
            strip += 1


@compiled
def _ray_weights(place: float, taps: Floats, weights: Floats) -> tuple[int, int]:
    """Fill the weight of every strip for a ray at ``place`` (in strips), and return their range.

    The beam's profile about the four strips next to the ray, by cubic interpolation between them.
    """
    i = int(np.floor(place))
    f = place - i
    cubic = (
        -f * (f - 1.0) * (f - 2.0) / 6.0,
        (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0,
        -(f + 1.0) * f * (f - 2.0) / 2.0,
        (f + 1.0) * f * (f - 1.0) / 6.0,
    )
    reach = taps.size - 1
    first, last = max(0, i - 1 - reach), min(weights.size, i + 3 + reach)
    for k in range(first, last):
        total = 0.0
        for q in range(4):
            away = abs(k - (i - 1 + q))
            if away <= reach:
                total += cubic[q] * taps[away]
        weights[k] = total
    return first, last


@compiled
def _spread_ray(
    ray: Floats,
    along_um: float,
    reach_um: float,
    states_per_um: float,
    segment_first: int,
    segment_last: int,
    segment_state: Ints,
    segment_width: Ints,
    path: Singles,
    moment: Singles,
) -> None:
    """Add a body's columns (column, path and moment about its centre) to the states of one ray."""
    column = 0
    for segment in range(segment_first, segment_last):
        for j in range(segment_width[segment]):
            amount, own = ray[column, 0], ray[column, 1]
            column += 1
            if amount == 0.0:
                continue
            off = min(max(own / amount, -reach_um), reach_um)  # interpolated: may be tiny over tiny
            shift = (along_um + off) * states_per_um
            whole = int(np.floor(shift))
            part = shift - whole
            state = segment_state[segment] + j + whole
            first_moment = along_um * amount + own
            path[state] += np.float32((1.0 - part) * amount)
            moment[state] += np.float32((1.0 - part) * first_moment)
            if part > 0.0:
                path[state + 1] += np.float32(part * amount)
                moment[state + 1] += np.float32(part * first_moment)


@compiled
def project_bodies(
    strip_um: float,
    taps: Floats,
    cell_um: Floats,
    reach_um: Floats,
    cell_start: Ints,
    x_um: Singles,
    y_um: Singles,
    entry_start: Ints,
    entry_column: NDArray[np.int32],
    entry_share: Singles,
    n_columns: Ints,
    segment_start: Ints,
    segment_state: Ints,
    segment_width: Ints,
    across_um: Floats,
    along_um: Floats,
    cos: float,
    sin: float,
    offsets_um: Floats,
    states_per_um: float,
    path: Singles,
    moment: Singles,
) -> None:
    """Add every body to the rays it meets (see :meth:`forward.bodies.Bodies.add_to`)."""
    for k in range(across_um.size):
        if cell_start[k] == cell_start[k + 1]:
            continue
        half = int(np.ceil((reach_um[k] + 2.0 * cell_um[k]) / strip_um)) + 1
        around = (half + taps.shape[1] + 2) * strip_um
        if not np.any(np.abs(offsets_um - across_um[k]) < around):
            continue
        strips = np.zeros((2 * half + 1, n_columns[k], 2))
        _fill_strips(
            cell_start[k], cell_start[k + 1], half, strip_um, cell_um[k], x_um, y_um, entry_start,
            entry_column, entry_share, cos, sin, strips,
        )  # fmt: skip
        weights = np.zeros(2 * half + 1)
        ray_sum = np.empty((n_columns[k], 2))
        for ray in range(offsets_um.size):
            away = offsets_um[ray] - across_um[k]
            if abs(away) >= around:
                continue
            first, last = _ray_weights(away / strip_um + half, taps[k], weights)
            ray_sum[:] = 0.0
            for i in range(first, last):
                for j in range(n_columns[k]):
                    ray_sum[j, 0] += weights[i] * strips[i, j, 0]
                    ray_sum[j, 1] += weights[i] * strips[i, j, 1]
            _spread_ray(
                ray_sum, along_um[k], reach_um[k] + 2.0 * cell_um[k], states_per_um,
                segment_start[k], segment_start[k + 1], segment_state, segment_width,
                path[ray], moment[ray],
            )  # fmt: skip
