"""A small slice of Particle 1 that tests of the study's figures take."""

from validation.experiment import Experiment
from validation.paper.prepared import Sets

SMALL = {
    "name": "small, of its kind",
    "seed": 7,
    "geometry": {"n_channels": 300},
    "scan": {"n_offsets": 21, "n_angles": 24, "step_um": 1.0},
    "sample": {"library": "particle_1", "diameter_um": 12.0},
    "recipe": {"regions": {"depth_edges_um": [0.0, 2.0, 4.0, 6.5, 10.0]}},
}


def small_slice(folder):
    """Return the slice, made in a folder or read from it."""
    return Sets(folder).get(Experiment.model_validate(SMALL))
