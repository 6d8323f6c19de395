"""The powder lines of a phase, and how their powers follow its cell and occupancies.

Positions are computed from the cell at every step of a refinement. The power of a line changes
slowly with the cell, through cell volume, 1/sinθ and form factors, so its logarithm is kept as the
parabola through three cells,

    ln q(ε) = c0 + c1·ε + c2·ε²,        ε = (v/v0)^⅓ − 1,

with v the volume of the cell and v0 that of the start, or of a cell so close to it that lines which
coincide by chance stand apart. An occupancy changes structure factors
linearly and powers by a parabola, exact through three values of the factor o,

    q(o)/q(1) = 1 + r1·(o − 1) + r2·(o − 1)².
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.line_list import allowed_lines
from inverse.profile import REACH_DEG
from inverse.rietveld_recipe import RietveldPhase
from xrdct.conversion import d_spacing_A
from xrdct.crystal import Crystal, Site
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.reflections import powder_reflections
from xrdct.scattering import ring_power_per_m

Floats = NDArray[np.float64]

_BEYOND_DEG = REACH_DEG + 0.5
"""Lines so far beyond the pattern are kept: their tails reach it, or a longer cell brings them."""
_COINCIDE = 1.5e-6
"""Relative difference of spacings that may be one line to :mod:`xrdct.reflections`."""
_APART, _ATTEMPTS = 1e-4, 8
"""Relative changes of the second free parameter of a cell, twice as much of the third and so on,
that may tell apart what coincides by chance: multiples up to so many."""
_EPSILON = 0.01
"""Relative change of lengths between the three cells."""
_FACTORS = (1.0, 0.9, 0.8)
"""Of an occupancy: not above 1, where a site may be full."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines of one phase."""

    hkl_products: Floats
    """h², k², l², 2kl, 2hl, 2hk of one reflection of each line, (line, 6)."""
    log_power: Floats
    """c0, c1 and c2, (line, 3), of the power in 1/µm."""
    s_squared_per_A2: Floats
    """(sinθ/λ)² in the cell of v0, (line,)."""
    occupancy: Floats
    """r1 and r2, (line, 2)."""
    volume_A3: float
    """v0."""


def rietveld_lines(phase: RietveldPhase, *, beam: Beam, geometry: Geometry) -> Lines:
    """Return the lines of a phase in and near the pattern.

    Raises InputError where none lie there, or the phase has no site of the name.
    """
    limit_rad = float(np.deg2rad(geometry.two_theta_max_deg + _BEYOND_DEG))
    d_min_A = d_spacing_A(limit_rad, wavelength_A=beam.wavelength_A)
    crystal = _apart(find_crystal(phase.crystal).scaled(phase.cell_start), d_min_A=d_min_A)
    hkl, s_squared, power = _powers(crystal, beam=beam, d_min_A=d_min_A)
    if len(hkl) == 0:
        raise InputError(f"{phase.crystal} has no line below {np.rad2deg(limit_rad):.1f}°")
    logs = [np.log(power)]
    for epsilon in (-_EPSILON, _EPSILON):
        scaled = crystal.scaled(1.0 + epsilon)
        other_hkl, _, other = _powers(scaled, beam=beam, d_min_A=d_min_A * (1.0 + epsilon))
        logs.append(np.log(_matched(hkl, other_hkl, other, empty=power)))
    middle, below, above = logs
    h, k, m = hkl.T.astype(np.float64)
    return Lines(
        hkl_products=np.stack([h * h, k * k, m * m, 2 * k * m, 2 * h * m, 2 * h * k], axis=1),
        log_power=np.stack(
            [
                middle,
                (above - below) / (2.0 * _EPSILON),
                (above - 2.0 * middle + below) / (2.0 * _EPSILON**2),
            ],
            axis=1,
        ),
        s_squared_per_A2=s_squared,
        occupancy=_occupancy(phase, crystal, hkl, power, beam=beam, d_min_A=d_min_A),
        volume_A3=crystal.volume_A3,
    )


def _apart(crystal: Crystal, *, d_min_A: float) -> Crystal:
    """Return a crystal of which lines coincide by symmetry only: the same, or a hair away from it.

    Lines of a tetragonal cell with c = a, say, would otherwise move as one when it is refined.
    """
    listed = allowed_lines(crystal.cell_A_deg, space_group=crystal.space_group, d_min_A=d_min_A)
    free = listed.law.free(crystal.cell_A_deg)
    changes = _APART * np.outer(np.arange(_ATTEMPTS), np.arange(free.size))
    cells = [listed.law.cell(free * (1.0 + change)) for change in changes]
    return replace(crystal, cell_A_deg=min(cells, key=lambda cell: _chances(listed.d_A(cell))))


def _chances(d_A: Floats) -> int:
    """Return how many lines are too close to the next to be told from it."""
    rising = np.sort(d_A)
    return int(np.sum(np.diff(rising) < _COINCIDE * rising[1:]))


def _powers(
    crystal: Crystal, *, beam: Beam, d_min_A: float
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return indices (line, 3), (sinθ/λ)² and ring power in 1/µm of the lines of a crystal."""
    found = powder_reflections(crystal, energy_keV=beam.energy_keV, d_min_A=d_min_A)
    power = ring_power_per_m(
        found, cell_volume_A3=crystal.volume_A3, wavelength_A=beam.wavelength_A
    )
    return found.hkl, 1.0 / (2.0 * found.d_A) ** 2, 1e-6 * power


def _matched(
    hkl: NDArray[np.int64], other_hkl: NDArray[np.int64], other: Floats, *, empty: Floats
) -> Floats:
    """Return the powers ``other`` in the order of ``hkl``; ``empty`` where a line is missing."""
    where = {tuple(indices): i for i, indices in enumerate(other_hkl.tolist())}
    place = np.array([where.get(tuple(indices), -1) for indices in hkl.tolist()])
    return np.where(place >= 0, other[place], empty)


def _occupancy(
    phase: RietveldPhase,
    crystal: Crystal,
    hkl: NDArray[np.int64],
    power: Floats,
    *,
    beam: Beam,
    d_min_A: float,
) -> Floats:
    """Return r1 and r2 of the module's formula, zeros where no site is named."""
    if phase.occupancy_site is None:
        return np.zeros((len(hkl), 2))
    if phase.occupancy_site not in {site.label for site in crystal.sites}:
        labels = ", ".join(site.label for site in crystal.sites)
        raise InputError(
            f"occupancy_site must be a site of {phase.crystal} ({labels}), "
            f"not {phase.occupancy_site!r}"
        )
    ratios = []
    for factor in _FACTORS[1:]:
        fewer = crystal.with_sites(_scaled_sites(crystal.sites, phase.occupancy_site, factor))
        other_hkl, _, other = _powers(fewer, beam=beam, d_min_A=d_min_A)
        ratios.append(_matched(hkl, other_hkl, other, empty=np.zeros_like(power)) / power - 1.0)
    steps = np.array(_FACTORS[1:]) - 1.0
    solved = np.linalg.solve(np.stack([steps, steps**2], axis=1), np.stack(ratios))
    return np.ascontiguousarray(solved.T)


def _scaled_sites(sites: Iterable[Site], label: str, factor: float) -> list[Site]:
    return [
        replace(s, occupancies=tuple((element, factor * o) for element, o in s.occupancies))
        if s.label == label
        else s
        for s in sites
    ]
