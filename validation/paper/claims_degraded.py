"""Claims of figure 6: sums of many voxels show what one of them hides; rock salt's own cell.

The low, medium and high regions of the degraded electrode are refined as for the figure, and beside
them single voxels drawn from the low one, each a region of its own. Of these,

    hidden   three standard uncertainties over the true amount: above 1, a phase does not show

with the median of the stated uncertainties as recovered, and as truth the actual errors: 1.4826
times the median of their sizes. Single voxels have some errors far beyond all others.

The cell of rock salt is held at the study's 4.13 Å everywhere else; here it is free, and looked for
within 1 % about a start that is 0.4 % off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.lattice_model import shared_start
from inverse.region_analysis import RegionAnalysis
from inverse.region_refinement import refinement_of
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import rietveld_model
from validation.metrics import robust_sigma, true_fractions_by_label
from validation.paper.claims import Claim
from validation.paper.degraded_regions import NAMES, DegradedRegions, degraded_regions
from validation.paper.drawing import Study
from validation.paper.phases import PHASE_WORDS, ROCK_SALT, SEGREGATED
from validation.paper.prepared import Slice
from xrdct.crystal_source import find_crystal
from xrdct.normal import spread_about_zero

Floats = NDArray[np.float64]

_PUBLISHED_PERCENT = (2.0, 0.2, 0.25)
_START, _RANGE = 1.004, 0.01
_NEEDED_A = 0.005
"""Of the study's 4.13 Å, half of its last digit."""


def degraded_claims(study: Study) -> list[Claim]:
    """Return the claims, for every way of integration that is compared."""
    claims = []
    for way, trimmed in study.integrations.items():
        found = degraded_regions(study.degraded(trimmed=trimmed))
        claims += _stated_errors(found.each, found.contents, way)
        claims.append(_rock_salt_cell(found, way))
        claims += _hidden(found.each, found.voxels, way)
    return claims


def _true(each: Slice, found: RegionAnalysis) -> Floats:
    """Return the true weight fractions of the voxels of every region, percent."""
    return 1e2 * true_fractions_by_label(
        found.label, n_regions=found.n_voxels.size, phases=found.phases, truth=each.truth
    )


def _stated_errors(each: Slice, found: RegionAnalysis, way: str) -> list[Claim]:
    """Return the largest error in each region, against that which the study states."""
    error = 1e2 * found.weight_fraction - _true(each, found)
    esd = 1e2 * found.esd_total
    claims = []
    for region, (name, published) in enumerate(zip(NAMES, _PUBLISHED_PERCENT, strict=True)):
        worst = int(np.argmax(np.nan_to_num(np.abs(error[region]))))
        claims.append(
            Claim(
                "6d", f"Largest error of any weight fraction of the {name} region, {way}",
                f"{published:g} or less", recovered=float(np.abs(error[region, worst])), truth=0.0,
                needed=published, unit="wt %",
                note=f"stated here: {esd[region, worst]:.2f}; over the voxels that were found",
            )
        )  # fmt: skip
    return claims


def _rock_salt_cell(found: DegradedRegions, way: str) -> Claim:
    """Return the lattice parameter of rock salt, free, where there is most of it."""
    maps, instrument = found.each.maps, found.instrument
    settings = refinement_of(maps.recipe, shared_start(maps.shared, recipe=maps.recipe))
    free = [
        phase.model_copy(
            update={"cell": "voxel", "cell_start": _START, "cell_range": _RANGE, "search": True}
        )
        if phase.crystal == ROCK_SALT else phase
        for phase in settings.phases
    ]  # fmt: skip
    model = rietveld_model(
        settings.model_copy(update={"phases": tuple(free)}), beam=instrument.beam,
        geometry=instrument.geometry, calibration=instrument.calibration,
    )  # fmt: skip
    low = found.contents.patterns.rows(np.array([0]))
    refined = refine_patterns(
        low.values, variance=low.variance, model=model, workers=found.each.workers
    )
    label = next(phase.label for phase in free if phase.crystal == ROCK_SALT)
    inflation = float(np.sqrt(max(1.0, refined.chi2_reduced[0])))
    return Claim(
        "6d", f"Lattice parameter of {PHASE_WORDS[ROCK_SALT]} in the low a region, {way}",
        "4.13 Å", recovered=float(refined.of(f"{label}.a_A")[0]),
        truth=float(find_crystal(ROCK_SALT).cell_A_deg[0]), needed=_NEEDED_A, unit="Å",
        esd=inflation * float(refined.esd_of(f"{label}.a_A")[0]), digits=4,
    )  # fmt: skip


def _hidden(each: Slice, found: RegionAnalysis, way: str) -> list[Claim]:
    true = _true(each, found)
    claims = []
    for phase in SEGREGATED:
        column = found.phases.index(phase)
        value, esd = 1e2 * found.weight_fraction[:, column], 1e2 * found.esd_total[:, column]
        known = np.isfinite(value) & np.isfinite(esd) & np.isfinite(true[:, column])
        if known.sum() < 2:
            continue
        amount = float(true[known, column].mean())
        if amount <= 0.0:  # none of it to be hidden
            continue
        error = spread_about_zero((value - true[:, column])[known])
        claims.append(
            Claim(
                "6d", f"{PHASE_WORDS[phase]} in one voxel of the low a region: three standard "
                f"uncertainties over the amount, {way}", "lost in the noise",
                recovered=3.0 * float(np.median(esd[known])) / amount, truth=3.0 * error / amount,
                needed=0.0, esd=3.0 * _esd_of_median(esd[known]) / amount, kind="above", limit=1.0,
                note=f"of {int(known.sum())} voxels; truth from their errors",
            )
        )  # fmt: skip
    return claims


def _esd_of_median(values: Floats) -> float:
    """Return the standard uncertainty of a median of normal values: √(π/2) of that of a mean."""
    return float(np.sqrt(0.5 * np.pi / values.size) * robust_sigma(values))
