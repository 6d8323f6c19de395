"""Bring a scan from where its rays were measured to the uniform offsets of its set-points.

Between four neighbouring rays at the measured offsets u_1 … u_4 a projection is taken to be the
cubic through them (Lagrange's formula on uneven nodes),

    p(t) = Σ_j w_j(t)·p(u_j),   w_j(t) = Π_{k≠j} (t − u_k)/(u_j − u_k),

with an error of fourth order in the step. The variance is Σ w_j²·var(p(u_j)); that neighbouring
rays become correlated is not kept. Against rays measured in place, and a beam as wide as the step
that jumps by a twentieth of it, this leaves half of the error of a straight line between two rays,
and a quarter of what is left without any correction.

Where two of the four rays are closer than a tenth of a step their difference is mostly noise, and
the straight line is taken. A set-point outside the measured span takes the outermost ray.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import checked_angles
from inverse.sinogram import Floats, Singles, Sinogram
from xrdct.compiled import compiled, compiled_fast, threaded
from xrdct.errors import InputError

TAPS = 4
"""Rays that a set-point is interpolated from."""

WIDEST_GAP = 2.0
"""Widest distance of neighbouring rays, in steps, that is still interpolated across."""

_CLOSEST = 0.1
"""Distance of neighbouring rays, in steps, below which no cubic is drawn through them."""


@dataclass(frozen=True, eq=False)
class Taps:
    """From which rays each set-point is interpolated, and with what weights."""

    first: NDArray[np.int64]
    """First of ``TAPS`` consecutive rays of the same projection, shape (angle, set-point)."""
    weight: Floats
    """Shape (angle, set-point, TAPS); the weights of a set-point add up to one."""


def on_set_points(
    sinogram: Sinogram,
    *,
    offsets_um: ArrayLike,
    rotations_rad: ArrayLike | None = None,
    workers: int | None = None,
) -> Sinogram:
    """Return the sinogram at its uniform offsets, from where it was measured.

    ``offsets_um``, (angle, offset), is where each ray really passed on the scale of the set-points:
    encoder readings, and drifts added to them; ``rotations_rad``, (angle,), are the measured angles
    and replace those of the sinogram, which need not be uniform. Transmissions are interpolated as
    optical depths, which are line integrals too. A NaN remains NaN, in the rays beside it as well.

    Raises InputError where shapes do not fit, or the offsets of a projection do not rise or leave a
    gap of more than two steps.
    """
    taps = interpolation_taps(
        checked_offsets(offsets_um, sinogram=sinogram),
        set_points_um=sinogram.offsets_um,
        step_um=sinogram.step_um,
    )
    n_angles = sinogram.angles_rad.size
    angles = (
        sinogram.angles_rad
        if rotations_rad is None
        else checked_angles(rotations_rad, n_angles=n_angles)
    )
    return replace(
        interpolated(sinogram, taps=taps, workers=workers),
        angles_rad=np.asarray(angles, dtype=np.float64),
    )


def checked_offsets(offsets_um: ArrayLike, *, sinogram: Sinogram) -> Floats:
    """Return measured offsets as an array, (angle, offset).

    Raises InputError where there is not one finite offset for each ray.
    """
    offsets = np.asarray(offsets_um, dtype=np.float64)
    if offsets.shape != sinogram.values.shape[:2] or not np.isfinite(offsets).all():
        raise InputError(
            f"offsets_um must be finite with the shape {sinogram.values.shape[:2]} of the rays, "
            f"not of shape {offsets.shape}."
        )
    return offsets


def interpolation_taps(nodes_um: Floats, *, set_points_um: Floats, step_um: float) -> Taps:
    """Return how to interpolate from measured offsets, (angle, ray), to set-points, (set-point,).

    Raises InputError where the measured offsets of a projection do not rise, are fewer than two, or
    leave a gap of more than two steps.
    """
    if nodes_um.shape[1] < 2:
        raise InputError(f"A projection must have at least 2 rays, not {nodes_um.shape[1]}.")
    distances = np.diff(nodes_um, axis=1)
    if not (distances > 0.0).all():
        line = int(np.argmax((distances <= 0.0).any(axis=1)))
        raise InputError(
            "offsets_um must rise along each projection, but projection "
            f"{line} steps by {distances[line].min():.4g} µm."
        )
    if distances.max() > WIDEST_GAP * step_um:
        raise InputError(
            f"offsets_um must leave no gap of more than {WIDEST_GAP:g} steps of {step_um:g} µm, "
            f"but leave one of {distances.max():.4g} µm."
        )
    shape = (nodes_um.shape[0], set_points_um.size)
    first, weight = np.empty(shape, np.int64), np.zeros((*shape, TAPS))
    _fill_taps(nodes_um, set_points_um, _CLOSEST * step_um, first, weight)
    return Taps(first=first, weight=weight)


def interpolated(sinogram: Sinogram, *, taps: Taps, workers: int | None = None) -> Sinogram:
    """Return a sinogram whose rays are interpolated from those of the same projection.

    The result has as many rays as the taps have set-points; its step is still to be set where that
    is another.
    """
    shape = (*taps.first.shape, sinogram.values.shape[2])
    values, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    depth = -np.log(sinogram.transmission)
    set_depth = np.empty(taps.first.shape)

    def task(first: int, last: int) -> None:
        part = slice(first, last)
        interpolate_rays(
            sinogram.values[part], sinogram.variance[part], depth[part], taps.first[part],
            taps.weight[part], values[part], variance[part], set_depth[part],
        )  # fmt: skip

    threaded(task, shape[0], workers=workers)
    return replace(sinogram, values=values, variance=variance, transmission=np.exp(-set_depth))


@compiled
def _fill_taps(
    nodes_um: Floats,
    set_points_um: Floats,
    closest_um: float,
    first: NDArray[np.int64],
    weight: Floats,
) -> None:
    """Fill in the first ray and the weights, zero before, of every set-point."""
    n_nodes, n_taps = nodes_um.shape[1], min(TAPS, nodes_um.shape[1])
    for a in range(nodes_um.shape[0]):
        u = nodes_um[a]
        for i in range(set_points_um.size):
            t = min(max(set_points_um[i], u[0]), u[-1])
            left = min(max(np.searchsorted(u, t, side="right") - 1, 0), n_nodes - 2)
            start = min(max(left - (n_taps // 2 - 1), 0), n_nodes - n_taps)
            first[a, i] = start
            closest = np.inf
            for j in range(start, start + n_taps - 1):
                closest = min(closest, u[j + 1] - u[j])
            if closest < closest_um:
                share = (t - u[left]) / (u[left + 1] - u[left])
                weight[a, i, left - start] = 1.0 - share
                weight[a, i, left - start + 1] = share
                continue
            for j in range(n_taps):
                product = 1.0
                for k in range(n_taps):
                    if k != j:
                        product *= (t - u[start + k]) / (u[start + j] - u[start + k])
                weight[a, i, j] = product


@compiled_fast
def interpolate_rays(
    values: Singles,
    variance: Singles,
    depth: Floats,
    first: NDArray[np.int64],
    weight: Floats,
    new_values: Singles,
    new_variance: Singles,
    new_depth: Floats,
) -> None:
    """Fill the rays at the set-points of some projections."""
    for a in range(first.shape[0]):
        for i in range(first.shape[1]):
            j = first[a, i]
            new_depth[a, i] = 0.0
            new_values[a, i] = 0.0
            new_variance[a, i] = 0.0
            for k in range(TAPS):
                if weight[a, i, k] == 0.0:
                    continue
                w = np.float32(weight[a, i, k])
                new_depth[a, i] += weight[a, i, k] * depth[a, j + k]
                value_row, variance_row = values[a, j + k], variance[a, j + k]
                for c in range(new_values.shape[2]):
                    new_values[a, i, c] += w * value_row[c]
                    new_variance[a, i, c] += w * w * variance_row[c]
