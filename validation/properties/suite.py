"""All properties, and all of them asked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from validation.experiment import Experiment
from validation.properties.counts import improvement_with_counts
from validation.properties.coverage import uncertainty_coverage
from validation.properties.detector_turn import detector_turn
from validation.properties.failure import PropertyError
from validation.properties.flux import flux_scaling
from validation.properties.lattice_shift import planted_lattice_shift
from validation.properties.no_silent_nan import no_silent_nan
from validation.properties.null_sample import null_sample
from validation.properties.pipelines import Pipeline
from validation.properties.planted_phase import planted_phase
from validation.properties.rotation import rotation_equivariance
from validation.properties.translation import translation_equivariance
from validation.properties.trimmed_rings import trimmed_rings


class Property(Protocol):
    """A law that a pipeline must keep."""

    __name__: str

    def __call__(
        self, pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
    ) -> None:
        """Raise PropertyError where the pipeline breaks the law.

        ``experiment`` is what the law is asked of, made to fit it; None: the law's own. ``seed``
        replaces that of the experiment.
        """


PROPERTIES: tuple[Property, ...] = (
    no_silent_nan,
    null_sample,
    rotation_equivariance,
    translation_equivariance,
    flux_scaling,
    detector_turn,
    trimmed_rings,
    planted_lattice_shift,
    planted_phase,
    uncertainty_coverage,
    improvement_with_counts,
)
"""In the order in which they are worth asking."""


def check_all(
    pipeline: Pipeline,
    *,
    experiment: Experiment | None = None,
    seed: int | None = None,
    properties: Sequence[Property] = PROPERTIES,
) -> None:
    """Ask all properties of a pipeline.

    Raises an ExceptionGroup of PropertyError, one for each law that is broken.
    """
    broken: list[PropertyError] = []
    for law in properties:
        try:
            law(pipeline, experiment=experiment, seed=seed)
        except PropertyError as failure:
            broken.append(failure)
    if broken:
        raise ExceptionGroup(f"{len(broken)} of {len(properties)} laws are broken", broken)
