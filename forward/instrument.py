"""The instrument as it truly is, drawn from ranges that the analysis does not know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import field_validator

from xrdct.instrument import Beam, Geometry
from xrdct.spec import Spec

Range = tuple[float, float]
_SPAWN_KEY = (0x1257,)


class Unknowns(Spec):
    """Ranges (low, high) from which the truth is drawn uniformly; equal ends fix it.

    Factors multiply the nominal or tabulated value. ``distance_ppm`` is the relative error of the
    nominal distance.
    """

    b_iso_factor: Range = (1.0, 1.0)
    air_factor: Range = (1.0, 1.0)
    bandwidth_factor: Range = (1.0, 1.0)
    divergence_factor: Range = (1.0, 1.0)
    distance_ppm: Range = (0.0, 0.0)

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


@dataclass(frozen=True)
class TrueInstrument:
    """What the photons meet."""

    beam: Beam
    distance_m: float
    b_iso_factor: float
    air_factor: float


def true_instrument(
    unknowns: Unknowns, *, beam: Beam, geometry: Geometry, seed: int
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
    distance_m = geometry.distance_m * (1.0 + 1e-6 * drawn["distance_ppm"])
    return TrueInstrument(
        beam=true_beam,
        distance_m=distance_m,
        b_iso_factor=drawn["b_iso_factor"],
        air_factor=drawn["air_factor"],
    )
