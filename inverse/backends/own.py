"""The reconstruction of this project, all channels at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.backends.protocol import version_of
from inverse.backends.scan import checked_method
from inverse.reconstruct import filtered_back_projection


class OwnBackend:
    """Filtered back projection of :mod:`inverse.reconstruct`."""

    name = "own"
    methods: tuple[str, ...] = ("fbp",)
    install = "pip install ."

    def version(self) -> str:
        """Return the version of this package."""
        return version_of("inverse", distribution="xrdct-twin", install=self.install)

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
        checked_method(self.methods, method=method, iterations=iterations)
        return filtered_back_projection(
            sinogram,
            angles_rad=angles_rad,
            step_um=step_um,
            filter_name=filter_name,
            size=size,
            axis_offset_um=axis_offset_um,
            workers=workers,
        ).values
