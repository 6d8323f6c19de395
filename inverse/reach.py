"""How far the sample reaches from the rotation axis, told by the scans themselves."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.completion import sample_width_um
from inverse.contrast import line_contrast
from inverse.sinogram import Sinogram
from xrdct.errors import ResultWarning

Floats = NDArray[np.float64]

_SUPPORT = 0.05
"""Of the largest mean signal of sharp lines, that still belongs to the sample."""
_CONTAINER = 0.5
"""Of the largest mean signal, up to which both ends of a scan may show a container's."""
_LEVEL = 0.03
"""Of the same, by which rays at one end then differ at most: where a disc's chord is half of its
largest, it falls by 0.15 of that within two and a half of a hundred rays."""
_END = 0.05
"""Of the rays of a projection, that are an end; two at least."""
_OF_STREAKS = 0.1
"""Of the mean amount of a filled ring of pixels, that still may be streaks."""
_UNSEEN = 2.0
"""Times the view that pixels reach at least where no scan shows the sample's end: too many cost
time, and what lies beyond too few is taken for matter in view."""


class ReachWarning(ResultWarning):
    """No scan shows where the sample ends."""


@dataclass(frozen=True)
class Reach:
    """How far the sample reaches from the rotation axis."""

    radius_um: float
    """One step more, to be sure."""
    seen: bool
    """Whether rays show its end, and not their transmission alone tells it."""


def sample_reach(scan: Sinogram) -> Reach:
    """Return how far the sample reaches.

    The scan shows it where the sharp lines end within its view, or fall to the level that those of
    a container have, and else its transmission does.

    Raises InputError where neither does.
    """
    mean = line_contrast(scan).mean(axis=0)
    mean = mean - container_level(mean)
    distance_um = np.abs(scan.offsets_um - scan.axis_offset_um)
    seen = mean > _SUPPORT * mean.max()
    if seen[0] or seen[-1]:
        half_um = 0.5 * float(sample_width_um(scan))
        return Reach(float(max(half_um, distance_um.max()) + scan.step_um), seen=False)
    return Reach(float(distance_um[seen].max() + scan.step_um), seen=True)


def container_level(mean: Floats) -> float:
    """Return the mean signal, (offset,), that rays show beside the sample; zero if none do.

    Both ends are then low and level: the chord of a disc that leaves the view falls off by more.
    """
    n = max(2, round(_END * mean.size))
    ends = mean[:n], mean[-n:]
    top = mean.max()
    if any(np.ptp(end) > _LEVEL * top or end.mean() > _CONTAINER * top for end in ends):
        return 0.0
    return max(0.0, min(float(end.mean()) for end in ends))


def ends_in_view(amount: NDArray[np.floating]) -> bool:
    """Return whether a map of amounts, (iy, ix), NaN or 0 without material, shows an end of it.

    That is where the outer tenth of the disc in view holds next to none: also within a container
    that shows lines of its own.
    """
    n = amount.shape[0]
    place = np.arange(n) - 0.5 * (n - 1)
    radius = np.hypot(*np.meshgrid(place, place)) / (0.5 * n)
    filled = np.maximum(np.nan_to_num(amount), 0.0)
    rings = [
        float(filled[(radius >= low) & (radius < low + 0.1)].mean())
        for low in np.arange(0.0, 0.95, 0.1)
        if np.any((radius >= low) & (radius < low + 0.1))
    ]
    return rings[-1] < _OF_STREAKS * max(rings)


def reach_of(
    sinogram: Sinogram,
    surroundings: Sinogram | None,
    *,
    amount: NDArray[np.floating],
    known_um: float | None = None,
) -> Reach:
    """Return how far a sample reaches, at least to the end of the view of a scan.

    ``known_um`` tells it, or else ``amount``, a first map (iy, ix) of the scan's view, if it shows
    an end, or ``surroundings``, a wider scan. Warns (ReachWarning) where none does: it is then what
    transmission tells, or twice the view. Raises InputError where transmission does not tell it.
    """
    if known_um is not None:
        return Reach(known_um, seen=True)
    view_um = float(0.5 * sinogram.step_um * (sinogram.values.shape[1] + 1))
    if surroundings is None and ends_in_view(amount):
        return Reach(view_um, seen=True)
    told = sample_reach(surroundings or sinogram)
    if surroundings is not None and told.seen:
        return Reach(max(view_um, told.radius_um), seen=True)
    radius_um = max(_UNSEEN * view_um, told.radius_um)
    warn_of_reach(radius_um, key="direct.reach_um")
    return Reach(radius_um, seen=False)


def warn_of_reach(radius_um: float, *, key: str) -> None:
    """Warn (ReachWarning) that nothing but transmission tells it; ``key`` of a recipe would."""
    warnings.warn(
        f"No scan shows where the sample ends: it is taken to reach {radius_um:.4g} µm from the "
        f"rotation axis ({key} of the recipe, or a linked scan that sees all of it, would tell).",
        ReachWarning, stacklevel=3,
    )  # fmt: skip
