"""The truth of a sample without spinel: a calibrant, say, whose crystal stands in its place.

Scorecards ask for the lattice parameter of the refined phase, which in a :class:`Truth` is the
spinel. Where there is none of it, the phase that a recipe refines instead has a cell that is the
same everywhere, and takes its place in all maps.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from phantoms.sample import SPINEL
from validation.crystals import phase_name
from validation.truth import Truth, eroded, with_masses
from xrdct.crystal_source import find_crystal


def as_refined(truth: Truth, phase: str, *, folder: Path) -> Truth:
    """Return the truth with ``phase`` in the spinel's place, if there is no spinel but some of it.

    Else the truth itself. Interior are then voxels wholly below the surface of one particle, by
    the depth of their middle, of which the phase makes up at least half of what is solid. CIF files
    are named from ``folder``.
    """
    names = {phase_name(name): name for name in truth.extra_fraction}
    name = names.get(phase_name(phase))
    if name is None or np.any(truth.volume_fraction > 0.0):
        return truth
    fraction = truth.extra_fraction[name]
    there = fraction > 0.0
    cell_A = find_crystal(name, folder=folder).cell_A_deg[0]
    a_A = np.where(there, cell_A, np.nan)
    none = np.zeros_like(fraction)
    solid = sum(truth.extra_fraction.values(), none)
    with np.errstate(invalid="ignore"):
        below = truth.depth_um > np.sqrt(0.5) * truth.scan.step_um
    interior = below & there & (fraction >= 0.5 * solid)
    masses = dict(with_masses(truth, folder=folder).mass_g_per_cm3 or {})
    masses[SPINEL] = masses.pop(name)
    return replace(
        truth,
        a_A=a_A,
        volume_fraction=fraction,
        lattice_a_A=np.stack([a_A, *[np.full_like(a_A, np.nan)] * (len(truth.lattice_a_A) - 1)]),
        lattice_fraction=np.stack([fraction, *[none] * (len(truth.lattice_fraction) - 1)]),
        extra_fraction={n: f for n, f in truth.extra_fraction.items() if n != name},
        interior=interior,
        eroded=eroded(interior, truth.particle),
        two_lattices=np.zeros_like(interior),
        mass_g_per_cm3=masses,
    )
