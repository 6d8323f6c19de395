"""Planted lattice shift: where all of a sample has a known lattice parameter, maps show it.

The sample is made uniform, first of one lithium content, then of another, whose lattice parameters
differ by 10 mÅ. In a uniform sample every ray shows the same pattern, so neither blur nor
interpolation can move a lattice parameter. Hence, inside particles,

- voxel by voxel the maps differ by the planted shift, |z| below the normal quantile that
  Bonferroni's inequality gives for a false alarm in 1e-7;
- the mean of this difference is the planted shift, and
- the mean of either map is the planted value, both within the same quantile of the mean's
  uncertainty (of every third voxel in either direction, whose errors are independent),

each beside a hundredth of a channel in the place of lines. The last finds a scale of lattice
parameters that is wrong by 1e-4, the one before changes that are wrong by a twentieth.
"""

from __future__ import annotations

import numpy as np

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Floats, Pipeline, measure
from validation.properties.statistics import (
    Allowance,
    Bools,
    Seen,
    critical_z,
    deep,
    disagreement,
    independent,
)

_CONTENTS = (0.90, 0.955)
_AMOUNT_ALLOWANCE = 0.1
"""Lithium changes what a line's power tells of amounts; this law does not ask for them."""


def planted_lattice_shift(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless planted lattice parameters, and their change, come back.

    The experiment's particles are made uniform, and seen over a full turn, which cancels parallax,
    by a scan wide enough for all of them; without what :func:`subjects.lawful` leaves out. Two
    scans.
    """
    law = "planted_lattice_shift"
    asked = subjects.lawful(subjects.subject(experiment, subjects.ball(), seed))
    wide = subjects.in_view(subjects.changed(asked, scan=subjects.full_turn(asked.scan)))
    first, second = (subjects.uniform(wide, x=x) for x in _CONTENTS)
    planted_A = [subjects.uniform_lattice_A(x) for x in _CONTENTS]
    allowed_A = subjects.place_allowance_A(wide, planted_A[0])
    before, after = (measure(pipeline, one, law=law) for one in (first, second))
    among = deep(before) & deep(after)
    shift_A = planted_A[1] - planted_A[0]
    found = disagreement(
        Seen.of(before), Seen.of(after), least_amount=wide.recipe.min_volume_fraction,
        shift_A=shift_A, allowance=Allowance(a_A=allowed_A, amount=_AMOUNT_ALLOWANCE), among=among,
    ) or _complaint(
        after.maps.a_A - before.maps.a_A, shift_A, allowed_A, independent(among),
        esd_A=np.hypot(before.maps.a_esd_noise_A, after.maps.a_esd_noise_A),
    )  # fmt: skip
    if found is not None:
        sentence = f"of a sample whose lattice parameter rose by {shift_A:.6f} Å, {found}"
        raise PropertyError(law, sentence, [first, second])
    for measured, a_A in zip((before, after), planted_A, strict=True):
        maps, chosen = measured.maps, independent(deep(measured))
        found = _complaint(maps.a_A, a_A, allowed_A, chosen, esd_A=maps.a_esd_noise_A)
        if found is not None:
            sentence = f"of a sample of {a_A:.6f} Å, {found}"
            raise PropertyError(law, sentence, [measured.experiment])


def _complaint(
    found_A: Floats, planted_A: float, allowed_A: float, chosen: Bools, *, esd_A: Floats
) -> str | None:
    """Return a sentence where the mean of chosen voxels is not the planted value."""
    n_voxels = int(chosen.sum())
    if n_voxels == 0:
        return None
    error_A = float(np.mean(found_A[chosen])) - planted_A
    mean_esd_A = float(np.sqrt(np.mean(esd_A[chosen] ** 2) / n_voxels))
    tolerance_A = allowed_A + critical_z(3) * mean_esd_A
    if abs(error_A) <= tolerance_A:
        return None
    return (
        f"the mean of this in {n_voxels} voxels inside is wrong by {error_A:.2g} Å, where "
        f"{tolerance_A:.2g} Å are allowed"
    )
