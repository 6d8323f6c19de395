"""Refine the sinogram first, and reconstruct what is additive: the other order of the two.

A ray's pattern y (channel) is a mixture of many lattice parameters, so that a ray has none of its
own. What adds up along it are amounts: y = Σ_a m(a)·f(a) + Σ_k b_k·B_k, with the templates f and
the linear patterns B of a :class:`~inverse.refine.LatticeModel`, and every amount in µm. With one
weight per channel for all rays, the inverse of its mean variance, the least-squares results of a
ray are its coefficients z along a basis of all of them (:mod:`inverse.compression`). Amounts,
moments of m(a) and the fit itself are functions of z, so z is what is reconstructed, a few tens of
images instead of a thousand channels.

A voxel's results come from its z in one of two ways:

``fit``: refined as a pattern would be, with the templates' own z. Where the variance of a voxel is
the mean one times a number, this is the fit of all channels, and loses nothing but the misfit off
the basis; otherwise the correlations of z are left out, and esd are those of the mean's shape.

``moments``: a = m₁/m₀, the moments being linear functionals u·z of the phase's part of z, with u of
least mean |u·z(a) − aⁿ|² + λ|u|² over the lattice parameters that occur (as fits tell), λ being the
variance of a voxel's z over the square of an amount. Two lattices count with their amounts. Both
orders give the same moments, as everything is linear. A trace of a lattice far away counts with its
distance, where a fit would hardly feel it: streaks do more harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inverse.compression import LOSS, Compression, compression
from inverse.reconstruct import Reconstruction, filtered_back_projection
from inverse.refine import LatticeModel, Refinement, Status, refine
from inverse.refine_kernel import interpolated
from inverse.shared import Shared, refine_shared
from inverse.sinogram import Sinogram
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Estimate = Literal["fit", "moments"]
Reconstruct = Callable[[Singles, Singles], Reconstruction]
"""Turns values and variances (angle, offset, k) into images of both (iy, ix, k)."""

_THINNED = 4
"""Every fourth template of the other models: the span of those between is the same."""
_EXTREME_PERCENT = 5.0
_SAMPLED_RAYS = 4000
"""From which the mean variance is taken."""
_SIZES_NM = (30.0, 1000.0)
_STRAINS = (0.0, 2e-3)
_B_ISO_CHANGES_A2 = (-0.5, 0.5)
_RARE_PERCENT = 0.5
"""Of fitted voxels, at either end, whose lattice parameters moments need not be right for,"""
_MARGIN_A = 0.02
"""apart from those so near to the others: the range costs noise."""


@dataclass(frozen=True, eq=False)
class AdditiveSinogram:
    """Refined rays: amounts that add up along a ray."""

    coefficients: Singles
    """z of the module's text, shape (angle, offset, k)."""
    variance: Singles
    """Of each, same shape; z of one ray are nearly uncorrelated, and their variances near 1."""
    basis: Compression
    """What the coefficients are of; turns a model of patterns into one of z."""


def additive_results(
    sinogram: Sinogram,
    *,
    model: LatticeModel,
    spanned: Sequence[LatticeModel] = (),
    loss: float = LOSS,
) -> AdditiveSinogram:
    """Return the additive results of every ray for the patterns of a model.

    Templates of the models in ``spanned`` (other widths of lines, say) are in the basis as well, so
    that these models too can be refined from the same z; all have the linear patterns of ``model``.
    No template or derivative loses more than the share ``loss`` of its length.

    Raises InputError where a model has not the channels of the sinogram.
    """
    n_channels = sinogram.values.shape[2]
    for other in spanned:
        if other.templates.shape[1] != n_channels:
            raise InputError(
                f"models must have the {n_channels} channels of the sinogram, "
                f"not {other.templates.shape[1]}."
            )
    joined = replace(
        model,
        templates=np.concatenate([model.templates, *(m.templates[::_THINNED] for m in spanned)]),
    )
    rays = _filled_rays(sinogram)
    basis = compression(
        sinogram.values[rays][:, None], variance=sinogram.variance[rays][:, None],
        model=joined, loss=loss,
    )  # fmt: skip
    return AdditiveSinogram(
        coefficients=basis.compress(sinogram.values),
        variance=basis.compress_variance(sinogram.variance),
        basis=basis,
    )


def _filled_rays(sinogram: Sinogram) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return angles and offsets of rays with more variance than most, a sample of them.

    Rays beside the sample say nothing of the voxels that will be refined; neither do a few of
    extreme variance, which must not set the standard, so that quantiles do.
    """
    used = sinogram.measured_channels
    total = np.stack([projection[:, used].sum(axis=1) for projection in sinogram.variance])
    low, high = np.percentile(total, [_EXTREME_PERCENT, 100.0 - _EXTREME_PERCENT])
    filled = (total >= 0.5 * (low + high)) & (total <= high + (high - low))
    angle, offset = np.nonzero(filled)
    some = slice(None, None, -(-angle.size // _SAMPLED_RAYS))
    return angle[some], offset[some]


def refine_first(
    sinogram: Sinogram,
    *,
    model: LatticeModel,
    reconstruct: Reconstruct | None = None,
    estimate: Estimate = "fit",
    min_scale: float = 0.0,
    loss: float = LOSS,
    workers: int | None = None,
) -> tuple[Refinement, NDArray[np.bool_]]:
    """Refine rays, reconstruct, and return the results of the measured voxels and which they are.

    ``reconstruct`` is by default filtered back projection with its default filter; voxels are those
    (iy, ix) where it returns numbers. χ² is that of z, which knows misfit along the basis only.

    Raises InputError as :func:`additive_results` and :func:`~inverse.refine.refine` do, and for an
    unknown estimate.
    """
    if estimate not in ("fit", "moments"):
        raise InputError(f"a voxel is refined by 'fit' or by 'moments', not by {estimate!r}.")
    found = additive_results(sinogram, model=model, loss=loss)
    values, variance, measured = _voxels(found, reconstruct or filtered(sinogram, workers=workers))
    compressed = found.basis.model(model)
    refined = refine(
        values, variance=variance, model=compressed, min_scale=min_scale, workers=workers
    )
    if estimate == "fit":
        return refined, measured
    return refined_by_moments(values, variance=variance, model=compressed, fitted=refined), measured


def shared_first(
    sinogram: Sinogram,
    *,
    build: Callable[[Shared], LatticeModel],
    start: Shared,
    reconstruct: Reconstruct | None = None,
    workers: int | None = None,
) -> Shared:
    """Return the parameters that all voxels share, refined from the additive results of rays.

    As :func:`~inverse.shared.refine_shared` does from patterns; the basis spans narrow and wide
    lines, weak and strong damping.

    Raises InputError as :func:`additive_results` does.
    """
    spanned = [build(Shared(*corner)) for corner in product(_SIZES_NM, _STRAINS, _B_ISO_CHANGES_A2)]
    found = additive_results(sinogram, model=build(start), spanned=spanned)
    values, variance, _ = _voxels(found, reconstruct or filtered(sinogram, workers=workers))
    return refine_shared(
        values,
        variance=variance,
        build=lambda shared: found.basis.model(build(shared)),
        start=start,
        workers=workers,
    )


def _voxels(
    found: AdditiveSinogram, reconstruct: Reconstruct
) -> tuple[Singles, Singles, NDArray[np.bool_]]:
    """Return z of the measured voxels and their variance, (voxel, k), and which they are."""
    image = reconstruct(found.coefficients, found.variance)
    if image.variance is None:
        raise InputError("a reconstruction must return variances for its voxels to be refined.")
    measured = np.asarray(np.isfinite(image.values[..., 0]))
    return image.values[measured], image.variance[measured], measured


def filtered(sinogram: Sinogram, *, workers: int | None = None) -> Reconstruct:
    """Return filtered back projection with the geometry of a sinogram."""

    def reconstruct(values: Singles, variance: Singles) -> Reconstruction:
        return filtered_back_projection(
            values,
            variance=variance,
            angles_rad=sinogram.angles_rad,
            step_um=sinogram.step_um,
            axis_offset_um=sinogram.axis_offset_um,
            workers=workers,
        )

    return reconstruct


def refined_by_moments(
    values: Singles, *, variance: Singles, model: LatticeModel, fitted: Refinement
) -> Refinement:
    """Return amounts and lattice parameters as moments, for the voxels that could be fitted.

    values and variance (voxel, k), a compressed model; the linear patterns get what the phase, as
    one lattice, leaves. The esd take z as uncorrelated.
    """
    good = fitted.status == Status.CONVERGED
    functionals, centre_A, unit_A = _functionals_for(
        model,
        occurring_A=fitted.a_A[good],
        noise=float(np.median(variance[good])) if good.any() else 1.0,
        amount=float(np.median(fitted.scale[good])) if good.any() else 1.0,
    )
    z, error = values.astype(np.float64), variance.astype(np.float64)
    amount, first = functionals @ z.T
    position = first / np.where(amount > 0.0, amount, np.nan)
    a_A = centre_A + unit_A * position
    good &= (a_A >= model.a_A[0]) & (a_A <= model.a_A[-1])
    slopes = functionals[1] - position[:, None] * functionals[0]
    a_esd_A = unit_A * np.sqrt((slopes**2 * error).sum(axis=1)) / amount
    spacing_A = float(np.ptp(model.a_A)) / (len(model.a_A) - 1)
    phase = amount[:, None] * interpolated(model.templates, (a_A - model.a_A[0]) / spacing_A)
    linear = (z - phase) @ np.linalg.pinv(model.linear)
    misfit = (z - phase - linear @ model.linear) ** 2 / np.where(error > 0.0, error, np.nan)
    freedom = max(z.shape[1] - len(model.linear) - 2, 1)
    lost = (fitted.status == Status.CONVERGED) & ~good

    def kept(result: Floats) -> Floats:
        return np.where(good if result.ndim == 1 else good[:, None], result, np.nan)

    return Refinement(
        a_A=kept(a_A),
        a_esd_A=kept(a_esd_A),
        scale=kept(amount),
        scale_esd=kept(np.sqrt(error @ functionals[0] ** 2)),
        linear=kept(linear),
        chi2_reduced=kept(misfit.sum(axis=1) / freedom),
        status=np.where(lost, Status.AT_LIMIT, fitted.status).astype(np.int8),
    )


def _functionals_for(
    model: LatticeModel, *, occurring_A: Floats, noise: float, amount: float
) -> tuple[Floats, float, float]:
    """Return functionals of z for the moments 0 and 1 of (a − centre)/unit, centre and unit."""
    near = _occurring(model.a_A, occurring_A)
    centre_A, unit_A = float(model.a_A[near].mean()), 0.5 * float(np.ptp(model.a_A[near]))
    linear, _ = np.linalg.qr(model.linear.T)
    templates = model.templates[near]
    functionals = moment_functionals(
        templates - (templates @ linear) @ linear.T,
        moments=np.stack([np.ones(near.sum()), (model.a_A[near] - centre_A) / unit_A]),
        noise=noise / amount**2,
    )
    return functionals, centre_A, unit_A


def _occurring(a_A: Floats, fitted_A: Floats) -> NDArray[np.bool_]:
    """Return which lattice parameters the functionals must be right for: those that occur."""
    if fitted_A.size == 0:
        return np.ones(a_A.size, dtype=np.bool_)
    low, high = np.percentile(fitted_A, [_RARE_PERCENT, 100.0 - _RARE_PERCENT])
    return np.asarray((a_A >= low - _MARGIN_A) & (a_A <= high + _MARGIN_A))


def moment_functionals(templates: Floats, *, moments: Floats, noise: float) -> Floats:
    """Return the functionals u, (moment, k), for templates' z (a, k) and moments (moment, a).

    ``noise`` is λ of the module's text, against the mean over the lattice parameters.
    """
    n = len(templates)
    normal = templates.T @ templates / n + noise * np.eye(templates.shape[1])
    return np.asarray(np.linalg.solve(normal, templates.T @ moments.T / n).T)
