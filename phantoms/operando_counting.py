"""How much lithium the bulk of the operando electrode holds at each scan: two ways to count.

The charge counted says how much lithium has gone in, x(q) − x_0 per LiMn2O4
(:mod:`phantoms.discharge`). Phases come and go meanwhile, and are given: those of the study's two
particles (:mod:`phantoms.particle_states`). What is counted is a choice, ``counts``:

``filled``      The mean filled fraction of the spinel at hand, weighted with capacity, is x(q),
                whatever else there is. Amounts of lithium are then not conserved, as the spinel's
                share of the electrode changes: capacities by scan are 0.94, 0.69, 0.81, 0.77 and
                0.73 of the electrode's. From scan to scan 0.1855 per O4 is counted; the spinel
                takes up 0.085, 0.195, 0.119 and 0.104, all phases 0.302, 0.213, 0.210 and 0.194.
``all_phases``  The lithium of all phases together rises by x(q) − x_0 per O4: 2 in Li2Mn2O4 (rock
                salt), 0.5 in Li0.5Mn2O4, x + y in the spinel. Rock salt then takes so much of it
                that the spinel stays emptier than the study finds it:

    mean filled fraction by scan    filled      0.174  0.360  0.545  0.731  0.916
                                    all_phases  0.174  0.190  0.368  0.511  0.672
    mean a of the bulk, Å           filled      8.071  8.119  8.162  8.195  8.229
                                    all_phases  8.071  8.071  8.117  8.150  8.180

(``margin_um`` 2, other defaults, seed 411). With a ``secondary_factor`` of 0.5, ``all_phases``
ends at 8.212 Å, with 0.25 at 8.224 Å. The study's 8.23 to 8.245 Å at the end, its fractions of
rock salt, up to 26 wt %, and its charge do not go together, so the default keeps the lattice
parameters and the fractions.

Li-rich particles follow Particle 1, and Particle 2 its table, under both. The bulk takes up what
is left. It must not give off lithium while the electrode takes it up: its mean filled fraction
(``filled``) or its lithium in all phases (``all_phases``) must not fall from scan to scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.charge_sharing import check_amount
from phantoms.operando_options import OperandoElectrode
from phantoms.operando_population import Population
from phantoms.particle_states import (
    PARTICLE_1,
    PARTICLE_2,
    li_rich_filling,
    locked_lithium,
    spinel_capacity,
)
from xrdct.errors import InputError

Array: TypeAlias = NDArray[np.float64]

BEFORE = 0
"""Number of the state before the discharge, in which phases are those of scan 1."""

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Contents:
    """What all particles can hold and what is known of what they hold, fields (particle,).

    Amounts are lithium per O4 times R³.
    """

    capacity: Array
    """Extractable lithium of the spinel when full."""
    filled: Array
    """Filled fraction; of the bulk, 0."""
    locked: Array
    """Lithium that is no extractable lithium of the spinel."""


def contents(spec: OperandoElectrode, population: Population, *, scan: int) -> Contents:
    """Return capacities, and how full the particles are that do not belong to the bulk."""
    rich_state, spinel_state = PARTICLE_1[max(scan, 1) - 1], PARTICLE_2[max(scan, 1) - 1]
    volume, rich = population.radius_um**3, population.rich
    rise = population.speed * (rich_state.filled - PARTICLE_1[0].filled)
    filled = np.clip(PARTICLE_1[0].filled + population.start + rise, 0.0, 1.0)
    filled[1] = spinel_state.filled
    filled[population.bulk] = 0.0
    filling = li_rich_filling(rich_state, filled=filled[rich], radius_um=population.radius_um[rich])
    factor = spec.secondary_factor
    capacity = np.where(
        population.bulk,
        spinel_capacity(spinel_state, secondary_factor=factor),
        spinel_capacity(spinel_state),
    )
    locked = np.where(
        population.bulk,
        locked_lithium(spinel_state, secondary_factor=factor),
        locked_lithium(spinel_state),
    )
    capacity[rich], locked[rich] = filling.capacity, filling.locked
    return Contents(capacity=volume * capacity, filled=filled, locked=volume * locked)


def bulk_amount(spec: OperandoElectrode, population: Population, *, scan: int) -> float:
    """Return how much extractable lithium the spinel of the bulk holds at a scan, or `BEFORE`."""
    discharge = spec.discharge
    mean = discharge.start_x if scan == BEFORE else discharge.scan_x(scan)
    now = contents(spec, population, scan=scan)
    if spec.counts == "filled" or scan == BEFORE:
        return mean * float(now.capacity.sum()) - float(now.capacity @ now.filled)
    before = contents(spec, population, scan=BEFORE)
    whole = discharge.start_x * before.capacity.sum() + before.locked.sum()
    whole += (mean - discharge.start_x) * (population.radius_um**3).sum()
    return float(whole - now.locked.sum() - now.capacity @ now.filled)


def check_uptake(spec: OperandoElectrode, population: Population) -> None:
    """Raise InputError where the bulk cannot hold its lithium, or gives it off, up to the scan."""
    bulk = population.bulk
    if not bulk.any():
        raise InputError(
            "no particle of the bulk is left to take up the lithium that the current delivers: "
            f"li_rich_share is {spec.li_rich_share:g}"
        )
    volume = float((population.radius_um[bulk] ** 3).sum())
    last = -np.inf
    for scan in range(BEFORE, spec.scan + 1):
        amount = bulk_amount(spec, population, scan=scan)
        now = contents(spec, population, scan=scan)
        capacity = now.capacity[bulk]
        if spec.counts == "filled":
            held = amount / float(capacity.sum())
        else:
            held = (amount + float(now.locked[bulk].sum())) / volume
        if held < last - _ROUNDING:
            raise InputError(
                f"scan_charges {spec.discharge.scan_charges} count less by scan {scan} than "
                "Particles 1 and 2 and the Li-rich take up: the bulk would fall from "
                f"{last:.3g} to {held:.3g} lithium per LiMn2O4; count more, or take a larger "
                "electrode"
            )
        check_amount(amount, capacity=capacity)
        last = held
