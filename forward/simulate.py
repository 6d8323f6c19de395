"""A scan in pattern mode: the photons of every 2θ channel, summed over its pixels.

Expected counts come from :mod:`forward.projection`; rings of countable crystallites are multiplied
by what their number happens to be (:mod:`forward.grains`). Recorded are Poisson draws, or, where an
integration with trimming is to be imitated, what its estimator would make of the pixels
(:mod:`forward.pattern_statistics`). Random numbers are counter-based, one stream per projection, so
that the same seed gives the same scan on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from forward.conditions import Conditions, ideal_conditions
from forward.grain_rings import GrainRings
from forward.grains import Grains
from forward.pattern_statistics import PatternStatistics
from forward.philox import Words, stream_key
from forward.projection import Expectation, exit_corrected, expected_line
from forward.virtual import Virtual
from xrdct.compiled import single_threaded_algebra, threaded
from xrdct.errors import InputError
from xrdct.rawfile import RawScan
from xrdct.scan import Scan

Progress = Callable[[float], None]
_MOST_COUNTS = 2.0e9
"""Expected photons of a channel; int32 ends at 2.147e9, 3000 standard deviations above."""


def simulate_scan(
    virtual: Virtual,
    *,
    scan: Scan,
    seed: int,
    scan_number: int = 0,
    conditions: Conditions | None = None,
    grains: Grains | None = None,
    statistics: PatternStatistics | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RawScan:
    """Measure a prepared sample with one scan.

    The result is int32 counts with noise, or float32 expectations where ``Effects.noise`` is off.
    With ``statistics`` it is what an integration would make of the pixels, with its variance.
    With ``statistics`` it is what an integration would give, with its variance. Without
    ``conditions`` every exposure is as the scan asks for.

    Raises InputError for a scan of more than one plane (each plane is a scan of its own), and for
    more photons in a channel than can be stored.
    """
    if scan.n_planes != 1:
        raise InputError(
            f"scan.n_planes is {scan.n_planes}, but pattern mode simulates one plane at a time"
        )
    conditions = conditions or ideal_conditions(scan, beam=virtual.beam)
    rings = GrainRings.of(virtual, grains or Grains())
    key = stream_key(seed, scan_number)
    noise = virtual.effects.noise
    shape = (scan.n_angles, scan.n_offsets)
    whole = noise and statistics is None
    counts = np.empty((*shape, virtual.angles.n_nodes), np.int32 if whole else np.float32)
    variance = None if statistics is None else np.empty(counts.shape, np.float32)
    transmitted = np.empty(shape)
    done = 0

    def measure(first: int, last: int) -> None:
        nonlocal done
        for k in range(first, last):
            expected = _expected_patterns(
                virtual, rings, statistics, scan=scan, conditions=conditions, line=k, key=key
            )
            rng = _stream(seed, scan_number, k)
            if statistics is not None and variance is not None:
                counts[k], variance[k] = statistics.measured(
                    expected.counts, noise=noise, key=key, first_ray=k * scan.n_offsets
                )
            else:
                counts[k] = rng.poisson(expected.counts) if noise else expected.counts
            transmitted[k] = rng.poisson(expected.transmitted) if noise else expected.transmitted
        done += last - first
        if progress is not None:
            progress(done / scan.n_angles)

    with single_threaded_algebra():
        threaded(measure, scan.n_angles, workers=workers)
    return RawScan(
        scan=scan,
        beam=virtual.beam,
        detector=virtual.detector,
        geometry=virtual.geometry,
        counts=counts,
        monitor=conditions.monitor,
        transmitted=transmitted,
        variance=variance,
        readings=conditions.readings,
    )


def _expected_patterns(
    virtual: Virtual,
    rings: GrainRings,
    statistics: PatternStatistics | None,
    *,
    scan: Scan,
    conditions: Conditions,
    line: int,
    key: Words,
) -> Expectation:
    """Return what a line would count, given the crystallites that happen to reflect."""
    expected = expected_line(virtual, scan=scan, conditions=conditions, line=line)
    rings.add_to(
        expected.counts, path_um=expected.path_um, moment_um2=expected.moment_um2,
        photons=expected.transmitted, key=key, first_frame=line * scan.n_offsets,
        statistics=statistics,
    )  # fmt: skip
    exit_corrected(
        virtual, expected.counts, offsets_um=conditions.mean_offsets_um(scan, line),
        angle_rad=float(conditions.positions.true_rotation_rad[line]),
    )  # fmt: skip
    _check_counts(expected.counts)
    return expected


def _check_counts(expected: NDArray[np.float32]) -> None:
    most = float(expected.max(initial=0.0))
    if most > _MOST_COUNTS:
        raise InputError(
            f"a channel would count {most:.3g} photons in one exposure, but at most "
            f"{_MOST_COUNTS:g} can be stored: shorten scan.exposure_s"
        )


def _stream(seed: int, scan_number: int, projection: int) -> np.random.Generator:
    """Return the random stream of one projection (counter-based, independent of all others)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(scan_number, projection))
    return np.random.Generator(np.random.Philox(sequence))
