"""Continue a truncated sinogram beyond its window, where no coarse scan says what lies there.

A window of half-width w within a sample of radius R > w cuts every projection off at full height,
which filtered back projection takes for structure. Each projection is continued from its outermost
rays, at the distance t from the rotation axis, down to zero at the sample's edge, as the ray times

    "ellipse"    √(R² − t²)/√(R² − w²), the chord of a disc
    "cosine"     cos²(π/2 · (|t| − w)/(R − w))

The amount of the whole sample, ∫ value dt, is the same at every angle (the zeroth of the
Helgason–Ludwig conditions). Where it is known, what is missing to it, or too much, is added between
window and edge as sin²(π·(|t| − w)/(R − w)), which vanishes at both: there is no step.

R follows, unless given, from the transmission of a disc, (−ln T)² = 4µ²(R² − t²), by a straight
line through the mean over the angles; a housing wider than the sample misleads it.

Sources: Hsieh et al., Med. Phys. 31 (2004) 2385 (a disc's chord); Natterer, *The Mathematics of
Computerized Tomography*, ch. II.4 (consistency conditions).
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.rings import view_radius_um
from inverse.sinogram import Sinogram
from xrdct.errors import InputError, ResultWarning

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Method = Literal["ellipse", "cosine"]
METHODS: tuple[Method, ...] = ("ellipse", "cosine")

_LEAST_DEPTH = 1e-3
"""Optical depth in the middle below which no width can be told from it."""

_GIVE_WIDTH = (
    "The sample's width must be given (in a recipe as truncation.width_um, as direct.reach_um for "
    "the direct method)"
)


class CompletionWarning(ResultWarning):
    """What lies beyond the window was made up."""


def completed(
    sinogram: Sinogram,
    *,
    width_um: float | None = None,
    method: Method = "ellipse",
    amount: ArrayLike | None = None,
) -> Sinogram:
    """Return the sinogram continued on both sides, by as many rays each, to the sample's width.

    ``width_um`` is the sample's diameter, about the rotation axis; ``amount`` (channel,) the
    integral of a whole projection (:func:`amount_of` another scan). Reconstruct the result with the
    padding "zero" and the ``size`` of the window. Added rays have the relative variance of the one
    they continue, as if independent: what they add to a pixel is below 1e-3 from ten rays inside
    the window on. Their transmission is given as 1.

    Warns (CompletionWarning) of what a made-up outside costs. Raises InputError for a method that
    does not exist, a width that cannot be told or does not exceed the window, and an amount of
    another shape than the channels.
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    width = sample_width_um(sinogram) if width_um is None else width_um
    offsets = sinogram.offsets_um - sinogram.axis_offset_um
    widest = float(np.abs(offsets).max())
    if not 0.5 * width > widest:
        raise InputError(
            f"The sample's width of {width:g} µm must exceed twice the {widest:g} µm from the axis "
            "to the window's further end."
        )
    n_more = int(np.ceil((0.5 * width - view_radius_um(sinogram)) / sinogram.step_um))
    place = np.arange(1, n_more + 1) * sinogram.step_um
    before, after = offsets[0] - place[::-1], offsets[-1] + place
    low = _shape(before, edge=offsets[0], radius=0.5 * width, method=method)
    high = _shape(after, edge=offsets[-1], radius=0.5 * width, method=method)
    values = _extended(sinogram.values, low, high)
    if amount is not None:
        added = np.concatenate([
            _bump(before, edge=offsets[0], radius=0.5 * width),
            np.zeros(offsets.size),
            _bump(after, edge=offsets[-1], radius=0.5 * width),
        ])  # fmt: skip
        missing = _checked_amount(amount, sinogram) - values.sum(axis=1) * sinogram.step_um
        density = (missing / (added.sum() * sinogram.step_um)).astype(np.float32)
        values += density[:, None] * added[:, None].astype(np.float32)
    warnings.warn(_cost(width, widest, amount is not None), CompletionWarning, stacklevel=2)
    return replace(
        sinogram,
        values=values,
        variance=_extended(sinogram.variance, low**2, high**2),
        transmission=np.pad(sinogram.transmission, ((0, 0), (n_more, n_more)), constant_values=1.0),
    )


def amount_of(sinogram: Sinogram) -> Floats:
    """Return the integral of a whole projection, mean over the angles, (channel,), in µm/rad."""
    total = sinogram.values.sum(axis=1, dtype=np.float64).mean(axis=0)
    return np.asarray(total * sinogram.step_um)


def sample_width_um(sinogram: Sinogram) -> float:
    """Return the diameter of the disc whose transmission the mean projection has, in µm.

    Raises InputError where the transmission does not fall off from the window's middle to its ends
    as that of a disc does, there is no absorption to speak of, or there are too few offsets.
    """
    depth = -np.log(sinogram.transmission).mean(axis=0)
    squared = (sinogram.offsets_um - sinogram.axis_offset_um) ** 2
    if not np.ptp(squared) > sinogram.step_um**2:  # a line needs places apart
        raise InputError(
            f"{_GIVE_WIDTH}: {depth.size} offsets are too few to see how the transmission falls "
            "off."
        )
    slope, middle = np.polyfit(squared, depth**2, 1)
    if not (slope < 0.0 and middle > _LEAST_DEPTH**2):
        raise InputError(
            f"{_GIVE_WIDTH}: the transmission, of optical depth "
            f"{np.sqrt(max(middle, 0.0)):.3g} in the middle, does not fall off like a disc's."
        )
    return float(2.0 * np.sqrt(-middle / slope))


def _cost(width_um: float, reach_um: float, amount_known: bool) -> str:
    """Return what a reader must know of a completed sinogram."""
    source = "its known amount" if amount_known else "the ends of the projections alone"
    return (
        f"What lies {reach_um:g} to {0.5 * width_um:g} µm from the axis was made up from {source}: "
        "amounts inside have an uncertain level, some 8 % of the sample's mean density for each "
        "10 % of its width and 20 % for its shape; lattice parameters hardly change, and streaks "
        "from outside remain."
    )


def _shape(offsets: Floats, *, edge: float, radius: float, method: Method) -> Floats:
    """Return the continuation relative to the projection's end at ``edge``, (offset,)."""
    if method == "cosine":
        part = _part(offsets, edge=edge, radius=radius)
        return np.asarray(np.cos(0.5 * np.pi * part) ** 2)
    chord = np.sqrt(np.maximum(radius**2 - offsets**2, 0.0))
    return np.asarray(chord / np.sqrt(radius**2 - edge**2))


def _bump(offsets: Floats, *, edge: float, radius: float) -> Floats:
    """Return where amount is added, (offset,)."""
    return np.asarray(np.sin(np.pi * _part(offsets, edge=edge, radius=radius)) ** 2)


def _part(offsets: Floats, *, edge: float, radius: float) -> Floats:
    """Return how far each offset is from the window's end (0) to the sample's edge (1)."""
    return np.asarray(np.clip((np.abs(offsets) - abs(edge)) / (radius - abs(edge)), 0.0, 1.0))


def _extended(inner: Singles, low: Floats, high: Floats) -> Singles:
    """Return the array with multiples of its first and its last ray on either side."""
    before = inner[:, :1] * low[:, None].astype(np.float32)
    after = inner[:, -1:] * high[:, None].astype(np.float32)
    return np.concatenate([before, inner, after], axis=1)


def _checked_amount(amount: ArrayLike, sinogram: Sinogram) -> Floats:
    whole = np.asarray(amount, dtype=np.float64)
    if whole.shape != sinogram.two_theta_rad.shape:
        raise InputError(
            f"amount must have one value for each of {sinogram.two_theta_rad.size} channels, "
            f"not the shape {whole.shape}."
        )
    return whole
