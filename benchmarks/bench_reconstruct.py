"""Time filtered back projection of a whole diffraction sinogram, and of a single image.

Ours does all channels, with and without propagated variance. The peers work channel by channel, the
way their users call them; they are measured on a few channels and scaled to all. Wall-clock time
and the processor time of all threads, which other work on the machine disturbs less. Run from the
checkout, with whichever peers are installed:

    python -m benchmarks.bench_reconstruct [--quick]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.backends.algotom import AlgotomBackend
from inverse.backends.astra import PROJECTOR, AstraBackend
from inverse.backends.protocol import Backend, loaded
from inverse.backends.skimage import SkimageBackend
from inverse.backends.tomopy import TomopyBackend
from inverse.reconstruct import filtered_back_projection, reconstruct_counts
from xrdct.compiled import worker_count
from xrdct.errors import InputError

FULL = (350, 351, 1000)
"""Angles, offsets and channels of the region-of-interest scan of the reference study."""

QUICK = (90, 91, 256)

PEER_CHANNELS = 8

Singles = NDArray[np.float32]
Peer = Callable[[Singles, NDArray[np.float64]], Callable[[], object]]
"""Given sinograms (channel, angle, offset) and angles in rad, what reconstructs all of them."""


@dataclass(frozen=True)
class Seconds:
    """The shortest times of a few runs."""

    wall: float
    processor: float

    def scaled(self, factor: float) -> Seconds:
        """Return the times of ``factor`` times the work."""
        return Seconds(self.wall * factor, self.processor * factor)


def seconds(task: Callable[[], object], *, repeats: int) -> Seconds:
    """Return the shortest times of a few runs, after one that compiles or loads."""
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        task()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return Seconds(min(walls), min(processors))


def peak_memory_GB() -> float:
    """Return the most memory this process has held so far, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def simulated_counts(shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Return Poisson counts (angle, offset, channel) of an off-centre disc, 20 at the most."""
    n_angles, n_offsets, n_channels = shape
    angles = np.arange(n_angles) * np.pi / n_angles
    offsets = 2 * np.arange(n_offsets) / (n_offsets - 1) - 1
    distance = offsets[None, :] - 0.3 * np.cos(angles)[:, None]
    chord = 40 * np.sqrt(np.maximum(0.25 - distance**2, 0.0))
    rng = np.random.default_rng(1)
    counts = np.empty(shape, dtype=np.int32)
    for channel in range(n_channels):
        counts[:, :, channel] = rng.poisson(chord)
    return counts


def skimage_fbp(lines: Singles, angles: NDArray[np.float64]) -> Callable[[], object]:
    """``iradon``, one channel after the other."""
    transform = loaded("skimage.transform", install=SkimageBackend.install)
    degrees = np.degrees(angles)
    return lambda: [transform.iradon(line.T, theta=degrees, filter_name="ramp") for line in lines]


def algotom_fbp(lines: Singles, angles: NDArray[np.float64]) -> Callable[[], object]:
    """``fbp_reconstruction`` with all its threads, which lose additions."""
    package = loaded("algotom.rec.reconstruction", install=AlgotomBackend.install)
    centre = 0.5 * (lines.shape[2] - 1)
    settings = {"angles": angles, "filter_name": None, "apply_log": False, "gpu": False}
    return lambda: [package.fbp_reconstruction(line, centre, **settings) for line in lines]


def astra_fbp(lines: Singles, angles: NDArray[np.float64]) -> Callable[[], object]:
    """``FBP`` on the processor, the projector made once."""
    astra = loaded("astra", install=AstraBackend.install)
    rays = astra.create_proj_geom("parallel", 1.0, lines.shape[2], angles)
    pixels = astra.create_vol_geom(lines.shape[2], lines.shape[2])
    projector = astra.create_projector(PROJECTOR, rays, pixels)
    data, image = astra.data2d.create("-sino", rays), astra.data2d.create("-vol", pixels)

    def run() -> None:
        for line in lines:
            astra.data2d.store(data, line)
            settings: Any = astra.astra_dict("FBP")
            settings.update(ProjectorId=projector, ProjectionDataId=data)
            settings.update(ReconstructionDataId=image, option={"FilterType": "ram-lak"})
            algorithm = astra.algorithm.create(settings)
            astra.algorithm.run(algorithm)
            astra.algorithm.delete(algorithm)
            astra.data2d.get(image)

    return run


def tomopy_gridrec(lines: Singles, angles: NDArray[np.float64]) -> Callable[[], object]:
    """``gridrec`` with all its threads, none of its faults put right."""
    tomopy = loaded("tomopy", install=TomopyBackend.install)
    centre = 0.5 * (lines.shape[2] - 1)
    settings = {"sinogram_order": True, "algorithm": "gridrec", "filter_name": "ramlak"}
    return lambda: tomopy.recon(lines, angles, center=centre, **settings)


PEERS: dict[str, tuple[type[Backend], Peer]] = {
    "tomopy gridrec": (TomopyBackend, tomopy_gridrec),
    "algotom fbp": (AlgotomBackend, algotom_fbp),
    "astra FBP": (AstraBackend, astra_fbp),
    "scikit-image iradon": (SkimageBackend, skimage_fbp),
}


def row(name: str, time_s: Seconds, ours: Seconds | None, note: str = "") -> None:
    """Print a line of the table, with the ratios to ours in wall-clock and processor time."""
    text = f"{name:<22} {time_s.wall:9.3f} {time_s.processor:9.3f}"
    if ours:
        text += f" {time_s.wall / ours.wall:8.1f} {time_s.processor / ours.processor:8.1f}"
    print(f"{text}   {note}".rstrip())


def compare(ours: Seconds, lines: Singles, n_channels: int, *, repeats: int) -> None:
    """Print the times of the peers for ``n_channels``, measured on those of ``lines``."""
    angles = np.arange(lines.shape[1]) * np.pi / lines.shape[1]
    note = "" if len(lines) == n_channels else f"from {len(lines)} channels"
    for name, (backend, peer) in PEERS.items():
        try:
            backend().version()
        except InputError as error:
            print(f"{name:<22} not measured: {error}")
            continue
        task = peer(lines, angles)
        task()
        row(name, seconds(task, repeats=repeats).scaled(n_channels / len(lines)), ours, note)


def main() -> None:
    """Print the seconds, their ratios and the peak memory."""
    parser = argparse.ArgumentParser(description="Time filtered back projection.")
    parser.add_argument("--quick", action="store_true", help="a small scan, for a trial")
    parser.add_argument("--repeats", type=int, default=2, help="runs to take the shortest of")
    options = parser.parse_args()
    shape = QUICK if options.quick else FULL
    n_angles, n_offsets, n_channels = shape
    angles = np.arange(n_angles) * np.pi / n_angles
    counts = simulated_counts(shape)

    def ours(channels: int, *, with_variance: bool) -> object:
        return reconstruct_counts(
            counts[:, :, :channels],
            ray_gain=np.ones(shape[:2]),
            channel_gain=np.ones(channels),
            angles_rad=angles,
            step_um=1.0,
            padding="zero",
            with_variance=with_variance,
        )

    ours(1, with_variance=True)  # compiles, or loads what was compiled before
    ours(PEER_CHANNELS, with_variance=True)
    values = seconds(lambda: ours(n_channels, with_variance=False), repeats=options.repeats)
    both = seconds(lambda: ours(n_channels, with_variance=True), repeats=options.repeats)
    peak = peak_memory_GB()
    moved = np.moveaxis(counts[:, :, :PEER_CHANNELS], 2, 0)
    lines = np.ascontiguousarray(moved, dtype=np.float32)

    print(
        f"{n_offsets} offsets × {n_angles} angles × {n_channels} channels, {worker_count(None)} "
        f"cores; counts {counts.nbytes / 1e9:.2f} GB; shortest of {options.repeats} runs"
    )
    print(f"{'':<22} {'wall s':>9} {'CPU s':>9} {'ratio':>8} {'CPU':>8}")
    row("ours", values, None)
    row("ours, with variance", both, None, f"peak memory {peak:.2f} GB")
    compare(values, lines, n_channels, repeats=options.repeats)

    print("\na single image")
    one = np.ascontiguousarray(lines[0][:, :, None])

    def single() -> object:
        return filtered_back_projection(one, angles_rad=angles, step_um=1.0, padding="zero")

    single()
    alone = seconds(single, repeats=5 * options.repeats)
    row("ours", alone, None)
    compare(alone, lines[:1], 1, repeats=5 * options.repeats)


if __name__ == "__main__":
    main()
