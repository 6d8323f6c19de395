"""How far the rings of one ray disagree, the mark of countable crystallites, and weights by it.

All rings of the refined phase see the same path. Where few crystallites reflect, each ring shows
as much more or less as happen to, independently of the others: with g reflecting crystallites of it
per µm of path s, the relative variance is 1/(g·s). The rings of every ray are fitted one by one,
made equally strong over all rays, and each one's path s_h is set against the mean s̄_h of the others
(s̄ of all). A sample of several phases makes rings disagree too, but nearly alike in neighbouring
projections k, in which other crystallites reflect:

    τ_h + Σ_j v_hj²·τ_j = Σ [½·(d_h,k − d_h,k−1)² − photon noise] / Σ s̄,      d_h = s_h − s̄_h,

in µm, with v_hj the weights in the mean s̄_h and τ ≥ 0, estimates of 1/g. No fit of the sample
enters. In the shapes of :mod:`inverse.direct_shapes` the patterns P_h(a) of a ring then err
together. Over a typical ray, of mean path ⟨s⟩ and lattice parameters spread as those found, shapes
have the covariance

    C = 1·(photon noise) + Σ_h τ_h·⟨s⟩·⟨P_h(a)·P_h(a)ᵀ⟩.

Multiplied by C^(−½), shapes are compared by generalised least squares, as far as rays are alike;
where no ring disagrees they stay as they were.

Source: PHYSICS 5 for the fluctuation; Aitken, Proc. R. Soc. Edinb. 55 (1936) 42, for the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.signal import find_peaks

from inverse.direct_shapes import Shapes, channel_weights, mean_variance
from inverse.refine import LatticeModel
from inverse.sinogram import Sinogram

Floats = NDArray[np.float64]

_LEAST_SHARE = 3e-3
"""Of the strongest ring's power: fainter ones are taken together with the next."""
_LEAST_RINGS = 3
"""With fewer there is nothing to set a ring against."""
_NEIGHBOURS = 2
"""Projections that it takes to compare two."""
_N_TYPICAL = 50
"""Lattice parameters that stand for all of the sample's."""
_LEAST_NOISE = 1e-12
"""Of the noisiest ring's: no ring has less."""
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Fluctuation:
    """How the rings of a scan's rays fluctuate."""

    bounds: NDArray[np.int64]
    """First channel of each ring, and the end of the last one, (ring + 1,)."""
    per_path_um: Floats
    """τ of the module's formula, (ring,)."""
    path_um: float
    """⟨s⟩, the mean path of the rays, each weighed by its path."""


def weighed(shapes: Shapes, sinogram: Sinogram, *, model: LatticeModel, a_A: Floats) -> Shapes:
    """Return the shapes weighed by how far the rings of a scan disagree.

    ``a_A`` (n,) are the lattice parameters that the sample seems to have.
    """
    found = fluctuation_of(sinogram, model=model, a_A=float(np.median(a_A)))
    typical_A = np.percentile(a_A, np.linspace(1.0, 99.0, _N_TYPICAL))
    return weighed_by_rings(shapes, found, sinogram=sinogram, model=model, a_A=typical_A)


def fluctuation_of(sinogram: Sinogram, *, model: LatticeModel, a_A: float) -> Fluctuation:
    """Return how far rings disagree, those of a phase of lattice parameter ``a_A`` throughout."""
    pattern = model.templates[int(np.argmin(np.abs(model.a_A - a_A)))]
    weight = channel_weights(sinogram)
    bounds = ring_bounds(pattern * weight)
    if bounds.size <= _LEAST_RINGS:
        return Fluctuation(bounds, np.zeros(bounds.size - 1), 0.0)
    rings = np.zeros((bounds.size - 1, pattern.size))
    for row, low, high in zip(rings, bounds[:-1], bounds[1:], strict=True):
        row[low:high] = pattern[low:high]
    design = np.concatenate([rings, model.linear]) * weight
    fitted = np.linalg.pinv(design)[:, : len(rings)] * weight[:, None]
    return disagreement(bounds, *_ring_paths(sinogram, fitted))


def ring_bounds(pattern: Floats) -> NDArray[np.int64]:
    """Return where the rings of a pattern (channel,) begin, and the end: the minima between lines.

    What holds less than `_LEAST_SHARE` of the strongest ring's power is added to the one above.
    """
    lows, _ = find_peaks(-pattern)
    ends = np.array([*lows, pattern.size], np.int64)
    power = np.diff(np.cumsum(np.concatenate([[0.0], pattern**2]))[np.array([0, *ends])])
    kept = ends[power > _LEAST_SHARE * power.max()]
    return np.concatenate([[0], kept[:-1], [pattern.size]]).astype(np.int64)


def _ring_paths(sinogram: Sinogram, fitted: Floats) -> tuple[Floats, Floats]:
    """Return path and its photon variance by every ring, (angle, offset, ring), by rising angle."""
    used = np.any(fitted != 0.0, axis=1) & sinogram.measured_channels
    matrix = fitted[used].astype(np.float32)
    order = np.argsort(sinogram.angles_rad)
    paths = [sinogram.values[k][:, used] @ matrix for k in order]
    noise = [np.nan_to_num(sinogram.variance[k][:, used]) @ matrix**2 for k in order]
    return np.stack(paths).astype(float), np.stack(noise).astype(float)


def disagreement(bounds: NDArray[np.int64], paths_um: Floats, noise_um2: Floats) -> Fluctuation:
    """Return the fluctuation that paths by every ring show, and their photon variances.

    Both (angle, offset, ring). How strong a ring is is never known exactly: over all rays each is
    taken to be as strong as the mean of all, each weighed by its noise.
    """
    total = paths_um.sum(axis=(0, 1))
    seen = total > 0.0
    mean_total = float(total @ _shares(noise_um2))
    if len(paths_um) < _NEIGHBOURS or mean_total <= 0.0:
        return Fluctuation(bounds, np.zeros(total.size), 0.0)
    ratio = np.where(seen, mean_total / np.where(seen, total, 1.0), 0.0)
    paths, noise = paths_um * ratio, noise_um2 * ratio**2
    shares = np.zeros(total.size)
    shares[seen] = _shares(noise[..., seen])
    mean = paths @ shares
    kept = np.maximum(mean, 0.0)
    of_others = np.where(np.eye(total.size, dtype=bool), 0.0, shares)
    of_others /= np.maximum(of_others.sum(axis=1), _TINY)[:, None]
    steps = np.diff(paths - paths @ of_others.T, axis=0)
    photons = (noise + noise @ of_others.T**2).mean(axis=(0, 1))
    excess = np.sum(0.5 * steps**2 - photons, axis=(0, 1)) / np.maximum(mean[1:].sum(), _TINY)
    # What a ring is set against fluctuates too.
    own, _ = nnls(np.eye(total.size) + of_others**2, np.where(seen, excess, 0.0))
    return Fluctuation(
        bounds, np.where(seen, own, 0.0), float(np.sum(kept**2) / max(float(kept.sum()), _TINY))
    )


def _shares(noise_um2: Floats) -> Floats:
    """Return the weights of the rings in their mean, by their mean noise, (ring,)."""
    noise = noise_um2.mean(axis=(0, 1))
    precision = 1.0 / np.maximum(noise, max(_LEAST_NOISE * float(noise.max()), _TINY))
    return np.asarray(precision / precision.sum())


def weighed_by_rings(
    shapes: Shapes,
    fluctuation: Fluctuation,
    *,
    sinogram: Sinogram,
    model: LatticeModel,
    a_A: Floats,
) -> Shapes:
    """Return the shapes times C^(−½); ``a_A`` (n,) are lattice parameters that the sample has."""
    back = shapes.from_channels.astype(np.float64)
    filled = np.flatnonzero(shapes.filled)
    photons = (back[:, filled] ** 2).T @ mean_variance(sinogram)
    covariance = float(photons.mean()) * np.eye(filled.size)
    nodes = np.abs(model.a_A[:, None] - a_A).argmin(axis=0)
    bounds = fluctuation.bounds
    for low, high, tau in zip(bounds[:-1], bounds[1:], fluctuation.per_path_um, strict=True):
        shown = model.templates[nodes, low:high] @ back[low:high, filled]
        covariance += tau * fluctuation.path_um * (shown.T @ shown) / nodes.size
    return shapes.whitened(covariance)
