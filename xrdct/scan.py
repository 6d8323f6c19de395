"""A raster-rotation scan, and the six scans of the reproduced study by name.

At each of ``n_angles`` rotations the sample is stepped through ``n_offsets`` positions across the
beam. A sample point (x, y) is met at offset t = x cos ω + y sin ω, and lies then at
s = −x sin ω + y cos ω along the beam, towards the detector.

Rotations are uniform, or a list in the order of measurement. In an interlaced scan the offsets of
every second projection lie halfway between those of the others, so that neighbours, or opposite
projections of a full turn where n_angles/2 is odd, together sample every half step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from xrdct.spec import Spec

_HALF_TURN_DEG = 180.0
Angle = Annotated[float, Field(ge=-360.0, le=360.0)]


class Scan(Spec):
    """Offsets are centred on the rotation axis; uniform angles start at 0 and exclude the end."""

    n_offsets: int = Field(ge=2, le=20_000)
    step_um: float = Field(gt=0.0, le=10_000.0)
    n_angles: int = Field(ge=1, le=100_000)
    angle_range_deg: float = Field(_HALF_TURN_DEG, gt=0.0, le=360.0)
    angles_deg: tuple[Angle, ...] | None = Field(None, min_length=1, max_length=100_000)
    """Each rotation, in place of uniform ones."""
    interlaced: bool = False
    """Whether every other projection, from the second on, is moved on by half a step."""
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
        """Let `preset = "roi"` stand for its values; further keys replace single ones.

        A list of angles also gives their number.
        """
        if not isinstance(data, Mapping):
            return data
        given = dict(data)
        if isinstance(given.get("angles_deg"), list | tuple):
            given.setdefault("n_angles", len(given["angles_deg"]))
        if "preset" not in given:
            return given
        name = given.pop("preset")
        if not isinstance(name, str) or name not in SCAN_PRESETS:
            raise ValueError(f"no scan preset {name!r}; there are {', '.join(SCAN_PRESETS)}")
        return SCAN_PRESETS[name].model_dump() | given

    @model_validator(mode="after")
    def _one_way_to_give_angles(self) -> Scan:
        if self.angles_deg is None:
            return self
        if len(self.angles_deg) != self.n_angles:
            raise ValueError(
                f"n_angles ({self.n_angles}) must be the number of angles_deg "
                f"({len(self.angles_deg)})"
            )
        if self.angle_range_deg != _HALF_TURN_DEG:
            raise ValueError(
                f"angle_range_deg ({self.angle_range_deg:g}) and angles_deg exclude each other"
            )
        return self

    @property
    def offsets_um(self) -> NDArray[np.float64]:
        """Offset of each raster position of the first projection, shape (offset,)."""
        number = np.arange(self.n_offsets, dtype=np.float64)
        return np.asarray((number - (self.n_offsets - 1) / 2) * self.step_um)

    @property
    def shifts_um(self) -> NDArray[np.float64]:
        """How far each projection's offsets lie beyond those of the first, shape (angle,)."""
        half_um = 0.5 * self.step_um if self.interlaced else 0.0
        return np.asarray(half_um * (np.arange(self.n_angles) % 2))

    @property
    def projection_offsets_um(self) -> NDArray[np.float64]:
        """Offset of each raster position, shape (angle, offset)."""
        return np.asarray(self.offsets_um + self.shifts_um[:, None])

    @property
    def angles_rad(self) -> NDArray[np.float64]:
        """Rotation ω of each projection, shape (angle,)."""
        if self.angles_deg is not None:
            return np.deg2rad(np.array(self.angles_deg, dtype=np.float64))
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

        Over a full turn opposite angles repeat each other, so only half of them count. Of given
        angles, the widest gap modulo 180° decides.
        """
        if self.angles_deg is not None:
            folded = np.unique(np.mod(self.angles_rad, np.pi))
            return float(2.0 * self.step_um / np.diff(folded, append=folded[0] + np.pi).max())
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
