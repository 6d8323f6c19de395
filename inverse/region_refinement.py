"""Refine the mean patterns of regions, with one lattice of the refined phase or with two.

The Rietveld code is that of single patterns. Free are the scales of all phases, and of the refined
one its lattice parameter and, as lattice parameters differ within a region, its strain. Where a
region lies in a two-phase window, one lattice explains half of it and leaves the rest to other
phases. So the decision of :mod:`inverse.phase_decision_pair` is asked for, errors inflated by the
misfit; regions with a second lattice of a tenth or more of the first are refined again with two,
which count as one phase.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from inverse.model import Instrument
from inverse.phase_decision_pair import second_lattice
from inverse.profile import line_widths_rad, total_width_and_mixing
from inverse.quantify import weight_fractions
from inverse.recipe import Recipe
from inverse.refine import LatticeModel
from inverse.region_estimates import Estimates, unbounded_estimates
from inverse.regions import RegionPatterns
from inverse.rietveld import Refined, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from inverse.shared import Shared
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError

Floats = NDArray[np.float64]

_LINE_WIDTHS = 2.0
"""Full widths at half maximum of a line whose residuals are counted together."""
_WIDEST_RANGE = 0.05
"""Of a cell's length, in which a refinement may look for it."""
_FALSE_ALARM = 1e-6
_LEAST_SHARE = 0.1
"""Of a second lattice in both; less may be an error of the profile of the first."""
_LARGEST_STRAIN = 0.02
_SECOND = "second-lattice"


@dataclass(frozen=True, eq=False)
class RegionContents:
    """What patterns of regions hold, by crystal, (region, crystal) unless said; NaN if unknown."""

    amount: Floats
    """Volume fraction."""
    weight_fraction: Floats
    esd_noise: Floats
    esd_half: Floats
    """Change by the half difference of the region's own projections, without its sign."""
    esd_misfit: Floats
    a_A: Floats
    """Lattice parameter of the refined phase, of two the mean by amount, (region,)."""
    a_esd_A: Floats
    strain_square: Floats
    """Of the refined phase, e0² (:mod:`inverse.quantify_strain`), (region,)."""
    strain_square_esd: Floats
    """Times √χ² where that is above one, as a profile is never quite right, (region,)."""
    chi2_reduced: Floats
    """(region,)."""
    n_lattices: NDArray[np.int64]
    """Of the refined phase, (region,)."""


def region_contents(
    patterns: RegionPatterns,
    *,
    recipe: Recipe,
    shared: Shared,
    lattices: LatticeModel,
    instrument: Instrument,
    workers: int | None = None,
) -> RegionContents:
    """Return what regions hold. ``shared`` is what voxels share, ``lattices`` their model."""
    width = _line_channels(shared, instrument)

    def found(part: RegionPatterns, n_lattices: int) -> RegionContents:
        model = rietveld_model(
            refinement_of(recipe, shared, n_lattices=n_lattices), beam=instrument.beam,
            geometry=instrument.geometry, calibration=instrument.calibration,
        )  # fmt: skip
        refined = refine_patterns(part.values, variance=part.variance, model=model, workers=workers)
        estimates = unbounded_estimates(part, refined=refined, line_channels=width, workers=workers)
        return _contents(refined, estimates, n_lattices)

    one = found(patterns, 1)
    rows = _with_two(patterns, lattices, workers)
    if rows.size == 0:
        return one
    two = found(patterns.rows(rows), 2)
    # A second lattice that does not lower χ² was found in the wrong place, if at all.
    better = two.chi2_reduced < one.chi2_reduced[rows]
    for field in fields(one):
        getattr(one, field.name)[rows[better]] = getattr(two, field.name)[better]
    return one


def _with_two(
    patterns: RegionPatterns, lattices: LatticeModel, workers: int | None
) -> NDArray[np.int64]:
    """Return the regions that hold two lattices."""
    decided = second_lattice(
        patterns.values.astype(np.float32), variance=patterns.variance.astype(np.float32),
        model=lattices, false_alarm=_FALSE_ALARM, by_misfit=True, workers=workers,
    )  # fmt: skip
    amount = decided.pair.amount
    share = amount.min(axis=1) / amount.sum(axis=1)
    # NaN, where no pair was found, is not above anything.
    return np.flatnonzero(decided.decision.present & (share > _LEAST_SHARE))


def refinement_of(recipe: Recipe, shared: Shared, *, n_lattices: int = 1) -> Rietveld:
    """Return how a region's pattern is refined, with one lattice of the refined phase or two.

    Phases go by the names of their crystals. Displacements of all change as those of the refined
    one do, as they would with temperature.

    Raises InputError where the phases that the recipe's ``regions`` name cannot be.
    """
    phase, taken = recipe.phase, [p.label for p in recipe.regions.phases]
    own_A = find_crystal(phase.crystal).cell_A_deg[0]
    middle_A = 0.5 * (phase.a_min_A + phase.a_max_A)
    main = RietveldPhase(
        name=_label(phase.crystal, taken), crystal=phase.crystal, cell_start=middle_A / own_A,
        cell_range=min(0.5 * (phase.a_max_A - phase.a_min_A) / middle_A, _WIDEST_RANGE),
        search=True, crystallite_size_nm=shared.crystallite_size_nm, strain="voxel",
        strain_value=min(shared.strain, _LARGEST_STRAIN), b_iso_change_A2=shared.b_iso_change_A2,
    )  # fmt: skip
    second = main.model_copy(update={"name": _label(_SECOND, taken), "strain": f"={main.label}"})
    fixed = [
        RietveldPhase(
            name=_label(p.crystal, taken), crystal=p.crystal, cell="fixed",
            crystallite_size_nm=p.crystallite_size_nm,
            strain_value=min(p.strain, _LARGEST_STRAIN), b_iso_change_A2=shared.b_iso_change_A2,
        )
        for p in recipe.fixed_phases
    ]  # fmt: skip
    try:
        return Rietveld(
            phases=(main, *[second][: n_lattices - 1], *fixed, *recipe.regions.phases),
            n_background=recipe.n_background,
        )
    except ValidationError as error:
        raise InputError(f"regions.phases of the recipe: {error.errors()[0]['msg']}") from error


def _label(crystal: str, taken: list[str]) -> str:
    """Return a label that no other phase has yet, without spaces, and note that it is taken."""
    label = "_".join(crystal.split())
    while label in taken:
        label += "'"
    taken.append(label)
    return label


def substances(settings: Rietveld) -> tuple[str, ...]:
    """Return the crystals of a refinement's phases, each once, in their order."""
    return tuple(dict.fromkeys(phase.crystal for phase in settings.phases))


def _line_channels(shared: Shared, instrument: Instrument) -> int:
    """Return how many channels a line in the middle of the pattern takes."""
    geometry = instrument.geometry
    middle_rad = geometry.two_theta_rad[[geometry.n_channels // 2]]
    widths = line_widths_rad(
        middle_rad, instrument.calibration.profile, wavelength_A=instrument.beam.wavelength_A,
        crystallite_size_nm=shared.crystallite_size_nm, strain=shared.strain,
    )  # fmt: skip
    fwhm_rad = float(total_width_and_mixing(*widths)[0][0])
    return max(1, round(_LINE_WIDTHS * fwhm_rad / geometry.channel_width_rad))


def _contents(refined: Refined, estimates: Estimates, n_lattices: int) -> RegionContents:
    """Return weight fractions and amounts, those of lattices of one crystal added up."""
    phases = refined.model.settings.phases
    crystals = {phase.label: find_crystal(phase.crystal) for phase in phases}
    named = substances(refined.model.settings)
    gathered = np.array([[phase.crystal == name for name in named] for phase in phases], float)

    def fractions(covariance: Floats) -> tuple[Floats, Floats]:
        found = weight_fractions(
            estimates.values, names=refined.names, crystals=crystals, covariance=covariance
        )
        spread = np.einsum("rpq,pk,qk->rk", np.asarray(found.covariance), gathered, gathered)
        return found.values @ gathered, np.sqrt(np.maximum(spread, 0.0))

    weight_fraction, esd_noise = fractions(estimates.noise)
    half = estimates.half
    a_A, a_esd_A = _lattice_parameter(refined, n_lattices)
    square, square_esd = _strain_square(refined)
    return RegionContents(
        amount=estimates.values[:, : len(phases)] @ gathered,
        weight_fraction=weight_fraction,
        esd_noise=esd_noise,
        esd_half=fractions(half[:, :, None] * half[:, None, :])[1],
        esd_misfit=fractions(estimates.misfit)[1],
        a_A=a_A,
        a_esd_A=a_esd_A,
        strain_square=square,
        strain_square_esd=square_esd,
        chi2_reduced=refined.chi2_reduced,
        n_lattices=np.full(len(a_A), n_lattices),
    )


def _lattice_parameter(refined: Refined, n_lattices: int) -> tuple[Floats, Floats]:
    """Return the mean lattice parameter of the refined phase, and its standard uncertainty."""
    labels = [phase.label for phase in refined.model.settings.phases[:n_lattices]]
    a_A = np.stack([refined.of(f"{label}.a_A") for label in labels])
    esd_A = np.stack([refined.esd_of(f"{label}.a_A") for label in labels])
    # A lattice too weak to have a parameter does not count.
    scale = np.stack([refined.of(f"{label}.scale") for label in labels])
    weight = np.where(np.isfinite(a_A), scale, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight /= weight.sum(axis=0)
    mean_A = np.sum(weight * np.nan_to_num(a_A), axis=0)
    return mean_A, np.sqrt(np.sum((weight * np.nan_to_num(esd_A)) ** 2, axis=0))


def _strain_square(refined: Refined) -> tuple[Floats, Floats]:
    """Return the square of the refined phase's strain, and its standard uncertainty."""
    name = f"{refined.model.settings.phases[0].label}.strain"
    strain, esd = refined.of(name), refined.esd_of(name)
    inflation = np.sqrt(np.maximum(refined.chi2_reduced, 1.0))
    # The esd is that of the root, whose slope near zero is taken at a quarter of the square's esd:
    # esd = s/(2√(s/4)) = √s there, with s the esd of the square.
    near_zero = esd > 2.0 * strain
    square_esd = np.where(near_zero, esd**2, 2.0 * strain * esd)
    return strain**2, square_esd * inflation
