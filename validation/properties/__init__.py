"""Laws that any pipeline from raw scan to maps must keep, ready to be asked of yours.

    from validation.properties import PROPERTIES, check_all, rotation_equivariance

    def my_pipeline(raw: RawScan, others: Mapping[str, RawScan]) -> Maps: ...

    rotation_equivariance(my_pipeline)            # its own small experiment
    check_all(my_pipeline, seed=7)                # all laws

Each module states its law and where its tolerance comes from. A broken law raises
:class:`PropertyError`, an AssertionError of one sentence with the seed; a note holds the
experiment as TOML.
"""

from validation.experiment_toml import experiment_toml
from validation.properties.counts import improvement_with_counts
from validation.properties.coverage import uncertainty_coverage
from validation.properties.detector_turn import detector_turn
from validation.properties.failure import PropertyError
from validation.properties.flux import flux_scaling
from validation.properties.lattice_shift import planted_lattice_shift
from validation.properties.no_silent_nan import no_silent_nan
from validation.properties.null_sample import null_sample
from validation.properties.pipelines import Pipeline, load_pipeline, own_pipeline
from validation.properties.planted_phase import planted_phase
from validation.properties.rotation import rotation_equivariance
from validation.properties.statistics import FALSE_ALARM
from validation.properties.subjects import NAMED
from validation.properties.suite import PROPERTIES, Property, check_all
from validation.properties.translation import translation_equivariance
from validation.properties.trimmed_rings import trimmed_rings

__all__ = [
    "FALSE_ALARM",
    "NAMED",
    "PROPERTIES",
    "Pipeline",
    "Property",
    "PropertyError",
    "check_all",
    "detector_turn",
    "experiment_toml",
    "flux_scaling",
    "improvement_with_counts",
    "load_pipeline",
    "no_silent_nan",
    "null_sample",
    "own_pipeline",
    "planted_lattice_shift",
    "planted_phase",
    "rotation_equivariance",
    "translation_equivariance",
    "trimmed_rings",
    "uncertainty_coverage",
]
