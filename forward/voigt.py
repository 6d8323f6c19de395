"""Channel averages of a Voigt line seen through square pixels and binned into channels.

A pixel integrates the line over its own width, and a channel collects the pixels whose centres lie
in it: the recorded profile is the Voigt function convolved with a box of one pixel and a box of
one channel. Both boxes are narrower than the line; three Gauss–Legendre nodes each are exact to
the fifth moment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import voigt_profile

from forward.resolution import RingWidths

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)


def channel_profile(
    two_theta_rad: NDArray[np.float64],
    *,
    position_rad: NDArray[np.float64],
    widths: RingWidths,
    channel_width_rad: float,
    reach_rad: float,
) -> NDArray[np.float64]:
    """Return the mean profile in each channel, 1/rad, shape (state, channel).

    ``two_theta_rad`` are uniform channel centres, shape (channel,); ``position_rad`` one line's
    position for each state, shape (state,), like each field of ``widths``. Further than
    ``reach_rad`` from the line only its Lorentzian tail is computed, γ/(π Δ²)·(1 + …), which there
    differs from the Voigt function by less than 3 (σ/Δ)².
    """
    hwhm = widths.lorentzian_hwhm_rad[:, None]
    distance = two_theta_rad[None, :] - position_rad[:, None]
    profile = hwhm / (np.pi * (distance**2 + hwhm**2))
    near = (two_theta_rad > position_rad.min() - reach_rad) & (
        two_theta_rad < position_rad.max() + reach_rad
    )
    if not near.any():
        return profile
    core = np.zeros((position_rad.size, int(near.sum())))
    sigma = np.broadcast_to(widths.gaussian_sigma_rad[:, None], core.shape)
    for pixel_node, pixel_weight in zip(_NODES, _WEIGHTS, strict=True):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            shift = 0.5 * (pixel_node * widths.pixel_rad[:, None] + node * channel_width_rad)
            core += 0.25 * pixel_weight * weight * voigt_profile(
                distance[:, near] + shift, sigma, hwhm
            )  # fmt: skip
    profile[:, near] = core
    return profile
