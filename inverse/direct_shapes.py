"""The few shapes by which measured and modelled patterns are compared, and the noise they carry.

With the weights 1/σ_c of the channels, smoothed so that strong lines are not passed over in favour
of their flanks, the patterns of the phase over its lattice parameter, background taken off, span
nearly few dimensions: their leading singular vectors V. A pattern y is kept as

    k = Vᵀ·P·(y/σ),        P = 1 − Q·Qᵀ,

with Q spanning the background, and the phase as the curve C(a) = Vᵀ·P·(f(a)/σ). What is left out
of f(a) is left out of both sides of the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from inverse.lanes import LANES
from inverse.refine import LatticeModel
from inverse.sinogram import Sinogram
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

_SMOOTHED_DEG = 0.8
"""Width over which the weights are smoothed: about the distance of the lines."""
_EVERY = 10
"""Rays and angles that are looked at for the mean noise."""
_LEAST_SHAPES = 4
_LEAST_EIGENVALUE = 1e-6
"""Of the covariance of misfits, relative to the largest: what rounding leaves of an empty shape."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """A phase's patterns by a few coefficients."""

    a_A: Floats
    """Uniform grid of lattice parameters, (node,)."""
    curve: Singles
    """Coefficients of 1 µm of the pure phase at each, (node, shape); shapes are padded with zeros
    to whole vector registers."""
    from_channels: Singles
    """What turns patterns into coefficients, (channel, shape); zero for unmeasured channels."""

    @property
    def filled(self) -> Bools:
        """Which shapes are not padding, (shape,)."""
        return np.asarray(np.any(self.curve != 0.0, axis=0))

    @property
    def strength(self) -> float:
        """Mean length of the coefficients of 1 µm."""
        return float(np.mean(np.linalg.norm(self.curve, axis=1)))

    @property
    def answering_A(self) -> float:
        """Change of the lattice parameter that changes the pattern by its own length, linearly."""
        slopes = np.linalg.norm(np.diff(self.curve, axis=0), axis=1) / (self.a_A[1] - self.a_A[0])
        return self.strength / float(np.mean(slopes))

    def coefficients(self, values: Singles) -> Singles:
        """Return the coefficients (…, shape) of patterns (…, channel); NaN counts as nothing."""
        used = np.any(self.from_channels != 0.0, axis=1)
        kept = values[..., used] @ self.from_channels[used]
        return np.asarray(kept, dtype=np.float32)

    def whitened(self, covariance: Floats) -> Shapes:
        """Return shapes in which errors of this covariance are alike in every direction.

        covariance (shape, shape), of those shapes that are not padding. The mean strength stays.
        """
        filled = self.filled
        size, directions = np.linalg.eigh(covariance)
        size = np.maximum(size, _LEAST_EIGENVALUE * size[-1])
        mapping = np.zeros((filled.size, filled.size))
        mapping[np.ix_(filled, filled)] = (directions / np.sqrt(size)) @ directions.T
        scaled = mapping * (self.strength / np.mean(np.linalg.norm(self.curve @ mapping, axis=1)))
        single = scaled.astype(np.float32)
        return replace(self, curve=self.curve @ single, from_channels=self.from_channels @ single)


def shapes_of(
    model: LatticeModel,
    *,
    sinogram: Sinogram,
    n_fixed: int,
    a_min_A: float,
    a_max_A: float,
    n_coefficients: int,
) -> Shapes:
    """Return the shapes of the refined phase between two lattice parameters.

    The first ``n_fixed`` of the model's linear patterns are other phases, the rest background.
    Of so few templates that they cannot have ``n_coefficients`` shapes, as many as there are.
    Raises InputError where too little of the lattice range is left, or no channel has a variance.
    """
    within = (model.a_A >= a_min_A) & (model.a_A <= a_max_A)
    weight = channel_weights(sinogram)
    n_shapes = min(n_coefficients, int(within.sum()))
    if n_shapes < _LEAST_SHAPES:
        raise InputError(
            f"the direct method needs {_LEAST_SHAPES} lattice parameters to compare, but between "
            f"{model.a_A[0]:.4f} and {model.a_A[-1]:.4f} Å, where the recipe looks, there are "
            f"{n_shapes}"
        )
    if not weight.any():
        raise InputError(
            "The direct method needs channels whose counts have a variance above zero."
        )
    background, _ = np.linalg.qr((model.linear[n_fixed:] * weight).T)
    patterns = model.templates[within] * weight
    patterns -= (patterns @ background) @ background.T
    vectors = np.linalg.svd(patterns, full_matrices=False)[2][:n_shapes].T
    padding = ((0, 0), (0, -n_shapes % LANES))
    projected = vectors - background @ (background.T @ vectors)
    return Shapes(
        a_A=model.a_A[within],
        curve=np.ascontiguousarray(np.pad(patterns @ vectors, padding), dtype=np.float32),
        from_channels=np.pad(weight[:, None] * projected, padding).astype(np.float32),
    )


def channel_weights(sinogram: Sinogram) -> Floats:
    """Return 1/σ of each channel, of the smoothed mean variance; zero if not measured."""
    mean = mean_variance(sinogram)
    used = mean > 0.0
    spacing_deg = float(np.rad2deg(sinogram.two_theta_rad[1] - sinogram.two_theta_rad[0]))
    width = max(3, round(_SMOOTHED_DEG / spacing_deg))
    total = uniform_filter1d(np.where(used, mean, 0.0), width, mode="constant")
    share = uniform_filter1d(used.astype(np.float64), width, mode="constant")
    smooth = total / np.maximum(share, 1.0 / width)
    return np.where(used, 1.0 / np.sqrt(np.where(used, smooth, 1.0)), 0.0)


def mean_variance(sinogram: Sinogram) -> Floats:
    """Return the mean variance of each channel over some rays, (channel,); zero if not measured."""
    few = sinogram.variance[::_EVERY, ::_EVERY].astype(np.float64)
    mean = few.mean(axis=(0, 1))
    return np.where(np.isfinite(mean) & sinogram.measured_channels, np.maximum(mean, 0.0), 0.0)
