"""The instrument as it truly is, drawn from ranges that the analysis does not know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import ValidationInfo, field_validator

from xrdct.instrument import Beam, Detector, Geometry, detector_plane
from xrdct.plane import place_m
from xrdct.spec import Spec

Range = tuple[float, float]
_SPAWN_KEY = (0x1257,)
_REASON = {
    "tail_fraction": (0.0, 0.5),
    "tail_um": (1.0, 50.0),
    "centre1_px": (-100.0, 100.0),
    "centre2_px": (-100.0, 100.0),
    "tilt1_mrad": (-100.0, 100.0),
    "tilt2_mrad": (-100.0, 100.0),
}


class Unknowns(Spec):
    """Ranges (low, high) from which the truth is drawn uniformly; equal ends fix it.

    Factors multiply the nominal or tabulated value. ``distance_ppm`` is the relative error of the
    nominal distance; ``centre1_px`` (along rows) and ``centre2_px`` are those of the place where
    the direct beam meets the detector, ``tilt1_mrad`` and ``tilt2_mrad`` of rot1 and rot2.
    ``tail_fraction`` is the share of photons in wide tails of the beam, of FWHM ``tail_um``.
    """

    b_iso_factor: Range = (1.0, 1.0)
    air_factor: Range = (1.0, 1.0)
    bandwidth_factor: Range = (1.0, 1.0)
    divergence_factor: Range = (1.0, 1.0)
    distance_ppm: Range = (0.0, 0.0)
    centre1_px: Range = (0.0, 0.0)
    centre2_px: Range = (0.0, 0.0)
    tilt1_mrad: Range = (0.0, 0.0)
    tilt2_mrad: Range = (0.0, 0.0)
    tail_fraction: Range = (0.0, 0.0)
    tail_um: Range = (10.0, 10.0)

    @field_validator("*")
    @classmethod
    def _ordered(cls, value: Range) -> Range:
        if value[0] > value[1]:
            raise ValueError(f"the low end {value[0]} exceeds the high end {value[1]}")
        return value

    @field_validator("b_iso_factor", "air_factor", "bandwidth_factor", "divergence_factor")
    @classmethod
    def _positive(cls, value: Range) -> Range:
        if value[0] < 0.0:
            raise ValueError(f"a factor cannot be negative, but the low end is {value[0]}")
        return value

    @field_validator(
        "tail_fraction", "tail_um", "centre1_px", "centre2_px", "tilt1_mrad", "tilt2_mrad"
    )
    @classmethod
    def _within_reason(cls, value: Range, info: ValidationInfo) -> Range:
        low, high = _REASON[str(info.field_name)]
        if value[0] < low or value[1] > high:
            raise ValueError(
                f"must lie within {low:g} to {high:g}, but is {value[0]:g} to {value[1]:g}"
            )
        return value


@dataclass(frozen=True)
class TrueInstrument:
    """What the photons meet."""

    beam: Beam
    geometry: Geometry
    """Where the detector truly stands; the channels are those of the nominal geometry."""
    b_iso_factor: float
    air_factor: float
    tail_fraction: float = 0.0
    tail_um: float = 10.0

    @property
    def distance_m(self) -> float:
        """Orthogonal distance of the detector."""
        return self.geometry.distance_m


def true_instrument(
    unknowns: Unknowns, *, beam: Beam, detector: Detector, geometry: Geometry, seed: int
) -> TrueInstrument:
    """Draw the true instrument; the same seed draws the same one.

    Channels stay those of the nominal geometry, as the integration believes them; from a true
    distance D′ a ring of 2θ appears there at atan(D′/D · tan 2θ).
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=_SPAWN_KEY)))
    drawn = {name: float(rng.uniform(*getattr(unknowns, name))) for name in Unknowns.model_fields}
    true_beam = beam.model_copy(
        update={
            "bandwidth": beam.bandwidth * drawn["bandwidth_factor"],
            "divergence_mrad": beam.divergence_mrad * drawn["divergence_factor"],
        }
    )
    return TrueInstrument(
        beam=true_beam,
        geometry=_true_geometry(geometry, detector, drawn),
        b_iso_factor=drawn["b_iso_factor"],
        air_factor=drawn["air_factor"],
        tail_fraction=drawn["tail_fraction"],
        tail_um=drawn["tail_um"],
    )


def _true_geometry(geometry: Geometry, detector: Detector, drawn: dict[str, float]) -> Geometry:
    """Tilt the detector about the place where the nominal beam meets it, then move that place."""
    middle_m = place_m(detector_plane(geometry, detector), 0.0, 0.0)
    tilted = geometry.model_copy(
        update={
            "distance_m": geometry.distance_m * (1.0 + 1e-6 * drawn["distance_ppm"]),
            "rot1_rad": geometry.rot1_rad + 1e-3 * drawn["tilt1_mrad"],
            "rot2_rad": geometry.rot2_rad + 1e-3 * drawn["tilt2_mrad"],
        }
    )
    plane = detector_plane(tilted, detector)
    pixel_m = detector.pixel_um * 1e-6
    now_m = place_m(plane, 0.0, 0.0)
    return tilted.model_copy(
        update={
            f"poni{axis}_m": float(poni_m + middle - now) + pixel_m * drawn[f"centre{axis}_px"]
            for axis, poni_m, middle, now in zip(
                (1, 2), (plane.poni1_m, plane.poni2_m), middle_m, now_m, strict=True
            )
        }
    )
