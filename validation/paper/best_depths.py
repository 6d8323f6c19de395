"""What averages by depth could at best show: the truth in the very voxels that are averaged.

Between this and the truth by true depth lies what the outline of a particle and distances in the
plane instead of depths in space do; between this and what is recovered, errors of the map.
"""

from __future__ import annotations

import numpy as np

from inverse.depth_profiles import DepthAverages, DepthProfile, depth_profiles
from validation.paper.particles import label_of
from validation.paper.prepared import Slice


def best_profile(each: Slice, number: int) -> DepthProfile | None:
    """Return the true profile of particle ``number`` in its recovered voxels and depths.

    None where the particle was not found, or not as a whole.
    """
    label, maps = label_of(each, number), each.maps
    if label is None:
        return None
    averaged = np.isfinite(maps.a_A) & np.isfinite(maps.a_esd_total_A)
    found = depth_profiles(
        np.where(averaged, each.truth.a_A, np.nan), particles=each.particles,
        step_um=maps.scan.step_um, only=(label,),
        settings=DepthAverages(correlation=maps.recipe.reconstruction.filter),
    )  # fmt: skip
    return found[0] if found else None
