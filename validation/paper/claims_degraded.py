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

from inverse.chain import prepared_sinogram
from inverse.lattice_regions import lattice_regions
from inverse.recover import instrument_of
from inverse.region_analysis import RegionAnalysis, analyse_regions
from inverse.region_refinement import refinement_of
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.shared import Shared
from inverse.sinogram import Sinogram
from validation.metrics import true_fractions_by_label
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.phases import PHASE_WORDS
from validation.paper.prepared import Slice
from xrdct.crystal_source import find_crystal
from xrdct.normal import SIGMA_PER_MAD

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_N_VOXELS = 100
_ROCK_SALT = "LiMnO2-rocksalt"
_HIDDEN_PHASES = ("Li2MnO3", _ROCK_SALT)
_NAMES = ("low a", "medium a", "high a")
_PUBLISHED_PERCENT = (2.0, 0.2, 0.25)
_START, _RANGE = 1.004, 0.01
_NEEDED_A = 0.005
"""Of the study's 4.13 Å, half of its last digit."""


def degraded_claims(study: Study) -> list[Claim]:
    """Return the claims, for every way of integration that is compared."""
    claims = []
    for way, trimmed in study.integrations.items():
        each = study.degraded(trimmed=trimmed)
        sinogram = prepared_sinogram(
            each.raw(), others=each.others(), recipe=each.maps.recipe, workers=each.workers
        )
        label = lattice_regions(each.maps.a_A, amount=each.maps.volume_fraction).label
        regions = _analysed(each, label, sinogram, refine_shared=True)
        claims += _stated_errors(each, regions, way)
        claims.append(_rock_salt_cell(each, regions, way))
        claims += _hidden(each, label, sinogram, way)
    return claims


def _analysed(
    each: Slice, label: Ints, sinogram: Sinogram, *, refine_shared: bool
) -> RegionAnalysis:
    maps = each.maps
    return analyse_regions(
        each.raw(), label=label, recipe=maps.recipe, shared=maps.shared, sinogram=sinogram,
        refine_shared=refine_shared, workers=each.workers,
    )  # fmt: skip


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
    for region, (name, published) in enumerate(zip(_NAMES, _PUBLISHED_PERCENT, strict=True)):
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


def _rock_salt_cell(each: Slice, found: RegionAnalysis, way: str) -> Claim:
    """Return the lattice parameter of rock salt, free, where there is most of it."""
    recipe = each.maps.recipe
    shared = Shared(recipe.phase.crystallite_size_nm, recipe.phase.strain)
    if each.maps.shared:
        shared = Shared(**each.maps.shared)
    settings = refinement_of(recipe, shared)
    free = [
        phase.model_copy(
            update={"cell": "voxel", "cell_start": _START, "cell_range": _RANGE, "search": True}
        )
        if phase.crystal == _ROCK_SALT else phase
        for phase in settings.phases
    ]  # fmt: skip
    instrument = instrument_of(each.raw(), recipe)
    model = rietveld_model(
        settings.model_copy(update={"phases": tuple(free)}), beam=instrument.beam,
        geometry=instrument.geometry, calibration=instrument.calibration,
    )  # fmt: skip
    low = found.patterns.rows(np.array([0]))
    refined = refine_patterns(low.values, variance=low.variance, model=model, workers=each.workers)
    label = next(phase.label for phase in free if phase.crystal == _ROCK_SALT)
    inflation = float(np.sqrt(max(1.0, refined.chi2_reduced[0])))
    return Claim(
        "6d", f"Lattice parameter of {PHASE_WORDS[_ROCK_SALT]} in the low a region, {way}",
        "4.13 Å", recovered=float(refined.of(f"{label}.a_A")[0]),
        truth=float(find_crystal(_ROCK_SALT).cell_A_deg[0]), needed=_NEEDED_A, unit="Å",
        esd=inflation * float(refined.esd_of(f"{label}.a_A")[0]), digits=4,
    )  # fmt: skip


def single_voxels(label: Ints, *, of: int, n: int, seed: int) -> Ints:
    """Return a map of labels in which voxels drawn from a region are each one of its own."""
    places = np.flatnonzero(label == of)
    drawn = np.random.default_rng(seed).permutation(places)[:n]
    alone = np.full(label.size, -1, np.int64)
    alone[drawn] = np.arange(drawn.size)
    return alone.reshape(label.shape)


def _hidden(each: Slice, label: Ints, sinogram: Sinogram, way: str) -> list[Claim]:
    alone = single_voxels(label, of=0, n=_N_VOXELS, seed=each.experiment.seed)
    found = _analysed(each, alone, sinogram, refine_shared=False)
    true = _true(each, found)
    claims = []
    for phase in _HIDDEN_PHASES:
        column = found.phases.index(phase)
        value, esd = 1e2 * found.weight_fraction[:, column], 1e2 * found.esd_total[:, column]
        known = np.isfinite(value) & np.isfinite(esd) & np.isfinite(true[:, column])
        if known.sum() < 2:
            continue
        amount = float(true[known, column].mean())
        if amount <= 0.0:  # none of it to be hidden
            continue
        error = SIGMA_PER_MAD * float(np.median(np.abs(value - true[:, column])[known]))
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
    away = SIGMA_PER_MAD * np.median(np.abs(values - np.median(values)))
    return float(np.sqrt(0.5 * np.pi / values.size) * away)
