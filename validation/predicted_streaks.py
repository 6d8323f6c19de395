"""Streaks of too few angles: their RMS, from how finely the sample is structured.

Back projection sums N filtered projections q_ω(t) in place of the integral over the half turn. What
a point of the sample at the distance r from a voxel gives to it is q(r sin(ω − φ)), a narrow pulse
in ω whose Fourier coefficient of order n is K(n/2πr)/(πr), with K(ν) = |ν| T(ν) the transform of
the filtered profile (:mod:`validation.predicted_transfer`). The sum sees orders 2mN as constants:
an error e = π Σ_{m≠0} h_{2mN}. For structure of the spectral density S(ν) the sum of squares
over all points is

    Var e = 4π ∫₀^∞ dν K²(ν) S(ν)/ν · M(ν),        M(ν) = ⟨ ⌊π ν R(φ)/N⌋ ⟩_φ

where R(φ) is how far the sample reaches from the voxel in the direction φ: a wave ν is undersampled
beyond r = N/(πν), which for the finest wave 1/(2h) is the alias-free diameter 2Nh/π. Far beyond it
projections err independently, Var e → (4π²/N) ∫K² S R dν = (π²/N) Var q.

Beside it stands what falls between offsets: a wave sampled at steps h at a place that changes from
projection to projection has, besides T, images that do not add up,

    Var e = (2π²/N) ℓ ∫₀^∞ S (K²_all − K²) dν,     ℓ the length of the sample through the voxel.

Over a full turn of an even number of angles, opposite projections are the same: N is then half.

Derived here; the alias-free diameter is that of Crowther, DeRosier & Klug, Proc. R. Soc. A 317
(1970) 319. Where this fails: few bodies (S is a mean over many), a voxel near the rim of a window
beyond which nothing is like its inside, uneven angles, and waves that repeat from body to body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.predicted_images import Waves
from validation.predicted_transfer import Transfer
from xrdct.scan import Scan

Floats = NDArray[np.float64]

_DIRECTIONS = 48
_RADII = 8


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Spectral density S of a field that fills a disc."""

    per_um: Floats
    """Frequency, uniform and above zero, shape (bin,)."""
    density: Floats
    """In the field's unit squared times µm², per area of the disc, shape (bin,)."""


def distinct_angles(scan: Scan) -> int:
    """Return how many projections of a scan do not repeat another from the other side."""
    folded = np.mod(scan.angles_rad, np.pi)
    turns = np.round(folded / np.pi * 1e7).astype(np.int64) % 10**7
    return int(np.unique(turns).size)


def spectrum_of(power: Floats, *, waves: Waves, area_um2: float) -> Spectrum:
    """Return the mean over directions of |F|² (:meth:`Waves.power`) per area."""
    width = 1.0 / (waves.n * waves.pixel_um)
    count = waves.n // 2
    bins = np.minimum(np.round(waves.per_um / width).astype(np.int64), count + 1).ravel()
    total = np.bincount(bins, power.ravel(), count + 2)[1 : count + 1]
    number = np.bincount(bins, minlength=count + 2)[1 : count + 1]
    return Spectrum(
        np.asarray(width * np.arange(1, count + 1), float), total / np.maximum(number, 1) / area_um2
    )


def streak_variance(
    spectrum: Spectrum,
    *,
    transfer: Transfer,
    scan: Scan,
    sample_radius_um: float,
    radius_um: Floats,
) -> Floats:
    """Return Var e at distances ``radius_um`` from the axis, shape (voxel,), in the field's unit².

    Both parts of the module's text together.
    """
    nodes = np.linspace(0.0, max(float(radius_um.max(initial=0.0)), 1e-9), _RADII)
    kernel = streak_kernel(
        spectrum.per_um, nodes, transfer=transfer, number=distinct_angles(scan),
        sample_radius_um=sample_radius_um,
    )  # fmt: skip
    return np.asarray(np.interp(radius_um, nodes, spectrum.density @ kernel))


def streak_kernel(
    per_um: Floats,
    radius_um: Floats,
    *,
    transfer: Transfer,
    number: int,
    sample_radius_um: float,
) -> Floats:
    """Return what turns spectral densities at ``per_um`` into variances, shape (bin, radius).

    ``number`` is that of the distinct angles.
    """
    width = float(per_um[0])
    coherent = (per_um * transfer.coherent(per_um)) ** 2
    rest = np.maximum(transfer.power(per_um) - coherent, 0.0)
    reach = _reach_um(radius_um, sample_radius_um)
    aliases = np.floor(np.pi * per_um[:, None, None] * reach / number).mean(axis=2)
    aliased = 4.0 * np.pi * width * (coherent / per_um)[:, None] * aliases
    between = 2.0 * np.pi**2 / number * width * rest[:, None] * 2.0 * reach.mean(axis=1)
    return np.asarray(aliased + between)


def _reach_um(radius_um: Floats, sample_radius_um: float) -> Floats:
    """Return how far a disc reaches from points inside it, shape (point, direction)."""
    phi = (np.arange(_DIRECTIONS) + 0.5) * 2.0 * np.pi / _DIRECTIONS
    inside = np.minimum(radius_um, sample_radius_um)[:, None]
    root = np.sqrt(np.maximum(sample_radius_um**2 - (inside * np.sin(phi)) ** 2, 0.0))
    return np.asarray(root - inside * np.cos(phi))
