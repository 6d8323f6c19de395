"""How well phases are told from a host, as a function of the host's lattice parameter.

Lines of other phases come to lie under the host's as its cell changes: every line of the rock salt
LiMnO2 lies near one of the spinel, the nearer the larger the spinel's cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.degeneracy import Degeneracy, Design, degeneracy, design_at
from inverse.recipe import Calibration
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HostSweep:
    """Scales of all phases against the host's; (a, phase) unless said."""

    a_A: Floats
    """Lattice parameters of the host, (a,)."""
    phases: tuple[str, ...]
    correlation: Floats
    """Of a phase's scale with the host's; 1 for the host."""
    inflation_by_host: Floats
    """Of the variance of a scale: the host's parameters free, over known; 1 for the host."""
    inflation: Floats
    """Of the variance of a scale: all other parameters free, over all known."""
    esd: Floats
    """Of a scale, a volume fraction."""


def host_sweep(
    settings: Rietveld,
    *,
    host: str,
    a_A: Floats,
    amounts: Mapping[str, float],
    variance_of: Callable[[Design], Floats],
    beam: Beam,
    geometry: Geometry,
    calibration: Calibration,
) -> HostSweep:
    """Return what a refinement tells of the phases at every lattice parameter of a host, (a,).

    All lengths of the host's cell scale with a. ``amounts`` are volume fractions by label, and
    ``variance_of`` gives the variance of the channels, (channel,), of a design.

    Raises InputError for an unknown host, a phase without an amount, or what
    :func:`inverse.rietveld_model.rietveld_model` refuses.
    """
    labels = tuple(phase.label for phase in settings.phases)
    if host not in labels:
        raise InputError(f"the host must be one of {', '.join(labels)}, not {host!r}")
    found: list[Degeneracy] = []
    for a in a_A:
        model = rietveld_model(
            _with_host_at(settings, host, float(a)), beam=beam, geometry=geometry,
            calibration=calibration,
        )  # fmt: skip
        pattern = design_at(model, amounts)
        found.append(degeneracy(pattern, variance=variance_of(pattern)))
    n, at = len(labels), labels.index(host)
    return HostSweep(
        a_A=np.asarray(a_A, dtype=np.float64),
        phases=labels,
        correlation=np.array([one.correlation[:n, at] for one in found]),
        inflation_by_host=np.array([one.inflation_by_phase[:, at] for one in found]),
        inflation=np.array([one.inflation[:n] for one in found]),
        esd=np.array([one.esd[:n] for one in found]),
    )


def _with_host_at(settings: Rietveld, host: str, a_A: float) -> Rietveld:
    """Return the settings with the start cell of the host scaled to a lattice parameter."""
    phases = tuple(
        phase.model_copy(update={"cell_start": a_A / find_crystal(phase.crystal).cell_A_deg[0]})
        if phase.label == host
        else phase
        for phase in settings.phases
    )
    return settings.model_copy(update={"phases": phases})
