"""Planted phase: a fifth of the mass that is Li2MnO3 is told as a fifth.

Every particle is made of spinel with 20 % by weight of Li2MnO3 throughout, and the recipe looks for
it. The weight fractions of all regions agree with the truth within a hundredth of themselves and
the normal quantile that Bonferroni's inequality gives for a false alarm in 1e-7, times their stated
total uncertainty; and the phase is told from nothing by the same quantile in the largest region, so
that large uncertainties do not hide it.
"""

from __future__ import annotations

import numpy as np

from inverse.recipe import FixedPhase
from phantoms.particle import Shell
from validation.crystals import phase_name
from validation.experiment import Experiment
from validation.metrics import true_weight_fractions
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Measured, Pipeline, measure
from validation.properties.statistics import critical_z

PHASE = "Li2MnO3"
WEIGHT_FRACTION = 0.2
_FEWEST_VOXELS = 50
"""Interior voxels from which on a sample has regions to tell of."""


def planted_phase(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless the weight fraction of a planted phase comes back.

    The particles are made uniform and seen by a scan wide enough for all of them; without what
    :func:`subjects.lawful` leaves out. One scan.
    """
    law = "planted_phase"
    asked = subjects.lawful(subjects.subject(experiment, subjects.ball(), seed))
    one = subjects.in_view(with_phase(subjects.uniform(asked)))
    found = measure(pipeline, one, law=law)
    complaint = _complaint(found)
    if complaint is not None:
        raise PropertyError(law, complaint, [one])


def with_phase(experiment: Experiment) -> Experiment:
    """Return the experiment with the phase in all particles and in the recipe."""
    particles = tuple(
        p.model_copy(
            update={
                "shells": (
                    Shell(phase=PHASE, thickness_um=p.radius_um, weight_fraction=WEIGHT_FRACTION),
                )
            }
        )
        for p in subjects.particles_of(experiment)
    )
    recipe = experiment.recipe
    if PHASE not in {phase.crystal for phase in recipe.fixed_phases}:
        fixed = (*recipe.fixed_phases, FixedPhase(crystal=PHASE))
        recipe = recipe.model_copy(update={"fixed_phases": fixed})
    return subjects.changed(subjects.with_particles(experiment, particles), recipe=recipe)


def _complaint(found: Measured) -> str | None:
    table = found.maps.regions
    enough = int(found.truth.interior.sum()) >= _FEWEST_VOXELS
    names = () if table is None else tuple(map(phase_name, table.phases))
    if table is None or PHASE not in names:
        return f"the maps tell no weight fractions of {PHASE}" if enough else None
    column = names.index(PHASE)
    told, esd = table.weight_fraction[:, column], table.weight_fraction_esd_total[:, column]
    usable = np.isfinite(told) & np.isfinite(esd) & (esd > 0.0)
    if not usable.any():
        return f"no region has a weight fraction of {PHASE} with an uncertainty" if enough else None
    true = true_weight_fractions(table, found.truth)[:, column]
    critical = critical_z(int(usable.sum()) + 1)
    error = np.abs(told - true) - subjects.SYSTEMATIC * true
    z = np.where(usable, error / np.where(usable, esd, 1.0), -np.inf)
    worst = int(z.argmax())
    if z[worst] > critical:
        return (
            f"{true[worst]:.4f} by weight of {PHASE} in region {worst} are told as "
            f"{told[worst]:.4f} ± {esd[worst]:.4f}"
        )
    largest = int(np.where(usable, table.n_voxels, -1).argmax())
    if enough and told[largest] < critical * esd[largest]:
        return (
            f"{true[largest]:.4f} by weight of {PHASE} in the largest region are told as "
            f"{told[largest]:.4f} ± {esd[largest]:.4f}, which could be none"
        )
    return None
