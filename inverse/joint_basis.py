"""The few coefficients that are estimated jointly, and how parallax mixes them.

Of the basis of all patterns (:mod:`inverse.sinogram_refinement`) the part orthogonal to background
and fixed phases is enough: where the variance of a voxel has the shape of the mean one, the refined
phase's scale and lattice parameter do not depend on the rest, and what the rest has outside the
sample (a housing, air) need not be explained. Within it, the directions in which neighbouring rays
differ most are kept, as long as they differ by more than noise:

    C = ⟨(k_{i+1} − k_i)·(k_{i+1} − k_i)ᵀ⟩/2,        C·r = λ·r,        λ > 2·(variance of noise),

rounded up to whole vector registers. What is left of the model's patterns outside of them is left
out of both sides of a fit, so that the choice costs noise but no error.

Parallax: a pattern k seen from s µm closer to the detector is k·(1 + s·P), to first order, with

    P = (Q·σ)·Dᵀ·(Qᵀ/σ),        D = (M(+h) − M(−h))/2h,

Q and σ as in :mod:`inverse.compression` and M(s) the displacement of a pattern
(:mod:`inverse.parallax_shift`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inverse.compression import Compression
from inverse.lanes import LANES
from inverse.parallax_shift import displacement_matrix
from inverse.refine import LatticeModel
from inverse.sinogram_refinement import AdditiveSinogram

Floats = NDArray[np.float64]

_PROBE_UM = 100.0
"""h: moves rings by a small part of their width, so that the difference is a derivative."""


def strongest_shapes(found: AdditiveSinogram, *, n_linear: int) -> Compression:
    """Return the shapes of the refined phase in which neighbouring rays differ beyond noise.

    The first ``n_linear`` coefficients are those of background and fixed phases.
    """
    phase = found.coefficients[..., n_linear:]
    change = np.diff(phase, axis=1).reshape(-1, phase.shape[2])
    change = change[np.isfinite(change[:, 0])]
    covariance = (change.T @ change).astype(np.float64) / (2.0 * max(len(change), 1))
    size, directions = np.linalg.eigh(covariance)
    noise = float(np.nanmean(found.variance[..., n_linear:]))
    wanted = max(int(np.count_nonzero(size > 2.0 * noise)), 1)
    n_kept = min(-(-wanted // LANES) * LANES, size.size)
    strongest = directions[:, ::-1][:, :n_kept]
    basis = found.basis
    return replace(basis, whitened=strongest.T @ basis.whitened[n_linear:], n_model=n_kept)


def model_in(shapes: Compression, model: LatticeModel) -> LatticeModel:
    """Return the model of a voxel's coefficients, in which nothing linear is left."""
    inside = shapes.model(model)
    return replace(inside, linear=np.zeros((0, len(shapes.whitened))))


def parallax_per_um(shapes: Compression, *, two_theta_rad: Floats, distance_m: float) -> Floats:
    """Return P, (coefficient, coefficient): rows are coefficients of what is displaced."""
    known = np.isfinite(shapes.noise)
    there, back = (
        displacement_matrix(
            two_theta_rad, onto_rad=two_theta_rad, measured=known, displacement_um=displacement,
            distance_m=distance_m,
        ).astype(np.float64)
        for displacement in (_PROBE_UM, -_PROBE_UM)
    )  # fmt: skip
    slope = (there - back) / (2.0 * _PROBE_UM)
    noise = np.where(known, shapes.noise, 1.0)
    return np.asarray((shapes.whitened * noise) @ slope.T @ (shapes.whitened / noise).T)
