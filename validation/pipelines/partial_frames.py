"""Frames integrated by another's function, in the place of :mod:`inverse.integrate`.

A function gets one frame, (row, column), counts with gaps negative, and returns value and variance
of every channel in photons per radian of 2θ in the whole, unpolarised ring (or a mean per pixel
times what brings it there); NaN where a channel has no pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.frame_patterns import calibrated_geometry, raw_of_frames
from inverse.recipe import Recipe
from validation.integrated_files import chosen_recipe
from validation.outputs import other_scan_path
from validation.pipelines.offered import offered
from xrdct.errors import InputError
from xrdct.framefile import is_frame_scan, read_frame_scan
from xrdct.instrument import ring_acceptance
from xrdct.ponifile import write_poni
from xrdct.rawfile import RawScan

Singles = NDArray[np.float32]
Step = Callable[..., Any]


def integrated_by(
    function: Step, path: Path, recipe: Recipe | None, *, workers: int | None = None
) -> RawScan:
    """Return the patterns of a scan of frames, each integrated by ``function``, one by one.

    Raises InputError where the scan holds patterns, or the function returns none. ``workers`` is
    not used: another's function need not bear threads.
    """
    del workers
    if not is_frame_scan(path):
        raise InputError(
            "integrate needs frames, but the scan holds patterns: score with --mode frames"
        )
    frames = read_frame_scan(path)
    chosen = chosen_recipe(frames, recipe)
    geometry = calibrated_geometry(frames.geometry, chosen)
    acceptance = ring_acceptance(
        geometry, detector=frames.detector, polarisation=frames.beam.polarisation
    )
    per_channel = (acceptance * geometry.channel_width_rad).astype(np.float32)
    poni = path.with_name(f"{path.stem}_calibrated.poni")  # the one beside the scan is nominal
    write_poni(poni, beam=frames.beam, detector=frames.detector, geometry=geometry)
    keywords = offered(
        function,
        two_theta_rad=geometry.two_theta_rad,
        geometry=geometry,
        detector=frames.detector,
        beam=frames.beam,
        flat=frames.flat_field,
        poni=str(poni.resolve()),
    )
    shape = (frames.scan.n_angles * frames.scan.n_offsets, geometry.n_channels)
    values, variances = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for number, place in enumerate(frames.raster):
        frame = np.asarray(frames.frames(number, number + 1)[0])
        value, variance = _pattern(function(frame, **keywords), geometry.n_channels)
        values[place] = value * per_channel
        variances[place] = variance * per_channel**2
    missing = ~np.isfinite(values).all(axis=0) | ~np.isfinite(variances).all(axis=0)
    if missing.all():
        raise InputError("integrate returned no channel that is a number in every frame")
    values[:, missing] = variances[:, missing] = np.nan
    cube = (frames.scan.n_angles, frames.scan.n_offsets, geometry.n_channels)
    return raw_of_frames(
        frames, recipe=chosen, counts=values.reshape(cube), variance=variances.reshape(cube)
    )


def others_integrated_by(
    function: Step, path: Path, recipe: Recipe, *, workers: int | None = None
) -> dict[str, RawScan]:
    """Return those further scans that a recipe makes use of, integrated by the same function."""
    places = {name: other_scan_path(path, name) for name in recipe.helpful_scans}
    return {
        name: integrated_by(function, place, recipe, workers=workers)
        for name, place in places.items()
        if place.exists()
    }


def _pattern(result: Any, n_channels: int) -> tuple[Singles, Singles]:
    if not (isinstance(result, tuple | list) and len(result) == 2):
        raise InputError(
            f"integrate returns a pattern and its variance, not {type(result).__name__}"
        )
    try:
        value, variance = (np.asarray(part, dtype=np.float32) for part in result)
    except (TypeError, ValueError) as error:
        raise InputError(f"integrate returned no numbers: {error}") from error
    if value.shape != (n_channels,) or variance.shape != (n_channels,):
        raise InputError(
            f"integrate returned a pattern of shape {value.shape} and a variance of shape "
            f"{variance.shape}, not ({n_channels},) both"
        )
    if np.nanmin(variance, initial=0.0) < 0.0:
        raise InputError("integrate returned a negative variance")
    return value, variance
