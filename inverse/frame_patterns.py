"""From the frames of a scan to its patterns: the first true step of the analysis.

Every frame is integrated (:mod:`inverse.integrate`) where the calibrant says the detector stands,
several side by side, and never are more frames held than there are threads. Patterns are given as a
raw scan in pattern mode is: in photons per channel, as a smooth detector would count them
(:func:`xrdct.instrument.ring_acceptance`), with the variance of the estimator that was used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.integrate import integrate_frame, integrator
from inverse.recipe import Recipe
from xrdct.compiled import threaded
from xrdct.framefile import FrameScan
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.rawfile import RawScan, Readings
from xrdct.scan import Scan

Frame = NDArray[np.int32]
Singles = NDArray[np.float32]
Progress = Callable[[float], None]


def integrated_scan(
    frame: Callable[[int], Frame],
    *,
    scan: Scan,
    beam: Beam,
    detector: Detector,
    geometry: Geometry,
    recipe: Recipe,
    flat: Singles | None = None,
    counts_per_photon: int = 1,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Singles, Singles]:
    """Return patterns and their variance, (angle, offset, channel) both; NaN: not measured.

    ``frame`` gives a frame for its place in the raster (angle · n_offsets + offset), in any thread;
    ``geometry`` is the one to integrate with; ``flat`` (row, column) the pixels' known response.
    Frames in which a photon counts several times (means, stored as whole numbers) say so in
    ``counts_per_photon``.
    """
    bins = integrator(
        geometry, detector=detector, beam=beam, integration=recipe.integration, flat=flat
    )
    acceptance = ring_acceptance(geometry, detector=detector, polarisation=beam.polarisation)
    per_channel = acceptance * geometry.channel_width_rad
    shape = (scan.n_angles * scan.n_offsets, geometry.n_channels)
    values, variances = np.empty(shape, np.float32), np.empty(shape, np.float32)
    done = 0

    def integrate(first: int, last: int) -> None:
        nonlocal done
        for index in range(first, last):
            value, variance = integrate_frame(frame(index), bins, recipe.integration, workers=1)
            values[index] = value * per_channel / counts_per_photon
            variances[index] = variance * per_channel**2 / counts_per_photon
            done += 1
            if progress is not None:
                progress(done / shape[0])

    threaded(integrate, shape[0], workers=workers)
    cube = (scan.n_angles, scan.n_offsets, geometry.n_channels)
    return values.reshape(cube), variances.reshape(cube)


def patterns_of_frames(
    frames: FrameScan,
    *,
    recipe: Recipe | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RawScan:
    """Return the patterns of a scan of frames, by ``recipe`` or by the one stored with it."""
    recipe = recipe or Recipe.model_validate(frames.recipe)
    geometry = calibrated_geometry(frames.geometry, recipe)
    frame_of_raster = np.argsort(frames.raster)

    def frame(index: int) -> Frame:
        number = int(frame_of_raster[index])
        return np.asarray(frames.frames(number, number + 1)[0])

    counts, variance = integrated_scan(
        frame, scan=frames.scan, beam=frames.beam, detector=frames.detector, geometry=geometry,
        recipe=recipe, flat=frames.flat_field, workers=workers, progress=progress,
    )  # fmt: skip
    return raw_of_frames(frames, recipe=recipe, counts=counts, variance=variance)


def raw_of_frames(
    frames: FrameScan, *, recipe: Recipe, counts: Singles, variance: Singles
) -> RawScan:
    """Return the raw scan of integrated frames; counts and variance (angle, offset, channel)."""
    in_order: Mapping[str, Any] = {
        name: frames.in_raster_order(getattr(frames, name)).astype(float)
        for name in ("monitor", "transmitted", "encoder_offset_um", "elapsed_s")
    }
    rotation = frames.in_raster_order(frames.encoder_rotation_rad).astype(float)
    return RawScan(
        scan=frames.scan,
        beam=frames.beam,
        detector=frames.detector,
        geometry=calibrated_geometry(frames.geometry, recipe),
        counts=counts,
        variance=variance,
        monitor=in_order["monitor"],
        transmitted=in_order["transmitted"],
        readings=Readings(in_order["encoder_offset_um"], rotation[:, 0], in_order["elapsed_s"]),
        recipe=recipe.model_dump(mode="json"),
        title=frames.title,
        experiment_hash=frames.experiment_hash,
        versions=frames.versions,
    )


def calibrated_geometry(nominal: Geometry, recipe: Recipe) -> Geometry:
    """Return where the calibrant says the detector stands, or the nominal place without one."""
    calibration = recipe.calibration
    if calibration is None or calibration.geometry is None:
        return nominal
    return calibration.geometry
