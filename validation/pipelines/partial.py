"""A pipeline that is one step only: the rest of the chain is ours.

    integrate(frame, …)                  → pattern, variance           (channel,) each
    reconstruct(sinogram, …)             → images [, variance]         (iy, ix, channel)
    refine(patterns, variance, …)        → a_A, a_esd_A, or a mapping  (voxel,) each

Functions get the arrays by position and whatever else they name among the keyword arguments that
are offered (`docs/pipelines.md` lists them). Every step of ours before and after is that of the
recipe, so the scorecard tells what the step alone changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.chain import prepared_sinogram
from inverse.fitted import Fitted, example_fit, maps_of
from inverse.interlace import half_step_scan
from inverse.lattice_model import shared_of_voxels
from inverse.maps import Maps
from inverse.recipe import Recipe
from inverse.reconstruct import Reconstruction
from inverse.recover import instrument_of, model_builder, recover
from inverse.refine import refine
from inverse.region_fractions import region_table
from inverse.regions import rays_of_sinogram
from inverse.sinogram import Sinogram
from inverse.volume import volume_of
from validation.integrated_files import chosen_recipe
from validation.pipelines.offered import offered
from validation.pipelines.partial_frames import integrated_by, others_integrated_by
from validation.run import read_others, read_patterns
from xrdct.errors import InputError
from xrdct.rawfile import RawScan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Step = Callable[..., Any]

_RIGHT_SCALE = (0.5, 2.0)
"""Images over those of our own back projection, as far as methods may differ."""


def recover_partly(
    scan: Path,
    *,
    stages: Mapping[str, Step],
    recipe: Recipe | None = None,
    workers: int | None = None,
) -> Maps | dict[str, Floats]:
    """Return what our chain with some steps replaced recovers: maps, or arrays for them.

    Raises InputError where a function returns what its step does not, or the recipe has no such
    step.
    """
    if "integrate" in stages:
        raw = integrated_by(stages["integrate"], scan, recipe, workers=workers)
        chosen = chosen_recipe(raw, recipe)
        others = others_integrated_by(stages["integrate"], scan, chosen, workers=workers)
    else:
        raw = read_patterns(scan, recipe, workers=workers)
        chosen = chosen_recipe(raw, recipe)
        others = read_others(scan, chosen, workers=workers)
    if not {"reconstruct", "refine"} & set(stages):
        return recover(raw, others=others, recipe=chosen, workers=workers)
    made = chosen.reconstruction
    if made.method in ("direct", "joint") or made.order != "reconstruct-first" or made.compress:
        raise InputError(
            "a step can be replaced where patterns are reconstructed channel by channel and then "
            f"refined, but the recipe says method = {made.method!r}, order = {made.order!r}"
        )
    sinogram = prepared_sinogram(raw, others=others, recipe=chosen, workers=workers)
    own = volume_of(
        sinogram, recipe=chosen, n_offsets=half_step_scan(raw.scan).n_offsets,
        beam_fwhm_um=raw.beam.width_um, workers=workers,
    )  # fmt: skip
    images = (
        _reconstructed(stages["reconstruct"], sinogram, own) if "reconstruct" in stages else own
    )
    if "refine" in stages:
        return _refined(stages["refine"], images, raw, chosen)
    return _maps(images, sinogram, raw, chosen, workers)


def _reconstructed(function: Step, sinogram: Sinogram, own: Reconstruction) -> Reconstruction:
    """Return the images of a function, with its variance or that of our own back projection."""
    used, size = sinogram.measured_channels, own.values.shape[0]
    keywords = offered(
        function,
        angles_rad=sinogram.angles_rad,
        step_um=sinogram.step_um,
        axis_offset_um=sinogram.axis_offset_um,
        variance=sinogram.variance[..., used],
        size=size,
    )
    if "axis_offset_um" not in keywords and sinogram.axis_offset_um != 0.0:
        raise InputError(
            "reconstruct takes no axis_offset_um, but the rotation axis is seen "
            f"{sinogram.axis_offset_um:.3g} µm beside the middle"
        )
    result = function(sinogram.values[..., used], **keywords)
    found, variance = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    values = _whole(_images(found, "images", size, int(used.sum())), used)
    _check_scale(values, own.values)
    unseen = ~np.isfinite(own.values).any(axis=2)
    values[unseen] = np.nan
    if variance is None:
        return Reconstruction(values, own.variance)
    spread = _whole(_images(variance, "variance", size, int(used.sum())), used)
    return Reconstruction(values, spread)


def _images(found: Any, name: str, size: int, n_channels: int) -> Singles:
    images = _numbers(found, name)
    if images.shape != (size, size, n_channels):
        raise InputError(
            f"reconstruct returned {name} of shape {images.shape}, not ({size}, {size}, "
            f"{n_channels}): (iy, ix, channel)"
        )
    return images


def _numbers(found: Any, name: str) -> Singles:
    try:
        return np.asarray(found, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is no array of numbers: {error}") from error


def _whole(images: Singles, used: NDArray[np.bool_]) -> Singles:
    """Return images of all channels, NaN where a channel was not measured."""
    every = np.full((*images.shape[:2], used.size), np.nan, np.float32)
    every[..., used] = images
    return every


def _check_scale(values: Singles, own: Singles) -> None:
    """Refuse images in another quantity: that would be scored as material lost, or as noise."""
    known = np.isfinite(values) & np.isfinite(own)
    if not known.any():
        raise InputError("reconstruct returned no number in any pixel")
    theirs, ours = values[known].astype(float), own[known].astype(float)
    ratio = float(theirs @ ours / (ours @ ours))
    low, high = _RIGHT_SCALE
    if not low <= ratio <= high:
        raise InputError(
            f"reconstruct returned images {ratio:.3g} times as bright as our filtered back "
            "projection: they must be the sinogram's quantity per µm, indexed [iy, ix, channel]"
        )


def _voxels(images: Reconstruction) -> tuple[Singles, Singles, NDArray[np.bool_]]:
    """Return patterns and variance of measured voxels, (voxel, channel), and which they are."""
    if images.variance is None:
        raise ValueError("refinement needs the variance of the reconstruction")
    known = np.isfinite(images.values) & np.isfinite(images.variance)
    measured = np.asarray(known.any(axis=2), dtype=np.bool_)
    return images.values[measured], images.variance[measured], measured


def _refined(
    function: Step, images: Reconstruction, raw: RawScan, recipe: Recipe
) -> dict[str, Floats]:
    """Return the arrays that a function refined, as maps (iy, ix)."""
    patterns, variance, measured = _voxels(images)
    instrument = instrument_of(raw, recipe)
    # Channels are named by the nominal distance; where a line truly is, the calibrated one tells.
    nearer = raw.geometry.distance_m / instrument.calibration.distance_m
    two_theta_rad = np.arctan(np.tan(raw.geometry.two_theta_rad) * nearer)
    result = function(
        patterns,
        variance,
        **offered(
            function,
            two_theta_rad=two_theta_rad,
            wavelength_A=raw.beam.wavelength_A,
            a_range_A=(recipe.phase.a_min_A, recipe.phase.a_max_A),
            instrument=instrument,
            recipe=recipe,
        ),
    )
    values = result if isinstance(result, Mapping) else _pair(result)
    arrays = {}
    for name, found in values.items():
        numbers = _numbers(found, str(name)).astype(float)
        if numbers.shape != (len(patterns),):
            raise InputError(
                f"refine returned {name} of shape {numbers.shape}, not ({len(patterns)},): one "
                "number for each voxel"
            )
        arrays[str(name)] = np.full(measured.shape, np.nan)
        arrays[str(name)][measured] = numbers
    return arrays


def _pair(result: Any) -> dict[str, Any]:
    if isinstance(result, tuple | list) and len(result) == 2:
        return {"a_A": result[0], "a_esd_A": result[1]}
    raise InputError(
        "refine returns a_A and a_esd_A, (voxel,) each, or a mapping of such arrays, not "
        f"{type(result).__name__}"
    )


def _maps(
    images: Reconstruction,
    sinogram: Sinogram,
    raw: RawScan,
    recipe: Recipe,
    workers: int | None,
) -> Maps:
    """Refine images by our own refinement; regions stay those of our own back projection."""
    patterns, variance, measured = _voxels(images)
    build = model_builder(raw, recipe)
    shared = shared_of_voxels(
        patterns, variance=variance, build=build, recipe=recipe, workers=workers
    )
    model = build(shared)
    refined = refine(
        patterns, variance=variance, model=model, min_scale=recipe.min_volume_fraction,
        workers=workers,
    )  # fmt: skip
    example = example_fit(
        refined, model=model, measured=measured, patterns=patterns, variance=variance,
        two_theta_rad=raw.geometry.two_theta_rad,
    )  # fmt: skip
    found = maps_of(raw, recipe, Fitted(refined, measured, model, shared, example))
    maps = replace(found, scan=half_step_scan(raw.scan), shared=asdict(shared))
    regions = region_table(
        maps, rays=rays_of_sinogram(sinogram, recipe=recipe), instrument=instrument_of(raw, recipe),
        shared=shared, lattices=model, workers=workers,
    )  # fmt: skip
    return replace(maps, regions=regions)
