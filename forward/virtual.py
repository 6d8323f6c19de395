"""A sample made ready to be measured: everything that does not depend on the scan.

Where the sample changes while it is measured, it is prepared at several *knots* in time; between
two of them what a ray sees is mixed linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from forward.air import air_pattern
from forward.angles import AngleGrid, channel_grid, node_grid
from forward.bodies import Bodies, cut_bodies
from forward.chords import ChordProfiles, chord_profiles
from forward.instrument import TrueInstrument
from forward.parallax import mean_scaling
from forward.patterns import PatternLibrary, pattern_library
from forward.resolution import Sensor
from forward.sensor import attenuation_per_um
from forward.settings import Accuracy, Effects
from forward.states import Entries, StateGrid, state_grid
from forward.surroundings import Surroundings, surroundings
from phantoms.cell import Cell
from phantoms.sample import Layers, Sample, radial_layers
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance

SampleAt = Callable[[float], Sample]


@dataclass(frozen=True, eq=False)
class Knot:
    """The sample at one time."""

    time_s: float
    profiles: ChordProfiles
    centres_um: NDArray[np.float64]
    """Shape (particle, 3)."""
    bodies: Bodies | None = None
    """Particles that are no layered spheres."""


@dataclass(frozen=True, eq=False)
class Virtual:
    """A sample in front of an instrument."""

    sample: Sample
    beam: Beam
    """As the analysis knows it; so are detector and geometry."""
    detector: Detector
    geometry: Geometry
    effects: Effects
    truth: TrueInstrument
    grid: StateGrid
    knots: tuple[Knot, ...]
    """In order of time; one where the sample stays as it is."""
    angles: AngleGrid
    library: PatternLibrary
    air: NDArray[np.float64]
    """Photons per node and photon of beam, shape (node,)."""
    surroundings: Surroundings

    @property
    def states_per_um(self) -> float:
        """How far parallax moves material along the state axis per µm towards the detector."""
        if not self.effects.parallax:
            return 0.0
        scaling = mean_scaling(self.angles.two_theta_rad)
        return scaling * 1e-6 / self.angles.distance_m / self.grid.spacing


def prepare(
    sample: Sample,
    *,
    beam: Beam,
    detector: Detector,
    geometry: Geometry,
    truth: TrueInstrument,
    effects: Effects | None = None,
    accuracy: Accuracy | None = None,
    cell: Cell | None = None,
    frames: bool = False,
    sensor_corrected: bool = True,
    times_s: Sequence[float] = (0.0,),
    sample_at: SampleAt | None = None,
    workers: int | None = None,
) -> Virtual:
    """Compute chord profiles and pattern library; any number of scans can follow.

    Patterns are those of channels as an integration sees them, or, for ``frames``, of nodes on
    which pixels lie. ``sensor_corrected`` says whether that integration allows for the depth at
    which the sensor counts. ``sample_at`` gives the sample at each of ``times_s`` where it changes.
    """
    effects, accuracy = effects or Effects(), accuracy or Accuracy()
    samples = [sample_at(time) for time in times_s] if sample_at else [sample]
    layers = [radial_layers(s, layer_um=accuracy.layer_um) for s in samples]
    margin = 0.5 * sample.diameter_um * 1e-6 / geometry.distance_m if effects.parallax else 0.0
    grid = state_grid(sample, layers=_joined(layers), spacing=accuracy.state_spacing, margin=margin)
    knots = tuple(
        Knot(
            time_s=time,
            profiles=chord_profiles(
                own, layers=own_layers, grid=own_grid, truth=truth, effects=effects,
                accuracy=accuracy, workers=workers,
            ),
            centres_um=own.centres_um,
            bodies=cut_bodies(
                own, layers=own_layers, grid=own_grid, truth=truth, effects=effects,
                accuracy=accuracy, workers=workers,
            ),
        )
        for time, own, own_layers, own_grid in zip(
            times_s, samples, layers, _parted(grid, layers), strict=True
        )
    )  # fmt: skip
    angles, gain = _angles(
        frames, sensor_corrected, detector=detector, geometry=geometry, truth=truth
    )
    sensor = _sensor(detector, truth.beam, effects)
    library = pattern_library(
        grid, sample=sample, angles=angles, gain=gain, pixel_um=detector.pixel_um,
        sensor=sensor, effects=effects, accuracy=accuracy, truth=truth,
    )  # fmt: skip
    around = surroundings(
        cell, sample=sample, angles=angles, gain=gain, sensor=sensor, detector=detector,
        particle_attenuation_per_um=_mean_attenuation(library), effects=effects, truth=truth,
    )  # fmt: skip
    air = air_pattern(angles) * gain * truth.air_factor
    return Virtual(
        sample=sample,
        beam=beam,
        detector=detector,
        geometry=geometry,
        effects=effects,
        truth=truth,
        grid=grid,
        knots=knots,
        angles=angles,
        library=library,
        air=air if effects.diffuse else np.zeros(angles.n_nodes),
        surroundings=around,
    )


def _mean_attenuation(library: PatternLibrary) -> float:
    """Return the attenuation of solid particles, the mean over the states there are."""
    return float(library.attenuation_per_um.mean()) if library.attenuation_per_um.size else 0.0


def _angles(
    frames: bool,
    sensor_corrected: bool,
    *,
    detector: Detector,
    geometry: Geometry,
    truth: TrueInstrument,
) -> tuple[AngleGrid, NDArray[np.float64]]:
    """Return the angles of patterns, and what of a whole ring they show."""
    if frames:
        angles = node_grid(truth.geometry, detector=detector)
        return angles, np.ones(angles.n_nodes)
    acceptance = ring_acceptance(geometry, detector=detector, polarisation=truth.beam.polarisation)
    angles = channel_grid(
        geometry, true_distance_m=truth.distance_m, sensor_corrected=sensor_corrected
    )
    return angles, detector.efficiency * acceptance


def _sensor(detector: Detector, beam: Beam, effects: Effects) -> Sensor | None:
    if not effects.sensor_parallax:
        return None
    return Sensor(attenuation_per_um(beam.energy_keV), detector.sensor_um)


def _joined(layers: Sequence[Layers]) -> Layers:
    """Return the layers of the sample at all times as one list."""
    if len(layers) == 1:
        return layers[0]
    return Layers(
        **{
            f.name: np.concatenate([getattr(part, f.name) for part in layers])
            for f in fields(Layers)
        }
    )


def _parted(grid: StateGrid, layers: Sequence[Layers]) -> list[StateGrid]:
    """Return the grid for each part of the joined layers: same states, own entries."""
    ends = np.cumsum([part.y.size for part in layers])
    parts = []
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        own = (grid.entries.layer >= first) & (grid.entries.layer < end)
        kept = {f.name: getattr(grid.entries, f.name)[own] for f in fields(Entries)}
        kept["layer"] = kept["layer"] - first
        parts.append(replace(grid, entries=Entries(**kept)))
    return parts
