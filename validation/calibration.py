"""The calibrant, measured and evaluated before the experiment, as a beamline user would."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forward.calibrant import Calibrant, CalibrantPattern, calibrant_frame, measure_calibrant
from forward.instrument import TrueInstrument
from inverse.calibrate import calibrate
from inverse.calibrate_geometry import calibrate_geometry
from inverse.integrate import integrate_frame, integrator
from inverse.recipe import Calibration, Recipe
from validation.crystals import placed, placed_recipe
from validation.experiment import Experiment
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import Geometry, ring_acceptance

Floats = NDArray[np.float64]
_FEWEST_CALIBRANT_PHOTONS = 10_000


def with_calibration(experiment: Experiment, instrument: TrueInstrument) -> Recipe:
    """Return the experiment's recipe, its calibration measured on the calibrant if not given.

    In frame mode the calibrant's rings tell where the detector stands; then its pattern tells the
    profile, and what is left of the distance.
    """
    recipe = placed_recipe(experiment.recipe, folder=experiment.folder)
    if recipe.calibration is not None:
        return recipe
    crystal = placed(experiment.calibrant.crystal, folder=experiment.folder)
    calibrant = experiment.calibrant.model_copy(update={"crystal": crystal})
    evaluate = _from_pattern if experiment.mode == "patterns" else _from_frame
    return recipe.model_copy(
        update={"calibration": evaluate(experiment, calibrant, recipe, instrument)}
    )


def _from_pattern(
    experiment: Experiment, calibrant: Calibrant, recipe: Recipe, instrument: TrueInstrument
) -> Calibration:
    geometry = experiment.geometry
    pattern = measure_calibrant(
        calibrant, beam=experiment.beam, detector=experiment.detector, geometry=geometry,
        truth=instrument, effects=experiment.effects, accuracy=experiment.accuracy,
        sensor_corrected=recipe.integration.sensor_parallax, seed=experiment.seed,
    )  # fmt: skip
    _check_photons(pattern, calibrant)
    acceptance = ring_acceptance(
        geometry, detector=experiment.detector, polarisation=experiment.beam.polarisation
    )
    seen = acceptance > 0.0
    gain = seen / (acceptance + ~seen) / pattern.transmitted
    return _profile(
        experiment, calibrant, geometry, pattern.counts * gain, pattern.counts * gain**2
    )


def _from_frame(
    experiment: Experiment, calibrant: Calibrant, recipe: Recipe, instrument: TrueInstrument
) -> Calibration:
    measured = calibrant_frame(
        calibrant, beam=experiment.beam, detector=experiment.detector,
        geometry=experiment.geometry, truth=instrument, effects=experiment.effects,
        accuracy=experiment.accuracy, faults=experiment.faults, seed=experiment.seed,
    )  # fmt: skip
    integration = recipe.integration
    geometry = calibrate_geometry(
        measured.frame, calibrant=find_crystal(calibrant.crystal), geometry=experiment.geometry,
        detector=experiment.detector, beam=experiment.beam,
        sensor_parallax=integration.sensor_parallax,
    )  # fmt: skip
    bins = integrator(
        geometry, detector=experiment.detector, beam=experiment.beam, integration=integration,
        flat=measured.known_flat,
    )  # fmt: skip
    value, variance = integrate_frame(measured.frame, bins, integration)
    found = _profile(experiment, calibrant, geometry, value, variance)
    return found.model_copy(update={"geometry": geometry})


def _check_photons(pattern: CalibrantPattern, calibrant: Calibrant) -> None:
    photons = float(pattern.counts.sum())
    if photons < _FEWEST_CALIBRANT_PHOTONS:
        raise InputError(
            f"calibrant.exposure_s ({calibrant.exposure_s:g}) gives {photons:.0f} photons, but at "
            f"least {_FEWEST_CALIBRANT_PHOTONS} are needed to calibrate with"
        )


def _profile(
    experiment: Experiment,
    calibrant: Calibrant,
    geometry: Geometry,
    pattern: Floats,
    variance: Floats,
) -> Calibration:
    return calibrate(
        pattern, variance=variance, calibrant=find_crystal(calibrant.crystal),
        beam=experiment.beam, geometry=geometry,
        crystallite_size_nm=calibrant.crystallite_size_nm,
    )  # fmt: skip
