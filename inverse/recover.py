"""The inverse chain, from a raw scan to maps: correct, reconstruct, refine, as a recipe says.

Where a recipe switches on nothing else, counts are normalised while they are back projected, and no
sinogram is held (:func:`inverse.reconstruct.reconstruct_counts`). Otherwise :mod:`inverse.chain`
makes the sinogram, :mod:`inverse.volume` the images. The direct method starts from the maps of
filtered back projection and takes the same sinogram; the joint one (:mod:`inverse.joint_fit`) also
takes those of the linked scans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from inverse.chain import check_scans, prepared_scans, without_truncation
from inverse.fitted import Fitted, example_fit, maps_of
from inverse.interlace import half_step_scan
from inverse.joint_fit import JointFit, joint_fit, with_joint_errors
from inverse.maps import Maps
from inverse.model import (
    Instrument,
    chebyshev_background,
    draw_patterns,
    lattice_lines,
    phase_lines,
)
from inverse.recipe import OTHER_SCANS, Calibration, Recipe
from inverse.reconstruct import Reconstruction, reconstruct_counts
from inverse.refine import LatticeModel, refine
from inverse.region_fractions import region_table
from inverse.regions import rays_of_counts, rays_of_sinogram
from inverse.shared import Shared, refine_shared
from inverse.sinogram import Sinogram, gains
from inverse.sinogram_refinement import refine_first, shared_first
from inverse.volume import Reconstruct, reconstructor, volume_of
from xrdct.crystal_source import find_crystal
from xrdct.rawfile import RawScan

Progress = Callable[[str, float], None]
Build = Callable[[Shared], LatticeModel]

TEMPLATE_SPACING_A = 1e-3
"""A sixteenth of the standard deviation of a narrow peak, in lattice parameter."""


@dataclass(frozen=True, eq=False)
class _Voxels:
    """What was reconstructed of the measured voxels."""

    patterns: NDArray[np.float32]
    """Shape (voxel, channel); NaN in channels that were not measured."""
    variance: NDArray[np.float32]
    """Same shape."""
    measured: NDArray[np.bool_]
    """Which voxels they are, (iy, ix)."""


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

    Raises InputError where the recipe needs a scan that is not there, or a step does not suit it.
    """
    tell = progress or (lambda _step, _fraction: None)
    recipe = recipe or Recipe.model_validate(raw.recipe)
    made = recipe.reconstruction
    check_scans(others or {}, recipe=recipe)
    clock = {"start": perf_counter()}
    if not _is_plain(raw, recipe):
        tell("correct", 0.0)
    sinogram, surroundings = _prepared(raw, others or {}, recipe, workers)
    clock["correct"] = perf_counter()
    build = model_builder(raw, recipe)
    joint: JointFit | None = None
    if sinogram is not None and made.low_dimensional:
        clock["reconstruct"] = clock["correct"]  # is part of the refinement there
        tell("refine", 0.0)
        if made.method == "joint":
            fitted, joint = _fitted_jointly(
                raw, sinogram, surroundings, recipe, build, tell, workers
            )
        else:
            fitted = _fitted_rays(raw, sinogram, recipe, build, workers)
    else:
        tell("reconstruct", 0.0)
        voxels = _voxels(raw, sinogram, recipe, workers)
        clock["reconstruct"] = perf_counter()
        tell("refine", 0.0)
        fitted = _fitted_voxels(raw, voxels, recipe, build, workers)
        del voxels
    maps = replace(maps_of(raw, recipe, fitted), scan=half_step_scan(raw.scan))
    if joint is not None:
        maps = with_joint_errors(maps, joint)
    if sinogram is not None and made.method == "direct":
        maps = _directly(raw, sinogram, surroundings, fitted, maps, tell, workers)
    rays = (
        rays_of_counts(raw, recipe=recipe) if sinogram is None
        else rays_of_sinogram(sinogram, recipe=recipe)
    )  # fmt: skip
    regions = region_table(
        maps, rays=rays, instrument=instrument_of(raw, recipe), shared=fitted.shared,
        lattices=fitted.model, workers=workers,
    )  # fmt: skip
    clock["refine"] = perf_counter()
    tell("refine", 1.0)
    return replace(maps, regions=regions, shared=asdict(fitted.shared), timing_s=_durations(clock))


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


def _voxels(
    raw: RawScan, sinogram: Sinogram | None, recipe: Recipe, workers: int | None
) -> _Voxels:
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
            padding=recipe.reconstruction.padding or "edge",
            variance=raw.variance,
            workers=workers,
        )
    measured = np.isfinite(volume.values[..., int(np.argmax(used))])
    patterns, variance = volume.values[measured], _variance_of(volume)[measured]
    patterns[:, ~used] = np.nan
    return _Voxels(patterns, variance, measured)


def _fitted_voxels(
    raw: RawScan, voxels: _Voxels, recipe: Recipe, build: Build, workers: int | None
) -> Fitted:
    """Refine every voxel's pattern."""
    shared = Shared(recipe.phase.crystallite_size_nm, recipe.phase.strain)
    if recipe.refine_shared:
        shared = refine_shared(
            voxels.patterns, variance=voxels.variance, build=build, start=shared, workers=workers
        )
    model = build(shared)
    refined = refine(
        voxels.patterns, variance=voxels.variance, model=model,
        min_scale=recipe.min_volume_fraction, workers=workers,
    )  # fmt: skip
    example = example_fit(
        refined, model=model, measured=voxels.measured, patterns=voxels.patterns,
        variance=voxels.variance, two_theta_rad=raw.geometry.two_theta_rad,
    )  # fmt: skip
    return Fitted(refined, voxels.measured, model, shared, example)


def _fitted_rays(
    raw: RawScan, sinogram: Sinogram, recipe: Recipe, build: Build, workers: int | None
) -> Fitted:
    """Reduce every ray's pattern to coefficients, reconstruct these, and refine every voxel's."""
    reconstruct = reconstructor(
        sinogram, recipe=recipe, n_offsets=half_step_scan(raw.scan).n_offsets,
        beam_fwhm_um=raw.beam.width_um, workers=workers,
    )  # fmt: skip
    shared = _shared_by_rays(sinogram, recipe, build, reconstruct, workers)
    model = build(shared)
    by_moments = recipe.reconstruction.order == "refine-first"
    refined, measured = refine_first(
        sinogram, model=model, reconstruct=reconstruct,
        estimate="moments" if by_moments else "fit", min_scale=recipe.min_volume_fraction,
        workers=workers,
    )  # fmt: skip
    return Fitted(refined, measured, model, shared, None)


def _shared_by_rays(
    sinogram: Sinogram,
    recipe: Recipe,
    build: Build,
    reconstruct: Reconstruct | None,
    workers: int | None,
) -> Shared:
    """Return what all voxels share, refined from reduced rays where the recipe wants it."""
    start = Shared(recipe.phase.crystallite_size_nm, recipe.phase.strain)
    if not recipe.refine_shared:
        return start
    return shared_first(
        sinogram, build=build, start=start, reconstruct=reconstruct, workers=workers
    )


def _fitted_jointly(
    raw: RawScan,
    sinogram: Sinogram,
    surroundings: Mapping[str, Sinogram],
    recipe: Recipe,
    build: Build,
    tell: Progress,
    workers: int | None,
) -> tuple[Fitted, JointFit]:
    """Estimate window and surroundings together, and refine the window's voxels.

    What voxels share comes from images that continue projections by their ends, whatever the recipe
    says of ``padding``: the window's rays do not end at zero.
    """
    shared = _shared_by_rays(sinogram, recipe, build, None, workers)
    model = build(shared)
    found = joint_fit(
        sinogram, others=[surroundings[name] for name in OTHER_SCANS if name in surroundings],
        model=model, settings=recipe.joint, width_um=recipe.truncation.width_um,
        beam_fwhm_um=raw.beam.width_um, min_scale=recipe.min_volume_fraction, workers=workers,
        progress=lambda fraction: tell("refine", fraction),
    )  # fmt: skip
    return Fitted(found.refined, found.measured, model, shared, None), found


def _directly(
    raw: RawScan,
    sinogram: Sinogram,
    surroundings: Mapping[str, Sinogram],
    fitted: Fitted,
    start: Maps,
    tell: Progress,
    workers: int | None,
) -> Maps:
    """Fit amounts and lattice parameters to the rays, from the maps of back projection."""
    from inverse.direct import direct

    seen = [surroundings[name] for name in OTHER_SCANS if name in surroundings]
    return direct(
        sinogram, model=fitted.model, start=start, settings=start.recipe.direct,
        beam_fwhm_um=raw.beam.width_um, surroundings=seen[0] if seen else None, workers=workers,
        progress=lambda fraction: tell("refine", fraction),
    )  # fmt: skip


def instrument_of(raw: RawScan, recipe: Recipe) -> Instrument:
    """Return the instrument as it was calibrated, or as it is said to be."""
    calibration = recipe.calibration or Calibration(distance_m=raw.geometry.distance_m)
    return Instrument(raw.beam, raw.geometry, calibration)


def model_builder(raw: RawScan, recipe: Recipe) -> Build:
    """Return what makes the model of a voxel's pattern from the parameters all voxels share."""
    beam, geometry, phase = raw.beam, raw.geometry, recipe.phase
    instrument = instrument_of(raw, recipe)
    n_templates = round((phase.a_max_A - phase.a_min_A) / TEMPLATE_SPACING_A) + 1
    a_A = phase.a_min_A + TEMPLATE_SPACING_A * np.arange(n_templates, dtype=np.float64)
    lines = lattice_lines(find_crystal(phase.crystal), a_A, beam=beam, geometry=geometry)
    fixed = [
        draw_patterns(
            phase_lines([find_crystal(p.crystal)], beam=beam, geometry=geometry),
            instrument=instrument,
            crystallite_size_nm=p.crystallite_size_nm,
            strain=p.strain,
        )[0]
        for p in recipe.fixed_phases
    ]
    background = chebyshev_background(geometry.n_channels, n_terms=recipe.n_background)
    linear = np.array([*fixed, *background])

    def build(shared: Shared) -> LatticeModel:
        templates = draw_patterns(
            lines,
            instrument=instrument,
            crystallite_size_nm=shared.crystallite_size_nm,
            strain=shared.strain,
            b_iso_change_A2=shared.b_iso_change_A2,
        )
        return LatticeModel(a_A=a_A, templates=templates, linear=linear)

    return build


def _durations(clock: dict[str, float]) -> dict[str, float]:
    names = list(clock)
    return {b: clock[b] - clock[a] for a, b in pairwise(names)}


def _variance_of(volume: Reconstruction) -> NDArray[np.float32]:
    if volume.variance is None:
        raise ValueError("refinement needs the variance of the reconstruction")
    return volume.variance
