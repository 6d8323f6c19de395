"""Time iterative reconstruction of a whole diffraction sinogram, and its memory.

Ten iterations of SIRT on every channel, and on the coefficients of a compression; against
scikit-image's ``iradon_sart`` and a sparse matrix of scipy's, channel by channel, in the same run.
Both are measured on one channel and scaled to all, for the same number of iterations; those of
``iradon_sart`` correct the image after every projection, and so do more each. Run from the
checkout:

    python -m benchmarks.bench_iterative [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from skimage.transform import iradon_sart

from benchmarks.bench_reconstruct import (
    FULL,
    QUICK,
    Seconds,
    peak_memory_GB,
    seconds,
    simulated_counts,
)
from inverse.cgls import cgls
from inverse.compression import compression
from inverse.iteration import Rays, scan_rays
from inverse.poisson import poisson_reconstruction
from inverse.reconstruct import filtered_back_projection
from inverse.refine import LatticeModel
from inverse.sirt import sirt
from xrdct.compiled import worker_count

ITERATIONS = 10
PEER_CHANNELS = 1

Singles = NDArray[np.float32]
Timed = Callable[[Callable[[], object]], Seconds]


def sparse_projector(shape: tuple[int, int, int], angles: NDArray[np.float64]) -> csr_array:
    """Return A as a sparse matrix, (ray, pixel), built by its definition."""
    n_angles, n, _ = shape
    position = np.arange(n) - 0.5 * (n - 1)
    x, y = (axis.ravel() for axis in np.meshgrid(position, position))
    rows, columns, weights = [], [], []
    for a, angle in enumerate(angles):
        cos, sin = np.cos(angle), np.sin(angle)
        width = max(abs(cos), abs(sin))
        offset = x * cos + y * sin + 0.5 * (n - 1)
        for ray in (np.floor(offset).astype(np.int64), np.floor(offset).astype(np.int64) + 1):
            weight = np.maximum(0.0, 1.0 - np.abs(offset - ray) / width) / width
            used = (ray >= 0) & (ray < n) & (weight > 0.0)
            rows.append(a * n + ray[used])
            columns.append(np.flatnonzero(used))
            weights.append(weight[used].astype(np.float32))
    place = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.concatenate(weights), place), shape=(n_angles * n, n * n))


def sparse_sirt(matrix: csr_array, lines: Singles, *, iterations: int) -> Singles:
    """Return SIRT's image of one channel, (pixel,)."""
    transposed = matrix.T.tocsr()
    by_ray = 1.0 / np.maximum(matrix @ np.ones(matrix.shape[1], np.float32), 1e-6)
    by_pixel = 1.0 / np.maximum(transposed @ np.ones(matrix.shape[0], np.float32), 1e-6)
    image = np.zeros(matrix.shape[1], np.float32)
    for _ in range(iterations):
        image += by_pixel * (transposed @ (by_ray * (lines.ravel() - matrix @ image)))
    return image


def peak_models(n_channels: int) -> LatticeModel:
    """Return peaks that move over the channels with a lattice parameter, on a background."""
    a_A = np.linspace(8.0, 8.25, 251)
    channel = np.arange(n_channels)
    shift = (a_A - 8.0) / 8.0 * n_channels
    centres = np.linspace(0.1, 0.95, 16) * n_channels
    width = n_channels / 400
    offset = channel - centres[:, None, None] + (centres[:, None] / n_channels * shift)[..., None]
    templates = np.exp(-0.5 * (offset / width) ** 2).sum(axis=0)
    background = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, n_channels), 5).T
    return LatticeModel(a_A=a_A, templates=templates, linear=np.ascontiguousarray(background))


def disagreement(rays: Rays, lines: Singles, matrix: csr_array) -> float:
    """Return the largest difference of our SIRT from the sparse one over its largest value."""
    ours = sirt(lines[..., None], rays=rays, iterations=ITERATIONS).values[..., 0]
    theirs = sparse_sirt(matrix, lines, iterations=ITERATIONS).reshape(ours.shape)
    return float(np.nanmax(np.abs(ours - theirs)) / np.nanmax(np.abs(theirs)))


def report(name: str, duration: Seconds, note: str = "") -> None:
    print(f"{name:36s}{duration.wall:9.2f} s{duration.processor:9.2f} s   {note}", flush=True)


def main() -> None:
    """Print the seconds, their ratio and the peak memory."""
    parser = argparse.ArgumentParser(description="Time iterative reconstruction.")
    parser.add_argument("--quick", action="store_true", help="a small scan, for a trial")
    parser.add_argument("--repeats", type=int, default=1, help="runs to take the shortest of")
    options = parser.parse_args()
    shape = QUICK if options.quick else FULL
    n_angles, n_offsets, n_channels = shape
    angles = np.arange(n_angles) * np.pi / n_angles
    counts = simulated_counts(shape).astype(np.float32)
    rays = scan_rays(shape, angles_rad=angles, step_um=1.0)
    few = counts[..., :2]
    for method in (sirt, cgls, poisson_reconstruction):
        method(few, rays=rays, iterations=1)  # compiles, or loads what was compiled before

    def timed(task: Callable[[], object]) -> Seconds:
        return seconds(task, repeats=options.repeats)

    print(
        f"{n_offsets} offsets × {n_angles} angles × {n_channels} channels, "
        f"{ITERATIONS} iterations, {worker_count(None)} cores; shortest of {options.repeats} runs"
    )
    print(f"{'':36s}{'wall':>9s}  {'processor':>9s}")
    ours = timed(lambda: sirt(counts, rays=rays, iterations=ITERATIONS))
    report("SIRT, all channels", ours, f"peak memory {peak_memory_GB():.2f} GB")
    report("CGLS, all channels", timed(lambda: cgls(counts, rays=rays, iterations=ITERATIONS)))
    part = counts[..., :128]
    report(
        "Poisson, all channels",
        timed(lambda: poisson_reconstruction(part, rays=rays, iterations=ITERATIONS)).scaled(
            n_channels / part.shape[2]
        ),
        f"measured on {part.shape[2]} channels and scaled",
    )
    compressed(counts, rays, angles, timed)
    peers(counts, rays, angles, shape, timed, ours)


def compressed(
    counts: Singles,
    rays: Rays,
    angles: NDArray[np.float64],
    timed: Timed,
) -> None:
    """Time the way over coefficients: finding them, reconstructing and expanding again."""
    model = peak_models(counts.shape[2])
    built = compression(counts, variance=counts + 1.0, model=model)
    n_coefficients = len(built.whitened)
    coefficients = built.compress(counts)
    images = sirt(coefficients, rays=rays, iterations=ITERATIONS).values
    report(
        f"compression to {n_coefficients} coefficients",
        timed(lambda: compression(counts, variance=counts, model=model).compress(counts)),
    )
    report("SIRT of them", timed(lambda: sirt(coefficients, rays=rays, iterations=ITERATIONS)))
    report("expansion to all channels", timed(lambda: built.expand(images)))
    report(
        "FBP of the coefficients",
        timed(lambda: filtered_back_projection(coefficients, angles_rad=angles, step_um=1.0)),
    )
    report(
        "FBP, all channels",
        timed(lambda: filtered_back_projection(counts, angles_rad=angles, step_um=1.0)),
    )


def peers(
    counts: Singles,
    rays: Rays,
    angles: NDArray[np.float64],
    shape: tuple[int, int, int],
    timed: Timed,
    ours: Seconds,
) -> None:
    """Time what others need for the same channels, from a few of them."""
    n_channels = shape[2]
    lines = counts[..., 0]
    matrix = sparse_projector(shape, angles)
    scale = n_channels / PEER_CHANNELS
    note = f"measured on {PEER_CHANNELS} channel and scaled to {n_channels}; single-threaded"
    sparse = timed(lambda: sparse_sirt(matrix, lines, iterations=ITERATIONS)).scaled(scale)
    report("scipy sparse matrix, SIRT", sparse, note)
    difference = disagreement(rays, lines, matrix)
    print(f"    largest difference of its image from ours: {difference:.1e} of the largest value")

    def sart() -> None:
        image = None
        for _ in range(ITERATIONS):
            image = iradon_sart(  # type: ignore[no-untyped-call]
                lines.T.astype(np.float64), theta=np.degrees(angles), image=image
            )

    other = timed(sart).scaled(scale)
    report("scikit-image, iradon_sart", other, note)
    print(
        f"wall clock: scipy / ours {sparse.wall / ours.wall:.1f}, "
        f"scikit-image / ours {other.wall / ours.wall:.1f}"
    )


if __name__ == "__main__":
    main()
