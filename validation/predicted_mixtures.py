"""Where fits find voxels: blur, parallax and truncation by what voxels show of every lattice.

The terms of :mod:`validation.predicted_systematic`, from mixtures of material
(:mod:`validation.predicted_shown`) in place of images. To first order a voxel is found where the
class of its own lattice parameter says. But what a coarse scan takes off the outermost voxels is up
to half of them: a fit ends elsewhere then, at a â for which

    Σ φ u(a′; â) = 0,

with the levers of â itself, found by repeating the first order from where it ends.

Where this fails: voxels that lose more than half of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from validation.predicted_fields import Field
from validation.predicted_levers import Levers
from validation.predicted_scene import Voxels
from validation.predicted_shown import Mixture, Spread

Floats = NDArray[np.float64]

_ROUNDS = 5
"""Of repeating: errors of half a line's width have settled to a twentieth."""


def biases_of(
    found: Levers,
    fields: Sequence[Field],
    voxels: Voxels,
    spread: Spread,
    shown: Mixture,
    more: Mixture | None,
    *,
    emptied: bool,
) -> tuple[Floats, Floats]:
    """Return blur, parallax, truncation and amount, (4, voxel), and the weights of classes.

    ``shown`` is what voxels show of the view, ``more`` what lies outside it adds. ``emptied``:
    voxels may lose much of themselves, so that the first order does not do.
    """
    rounds = _ROUNDS if emptied else 1
    classes = range(found.class_a_A.size)
    plain = np.array([_of_class(found, shown, k) for k in classes])
    full = plain if more is None else plain + [_of_class(found, more, k) for k in classes]
    blur_A = _found_at(found, voxels.a_A, plain, rounds=1) - voxels.a_A
    truncation_A = np.zeros(blur_A.size)
    if more is not None:
        ends_A = (_found_at(found, voxels.a_A, each, rounds=rounds) for each in (full, plain))
        truncation_A = np.subtract(*ends_A)
    lower, share = found.between(voxels.a_A)
    parallax_A, amount = np.zeros(voxels.x_um.size), np.zeros(voxels.x_um.size)
    weights = np.zeros((len(classes), voxels.x_um.size))
    for k in classes:
        weight = share * (lower == k) + (1.0 - share) * (lower == k - 1)
        if not np.any(weight):
            continue
        curve = found.shift_A[k] / found.amount[k]
        rate = found.of(np.gradient(curve, found.a_A), voxels.a_A)
        weights[k] = weight / (full[k, 1] * rate)
        image = fields[k].displaced
        if image.size:
            parallax_A += weights[k] * spread.of(image)
        amount += weight * full[k, 1] / found.of(found.amount[k], voxels.a_A)
    return np.stack([blur_A, parallax_A, truncation_A, amount]), weights


def _found_at(found: Levers, a_A: Floats, fields: Floats, *, rounds: int) -> Floats:
    """Return where a fit finds voxels of fields m and w, (class, 2, voxel), which begins at a."""
    at_A = a_A
    for _ in range(rounds):
        lower, share = found.between(at_A)
        step_A = np.zeros(a_A.size)
        for k in range(found.class_a_A.size):
            weight = share * (lower == k) + (1.0 - share) * (lower == k - 1)
            if np.any(weight):
                curve = found.shift_A[k] / found.amount[k]
                rate = found.of(np.gradient(curve, found.a_A), at_A)
                apart = fields[k, 0] / fields[k, 1] - found.of(curve, at_A)
                step_A += weight * apart / rate
        at_A = at_A + step_A
    return at_A


def _of_class(found: Levers, mixture: Mixture, k: int) -> tuple[Floats, Floats]:
    """Return what a mixture adds to the fields m and w of a class, (voxel,) both."""
    return (
        mixture.sum(found.of(found.shift_A[k], mixture.a_A), found.extra_shift_A[k]),
        mixture.sum(found.of(found.amount[k], mixture.a_A), found.extra_amount[k]),
    )
