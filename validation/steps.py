"""The experiment's first half as functions on plain objects: build, calibrate, measure, and know.

The second half is :func:`inverse.recover.recover` and :func:`validation.scorecard.scorecard`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

from forward.calibrant import measure_calibrant
from forward.instrument import TrueInstrument, true_instrument
from forward.simulate import prepare, simulate_scan
from inverse.calibrate import calibrate
from inverse.recipe import Recipe
from validation.crystals import placed, placed_recipe
from validation.experiment import Experiment
from validation.feasible import check_one_plane
from validation.truth import Truth, truth_on_grid
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import ring_acceptance
from xrdct.rawfile import RawScan
from xrdct.scan import Scan
from xrdct.versions import versions

Progress = Callable[[str, float], None]
_FEWEST_CALIBRANT_PHOTONS = 10_000


@dataclass(frozen=True, eq=False)
class Simulated:
    """A measured experiment: what the analysis may see, and the truth, which it may not."""

    raw: RawScan
    """The scan to reconstruct."""
    others: dict[str, RawScan]
    """The further scans of the experiment."""
    truth: Truth
    instrument: TrueInstrument
    timing_s: dict[str, float]


def simulate(
    experiment: Experiment, *, workers: int | None = None, progress: Progress | None = None
) -> Simulated:
    """Build the sample, measure all scans, and put the truth on the maps' grid.

    Raises InputError for a sample that cannot be built or a scan that cannot be simulated.
    """
    experiment.check()
    check_one_plane(experiment.all_scans())
    tell = progress or (lambda _step, _fraction: None)
    start = perf_counter()
    tell("phantom", 0.0)
    sample = experiment.build_sample()
    instrument = true_instrument(
        experiment.unknowns, beam=experiment.beam, geometry=experiment.geometry,
        seed=experiment.seed,
    )  # fmt: skip
    built = perf_counter()
    tell("simulate", 0.0)
    virtual = prepare(
        sample, beam=experiment.beam, detector=experiment.detector,
        geometry=experiment.geometry, truth=instrument, effects=experiment.effects,
        accuracy=experiment.accuracy, workers=workers,
    )  # fmt: skip
    recipe = with_calibration(experiment, instrument)
    scans = list(experiment.all_scans().values())
    measured = [
        _labelled(
            simulate_scan(
                virtual, scan=scan, seed=experiment.seed, scan_number=number, workers=workers,
                progress=_share(tell, scans, number),
            ),
            experiment, recipe,
        )
        for number, scan in enumerate(scans)
    ]  # fmt: skip
    simulated = perf_counter()
    tell("truth", 0.0)
    truth = truth_on_grid(
        sample, scan=experiment.scan, beam_height_um=_beam_height(experiment), workers=workers
    )
    return Simulated(
        raw=measured[0],
        others=dict(zip(experiment.scans, measured[1:], strict=True)),
        truth=truth,
        instrument=instrument,
        timing_s={
            "phantom": built - start + (perf_counter() - simulated),
            "simulate": simulated - built,
        },
    )


def with_calibration(experiment: Experiment, instrument: TrueInstrument) -> Recipe:
    """Return the experiment's recipe, its calibration measured on the calibrant if not given."""
    folder = experiment.folder
    recipe = placed_recipe(experiment.recipe, folder=folder)
    if recipe.calibration is not None:
        return recipe
    crystal = placed(experiment.calibrant.crystal, folder=folder)
    calibrant = experiment.calibrant.model_copy(update={"crystal": crystal})
    geometry = experiment.geometry
    pattern = measure_calibrant(
        calibrant, beam=experiment.beam, detector=experiment.detector, geometry=geometry,
        truth=instrument, effects=experiment.effects, accuracy=experiment.accuracy,
        seed=experiment.seed,
    )  # fmt: skip
    if pattern.counts.sum() < _FEWEST_CALIBRANT_PHOTONS:
        raise InputError(
            f"calibrant.exposure_s ({calibrant.exposure_s:g}) gives {pattern.counts.sum():.0f} "
            f"photons, but at least {_FEWEST_CALIBRANT_PHOTONS} are needed to calibrate with"
        )
    acceptance = ring_acceptance(
        geometry, detector=experiment.detector, polarisation=experiment.beam.polarisation
    )
    seen = acceptance > 0.0
    gain = seen / (acceptance + ~seen) / pattern.transmitted
    calibration = calibrate(
        pattern.counts * gain, variance=pattern.counts * gain**2,
        calibrant=find_crystal(crystal),
        beam=experiment.beam, geometry=geometry,
        crystallite_size_nm=calibrant.crystallite_size_nm,
    )  # fmt: skip
    return recipe.model_copy(update={"calibration": calibration})


def experiment_hash(experiment: Experiment) -> str:
    """Return a label that scans of one experiment share; nothing can be read from it."""
    return hashlib.sha256(b"xrdct-twin scan of " + experiment.config_json().encode()).hexdigest()


def _beam_height(experiment: Experiment) -> float:
    return experiment.beam.height_um if experiment.effects.beam_size else 0.0


def _labelled(raw: RawScan, experiment: Experiment, recipe: Recipe) -> RawScan:
    return replace(
        raw,
        recipe=recipe.model_dump(mode="json"),
        title=experiment.name,
        experiment_hash=experiment_hash(experiment),
        versions=versions(),
    )


def _share(tell: Progress, scans: list[Scan], number: int) -> Callable[[float], None]:
    """Turn the progress of one scan into that of all."""
    before = sum(scan.n_points for scan in scans[:number])
    total = sum(scan.n_points for scan in scans)
    own = scans[number].n_points
    return lambda fraction: tell("simulate", (before + fraction * own) / total)
