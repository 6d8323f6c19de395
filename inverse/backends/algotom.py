"""algotom (an optional extra): its ``fbp`` on the processor.

Its rows run against y; the axis may be anywhere. It takes the first and the last angle to see the
same lines, and divides by one angle less than there are. Its threads add to the same pixels without
waiting for one another and lose what they overwrite, so it is given one.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.backends.protocol import loaded, version_of
from inverse.backends.scan import Scan, Singles, checked_scan, each_channel, framed, resampled
from inverse.filters import KERNELS


class AlgotomBackend:
    """The package algotom, imported when it is first used."""

    name = "algotom"
    methods: tuple[str, ...] = ("fbp",)
    install = "pip install algotom"

    def version(self) -> str:
        """Return the version of algotom, or raise InputError where it cannot be loaded."""
        return version_of("algotom", distribution="algotom", install=self.install)

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
        workers: int | None = None,  # noqa: ARG002 - its threads lose additions
    ) -> NDArray[np.float32]:
        """Return the images; see :class:`inverse.backends.protocol.Backend`.

        One thread does all.
        """
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
        reconstruction = loaded("algotom.rec.reconstruction", install=self.install)
        if not scan.seen.any():
            return framed(scan, np.empty((len(scan.lines), scan.side, scan.side), np.float32))
        return framed(scan, _images(reconstruction, scan))


def _images(reconstruction: Any, scan: Scan) -> Singles:
    """Return the images (channel, iy, ix)."""
    lines = resampled(scan.weighted, 0.0, scan.side)
    n_angles, n_offsets = lines.shape[1:]
    # It leaves the zero of the kernel in the middle, and turns the result round for it.
    width = 3 * n_offsets
    kernel = KERNELS[scan.filter_name](np.arange(width, dtype=np.float64) - width // 2)
    response = np.fft.fftshift(np.fft.fft(kernel))
    window = np.tile(response, (n_angles, 1))

    def reconstruct(projections: Singles) -> Singles:
        image = reconstruction.fbp_reconstruction(
            projections,
            scan.axis,
            angles=scan.angles_rad,
            ratio=None,
            ramp_win=window,
            pad=n_offsets,
            apply_log=False,
            gpu=False,
            ncore=1,
        )
        return np.asarray(image[::-1] * (n_angles - 1) / n_angles, dtype=np.float32)

    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        return each_channel(reconstruct, lines, workers=1)
    finally:
        numba.set_num_threads(threads)
