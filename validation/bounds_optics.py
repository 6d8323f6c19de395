"""Sample and instrument made ready for bounds: what every ray counts, and what a voxel looks like.

Expected counts are those of the simulator (closed-form chords, patterns, air, cell, absorption and
what trimming keeps of a ring), at a coarser accuracy and without drawing anything. A voxel's
pattern is the analysis's own: calibrated profile, structure, fixed phases and background. Nothing
here depends on the scan but :meth:`Optics.rays`, so that many scans can be asked about one sample.

    line integral = counts × gain,   gain = 1/(photons behind the sample) · 1/(ε · acceptance · Δ2θ)

Where this fails: in frame mode faults of the detector are left out; a sample that changes is taken
as it is before the first exposure; encoder errors and flicker are not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forward.estimators import estimator_table
from forward.grain_rings import GrainRings
from forward.pattern_statistics import PatternStatistics
from forward.philox import stream_key
from forward.projection import Expectation, exit_corrected, expected_projection
from forward.settings import Accuracy
from forward.virtual import Virtual
from inverse.lattice_model import lattice_model_builder
from inverse.model import TEMPLATE_SPACING_A
from inverse.recipe import Recipe
from inverse.refine import LatticeModel
from inverse.shared import Shared
from validation.calibration import with_calibration
from validation.experiment import Experiment
from validation.laboratory import Laboratory, as_seen, laboratory
from xrdct.crystal_source import find_crystal
from xrdct.instrument import ring_acceptance
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_COARSE = Accuracy(state_spacing=6e-4, layer_um=0.5, profile_step_um=0.25, n_heights=3)
"""Widens lines by half a per cent; chords are as exact as before."""
_KEY = stream_key(0, 0)
_LEAST_SEEN = 0.02
"""As the analysis has it: channels of which less of the ring is seen are left out."""


@dataclass(frozen=True, eq=False)
class Rays:
    """What one projection counts on average."""

    line_variance: Floats
    """Variance of every line integral, shape (offset, channel), in 1/rad²."""
    counts: Floats
    """Photons of every channel, without trimming, (offset, channel)."""
    kept: Floats
    """What the integration makes of them, (offset, channel)."""
    photons: Floats
    """Behind the sample, shape (offset,)."""
    path_um: Singles
    """µm of solid of every material state, (offset, state)."""


@dataclass(frozen=True, eq=False)
class Optics:
    """A sample in front of an instrument, and the model of its voxels."""

    lab: Laboratory
    recipe: Recipe
    """With its calibration."""
    virtual: Virtual
    rings: GrainRings
    statistics: PatternStatistics | None
    """Of an integration that trims; None for the plain mean."""
    channel_gain: Floats
    """Turns counts per photon into line integrals, (channel,); 0 where too little is seen."""
    a_A: Floats
    """Lattice parameters of ``patterns``, shape (a,)."""
    patterns: Floats
    """Of the refined phase, 1/µm/rad, shape (a, channel)."""
    fixed: Floats
    """Patterns of the fixed phases, shape (phase, channel)."""
    background: Floats
    """Shape (term, channel)."""

    @property
    def experiment(self) -> Experiment:
        """What was prepared."""
        return self.lab.experiment

    def pattern_at(self, a_A: Floats) -> Floats:
        """Return the refined phase's pattern, shape (voxel, channel)."""
        lower, part = self._between(a_A)
        return np.asarray((1.0 - part) * self.patterns[lower] + part * self.patterns[lower + 1])

    def slope_at(self, a_A: Floats) -> Floats:
        """Return its derivative by the lattice parameter, 1/Å, shape (voxel, channel)."""
        slopes = np.gradient(self.patterns, self.a_A, axis=0)
        lower, part = self._between(a_A)
        return np.asarray((1.0 - part) * slopes[lower] + part * slopes[lower + 1])

    def rays(self, scan: Scan, line: int) -> Rays:
        """Return what a scan's projection would count."""
        angle_rad = float(scan.angles_rad[line])
        expected = expected_projection(self.virtual, scan=scan, angle_rad=angle_rad)
        counts = self._with_rings(expected, None, scan=scan, angle_rad=angle_rad)
        kept, variance = counts, counts
        if self.statistics is not None:
            trimmed = self._with_rings(expected, self.statistics, scan=scan, angle_rad=angle_rad)
            kept, variance = self.statistics.measured(trimmed, noise=False, key=_KEY, first_ray=0)
        gain = self.channel_gain / expected.transmitted[:, None]
        return Rays(
            line_variance=variance * gain**2,
            counts=counts.astype(float),
            kept=kept.astype(float),
            photons=expected.transmitted,
            path_um=expected.path_um,
        )

    def _with_rings(
        self,
        expected: Expectation,
        statistics: PatternStatistics | None,
        *,
        scan: Scan,
        angle_rad: float,
    ) -> Singles:
        """Return the photons with rings of countable crystallites, as the exit path leaves them."""
        counts = expected.counts.copy()
        self.rings.add_to(
            counts, path_um=expected.path_um, moment_um2=expected.moment_um2,
            photons=expected.transmitted, key=_KEY, first_frame=0, statistics=statistics,
        )  # fmt: skip
        exit_corrected(self.virtual, counts, offsets_um=scan.offsets_um, angle_rad=angle_rad)
        return counts

    def _between(self, a_A: Floats) -> tuple[NDArray[np.int64], Floats]:
        place = np.clip((a_A - self.a_A[0]) / TEMPLATE_SPACING_A, 0.0, self.a_A.size - 1.001)
        lower = np.floor(place).astype(np.int64)
        return lower, (place - lower)[:, None]


def prepare_optics(
    experiment: Experiment, *, rough: bool = False, workers: int | None = None
) -> Optics:
    """Return the experiment's sample and instrument ready for any scan.

    Of a ``rough`` one, made in a third of the time, rays gather no more than the beam's core, and
    channels that an integration trims scatter as what it keeps of them would without trimming.

    Raises InputError for a sample that cannot be built or a calibrant that cannot be measured.
    """
    quiet = experiment.effects.model_copy(update={"noise": False})
    experiment = experiment.model_copy(update={"accuracy": _COARSE, "effects": quiet})
    lab = laboratory(experiment)
    lab = replace(lab, sample=as_seen(lab.sample, experiment))
    recipe = with_calibration(experiment, lab.instrument)
    core = experiment.effects.model_copy(update={"beam_tails": False})
    seen = replace(lab, experiment=experiment.model_copy(update={"effects": core}))
    virtual = (seen if rough else lab).prepared("patterns", workers=workers)
    model, n_fixed = _model(lab, recipe), len(recipe.fixed_phases)
    return Optics(
        lab=lab,
        recipe=recipe,
        virtual=virtual,
        rings=GrainRings.of(virtual, experiment.grains),
        statistics=_untrimmed(experiment, recipe) if rough else lab.statistics(recipe),
        channel_gain=_channel_gain(experiment),
        a_A=model.a_A,
        patterns=model.templates,
        fixed=model.linear[:n_fixed],
        background=model.linear[n_fixed:],
    )


def _untrimmed(experiment: Experiment, recipe: Recipe) -> PatternStatistics | None:
    """Return statistics that trim rings of spots and nothing else; None where nothing is trimmed.

    Tables of the moments of trimmed counts take seconds to make.
    """
    lower, upper = recipe.integration.left_out
    if lower == 0.0 and upper == 0.0:
        return None
    return PatternStatistics(
        lower=lower,
        upper=upper,
        table=estimator_table(0.0, 0.0),
        n_pixels=np.ones(experiment.geometry.n_channels),
        spot_fwhm_px=experiment.grains.spot_fwhm_px,
    )


def _channel_gain(experiment: Experiment) -> Floats:
    acceptance = ring_acceptance(
        experiment.geometry, detector=experiment.detector,
        polarisation=experiment.beam.polarisation,
    )  # fmt: skip
    seen = acceptance > _LEAST_SEEN
    scale = experiment.detector.efficiency * experiment.geometry.channel_width_rad
    return np.where(seen, 1.0 / (scale * np.where(seen, acceptance, 1.0)), 0.0)


def _model(lab: Laboratory, recipe: Recipe) -> LatticeModel:
    """Return the analysis's model, of the crystal and the microstructure that the sample has."""
    experiment = lab.experiment
    crystal = find_crystal(recipe.phase.crystal).with_b_scale(lab.instrument.b_iso_factor)
    build = lattice_model_builder(
        recipe, beam=experiment.beam, geometry=experiment.geometry, crystal=crystal
    )
    return build(Shared(*_microstructure(lab, recipe)))


def _microstructure(lab: Laboratory, recipe: Recipe) -> tuple[float, float]:
    """Return size in nm and strain as a refinement over all voxels would find them on average."""
    particles = lab.sample.particles
    if not particles or not recipe.refine_shared:
        return recipe.phase.crystallite_size_nm, recipe.phase.strain
    area = lab.sample.radii_um**2
    per_nm = np.average([1.0 / p.crystallite_size_nm for p in particles], weights=area)
    squared = np.average([p.strain**2 for p in particles], weights=area)
    return float(1.0 / per_nm), float(np.sqrt(squared))
