"""Null sample: where there is nothing, no lattice parameter is found, and nothing goes wrong.

Asked of a scan of air alone, and of one in which not one photon is scattered. No voxel may carry a
lattice parameter. With the photons of the default experiment the amount in a voxel is known to
0.006, so that what a recipe calls material (a twentieth, or five standard uncertainties) is eight
standard uncertainties or more from nothing, passed by one of 400 voxels with a probability below
1e-7 where it takes both; the sharper one alone, five, would pass with 1e-4. A fixed seed gives no
false alarm afterwards.
"""

from __future__ import annotations

import numpy as np

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Pipeline, measure


def null_sample(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError where lattice parameters are found in nothing, or an exception is.

    The experiment is asked without its particles and its cell. Two scans.
    """
    law = "null_sample"
    asked = subjects.lawful(subjects.subject(experiment, subjects.empty(), seed))
    air = subjects.with_particles(asked, ())
    for one in (air, subjects.switched_off(air, "diffuse")):
        found = measure(pipeline, one, law=law)
        present = np.isfinite(found.maps.a_A) | found.converged
        if present.any():
            iy, ix = np.argwhere(present)[0]
            sentence = (
                f"{int(present.sum())} voxels of nothing are called recovered, the first at "
                f"({iy}, {ix}) with a = {found.maps.a_A[iy, ix]:.6g} Å"
            )
            raise PropertyError(law, sentence, [one])
