"""Claims of figure 2: lithium content by scan, from lattice parameters and from charge.

Every voxel's lattice parameter is turned into the lithium content of stoichiometric spinel
(:func:`phantoms.stoichiometry.x_from_lattice` at y = 0), and averaged by how much spinel there is.
The uncertainty is that of a slice which stands for the electrode: particles differ, so that the
mean over those in view scatters by √(Σ w² d²), w their shares and d how far each is off the mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.discharge import Discharge
from phantoms.stoichiometry import x_from_lattice
from validation.paper.claims import Claim
from validation.paper.drawing import Study

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEEDED = 0.05
"""What tells neighbouring scans (0.19 apart) surely."""


def lithium_claims(study: Study) -> list[Claim]:
    """Return x of every scan, against the charge that has been counted."""
    discharge = Discharge()
    claims = []
    for scan, each in enumerate(study.all_operando(), start=1):
        x, esd = mean_x(each.maps.a_A, each.maps.volume_fraction, each.particles.label)
        true_x, _ = mean_x(each.true_a_A, each.truth.volume_fraction, each.truth.particle)
        claims.append(
            Claim(
                "2a", f"Lithium x in LixMn2O4 in scan {scan}, from lattice parameters",
                "not empty at the start" if scan == 1 else "rises with charge", recovered=x,
                truth=discharge.scan_x(scan), needed=_NEEDED, esd=esd,
                note=f"truth by charge; true lattice parameters would give {true_x:.2f}",
            )
        )  # fmt: skip
    first = claims[0]
    emptied = Claim(
        "2a", "Not all lithium sites are empty at the start (x)", "above 0",
        recovered=first.recovered, truth=first.truth, needed=_NEEDED, esd=first.esd, kind="above",
    )  # fmt: skip
    return [*claims, emptied]


def mean_x(a_A: Floats, amount: Floats, particle: Ints) -> tuple[float, float]:
    """Return the mean lithium content of maps (y, x), and its scatter from slice to slice.

    Voxels of no particle count as one.
    """
    known = np.isfinite(a_A) & (np.nan_to_num(amount) > 0.0)
    if not known.any():
        return float("nan"), float("nan")
    x = x_from_lattice(a_A[known], y=0.0)
    weight = amount[known] / amount[known].sum()
    mean = float(weight @ x)
    of_particle = np.bincount(particle[known] + 1, weight * (x - mean))
    return mean, float(np.sqrt(np.sum(of_particle**2)))
