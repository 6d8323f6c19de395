"""Strategies for how it is measured: scans, instruments, what the analysis is told of them."""

from __future__ import annotations

import math
from typing import NamedTuple

from hypothesis import strategies as st

from forward.flux import BeamDecay
from forward.instrument import Unknowns
from forward.motion import Motion
from validation.strategies.samples import grid
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

_SIN_LOW, _SIN_HIGH = (math.sin(math.radians(0.5 * angle_deg)) for angle_deg in (2.5, 9.0))
_AT_KEV = 50.0


class Instrument(NamedTuple):
    """What an experiment says of the beamline."""

    beam: Beam
    detector: Detector
    geometry: Geometry
    unknowns: Unknowns


@st.composite
def scans(
    draw: st.DrawFn,
    *,
    width_um: float = 22.0,
    enough_angles: bool = True,
    interlaced: bool | None = None,
) -> Scan:
    """Return scans at least ``width_um`` wide that can be reconstructed.

    With ``enough_angles`` there are π/2 angles to a half turn for each offset, as it takes for no
    streaks; otherwise as few as a third of them. ``interlaced`` None: either.
    """
    step_um = draw(st.sampled_from((1.0, 0.5, 2.0)))
    n_offsets = max(8, math.ceil(width_um / step_um)) + draw(st.integers(0, 1))
    least = math.ceil(math.pi / 2.0 * n_offsets)
    n_angles = least if enough_angles else draw(st.integers(-(-least // 3), least))
    half_turns = draw(st.sampled_from((1, 2)))
    staggered = draw(st.booleans()) if interlaced is None else interlaced
    return Scan(
        n_offsets=n_offsets,
        step_um=step_um,
        n_angles=(n_angles + n_angles % 2) * half_turns + int(staggered and half_turns == 2) * 2,
        angle_range_deg=180.0 * half_turns,
        interlaced=staggered,
        exposure_s=draw(st.sampled_from((0.01, 0.005, 0.02))),
        order=draw(st.sampled_from(("unidirectional", "zigzag"))),
    )


@st.composite
def beams(draw: st.DrawFn, *, least_flux_per_s: float = 1e10) -> Beam:
    """Return beams of 1 µm, 45 to 60 keV; the simplest is the default one."""
    most = max(least_flux_per_s, 1e12)
    fluxes = [f for f in (1e11, 1e10, 1e12, 1e9) if least_flux_per_s <= f <= most]
    return Beam(
        energy_keV=draw(grid(45.0, 60.0, step=5.0, simplest=_AT_KEV)),
        flux_per_s=draw(st.sampled_from(fluxes)),
        bandwidth=draw(st.sampled_from((5e-4, 1e-4, 1e-3))),
        divergence_mrad=draw(st.sampled_from((0.3, 0.1, 0.5))),
        polarisation=draw(st.sampled_from((0.98, 0.0, 1.0))),
    )


@st.composite
def geometries(draw: st.DrawFn, *, energy_keV: float = _AT_KEV) -> Geometry:
    """Return detectors 0.6 to 0.9 m away, with the patterns from d = 1.6 to 5.7 Å on them."""
    ratio = _AT_KEV / energy_keV
    low_deg, high_deg = (
        2.0 * math.degrees(math.asin(ratio * sine)) for sine in (_SIN_LOW, _SIN_HIGH)
    )
    return Geometry(
        distance_m=draw(grid(0.6, 0.9, step=0.1, simplest=0.7)),
        two_theta_min_deg=round(low_deg, 2),
        two_theta_max_deg=round(high_deg, 2),
        n_channels=draw(st.sampled_from((256, 320, 384))),
    )


def unknowns() -> st.SearchStrategy[Unknowns]:
    """Return ranges of what the analysis does not know; the simplest is that it knows all."""
    hard = Unknowns(
        b_iso_factor=(0.8, 1.2), air_factor=(0.5, 1.5), bandwidth_factor=(0.9, 1.1),
        divergence_factor=(0.9, 1.1), distance_ppm=(-200.0, 200.0),
    )  # fmt: skip
    return st.sampled_from((Unknowns(), hard))


@st.composite
def instruments(draw: st.DrawFn, *, least_flux_per_s: float = 1e10) -> Instrument:
    """Return beams, detectors and geometries that go together: the pattern meets the detector."""
    beam = draw(beams(least_flux_per_s=least_flux_per_s))
    detector = Detector(efficiency=draw(st.sampled_from((0.85, 0.8, 0.9))))
    geometry = draw(geometries(energy_keV=beam.energy_keV))
    return Instrument(beam, detector, geometry, draw(unknowns()))


def motions() -> st.SearchStrategy[Motion]:
    """Return how stages move; the simplest is exactly."""
    return st.sampled_from((Motion(), Motion(jitter_um=0.05)))


def fluxes() -> st.SearchStrategy[BeamDecay]:
    """Return how the beam changes; the simplest is not at all."""
    return st.sampled_from((BeamDecay(), BeamDecay(decay_per_h=0.05, flicker_rms=0.02)))
