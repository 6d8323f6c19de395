"""Azimuthal integration: from a detector's frame to a pattern in 2θ, with its variance.

A channel's value is an average of counts per steradian over the pixels of its ring, each corrected
for polarisation, solid angle, flat field and sensor absorption (:mod:`inverse.pixel_bins`), by one
of several estimators (:mod:`inverse.trimmed`, :mod:`inverse.averages`). Times 2π sin 2θ it is

    photons per radian of 2θ in the whole, unpolarised ring,

photons being counted ones: over the detector's efficiency, they are scattered ones. Gaps (−1), dead
pixels (−2) and whatever else is negative in a frame are left out of that frame. A channel of fewer
than 8 usable pixels is NaN, in value and variance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.averages import clipped_means, clipping_factors, means, medians
from inverse.integration import Integration
from inverse.pixel_bins import PixelBins, pixel_bins
from inverse.trimmed import trimmed_means
from xrdct.compiled import threaded, worker_count
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry

Floats = NDArray[np.float64]
Pattern = tuple[Floats, Floats]
"""Value and variance, each (channel,)."""

_WAITING_PER_WORKER = 2
"""Frames held for each thread: one at work, one to follow."""


def integrator(
    geometry: Geometry,
    *,
    detector: Detector,
    beam: Beam,
    integration: Integration,
    mask: ArrayLike | None = None,
    flat: ArrayLike | None = None,
) -> PixelBins:
    """Return the pixels and weights with which frames are integrated; made once for a scan.

    ``mask`` (row, column) is true where a pixel is not to be used, besides those the detector's
    maker masks; ``flat`` (row, column) is each pixel's relative response. Raises InputError where
    they do not have the detector's shape.
    """
    return pixel_bins(
        geometry, detector=detector, beam=beam, integration=integration, mask=mask, flat=flat
    )


def integrate_frame(
    frame: NDArray[np.integer[Any]],
    bins: PixelBins,
    integration: Integration,
    *,
    workers: int | None = None,
) -> Pattern:
    """Return value and variance of every channel, each (channel,), NaN where not measured.

    ``frame`` (row, column) holds integer counts, negative where there is none. The value is in
    photons per radian of 2θ in the whole unpolarised ring, the variance in its square. Channels are
    shared out among ``workers`` threads; with one, nothing is started, so that many frames can be
    integrated side by side (:func:`integrate_frames`). Raises InputError for a frame of another
    shape than the detector's, or of a type that int32 does not hold.
    """
    counts = _flat_counts(frame, bins)
    value, spread, photons = np.empty((3, bins.n_channels))

    def task(first: int, last: int) -> None:
        _estimate(counts, bins, integration, first, last, value, spread, photons)

    threaded(task, bins.n_channels, workers=workers)
    variance = _chosen_variance(integration, spread, photons)
    ring = bins.ring_factor
    return value * ring, variance * ring**2


def integrated(
    frames: Iterable[NDArray[np.integer[Any]]],
    bins: PixelBins,
    integration: Integration,
    *,
    workers: int | None = None,
) -> Iterator[Pattern]:
    """Yield value and variance of each frame, in order, several frames being integrated at once.

    No more than two frames per thread are taken from ``frames`` ahead of what was yielded, so a
    scan of any length needs the memory of a few. Otherwise as :func:`integrate_frame`.
    """
    count = worker_count(workers)
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[Pattern]] = deque()
        for frame in frames:
            waiting.append(pool.submit(integrate_frame, frame, bins, integration, workers=1))
            if len(waiting) >= _WAITING_PER_WORKER * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def integrate_frames(
    frames: Iterable[NDArray[np.integer[Any]]],
    bins: PixelBins,
    integration: Integration,
    *,
    workers: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the patterns of all frames and their variances, each (frame, channel).

    ``frames`` is an array (frame, row, column) or anything that gives one frame after the other,
    such as a reader of files: see :func:`integrated` for how many are held at a time.
    """
    patterns = [
        (value.astype(np.float32), variance.astype(np.float32))
        for value, variance in integrated(frames, bins, integration, workers=workers)
    ]
    if not patterns:
        nothing = np.empty((0, bins.n_channels), np.float32)
        return nothing, nothing.copy()
    return np.stack([value for value, _ in patterns]), np.stack([v for _, v in patterns])


def _flat_counts(frame: NDArray[np.integer[Any]], bins: PixelBins) -> NDArray[np.int32]:
    """Return the frame as the kernels read it, without a copy where it already is so."""
    if frame.shape != bins.shape:
        raise InputError(f"a frame must have the detector's shape {bins.shape}, not {frame.shape}.")
    if not np.can_cast(frame.dtype, np.int32):
        raise InputError(
            f"a frame must hold integers of at most 32 bits, signed: got {frame.dtype}."
        )
    return np.ascontiguousarray(frame, dtype=np.int32).reshape(-1)


def _estimate(
    counts: NDArray[np.int32],
    bins: PixelBins,
    integration: Integration,
    first: int,
    last: int,
    value: Floats,
    spread: Floats,
    photons: Floats,
) -> None:
    """Fill the channels first ≤ c < last with the recipe's estimator and its two variances."""
    entries = (counts, bins.start, bins.pixel, bins.weight, first, last)
    if integration.method == "mean":
        means(*entries, value, spread, photons)
    elif integration.method == "median":
        medians(*entries, value, spread)
        photons[first:last] = spread[first:last]
    elif integration.method == "sigma_clip":
        threshold, iterations = integration.clip_threshold, integration.clip_iterations
        poisson = integration.error_model == "poisson"
        clipped_means(*entries, threshold, iterations, poisson, value, spread, photons)
    else:
        trimmed_means(*entries, *integration.trimmed_fractions, value, spread, photons)


def _chosen_variance(integration: Integration, spread: Floats, photons: Floats) -> Floats:
    """Return the variance of the recipe's error model.

    For a trimmed mean both are upper bounds, so with photons the smaller one is taken.
    """
    if integration.method == "sigma_clip":
        by_spread, by_photons = clipping_factors(
            integration.clip_threshold,
            iterations=integration.clip_iterations,
            poisson=integration.error_model == "poisson",
        )
        spread, photons = by_spread * spread, by_photons * photons
    if integration.error_model == "azimuthal":
        return spread
    if integration.method.startswith("trimmed"):
        return np.minimum(spread, photons)
    return photons
