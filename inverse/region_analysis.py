"""What regions of a user's own hold: weight fractions, lattice parameter, strain, uncertainties.

From a raw scan, or a sinogram made ready to be reconstructed, and a map of labels: the mean pattern
of every region (:mod:`inverse.regions`) is refined with any further phases
(:mod:`inverse.region_refinement`). ``esd_noise`` is counting noise, propagated. ``esd_total`` is

    √( max(esd_noise·max(1, s), esd_misfit)² + blur² + shared² )

with s the scale that half the difference of even and odd projections bears to the noise, over
regions of like size (:func:`inverse.region_fractions.typical_ratio`), or where there are fewer than
eight the root mean square of it over all; blur is that between neighbouring shells of a particle,
and nothing where regions are not shells; shared is what follows from the uncertainty of the
parameters that regions share, where these are refined, times √χ².

What a phase that the maps did not know of does to the displacements and the width of lines that all
voxels share, it does to the regions' weight fractions. So both are refined again by default, over
all regions together and with all phases.

A region's lines are broadened by strain and by the spread of the lattice parameter within it. Where
the map of lattice parameters is given, that spread is taken off: e0² − (σ_a/a)²·2ln2, with σ_a² the
variance within the region less the mean of the voxels' esd².
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.chain import prepared_sinogram
from inverse.lattice_model import shared_start
from inverse.model import Instrument
from inverse.quantify_strain import StrainRange, strain_from_square
from inverse.recipe import FixedPhase, Recipe
from inverse.recover import instrument_of, model_builder
from inverse.region_fractions import blur_error, typical_ratio
from inverse.region_refinement import RegionContents, refinement_of, region_contents, substances
from inverse.regions import Rays, RegionPatterns, rays_of_counts, rays_of_sinogram, region_patterns
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import RietveldPhase
from inverse.segment import DepthRegions
from inverse.shared import Shared
from inverse.sinogram import Sinogram
from xrdct.errors import InputError
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.rawfile import RawScan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHARED = {"crystallite_size_nm": "size_nm", "b_iso_change_A2": "b_iso_change_A2"}
"""What is refined over all regions: fields of what is shared, and names of the parameters."""
_ENOUGH = 8
"""Regions from which on the scale of half differences is that of regions of like size."""


@dataclass(frozen=True, eq=False)
class RegionAnalysis:
    """One row for each region; NaN where its pattern could not be refined."""

    phases: tuple[str, ...]
    """Crystals, the refined phase first."""
    label: Ints
    """As given, shape (y, x)."""
    n_voxels: Ints
    """Shape (region,), as all that follow unless said."""
    weight_fraction: Floats
    """Share of each phase in the mass of all, not bounded at zero, shape (region, phase)."""
    esd_noise: Floats
    esd_total: Floats
    a_A: Floats
    """Lattice parameter of the refined phase."""
    a_esd_noise_A: Floats
    strain: StrainRange
    """Of the refined phase, e0 as in :mod:`inverse.quantify_strain`."""
    chi2_reduced: Floats
    patterns: RegionPatterns
    """What was refined."""


def analyse_regions(
    raw: RawScan,
    *,
    label: Ints | DepthRegions,
    phases: Sequence[RietveldPhase] = (),
    recipe: Recipe | None = None,
    shared: Shared | Mapping[str, float] | None = None,
    refine_shared: bool = True,
    others: Mapping[str, RawScan] | None = None,
    sinogram: Sinogram | None = None,
    a_A: Floats | None = None,
    a_esd_A: Floats | None = None,
    workers: int | None = None,
) -> RegionAnalysis:
    """Return what the regions 0, 1, … of a map of labels hold, −1 being none of them.

    ``phases`` are looked for beside the phases of the recipe, which is by default the one stored
    with the scan. ``shared`` is what the maps say all voxels share (``Maps.shared``), by default
    the recipe's start; with ``refine_shared`` that is where its refinement starts. The steps of the
    recipe up to the reconstruction are followed, for which ``others`` are the linked scans, unless
    a ``sinogram`` is given that has passed them. ``label`` may be shells, of which neighbours mix.
    a_A and a_esd_A (y, x): see the module.

    Raises InputError for labels that leave out a number or lie where not every projection sees
    them, phases that cannot be together, a map of another shape, or a scan that the recipe needs.
    """
    numbers = np.asarray(label.label if isinstance(label, DepthRegions) else label, np.int64)
    _check(numbers, a_A, a_esd_A)
    used = _with_phases(recipe or Recipe.model_validate(raw.recipe), phases)
    instrument = instrument_of(raw, used)
    common, moved = shared_start(shared, recipe=used), list[Shared]()
    rays = _rays(raw, used, others or {}, sinogram, workers)
    patterns = region_patterns(rays, label=numbers, workers=workers)
    if refine_shared:
        common, moved = _refined_shared(patterns, used, common, instrument, workers)
    contents, *with_moved = _contents(
        (common, *moved), patterns, raw, used, phases, instrument, workers
    )
    size = np.bincount(numbers[numbers >= 0]).astype(np.int64)
    regions = label if isinstance(label, DepthRegions) else None
    own_esd = _esd_total(contents, size, regions, instrument, rays.step_um)
    return RegionAnalysis(
        phases=substances(refinement_of(used, common)), label=numbers, n_voxels=size,
        weight_fraction=contents.weight_fraction, esd_noise=contents.esd_noise,
        esd_total=_with_shared(own_esd, contents, with_moved),
        a_A=contents.a_A, a_esd_noise_A=contents.a_esd_A,
        strain=_strain(contents, numbers, a_A, a_esd_A), chi2_reduced=contents.chi2_reduced,
        patterns=patterns,
    )  # fmt: skip


def _check(label: Ints, a_A: Floats | None, a_esd_A: Floats | None) -> None:
    if not np.any(label >= 0):
        raise InputError("label must hold at least one region, numbered from 0.")
    for name, given in (("a_A", a_A), ("a_esd_A", a_esd_A)):
        if given is not None and given.shape != label.shape:
            raise InputError(
                f"{name} must have the shape {label.shape} of label, not {given.shape}."
            )


def _rays(
    raw: RawScan,
    recipe: Recipe,
    others: Mapping[str, RawScan],
    sinogram: Sinogram | None,
    workers: int | None,
) -> Rays:
    """Return the rays after all steps of the recipe."""
    if sinogram is None and (raw.scan.interlaced or not recipe.is_plain):
        sinogram = prepared_sinogram(raw, others=others, recipe=recipe, workers=workers)
    if sinogram is None:
        return rays_of_counts(raw, recipe=recipe)
    return rays_of_sinogram(sinogram, recipe=recipe)


def _with_phases(recipe: Recipe, phases: Sequence[RietveldPhase]) -> Recipe:
    """Return the recipe with further phases in its regions, each crystal once."""
    there = {p.crystal for p in recipe.fixed_phases}
    there |= {p.crystal for p in recipe.regions.phases}
    for phase in phases:
        if phase.crystal in there:
            raise InputError(f"phases: {phase.crystal} is among the recipe's phases already.")
    regions = recipe.regions.model_copy(update={"phases": (*recipe.regions.phases, *phases)})
    return recipe.model_copy(update={"regions": regions})


def _with_fixed(recipe: Recipe, phases: Sequence[RietveldPhase]) -> Recipe:
    """Return the recipe with further phases as such of a fixed cell.

    It is by these that a second lattice is told from another phase.
    """
    further = tuple(
        FixedPhase(
            crystal=p.crystal, crystallite_size_nm=p.crystallite_size_nm, strain=p.strain_value
        )
        for p in phases
    )
    return recipe.model_copy(update={"fixed_phases": (*recipe.fixed_phases, *further)})


def _refined_shared(
    patterns: RegionPatterns,
    recipe: Recipe,
    start: Shared,
    instrument: Instrument,
    workers: int | None,
) -> tuple[Shared, list[Shared]]:
    """Return size and displacements refined over all regions, with all phases.

    Beside them, the same with each moved by its standard uncertainty, inflated by the misfit.
    """
    settings = refinement_of(recipe, start)
    main = settings.phases[0].model_copy(update={"size": "shared", "b_iso": "shared"})
    tied = [
        p.model_copy(update={"b_iso": f"={main.label}"}) if p.b_iso == "fixed" else p
        for p in settings.phases[1:]
    ]
    model = rietveld_model(
        settings.model_copy(update={"phases": (main, *tied)}), beam=instrument.beam,
        geometry=instrument.geometry, calibration=instrument.calibration,
    )  # fmt: skip
    refined = refine_patterns(
        patterns.values, variance=patterns.variance, model=model, workers=workers
    )
    results = {field: refined.shared[f"{main.label}.{name}"] for field, name in _SHARED.items()}
    found = {field: value for field, (value, _) in results.items() if np.isfinite(value)}
    strain = refined.of(f"{main.label}.strain")
    known = strain[np.isfinite(strain)]
    best = replace(start, strain=float(np.median(known)) if known.size else start.strain, **found)
    chi2 = refined.chi2_reduced[np.isfinite(refined.chi2_reduced)]
    inflation = np.sqrt(max(1.0, float(np.median(chi2)))) if chi2.size else 1.0
    return best, [
        replace(best, **{field: value + inflation * results[field][1]})
        for field, value in found.items()
        if np.isfinite(results[field][1])
    ]


def _contents(
    shared: Sequence[Shared],
    patterns: RegionPatterns,
    raw: RawScan,
    recipe: Recipe,
    phases: Sequence[RietveldPhase],
    instrument: Instrument,
    workers: int | None,
) -> list[RegionContents]:
    """Return what the regions hold, with each of some values of what they share."""
    lattices = model_builder(raw, _with_fixed(recipe, phases))
    return [
        region_contents(
            patterns, recipe=recipe, shared=each, instrument=instrument, workers=workers,
            lattices=lattices(each),
        )
        for each in shared
    ]  # fmt: skip


def _esd_total(
    contents: RegionContents,
    size: Ints,
    regions: DepthRegions | None,
    instrument: Instrument,
    step_um: float,
) -> Floats:
    noise = contents.esd_noise
    if size.size >= _ENOUGH:
        scale = typical_ratio(contents.esd_half, noise, size=size)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = (contents.esd_half / noise) ** 2
        known = squares[np.isfinite(squares)]
        pooled = float(np.sqrt(known.mean())) if known.size else 1.0
        scale = np.full(noise.shape, max(1.0, pooled))
    random = np.maximum(noise * scale, contents.esd_misfit)
    if regions is None:
        return np.asarray(random)
    sigma_um = max(instrument.beam.width_um, step_um) / FWHM_PER_SIGMA
    mixed = blur_error(contents.weight_fraction, regions=regions, sigma_um=sigma_um)
    return np.asarray(np.hypot(random, mixed))


def _with_shared(esd: Floats, contents: RegionContents, moved: Sequence[RegionContents]) -> Floats:
    """Return the esd with what follows from each shared parameter moved by its own."""
    squares = sum((m.weight_fraction - contents.weight_fraction) ** 2 for m in moved)
    return np.asarray(np.sqrt(esd**2 + squares))


def _strain(
    contents: RegionContents, label: Ints, a_A: Floats | None, a_esd_A: Floats | None
) -> StrainRange:
    """Return the strain, without the spread of the lattice parameter where it is known."""
    square = contents.strain_square.copy()
    if a_A is not None:
        for region in range(square.size):
            own = (label == region) & np.isfinite(a_A)
            spread = float(np.var(a_A[own])) if own.any() else 0.0
            if a_esd_A is not None and own.any():
                spread -= float(np.nanmean(a_esd_A[own] ** 2))
            relative = max(spread, 0.0) / contents.a_A[region] ** 2
            # e0 is half the full width of Δd/d at half maximum.
            square[region] -= relative * (0.5 * FWHM_PER_SIGMA) ** 2
    known = np.isfinite(square)
    found = strain_from_square(
        np.where(known, square, 0.0), esd=np.where(known, contents.strain_square_esd, 0.0)
    )
    return StrainRange(
        *(np.where(known, f, np.nan) for f in (found.strain, found.esd, found.upper))
    )
