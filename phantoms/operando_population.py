"""Who is in the operando electrode: places, sizes, and what else differs between its particles.

What is drawn depends on the seed only, so that a particle has the same place, size, start and speed
at all scans and in all planes. The first two are the known particles, Particle 1 and Particle 2,
which are neither drawn nor moved by the others. Where the others find no room around them, they
are drawn again (:mod:`phantoms.packing_attempts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.operando_options import OperandoElectrode
from phantoms.packing import Packing, pack_slice, told_as_options
from phantoms.packing_attempts import packed_in_attempts

Array: TypeAlias = NDArray[np.float64]

N_KNOWN = 2
_KEY = (0x0D15,)


@dataclass(frozen=True, eq=False)
class Population:
    """All spheres and what is drawn for them, every field of shape (particle,) unless said."""

    centres_um: Array
    """(particle, xyz)."""
    radius_um: Array
    rich: NDArray[np.bool_]
    start: Array
    """Difference of the filled fraction from the mean before the discharge."""
    speed: Array
    gradient: Array

    @property
    def bulk(self) -> NDArray[np.bool_]:
        """Who takes up what the others leave: all but the Li-rich and Particle 2."""
        bulk = ~self.rich
        bulk[:N_KNOWN] = False
        return bulk


def draw_population(spec: OperandoElectrode, seed: int) -> Population:
    """Pack the electrode and draw what differs between its particles.

    Raises InputError where the known particles overlap or do not fit, or where 20 draws of the
    others find no room.
    """
    packing = packed(spec, seed)
    n = packing.diameters_um.size
    sequence = np.random.SeedSequence(seed, spawn_key=_KEY)
    rng = np.random.Generator(np.random.Philox(sequence))
    rich = rng.random(n) < spec.li_rich_share
    rich[:N_KNOWN] = (True, False)
    variance = np.log1p(spec.speed_spread**2)  # of the logarithm
    start = spec.start_spread * rng.standard_normal(n)
    speed = np.exp(np.sqrt(variance) * rng.standard_normal(n))
    start[:N_KNOWN], speed[:N_KNOWN] = 0.0, 1.0
    return Population(
        centres_um=packing.centres_um,
        radius_um=0.5 * packing.diameters_um,
        rich=rich,
        start=start,
        speed=speed,
        gradient=spec.filled_gradient + spec.gradient_spread * rng.standard_normal(n),
    )


def packed(spec: OperandoElectrode, seed: int) -> Packing:
    """Pack the electrode around the known particles."""
    known = (
        (*spec.particle_1_um, spec.particle_1_z_um, spec.particle_1_diameter_um),
        (*spec.particle_2_um, spec.particle_2_z_um, spec.particle_2_diameter_um),
    )
    sizes_um = (spec.median_particle_um, spec.smallest_particle_um, spec.largest_particle_um)
    with told_as_options():
        return _packed_once(
            spec.diameter_um, spec.volume_fraction, sizes_um, spec.sigma_log, spec.margin_um,
            known, seed,
        )  # fmt: skip


@lru_cache(maxsize=2)  # five scans and twenty planes ask for the same spheres, which take seconds
def _packed_once(
    diameter_um: float,
    volume_fraction: float,
    sizes_um: tuple[float, float, float],
    sigma_log: float,
    margin_um: float,
    known: tuple[tuple[float, float, float, float], ...],
    seed: int,
) -> Packing:
    median_um, smallest_um, largest_um = sizes_um
    spheres = np.array(known)
    packing = packed_in_attempts(
        lambda sub_seed: pack_slice(
            electrode_diameter_um=diameter_um,
            volume_fraction=volume_fraction,
            median_diameter_um=median_um,
            sigma_log=sigma_log,
            min_diameter_um=smallest_um,
            max_diameter_um=largest_um,
            margin_um=margin_um,
            placed=Packing(centres_um=spheres[:, :3], diameters_um=spheres[:, 3]),
            seed=sub_seed,
        ),
        seed=seed,
    )
    packing.centres_um.flags.writeable = False
    packing.diameters_um.flags.writeable = False
    return packing
