"""Weight fractions by particle and depth shell, with what is known of their errors.

The mean pattern of each region (:mod:`inverse.regions`) is refined
(:mod:`inverse.region_refinement`); weight fractions follow from the scales without bounds
(:mod:`inverse.region_estimates`, :mod:`inverse.quantify`).

``esd_noise`` is counting noise, propagated through reconstruction and refinement. ``esd_total`` is

    √( max(esd_noise, esd_half, esd_misfit)² + blur² )

- esd_half = esd_noise times the ratio that half the difference of even and odd projections bears to
  it, the robust scale of it over the hundred regions of most alike size: streaks, grains;
- esd_misfit by the residuals of the refinement: profile, overlapped lines, streaks again;
- blur: a beam and an interpolation of Gaussian width σ carry the share σ/(√(2π)·d) of a shell of
  thickness d over each of its faces, so that neighbouring shells of a particle mix:
  |Σ share·(W of neighbour − W)|.

What all projections have in common is in none of them: what trimming takes from spotty rings of a
minor phase, or a wrong structure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.model import Instrument
from inverse.refine import LatticeModel, Status
from inverse.region_refinement import RegionContents, refinement_of, region_contents, substances
from inverse.region_table import RegionTable
from inverse.regions import Rays, region_patterns
from inverse.segment import DepthRegions, depth_regions, particles_of
from inverse.shared import Shared
from xrdct.normal import FWHM_PER_SIGMA, SIGMA_PER_MAD

Floats = NDArray[np.float64]

_ALIKE = 100
"""Regions over which the scale of half differences is taken."""
_FEWEST_ALIKE = 8


def region_table(
    maps: Maps,
    *,
    rays: Rays,
    instrument: Instrument,
    shared: Shared,
    lattices: LatticeModel,
    workers: int | None = None,
) -> RegionTable | None:
    """Return what particles and depth shells hold, or None where there is no region.

    Particles are those of ``maps``, patterns those of ``rays``. ``shared`` is what voxels share,
    ``lattices`` the model of their patterns.
    """
    recipe, settings = maps.recipe, maps.recipe.regions
    particles = particles_of(
        _material(maps), measured=maps.status != Status.NOT_MEASURED, step_um=maps.scan.step_um,
        settings=settings,
    )  # fmt: skip
    regions = depth_regions(particles, settings=settings)
    if regions.n_voxels.size == 0:
        return None
    contents = region_contents(
        region_patterns(rays, label=regions.label, workers=workers), recipe=recipe, shared=shared,
        lattices=lattices, instrument=instrument, workers=workers,
    )  # fmt: skip
    return _table(
        regions, contents, phases=substances(refinement_of(recipe, shared)),
        sigma_um=max(instrument.beam.width_um, maps.scan.step_um) / FWHM_PER_SIGMA,
    )  # fmt: skip


def _material(maps: Maps) -> Floats:
    """Return the volume fractions, with voxels whose lattice was not found taken as full."""
    failed = np.isin(maps.status, (Status.NOT_CONVERGED, Status.AT_LIMIT))
    known = maps.volume_fraction[np.isfinite(maps.volume_fraction)]
    full = float(np.median(known)) if known.size else 0.0
    return np.where(failed, full, maps.volume_fraction)


def _table(
    regions: DepthRegions, contents: RegionContents, *, phases: tuple[str, ...], sigma_um: float
) -> RegionTable:
    """Put together what regions hold, with all uncertainties."""
    noise = contents.esd_noise
    streaks = noise * typical_ratio(contents.esd_half, noise, size=regions.n_voxels)
    mixed = blur_error(contents.weight_fraction, regions=regions, sigma_um=sigma_um)
    return RegionTable(
        phases=phases,
        label=regions.label,
        particle=regions.particle,
        shell=regions.shell,
        depth_um=regions.depth_um,
        n_voxels=regions.n_voxels,
        n_lattices=contents.n_lattices,
        amount=contents.amount,
        weight_fraction=contents.weight_fraction,
        weight_fraction_esd_noise=noise,
        weight_fraction_esd_total=np.hypot(np.maximum(streaks, contents.esd_misfit), mixed),
        a_A=contents.a_A,
        a_esd_noise_A=contents.a_esd_A,
        chi2_reduced=contents.chi2_reduced,
    )


def typical_ratio(errors: Floats, esd: Floats, *, size: NDArray[np.int64]) -> Floats:
    """Return the robust scale of errors/esd over regions of like size, at least 1.

    errors (absolute) and esd (region, phase), size (region,). Where fewer than eight regions are
    there to learn from, it is 1.
    """
    scale = np.ones(errors.shape)
    order = np.argsort(size, kind="stable")
    for phase in range(errors.shape[1]):
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (errors[:, phase] / esd[:, phase])[order]
        known = np.flatnonzero(np.isfinite(ratio))
        if known.size < _FEWEST_ALIKE:
            continue
        first = np.clip(np.arange(known.size) - _ALIKE // 2, 0, max(0, known.size - _ALIKE))
        typical = [np.median(ratio[known[f : f + _ALIKE]]) for f in first]
        scale[order[known], phase] = np.maximum(SIGMA_PER_MAD * np.array(typical), 1.0)
    return scale


def blur_error(fraction: Floats, *, regions: DepthRegions, sigma_um: float) -> Floats:
    """Return by how much neighbouring shells of a particle mix, (region, phase).

    fraction (region, phase); neighbours that are not there, or not known, do not count.
    """
    change = np.zeros(fraction.shape)
    thickness_um = np.diff(regions.depth_um, axis=1)[:, 0]
    for row in range(len(fraction) - 1):
        # Regions are sorted by particle and depth, so that a neighbour is the next one.
        if (
            regions.particle[row] == regions.particle[row + 1]
            and regions.shell[row] + 1 == regions.shell[row + 1]
        ):
            step = np.nan_to_num(fraction[row + 1] - fraction[row])
            change[row] += step / thickness_um[row]
            change[row + 1] -= step / thickness_um[row + 1]
    return np.asarray(np.abs(change) * sigma_um / np.sqrt(2.0 * np.pi))
