"""The inverse chain, from a raw scan to maps: correct, reconstruct, refine, as a recipe says.

Where a recipe switches on nothing else, counts are normalised while they are back projected, and no
sinogram is held (:func:`inverse.reconstruct.reconstruct_counts`). Otherwise :mod:`inverse.chain`
makes the sinogram, :mod:`inverse.volume` the images; :mod:`inverse.voxel_fit` refines the voxels of
either. The direct method starts from the maps of filtered back projection and takes the same
sinogram; the joint one (:mod:`inverse.joint_fit`) also takes those of the linked scans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from time import perf_counter

from inverse.chain import check_scans, prepared_scans, without_truncation
from inverse.fitted import Fitted, maps_of
from inverse.interlace import half_step_scan
from inverse.joint_fit import JointFit, joint_fit, with_joint_errors
from inverse.lattice_model import (
    Build,
    calibrated_instrument,
    lattice_model_builder,
    shared_start,
)
from inverse.maps import Maps
from inverse.model import Instrument
from inverse.recipe import OTHER_SCANS, Recipe
from inverse.region_fractions import region_table
from inverse.region_table import RegionTable
from inverse.regions import rays_of_counts, rays_of_sinogram
from inverse.shared import Shared
from inverse.sinogram import Sinogram
from inverse.sinogram_refinement import refine_first, shared_first
from inverse.suited import check_suited, warn_of_few_angles
from inverse.volume import Reconstruct, reconstructor
from inverse.voxel_fit import fitted_voxels, reconstructed_voxels
from xrdct.rawfile import RawScan

Progress = Callable[[str, float], None]
Clock = dict[str, float]


@dataclass(frozen=True, eq=False)
class _Job:
    """What all steps after the corrections need."""

    raw: RawScan
    recipe: Recipe
    surroundings: Mapping[str, Sinogram]
    """Sinograms of the linked scans that are used, by name."""
    build: Build
    """Makes the model of a voxel's pattern."""
    tell: Progress
    workers: int | None

    def seen_around(self) -> list[Sinogram]:
        """Return the sinograms of the surroundings, the narrower first."""
        return [self.surroundings[name] for name in OTHER_SCANS if name in self.surroundings]


def recover(
    raw: RawScan,
    *,
    others: Mapping[str, RawScan] | None = None,
    recipe: Recipe | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Maps:
    """Return maps of the refined phase, by ``recipe`` or by the one stored with the scan.

    ``others`` are the linked scans of the surroundings, by their names coarse and broad, as far as
    the recipe uses them.

    Warns (FewAnglesWarning) of angles so few that maps hold streaks nearly everywhere. Raises
    InputError where the recipe needs a scan that is not there, or a step does not suit it.
    """
    tell = progress or (lambda _step, _fraction: None)
    recipe = recipe or Recipe.model_validate(raw.recipe)
    check_suited(raw.scan, recipe=recipe)
    check_scans(others or {}, recipe=recipe)
    warn_of_few_angles(raw.scan)
    clock: Clock = {"start": perf_counter()}
    if not _is_plain(raw, recipe):
        tell("correct", 0.0)
    sinogram, surroundings = _prepared(raw, others or {}, recipe, workers)
    clock["correct"] = perf_counter()
    job = _Job(raw, recipe, surroundings, model_builder(raw, recipe), tell, workers)
    joint: JointFit | None = None
    if sinogram is not None and recipe.reconstruction.low_dimensional:
        fitted, joint = _fitted_without_patterns(job, sinogram, clock)
    else:
        fitted = _fitted_patterns(job, sinogram, clock)
    maps = replace(maps_of(raw, recipe, fitted), scan=half_step_scan(raw.scan))
    if joint is not None:
        maps = with_joint_errors(maps, joint)
    if sinogram is not None and recipe.reconstruction.method == "direct":
        maps, axis_um = _directly(job, sinogram, fitted, maps)
        sinogram = replace(sinogram, axis_offset_um=axis_um)
    regions = _regions(job, sinogram, fitted, maps)
    clock["refine"] = perf_counter()
    tell("refine", 1.0)
    return replace(
        maps, regions=regions, shared=asdict(fitted.shared), timing_s=_durations(clock),
        axis_offset_um=None if sinogram is None else sinogram.axis_offset_um,
    )  # fmt: skip


def _is_plain(raw: RawScan, recipe: Recipe) -> bool:
    """Return whether counts can be back projected as they are; interlaced ones are merged first."""
    return recipe.is_plain and not raw.scan.interlaced


def _prepared(
    raw: RawScan, others: Mapping[str, RawScan], recipe: Recipe, workers: int | None
) -> tuple[Sinogram | None, Mapping[str, Sinogram]]:
    """Return the sinogram and those of its surroundings; None where counts do as they are."""
    if _is_plain(raw, recipe):
        return None, {}
    own, surroundings = prepared_scans(raw, others=others, recipe=recipe, workers=workers)
    return without_truncation(own, surroundings, recipe=recipe, workers=workers), surroundings


def _fitted_patterns(job: _Job, sinogram: Sinogram | None, clock: Clock) -> Fitted:
    """Reconstruct every voxel's pattern, and refine it."""
    job.tell("reconstruct", 0.0)
    voxels = reconstructed_voxels(job.raw, sinogram, recipe=job.recipe, workers=job.workers)
    clock["reconstruct"] = perf_counter()
    job.tell("refine", 0.0)
    return fitted_voxels(
        job.raw, voxels, recipe=job.recipe, instrument=instrument_of(job.raw, job.recipe),
        build=job.build, workers=job.workers,
    )  # fmt: skip


def _fitted_without_patterns(
    job: _Job, sinogram: Sinogram, clock: Clock
) -> tuple[Fitted, JointFit | None]:
    """Reconstruct coefficients in place of patterns, which is part of the refinement."""
    clock["reconstruct"] = clock["correct"]
    job.tell("refine", 0.0)
    if job.recipe.reconstruction.method == "joint":
        return _fitted_jointly(job, sinogram)
    return _fitted_rays(job, sinogram), None


def _fitted_rays(job: _Job, sinogram: Sinogram) -> Fitted:
    """Reduce every ray's pattern to coefficients, reconstruct these, and refine every voxel's."""
    raw, recipe = job.raw, job.recipe
    reconstruct = reconstructor(
        sinogram, recipe=recipe, n_offsets=half_step_scan(raw.scan).n_offsets,
        beam_fwhm_um=raw.beam.width_um, workers=job.workers,
    )  # fmt: skip
    shared = _shared_by_rays(job, sinogram, reconstruct)
    model = job.build(shared)
    by_moments = recipe.reconstruction.order == "refine-first"
    refined, measured = refine_first(
        sinogram, model=model, reconstruct=reconstruct,
        estimate="moments" if by_moments else "fit", min_scale=recipe.min_volume_fraction,
        workers=job.workers,
    )  # fmt: skip
    return Fitted(refined, measured, model, shared, None)


def _shared_by_rays(job: _Job, sinogram: Sinogram, reconstruct: Reconstruct | None) -> Shared:
    """Return what all voxels share, refined from reduced rays where the recipe wants it."""
    start = shared_start(recipe=job.recipe)
    if not job.recipe.refine_shared:
        return start
    return shared_first(
        sinogram, build=job.build, start=start, reconstruct=reconstruct, workers=job.workers
    )


def _fitted_jointly(job: _Job, sinogram: Sinogram) -> tuple[Fitted, JointFit]:
    """Estimate window and surroundings together, and refine the window's voxels.

    What voxels share comes from images that continue projections by their ends, whatever the recipe
    says of ``padding``: the window's rays do not end at zero.
    """
    recipe = job.recipe
    shared = _shared_by_rays(job, sinogram, None)
    model = job.build(shared)
    found = joint_fit(
        sinogram, others=job.seen_around(), model=model, settings=recipe.joint,
        width_um=recipe.truncation.width_um, beam_fwhm_um=job.raw.beam.width_um,
        min_scale=recipe.min_volume_fraction, workers=job.workers,
        progress=lambda fraction: job.tell("refine", fraction),
    )  # fmt: skip
    return Fitted(found.refined, found.measured, model, shared, None), found


def _directly(job: _Job, sinogram: Sinogram, fitted: Fitted, start: Maps) -> tuple[Maps, float]:
    """Fit amounts and lattice parameters to the rays, from the maps of back projection."""
    from inverse.direct import direct

    seen = job.seen_around()
    return direct(
        sinogram, build=job.build, shared=fitted.shared, start=start,
        settings=start.recipe.direct, beam_fwhm_um=job.raw.beam.width_um,
        surroundings=seen[0] if seen else None, workers=job.workers,
        progress=lambda fraction: job.tell("refine", fraction),
    )  # fmt: skip


def _regions(
    job: _Job, sinogram: Sinogram | None, fitted: Fitted, maps: Maps
) -> RegionTable | None:
    """Return what particles and depth shells of the maps hold."""
    rays = (
        rays_of_counts(job.raw, recipe=job.recipe) if sinogram is None
        else rays_of_sinogram(sinogram, recipe=job.recipe)
    )  # fmt: skip
    return region_table(
        maps, rays=rays, instrument=instrument_of(job.raw, job.recipe), shared=fitted.shared,
        lattices=fitted.model, workers=job.workers,
    )  # fmt: skip


def instrument_of(raw: RawScan, recipe: Recipe) -> Instrument:
    """Return the instrument as it was calibrated, or as it is said to be."""
    return calibrated_instrument(recipe, beam=raw.beam, geometry=raw.geometry)


def model_builder(raw: RawScan, recipe: Recipe) -> Build:
    """Return what makes the model of a voxel's pattern from the parameters all voxels share."""
    return lattice_model_builder(recipe, beam=raw.beam, geometry=raw.geometry)


def _durations(clock: dict[str, float]) -> dict[str, float]:
    names = list(clock)
    return {b: clock[b] - clock[a] for a, b in pairwise(names)}
