"""The ASTRA toolbox on the processor (GPL; an optional extra): ``fbp``, ``sirt`` and ``cgls``.

Its detector coordinate is x·cos ω + y·sin ω, its rows run against y. ``fbp`` knows no other axis
than the middle of the projection and no weights for uneven angles, so both are put into the
projections; the other methods are told where the axis is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.backends.protocol import loaded, version_of
from inverse.backends.scan import Scan, Singles, checked_scan, each_channel, framed, resampled

FILTERS = {
    "ramp": "ram-lak",
    "shepp-logan": "shepp-logan",
    "cosine": "cosine",
    "hamming": "hamming",
    "hann": "hann",
}
"""What it calls this project's filters."""

PROJECTOR = "linear"
"""Joseph's, which is also this project's.

With it ``fbp`` overrates a pixel that lies on the axis, which every projection sees in the middle
of a ray: by the mean of 1/c, c = max(|cos ω|, |sin ω|), 12 %.
"""


class AstraBackend:
    """The package astra-toolbox, imported when it is first used."""

    name = "astra"
    methods: tuple[str, ...] = ("fbp", "sirt", "cgls")
    install = "pip install astra-toolbox"

    def version(self) -> str:
        """Return the version of astra-toolbox, or raise InputError where it cannot be loaded."""
        return version_of("astra", distribution="astra-toolbox", install=self.install)

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
        workers: int | None = None,  # noqa: ARG002 - it is not made for threads
    ) -> NDArray[np.float32]:
        """Return the images; see :class:`inverse.backends.protocol.Backend`.

        It keeps its data in tables of the process, so one thread does all.
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
        astra = loaded("astra", install=self.install)
        return framed(scan, _images(astra, scan))


def _images(astra: Any, scan: Scan) -> Singles:
    """Return the images (channel, iy, ix)."""
    lines, settings, iterations = scan.lines, {}, scan.iterations
    n_offsets, axis = lines.shape[2], scan.axis
    if scan.method == "fbp":
        settings = {"option": {"FilterType": FILTERS[scan.filter_name]}}
        iterations = 1
        width = 3 * n_offsets
        axis = 0.5 * (width - 1)
        lines = resampled(scan.weighted, scan.axis - axis, width)
    rays = astra.create_proj_geom("parallel", 1.0, lines.shape[2], scan.angles_rad)
    if scan.method != "fbp":
        rays = astra.geom_postalignment(rays, 0.5 * (n_offsets - 1) - axis)
    pixels = astra.create_vol_geom(scan.side, scan.side)

    projector = astra.create_projector(PROJECTOR, rays, pixels)
    data = astra.data2d.create("-sino", rays)
    image = astra.data2d.create("-vol", pixels)

    def reconstruct(projections: Singles) -> Singles:
        astra.data2d.store(data, projections)
        astra.data2d.store(image, 0.0)
        configuration = astra.astra_dict(scan.method.upper())
        configuration.update(
            ProjectorId=projector, ProjectionDataId=data, ReconstructionDataId=image, **settings
        )
        algorithm = astra.algorithm.create(configuration)
        try:
            astra.algorithm.run(algorithm, iterations)
            return np.array(astra.data2d.get(image)[::-1])
        finally:
            astra.algorithm.delete(algorithm)

    try:
        return each_channel(reconstruct, lines, workers=1)
    finally:
        astra.data2d.delete([data, image])
        astra.projector.delete(projector)
