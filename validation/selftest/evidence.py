"""What a pipeline made of a case, with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.refine import Status
from validation.experiment import Experiment
from validation.truth import Truth, eroded

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One case after a pipeline has seen it."""

    experiment: Experiment
    truth: Truth
    monitor: Floats
    """Photons of each point, (angle, offset)."""
    maps: Maps | None
    """None where the pipeline gave none, or none that are understood."""
    reason: str = ""
    """Why there are none."""

    @property
    def amount(self) -> Floats | None:
        """Amounts that the pipeline tells, (y, x), 0 where it tells none; None without any."""
        if self.maps is None or not np.isfinite(self.maps.volume_fraction).any():
            return None
        return np.nan_to_num(self.maps.volume_fraction)

    @property
    def true_amount(self) -> Floats:
        """True volume fractions of the refined phase, (y, x)."""
        return np.nan_to_num(self.truth.volume_fraction)

    @property
    def known(self) -> Bools:
        """Voxels within the circle that is seen, (y, x)."""
        if self.maps is None:
            raise ValueError("there are no maps to tell what is known")
        return np.asarray(self.maps.status != Status.NOT_MEASURED)

    @property
    def deep(self) -> Bools:
        """Recovered voxels two away from any border of a particle, (y, x)."""
        if self.maps is None:
            raise ValueError("there are no maps to tell what is recovered")
        inner = eroded(self.truth.eroded, self.truth.particle)
        return np.asarray(inner & ~self.truth.two_lattices & np.isfinite(self.maps.a_A))
