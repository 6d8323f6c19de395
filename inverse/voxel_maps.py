"""Maps of a Rietveld refinement of every voxel, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantity:
    """A map with its standard uncertainty by counting noise, each (y, x)."""

    value: Floats
    esd: Floats


@dataclass(frozen=True, eq=False)
class PhaseMaps:
    """One lattice of one phase."""

    label: str
    crystal: str
    quantities: Mapping[str, Quantity]
    """``volume_fraction``, ``weight_fraction`` and all that was refined, such as ``a_A``. Of a
    second lattice all are NaN where there is none."""


@dataclass(frozen=True, eq=False)
class SubstanceMaps:
    """The weight fraction of a crystal, all its lattices added up, each (y, x)."""

    crystal: str
    weight_fraction: Floats
    """Held above zero, so that errors of a phase that is absent do not cancel in means."""
    esd_noise: Floats
    """Standard uncertainty from counting statistics, propagated."""
    esd_total: Floats
    """With misfit and the map's roughness, whichever is larger."""


@dataclass(frozen=True, eq=False)
class SecondLatticeMaps:
    """Whether voxels hold a second lattice of the refined phase, each (y, x)."""

    p_value: Floats
    """Chance of such a second lattice by noise; NaN where undecided."""
    decision: Floats
    """0 one lattice, 1 two, 2 a second that could not be refined; NaN where undecided."""
    share: Quantity
    """Of the smaller lattice in the amount of both; NaN where there are not two."""


@dataclass(frozen=True, eq=False)
class RietveldMaps:
    """What a Rietveld refinement of every voxel found; NaN where not refined."""

    phases: tuple[PhaseMaps, ...]
    substances: tuple[SubstanceMaps, ...]
    common: Mapping[str, Quantity]
    """What belongs to no phase: background terms, shift of angles, distance."""
    chi2_reduced: Floats
    """(y, x)."""
    r_wp: Floats
    """√(Σ residual²/σ² / Σ pattern²/σ²), (y, x)."""
    residual_rms: Floats
    """Root of the mean squared residual, in 1/µm/rad, (y, x)."""
    status: Floats
    """See `inverse.refine.Status`, (y, x)."""
    mean_residual: Floats
    """Observed less calculated, the mean over refined voxels, 1/µm/rad, (channel,)."""
    mean_square: Floats
    """Mean of (residual/σ)², (channel,): above 1 where the model is wrong, or σ."""
    shared: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Value and standard uncertainty of what all voxels share."""
    second_lattice: SecondLatticeMaps | None = None
    covariance_names: tuple[str, ...] = ()
    covariance: NDArray[np.float32] | None = None
    """Of the refined voxels in the order of rows and columns, (voxel, name, name)."""
    residuals: NDArray[np.float32] | None = None
    """Observed less calculated, (y, x, channel)."""

    def phase(self, label: str) -> PhaseMaps:
        """Return the maps of a phase; KeyError if there is none of the label."""
        return {phase.label: phase for phase in self.phases}[label]
