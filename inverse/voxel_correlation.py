"""How errors of neighbouring voxels of a map belong together, and what that does to sums of them.

White noise of the rays, filtered by |f|·w(f) and back projected with linear interpolation from all
sides, has in the image the correlation (f in cycles per step, r in steps)

    ρ(r) ∝ ∫ (1/f) · H(f)² · sinc⁴(f) · J₀(2π f r) · f df,   0 ≤ f < ∞,   ρ(0) = 1.

H is the filter, |f|·w(f) up to f = ½ and repeated with period 1, because it acts on samples; sinc²
is the transfer of linear interpolation; 1/f counts how densely projections lie in the plane of
frequencies. Next neighbours are correlated, those further away weakly against each other, and there
is little noise of long wavelength. In maps of lattice parameters errors are those of the images
times a factor that differs from voxel to voxel, which the esd of the voxel holds.

The variance of a sum Σ w_i a_i is then Σ_ij w_i σ_i ρ(r_ij) σ_j w_j, a convolution.

Source: Riederer, Pelizzari and Knop, Phys. Med. Biol. 23 (1978) 446, for the spectrum of noise in
back projected images.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.special import j0

from inverse.filters import KERNELS
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Correlation = str | float
"""The name of a filter of back projection, ``"none"``, or the standard deviation, in µm, of a
Gaussian ρ(r) = exp(−r²/2ℓ²)."""

_HIGHEST = 4.0
"""Frequency, in cycles per step, up to which is integrated: sinc⁴ is below 1e-4 from there on."""
_FREQUENCIES = 8000
_FARTHEST = 60
"""Steps at which the correlation ends: the tail, about −0.03/r³, adds nothing."""


@lru_cache(maxsize=8)
def _radial_table(filter_name: str) -> tuple[Floats, Floats]:
    """Return distances in steps and the correlation of errors so far apart."""
    f = (np.arange(_FREQUENCIES) + 0.5) * (_HIGHEST / _FREQUENCIES)
    shift = np.arange(-400, 401)
    kernel = KERNELS[filter_name](shift.astype(float))
    response = np.cos(2.0 * np.pi * np.outer(f, shift)) @ kernel
    power = response**2 * np.sinc(f) ** 4
    r = np.linspace(0.0, _FARTHEST, 40 * _FARTHEST + 1)
    table = np.array([np.sum(power * j0(2.0 * np.pi * f * distance)) for distance in r])
    return r, table / table[0]


def correlation_kernel(correlation: Correlation, *, step_um: float, reach: int) -> Floats:
    """Return ρ between a voxel and those up to ``reach`` voxels away, (2·reach + 1,) × 2.

    Raises InputError for a name that is no filter, or a length that is not positive.
    """
    line = np.arange(-reach, reach + 1)
    distance = np.hypot(line, line[:, None])
    if isinstance(correlation, str):
        if correlation == "none":
            return np.asarray((distance == 0.0).astype(float))
        if correlation not in KERNELS:
            raise InputError(
                f"correlation must be none, {', '.join(KERNELS)} or a length in µm, not "
                f"{correlation!r}."
            )
        return np.asarray(np.interp(distance, *_radial_table(correlation), right=0.0))
    if not 0.0 < correlation < np.inf:
        raise InputError(f"correlation must be a positive length in µm, not {correlation:g}.")
    return np.asarray(np.exp(-0.5 * (distance * step_um / correlation) ** 2))


def covariance_of_sums(
    weights: Floats, *, esd: Floats, correlation: Correlation, step_um: float
) -> Floats:
    """Return the covariance of the sums Σ w_i a_i, (sum, sum).

    weights (sum, y, x); esd (y, x), which counts only where a weight is not zero. Raises InputError
    as :func:`correlation_kernel` does.
    """
    used = np.any(weights != 0.0, axis=0)
    if not used.any():
        return np.zeros((len(weights), len(weights)))
    box = tuple(slice(int(n.min()), int(n.max()) + 1) for n in np.nonzero(used))
    scaled = np.where(used, weights * np.where(used, esd, 0.0), 0.0)[:, *box]
    reach = min(max(scaled.shape[1:]), _FARTHEST)
    kernel = correlation_kernel(correlation, step_um=step_um, reach=reach)
    spread = np.stack([fftconvolve(row, kernel, mode="same") if reach else row for row in scaled])
    found = np.einsum("kyx,lyx->kl", scaled, spread)
    return np.asarray(0.5 * (found + found.T))
