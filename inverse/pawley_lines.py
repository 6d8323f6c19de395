"""The lines of the phases of a fit with free intensities: which there are.

A free phase has those that its cell and space group allow, each of unit power; a structured one
those of its atoms, with their ring power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import CellLaw, index_products, space_group_law
from inverse.line_list import allowed_lines
from inverse.model import Instrument
from inverse.pawley_recipe import FreePhase, Pawley, StructuredPhase, free_cell_names
from inverse.rietveld_lines import rietveld_lines
from inverse.rietveld_recipe import RietveldPhase
from xrdct.cell import cell_volume_A3
from xrdct.conversion import d_spacing_A
from xrdct.errors import InputError

Floats = NDArray[np.float64]
_MARGIN_DEG = 0.3
"""Lines this far outside the pattern still reach into it."""


@dataclass(frozen=True, eq=False)
class PhaseLines:
    """Lines of one phase, in order of falling d at the start."""

    name: str
    names: tuple[str, ...]
    """Indices as text, empty for a structured phase, (line,)."""
    products: Floats
    """h², k², l², 2kl, 2hl, 2hk, (line, 6)."""
    law: CellLaw
    refined_cell: tuple[str, ...]
    """Names of the cell parameters that are refined."""
    log_power: Floats | None
    """c0, c1, c2 of :mod:`inverse.rietveld_lines`, (line, 3); None for free intensities."""
    s_squared_per_A2: Floats
    """(sinθ/λ)² in the start cell, (line,)."""
    volume_A3: float
    """Of the start cell."""


def list_lines(settings: Pawley, *, instrument: Instrument) -> tuple[PhaseLines, ...]:
    """Return the lines of every phase in and near the pattern.

    Raises InputError where a free phase has fewer lines in the pattern than cell parameters to
    refine, or none.
    """
    return tuple(
        _free_lines(phase, settings, instrument)
        if isinstance(phase, FreePhase)
        else _structured_lines(phase, instrument)
        for phase in settings.phases
    )


def _free_lines(phase: FreePhase, settings: Pawley, instrument: Instrument) -> PhaseLines:
    geometry, beam = instrument.geometry, instrument.beam
    low, high = np.deg2rad([geometry.two_theta_min_deg, geometry.two_theta_max_deg])
    margin = np.deg2rad(_MARGIN_DEG) + 2.0 * settings.start_error * np.tan(0.5 * high)
    listed = allowed_lines(
        phase.cell_A_deg, space_group=phase.space_group,
        d_min_A=d_spacing_A(float(high + margin), wavelength_A=beam.wavelength_A),
    )  # fmt: skip
    sine = 0.5 * beam.wavelength_A / listed.d_A(phase.cell_A_deg)
    angle = 2.0 * np.arcsin(sine)
    near = np.flatnonzero(angle > low - margin)
    inside = int(np.sum((angle > low) & (angle < high)))
    fewest = max(1, len(free_cell_names(phase)))
    if inside < fewest:
        raise InputError(
            f"{phase.name} needs at least {fewest} lines in the pattern, but has {inside} between "
            f"{geometry.two_theta_min_deg:g}° and {geometry.two_theta_max_deg:g}°"
        )
    return PhaseLines(
        name=phase.name,
        names=tuple(listed.names[i] for i in near),
        products=index_products(listed.hkl[near]),
        law=listed.law,
        refined_cell=free_cell_names(phase),
        log_power=None,
        s_squared_per_A2=1.0 / (2.0 * listed.d_A(phase.cell_A_deg)[near]) ** 2,
        volume_A3=cell_volume_A3(phase.cell_A_deg),
    )


def _structured_lines(phase: StructuredPhase, instrument: Instrument) -> PhaseLines:
    lines = rietveld_lines(
        RietveldPhase(crystal=phase.crystal, cell_start=phase.cell_start),
        beam=instrument.beam, geometry=instrument.geometry,
    )  # fmt: skip
    count = len(lines.hkl_products)
    return PhaseLines(
        name=phase.name,
        names=("",) * count,
        products=lines.hkl_products,
        law=space_group_law(phase.space_group),
        refined_cell=free_cell_names(phase),
        log_power=lines.log_power,
        s_squared_per_A2=lines.s_squared_per_A2,
        volume_A3=lines.volume_A3,
    )
