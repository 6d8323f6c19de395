"""The experiment's first half as functions on plain objects: build, calibrate, measure, and know.

The second half is :func:`inverse.recover.recover` and :func:`validation.scorecard.scorecard`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

from forward.instrument import TrueInstrument
from forward.simulate import simulate_scan
from inverse.frame_patterns import calibrated_geometry, integrated_scan
from inverse.interlace import half_step_scan
from inverse.recipe import Recipe
from validation.calibration import with_calibration
from validation.experiment import Experiment
from validation.feasible import check_one_plane
from validation.laboratory import Laboratory, compared_sample, laboratory
from validation.truth import Truth, truth_on_grid
from xrdct.compiled import single_threaded_algebra
from xrdct.rawfile import RawScan
from xrdct.scan import Scan
from xrdct.versions import versions

Progress = Callable[[str, float], None]


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

    In frame mode each frame is integrated as soon as it is made, and not kept.

    Raises InputError for a sample that cannot be built or a scan that cannot be simulated.
    """
    experiment.check()
    check_one_plane(experiment.all_scans())
    tell = progress or (lambda _step, _fraction: None)
    start = perf_counter()
    tell("phantom", 0.0)
    lab = laboratory(experiment)
    built = perf_counter()
    tell("simulate", 0.0)
    recipe = with_calibration(experiment, lab.instrument)
    measure = _pattern_scans if experiment.mode == "patterns" else _frame_scans
    measured = [_labelled(raw, experiment, recipe) for raw in measure(lab, recipe, workers, tell)]
    simulated = perf_counter()
    tell("truth", 0.0)
    truth = known_truth(lab, workers=workers)
    return Simulated(
        raw=measured[0],
        others=dict(zip(experiment.scans, measured[1:], strict=True)),
        truth=truth,
        instrument=lab.instrument,
        timing_s={
            "phantom": built - start + (perf_counter() - simulated),
            "simulate": simulated - built,
        },
    )


def known_truth(lab: Laboratory, *, workers: int | None = None) -> Truth:
    """Return the truth on the grid of the maps, as it is halfway through the scan."""
    experiment = lab.experiment
    return truth_on_grid(
        compared_sample(lab), scan=half_step_scan(experiment.scan),
        beam_height_um=experiment.beam.height_um if experiment.effects.beam_size else 0.0,
        workers=workers,
    )  # fmt: skip


def _pattern_scans(
    lab: Laboratory, recipe: Recipe, workers: int | None, tell: Progress
) -> list[RawScan]:
    virtual, statistics = lab.prepared("patterns", workers=workers), lab.statistics(recipe)
    return [
        simulate_scan(
            virtual, scan=scan, seed=lab.experiment.seed, scan_number=number,
            conditions=lab.conditions[number], grains=lab.experiment.grains,
            statistics=statistics, workers=workers,
            progress=share_of(tell, lab.scans, number),
        )
        for number, scan in enumerate(lab.scans)
    ]  # fmt: skip


def _frame_scans(
    lab: Laboratory, recipe: Recipe, workers: int | None, tell: Progress
) -> list[RawScan]:
    """Make and integrate all frames of all scans."""
    experiment = lab.experiment
    model = lab.detector(lab.prepared("frames", workers=workers))
    geometry = calibrated_geometry(experiment.geometry, recipe)
    found = []
    for number, scan in enumerate(lab.scans):
        scanner, conditions = lab.scanner(model, number), lab.conditions[number]
        with single_threaded_algebra():
            counts, variance = integrated_scan(
                scanner.frame, scan=scan, beam=experiment.beam, detector=experiment.detector,
                geometry=geometry, recipe=recipe, flat=model.known_flat,
                counts_per_photon=scanner.counts_per_photon, workers=workers,
                progress=share_of(tell, lab.scans, number),
            )  # fmt: skip
        found.append(
            RawScan(
                scan=scan,
                beam=experiment.beam,
                detector=experiment.detector,
                geometry=geometry,
                counts=counts,
                variance=variance,
                monitor=conditions.monitor,
                transmitted=scanner.all_transmitted(),
                readings=conditions.readings,
            )
        )
    return found


def experiment_hash(experiment: Experiment) -> str:
    """Return a label that scans of one experiment share; nothing can be read from it."""
    return hashlib.sha256(b"xrdct-twin scan of " + experiment.config_json().encode()).hexdigest()


def _labelled(raw: RawScan, experiment: Experiment, recipe: Recipe) -> RawScan:
    return replace(
        raw,
        recipe=recipe.model_dump(mode="json"),
        title=experiment.name,
        experiment_hash=experiment_hash(experiment),
        versions=versions(),
    )


def share_of(tell: Progress, scans: list[Scan], number: int) -> Callable[[float], None]:
    """Turn the progress of one scan into that of all."""
    before = sum(scan.n_points for scan in scans[:number])
    total = sum(scan.n_points for scan in scans)
    own = scans[number].n_points
    return lambda fraction: tell("simulate", (before + fraction * own) / total)
