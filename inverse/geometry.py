"""Where a point of the sample meets the detector line, and which points every ray set covers.

At rotation angle ω a point (x, y) of the sample frame, in µm, is met by the ray at the transverse
offset t = x·cos ω + y·sin ω + axis_offset, where the axis offset is the place of the rotation axis
on the scale of the offsets. Offsets and pixels lie on centred grids of the same step,

    t_i = (i − (n − 1)/2)·step,   x = (ix − (size − 1)/2)·step,   y = (iy − (size − 1)/2)·step,

and images are indexed ``[iy, ix]``, sinograms ``[angle, offset]``; channels come last in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdct.errors import InputError

WIDEST_GAP = 3.0
"""Widest gap between projections modulo 180°, in mean gaps, that still counts as a full scan: 2
where a scan of 360° repeats every projection, and room for a missing one beside it."""


def angle_weights(angles_rad: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the half turn that each projection stands for, (angle,), in rad.

    Modulo 180°, where opposite projections see the same lines, a projection stands for the half of
    the gaps to both its neighbours; the shares add up to π. A uniform scan of 180° or 360° with N
    angles gets π/N each; measured angles that are not quite uniform get the trapezoid rule.

    Raises InputError where the angles leave a gap no full scan has (limited-angle tomography).
    """
    angles = checked_angles(angles_rad)
    folded = np.mod(angles, np.pi)
    order = np.argsort(folded, kind="stable")
    following = np.diff(folded[order], append=folded[order[0]] + np.pi)
    widest = following.max() * angles.size / np.pi
    if widest > WIDEST_GAP:
        raise InputError(
            "angles_rad must cover 180° or 360° evenly, "
            f"but leaves a gap of {np.degrees(following.max()):.4g}°, {widest:.3g} times the mean."
        )
    weights = np.empty(angles.size)
    weights[order] = 0.5 * (following + np.roll(following, 1))
    return weights


def pixel_positions(size: int) -> NDArray[np.float64]:
    """Return the positions of the pixels of a row about the rotation axis, (size,), in steps."""
    return np.arange(size, dtype=np.float64) - 0.5 * (size - 1)


def axis_position(n_offsets: int, *, step_um: float, axis_offset_um: float) -> float:
    """Return where the rotation axis is seen among the offsets, in steps from the first.

    Raises InputError where there are no two offsets to interpolate between, where the step is not
    a positive length, or the axis offset not a number.
    """
    if n_offsets < 2:
        raise InputError(f"A scan must have at least 2 offsets, not {n_offsets}.")
    if not (np.isfinite(step_um) and step_um > 0):
        raise InputError(f"step_um must be positive and finite, not {step_um}.")
    if not np.isfinite(axis_offset_um):
        raise InputError(f"axis_offset_um must be finite, not {axis_offset_um}.")
    return 0.5 * (n_offsets - 1) + axis_offset_um / step_um


def view_radius(n_offsets: int, *, step_um: float, axis_offset_um: float) -> float:
    """Return the radius of the circle about the axis that every projection covers, in steps.

    It touches the nearer outermost ray. Raises InputError as :func:`axis_position` does.
    """
    axis = axis_position(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    return min(axis, n_offsets - 1 - axis)


def field_of_view(
    size: int, *, n_offsets: int, step_um: float, axis_offset_um: float = 0.0
) -> NDArray[np.bool_]:
    """Return which pixels, (size, size), lie between the outermost rays at every angle.

    They fill the circle of :func:`view_radius`.
    """
    radius = view_radius(n_offsets, step_um=step_um, axis_offset_um=axis_offset_um)
    position = pixel_positions(size)
    # A pixel on the circle counts: the rounding of its position must not decide.
    inside = np.hypot(position[:, None], position[None, :]) <= radius * (1 + 1e-12)
    return np.asarray(inside, dtype=np.bool_)


def checked_angles(angles_rad: ArrayLike, *, n_angles: int | None = None) -> NDArray[np.float64]:
    """Return the angles as an array, (angle,), or raise InputError where they are not a list."""
    angles = np.asarray(angles_rad, dtype=np.float64)
    if angles.ndim != 1 or angles.size == 0 or not np.all(np.isfinite(angles)):
        raise InputError(
            f"angles_rad must be a list of finite angles, not an array of shape {angles.shape}."
        )
    if n_angles is not None and angles.size != n_angles:
        raise InputError(
            f"angles_rad must have one angle per projection: {angles.size} for {n_angles}."
        )
    return angles


def checked_stack(values: ArrayLike, *, name: str, axes: str, square: bool = False) -> NDArray[Any]:
    """Return the values as an array of three axes.

    Raises InputError where the array has no three axes, is empty, holds no real numbers, or
    has not as many rows as columns where it must be ``square``.
    """
    stack = np.asarray(values)
    if stack.ndim != 3 or stack.dtype.kind not in "iuf" or 0 in stack.shape:
        raise InputError(
            f"{name} must be an array of numbers with the axes {axes}, "
            f"not one of shape {stack.shape} and type {stack.dtype}."
        )
    if square and stack.shape[0] != stack.shape[1]:
        raise InputError(f"{name} must have as many rows as columns, not shape {stack.shape}.")
    return stack


def checked_mask(mask: ArrayLike | None, *, size: int) -> NDArray[np.bool_]:
    """Return the mask, (size, size), all True if there is none.

    Raises InputError where its shape is not that of the image, or its type not boolean.
    """
    if size < 1:
        raise InputError(f"size must be at least 1, not {size}.")
    if mask is None:
        return np.ones((size, size), dtype=np.bool_)
    given = np.asarray(mask)
    if given.shape != (size, size) or given.dtype != np.bool_:
        raise InputError(
            f"mask must be boolean with the shape {(size, size)} of the image, "
            f"not {given.dtype} with shape {given.shape}."
        )
    return given
