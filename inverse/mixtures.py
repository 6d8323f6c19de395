"""Random mixtures of the channels: a few sinograms that stand for all.

    mixture_m = Σ_c ±b_c/s_c / √C

with random signs and the scale s_c of each of the C channels. For any linear reconstruction with
residual r, the mean of ‖r_m‖² over the signs is the mean over the channels of ‖r_c‖²/s_c²: the
misfit of 64 mixtures tells that of 1000 channels, to 1/√64 of what differs between them, and
exactly on average (Achlioptas, J. Comput. Syst. Sci. 66 (2003) 671). With s_c the noise, the noise
variance of a ray in every mixture is the mean of v_c/s_c² over its channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def mixtures(
    sinogram: ArrayLike, *, n_mixtures: int, scale: ArrayLike | None = None, seed: int = 0
) -> Singles:
    """Return mixtures (angle, offset, mixture) of the channels of (angle, offset, channel).

    Channels that are NaN are left out. The ``scale`` (channel,) is by default the root mean square
    of each; channels of no scale are left out too.
    """
    lines = np.asarray(sinogram)
    n_channels = lines.shape[2]
    sizes = _root_mean_square(lines) if scale is None else np.asarray(scale, dtype=np.float64)
    used = measured_channels(lines) & (sizes > 0.0)
    if not used.any():
        raise InputError("the sinogram must have a channel that holds numbers.")
    rng = np.random.Generator(np.random.Philox(seed))
    signs = rng.choice([-1.0, 1.0], size=(n_channels, n_mixtures))
    norm = np.where(used, sizes, 1.0) * np.sqrt(np.count_nonzero(used))
    mixing = np.where(used[:, None], signs / norm[:, None], 0.0).astype(np.float32)
    return mixed(lines, mixing, used)


def mixed(lines: NDArray[np.generic], mixing: Singles, used: NDArray[np.bool_]) -> Singles:
    """Return lines·mixing, (angle, offset, mixture), projection by projection, of used channels."""
    result = np.empty((*lines.shape[:2], mixing.shape[1]), np.float32)
    for a in range(lines.shape[0]):
        result[a] = np.where(used, lines[a], 0.0).astype(np.float32) @ mixing
    return result


def measured_channels(lines: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which channels hold a number in some ray, (channel,)."""
    some = np.zeros(lines.shape[2], dtype=np.bool_)
    for projection in lines:
        some |= np.isfinite(projection).any(axis=0)
    return some


def _root_mean_square(lines: NDArray[np.generic]) -> Floats:
    total = np.zeros(lines.shape[2])
    for projection in lines:
        total += np.nansum(np.square(projection.astype(np.float64)), axis=0)
    return np.asarray(np.sqrt(total / (lines.shape[0] * lines.shape[1])))
