"""Claims of figure 5 from the strain of the two particles (the study's note 9): it rises.

The pattern of all voxels of a particle is refined; what the spread of its lattice parameter adds to
the widths of lines is taken off (:mod:`inverse.region_analysis`). Truth is the particle's own e0.
"""

from __future__ import annotations

import numpy as np

from inverse.quantify_strain import StrainRange
from inverse.region_analysis import analyse_regions
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.particles import NAMES, found_particle
from validation.paper.prepared import Slice

_UNIT = 1e4
_NEEDED = 1.0
"""In 1e-4."""
_PUBLISHED = ("not said", "rises")


def strain_claims(study: Study) -> list[Claim]:
    """Return the strain of both particles before and after discharge, and whether it rises."""
    claims = []
    for way, trimmed in study.integrations.items():
        first, last = (study.operando(scan, trimmed=trimmed) for scan in (1, 5))
        before, after = particle_strains(first), particle_strains(last)
        for number, name in enumerate(NAMES):
            true = [_true(each, number) for each in (first, last)]
            figure = f"5{'bd'[number]}"
            rise = float(after.strain[number] - before.strain[number])
            esd = float(np.hypot(after.esd[number], before.esd[number]))
            claims += [
                Claim(
                    figure, f"Strain of {name} in scan 5, {way}", _PUBLISHED[number],
                    recovered=_UNIT * float(after.strain[number]), truth=_UNIT * true[1],
                    needed=_NEEDED, unit="e-4", esd=_UNIT * float(after.esd[number]),
                ),
                Claim(
                    figure, f"Strain of {name} rises, scan 1 to 5, {way}", _PUBLISHED[number],
                    recovered=_UNIT * rise, truth=_UNIT * (true[1] - true[0]), needed=_NEEDED,
                    unit="e-4", esd=_UNIT * esd, kind="above",
                ),
            ]  # fmt: skip
    return claims


def particle_strains(each: Slice) -> StrainRange:
    """Return the strains of both particles of a slice; NaN where one was not found."""
    maps, numbers = each.maps, list[int]()
    label = np.full(maps.a_A.shape, -1, np.int64)
    for number in range(len(NAMES)):
        inside = found_particle(each, number).recovered
        if inside.any():
            label[inside] = len(numbers)
            numbers.append(number)
    result = [np.full(len(NAMES), np.nan) for _ in range(3)]
    if numbers:
        found = analyse_regions(
            each.raw(), label=label, recipe=maps.recipe, shared=maps.shared,
            others=each.others(), a_A=maps.a_A, a_esd_A=maps.a_esd_total_A, workers=each.workers,
        ).strain  # fmt: skip
        for into, values in zip(result, (found.strain, found.esd, found.upper), strict=True):
            into[numbers] = values
    return StrainRange(*result)


def _true(each: Slice, number: int) -> float:
    return float(each.sample.particles[number].strain)
