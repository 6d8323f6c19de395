"""scikit-image: ``fbp`` (its ``iradon``) and ``sart`` (its ``iradon_sart``).

Of n places or pixels, it takes number n//2 to be on the axis, and its rows run against y. A
projection is moved there; where the axis lies between pixels of the wanted image, by half a pixel
along both besides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.backends.protocol import loaded, version_of
from inverse.backends.scan import Scan, Singles, checked_scan, each_channel, framed, resampled

RIM = 4
"""Places to add for ``iradon_sart``, which leaves a rim of its image untouched."""


class SkimageBackend:
    """The package scikit-image, imported when it is first used."""

    name = "scikit-image"
    methods: tuple[str, ...] = ("fbp", "sart")
    install = "pip install scikit-image"

    def version(self) -> str:
        """Return the version of scikit-image, or raise InputError where it cannot be loaded."""
        return version_of("skimage", distribution="scikit-image", install=self.install)

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
        """Return the images; see :class:`inverse.backends.protocol.Backend`.

        An iteration of ``sart`` goes through all angles once.
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
        transform = loaded("skimage.transform", install=self.install)
        run = _fbp if scan.method == "fbp" else _sart
        return framed(scan, run(transform, scan, workers))


def _fbp(transform: Any, scan: Scan, workers: int | None) -> Singles:
    """Return the images (channel, iy, ix) of filtered back projection."""
    width = 3 * scan.lines.shape[2]
    lines = resampled(scan.weighted, _axis_at_each_angle(scan) - width // 2, width)
    degrees = np.degrees(scan.angles_rad)

    def reconstruct(projections: Singles) -> Singles:
        image = transform.iradon(
            projections.T,
            theta=degrees,
            output_size=scan.side,
            filter_name=scan.filter_name,
            circle=False,
        )
        return np.asarray(image[::-1], dtype=np.float32)

    return each_channel(reconstruct, lines, workers=workers)


def _sart(transform: Any, scan: Scan, workers: int | None) -> Singles:
    """Return the images (channel, iy, ix) of simultaneous algebraic reconstruction."""
    width = scan.side + 2 * RIM
    first = np.floor(scan.axis) - width // 2
    lines = resampled(scan.lines, first, width)
    shifts = first + width // 2 - _axis_at_each_angle(scan)
    degrees = np.degrees(scan.angles_rad)

    def reconstruct(projections: Singles) -> Singles:
        image: Any = None
        for _ in range(scan.iterations):
            image = transform.iradon_sart(
                projections.T.astype(np.float64),
                theta=degrees,
                image=image,
                projection_shifts=shifts,
            )
        return np.asarray(image[::-1][RIM:-RIM, RIM:-RIM], dtype=np.float32)

    return each_channel(reconstruct, lines, workers=workers)


def _axis_at_each_angle(scan: Scan) -> NDArray[np.float64]:
    """Return where the pixel it takes to be on the axis is seen, (angle,), in steps.

    Once the rows run along y, it is the one after the middle along x, but before it along y.
    """
    return scan.axis + scan.between * (np.cos(scan.angles_rad) - np.sin(scan.angles_rad))
