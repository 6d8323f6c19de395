"""Refined voxels, and the maps they make."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from inverse.maps import ExampleFit, Maps
from inverse.recipe import Recipe
from inverse.refine import LatticeModel, Refinement, Status
from inverse.roughness import APART, amount_error, lattice_error_A
from inverse.shared import Shared, fitted_patterns
from inverse.voxel_maps import RietveldMaps
from xrdct.rawfile import RawScan

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The results of all measured voxels."""

    refined: Refinement
    measured: NDArray[np.bool_]
    """Which voxels they are of, (iy, ix)."""
    model: LatticeModel
    shared: Shared
    example: ExampleFit | None
    rietveld: RietveldMaps | None = None
    """Maps of every phase, where the recipe asks for them."""


def apart_of(raw: RawScan) -> int:
    """Return how many pixels apart errors are independent."""
    return 2 * APART if raw.scan.interlaced else APART


def maps_of(raw: RawScan, recipe: Recipe, fitted: Fitted) -> Maps:
    """Return the maps of fitted voxels, with total uncertainties."""
    refined, measured = fitted.refined, fitted.measured
    a_A, amount = _spread(refined.a_A, measured), _spread(refined.scale, measured)
    inflation = np.sqrt(np.maximum(refined.chi2_reduced, 1.0))
    a_misfit_A = _spread(refined.a_esd_A * inflation, measured)
    amount_misfit = _spread(refined.scale_esd * inflation, measured)
    apart = apart_of(raw)
    status = np.where(measured, 0.0, float(Status.NOT_MEASURED))
    status[measured] = refined.status
    return Maps(
        phase=recipe.phase.crystal,
        scan=raw.scan,
        a_A=a_A,
        a_esd_noise_A=_spread(refined.a_esd_A, measured),
        a_esd_total_A=np.maximum(a_misfit_A, lattice_error_A(a_A, amount=amount, apart=apart)),
        volume_fraction=amount,
        volume_fraction_esd_noise=_spread(refined.scale_esd, measured),
        volume_fraction_esd_total=np.maximum(amount_misfit, amount_error(amount, apart=apart)),
        chi2_reduced=_spread(refined.chi2_reduced, measured),
        status=status,
        example=fitted.example,
        rietveld=fitted.rietveld,
        recipe=recipe,
        experiment_hash=raw.experiment_hash,
        versions=raw.versions,
    )


def example_fit(
    refined: Refinement,
    *,
    model: LatticeModel,
    measured: NDArray[np.bool_],
    patterns: NDArray[np.float32],
    variance: NDArray[np.float32],
    two_theta_rad: Floats,
) -> ExampleFit | None:
    """Return the fit of a typical voxel, or None where none was refined."""
    voxel = typical_voxel(refined)
    if voxel is None:
        return None
    only = Refinement(*(getattr(refined, f.name)[voxel : voxel + 1] for f in fields(refined)))
    return example_at(
        voxel, measured=measured, patterns=patterns, variance=variance,
        two_theta_rad=two_theta_rad, fitted=fitted_patterns(model, only)[0],
        background=refined.linear[voxel] @ model.linear,
    )  # fmt: skip


def typical_voxel(refined: Refinement) -> int | None:
    """Return the voxel of median χ² among the converged ones; None where there is none."""
    converged = np.flatnonzero(refined.status == Status.CONVERGED)
    if converged.size == 0:
        return None
    order = np.argsort(refined.chi2_reduced[converged], kind="stable")
    return int(converged[order[converged.size // 2]])


def example_at(
    voxel: int,
    *,
    measured: NDArray[np.bool_],
    patterns: NDArray[np.float32],
    variance: NDArray[np.float32],
    two_theta_rad: Floats,
    fitted: Floats,
    background: Floats,
) -> ExampleFit:
    """Return a voxel's pattern (of all those ``measured``) beside its fit, (channel,)."""
    iy, ix = (int(axis[voxel]) for axis in np.nonzero(measured))
    return ExampleFit(
        pixel=(iy, ix),
        two_theta_deg=np.rad2deg(two_theta_rad),
        observed=patterns[voxel].astype(float),
        esd=np.sqrt(variance[voxel].astype(float)),
        fitted=fitted,
        background=background,
    )


def _spread(values: Floats, measured: NDArray[np.bool_]) -> Floats:
    image = np.full(measured.shape, np.nan)
    image[measured] = values
    return image
