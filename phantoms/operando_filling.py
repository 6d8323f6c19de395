"""How full each particle of the operando electrode is at a scan, and at which depth.

Li-rich particles follow Particle 1, each at its own speed; Particle 2 has its table. The bulk holds
what is left of the lithium counted (:mod:`phantoms.operando_counting`), and its particles share it
by start and speed (:mod:`phantoms.charge_sharing`). The capacity of a particle is its volume times
the weight fraction of spinel times (1 − 3y).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.charge_sharing import progress_law, shared_filling
from phantoms.diffusion import CurrentSpan, deviation
from phantoms.filled_profiles import TABLE_RADII, gradient_laws, tabulated_laws
from phantoms.operando_counting import BEFORE, bulk_amount, contents
from phantoms.operando_options import OperandoElectrode
from phantoms.operando_population import Population
from phantoms.particle import Law

Array: TypeAlias = NDArray[np.float64]

_S_PER_H = 3600.0


def filled_fractions(spec: OperandoElectrode, population: Population, *, scan: int) -> Array:
    """Return the filled fraction of every particle at a scan, 1 to 5, or before the discharge.

    Raises InputError where the bulk cannot hold what is left for it.
    """
    now, bulk = contents(spec, population, scan=scan), population.bulk
    filled = now.filled.copy()
    filled[bulk] = shared_filling(
        progress_law(spec.window_progress),
        start=np.clip(spec.discharge.start_x + population.start[bulk], 0.0, 1.0),
        speed=population.speed[bulk],
        capacity=now.capacity[bulk],
        amount=bulk_amount(spec, population, scan=scan),
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
    before = filled_fractions(spec, population, scan=BEFORE)
    begin_s, spans = 0.0, []
    for scan in range(1, spec.scan + 1):
        filled = filled_fractions(spec, population, scan=scan)
        end_s = discharge.scan_start_s(scan)
        if end_s > begin_s:
            per_h = (filled - before) / (end_s - begin_s) * _S_PER_H
            spans.append((CurrentSpan(start_s=begin_s, stop_s=end_s, rate_per_h=1.0), per_h))
        before, begin_s = filled, end_s + discharge.pause_s
    return spans
