"""How large is the error of a reconstructed map? Its own roughness tells.

Streaks of undersampled angles and of what lies outside the field of view vary from pixel to pixel,
as no lattice parameter inside a particle does. The mixed second difference over every other pixel,

    r = Σ k_ij m(y + 2i, x + 2j) / 6,    k = (1, −2, 1) ⊗ (1, −2, 1),  i, j = −1, 0, 1,

vanishes on every surface p(x) + q(y) + c·x·y, and for independent errors of standard deviation σ
has standard deviation σ itself. Every *other* pixel, because interpolation correlates neighbours;
two pixels apart their errors are nearly independent. Where pixels are half a step wide, every
fourth takes the place of every other. Only patches that hold the whole operator, 5 × 5 pixels or
9 × 9, and are full of material count, so that no border between particles does, and σ is taken from
the median of |r|.

A streak of given strength shifts a line the more the less material answers it: the error of a
lattice parameter is scaled with 1/amount.

What is smooth over such a patch (blur, parallax, a halo) is not seen.

Source: Immerkær, Comput. Vis. Image Underst. 64 (1996) 300, for the operator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, minimum_filter

from xrdct.normal import spread_about_zero

Floats = NDArray[np.float64]
_FULL_SHARE = 0.5
"""Of the amount that a tenth of the material exceeds: what counts as full of material."""
_FEWEST_PATCHES = 50
APART = 2
"""Pixels from one independent error to the next, where a pixel is a step wide."""


def full_patches(amount: Floats, *, apart: int = APART) -> NDArray[np.bool_]:
    """Return the pixels about which a patch is full of material (NaN counts as empty).

    A patch reaches ``apart`` pixels to every side.
    """
    present = np.nan_to_num(amount)
    if not np.any(present > 0.0):
        return np.zeros(amount.shape, bool)
    typical = np.percentile(present[present > 0.0], 90.0)
    least = minimum_filter(present, 2 * apart + 1, mode="constant", cval=0.0)
    return np.asarray(least > _FULL_SHARE * typical)


def rough_error(values: Floats, *, patches: NDArray[np.bool_], apart: int = APART) -> float:
    """Return the standard deviation of errors ``apart`` pixels from each other, 0 if too few."""
    if patches.sum() < _FEWEST_PATCHES:
        return 0.0
    stencil = np.zeros((2 * apart + 1, 2 * apart + 1))
    stencil[::apart, ::apart] = np.outer((1.0, -2.0, 1.0), (1.0, -2.0, 1.0)) / 6.0
    difference = convolve(np.nan_to_num(values), stencil, mode="constant")
    return spread_about_zero(difference[patches])


def lattice_error_A(a_A: Floats, *, amount: Floats, apart: int = APART) -> Floats:
    """Return the estimated error of each pixel's lattice parameter, c/amount, shape (y, x).

    ``amount`` is the volume fraction. c is the roughness of a, times the median amount there.
    """
    patches, apart = _enough_patches(np.where(np.isfinite(a_A), amount, 0.0), apart)
    error = rough_error(a_A, patches=patches, apart=apart)
    strength = error * float(np.median(amount[patches])) if patches.any() else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(strength / amount)


def amount_error(amount: Floats, *, apart: int = APART) -> float:
    """Return the estimated error of a map of amounts, the same for every pixel."""
    patches, apart = _enough_patches(amount, apart)
    return rough_error(amount, patches=patches, apart=apart)


def _enough_patches(amount: Floats, apart: int) -> tuple[NDArray[np.bool_], int]:
    """Return full patches, half as wide where there are too few, and how far apart pixels are.

    Errors of neighbours are alike, so that narrower patches tell too little of them, but something.
    """
    patches = full_patches(amount, apart=apart)
    while patches.sum() < _FEWEST_PATCHES and apart > 1:
        apart //= 2
        patches = full_patches(amount, apart=apart)
    return patches, apart
