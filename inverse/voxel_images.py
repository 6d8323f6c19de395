"""From refined voxels to maps of every phase, with total uncertainties of weight fractions."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inverse.refine import Status
from inverse.roughness import full_patches, rough_error
from inverse.voxel_maps import (
    PhaseMaps,
    Quantity,
    RietveldMaps,
    SecondLatticeMaps,
    SubstanceMaps,
)
from inverse.voxel_rietveld import RefinedVoxels
from inverse.voxel_table import VoxelTable, crystals_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Number = TypeVar("Number", np.float32, np.float64)
_FEWEST_PATCHES = 50


def rietveld_maps(found: RefinedVoxels, *, measured: Bools, apart: int) -> RietveldMaps:
    """Return the maps of refined voxels, which lie where ``measured`` (iy, ix) says.

    ``apart`` is the distance of independent errors in pixels (:mod:`inverse.roughness`).
    """
    table = found.table

    def image(values: Floats) -> Floats:
        return _spread(values, measured)

    status = np.where(measured, 0.0, float(Status.NOT_MEASURED))
    status[measured] = table.status
    decided = found.decisions
    second = None
    if decided is not None:
        share = Quantity(*(image(column) for column in table.share.T))
        second = SecondLatticeMaps(image(decided.p_value), image(decided.decision), share)
    converged = table.status == Status.CONVERGED
    return RietveldMaps(
        phases=_phases(table, measured),
        substances=_substances(table, measured, apart),
        common={
            name: _quantity(table, name, measured)
            for name in table.model.names
            if name.startswith("background.") or name in ("zero_deg", "distance_m")
        },
        chi2_reduced=image(table.chi2_reduced),
        r_wp=image(table.r_wp),
        residual_rms=image(found.residual_rms),
        status=status,
        mean_residual=found.sums.mean,
        mean_square=found.sums.mean_square,
        shared=table.shared,
        second_lattice=second,
        covariance_names=table.model.names if table.covariance is not None else (),
        covariance=None if table.covariance is None else table.covariance[converged],
        residuals=None if found.residuals is None else _spread(found.residuals, measured),
    )


def _phases(table: VoxelTable, measured: Bools) -> tuple[PhaseMaps, ...]:
    maps = []
    for number, phase in enumerate(table.model.settings.phases):
        quantities = {
            "volume_fraction": _quantity(table, f"{phase.label}.scale", measured),
            "weight_fraction": Quantity(
                _spread(table.weight_fraction[:, number], measured),
                _spread(table.weight_fraction_esd[:, number], measured),
            ),
        }
        for parameter in table.model.parameters:
            label, _, name = parameter.name.rpartition(".")
            if label == phase.label:
                quantities[name] = _quantity(table, parameter.name, measured)
        maps.append(PhaseMaps(phase.label, phase.crystal, quantities))
    return tuple(maps)


def _quantity(table: VoxelTable, name: str, measured: Bools) -> Quantity:
    column = table.model.names.index(name)
    return Quantity(
        _spread(table.values[:, column], measured), _spread(table.esd[:, column], measured)
    )


def _substances(table: VoxelTable, measured: Bools, apart: int) -> tuple[SubstanceMaps, ...]:
    n_phases = len(table.model.settings.phases)
    solid = _spread(np.nansum(table.values[:, :n_phases], axis=1), measured)
    inflation = np.sqrt(np.maximum(table.chi2_reduced, 1.0))
    maps = []
    for number, crystal in enumerate(crystals_of(table.model)):
        fraction = _spread(table.substance[:, number], measured)
        esd = table.substance_esd[:, number]
        rough = _roughness(fraction, solid, apart)
        maps.append(
            SubstanceMaps(
                crystal=crystal,
                weight_fraction=fraction,
                esd_noise=_spread(esd, measured),
                esd_total=_spread(np.maximum(esd * inflation, rough), measured),
            )
        )
    return tuple(maps)


def _roughness(fraction: Floats, solid: Floats, apart: int) -> float:
    """Return the error of a map of fractions that its roughness within full material shows."""
    amount = np.where(np.isfinite(fraction), solid, 0.0)
    patches = full_patches(amount, apart=apart)
    while patches.sum() < _FEWEST_PATCHES and apart > 1:
        apart //= 2
        patches = full_patches(amount, apart=apart)
    return rough_error(fraction, patches=patches, apart=apart)


def _spread(values: NDArray[Number], measured: Bools) -> NDArray[Number]:
    """Return values of the measured voxels, (voxel, …), as a map, (y, x, …)."""
    image = np.full((*measured.shape, *values.shape[1:]), np.nan, values.dtype)
    image[measured] = values
    return image
