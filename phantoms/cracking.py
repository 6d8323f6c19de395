"""Cracks in particles of a cycled electrode, from the edge of an internal pore outwards.

The study (Finegan et al., Nat. Commun. 11 (2020) 631, figure 1c, d) saw cracks in larger particles,
beginning at internal pores. Each cracked particle has one pore and one crack here, of random
direction, and sizes in proportion to its own: assumptions, as seen in its micrographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.shape import Crack, Pore

Array: TypeAlias = NDArray[np.float64]

PORE = 0.12
"""Diameter of the pore over that of the particle."""
OFF_CENTRE = 0.3
"""Distance of the pore from the centre over the radius."""
LENGTH = 0.5
"""Length of the crack over the radius."""


@dataclass(frozen=True)
class Damage:
    """The voids of one particle."""

    pores: tuple[Pore, ...]
    cracks: tuple[Crack, ...]


def crack_from_pore(*, diameter_um: float, opening_um: float, directions: Array) -> Damage:
    """Return a pore and a tapered crack that begins at its edge.

    ``directions`` are two vectors, shape (2, 3), not parallel: the pore lies along the first, and
    the crack runs on along it, in the plane that holds both.
    """
    outward = directions[0] / np.linalg.norm(directions[0])
    normal = np.cross(outward, directions[1])
    radius_um = 0.5 * diameter_um
    pore_um = OFF_CENTRE * radius_um * outward
    mouth_um = pore_um + PORE * radius_um * outward
    return Damage(
        pores=(Pore(centre_um=_triple(pore_um), diameter_um=PORE * diameter_um),),
        cracks=(
            Crack(
                mouth_um=_triple(mouth_um),
                normal=_triple(normal / np.linalg.norm(normal)),
                length_um=LENGTH * radius_um,
                opening_um=opening_um,
            ),
        ),
    )


def _triple(vector: Array) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
