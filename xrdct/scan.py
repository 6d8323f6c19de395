"""A raster-rotation scan, and the six scans of the reproduced study by name.

At each of ``n_angles`` rotations the sample is stepped through ``n_offsets`` positions across the
beam. A sample point (x, y) is met at offset t = x cos ω + y sin ω, and lies then at
s = −x sin ω + y cos ω along the beam, towards the detector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from xrdct.spec import Spec


class Scan(Spec):
    """Offsets are centred on the rotation axis; angles start at 0 and exclude the end."""

    n_offsets: int = Field(ge=2, le=20_000)
    step_um: float = Field(gt=0.0, le=10_000.0)
    n_angles: int = Field(ge=1, le=100_000)
    angle_range_deg: float = Field(180.0, gt=0.0, le=360.0)
    exposure_s: float = Field(0.01, gt=0.0, le=3600.0)
    dead_time_s: float = Field(0.00095, ge=0.0, le=3600.0)
    """Between two points of a line."""
    line_gap_s: float = Field(0.0, ge=0.0, le=3600.0)
    """Further pause after each line, for the rotation."""
    order: Literal["zigzag", "unidirectional"] = "unidirectional"
    """Whether every other line runs backwards. Points keep their raster place in the data."""
    n_planes: int = Field(1, ge=1, le=10_000)
    plane_step_um: float = Field(0.0, ge=0.0)

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, data: Any) -> Any:
        """Let `preset = "roi"` stand for its values; further keys replace single ones."""
        if not isinstance(data, Mapping) or "preset" not in data:
            return data
        given = dict(data)
        name = given.pop("preset")
        if not isinstance(name, str) or name not in SCAN_PRESETS:
            raise ValueError(f"no scan preset {name!r}; there are {', '.join(SCAN_PRESETS)}")
        return SCAN_PRESETS[name].model_dump() | given

    @property
    def offsets_um(self) -> NDArray[np.float64]:
        """Offset of each raster position, shape (offset,)."""
        number = np.arange(self.n_offsets, dtype=np.float64)
        return np.asarray((number - (self.n_offsets - 1) / 2) * self.step_um)

    @property
    def angles_rad(self) -> NDArray[np.float64]:
        """Rotation ω of each projection, shape (angle,)."""
        turn_rad = float(np.deg2rad(self.angle_range_deg))
        return np.asarray(turn_rad * np.arange(self.n_angles) / self.n_angles)

    @property
    def n_points(self) -> int:
        """Exposures in the scan."""
        return self.n_offsets * self.n_angles * self.n_planes

    @property
    def beam_time_s(self) -> float:
        """Exposure and readout of every point, and the pauses after lines."""
        lines = self.n_angles * self.n_planes
        return self.n_points * (self.exposure_s + self.dead_time_s) + lines * self.line_gap_s

    @property
    def width_um(self) -> float:
        """Field of view across the beam."""
        return self.n_offsets * self.step_um

    @property
    def alias_free_diameter_um(self) -> float:
        """Diameter inside which the angles suffice: 2 N step / π over a half turn.

        Over a full turn opposite angles repeat each other, so only half of them count.
        """
        per_half_turn = self.n_angles * min(1.0, 180.0 / self.angle_range_deg)
        return 2.0 * per_half_turn * self.step_um / np.pi


SCAN_PRESETS: dict[str, Scan] = {
    "broad": Scan(n_offsets=81, step_um=50.0, n_angles=80),
    "coarse": Scan(n_offsets=81, step_um=20.0, n_angles=81),
    "coarse_degraded": Scan(n_offsets=151, step_um=10.0, n_angles=120),
    "roi": Scan(n_offsets=351, step_um=1.0, n_angles=350),
    "roi_degraded": Scan(n_offsets=251, step_um=1.0, n_angles=250),
    "volume": Scan(n_offsets=101, step_um=2.0, n_angles=100, n_planes=20, plane_step_um=2.0),
}
"""The scans of the reproduced study, all over 180° at 10 ms a point (its section Methods)."""
