"""Claims of figure 2: whether one plane of the electrode stands for the others (left open).

The lattice parameter averaged over a plane of the volume, before discharge. Planes a few
micrometres apart cut the same particles, and all planes of the simulated electrode are alike but
for the particles that they cut.
"""

from __future__ import annotations

import numpy as np

from inverse.particle_spread import spread_between
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.populations import population
from validation.paper.prepared import Slice

_NEEDED_MA = 1.0


def plane_claims(study: Study) -> list[Claim]:
    """Return how much the mean lattice parameter of the planes of the volume differs."""
    rows = [row for row in map(_plane, study.planes()) if row is not None]
    if len(rows) < 2:
        return []
    mean_A, esd_A, true_A = np.array(rows).T
    found = spread_between(mean_A, esd=esd_A)
    apart_mA = 1e3 * float(true_A.std(ddof=1))
    return [
        Claim(
            "2a", f"Spread of the mean lattice parameter between {len(rows)} planes of the volume",
            "may differ", recovered=1e3 * found.value, truth=apart_mA, needed=_NEEDED_MA,
            unit="mÅ", esd=1e3 * found.esd,
            note="the twin's planes are alike but for the particles they cut",
        )
    ]  # fmt: skip


def _plane(each: Slice) -> tuple[float, float, float] | None:
    """Return the mean over a plane's particles by voxels, its esd and the truth; None for none."""
    found = population(each)
    if found.true_mean_A.size == 0:
        return None
    share = found.found.n_voxels / found.found.n_voxels.sum()
    return (
        float(share @ found.found.mean), float(np.sqrt(share**2 @ found.found.esd**2)),
        float(share @ found.true_mean_A),
    )  # fmt: skip
