"""Reconstruct the patterns of voxels, and refine them one by one: the usual order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.fitted import Fitted, apart_of, example_at, example_fit, typical_voxel
from inverse.interlace import half_step_scan
from inverse.lattice_model import Build, shared_of_voxels
from inverse.maps import ExampleFit
from inverse.model import Instrument
from inverse.recipe import Recipe
from inverse.reconstruct import Reconstruction, reconstruct_counts
from inverse.refine import LatticeModel, refine
from inverse.shared import Shared
from inverse.sinogram import Sinogram, gains
from inverse.volume import volume_of
from inverse.voxel_images import rietveld_maps
from inverse.voxel_residuals import calculated_patterns
from inverse.voxel_rietveld import refine_voxels
from inverse.voxel_settings import VoxelRietveld
from inverse.voxel_table import VoxelTable
from xrdct.rawfile import RawScan


@dataclass(frozen=True, eq=False)
class Voxels:
    """What was reconstructed of the measured voxels."""

    patterns: NDArray[np.float32]
    """Shape (voxel, channel); NaN in channels that were not measured."""
    variance: NDArray[np.float32]
    """Same shape."""
    measured: NDArray[np.bool_]
    """Which voxels they are, (iy, ix)."""


def reconstructed_voxels(
    raw: RawScan, sinogram: Sinogram | None, *, recipe: Recipe, workers: int | None = None
) -> Voxels:
    """Reconstruct the sinogram, or the counts where there is none."""
    if sinogram is not None:
        used = sinogram.measured_channels
        volume = volume_of(
            sinogram, recipe=recipe, n_offsets=half_step_scan(raw.scan).n_offsets,
            beam_fwhm_um=raw.beam.width_um, workers=workers,
        )  # fmt: skip
    else:
        ray_gain, channel_gain = gains(raw)
        used = channel_gain > 0.0
        volume = reconstruct_counts(
            raw.counts,
            ray_gain=ray_gain,
            channel_gain=channel_gain,
            angles_rad=raw.scan.angles_rad,
            step_um=raw.scan.step_um,
            filter_name=recipe.reconstruction.filter,
            padding=recipe.padding,
            variance=raw.variance,
            workers=workers,
        )
    measured = np.isfinite(volume.values[..., int(np.argmax(used))])
    patterns, variance = volume.values[measured], _variance_of(volume)[measured]
    patterns[:, ~used] = np.nan
    return Voxels(patterns, variance, measured)


def _variance_of(volume: Reconstruction) -> NDArray[np.float32]:
    if volume.variance is None:
        raise ValueError("refinement needs the variance of the reconstruction")
    return volume.variance


def fitted_voxels(
    raw: RawScan,
    voxels: Voxels,
    *,
    recipe: Recipe,
    instrument: Instrument,
    build: Build,
    workers: int | None = None,
) -> Fitted:
    """Refine every voxel's pattern: the refined phase alone, or all phases by ``[rietveld]``.

    Raises InputError where a Rietveld refinement cannot be made.
    """
    shared = shared_of_voxels(
        voxels.patterns, variance=voxels.variance, build=build, recipe=recipe, workers=workers
    )
    model = build(shared)
    if recipe.rietveld is not None:
        return _fitted_phases(
            raw, voxels, recipe, recipe.rietveld, instrument, (shared, model), workers
        )
    refined = refine(
        voxels.patterns, variance=voxels.variance, model=model,
        min_scale=recipe.min_volume_fraction, workers=workers,
    )  # fmt: skip
    example = example_fit(
        refined, model=model, measured=voxels.measured, patterns=voxels.patterns,
        variance=voxels.variance, two_theta_rad=raw.geometry.two_theta_rad,
    )  # fmt: skip
    return Fitted(refined, voxels.measured, model, shared, example)


def _fitted_phases(
    raw: RawScan,
    voxels: Voxels,
    recipe: Recipe,
    settings: VoxelRietveld,
    instrument: Instrument,
    alone: tuple[Shared, LatticeModel],
    workers: int | None,
) -> Fitted:
    """Refine all phases. ``alone`` describes the refined phase by itself, for regions."""
    found = refine_voxels(
        voxels.patterns, variance=voxels.variance, settings=settings,
        crystal=recipe.phase.crystal, instrument=instrument,
        min_scale=recipe.min_volume_fraction, workers=workers,
    )  # fmt: skip
    shared, model = alone
    return Fitted(
        found.table.refinement(min_scale=recipe.min_volume_fraction), voxels.measured, model,
        shared, _example(raw, voxels, found.table, recipe),
        rietveld_maps(found, measured=voxels.measured, apart=apart_of(raw)),
    )  # fmt: skip


def _example(raw: RawScan, voxels: Voxels, table: VoxelTable, recipe: Recipe) -> ExampleFit | None:
    """Return the fit of a typical voxel, with all its phases."""
    voxel = typical_voxel(table.refinement(min_scale=recipe.min_volume_fraction))
    if voxel is None:
        return None
    row = table.values[[voxel]]
    n_terms = len(table.model.background)
    return example_at(
        voxel, measured=voxels.measured, patterns=voxels.patterns, variance=voxels.variance,
        two_theta_rad=raw.geometry.two_theta_rad,
        fitted=calculated_patterns(table.model, row)[0],
        background=row[0, row.shape[1] - n_terms :] @ table.model.background,
    )  # fmt: skip
