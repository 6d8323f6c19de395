"""Histograms of lattice parameters, and the share of material within given windows of them.

Every voxel counts by the material in it. Of each window three shares are told:

    share         of the material whose measured lattice parameter lies inside
    spill         how much larger the share becomes when noise of the voxels' own size is added once
                  more: to first order, how much of the share is noise
    deconvolved   the share of the distribution that, broadened by the esds, is most likely to give
                  what was measured (non-parametric maximum likelihood: no shape is assumed)

With p_i the chance of a voxel to be measured inside, and g_i = dp_i/d(a_i/σ_i), the share's
variance is Σ w_i² p_i(1 − p_i) + Σ_{i≠j} w_i w_j g_i g_j ρ_ij. A voxel that is mixed from materials
on either side of a window lies inside of it without noise: ``used`` can leave out such voxels at
surfaces and contacts.

The windows are those of the two-phase reactions of LixMn2O4: from a ≈ 8.076 to 8.145 Å and from
8.183 to 8.205 Å, where a single phase of the pure spinel does not occur.

Source: Finegan et al., Nat. Commun. 11 (2020) 631, for the windows; Kiefer and Wolfowitz, Ann.
Math. Statist. 27 (1956) 887, for the estimate; Laird, J. Am. Statist. Assoc. 73 (1978) 805, for its
iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import ndtr

from inverse.segment import Particles
from inverse.voxel_correlation import Correlation, covariance_of_sums
from xrdct.errors import InputError
from xrdct.spec import Spec

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FORBIDDEN_WINDOWS_A = ((8.076, 8.145), (8.183, 8.205))
"""Two-phase windows of LixMn2O4."""
_ITERATIONS = 300
_GRID_PER_ESD = 3.0
"""Places of the deconvolved distribution for each median esd."""
_MOST_PLACES = 400


class Histogram(Spec):
    """How lattice parameters are counted."""

    bin_A: float = Field(0.002, gt=0.0)
    windows_A: tuple[tuple[float, float], ...] = FORBIDDEN_WINDOWS_A
    """Lower and upper end of each."""
    correlation: Correlation = "ramp"
    """Of neighbouring voxels' errors: see :mod:`inverse.voxel_correlation`."""
    deconvolve: bool = False
    """Estimate the distribution without noise, which takes seconds for a slice."""

    @model_validator(mode="after")
    def _windows_rise(self) -> Histogram:
        for low_A, high_A in self.windows_A:
            if low_A >= high_A:
                raise ValueError(f"windows_A must rise, but one is {low_A:g} to {high_A:g}")
        return self


@dataclass(frozen=True, eq=False)
class LatticeHistogram:
    """Of a slice or of one particle."""

    particle: int
    """Its number in the segmentation; −1 for the whole slice."""
    edges_A: Floats
    """Shape (bin + 1,)."""
    area_um2: Floats
    """Section of the material in each bin, shape (bin,); times the beam's height it is a volume."""
    windows_A: Floats
    """Shape (window, 2)."""
    share: Floats
    """Of the material inside each window, shape (window,), as all that follow."""
    share_esd: Floats
    """NaN where no esds of voxels were given; so are those that follow."""
    spill: Floats
    deconvolved: Floats
    """NaN unless it was asked for. Its own uncertainty is not estimated."""


@dataclass(frozen=True, eq=False)
class _Voxels:
    a_A: Floats
    weight: Floats
    esd_A: Floats | None
    used: Bools


def lattice_histograms(
    a_A: Floats,
    *,
    amount: Floats,
    step_um: float,
    esd_A: Floats | None = None,
    used: Bools | None = None,
    particles: Particles | None = None,
    settings: Histogram | None = None,
) -> tuple[LatticeHistogram, ...]:
    """Return the histogram of the slice, and after it that of every particle that is given.

    a_A, amount and esd_A (y, x); voxels count where all of them are known, the amount is above zero
    and ``used``, if given, is true.

    Raises InputError where shapes differ or no voxel counts.
    """
    chosen = settings or Histogram()
    given = {"amount": amount, "esd_A": esd_A, "used": used,
             "particles": None if particles is None else particles.label}  # fmt: skip
    for name, array in given.items():
        if array is not None and array.shape != a_A.shape:
            raise InputError(f"{name} must have the shape {a_A.shape} of a_A, not {array.shape}.")
    counts = np.isfinite(a_A) & (np.nan_to_num(amount) > 0.0)
    if esd_A is not None:
        counts &= np.nan_to_num(esd_A) > 0.0
    if used is not None:
        counts &= used
    if not counts.any():
        raise InputError("no voxel has both a lattice parameter and an amount above zero.")
    first, last = (float(f(a_A[counts])) for f in (np.min, np.max))
    n_bins = int(np.floor(last / chosen.bin_A) - np.floor(first / chosen.bin_A)) + 1
    edges_A = chosen.bin_A * (np.floor(first / chosen.bin_A) + np.arange(n_bins + 1))
    voxels = _Voxels(a_A, np.where(counts, np.nan_to_num(amount), 0.0), esd_A, counts)
    results = [_histogram(-1, voxels, edges_A, step_um, chosen)]
    if particles is None:
        return tuple(results)
    for number in range(particles.whole.size):
        own = counts & (particles.label == number)
        if own.any():
            part = _Voxels(a_A, np.where(own, voxels.weight, 0.0), esd_A, own)
            results.append(_histogram(number, part, edges_A, step_um, chosen))
    return tuple(results)


def _histogram(
    number: int, voxels: _Voxels, edges_A: Floats, step_um: float, settings: Histogram
) -> LatticeHistogram:
    a_A, weight = voxels.a_A[voxels.used], voxels.weight[voxels.used]
    windows_A = np.array(settings.windows_A, dtype=np.float64).reshape(-1, 2)
    total = weight.sum()
    bins = np.clip(np.searchsorted(edges_A, a_A, side="right") - 1, 0, edges_A.size - 2)
    inside = (a_A >= windows_A[:, :1]) & (a_A < windows_A[:, 1:])
    share = inside @ weight / total
    unknown = np.full(len(windows_A), np.nan)
    esd, spill, deconvolved = unknown, unknown, unknown
    if voxels.esd_A is not None:
        chance = _chance(a_A, voxels.esd_A[voxels.used], windows_A)
        spill = chance @ weight / total - share
        esd = _share_esd(voxels, chance, windows_A, step_um, settings.correlation) / total
        if settings.deconvolve:
            deconvolved = _deconvolved(a_A, weight, voxels.esd_A[voxels.used], windows_A)
    return LatticeHistogram(
        particle=number,
        edges_A=edges_A,
        area_um2=np.asarray(step_um**2 * np.bincount(bins, weight, minlength=edges_A.size - 1)),
        windows_A=windows_A,
        share=np.asarray(share),
        share_esd=esd,
        spill=spill,
        deconvolved=deconvolved,
    )


def _chance(a_A: Floats, esd_A: Floats, windows_A: Floats) -> Floats:
    """Return the chance to be found in each window, (window, voxel)."""
    low, high = ((windows_A[:, [k]] - a_A) / esd_A for k in (0, 1))
    return np.asarray(ndtr(high) - ndtr(low))


def _share_esd(
    voxels: _Voxels, chance: Floats, windows_A: Floats, step_um: float, correlation: Correlation
) -> Floats:
    """Return the standard uncertainty of the material in each window, (window,)."""
    used, weight = voxels.used, voxels.weight
    esd_A = np.asarray(voxels.esd_A, dtype=np.float64)[used]
    result = np.zeros(len(windows_A))
    for k, (low_A, high_A) in enumerate(windows_A):
        density = [
            np.exp(-0.5 * ((end - voxels.a_A[used]) / esd_A) ** 2) / np.sqrt(2.0 * np.pi)
            for end in (low_A, high_A)
        ]
        slope = np.zeros(weight.shape)
        slope[used] = density[0] - density[1]
        alone = np.sum(weight[used] ** 2 * (chance[k] * (1.0 - chance[k]) - slope[used] ** 2))
        # A sum of slopes with their signs: the esd may be below zero here.
        together = covariance_of_sums(
            weight[None], esd=slope, correlation=correlation, step_um=step_um
        )[0, 0]
        result[k] = np.sqrt(max(alone + together, 0.0))
    return result


def _deconvolved(a_A: Floats, weight: Floats, esd_A: Floats, windows_A: Floats) -> Floats:
    """Return the share in each window of the most likely distribution, (window,)."""
    places_A = _places(a_A, esd_A, windows_A)
    likelihood = np.exp(-0.5 * ((a_A[:, None] - places_A) / esd_A[:, None]) ** 2)
    likelihood += 1e-300
    share = weight / weight.sum()
    density = np.full(places_A.size, 1.0 / places_A.size)
    for _ in range(_ITERATIONS):
        density *= likelihood.T @ (share / (likelihood @ density))
    inside = (places_A >= windows_A[:, :1]) & (places_A < windows_A[:, 1:])
    return np.asarray(inside @ density)


def _places(a_A: Floats, esd_A: Floats, windows_A: Floats) -> Floats:
    """Return where the distribution may have material, a third of an esd apart.

    The ends of the windows, seen from outside, are among them: what lies there is not inside.
    """
    spacing_A = float(np.median(esd_A)) / _GRID_PER_ESD
    n = int(np.clip((a_A.max() - a_A.min()) / spacing_A + 1, 2, _MOST_PLACES))
    line = np.linspace(a_A.min(), a_A.max(), n)
    return np.unique(np.concatenate([line, windows_A[:, 0] - 1e-9, windows_A[:, 1]]))
