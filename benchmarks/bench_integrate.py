"""Time azimuthal integration of a 2M frame, ours against pyFAI in the same run.

A noisy frame of a powder: 0.1 to 10 counts between the rings, thousands on them. pyFAI integrates
with all cores, without splitting pixels, by its compiled sparse matrices, into the same channels.
Run from the checkout:

    python -m benchmarks.bench_integrate
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.integrate import Pattern, integrate_frame, integrate_frames, integrator
from inverse.integration import Integration, Method
from inverse.pixel_bins import PixelBins, pyfai_integrator
from xrdct.compiled import worker_count
from xrdct.instrument import Beam, Detector, Geometry

METHODS: tuple[tuple[Method, str, dict[str, Any]], ...] = (
    ("mean", "integrate1d_ng", {}),
    ("trimmed_5_5", "medfilt1d_ng", {"percentile": (5, 95)}),
    ("trimmed_10_10", "medfilt1d_ng", {"percentile": (10, 90)}),
    ("median", "medfilt1d_ng", {"percentile": 50}),
    ("sigma_clip", "sigma_clip_ng", {"thres": 5.0, "max_iter": 5, "error_model": "azimuthal"}),
)


def milliseconds(task: Callable[[], object], *, repeats: int) -> float:
    """Return the shortest time of a few runs, which other work on the machine disturbs least."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - start)
    return 1e3 * float(best)


def powder_frame(bins: PixelBins, *, seed: int = 1) -> NDArray[np.int32]:
    """Return Poisson counts (row, column) of rings on a falling background; −1 where no channel."""
    rng = np.random.default_rng(seed)
    channel = np.arange(bins.n_channels)
    profile = 0.1 + 10.0 * np.exp(-channel / 250.0)
    for place in rng.uniform(0, bins.n_channels, 25):
        height = rng.choice([30.0, 300.0, 3000.0])
        profile += height * np.exp(-0.5 * ((channel - place) / 1.5) ** 2)
    expected = np.repeat(profile, np.diff(bins.start)) * bins.weight / bins.weight.max()
    frame = np.full(bins.shape, -1, np.int32)
    frame.ravel()[bins.pixel] = rng.poisson(expected)
    return frame


def compared(
    ours: Callable[..., Pattern],
    theirs: Callable[[], Any],
    bins: PixelBins,
    area_sr: float,
    *,
    repeats: int,
) -> str:
    """Return the row of one method: times, their ratio and how far the values are apart."""
    value = ours()[0] / bins.ring_factor * area_sr
    intensity = theirs().intensity
    seen = (intensity != 0) & np.isfinite(value)
    apart = np.median(np.abs(value[seen] / intensity[seen] - 1.0))
    single = milliseconds(partial(ours, workers=1), repeats=repeats)
    several = milliseconds(ours, repeats=repeats)
    other = milliseconds(theirs, repeats=repeats)
    return f"{single:11.1f}  {several:14.1f}  {other:7.1f}  {other / several:12.1f}  {apart:17.1e}"


def main() -> None:
    """Print milliseconds per frame, their ratios and how far the results are apart."""
    parser = argparse.ArgumentParser(description="Time azimuthal integration.")
    parser.add_argument("--repeats", type=int, default=7, help="runs to take the shortest of")
    repeats: int = parser.parse_args().repeats
    geometry, detector, beam = Geometry(), Detector(), Beam()
    corrections = {"sensor_parallax": False, "sensor_absorption": False}
    bins = integrator(
        geometry, detector=detector, beam=beam, integration=Integration(**corrections)
    )
    ai = pyfai_integrator(geometry, detector=detector, beam=beam, sensor_parallax=False)
    frame = powder_frame(bins)
    common = {
        "npt": geometry.n_channels,
        "unit": "2th_deg",
        "radial_range": (geometry.two_theta_min_deg, geometry.two_theta_max_deg),
        "polarization_factor": beam.polarisation,
        "method": ("no", "csr", "cython"),
        "mask": (frame < 0).astype(np.int8),
    }
    area_sr = ai.detector.pixel1 * ai.detector.pixel2 / ai.dist**2
    print(
        f"{frame.shape[0]} × {frame.shape[1]} pixels, {bins.pixel.size} in {bins.n_channels} "
        f"channels, {worker_count(None)} cores; ms, shortest of {repeats} runs; load "
        f"{os.getloadavg()[0]:.1f}"
    )
    print(f"{'':14}  ours 1 core  ours all cores    pyFAI  pyFAI / ours  median difference")
    for method, name, options in METHODS:
        recipe = Integration(method=method, error_model="azimuthal", **corrections)
        theirs = partial(getattr(ai, name), frame, **common, **options)
        ours = partial(integrate_frame, frame, bins, recipe)
        print(f"{method:14}  {compared(ours, theirs, bins, area_sr, repeats=repeats)}")
    many = [frame] * 16
    streamed = milliseconds(lambda: integrate_frames(many, bins, Integration()), repeats=2)
    print(f"trimmed_5_5, a frame per thread: {streamed / len(many):.1f} ms per frame")


if __name__ == "__main__":
    main()
