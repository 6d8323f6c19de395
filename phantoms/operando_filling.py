"""Who is in the operando electrode, and how full each particle is at a scan.

What is drawn depends on the seed only, so that a particle has the same place, size, start and speed
at all scans and in all planes. The first two are the known particles, Particle 1 and Particle 2,
which are neither drawn nor moved by the others. Li-rich particles follow Particle 1, each at its
own speed; the bulk takes up what is left of the charge counted (:mod:`phantoms.charge_sharing`).
The capacity of a particle is its volume times the weight fraction of spinel times (1 − 3y).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.charge_sharing import progress_law, shared_filling
from phantoms.diffusion import CurrentSpan, deviation
from phantoms.filled_profiles import TABLE_RADII, gradient_laws, tabulated_laws
from phantoms.operando_options import OperandoElectrode
from phantoms.packing import Packing, pack_slice
from phantoms.particle import Law
from phantoms.particle_states import PARTICLE_1, PARTICLE_2, li_rich_filling, spinel_capacity
from xrdct.errors import InputError

Array: TypeAlias = NDArray[np.float64]

N_KNOWN = 2
_KEY = (0x0D15,)
_S_PER_H = 3600.0


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


def draw_population(spec: OperandoElectrode, seed: int) -> Population:
    """Pack the electrode and draw what differs between its particles.

    Raises InputError where the known particles overlap or do not fit, or the packing fails.
    """
    packing = _packed(spec, seed)
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


def _packed(spec: OperandoElectrode, seed: int) -> Packing:
    """Pack the electrode around the known particles; a complaint names the options."""
    known = (
        (*spec.particle_1_um, spec.particle_1_z_um, spec.particle_1_diameter_um),
        (*spec.particle_2_um, spec.particle_2_z_um, spec.particle_2_diameter_um),
    )
    sizes_um = (spec.median_particle_um, spec.smallest_particle_um, spec.largest_particle_um)
    try:
        return _packed_once(
            spec.diameter_um, spec.volume_fraction, sizes_um, spec.sigma_log, spec.margin_um,
            known, seed,
        )  # fmt: skip
    except InputError as error:
        message = str(error).replace("median_diameter_um", "median_particle_um")
        raise InputError(f"sample: {message}") from error


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
    packing = pack_slice(
        electrode_diameter_um=diameter_um,
        volume_fraction=volume_fraction,
        median_diameter_um=median_um,
        sigma_log=sigma_log,
        min_diameter_um=smallest_um,
        max_diameter_um=largest_um,
        margin_um=margin_um,
        placed=Packing(centres_um=spheres[:, :3], diameters_um=spheres[:, 3]),
        seed=seed,
    )
    packing.centres_um.flags.writeable = False
    packing.diameters_um.flags.writeable = False
    return packing


def filled_fractions(
    spec: OperandoElectrode, population: Population, *, scan: int, mean: float
) -> Array:
    """Return the filled fraction of every particle; their capacity-weighted mean is ``mean``."""
    rich_state, spinel_state = PARTICLE_1[scan - 1], PARTICLE_2[scan - 1]
    radius, rich = population.radius_um, population.rich
    rise = population.speed * (rich_state.filled - PARTICLE_1[0].filled)
    filled = np.clip(PARTICLE_1[0].filled + population.start + rise, 0.0, 1.0)
    filled[1] = spinel_state.filled
    capacity = radius**3 * spinel_capacity(spinel_state, secondary_factor=spec.secondary_factor)
    capacity[1] = radius[1] ** 3 * spinel_capacity(spinel_state)
    rich_capacity = li_rich_filling(rich_state, filled=filled[rich], radius_um=radius[rich])
    capacity[rich] = radius[rich] ** 3 * rich_capacity.capacity
    bulk = ~rich
    bulk[1] = False
    amount = mean * capacity.sum() - float(capacity[~bulk] @ filled[~bulk])
    filled[bulk] = shared_filling(
        progress_law(spec.window_progress),
        start=np.clip(spec.discharge.start_x + population.start[bulk], 0.0, 1.0),
        speed=population.speed[bulk],
        capacity=capacity[bulk],
        amount=amount,
    )
    return filled


def bulk_laws(
    spec: OperandoElectrode, population: Population, filled: Array, bulk: NDArray[np.int64]
) -> list[Law]:
    """Return x over the radius for the particles ``bulk``, each with its mean ``filled``."""
    if spec.inside == "prescribed":
        return gradient_laws(filled[bulk], gradient=population.gradient[bulk])
    now_s = spec.discharge.scan_start_s(spec.scan) + spec.pause_share * spec.discharge.pause_s
    total = np.zeros((bulk.size, TABLE_RADII.size))
    for span, change in _uptake(spec, population):
        total += change[bulk, None] * deviation(
            TABLE_RADII, time_s=now_s, radius_um=population.radius_um[bulk, None],
            diffusivity_um2_per_s=spec.diffusivity_um2_per_s, spans=[span],
        )  # fmt: skip
    return tabulated_laws(filled[bulk], deviation=total)


def _uptake(spec: OperandoElectrode, population: Population) -> list[tuple[CurrentSpan, Array]]:
    """Return the currents that have flowed, at a rate of 1, and the rate of each particle per h."""
    discharge = spec.discharge
    before = filled_fractions(spec, population, scan=1, mean=discharge.start_x)
    begin_s, spans = 0.0, []
    for scan in range(1, spec.scan + 1):
        filled = filled_fractions(spec, population, scan=scan, mean=discharge.scan_x(scan))
        end_s = discharge.scan_start_s(scan)
        if end_s > begin_s:
            per_h = (filled - before) / (end_s - begin_s) * _S_PER_H
            spans.append((CurrentSpan(start_s=begin_s, stop_s=end_s, rate_per_h=1.0), per_h))
        before, begin_s = filled, end_s + discharge.pause_s
    return spans
