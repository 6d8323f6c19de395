"""tomopy (conda-forge only): ``gridrec``, put right, and ``sirt``.

Its ``gridrec`` (Dowd et al., Proc. SPIE 3772 (1999) 166) carries the filtered transforms of the
projections over to a Cartesian grid of M × M frequencies, M the power of two that holds a
projection. What it returns differs from filtered back projection, and is put right here:

- The axis lies on pixel (size + 1)//2 of row and column, rows run against y: read accordingly.
  Images whose axis lies between pixels are made of projections moved by half a pixel along x and y.
- M must be at least twice the width, or the two ends of a projection meet: it is padded by its
  edge values, which fade out, since the highest frequency, which a cut would fill, is left out.
- So is the zeroth frequency: a constant, π·H₀·Σ of a projection/M, which is added.
- The correction for the gridding kernel does not fit the kernel, so values are too large by about
  1.12 in the middle and more outward: they are divided by what a body with known image, seen in
  the same call, comes out too large by.
- Filters are given as tables, made of the kernels of :mod:`inverse.filters`.

Its ``sirt`` takes an offset's edge, not its middle, for where the offset is. Its ``fbp`` is not
offered: it does not filter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.backends.protocol import loaded, version_of
from inverse.backends.scan import Scan, Singles, checked_scan, framed, resampled
from inverse.filters import KERNELS
from xrdct.compiled import worker_count

SMALLEST_GRID = 16
"""Frequencies to a side of the smallest grid of ``gridrec``."""

CHANNELS_AT_ONCE = 64
"""Channels padded at the same time, to hold little memory."""

BODY_RADIUS = 0.45
"""Radius of the body of known image over the side of the grid: all that is seen lies in it."""

Floats = NDArray[np.float64]


class TomopyBackend:
    """The package tomopy, imported when it is first used."""

    name = "tomopy"
    methods: tuple[str, ...] = ("gridrec", "sirt")
    install = "conda install -c conda-forge tomopy"

    def version(self) -> str:
        """Return the version of tomopy, or raise InputError where it cannot be loaded."""
        return version_of("tomopy", distribution="tomopy", install=self.install)

    def reconstruct(
        self,
        sinogram: ArrayLike,
        *,
        angles_rad: ArrayLike,
        step_um: float,
        axis_offset_um: float = 0.0,
        method: str | None = None,
        filter_name: str = "ramp",
        iterations: int | None = None,
        size: int | None = None,
        workers: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the images; see :class:`inverse.backends.protocol.Backend`."""
        scan = checked_scan(
            sinogram,
            angles_rad=angles_rad,
            step_um=step_um,
            axis_offset_um=axis_offset_um,
            methods=self.methods,
            method=method,
            filter_name=filter_name,
            iterations=iterations,
            size=size,
        )
        tomopy = loaded(
            "tomopy", install=f"{self.install}` or `conda env create -f environment.yml"
        )
        if not scan.seen.any():
            return framed(scan, np.empty((len(scan.lines), scan.side, scan.side), np.float32))
        run = _gridrec if scan.method == "gridrec" else _sirt
        return framed(scan, run(tomopy, scan, worker_count(workers)))


def _sirt(tomopy: Any, scan: Scan, n_threads: int) -> Singles:
    """Return the images (channel, iy, ix) of simultaneous iterative reconstruction."""
    images = tomopy.recon(
        scan.lines,
        scan.angles_rad,
        center=scan.axis + 0.5,
        sinogram_order=True,
        algorithm="sirt",
        num_gridx=scan.side,
        num_gridy=scan.side,
        num_iter=scan.iterations,
        ncore=n_threads,
    )
    return np.asarray(images, dtype=np.float32)[:, ::-1]


def _gridrec(tomopy: Any, scan: Scan, n_threads: int) -> Singles:
    """Return the images (channel, iy, ix) of ``gridrec``, in place and to scale."""
    n_offsets = scan.lines.shape[2]
    n_grid = SMALLEST_GRID
    while n_grid < 2 * n_offsets:
        n_grid *= 2
    response = _response(scan.filter_name, n_grid)
    left = n_grid // 2 - round(scan.axis)
    between = scan.between * (np.cos(scan.angles_rad) + np.sin(scan.angles_rad))
    weights = (scan.weights[:, None] * _fading(n_offsets, n_grid, left)).astype(np.float32)
    width = scan.side + scan.side % 2

    def images(padded: Singles) -> Singles:
        made = tomopy.recon(
            padded,
            scan.angles_rad,
            center=scan.axis + left,
            sinogram_order=True,
            algorithm="gridrec",
            num_gridx=width,
            num_gridy=width,
            filter_name="custom",
            filter_par=(2 * response[:-1]).astype(np.float32),
            ncore=n_threads,
        )
        first = width - scan.side
        return np.asarray(made, dtype=np.float32)[:, ::-1][:, first:, first:]

    seen_from_axis = np.arange(n_grid) - (scan.axis + left)
    body = np.maximum(1 - (seen_from_axis / (BODY_RADIUS * n_grid)) ** 2, 0) ** 2.5
    stack = np.broadcast_to(body * scan.weights[:, None], (2, scan.weights.size, n_grid))
    # The image's frame is half a pixel from the grid's where the axis lies between pixels.
    place = np.arange(scan.side) - (0.5 * (scan.side - 1) + scan.between)
    radius = np.hypot(place[:, None], place)
    known = _radial_image(body, response, scan.axis + left, radius)
    gain = images(np.ascontiguousarray(stack, dtype=np.float32))[0] / known

    result = np.empty((len(scan.lines), scan.side, scan.side), np.float32)
    for start in range(0, len(scan.lines), CHANNELS_AT_ONCE):
        part = slice(start, start + CHANNELS_AT_ONCE)
        padded = resampled(scan.lines[part], between - left, n_grid) * weights
        constant = np.pi * response[0] / n_grid * padded.sum(axis=2, dtype=float).mean(axis=1)
        result[part] = images(padded) / gain + constant[:, None, None].astype(np.float32)
    return result


def _fading(n_offsets: int, n_grid: int, left: int) -> Floats:
    """Return 1 where offsets were measured, falling like cos² to 0 at either end, (n_grid,)."""
    room = min(left, n_grid - left - n_offsets) + 1
    place = np.arange(n_grid) - left
    beyond = np.maximum(0, np.maximum(-place, place - (n_offsets - 1)))
    return np.cos(0.5 * np.pi * np.minimum(beyond / room, 1.0)) ** 2


def _response(filter_name: str, n_grid: int) -> Floats:
    """Return what a filter multiplies each frequency by, (n_grid/2 + 1,), in 1/step.

    The kernel is cut at half the grid, beyond which circular filtering does not reach.
    """
    distance = np.asarray(np.fft.fftfreq(n_grid, d=1.0 / n_grid), dtype=np.float64)
    return np.asarray(np.fft.rfft(KERNELS[filter_name](distance)).real)


def _radial_image(projection: Floats, response: Floats, axis: float, radius: Floats) -> Floats:
    """Return the image, at a distance ``radius`` from the axis, of a body round about it.

    Filtered back projection, ∫ q(r·cos ω) dω over half a turn, without the zeroth frequency.
    """
    spectrum = np.fft.rfft(projection) * response
    spectrum[0] = 0.0
    filtered = np.fft.irfft(spectrum, n=projection.size)
    cosine = np.cos(np.pi * (np.arange(256) + 0.5) / 256)
    distance = np.linspace(0.0, radius.max(), 4 * radius.shape[0])
    read = np.interp(axis + distance[:, None] * cosine, np.arange(projection.size), filtered)
    return np.asarray(np.interp(radius, distance, np.pi * read.mean(axis=1)))
