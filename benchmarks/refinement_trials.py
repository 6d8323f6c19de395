"""Patterns of the simulation whose truth is known, and their refinement: trials of the engine.

A ball of a millimetre, one ray through its middle, on an instrument drawn from `RANGES`, which the
refinement is not told: displacements, bandwidth, divergence, distance and shift of the angles, air;
crystallite size and strain of the sample; a smooth background. The forward side convolves what
blurs a line (pixel, sensor, bandwidth, divergence, size, strain), damps by exp(−f·B s²) and adds
Compton, thermal and air scattering. The analysis has a LaB6 pattern of the same instrument, fitted
by Pawley's method, and a refinement with strain and B_iso shared by all patterns.

Counts of a channel are Poisson; the pattern is counts over the ring's acceptance, in units of the
model, and its variance the expected counts over that squared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from forward.calibrant import Calibrant, measure_calibrant
from forward.instrument import TrueInstrument, Unknowns, true_instrument
from forward.projection import expected_projection
from forward.settings import Accuracy, Effects
from forward.virtual import prepare
from inverse.model import Instrument
from inverse.pawley import fit_pawley
from inverse.pawley_recipe import FreePhase, Pawley
from inverse.pawley_result import FitStatus
from inverse.recipe import Calibration
from inverse.rietveld import Refined, refine_patterns
from inverse.rietveld_model import RietveldModel, rietveld_model
from inverse.rietveld_recipe import Freedom, Rietveld, RietveldPhase
from phantoms.particle import Particle, Shell
from phantoms.sample import Sample
from phantoms.stoichiometry import x_from_lattice
from xrdct.crystal import load_crystal
from xrdct.instrument import Beam, Detector, Geometry, ring_acceptance
from xrdct.scan import Scan

Floats = NDArray[np.float64]

BEAM, DETECTOR, NOMINAL = Beam(), Detector(), Geometry()
SPINEL, ROCKSALT = "LiMn2O4", "LiMnO2-rocksalt"
MINOR = {"Li2MnO3": 0.04, ROCKSALT: 0.20, "Li0.5Mn2O4": 0.10}
"""Weight fractions beside the spinel."""
MIXTURE = (SPINEL, *MINOR)
WEIGHTS = np.array([1.0 - sum(MINOR.values()), *MINOR.values()])
RANGES = Unknowns(
    b_iso_factor=(0.8, 1.2),
    air_factor=(0.5, 2.0),
    bandwidth_factor=(0.8, 1.25),
    divergence_factor=(0.8, 1.25),
    distance_ppm=(-200.0, 200.0),
)
ZERO_DEG, SIZE_NM, STRAIN = (-0.005, 0.005), (120.0, 300.0), (2e-4, 8e-4)
LEVEL, SLOPE, BEND = (0.01, 0.05), (-0.4, 0.4), (-0.2, 0.2)
"""Background at the middle, in parts of the highest line, and how it varies, in parts of that."""
SPINEL_A = (8.205, 8.245)
"""Where the spinel is one phase, more or less filled with lithium."""
EFFECTS = Effects(noise=False, attenuation=False, parallax=False, grains=False)
ACCURACY = Accuracy(layer_um=20.0, profile_step_um=2.0, state_spacing=2e-5)
"""A uniform ball of a millimetre needs no fine layers, but its lattice parameter fine states."""
_SPAWN_KEY = (0x7121A1,)
_RADIUS_UM = 500.0


@dataclass(frozen=True, eq=False)
class Truth:
    """What a seed draws, and the refinement does not know."""

    seed: int
    instrument: TrueInstrument
    zero_deg: float
    size_nm: float
    strain: float
    a_A: float
    """Of the spinel."""
    background: tuple[float, float, float]
    """Level, slope and bend, see `LEVEL`."""


@lru_cache(maxsize=64)
def drawn_truth(seed: int, *, a_A: float | None = None) -> Truth:
    """Draw an instrument, a sample and a background, the spinel's lattice parameter unless given.

    The same seed draws the same ones.
    """
    instrument = true_instrument(RANGES, beam=BEAM, detector=DETECTOR, geometry=NOMINAL, seed=seed)
    sequence = np.random.SeedSequence(seed, spawn_key=_SPAWN_KEY)
    rng = np.random.Generator(np.random.Philox(sequence))
    zero, size, strain, drawn_A, level, slope, bend = (
        float(rng.uniform(*limits))
        for limits in (ZERO_DEG, SIZE_NM, STRAIN, SPINEL_A, LEVEL, SLOPE, BEND)
    )
    return Truth(
        seed, instrument, zero, size, strain, drawn_A if a_A is None else a_A, (level, slope, bend)
    )


@dataclass(frozen=True, eq=False)
class Trial:
    """A sample on an instrument, and how it is analysed."""

    truth: Truth
    mixed: bool = False
    """The mixture of four phases, or the spinel alone."""
    effects: Effects = EFFECTS
    posed: bool = False
    """Whether the analysis is told the true distance and shift."""
    b_iso: Freedom = "shared"
    lithium: Freedom = "shared"
    """Occupancy of the spinel's lithium site."""
    start_nm: float = 200.0
    """Crystallite size from which the refinement starts."""

    @property
    def names(self) -> tuple[str, ...]:
        """Phases that are refined."""
        return MIXTURE if self.mixed else (SPINEL,)

    @property
    def seen_geometry(self) -> Geometry:
        """Angles at which channels truly are: the nominal ones, less the shift."""
        return _shifted(NOMINAL, self.truth.zero_deg)

    @cached_property
    def calibrated(self) -> Instrument:
        """The instrument as the analysis knows it."""
        found = calibrated(self.truth, self.effects)
        if not self.posed:
            return found
        at = {"distance_m": self.truth.instrument.distance_m}
        return Instrument(BEAM, self.seen_geometry, found.calibration.model_copy(update=at))

    @cached_property
    def gain(self) -> Floats:
        """What turns counts into the model's units; zero where the detector sees nothing."""
        return _gain(self.seen_geometry)

    @cached_property
    def lines(self) -> Floats:
        """Photons of each channel, per µm and photon of beam, as the forward side has them."""
        return _lines(self.truth, self.effects, mixed=self.mixed)

    def counts(self, *, peak: float, background: float | None = None) -> Floats:
        """Return the expected counts, ``peak`` of them in the highest channel before background.

        A ``background`` of so many counts on average, flat in the model's units, replaces the one
        that was drawn.
        """
        seen = self.gain > 0.0
        acceptance = seen / np.where(seen, self.gain, 1.0)
        if background is not None:
            added = background * acceptance / acceptance[seen].mean()
        else:
            level, slope, bend = self.truth.background
            across = np.linspace(-1.0, 1.0, seen.size)
            smooth = level * (1.0 + slope * across + bend * (2.0 * across**2 - 1.0))
            added = peak * smooth * acceptance / acceptance.max()
        return np.asarray(peak * self.lines / self.lines.max() + added)

    def per_count(self, *, peak: float) -> Floats:
        """Return what a count of each channel is in the model's units."""
        return np.asarray(self.gain * self.lines.max() / peak)

    @cached_property
    def model(self) -> RietveldModel:
        """The refinement, from nominal widths, displacements and cells."""
        return rietveld_model(
            self.settings, beam=BEAM, geometry=self.calibrated.geometry,
            calibration=self.calibrated.calibration,
        )  # fmt: skip

    @property
    def settings(self) -> Rietveld:
        """What is refined."""
        host = RietveldPhase(
            crystal=SPINEL, search=True, cell_range=0.015, strain="shared", size="shared",
            b_iso=self.b_iso, occupancy=self.lithium, occupancy_site="Li1",
            crystallite_size_nm=self.start_nm,
        )  # fmt: skip
        tied = f"={SPINEL}"
        of_others: Freedom = "fixed" if self.b_iso == "fixed" else tied
        others = (
            RietveldPhase(crystal=name, strain=tied, size=tied, b_iso=of_others)
            for name in self.names[1:]
        )
        return Rietveld(phases=(host, *others))


def drawn_counts(
    trial: Trial, *, peak: float, n: int, seed: int, background: float | None = None
) -> Floats:
    """Return ``n`` draws of a trial's counts, (pattern, channel)."""
    mean = trial.counts(peak=peak, background=background)
    rng = np.random.default_rng([trial.truth.seed, seed])
    return rng.poisson(mean, (n, mean.size)).astype(np.float64)


def refined(
    trial: Trial, *, peak: float, counts: Floats | None = None, known: Refined | None = None
) -> Refined:
    """Refine counts (pattern, channel) of a trial; None: the expected ones, as one pattern.

    What all patterns share is refined with them, or taken from a result where it is ``known``.
    """
    mean, unit = trial.counts(peak=peak), trial.per_count(peak=peak)
    patterns = (mean[None] if counts is None else counts) * unit
    variance = np.ascontiguousarray(np.broadcast_to(mean * unit**2, patterns.shape))
    model = trial.model if known is None else replace(known.model, shared=())
    found = refine_patterns(patterns, variance=variance, model=model, covariance=True)
    return found if known is None else replace(found, model=known.model, shared=known.shared)


@lru_cache(maxsize=64)
def calibrated(truth: Truth, effects: Effects) -> Instrument:
    """Return the instrument as LaB6 shows it: widths, distance, and channels rid of their shift."""
    pattern = measure_calibrant(
        Calibrant(), beam=BEAM, detector=DETECTOR,
        geometry=_shifted(NOMINAL, truth.zero_deg), truth=truth.instrument,
        effects=effects.model_copy(update={"noise": True}), accuracy=Accuracy(),
        seed=truth.seed, sensor_corrected=effects.sensor_parallax,
    )  # fmt: skip
    scale = _gain(NOMINAL) / pattern.transmitted
    crystal = load_crystal("LaB6")
    fit = fit_pawley(
        pattern.counts * scale, variance=np.maximum(pattern.counts, 1.0) * scale**2,
        settings=Pawley(
            phases=(
                FreePhase(
                    name="LaB6", space_group=crystal.space_group, cell_A_deg=crystal.cell_A_deg,
                    refine_cell=False, crystallite_size_nm=Calibrant().crystallite_size_nm,
                ),
            ),
            refine_distance=True, refine_zero=True, refine_widths=("U", "W", "X", "Y"),
        ),
        instrument=Instrument(BEAM, NOMINAL, Calibration(distance_m=NOMINAL.distance_m)),
    )  # fmt: skip
    if fit.status is not FitStatus.CONVERGED:
        raise RuntimeError(f"the calibrant of seed {truth.seed} was not fitted: {fit.status.value}")
    return Instrument(BEAM, _shifted(NOMINAL, fit.zero_deg), fit.calibration)


def _shifted(geometry: Geometry, zero_deg: float) -> Geometry:
    """Return the geometry whose channels are where a shift makes those of ``geometry`` appear."""
    return geometry.model_copy(
        update={
            "two_theta_min_deg": geometry.two_theta_min_deg - zero_deg,
            "two_theta_max_deg": geometry.two_theta_max_deg - zero_deg,
        }
    )


def _gain(geometry: Geometry) -> Floats:
    acceptance = ring_acceptance(geometry, detector=DETECTOR, polarisation=BEAM.polarisation)
    seen = acceptance > 0.0
    return seen / (acceptance + ~seen) / (DETECTOR.efficiency * geometry.channel_width_rad)


@lru_cache(maxsize=64)
def _lines(truth: Truth, effects: Effects, *, mixed: bool) -> Floats:
    shells = tuple(
        Shell(phase=name, thickness_um=_RADIUS_UM, weight_fraction=weight)
        for name, weight in (MINOR.items() if mixed else ())
    )
    ball = Particle(
        centre_um=(0.0, 0.0, 0.0), diameter_um=2.0 * _RADIUS_UM, shells=shells,
        x=float(x_from_lattice(truth.a_A, y=0.0)), strain=truth.strain,
        crystallite_size_nm=truth.size_nm,
    )  # fmt: skip
    virtual = prepare(
        Sample((ball,)), beam=BEAM, detector=DETECTOR,
        geometry=_shifted(NOMINAL, truth.zero_deg), truth=truth.instrument, effects=effects,
        accuracy=ACCURACY, sensor_corrected=effects.sensor_parallax,
    )  # fmt: skip
    seen = expected_projection(
        virtual, scan=Scan(n_offsets=3, step_um=1.0, n_angles=2), angle_rad=0.0
    )
    return np.asarray(
        seen.counts[1].astype(np.float64) / seen.transmitted[1] / seen.path_um[1].sum()
    )
