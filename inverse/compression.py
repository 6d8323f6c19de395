"""Patterns by a few coefficients, at a stated and checked loss.

The patterns of a scan are mixtures of few shapes: those of a phase over its lattice parameters and
a background. In units of the mean noise σ of each channel they lie near a space of K dimensions,
spanned by orthonormal rows Q (K, channel). A pattern y is kept by K coefficients,

    k = Q·(y/σ),        y ≈ σ·(Qᵀ·k),

the weighted least-squares fit of the shapes. The coefficients of a ray have the covariance
Q·diag(v/σ²)·Qᵀ, the unit matrix times the ray's share of noise as far as its noise has the shape of
the mean. The map is the same for every ray, so it commutes with every linear reconstruction.

What is lost of a pattern, l = y/σ − Qᵀ·k, does not matter to a least-squares fit with the weights
1/σ² if the derivatives by its parameters lie in the space, whatever l is: it is orthogonal to them.
If they lie in it but for a share ε of their length, no parameter moves by more than ε·|l| standard
uncertainties, by Schwarz's inequality, and by about ε if l is noise. Hence the rule: of every
pattern of the model, and of its derivative by the lattice parameter, no more than a stated share
may be lost, background taken off. Where the model misfits l is longer: :func:`residual` tells.

What the model does not contain (other phases, parallax) can be searched in the data, as directions
in which what is left of the rays varies by more than noise, if a later step is to see it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.geometry import checked_stack
from inverse.mixtures import measured_channels, mixed
from inverse.refine import LatticeModel
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LOSS = 0.02
"""Largest share of the length of a pattern of the model, or its derivative, by default."""

_SAMPLE = 16000
"""Rays that are searched for what the model does not contain, half to find it, half to check."""
_MOST_FOUND = 60
"""Directions that are looked for in the data."""
_SIGNIFICANCE = 5.0
"""Standard deviations by which a direction must vary beyond noise; one in 1e6 does by chance."""


@dataclass(frozen=True, eq=False)
class Compression:
    """The shapes that patterns are made of."""

    whitened: Floats
    """Q, orthonormal, (coefficient, channel); zero in channels that were not measured."""
    noise: Floats
    """σ, (channel,); NaN in channels that were not measured."""
    n_model: int
    """How many of the coefficients come from the model; the others were found in the data."""
    loss: float
    """Largest share that is lost of a pattern of the model or its derivative; 0 without a model."""
    sensitivity: float
    """Smallest variation of the data, in standard deviations, that a search would have found;
    infinite where nothing was searched."""

    def compress(self, values: ArrayLike) -> Singles:
        """Return the coefficients, (…, coefficient), of patterns (…, channel).

        Patterns that are all NaN have none. Raises InputError for those that are NaN in part.
        """
        return _applied(values, (self.whitened / _filled(self.noise)).T, _known(self.noise))

    def compress_variance(self, variance: ArrayLike) -> Singles:
        """Return the variance of each coefficient, as :meth:`compress`, without covariances."""
        squares = np.square(self.whitened / _filled(self.noise)).T
        return _applied(variance, squares, _known(self.noise))

    def expand(self, coefficients: ArrayLike) -> Singles:
        """Return the patterns (…, channel); channels that were not measured are NaN."""
        return np.asarray(coefficients, np.float32) @ (self.whitened * self.noise).astype(
            np.float32
        )

    def model(self, model: LatticeModel) -> LatticeModel:
        """Return the model whose patterns are coefficients, for refining them in their place."""
        forward = (self.whitened / _filled(self.noise)).T
        return replace(model, templates=model.templates @ forward, linear=model.linear @ forward)


@dataclass(frozen=True, eq=False)
class Residual:
    """What a compression leaves of a sinogram, over its noise."""

    of_rays: Singles
    """χ² by degree of freedom, (angle, offset); 1 where nothing but noise is lost."""
    of_channels: Floats
    """Mean squared residual over its expectation, (channel,); NaN where not measured."""
    uncertainty: float
    """Of χ² by degree of freedom of a ray, √(2/dof), if its noise is normal."""


def compression(
    sinogram: ArrayLike,
    *,
    variance: ArrayLike,
    model: LatticeModel | None = None,
    loss: float = LOSS,
    search: bool = False,
    seed: int = 0,
) -> Compression:
    """Return the shapes that the patterns of a sinogram are made of.

    sinogram and variance (angle, offset, channel); the patterns of the ``model`` are kept, in any
    mixture, up to ``loss``; with ``search``, what more is found in the data is kept as well.

    Raises InputError where shapes do not agree, the loss is no share between 0 and 1, or neither a
    model nor a search is asked for.
    """
    lines = checked_stack(sinogram, name="sinogram", axes="(angle, offset, channel)")
    variances = checked_stack(variance, name="variance", axes="(angle, offset, channel)")
    if lines.shape != variances.shape:
        raise InputError(
            f"variance must have the shape {lines.shape} of the sinogram, not {variances.shape}."
        )
    if model is None and not search:
        raise InputError("compression must have a model, or search the data, but has neither.")
    if not 0.0 < loss < 1.0:
        raise InputError(f"loss must be above 0 and below 1, not {loss}.")
    noise = _mean_noise(lines, variances)
    shapes, lost = np.zeros((0, lines.shape[2])), 0.0
    if model is not None:
        shapes, lost = _model_shapes(model, noise, loss)
    n_model, sensitivity = len(shapes), float("inf")
    if search:
        shapes, sensitivity = _searched(lines, variances, shapes, noise, seed)
    return Compression(
        whitened=shapes, noise=noise, n_model=n_model, loss=lost, sensitivity=sensitivity
    )


def residual(compressed: Compression, sinogram: ArrayLike, *, variance: ArrayLike) -> Residual:
    """Return how far a sinogram is from what its coefficients say, over its noise.

    The variance of a value is taken as that of its ray times that of its channel (means over the
    other), since that of a single value is no better known than itself in few counts.
    """
    lines, variances = np.asarray(sinogram), np.asarray(variance)
    known = _known(compressed.noise)
    noise = _filled(compressed.noise)
    share = ray_noise(compressed, variances)
    dof = np.count_nonzero(known) - len(compressed.whitened)
    of_rays = np.empty(lines.shape[:2], np.float32)
    total, expected = np.zeros(lines.shape[2]), 0.0
    for a, projection in enumerate(lines):
        white = np.where(known, projection, 0.0) / noise
        rest = white - (white @ compressed.whitened.T) @ compressed.whitened
        used = share[a] > 0.0
        scale = np.where(used, share[a], np.nan)
        of_rays[a] = np.square(rest).sum(axis=1) / (scale * dof)
        total += np.square(rest[used]).sum(axis=0)
        expected += float(share[a][used].sum())
    freedom = 1.0 - np.square(compressed.whitened).sum(axis=0)
    of_channels = np.where(known & (freedom > 0.0), total / np.maximum(freedom, 1e-9), np.nan)
    return Residual(
        of_rays=of_rays, of_channels=of_channels / expected, uncertainty=float(np.sqrt(2.0 / dof))
    )


def ray_noise(compressed: Compression, variance: ArrayLike) -> Singles:
    """Return the variance of each ray's coefficients, (angle, offset), as one for all of them."""
    known = _known(compressed.noise)
    weight = np.where(known, 1.0 / _filled(compressed.noise) ** 2, 0.0) / np.count_nonzero(known)
    return mixed(np.asarray(variance), weight[:, None].astype(np.float32), known)[..., 0]


def _applied(values: ArrayLike, matrix: Floats, known: NDArray[np.bool_]) -> Singles:
    """Return values·matrix over the known channels, a slab at a time where there are many."""
    given = np.asarray(values)
    single = matrix.astype(np.float32)
    if given.ndim == 3:
        result = mixed(given, single, known)
    else:
        result = np.where(known, given, 0.0).astype(np.float32) @ single
    bad = np.isnan(result[..., 0])
    partly = np.isfinite(given[bad][..., known]).any(axis=-1)
    if partly.any():
        raise InputError(
            f"patterns must hold numbers in all measured channels or in none, but "
            f"{np.count_nonzero(partly)} hold them in some: fill the others in first."
        )
    return result


def _known(noise: Floats) -> NDArray[np.bool_]:
    return np.isfinite(noise)


def _filled(noise: Floats) -> Floats:
    return np.where(np.isfinite(noise), noise, 1.0)


def _mean_noise(lines: NDArray[np.generic], variances: NDArray[np.generic]) -> Floats:
    """Return the root of the mean variance of each channel; NaN where there is none."""
    known = measured_channels(lines)
    total = np.zeros(lines.shape[2])
    for projection in variances:
        total += np.nansum(projection.astype(np.float64), axis=0)
    mean = total / (lines.shape[0] * lines.shape[1])
    if not np.any(known & (mean > 0.0)):
        raise InputError("the sinogram must have channels that hold numbers, with noise.")
    return np.where(known & (mean > 0.0), np.sqrt(mean), np.nan)


def _model_shapes(model: LatticeModel, noise: Floats, loss: float) -> tuple[Floats, float]:
    """Return orthonormal shapes of the model, and the largest share that they lose of a pattern."""
    if model.templates.shape[1] != len(noise):
        raise InputError(
            f"the model must have the {len(noise)} channels of the sinogram, "
            f"not {model.templates.shape[1]}."
        )
    known, filled = _known(noise), _filled(noise)
    linear = np.where(known, model.linear / filled, 0.0)
    templates = np.where(known, model.templates / filled, 0.0)
    fixed = np.linalg.qr(linear.T)[0].T
    both = np.concatenate([templates, np.gradient(templates, axis=0)])
    both -= (both @ fixed.T) @ fixed
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    _, _, shapes = np.linalg.svd(both, full_matrices=False)
    # Squared length of what the first n shapes leave of each, for every n.
    left = np.cumsum(np.square(both @ shapes.T)[:, ::-1], axis=1)[:, ::-1].max(axis=0)
    lost = np.sqrt(np.append(left, 0.0))
    rank = int(np.argmax(lost <= loss))
    return np.concatenate([fixed, shapes[:rank]]), float(lost[rank])


def _searched(
    lines: NDArray[np.generic],
    variances: NDArray[np.generic],
    shapes: Floats,
    noise: Floats,
    seed: int,
) -> tuple[Floats, float]:
    """Return the shapes, with those added in which the rest of the data varies beyond noise.

    Directions are found on one half of a sample of the rays, and kept where their variation in the
    other half says they are not made of noise.
    """
    known, filled = _known(noise), _filled(noise)
    rng = np.random.Generator(np.random.Philox(seed))
    n_rays = lines.shape[0] * lines.shape[1]
    chosen = np.sort(rng.permutation(n_rays)[:_SAMPLE])
    a, i = np.divmod(chosen, lines.shape[1])
    white = np.where(known, lines[a, i], 0.0) / filled
    share = np.where(known, variances[a, i], 0.0) / filled**2
    some = np.all(np.isfinite(white), axis=1)
    white, share = white[some], share[some]
    white -= (white @ shapes.T) @ shapes
    half = rng.random(len(white)) < 0.5
    _, _, found = np.linalg.svd(white[half], full_matrices=False)
    found = found[:_MOST_FOUND]
    variation = np.square(white[~half] @ found.T).mean(axis=0)
    own = (share[~half] @ np.square(found).T).mean(axis=0)
    threshold = _SIGNIFICANCE * np.sqrt(2.0 / np.count_nonzero(~half))
    kept = found[variation > own * (1.0 + threshold)]
    return np.concatenate([shapes, kept]), float(np.sqrt(threshold))
